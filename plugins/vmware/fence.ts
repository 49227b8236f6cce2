// The fencing epoch in the machine's extraConfig. Compare and set by changeVersion: vSphere refuses a change that was made from an older version.
import { isFault, type VirtualDevice } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type Epoch, type FenceStore, type MachineId } from '../../core/contract/index.ts';
import { Epochs } from '../../core/plugin-kit/index.ts';
import { noAutostart } from './autostart.ts';
import { pullCable } from './devices.ts';
import { cardsOf, isPlugged, powerOf } from './machine.ts';
import { powerOff } from './power.ts';
import { EPOCH, epochOf, extraOptions, readExtra } from './tags.ts';
import { type Vcenter, vmRef } from './vcenter.ts';

const PATHS = ['config.extraConfig', 'config.changeVersion'];
const FIRST_PAUSE_MS = 20;
const MOST_PAUSE_MS = 2_000;

/** Compared with what is on record in the machine's extraConfig. */
export const epochsAt = (vcenter: Vcenter): Epochs =>
  new Epochs(async (id, call) => {
    const { 'config.extraConfig': extra } = await vcenter.props(vmRef(id), ['config.extraConfig'], call);
    return epochOf(readExtra(extra));
  });

const same = (a: Epoch | undefined, b: Epoch | undefined): boolean => a?.epoch === b?.epoch && a?.holder === b?.holder;

export const fenceFacet = (vcenter: Vcenter, epochs: Epochs): FenceStore => ({
  read: async (id, call) => (await read(vcenter, id, call)).held,
  advance: async (id, expected, next, call) => {
    const endMs = vcenter.time.now() + call.deadlineMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(MOST_PAUSE_MS, pauseMs * 2)) {
      const { held, changeVersion } = await read(vcenter, id, call);
      if (same(held, next)) break;
      if (!same(held, expected) || (held && next.epoch <= held.epoch)) throw fenced(id, held);
      const version = changeVersion === undefined ? {} : { changeVersion };
      try {
        await vcenter.task(
          'ReconfigVM_Task',
          vmRef(id),
          { spec: { ...version, extraConfig: extraOptions({ [EPOCH]: JSON.stringify(next) }) } },
          call,
        );
        break;
      } catch (error) {
        // Somebody has changed the machine in between: what is on record now decides.
        if (!isFault(error, 'ConcurrentAccess', 'TaskInProgress') || vcenter.time.now() + pauseMs > endMs) throw error;
        await vcenter.time.sleep(pauseMs, call.signal);
      }
    }
    epochs.note(id, next);
  },
  isolate: (id, call) => isolate(vcenter, epochs, id, call),
});

const read = async (
  vcenter: Vcenter,
  id: MachineId,
  call: Call,
): Promise<{ held: Epoch | undefined; changeVersion: string | undefined }> => {
  const props = await vcenter.props(vmRef(id), PATHS, call);
  return { held: epochOf(readExtra(props['config.extraConfig'])), changeVersion: props['config.changeVersion'] as string | undefined };
};

const fenced = (id: MachineId, held: Epoch | undefined): DrError =>
  new DrError('FENCED', `machine ${id} is at epoch ${held?.epoch ?? 'none'}, not at the one expected`, {
    context: { machine: id, ...(held ? { epoch: held.epoch, holder: held.holder } : {}) },
  });

/**
 * Cables first: a machine that does not let itself be powered off must at least not be heard. One whose cables cannot be pulled while it
 * runs (SR-IOV), or whose host takes no autostart, is powered off all the same, and what failed is done then, or is the error.
 */
const isolate = async (vcenter: Vcenter, epochs: Epochs, id: MachineId, call: Call): Promise<void> => {
  await epochs.check(id, call);
  const props = await vcenter.props(vmRef(id), ['runtime.powerState', 'runtime.connectionState'], call);
  const power = powerOf(props);
  const running = power === 'on';
  const silence = () => pullCables(vcenter, id, running, call);
  const failed: (() => Promise<void>)[] = [];
  for (const step of [silence, () => noAutostart(vcenter, id, call)]) {
    await step().catch((error: unknown) => {
      call.signal.throwIfAborted();
      if (power === 'off') throw error;
      failed.push(step === silence ? () => pullCables(vcenter, id, false, call) : step);
    });
  }
  await powerOff(vcenter, id, call);
  for (const step of failed) await step();
};

const pullCables = async (vcenter: Vcenter, id: MachineId, running: boolean, call: Call): Promise<void> => {
  const { 'config.hardware.device': devices } = await vcenter.props(vmRef(id), ['config.hardware.device'], call);
  const plugged = cardsOf((devices ?? []) as readonly VirtualDevice[]).filter(isPlugged);
  if (plugged.length === 0) return;
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec: { deviceChange: plugged.map((card) => pullCable(card, running)) } }, call);
};
