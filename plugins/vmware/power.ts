import { isFault } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type MachineId, type Power } from '../../core/contract/index.ts';
import { assertEpoch } from '../../core/plugin-kit/index.ts';
import { powerOf } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { epochOf, readExtra } from './tags.ts';
import { type Vcenter, vmRef } from './vcenter.ts';

const PATHS = ['runtime.powerState', 'runtime.connectionState', 'config.extraConfig'];
const PAUSE_MS = 500;
const MOST_PAUSE_MS = 3_000;

export const powerFacet = (vcenter: Vcenter, paths: DataPaths): Power => ({
  set: async (id, to, call) => {
    const props = await vcenter.props(vmRef(id), PATHS, call);
    assertEpoch(id, epochOf(readExtra(props['config.extraConfig'])), call.fence);
    const now = powerOf(props);
    if (to === 'on') {
      if (now === 'on') return;
      // What is still attached to the appliance would keep the machine from its disks.
      for (const mover of paths.all) await mover.release(id, call);
      await settled(vcenter, id, 'on', () => vcenter.task('PowerOnVM_Task', vmRef(id), {}, call), call);
    } else if (to === 'off') await powerOff(vcenter, id, call);
    else if (now !== 'off') await shutDown(vcenter, id, call);
  },
});

export const powerOff = (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> =>
  settled(vcenter, id, 'off', () => vcenter.task('PowerOffVM_Task', vmRef(id), {}, call), call);

/** A machine that is there already, or that somebody else has brought there meanwhile, is what was asked for. */
const settled = async (vcenter: Vcenter, id: MachineId, to: 'on' | 'off', run: () => Promise<unknown>, call: Call): Promise<void> => {
  if ((await powerNow(vcenter, id, call)) === to) return;
  try {
    await run();
  } catch (error) {
    if (!isFault(error, 'InvalidPowerState') || (await powerNow(vcenter, id, call)) !== to) throw error;
  }
};

const powerNow = async (vcenter: Vcenter, id: MachineId, call: Call) => powerOf(await vcenter.props(vmRef(id), PATHS.slice(0, 2), call));

/** Asks the guest and waits. Never turns into power off. */
const shutDown = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const { time } = vcenter;
  const endMs = time.now() + call.deadlineMs;
  try {
    await vcenter.call('ShutdownGuest', vmRef(id), {}, call);
  } catch (error) {
    if (!isFault(error, 'InvalidPowerState') || (await powerNow(vcenter, id, call)) !== 'off') throw error;
    return;
  }
  for (let pauseMs = PAUSE_MS; ; pauseMs = Math.min(MOST_PAUSE_MS, pauseMs * 1.5)) {
    if ((await powerNow(vcenter, id, call)) === 'off') return;
    const leftMs = endMs - time.now();
    if (leftMs <= 0) {
      throw new DrError('SHUTDOWN_REFUSED', `the guest of machine ${id} did not shut down in ${call.deadlineMs} ms`, {
        context: { machine: id, deadlineMs: call.deadlineMs },
      });
    }
    await time.sleep(Math.min(pauseMs, leftMs), call.signal);
  }
};
