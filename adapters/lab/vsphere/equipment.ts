// What a vCenter knows of a machine beyond the estate, and how both stay equal, whichever side changes.
import type { DiskId, DiskSpec, NicId, NicSpec, PlaceId } from '../../../core/contract/index.ts';
import type { MoRef, VirtualDevice, VirtualDisk, VirtualEthernetCard } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord, MachineRecord } from '../records.ts';
import { addFile, filePath, freeDiskPath, freeFolder, pathOf } from './datastore.ts';
import {
  backingOf,
  isCard,
  isController,
  isDisk,
  networkBacking,
  networkOf,
  newCard,
  newDisk,
  scsiController,
  standardDevices,
  type Writable,
} from './devices.ts';
import type { VmRecord } from './model.ts';
import { notFound, refOf } from './objects.ts';
import { findVm, isVm, storageOf, type Vm, vcenterOf, type Where } from './vms.ts';

const GUEST_IDS = { windows: 'windows2019srv_64Guest', linux: 'debian12_64Guest', other: 'otherGuest64' } as const;

export const familyOf = (guestId: string): 'windows' | 'linux' | 'other' => {
  if (/^win/.test(guestId)) return 'windows';
  return /^(other(Guest|Guest64)|dos|solaris|freebsd|darwin|netware|vmkernel)/.test(guestId) ? 'other' : 'linux';
};

export const newVmRecord = (estate: Estate, homePath: string, guestId: string): VmRecord => ({
  uuid: estate.random.uuid(),
  instanceUuid: estate.random.uuid(),
  changeVersion: 1,
  annotation: '',
  extraConfig: {},
  hardwareVersion: 'vmx-19',
  guestId,
  changeTrackingEnabled: false,
  devices: standardDevices(),
  snapshots: [],
  consolidationNeeded: false,
  homePath,
});

/** Gives a machine of the estate its place in the vCenter. The ids of its cards become what the API calls them. */
export const equipMachine = (estate: Estate, endpoint: EndpointRecord, machine: MachineRecord): void => {
  if (machine.vm) return;
  const storage = storageOf(endpoint, machine.spec.disks[0]?.storage) ?? endpoint.places.find((place) => place.kind === 'storage')!;
  const homePath = filePath(storage, freeFolder(endpoint, storage, machine.name));
  const vm = newVmRecord(estate, homePath, machine.spec.guest.detail ?? GUEST_IDS[machine.spec.guest.family]);
  addFile(endpoint, vmxPath(vm), { text: '' });
  machine.vm = vm;
  machine.spec = {
    ...machine.spec,
    nics: machine.spec.nics.map((nic, index) => ({ ...nic, id: `${machine.id}/${4000 + index}` as NicId })),
  };
  vm.devices.push(scsiController(0));
  syncDevices(estate, endpoint, machine as Vm);
  vm.changeVersion = 1;
};

export const vmxPath = ({ homePath }: VmRecord): string => `${homePath}/${homePath.replace(/^\[[^\]]*\]\s*/, '').replace(/^.*\//, '')}.vmx`;

/** The machine of a reference, with its devices equal to what the estate says. */
export const machineAt = (where: Where, ref: MoRef): Vm => {
  const machine = findVm(where, ref) ?? notFound(ref);
  return inStep(where.estate, where.endpoint, machine);
};

/** The lab's control changes a machine behind the vCenter's back: this is where the vCenter notices. */
export const inStep = (estate: Estate, endpoint: EndpointRecord, machine: Vm): Vm => {
  const before = machine.vm.changeVersion;
  followPower(machine);
  if (!isInStep(endpoint, machine)) syncDevices(estate, endpoint, machine);
  if (machine.vm.changeVersion !== before) estate.revision++;
  return machine;
};

/** Cards connect at each start as they are told to, and no card is connected without power. */
const followPower = (machine: Vm): void => {
  const boot = machine.power === 'on' ? machine.bootedAtMs : undefined;
  const { vm } = machine;
  if (vm.connectedAtMs === boot) return;
  if (boot === undefined) delete vm.connectedAtMs;
  else vm.connectedAtMs = boot;
  vm.devices = vm.devices.map((device) => {
    if (!device.connectable) return device;
    const connected = boot !== undefined && device.connectable.startConnected;
    return { ...device, connectable: { ...device.connectable, connected, status: connected ? 'ok' : 'untried' } };
  });
  machine.spec = { ...machine.spec, nics: nicsOf(machine, vm.devices.filter(isCard)) };
};

const isInStep = (endpoint: EndpointRecord, { spec, vm, volumes }: Vm): boolean => {
  const { files } = vcenterOf(endpoint);
  const disks = vm.devices.filter(isDisk);
  const cards = vm.devices.filter(isCard);
  return (
    disks.length === spec.disks.length &&
    cards.length === spec.nics.length &&
    disks.every((disk) => {
      const want = spec.disks.find((one) => one.id === backingOf(disk).uuid);
      const file = files[backingOf(disk).fileName];
      return want?.sizeBytes === disk.capacityInBytes && file !== undefined && (file.layer ?? volumes[want!.id]) === volumes[want!.id];
    }) &&
    cards.every((card, index) => reaches(card) === spec.nics[index]!.network)
  );
};

/** The network that a card reaches now, or would after a start. */
const reaches = (card: VirtualEthernetCard): PlaceId | undefined =>
  card.connectable?.connected || card.connectable?.startConnected ? (networkOf(card)?.value as PlaceId | undefined) : undefined;

