// CloneVM_Task and RelocateVM_Task.
import type { DiskId } from '../../../core/contract/index.ts';
import type { MoRef, VirtualDevice, VirtualDisk, VirtualMachineCloneSpec, VirtualMachineRelocateSpec } from '../../vsphere/port.ts';
import { bareMachine } from '../new-machine.ts';
import { switchOn } from '../operations/inventory.ts';
import type { PlaceRecord } from '../records.ts';
import { assertNameFree, checkedName, reconfigure, settle } from './configuration.ts';
import { addFile, chainOf, filePath, freeDiskPath, freeFolder, isThere, pathOf } from './datastore.ts';
import { snapshotDisks } from './device-changes.ts';
import { backingOf, flatBacking, isCard, isDisk, isIndependent } from './devices.ts';
import { machineAt, newVmRecord, specFromDevices, vmxPath } from './equipment.ts';
import { assertUnheld } from './locks.ts';
import type { VimContext, VimHandlers, VmSnapshotRecord } from './model.ts';
import { notFound, placeOf, refOf } from './objects.ts';
import { findSnapshot, parsePath, startVmTask, type Vm, vcenterOf, vmRef } from './vms.ts';

const COPY_MS = 50;
const BYTES_PER_MS = 200_000;

export const copies: VimHandlers = {
  CloneVM_Task: (context, on, { folder, name, spec }) => {
    const machine = machineAt(context, on);
    const run = () => vmRef(clone(context, machineAt(context, on), { folder, name, spec }));
    return startVmTask(context, machine, { description: 'VirtualMachine.clone', durationMs: COPY_MS + copyMs(context, machine), run });
  },

  RelocateVM_Task: (context, on, { spec }) => {
    const machine = machineAt(context, on);
    const run = () => relocate(context, machineAt(context, on), spec);
    return startVmTask(context, machine, { description: 'VirtualMachine.relocate', durationMs: COPY_MS + copyMs(context, machine), run });
  },
};

const copyMs = ({ estate }: VimContext, machine: Vm): number =>
  Object.values(machine.volumes).reduce(
    (ms, layer) => ms + (estate.layers.has(layer) ? estate.layer(layer).volume.allocatedBytes : 0) / BYTES_PER_MS,
    0,
  );

interface Clone {
  readonly folder: MoRef;
  readonly name: string;
  readonly spec: VirtualMachineCloneSpec;
}

/** A whole copy. Extra configuration goes with it, whatever it says of whom. */
const clone = (context: VimContext, source: Vm, { folder, name, spec }: Clone): Vm => {
  const { estate, endpoint } = context;
  const own = checkedName(name);
  assertNameFree(context, own, folder);
  const found = spec.snapshot && (findSnapshot(context, spec.snapshot) ?? notFound(spec.snapshot));
  const from = found?.snapshot.config ?? source.vm;
  const storage = spec.location.datastore ? placeOf(endpoint, spec.location.datastore) : parsePath(endpoint, source.vm.homePath).storage;
  const machine = bareMachine(estate, endpoint, own, { ...(found?.snapshot.config.spec ?? source.spec), disks: [], nics: [] });
  const homePath = filePath(storage, freeFolder(endpoint, storage, own));
  machine.vm = {
    ...newVmRecord(estate, homePath, source.vm.guestId),
    annotation: from.annotation,
    extraConfig: { ...from.extraConfig },
    hardwareVersion: source.vm.hardwareVersion,
  };
  const vm = machine as Vm;
  vm.vm.devices = from.devices
    .filter((device) => !isDisk(device) || !isIndependent(device))
    .map((device) => copyDevice(context, vm, { source, snapshot: found?.snapshot, device, storage }));
  machine.generation = source.generation + 1;
  settle(context, vm, { folder, pool: spec.location.pool, host: spec.location.host });
  addFile(endpoint, vmxPath(vm.vm), { text: '' });
  specFromDevices(estate, vm);
  estate.addMachine(machine);
  if (spec.config) reconfigure(context, vm, spec.config);
  if (spec.powerOn) switchOn(estate, machine);
  return vm;
};

interface Copied {
  readonly source: Vm;
  readonly snapshot: VmSnapshotRecord | undefined;
  readonly device: VirtualDevice;
  readonly storage: PlaceRecord;
}

