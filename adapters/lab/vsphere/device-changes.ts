// What a configuration spec asks of the devices: all of it is checked before any of it takes effect.
import type { DiskId } from '../../../core/contract/index.ts';
import type { VirtualController, VirtualDevice, VirtualDeviceConfigSpec, VirtualDisk, VirtualEthernetCard } from '../../vsphere/port.ts';
import { isKindOf } from '../../vsphere/vim25/schema.ts';
import type { EndpointRecord } from '../records.ts';
import { addFile, chainOf, dropLayer, filePath, freeDiskPath, isThere, layerAt, storageOfLayer } from './datastore.ts';
import {
  backingOf,
  diskKeyFor,
  flatBacking,
  freeKey,
  freeUnit,
  isCard,
  isController,
  isDisk,
  isIndependent,
  isReadOnly,
  isUnitOf,
  networkBacking,
  networkOf,
  type Writable,
} from './devices.ts';
import { assertOpens, assertUnheld } from './locks.ts';
import { VimFaultError } from './model.ts';
import { placeOf, refOf } from './objects.ts';
import { fileFault, parsePath, storageOf, type Vm, vcenterOf, type Where } from './vms.ts';

interface Plan {
  devices: VirtualDevice[];
  /** Keys of new controllers in the spec (negative ones, mostly) to those that they got. */
  readonly keys: Map<number, number>;
  readonly paths: Set<string>;
  readonly effects: (() => void)[];
}

type Change = { readonly spec: VirtualDeviceConfigSpec; readonly index: number };

const invalid = (type: string, index: number, more: object = {}): VimFaultError =>
  new VimFaultError(type, `Invalid configuration for device '${index}'.`, { deviceIndex: index, ...more });

/** Returns what makes it so; specFromDevices comes after it. Throws a fault, and then nothing has changed. */
export const planDevices = (where: Where, machine: Vm, specs: readonly VirtualDeviceConfigSpec[]): (() => void) => {
  const plan: Plan = { devices: [...machine.vm.devices], keys: new Map(), paths: new Set(), effects: [] };
  const changes = specs.map((spec, index) => ({ spec, index }));
  // What goes makes room first; a controller may stand behind the disk that needs it.
  const turn = ({ spec }: Change) => (spec.operation === 'remove' ? 0 : isController(spec.device) ? 1 : 2);
  for (const change of changes.toSorted((a, b) => turn(a) - turn(b))) planOne(where, machine, plan, change);
  return () => {
    for (const effect of plan.effects) effect();
    machine.vm.devices = plan.devices;
  };
};

const planOne = (where: Where, machine: Vm, plan: Plan, change: Change): void => {
  const { operation, device } = change.spec;
  if (operation === 'add') addDevice(where, machine, plan, change);
  else {
    const known = plan.devices.find((one) => one.key === device.key);
    if (!known || (device.$type !== undefined && device.$type !== 'VirtualDevice' && known.$type !== device.$type))
      throw invalid('InvalidDeviceSpec', change.index);
    if (operation === 'remove') removeDevice(where, machine, plan, change, known);
    else editDevice(where, machine, plan, change, known);
  }
};

const addDevice = (where: Where, machine: Vm, plan: Plan, change: Change): void => {
  const { device } = change.spec;
  if (isController(device)) addController(plan, change, device);
  else if (isDisk(device)) addDisk(where, machine, plan, change, device);
  else if (isCard(device)) addCard(where, machine, plan, change, device);
  else {
    const key = freeKey(plan.devices, device.$type === 'VirtualTPM' ? 11_000 : 13_000);
    plan.devices.push({
      ...device,
      key,
      ...(device.controllerKey === undefined ? {} : { controllerKey: plan.keys.get(device.controllerKey) ?? device.controllerKey }),
    });
  }
};

const FIRST_KEYS: readonly (readonly [string, number, number])[] = [
  ['VirtualSCSIController', 1000, 4],
  ['VirtualSATAController', 15_000, 4],
  ['VirtualNVMEController', 31_000, 4],
];

