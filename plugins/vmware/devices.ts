// Devices as they are asked for: controllers, disks and cards of a replica that is equal to its source.
import {
  type MoRef,
  typed,
  type VirtualDevice,
  type VirtualDeviceConfigSpec,
  type VirtualEthernetCard,
} from '../../adapters/vsphere/port.ts';
import { type Call, type DiskSpec, DrError, type MachineSpec, type NicId, type NicSpec, type PlaceId } from '../../core/contract/index.ts';
import { placeRef, vendorOf } from './machine.ts';
import type { Vcenter } from './vcenter.ts';

const RESERVED_SCSI_UNIT = 7;
const MIB = 2 ** 20;

/** vSphere takes memory in steps of 4 MiB; others have any number. */
export const memoryMB = ({ memoryBytes }: MachineSpec): number => Math.max(4, Math.ceil(memoryBytes / MIB / 4) * 4);

interface BusRow {
  readonly prefix: string;
  /** Places on one controller. */
  readonly units: number;
  readonly controllers: number;
}
const BUS: Readonly<Record<DiskSpec['bus'], BusRow>> = {
  scsi: { prefix: 'scsi', units: 16, controllers: 4 },
  virtio: { prefix: 'scsi', units: 16, controllers: 4 },
  sata: { prefix: 'sata', units: 30, controllers: 4 },
  nvme: { prefix: 'nvme', units: 15, controllers: 4 },
  ide: { prefix: 'ide', units: 2, controllers: 2 },
};

export interface PlacedDisk {
  readonly spec: DiskSpec;
  /** `scsi0:1` */
  readonly slot: string;
  readonly controller: string;
  readonly unitNumber: number;
}

/** Where each disk hangs: at the source's own place where that was VMware too, else one after the other, the boot disk first. */
export const placeDisks = (spec: MachineSpec, taken: ReadonlySet<string> = new Set()): PlacedDisk[] => {
  const used = new Set(taken);
  const known = vendorOf(spec).controllers ?? {};
  const order = [...spec.disks].sort((a, b) => Number(b.boot) - Number(a.boot));
  const own = (disk: DiskSpec): PlacedDisk | undefined => {
    const parts = /^((?:scsi|sata|nvme|ide)\d):(\d+)$/.exec(disk.slot);
    const controller = parts?.[1] ?? '';
    return Object.hasOwn(known, controller) && !used.has(disk.slot)
      ? { spec: disk, slot: disk.slot, controller, unitNumber: Number(parts?.[2]) }
      : undefined;
  };
  const next = (disk: DiskSpec): PlacedDisk => {
    const { prefix, units, controllers } = BUS[disk.bus];
    for (let bus = 0; bus < controllers; bus++) {
      for (let unit = 0; unit < units; unit++) {
        const slot = `${prefix}${bus}:${unit}`;
        if (used.has(slot) || (prefix === 'scsi' && unit === RESERVED_SCSI_UNIT)) continue;
        return { spec: disk, slot, controller: `${prefix}${bus}`, unitNumber: unit };
      }
    }
    // More than the bus can hold: SCSI takes most.
    if (prefix !== 'scsi') return next({ ...disk, bus: 'scsi' });
    throw new DrError('CAPABILITY_MISSING', `a machine of vSphere has no place for ${spec.disks.length} disks: 60 on SCSI`, {
      hint: 'protect the machine at a target of another kind, or join some of its disks',
      context: { disk: disk.id },
    });
  };
  const placed = new Map<DiskSpec, PlacedDisk>();
  for (const pick of [own, next]) {
    for (const disk of order) {
      if (placed.has(disk)) continue;
      const one = pick(disk);
      if (!one) continue;
      used.add(one.slot);
      placed.set(disk, one);
    }
  }
  return order.map((disk) => placed.get(disk)!);
};

const CONTROLLERS: Readonly<Record<string, string>> = {
  sata: 'VirtualAHCIController',
  nvme: 'VirtualNVMEController',
  ide: 'VirtualIDEController',
};

