// The machines of a vCenter by their references, and the faults that its handlers share.
import type { MachineId, PlaceId } from '../../../core/contract/index.ts';
import type { MoRef } from '../../vsphere/port.ts';
import type { EndpointRecord, MachineRecord, PlaceRecord } from '../records.ts';
import { type VcenterRecord, type VimContext, VimFaultError, type VmRecord, type VmSnapshotRecord } from './model.ts';

export type Where = Pick<VimContext, 'estate' | 'endpoint'>;

/** A machine that a vCenter knows. */
export type Vm = MachineRecord & { readonly vm: VmRecord };

export const vmRef = ({ id }: { readonly id: MachineId }): MoRef => ({ type: 'VirtualMachine', value: id });
export const snapshotRef = (id: string): MoRef => ({ type: 'VirtualMachineSnapshot', value: id });

/** A client may escape any character so, not only those that it must (ManagedEntity.name). */
export const unescapeName = (name: string): string =>
  name.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

export const vcenterOf = (endpoint: EndpointRecord): VcenterRecord => {
  if (!endpoint.vsphere) throw new Error(`endpoint ${endpoint.name} has no vCenter`);
  return endpoint.vsphere;
};

export const isVm = (machine: MachineRecord): machine is Vm => machine.vm !== undefined;

export const vmsOf = ({ estate, endpoint }: Where): Vm[] =>
  [...estate.machines.values()].filter((machine): machine is Vm => machine.endpoint === endpoint.name && isVm(machine));

/** As it was when the vCenter last looked: machineAt in equipment.ts looks. */
export const findVm = ({ estate, endpoint }: Where, ref: MoRef): Vm | undefined => {
  const machine = ref.type === 'VirtualMachine' ? estate.machines.get(ref.value as MachineId) : undefined;
  return machine && machine.endpoint === endpoint.name && isVm(machine) ? machine : undefined;
};

export const findSnapshot = (where: Where, ref: MoRef): { machine: Vm; snapshot: VmSnapshotRecord } | undefined => {
  if (ref.type !== 'VirtualMachineSnapshot') return undefined;
  for (const machine of vmsOf(where)) {
    const snapshot = machine.vm.snapshots.find((one) => one.id === ref.value);
    if (snapshot) return { machine, snapshot };
  }
  return undefined;
};

export const storageOf = (endpoint: EndpointRecord, id: PlaceId | undefined): PlaceRecord | undefined =>
  endpoint.places.find((place) => place.kind === 'storage' && place.id === id);

/** `[ds] folder/file` taken apart. */
export const parsePath = (endpoint: EndpointRecord, path: string): { storage: PlaceRecord; inside: string } => {
  const match = /^\[([^\]]+)\]\s*(.*)$/.exec(path);
  const storage = endpoint.places.find((place) => place.kind === 'storage' && place.name === match?.[1]);
  if (match && storage) return { storage, inside: match[2]!.replace(/\/+$/, '') };
  throw new VimFaultError('InvalidDatastorePath', `Invalid datastore path '${path}'.`, {
    datastore: undefined,
    name: match?.[1],
    datastorePath: path,
  });
};

export const invalidArgument = (property: string): VimFaultError =>
  new VimFaultError('InvalidArgument', `A specified parameter was not correct: ${property}`, { invalidProperty: property });

const FILE_TEXTS = {
  FileLocked: (file: string) => `Unable to access file ${file} since it is locked`,
  FileNotFound: (file: string) => `File ${file} was not found`,
  FileFault: (file: string) => `Error caused by file ${file}`,
  FileAlreadyExists: (file: string) => `Cannot complete the operation because the file or folder ${file} already exists`,
} as const;

export const fileFault = (type: keyof typeof FILE_TEXTS, file: string): VimFaultError =>
  new VimFaultError(type, FILE_TEXTS[type](file), { file });

export const invalidPowerState = (existing: 'poweredOn' | 'poweredOff', requested?: 'poweredOn' | 'poweredOff'): VimFaultError =>
  new VimFaultError(
    'InvalidPowerState',
    `The attempted operation cannot be performed in the current state (${existing === 'poweredOn' ? 'Powered on' : 'Powered off'}).`,
    { ...(requested === undefined ? {} : { requestedState: requested }), existingState: existing },
  );

export const powerStateOf = (machine: MachineRecord): 'poweredOn' | 'poweredOff' => (machine.power === 'on' ? 'poweredOn' : 'poweredOff');

/** A task on a machine, of which there is one at a time. */
export const startVmTask = (
  context: VimContext,
  machine: Vm,
  task: { readonly description: string; readonly durationMs: number; readonly entity?: MoRef; run(): unknown },
): MoRef => {
  const on = vmRef(machine);
  const running = context.runningTask(on);
  if (running) {
    throw new VimFaultError('TaskInProgress', `The operation is not allowed in the current state: another task is already in progress.`, {
      task: running,
    });
  }
  const run = () => {
    assertStill(context, machine);
    return task.run();
  };
  return context.startTask(task.description, on, { durationMs: task.durationMs, run });
};

/** Time has passed since the call: the machine may be gone, or its hosts. */
const assertStill = ({ estate, endpoint }: VimContext, machine: Vm): void => {
  if (estate.sites.get(endpoint.site)?.burned) {
    throw new VimFaultError('HostNotConnected', 'Unable to communicate with the remote host, since it is disconnected.');
  }
  if (estate.machines.get(machine.id) === machine) return;
  throw new VimFaultError('ManagedObjectNotFound', 'The object has already been deleted or has not been completely created', {
    obj: vmRef(machine),
  });
};