const addController = (plan: Plan, { index }: Change, device: VirtualController): void => {
  const row = FIRST_KEYS.find(([kind]) => isKindOf(device.$type ?? '', kind));
  if (!row) throw invalid('InvalidDeviceSpec', index);
  const [kind, first, most] = row;
  const taken = new Set(
    plan.devices.filter((one) => isController(one) && isKindOf(one.$type ?? '', kind)).map((one) => (one as VirtualController).busNumber),
  );
  let bus = device.busNumber;
  if (bus < 0) for (bus = 0; taken.has(bus); bus++);
  if (taken.has(bus) || bus >= most) throw invalid('InvalidDeviceSpec', index);
  plan.keys.set(device.key, first + bus);
  plan.devices.push({
    ...device,
    key: first + bus,
    busNumber: bus,
    controllerKey: 100,
    deviceInfo: { label: `${kind.slice(7, -10)} controller ${bus}`, summary: kind },
  } as VirtualController);
};

const addDisk = (where: Where, machine: Vm, plan: Plan, change: Change, device: VirtualDisk): void => {
  const { index, spec } = change;
  if (device.backing?.$type !== 'VirtualDiskFlatVer2BackingInfo') throw invalid('InvalidDeviceBacking', index);
  const controllerKey = plan.keys.get(device.controllerKey ?? 0) ?? device.controllerKey;
  const controller = plan.devices.filter(isController).find((one) => one.key === controllerKey);
  if (!controller) throw invalid('InvalidDeviceSpec', index);
  const unit = device.unitNumber === undefined || device.unitNumber < 0 ? freeUnit(plan.devices, controller) : device.unitNumber;
  const clash = plan.devices.some((one) => one.controllerKey === controller.key && one.unitNumber === unit);
  if (unit === undefined || clash || !isUnitOf(controller, unit)) throw invalid('InvalidDeviceSpec', index);
  const at = { key: diskKeyFor(plan.devices, controller, unit), controllerKey: controller.key, unitNumber: unit };
  const number = plan.devices.filter(isDisk).length + 1;
  const placed = { ...device, ...at, deviceInfo: { label: `Hard disk ${number}`, summary: device.deviceInfo?.summary ?? '' } };
  if (spec.fileOperation === 'create') createDisk(where, machine, plan, change, placed);
  else attachDisk(where, machine, plan, change, placed);
};

const sized = (disk: VirtualDisk, backing: object, sizeBytes: number): VirtualDisk => ({
  ...disk,
  backing: backing as NonNullable<VirtualDisk['backing']>,
  capacityInKB: Math.floor(sizeBytes / 1024),
  capacityInBytes: sizeBytes,
});

const createDisk = ({ estate, endpoint }: Where, machine: Vm, plan: Plan, { index }: Change, device: VirtualDisk): void => {
  const sizeBytes = Number(device.capacityInBytes ?? device.capacityInKB * 1024);
  if (!(sizeBytes > 0) || sizeBytes % 512 !== 0) throw invalid('InvalidDeviceSpec', index);
  const backing = backingOf(device);
  const path = newPath(endpoint, machine, plan, backing.fileName);
  const { storage } = parsePath(endpoint, path);
  const freeBytes = estate.freeBytes(endpoint, storage.id);
  if (!backing.thinProvisioned && sizeBytes > freeBytes) {
    throw new VimFaultError('NoDiskSpace', `Insufficient disk space on datastore '${storage.name}'.`, {
      file: path,
      datastore: storage.name,
    });
  }
  const uuid = (backing.uuid || estate.newDiskId()) as DiskId;
  if (plan.devices.some((one) => isDisk(one) && backingOf(one).uuid === uuid)) throw invalid('InvalidDeviceSpec', index);
  const made = {
    ...flatBacking({ path, datastore: refOf(storage), uuid, sizeBytes }),
    diskMode: backing.diskMode,
    thinProvisioned: backing.thinProvisioned ?? false,
  };
  plan.devices.push(sized(device, made, sizeBytes));
  plan.effects.push(() => {
    const layer = estate.createLayer(sizeBytes, storage.id).name;
    addFile(endpoint, path, { layer, uuid });
    machine.volumes[uuid] = layer;
  });
};