const copyDevice = ({ estate, endpoint }: VimContext, machine: Vm, { source, snapshot, device, storage }: Copied): VirtualDevice => {
  if (isCard(device)) {
    const mac = ['00', '50', '56', ...[0, 0, 0].map(() => estate.random.below(128).toString(16).padStart(2, '0'))].join(':');
    return { ...device, macAddress: mac, addressType: 'assigned' } as VirtualDevice;
  }
  if (!isDisk(device)) return device;
  const before = backingOf(device).uuid as DiskId;
  const layer = snapshot?.disks.find(({ disk }) => disk === before)?.layer ?? source.volumes[before]!;
  const { volume } = estate.layer(layer);
  const copy = estate.createLayer(volume.sizeBytes, storage.id);
  volume.copyTo(copy);
  const uuid = estate.newDiskId();
  const path = freeDiskPath(endpoint, machine.vm.homePath);
  addFile(endpoint, path, { layer: copy.name, uuid });
  machine.volumes[uuid] = copy.name;
  const backing = flatBacking({ path, datastore: refOf(storage), uuid, sizeBytes: volume.sizeBytes });
  return { ...device, backing: backing as NonNullable<VirtualDisk['backing']> } as VirtualDevice;
};

/** Files keep their names in a folder of the other datastore; the change files stay behind. */
const relocate = (context: VimContext, machine: Vm, spec: VirtualMachineRelocateSpec): void => {
  const { estate, endpoint } = context;
  if (spec.host) machine.host = placeOf(endpoint, spec.host).id;
  if (spec.pool) machine.vm.pool = spec.pool.value;
  const targets = new Map(spec.disk?.map(({ diskId, datastore }) => [diskId, placeOf(endpoint, datastore)]));
  const whole = spec.datastore && placeOf(endpoint, spec.datastore);
  const moves = snapshotDisks(machine).flatMap((disk) => {
    const to = targets.get(disk.key) ?? whole;
    return to ? [{ disk, to }] : [];
  });
  const layers = moves.flatMap(({ disk }) => chainOf(estate.layer(machine.volumes[backingOf(disk).uuid as DiskId]!).volume));
  assertUnheld(
    context,
    layers.map(({ name }) => name),
    machine,
  );
  const folders = new Map<PlaceRecord, string>();
  for (const { disk, to } of moves) moveDisk(context, machine, disk, { to, folders });
  if (whole) moveHome(context, machine, whole, folders);
  specFromDevices(estate, machine);
  if (moves.length > 0) estate.resetTrackers(machine);
  machine.vm.changeVersion++;
  estate.touch(machine);
};

interface Move {
  readonly to: PlaceRecord;
  /** The machine's folder on each datastore. */
  readonly folders: Map<PlaceRecord, string>;
}

const folderOn = ({ endpoint }: VimContext, machine: Vm, { to, folders }: Move): string => {
  const known = folders.get(to) ?? filePath(to, freeFolder(endpoint, to, machine.name));
  folders.set(to, known);
  return known;
};

const moveDisk = (context: VimContext, machine: Vm, disk: VirtualDisk, move: Move): void => {
  const { estate, endpoint } = context;
  const vcenter = vcenterOf(endpoint);
  const id = backingOf(disk).uuid as DiskId;
  const folder = folderOn(context, machine, move);
  const tops = [
    machine.volumes[id]!,
    ...machine.vm.snapshots.flatMap((one) => one.disks.filter((row) => row.disk === id).map(({ layer }) => layer)),
  ];
  for (const { name } of new Set(tops.flatMap((top) => chainOf(estate.layer(top).volume)))) {
    const path = pathOf(vcenter, name);
    moveLayer(context, name, move.to);
    if (path === undefined) continue;
    let moved = `${folder}/${path.replace(/^.*\//, '')}`;
    if (isThere(vcenter.files[moved])) moved = freeDiskPath(endpoint, folder);
    vcenter.files[moved] = vcenter.files[path]!;
    delete vcenter.files[path];
    renameEverywhere(machine, path, { path: moved, datastore: refOf(move.to) });
  }
};

const moveLayer = ({ estate }: VimContext, name: string, { id }: PlaceRecord): void => {
  const layer = estate.layer(name);
  layer.volume.accountTo(estate.accountFor(id));
  estate.layers.set(name, { ...layer, storage: id });
};

const renameEverywhere = (machine: Vm, from: string, to: { readonly path: string; readonly datastore: MoRef }): void => {
  const rename = (devices: readonly VirtualDevice[]): VirtualDevice[] =>
    devices.map((device) =>
      isDisk(device) && backingOf(device).fileName === from
        ? ({ ...device, backing: { ...backingOf(device), fileName: to.path, datastore: to.datastore } } as VirtualDevice)
        : device,
    );
  machine.vm.devices = rename(machine.vm.devices);
  machine.vm.snapshots = machine.vm.snapshots.map((one) => ({ ...one, config: { ...one.config, devices: rename(one.config.devices) } }));
};

const moveHome = (context: VimContext, machine: Vm, to: PlaceRecord, folders: Map<PlaceRecord, string>): void => {
  const { files } = vcenterOf(context.endpoint);
  delete files[vmxPath(machine.vm)];
  machine.vm.homePath = folderOn(context, machine, { to, folders });
  files[vmxPath(machine.vm)] = { text: '' };
};