/** Windows has the driver of LSI Logic SAS and E1000E in the box, and not those of the paravirtual ones. */
const controllerType = (spec: MachineSpec, controller: string): string => {
  const own = vendorOf(spec).controllers?.[controller];
  if (own !== undefined) return own;
  const prefix = controller.slice(0, -1);
  return CONTROLLERS[prefix] ?? (spec.guest.family === 'windows' ? 'VirtualLsiLogicSASController' : 'ParaVirtualSCSIController');
};

/** Every machine has these two from the start. */
const BUILT_IN: Readonly<Record<string, number>> = { ide0: 200, ide1: 201 };

/** Controllers that are not there yet, and their keys in the same request: negative, as the API wants it for what is new. */
export const controllerChanges = (
  spec: MachineSpec,
  wanted: readonly string[],
  there: ReadonlyMap<string, number>,
): { readonly changes: VirtualDeviceConfigSpec[]; readonly keys: ReadonlyMap<string, number> } => {
  const keys = new Map<string, number>([...Object.entries(BUILT_IN), ...there]);
  const changes: VirtualDeviceConfigSpec[] = [];
  for (const controller of [...new Set(wanted)].sort()) {
    if (keys.has(controller)) continue;
    const key = -100 - changes.length;
    keys.set(controller, key);
    const $type = controllerType(spec, controller);
    const busNumber = Number(controller.slice(-1));
    const shared = /SCSI|LsiLogic|BusLogic/.test($type) ? { sharedBus: 'noSharing' } : {};
    changes.push({ operation: 'add', device: { $type, key, busNumber, ...shared } as unknown as VirtualDevice });
  }
  return { changes, keys };
};

/** `fileName`: where its file is to be, on the datastore of the machine. Thin: a replica takes room for what the source has written. */
export const diskAddition = (disk: PlacedDisk, controllerKey: number, fileName: string, key: number): VirtualDeviceConfigSpec => ({
  operation: 'add',
  fileOperation: 'create',
  device: typed('VirtualDisk', {
    key,
    controllerKey,
    unitNumber: disk.unitNumber,
    capacityInKB: Math.ceil(disk.spec.sizeBytes / 1024),
    capacityInBytes: disk.spec.sizeBytes,
    backing: typed('VirtualDiskFlatVer2BackingInfo', { fileName, diskMode: 'persistent', thinProvisioned: true }),
  }),
});

const CARDS: Readonly<Record<string, string>> = {
  vmxnet3: 'VirtualVmxnet3',
  vmxnet2: 'VirtualVmxnet2',
  vmxnet: 'VirtualVmxnet',
  e1000: 'VirtualE1000',
  e1000e: 'VirtualE1000e',
  pcnet32: 'VirtualPCNet32',
};

const cardType = ({ model = '' }: NicSpec, spec: MachineSpec): string =>
  CARDS[model] ?? (spec.guest.family === 'windows' ? 'VirtualE1000e' : 'VirtualVmxnet3');

/**
 * An address that is set by hand may not come from the ranges in which vCenter and hosts give out their own (00:50:56:40 and up, 00:0c:29):
 * such a card gets a new one.
 */
export const keepsAddress = (mac: string | undefined): mac is string =>
  mac !== undefined && !/^00:0c:29/i.test(mac) && !/^00:50:56:[4-9a-f]/i.test(mac) && /^([0-9a-f][02468ace])(:[0-9a-f]{2}){5}$/i.test(mac);

export interface Cable {
  readonly backing: VirtualEthernetCard['backing'];
  readonly connected: boolean;
}

