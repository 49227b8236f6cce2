// A virtual machine of vSphere in the contract's neutral terms.
import type {
  CustomFieldStringValue,
  GuestNicInfo,
  MoRef,
  VirtualDevice,
  VirtualDisk,
  VirtualEthernetCard,
  VirtualMachineBootOptions,
  VirtualMachineBootOptionsBootableDiskDevice,
  VirtualSCSIController,
} from '../../adapters/vsphere/port.ts';
import type { DiskId, DiskSpec, Machine, MachineId, MachineSpec, NicId, NicSpec, PlaceId, PowerState } from '../../core/contract/index.ts';
import { fromVcenter } from './names.ts';
import type { Props } from './vcenter.ts';

/** Of one machine; narrow, because the whole of its configuration is ten times as much. */
export const SPEC_PATHS = [
  'name',
  'config.uuid',
  'config.guestId',
  'config.version',
  'config.firmware',
  'config.bootOptions',
  'config.hardware.numCPU',
  'config.hardware.memoryMB',
  'config.hardware.device',
];
export const MACHINE_PATHS = [
  ...SPEC_PATHS,
  'config.template',
  'config.managedBy',
  'runtime.powerState',
  'runtime.connectionState',
  'runtime.bootTime',
  'runtime.host',
  'guest.hostName',
  'guest.net',
  'guest.toolsRunningStatus',
  'parent',
  'customValue',
];

export const placeId = ({ type, value }: MoRef): PlaceId => `${type}:${value}` as PlaceId;
export const placeRef = (id: PlaceId): MoRef => {
  const colon = id.indexOf(':');
  return { type: id.slice(0, colon), value: id.slice(colon + 1) };
};

// ---- devices ---------------------------------------------------------------------------------------------------------

const BUSES: Readonly<Record<string, { readonly bus: DiskSpec['bus']; readonly prefix: string }>> = {
  ParaVirtualSCSIController: { bus: 'scsi', prefix: 'scsi' },
  VirtualLsiLogicController: { bus: 'scsi', prefix: 'scsi' },
  VirtualLsiLogicSASController: { bus: 'scsi', prefix: 'scsi' },
  VirtualBusLogicController: { bus: 'scsi', prefix: 'scsi' },
  VirtualSATAController: { bus: 'sata', prefix: 'sata' },
  VirtualAHCIController: { bus: 'sata', prefix: 'sata' },
  VirtualNVMEController: { bus: 'nvme', prefix: 'nvme' },
  VirtualIDEController: { bus: 'ide', prefix: 'ide' },
};

export interface Controller extends VirtualDevice {
  readonly busNumber: number;
  readonly sharedBus?: VirtualSCSIController['sharedBus'];
}

/** A disk with where it hangs: `scsi0:1`. */
export interface DiskDevice {
  readonly id: DiskId;
  readonly device: VirtualDisk;
  readonly controller: Controller | undefined;
  readonly slot: string;
  readonly sizeBytes: number;
  readonly fileName: string;
}

interface DiskBacking {
  readonly uuid?: string;
  readonly fileName?: string;
  readonly changeId?: string;
  readonly datastore?: MoRef;
}
export const backingOf = ({ backing }: VirtualDevice): DiskBacking => (backing ?? {}) as DiskBacking;

export const controllersOf = (devices: readonly VirtualDevice[]): Controller[] =>
  devices.filter((device): device is Controller => device.$type !== undefined && Object.hasOwn(BUSES, device.$type));

/** In the order of their slots. A server that gives no uuid for a disk (simulators) has machine and key instead. */
export const disksOf = (machine: string, devices: readonly VirtualDevice[]): DiskDevice[] => {
  const controllers = new Map(controllersOf(devices).map((controller) => [controller.key, controller]));
  const disks = devices
    .filter((device): device is VirtualDisk => device.$type === 'VirtualDisk')
    .map((device): DiskDevice => {
      const controller = controllers.get(device.controllerKey ?? -1);
      const { uuid, fileName = '' } = backingOf(device);
      const { prefix } = BUSES[controller?.$type ?? ''] ?? { prefix: 'disk' };
      return {
        id: (uuid ?? `${machine}/${device.key}`) as DiskId,
        device,
        controller,
        slot: `${prefix}${controller?.busNumber ?? 0}:${device.unitNumber ?? 0}`,
        sizeBytes: Number(device.capacityInBytes ?? Number(device.capacityInKB) * 1024),
        fileName,
      };
    });
  const rank = ({ controller, device }: DiskDevice): number => (controller?.busNumber ?? 0) * 1000 + (device.unitNumber ?? 0);
  return disks.sort((a, b) => a.slot.slice(0, 3).localeCompare(b.slot.slice(0, 3)) * 1e6 || rank(a) - rank(b));
};