/** Where a new disk goes: the machine's folder unless the spec names a file, or at least a datastore. */
const newPath = (endpoint: EndpointRecord, machine: Vm, plan: Plan, asked: string): string => {
  let path = asked;
  if (!/\.vmdk$/.test(asked)) {
    const home = machine.vm.homePath.replace(/^\[[^\]]*\]\s*/, '');
    const folder = asked.trim() === '' ? machine.vm.homePath : filePath(parsePath(endpoint, asked).storage, home);
    path = freeDiskPath(endpoint, folder, plan.paths);
  } else if (isThere(vcenterOf(endpoint).files[asked]) || plan.paths.has(asked)) throw fileFault('FileAlreadyExists', asked);
  plan.paths.add(path);
  return path;
};

const attachDisk = (where: Where, machine: Vm, plan: Plan, { index }: Change, device: VirtualDisk): void => {
  const { estate, endpoint } = where;
  const { fileName, diskMode } = backingOf(device);
  const volume = layerAt(estate, endpoint, fileName);
  const uuid = (vcenterOf(endpoint).files[fileName]!.uuid ?? '') as DiskId;
  if (plan.devices.some((one) => isDisk(one) && backingOf(one).uuid === uuid)) throw invalid('InvalidDeviceSpec', index);
  const readOnly = diskMode === 'independent_nonpersistent';
  if (machine.power === 'on') assertOpens(where, machine, volume.name, readOnly);
  const datastore = refOf(storageOf(endpoint, storageOfLayer(estate, volume.name))!);
  const backing = { ...flatBacking({ path: fileName, datastore, uuid, sizeBytes: volume.sizeBytes }), diskMode };
  plan.devices.push(sized(device, backing, volume.sizeBytes));
  plan.effects.push(() => {
    machine.volumes[uuid] = volume.name;
    // A machine without tracking opens the disk without its change file, which fits the disk no more afterwards.
    if (!readOnly && !machine.vm.changeTrackingEnabled) estate.trackers.get(uuid)?.reset(estate.random.uuid());
  });
};

const removeDevice = (where: Where, machine: Vm, plan: Plan, { index, spec }: Change, known: VirtualDevice): void => {
  if (isController(known) && plan.devices.some((one) => one.controllerKey === known.key)) throw invalid('InvalidDeviceSpec', index);
  if (isController(known) && machine.power === 'on') throw invalid('InvalidDeviceOperation', index, { badOp: 'remove' });
  plan.devices = plan.devices.filter((one) => one !== known);
  if (!isDisk(known)) return;
  const { estate, endpoint } = where;
  const uuid = backingOf(known).uuid as DiskId;
  const top = machine.volumes[uuid]!;
  const kept = new Set(machine.vm.snapshots.flatMap((snapshot) => snapshot.disks.map((disk) => disk.layer)));
  const doomed =
    spec.fileOperation === 'destroy'
      ? chainOf(estate.layer(top).volume)
          .map(({ name }) => name)
          .filter((name) => !kept.has(name))
      : [];
  assertUnheld(where, doomed, machine);
  plan.effects.push(() => {
    delete machine.volumes[uuid];
    for (const layer of doomed) dropLayer(estate, endpoint, layer);
    if (doomed.length === 0) return;
    estate.trackers.delete(uuid);
    estate.caches.delete(uuid);
  });
};

const editDevice = (where: Where, machine: Vm, plan: Plan, change: Change, known: VirtualDevice): void => {
  const { device } = change.spec;
  const replace = (edited: VirtualDevice) => {
    plan.devices = plan.devices.map((one) => (one === known ? edited : one));
  };
  if (isDisk(known) && isDisk(device)) replace(editDisk(where, machine, plan, change, known));
  else if (isCard(known) && isCard(device)) replace(editCard(where, machine, change, known, device));
  else replace({ ...known, ...device, key: known.key });
};

/** Of the two fields the one that differs from the disk's own counts. */
const askedBytes = (known: VirtualDisk, { capacityInBytes, capacityInKB }: VirtualDisk): number => {
  if (capacityInBytes !== undefined && capacityInBytes !== known.capacityInBytes) return capacityInBytes;
  return capacityInKB === known.capacityInKB ? known.capacityInBytes! : capacityInKB * 1024;
};

