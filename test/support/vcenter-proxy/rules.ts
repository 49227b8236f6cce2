// Calls of which the simulator does only a part: who goes first, the model or the simulator, and what keeps both equal.
import { backingOf, isDisk } from '../../../adapters/lab/vsphere/devices.ts';
import { ROOT_POOL, VM_FOLDER } from '../../../adapters/lab/vsphere/objects.ts';
import type { MoRef, VimArgs, VimMethod, VirtualDeviceConfigSpec } from '../../../adapters/vsphere/port.ts';
import type { Vim } from '../vim.ts';
import { adopt } from './level.ts';
import { addPortGroup, addVirtualSwitch, reconfigureAutostart, removePortGroup, removeVirtualSwitch } from './networks.ts';
import { answerOf, type Rule, refusal } from './step.ts';
import type { Ids, Twin } from './twin.ts';

/** What the simulator does not do at all. */
const modelOnly: Rule = async ({ call, twin }) => {
  const outcome = await twin.run(call.method as VimMethod, call.on, call.args as never);
  if ('fault' in outcome) return refusal(call, outcome);
  return answerOf(call, outcome.task ?? outcome.result);
};

/** Where the model may refuse what the simulator takes: locks, states of disks and guests. */
const modelFirst: Rule = async (step) => {
  const { call, twin } = step;
  const outcome = await twin.run(call.method as VimMethod, call.on, call.args as never);
  return 'fault' in outcome ? refusal(call, outcome) : step.agreed(await step.forward());
};

interface Following {
  readonly ids?: (result: unknown) => Ids;
  readonly on?: MoRef;
  readonly args?: (args: never) => object;
  /** The model has refused what the simulator has done. */
  readonly undo?: (own: Vim, result: unknown) => Promise<unknown>;
  readonly after?: (own: Vim, twin: Twin, result: unknown) => Promise<void>;
}

/** Where the simulator chooses the reference. */
const simulatorFirst =
  ({ ids, on, args, undo, after }: Following): Rule =>
  async (step) => {
    const { call, own, twin } = step;
    const reply = await step.forward();
    const made = await step.resultOf(reply);
    if (!made) return reply;
    const asked = args ? args(call.args as never) : call.args;
    const outcome = await twin.run(call.method as VimMethod, on ?? call.on, asked as never, ids?.(made.result));
    if ('fault' in outcome) {
      await undo?.(own, made.result);
      return refusal(call, outcome);
    }
    await after?.(own, twin, made.result);
    return reply;
  };

const machineMade = (result: unknown): Ids => ({ vm: [(result as MoRef).value] });

const CREATE = simulatorFirst({
  ids: machineMade,
  on: VM_FOLDER,
  args: ({ host: _, ...args }: VimArgs<'CreateVM_Task'>) => ({ ...args, pool: ROOT_POOL }),
  undo: (own, result) => own.task('Destroy_Task', result as MoRef, {}),
  after: (own, twin, result) => adopt(own, twin.vm(result as MoRef)!),
});

const CLONE = simulatorFirst({
  ids: machineMade,
  args: ({ spec, ...args }: VimArgs<'CloneVM_Task'>) => {
    const { host: _, pool: __, ...location } = spec.location;
    return { ...args, folder: VM_FOLDER, spec: { ...spec, location } };
  },
  undo: (own, result) => own.task('Destroy_Task', result as MoRef, {}),
  after: (own, twin, result) => adopt(own, twin.vm(result as MoRef)!),
});

const SNAPSHOT = simulatorFirst({
  ids: (result) => ({ snapshot: [(result as MoRef).value] }),
  undo: (own, result) => own.task('RemoveSnapshot_Task', result as MoRef, { removeChildren: false }),
});

const reconfigure: Rule = async (step) => {
  const { call, own, twin } = step;
  const machine = twin.vm(call.on);
  if (!machine) return step.forward();
  const args = call.args as VimArgs<'ReconfigVM_Task'>;
  const outcome = await twin.run('ReconfigVM_Task', call.on, args);
  if ('fault' in outcome) return refusal(call, outcome);
  const deviceChange = (args.spec.deviceChange ?? []).map(withLabel);
  for (const path of deviceChange.map(fileOf)) if (path) await step.ensureFile(path);
  const reply = await step.agreed(await step.forward({ spec: { ...args.spec, ...(deviceChange.length > 0 ? { deviceChange } : {}) } }));
  await adopt(own, machine);
  return reply;
};

/** The simulator panics over a device that is edited without its label. */
const withLabel = (change: VirtualDeviceConfigSpec): VirtualDeviceConfigSpec =>
  change.operation === 'edit'
    ? { ...change, device: { ...change.device, deviceInfo: change.device.deviceInfo ?? { label: 'device', summary: '' } } }
    : change;

/** It looks for the file of a disk under the name that the model has given it. */
const fileOf = ({ operation, fileOperation, device }: VirtualDeviceConfigSpec): string | undefined =>
  operation === 'remove' || fileOperation !== undefined || !isDisk(device) ? undefined : backingOf(device)?.fileName;

export const RULES: Readonly<Record<string, Rule>> = {
  CreateVM_Task: CREATE,
  CloneVM_Task: CLONE,
  ReconfigVM_Task: reconfigure,
  Rename_Task: async (step) => (step.twin.vm(step.call.on) ? simulatorFirst({})(step) : step.forward()),
  Destroy_Task: async (step) => (step.twin.vm(step.call.on) ? modelFirst(step) : step.forward()),
  PowerOnVM_Task: modelFirst,
  PowerOffVM_Task: modelFirst,
  CustomizeVM_Task: simulatorFirst({}),
  CreateSnapshot_Task: SNAPSHOT,
  RemoveSnapshot_Task: modelFirst,
  RevertToSnapshot_Task: modelFirst,
  // It takes time, and a guest may refuse: there it is off at once.
  ShutdownGuest: modelOnly,
  CheckCustomizationSpec: modelOnly,
  ConsolidateVMDisks_Task: modelOnly,
  QueryChangedDiskAreas: modelOnly,
  AddVirtualSwitch: addVirtualSwitch,
  RemoveVirtualSwitch: removeVirtualSwitch,
  AddPortGroup: addPortGroup,
  RemovePortGroup: removePortGroup,
  ReconfigureAutostart: reconfigureAutostart,
};
