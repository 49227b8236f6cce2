// Destroy_Task, UnregisterVM, RegisterVM_Task: how machines leave the inventory and come into it.
import type { DiskId, MachineId, SnapshotId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord } from '../records.ts';
import { assertNameFree, checkedName, settle } from './configuration.ts';
import { chainOf, dropLayer, pathOf } from './datastore.ts';
import { backingOf, isDisk } from './devices.ts';
import { machineAt, specFromDevices, vmxPath } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import { assertUnheld } from './locks.ts';
import { type VimContext, VimFaultError, type VimHandlers } from './model.ts';

import { fileFault, invalidPowerState, parsePath, startVmTask, type Vm, vcenterOf, vmRef, vmsOf, type Where } from './vms.ts';

const DESTROY_MS = 40;

export const removal: VimHandlers = {
  Destroy_Task: (context, on) => {
    if (on.type !== 'VirtualMachine') throw vimFault('NotSupported');
    const machine = machineAt(context, on);
    const run = () => destroy(context, machineAt(context, on));
    return startVmTask(context, machine, { description: 'VirtualMachine.destroy', durationMs: DESTROY_MS, run });
  },

  UnregisterVM: (context, on) => {
    const machine = machineAt(context, on);
    if (machine.power === 'on') throw invalidPowerState('poweredOn', 'poweredOff');
    unregister(context, machine);
    return undefined;
  },

  RegisterVM_Task: (context, on, { path, name, pool, host }) =>
    context.startTask('Folder.registerVm', on, {
      durationMs: DESTROY_MS,
      run: () => vmRef(register(context, path, { name, home: { folder: on, pool, host } })),
    }),
};

/** With every file of its disks: also of a disk that belongs to another machine and was only attached. */
export const destroy = (context: VimContext, machine: Vm): void => {
  const { estate, endpoint } = context;
  if (machine.power === 'on') throw invalidPowerState('poweredOn', 'poweredOff');
  const layers = layersOf(estate, machine);
  assertUnheld(context, layers, machine);
  for (const other of vmsOf(context)) if (other !== machine) loseDisks(context, other, layers);
  const { files } = vcenterOf(endpoint);
  delete files[vmxPath(machine.vm)];
  for (const layer of layers) {
    const path = pathOf(vcenterOf(endpoint), layer);
    if (path !== undefined && files[path]!.layer === layer) delete files[path];
  }
  estate.removeMachine(machine);
  for (const layer of layers) estate.removeLayer(layer);
};

const layersOf = (estate: Estate, { volumes, vm }: Vm): Set<string> => {
  const tops = [...Object.values(volumes), ...vm.snapshots.flatMap((snapshot) => snapshot.disks.map(({ layer }) => layer))];
  return new Set(tops.filter((top) => estate.layers.has(top)).flatMap((top) => chainOf(estate.layer(top).volume).map(({ name }) => name)));
};

/** What stood on the destroyed layers is nothing any more; the machine keeps naming files that are not there. */
const loseDisks = ({ estate, endpoint }: Where, machine: Vm, destroyed: ReadonlySet<string>): void => {
  for (const [disk, top] of Object.entries(machine.volumes) as [DiskId, string][]) {
    const chain = chainOf(estate.layer(top).volume);
    if (!chain.some(({ name }) => destroyed.has(name))) continue;
    const { volume, storage } = estate.layer(top);
    const path = pathOf(vcenterOf(endpoint), top);
    machine.volumes[disk] = estate.createLayer(volume.sizeBytes, storage).name;
    for (const { name } of chain) if (!destroyed.has(name)) dropLayer(estate, endpoint, name);
    if (path !== undefined) vcenterOf(endpoint).files[path] = {};
    for (const { id } of machine.vm.snapshots) estate.snapshots.delete(id as SnapshotId);
    machine.vm.snapshots = [];
    delete machine.vm.currentSnapshot;
  }
};

/** Its files stay, and its configuration in its own one. */
const unregister = ({ estate, endpoint }: VimContext, machine: Vm): void => {
  vcenterOf(endpoint).files[vmxPath(machine.vm)] = { text: JSON.stringify(machine) };
  for (const { id } of machine.vm.snapshots) estate.snapshots.delete(id as SnapshotId);
  estate.machines.delete(machine.id);
  estate.touch(machine, true);
};

interface Registration {
  readonly name: string | undefined;
  readonly home: Parameters<typeof settle>[2];
}

const register = (context: VimContext, path: string, { name, home }: Registration): Vm => {
  const { estate, endpoint } = context;
  parsePath(endpoint, path);
  const file = vcenterOf(endpoint).files[path];
  if (file?.text === undefined) throw fileFault('FileNotFound', path);
  if (file.text === '')
    throw new VimFaultError('AlreadyExists', `The specified key, name, or identifier '${path}' already exists.`, { name: path });
  const kept = configurationIn(file.text);
  if (!kept) throw new VimFaultError('InvalidVmConfig', `Invalid virtual machine configuration: ${path}`, { property: 'path' });
  const id = estate.newMachineId(endpoint) as MachineId;
  const { folder: _, pool: __, ...vm } = kept.vm;
  const machine: Vm = {
    ...kept,
    id,
    endpoint: endpoint.name,
    name: name === undefined ? kept.name : checkedName(name),
    power: 'off',
    vm: withNewSnapshots(estate, vm),
  };
  assertNameFree(context, machine.name, home.folder);
  for (const disk of vm.devices.filter(isDisk)) assertFileThere(estate, endpoint, backingOf(disk).fileName);
  settle(context, machine, home);
  specFromDevices(estate, machine);
  vcenterOf(endpoint).files[path] = { text: '' };
  return estate.addMachine(machine) as Vm;
};

const configurationIn = (text: string): Vm | undefined => {
  try {
    return JSON.parse(text) as Vm;
  } catch {
    return undefined;
  }
};

const assertFileThere = (estate: Estate, endpoint: EndpointRecord, path: string): void => {
  const layer = vcenterOf(endpoint).files[path]?.layer;
  if (layer === undefined || !estate.layers.has(layer)) throw fileFault('FileNotFound', path);
};

/** Snapshots are other objects for each inventory that the machine comes into. */
const withNewSnapshots = (estate: Estate, vm: Vm['vm']): Vm['vm'] => {
  const ids = new Map(vm.snapshots.map(({ id }) => [id, estate.nextId('snapshot')]));
  const { currentSnapshot, ...rest } = vm;
  const snapshots = vm.snapshots.map((snapshot) => ({
    ...snapshot,
    id: ids.get(snapshot.id)!,
    ...(snapshot.parent === undefined ? {} : { parent: ids.get(snapshot.parent)! }),
  }));
  return { ...rest, snapshots, ...(currentSnapshot === undefined ? {} : { currentSnapshot: ids.get(currentSnapshot)! }) };
};