const CARDS: Readonly<Record<string, string>> = {
  VirtualVmxnet3: 'vmxnet3',
  VirtualVmxnet2: 'vmxnet2',
  VirtualVmxnet: 'vmxnet',
  VirtualE1000: 'e1000',
  VirtualE1000e: 'e1000e',
  VirtualPCNet32: 'pcnet32',
  VirtualSriovEthernetCard: 'sriov',
};
export const isCard = (device: VirtualDevice): device is VirtualEthernetCard =>
  device.$type !== undefined && (Object.hasOwn(CARDS, device.$type) || (device as Partial<VirtualEthernetCard>).macAddress !== undefined);
export const cardsOf = (devices: readonly VirtualDevice[]): VirtualEthernetCard[] => devices.filter(isCard).sort((a, b) => a.key - b.key);

interface CardBacking {
  readonly network?: MoRef;
  readonly port?: { readonly portgroupKey?: string };
  readonly opaqueNetworkId?: string;
}

/** A card that is not connected at power-on is on no network, whatever its backing names. */
export const networkOf = (card: VirtualEthernetCard): MoRef | undefined => {
  const { startConnected = true, connected = false } = card.connectable ?? {};
  if (!startConnected && !connected) return undefined;
  const { network, port } = (card.backing ?? {}) as CardBacking;
  if (network) return network;
  return port?.portgroupKey === undefined ? undefined : { type: 'DistributedVirtualPortgroup', value: port.portgroupKey };
};

/** Also on a network that has no place here: what counts is the cable, now and at the next start. */
export const isPlugged = ({ connectable }: VirtualEthernetCard): boolean =>
  (connectable?.startConnected ?? true) || (connectable?.connected ?? false);

export const nicId = (machine: string, card: VirtualEthernetCard): NicId => `${machine}/${card.key}` as NicId;

// ---- the machine -----------------------------------------------------------------------------------------------------

const LINUX =
  /linux|ubuntu|debian|centos|rhel|redhat|sles|suse|oracle|fedora|coreos|photon|amazon|asianux|rocky|alma|mandriva|turbo|crxpod/i;

export const familyOf = (guestId: string): MachineSpec['guest']['family'] => {
  if (/^(win|windows)/i.test(guestId)) return 'windows';
  return LINUX.test(guestId) ? 'linux' : 'other';
};

/** Everything that another vCenter needs to make an equal machine; who reads `vendor` is this plugin alone. */
export interface Vendor {
  readonly guestId?: string;
  readonly hardwareVersion?: string;
  readonly biosUuid?: string;
  /** Type of each controller by its slot's beginning: `scsi0`. */
  readonly controllers?: Readonly<Record<string, string>>;
}

export const vendorOf = (spec: MachineSpec): Vendor => (spec.vendor?.['vmware'] ?? {}) as Vendor;

export const toSpec = (machine: string, props: Props): MachineSpec => {
  const devices = (props['config.hardware.device'] ?? []) as readonly VirtualDevice[];
  const boot = (props['config.bootOptions'] ?? {}) as VirtualMachineBootOptions;
  const guestId = String(props['config.guestId'] ?? 'otherGuest');
  const disks = disksOf(machine, devices);
  const bootKey = bootDiskKey(boot, disks);
  const controllers = Object.fromEntries(
    controllersOf(devices).map((controller) => [`${BUSES[controller.$type ?? '']?.prefix}${controller.busNumber}`, controller.$type ?? '']),
  );
  const vendor: Vendor = {
    guestId,
    hardwareVersion: String(props['config.version'] ?? ''),
    biosUuid: String(props['config.uuid'] ?? ''),
    controllers,
  };
  return {
    firmware: props['config.firmware'] === 'efi' ? 'uefi' : 'bios',
    ...(boot.efiSecureBootEnabled ? { secureBoot: true } : {}),
    ...(devices.some((device) => device.$type === 'VirtualTPM') ? { tpm: true } : {}),
    cpuCount: Number(props['config.hardware.numCPU'] ?? 1),
    memoryBytes: Number(props['config.hardware.memoryMB'] ?? 0) * 2 ** 20,
    guest: { family: familyOf(guestId), detail: guestId },
    disks: disks.map((disk) => toDiskSpec(disk, disk.device.key === bootKey)),
    nics: cardsOf(devices).map((card) => toNicSpec(machine, card)),
    vendor: { vmware: vendor },
  };
};