const editDisk = (where: Where, machine: Vm, plan: Plan, { index, spec }: Change, known: VirtualDisk): VirtualDisk => {
  const { estate } = where;
  const device = spec.device as VirtualDisk;
  const uuid = backingOf(known).uuid as DiskId;
  const asked = askedBytes(known, device);
  if (backingOf(device)?.fileName !== undefined && backingOf(device).fileName !== backingOf(known).fileName)
    throw invalid('InvalidDeviceSpec', index);
  const diskMode = backingOf(device)?.diskMode ?? backingOf(known).diskMode;
  if (diskMode !== backingOf(known).diskMode && machine.power === 'on') throw invalid('InvalidDeviceOperation', index, { badOp: 'edit' });
  if (asked < known.capacityInBytes!) throw invalid('InvalidDeviceSpec', index);
  if (asked > known.capacityInBytes!) {
    const top = machine.volumes[uuid]!;
    const { volume } = estate.layer(top);
    // A disk with snapshots keeps its size.
    if (volume.parent || isReadOnly(known) || asked % 512 !== 0) throw invalid('InvalidDeviceSpec', index);
    assertUnheld(where, [top], machine);
    plan.effects.push(() => {
      volume.grow(asked);
      // The change file is made for one size.
      estate.trackers.get(uuid)?.reset(estate.random.uuid());
    });
  }
  return sized(known, { ...backingOf(known), diskMode }, asked);
};

const addCard = (where: Where, machine: Vm, plan: Plan, { index }: Change, device: VirtualEthernetCard): void => {
  const { estate } = where;
  const key = freeKey(plan.devices, 4000);
  const number = plan.devices.filter(isCard).length;
  const given = device.macAddress && device.addressType !== 'generated';
  const mac = given
    ? device.macAddress
    : ['00', '50', '56', ...[0, 0, 0].map(() => estate.random.below(128).toString(16).padStart(2, '0'))].join(':');
  const connect = device.connectable ?? { startConnected: true, allowGuestControl: true, connected: true };
  plan.devices.push({
    ...device,
    key,
    controllerKey: 100,
    unitNumber: 7 + number,
    deviceInfo: { label: `Network adapter ${number + 1}`, summary: '' },
    backing: cardBacking(where, device, index),
    connectable: { ...connect, connected: machine.power === 'on' && connect.connected, status: 'untried' },
    macAddress: mac,
    addressType: given ? 'manual' : 'generated',
  } as VirtualEthernetCard);
};

const editCard = (
  where: Where,
  machine: Vm,
  { index }: Change,
  known: VirtualEthernetCard,
  device: VirtualEthernetCard,
): VirtualEthernetCard => {
  const edited: Writable<VirtualEthernetCard> = { ...known };
  if (device.backing) edited.backing = cardBacking(where, device, index);
  if (device.macAddress) {
    if (device.macAddress !== known.macAddress && machine.power === 'on') throw invalid('InvalidDeviceOperation', index, { badOp: 'edit' });
    edited.macAddress = device.macAddress;
  }
  if (device.connectable) edited.connectable = { ...device.connectable, connected: machine.power === 'on' && device.connectable.connected };
  return edited;
};

const cardBacking = ({ endpoint }: Where, card: VirtualEthernetCard, index: number): NonNullable<VirtualEthernetCard['backing']> => {
  if (card.backing?.$type !== 'VirtualEthernetCardNetworkBackingInfo') throw invalid('InvalidDeviceBacking', index);
  const ref = networkOf(card);
  const { deviceName } = card.backing as ReturnType<typeof networkBacking>;
  const place = ref ? placeOf(endpoint, ref) : endpoint.places.find((one) => one.kind === 'network' && one.name === deviceName);
  if (!place) throw invalid('InvalidDeviceBacking', index);
  return networkBacking({ ref: refOf(place), name: place.name });
};

/** Disks that a snapshot of the machine takes in. */
export const snapshotDisks = (machine: Vm): VirtualDisk[] => machine.vm.devices.filter(isDisk).filter((disk) => !isIndependent(disk));