/** How a card hangs on a place. Without one it needs the backing of some network all the same, and is not connected. */
export const cableTo = async (vcenter: Vcenter, to: PlaceId | 'disconnected', spare: MoRef | undefined, call: Call): Promise<Cable> => {
  const connected = to !== 'disconnected';
  const ref = connected ? placeRef(to) : spare;
  if (!ref) return { backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: '' }), connected };
  if (ref.type === 'DistributedVirtualPortgroup') {
    const { 'config.key': key, 'config.distributedVirtualSwitch': dvs } = await vcenter.props(
      ref,
      ['config.key', 'config.distributedVirtualSwitch'],
      call,
    );
    const { uuid } = await vcenter.props(dvs as MoRef, ['uuid'], call);
    const port = { switchUuid: String(uuid), portgroupKey: String(key) };
    return { backing: typed('VirtualEthernetCardDistributedVirtualPortBackingInfo', { port }), connected };
  }
  const { name, summary } = await vcenter.props(ref, ['name', 'summary'], call);
  const opaque = summary as { readonly opaqueNetworkId?: string; readonly opaqueNetworkType?: string } | undefined;
  if (ref.type === 'OpaqueNetwork') {
    const { opaqueNetworkId = '', opaqueNetworkType = '' } = opaque ?? {};
    return { backing: typed('VirtualEthernetCardOpaqueNetworkBackingInfo', { opaqueNetworkId, opaqueNetworkType }), connected };
  }
  return { backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: String(name), network: ref }), connected };
};

/** The network that a card without a cable names. The uplinks of a distributed switch are listed beside it and take no card. */
export const spareNetwork = async (vcenter: Vcenter, networks: readonly MoRef[], call: Call): Promise<MoRef | undefined> => {
  const plain = networks.find(({ type }) => type === 'Network');
  if (plain) return plain;
  for (const ref of networks) {
    const { name } = await vcenter.props(ref, ['name'], call);
    if (!isUplinks(ref, name)) return ref;
  }
  return undefined;
};

export const isUplinks = ({ type }: MoRef, name: unknown): boolean =>
  type === 'DistributedVirtualPortgroup' && String(name).includes('-DVUplinks-');

const connectable = (connected: boolean, now: boolean) => ({
  startConnected: connected,
  allowGuestControl: true,
  connected: connected && now,
});

export const cardAddition = (nic: NicSpec, spec: MachineSpec, cable: Cable, key: number): VirtualDeviceConfigSpec => ({
  operation: 'add',
  device: {
    $type: cardType(nic, spec),
    key,
    backing: cable.backing,
    connectable: connectable(cable.connected, false),
    ...(keepsAddress(nic.mac) ? { addressType: 'manual', macAddress: nic.mac } : { addressType: 'generated' }),
  } as VirtualDevice,
});

/** The card as it is, on another network. `running`: the cable is plugged or pulled now, else at the next start. */
export const cardChange = (card: VirtualEthernetCard, cable: Cable, running: boolean): VirtualDeviceConfigSpec => ({
  operation: 'edit',
  device: {
    $type: card.$type,
    key: card.key,
    controllerKey: card.controllerKey,
    unitNumber: card.unitNumber,
    // A host of an earlier version fails without what it has written itself.
    deviceInfo: card.deviceInfo,
    backing: cable.backing,
    connectable: connectable(cable.connected, running),
    addressType: card.addressType,
    macAddress: card.macAddress,
  } as VirtualDevice,
});

/** Only the cable: the network that the card names stays. */
export const pullCable = (card: VirtualEthernetCard, running: boolean): VirtualDeviceConfigSpec =>
  cardChange(card, { backing: card.backing, connected: false }, running);

export const removal = (device: VirtualDevice, deleteFile: boolean): VirtualDeviceConfigSpec => {
  const { $type, key, controllerKey, unitNumber, backing } = device;
  const capacity = $type === 'VirtualDisk' ? { capacityInKB: (device as { readonly capacityInKB?: number }).capacityInKB } : {};
  return {
    operation: 'remove',
    ...(deleteFile ? { fileOperation: 'destroy' as const } : {}),
    device: { $type, key, controllerKey, unitNumber, backing, ...capacity } as VirtualDevice,
  };
};

/** A card for each of the definition, on the place that it is given, else on none. */
export const cardChanges = async (
  vcenter: Vcenter,
  spec: MachineSpec,
  nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>,
  spare: MoRef | undefined,
  call: Call,
): Promise<VirtualDeviceConfigSpec[]> => {
  const changes: VirtualDeviceConfigSpec[] = [];
  for (const [index, nic] of spec.nics.entries()) {
    const cable = await cableTo(vcenter, nics.get(nic.id) ?? 'disconnected', spare, call);
    changes.push(cardAddition(nic, spec, cable, -400 - index));
  }
  return changes;
};