const bootDiskKey = ({ bootOrder = [] }: VirtualMachineBootOptions, disks: readonly DiskDevice[]): number | undefined => {
  const named = bootOrder
    .map((device) => (device as Partial<VirtualMachineBootOptionsBootableDiskDevice>).deviceKey)
    .find((key) => disks.some((disk) => disk.device.key === key));
  return named ?? disks[0]?.device.key;
};

const toDiskSpec = ({ id, slot, sizeBytes, controller, device }: DiskDevice, boot: boolean): DiskSpec => {
  const { datastore } = backingOf(device);
  const sector = device.virtualDiskFormat === 'native_4k' ? 4096 : 512;
  return {
    id,
    sizeBytes,
    bus: BUSES[controller?.$type ?? '']?.bus ?? 'scsi',
    slot,
    boot,
    logicalSectorBytes: sector,
    physicalSectorBytes: sector,
    ...(datastore ? { storage: placeId(datastore) } : {}),
  };
};

const toNicSpec = (machine: string, card: VirtualEthernetCard): NicSpec => {
  const network = networkOf(card);
  return {
    id: nicId(machine, card),
    model: CARDS[card.$type ?? ''] ?? card.$type ?? 'vmxnet3',
    ...(card.macAddress ? { mac: card.macAddress } : {}),
    ...(network ? { network: placeId(network) } : {}),
  };
};

const POWER: Readonly<Record<string, PowerState>> = { poweredOn: 'on', poweredOff: 'off', suspended: 'suspended' };

/** Of a machine whose host does not answer the state that vCenter last heard of is no knowledge. */
export const powerOf = (props: Props): PowerState =>
  (props['runtime.connectionState'] ?? 'connected') === 'connected' ? (POWER[String(props['runtime.powerState'])] ?? 'unknown') : 'unknown';

/** Extensions that replicate machines themselves (their keys as they register at vCenter). */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^com\.vmware\.vcDr/i, 'VMware Site Recovery Manager'],
  [/^com\.vmware\.vcHms|hbr/i, 'vSphere Replication'],
  [/zerto/i, 'Zerto'],
];

/** `labels`: where the machine is, and what custom attributes say of it. */
export const toMachine = (ref: MoRef, props: Props, labels: Readonly<Record<string, string>>): Machine => {
  const host = props['runtime.host'] as MoRef | undefined;
  const answers = props['guest.toolsRunningStatus'] === 'guestToolsRunning';
  const hostName = answers ? (props['guest.hostName'] as string | undefined) : undefined;
  const power = powerOf(props);
  const bootTime = props['runtime.bootTime'] as string | undefined;
  const manager = (props['config.managedBy'] as { readonly extensionKey?: string } | undefined)?.extensionKey ?? '';
  const elsewhere = OTHERS.find(([pattern]) => pattern.test(manager))?.[1];
  return {
    id: ref.value as MachineId,
    name: fromVcenter(String(props['name'] ?? ref.value)),
    power,
    spec: toSpec(ref.value, props),
    labels,
    ...(power === 'on' && bootTime !== undefined ? { bootedAt: new Date(bootTime).toISOString() } : {}),
    ...(host ? { host: placeId(host) } : {}),
    ...(hostName ? { guestName: hostName } : {}),
    addresses: answers ? addressesOf((props['guest.net'] ?? []) as readonly GuestNicInfo[]) : [],
    ...(elsewhere ? { protectedElsewhere: elsewhere } : {}),
  };
};

const addressesOf = (nics: readonly GuestNicInfo[]): string[] => [...new Set(nics.flatMap(({ ipAddress = [] }) => ipAddress))];

/** Custom attributes, by the names that the vCenter gave their keys. */
export const attributesOf = (props: Props, names: ReadonlyMap<number, string>): Record<string, string> =>
  Object.fromEntries(
    ((props['customValue'] ?? []) as readonly CustomFieldStringValue[]).flatMap(({ key, value }) => {
      const name = names.get(key);
      return name === undefined || !value ? [] : [[name, value]];
    }),
  );