const syncDevices = (estate: Estate, endpoint: EndpointRecord, machine: Vm): void => {
  const { vm, spec } = machine;
  const wanted = new Set<string>(spec.disks.map((disk) => disk.id));
  const { files } = vcenterOf(endpoint);
  for (const { backing } of vm.devices.filter(isDisk)) {
    const { uuid = '', fileName } = backing as ReturnType<typeof backingOf>;
    if (!wanted.has(uuid) && !estate.layers.has(files[fileName]?.layer ?? '')) delete files[fileName];
  }
  vm.devices = vm.devices.filter((device) => !isDisk(device) || wanted.has(backingOf(device).uuid ?? ''));
  for (const disk of spec.disks) syncDisk(estate, endpoint, machine, disk);
  syncCards(endpoint, machine);
  vm.changeVersion++;
};

const syncDisk = (estate: Estate, endpoint: EndpointRecord, machine: Vm, disk: DiskSpec): void => {
  const { vm } = machine;
  const vcenter = vcenterOf(endpoint);
  const layer = machine.volumes[disk.id];
  if (layer === undefined) return;
  let path = pathOf(vcenter, layer);
  if (path === undefined) {
    path = freeDiskPath(endpoint, vm.homePath);
    addFile(endpoint, path, { layer, uuid: disk.id });
  }
  const known = vm.devices.find((device): device is VirtualDisk => isDisk(device) && backingOf(device).uuid === disk.id);
  if (!known) {
    const datastore = refOf(storageOf(endpoint, estate.layer(layer).storage)!);
    vm.devices.push(...newDisk(vm.devices, { path, datastore, uuid: disk.id, sizeBytes: disk.sizeBytes }));
    return;
  }
  const resized: VirtualDisk = {
    ...known,
    backing: { ...backingOf(known), fileName: path } as VirtualDisk['backing'],
    capacityInKB: Math.floor(disk.sizeBytes / 1024),
    capacityInBytes: disk.sizeBytes,
  };
  vm.devices = vm.devices.map((device) => (device === known ? resized : device));
};

const syncCards = (endpoint: EndpointRecord, { vm, spec }: Vm): void => {
  const cards = vm.devices.filter(isCard);
  const others = vm.devices.filter((device) => !isCard(device));
  const kept = spec.nics.map((nic, index): VirtualDevice => {
    const place = endpoint.places.find((one) => one.id === nic.network);
    const network = place && { ref: refOf(place), name: place.name };
    const card = cards[index];
    if (!card) return newCard([...others, ...cards.slice(0, index)], { mac: nic.mac ?? '', network, connected: place !== undefined });
    if (reaches(card) === nic.network) return card;
    const connect = {
      ...card.connectable!,
      startConnected: network !== undefined,
      connected: network !== undefined && vm.connectedAtMs !== undefined,
    };
    return { ...card, ...(network ? { backing: networkBacking(network) } : {}), connectable: connect };
  });
  vm.devices = [...others, ...withKeys(others, kept)];
};

/** Cards that were made in one go have the same first free key. */
const withKeys = (others: readonly VirtualDevice[], cards: readonly VirtualDevice[]): VirtualDevice[] => {
  const taken = new Set(others.map((one) => one.key));
  return cards.map((card) => {
    const own: Writable<VirtualDevice> = { ...card };
    while (taken.has(own.key)) own.key++;
    taken.add(own.key);
    return own;
  });
};

/** The other direction, after the vCenter has changed the devices. */
export const specFromDevices = (estate: Estate, machine: Vm): void => {
  const { vm } = machine;
  const disks = vm.devices.filter(isDisk).map((disk, index): DiskSpec => {
    const id = (backingOf(disk).uuid ?? '') as DiskId;
    const before = machine.spec.disks.find((one) => one.id === id);
    const controller = vm.devices.filter(isController).find((one) => one.key === disk.controllerKey);
    return {
      logicalSectorBytes: before?.logicalSectorBytes ?? 512,
      physicalSectorBytes: before?.physicalSectorBytes ?? 4096,
      id,
      sizeBytes: disk.capacityInBytes!,
      bus: busOf(controller?.$type ?? ''),
      slot: `${controller?.busNumber ?? 0}:${disk.unitNumber ?? 0}`,
      boot: vm.bootDiskKey === undefined ? index === 0 : vm.bootDiskKey === disk.key,
      storage: estate.layer(machine.volumes[id]!).storage,
    };
  });
  machine.spec = { ...machine.spec, disks, nics: nicsOf(machine, vm.devices.filter(isCard)) };
};

const busOf = (controller: string): DiskSpec['bus'] => {
  if (controller === 'VirtualIDEController') return 'ide';
  if (controller === 'VirtualNVMEController') return 'nvme';
  return controller === 'VirtualAHCIController' ? 'sata' : 'scsi';
};

const MODELS: Readonly<Record<string, string>> = { VirtualVmxnet3: 'vmxnet3', VirtualE1000: 'e1000', VirtualE1000e: 'e1000e' };

const nicsOf = (machine: Vm, cards: readonly VirtualEthernetCard[]): NicSpec[] =>
  cards.map((card): NicSpec => {
    const id = `${machine.id}/${card.key}` as NicId;
    const before = machine.spec.nics[cards.indexOf(card)];
    const network = reaches(card);
    return {
      id: before && !before.id.startsWith(`${machine.id}/`) ? before.id : id,
      ...(card.macAddress ? { mac: card.macAddress } : {}),
      model: MODELS[card.$type ?? ''] ?? 'vmxnet2',
      ...(network === undefined ? {} : { network }),
    };
  });

/** Every machine of the endpoint that the vCenter does not know yet. */
export const equipMachines = (estate: Estate, endpoint: EndpointRecord): void => {
  for (const machine of estate.machines.values()) {
    if (machine.endpoint === endpoint.name && !isVm(machine)) equipMachine(estate, endpoint, machine);
  }
};
