// The virtual devices of a machine as a vCenter shows them.
import type {
  MoRef,
  VirtualController,
  VirtualDevice,
  VirtualDisk,
  VirtualDiskFlatVer2BackingInfo,
  VirtualEthernetCard,
  VirtualEthernetCardNetworkBackingInfo,
} from '../../vsphere/port.ts';
import { typed } from '../../vsphere/vim25/encode.ts';
import { isKindOf } from '../../vsphere/vim25/schema.ts';

export type Writable<T> = { -readonly [K in keyof T]: T[K] };

export const isDisk = (device: VirtualDevice): device is VirtualDisk => device.$type === 'VirtualDisk';
export const isCard = (device: VirtualDevice): device is VirtualEthernetCard => isKindOf(device.$type ?? '', 'VirtualEthernetCard');
export const isController = (device: VirtualDevice): device is VirtualController => isKindOf(device.$type ?? '', 'VirtualController');

export const backingOf = (disk: VirtualDisk): VirtualDiskFlatVer2BackingInfo => disk.backing as VirtualDiskFlatVer2BackingInfo;
export const networkOf = (card: VirtualEthernetCard): MoRef | undefined =>
  card.backing?.$type === 'VirtualEthernetCardNetworkBackingInfo'
    ? (card.backing as VirtualEthernetCardNetworkBackingInfo).network
    : undefined;

/** What is attached so takes no part in snapshots. */
export const isIndependent = (disk: VirtualDisk): boolean => backingOf(disk).diskMode.startsWith('independent_');
export const isReadOnly = (disk: VirtualDisk): boolean => backingOf(disk).diskMode === 'independent_nonpersistent';

const SCSI_CONTROLLERS = 4;
/** The controller itself answers at 7. */
const RESERVED_UNIT = 7;
/** A paravirtual controller takes 64 from hardware version 14 on, the others 16. */
const unitsOf = (controller: VirtualController): number => {
  if (controller.$type === 'ParaVirtualSCSIController') return 64;
  if (controller.$type === 'VirtualIDEController') return 2;
  return isKindOf(controller.$type ?? '', 'VirtualSATAController') ? 30 : 16;
};

export const isUnitOf = (controller: VirtualController, unit: number): boolean =>
  unit >= 0 && unit < unitsOf(controller) && !(isKindOf(controller.$type ?? '', 'VirtualSCSIController') && unit === RESERVED_UNIT);

/** The lowest unit that nothing has; undefined when the controller is full. */
export const freeUnit = (devices: readonly VirtualDevice[], controller: VirtualController): number | undefined => {
  const taken = new Set(devices.filter((one) => one.controllerKey === controller.key).map((one) => one.unitNumber));
  for (let unit = 0; unit < unitsOf(controller); unit++) if (isUnitOf(controller, unit) && !taken.has(unit)) return unit;
  return undefined;
};

export const freeKey = (devices: readonly VirtualDevice[], from: number): number => {
  const taken = new Set(devices.map((one) => one.key));
  let key = from;
  while (taken.has(key)) key++;
  return key;
};

export const diskKeyFor = (devices: readonly VirtualDevice[], controller: VirtualController, unit: number): number =>
  freeKey(devices, (isKindOf(controller.$type ?? '', 'VirtualSCSIController') ? 2000 : 3000) + controller.busNumber * 16 + unit);

const described = (label: string, summary: string) => ({ deviceInfo: { label, summary } });

/** What every machine has without being asked. */
export const standardDevices = (): VirtualDevice[] => [
  typed('VirtualIDEController', { key: 200, ...described('IDE 0', 'IDE 0'), busNumber: 0 }),
  typed('VirtualIDEController', { key: 201, ...described('IDE 1', 'IDE 1'), busNumber: 1 }),
  typed('VirtualPS2Controller', { key: 300, ...described('PS2 controller 0', 'PS2 controller 0'), busNumber: 0 }),
  typed('VirtualPCIController', { key: 100, ...described('PCI controller 0', 'PCI controller 0'), busNumber: 0 }),
  typed('VirtualSIOController', { key: 400, ...described('SIO controller 0', 'SIO controller 0'), busNumber: 0 }),
  typed('VirtualKeyboard', { key: 600, ...described('Keyboard', 'Keyboard'), controllerKey: 300, unitNumber: 0 }),
  typed('VirtualPointingDevice', {
    key: 700,
    ...described('Pointing device', 'Pointing device; Device'),
    controllerKey: 300,
    unitNumber: 1,
  }),
  typed('VirtualMachineVideoCard', {
    key: 500,
    ...described('Video card', 'Video card'),
    controllerKey: 100,
    unitNumber: 0,
    videoRamSizeInKB: 4096,
    numDisplays: 1,
    useAutoDetect: false,
  }),
  typed('VirtualMachineVMCIDevice', {
    key: 12_000,
    ...described(
      'VMCI device',
      'Device on the virtual machine PCI bus that provides support for the virtual machine communication interface',
    ),
    controllerKey: 100,
    unitNumber: 17,
    id: -1,
    allowUnrestrictedCommunication: false,
    filterEnable: true,
  }),
];

export const scsiController = (busNumber: number): VirtualController =>
  typed('ParaVirtualSCSIController', {
    key: 1000 + busNumber,
    ...described(`SCSI controller ${busNumber}`, 'VMware paravirtual SCSI'),
    controllerKey: 100,
    unitNumber: 3 + busNumber,
    busNumber,
    hotAddRemove: true,
    sharedBus: 'noSharing',
    scsiCtlrUnitNumber: RESERVED_UNIT,
  });

export interface DiskShape {
  readonly path: string;
  readonly datastore: MoRef;
  readonly uuid: string;
  readonly sizeBytes: number;
}

/** A disk at the first free place of the machine's SCSI controllers; with it another controller where all are full. */
export const newDisk = (devices: readonly VirtualDevice[], shape: DiskShape): VirtualDevice[] => {
  for (let bus = 0; bus < SCSI_CONTROLLERS; bus++) {
    const known = devices.find((one) => isController(one) && isKindOf(one.$type ?? '', 'VirtualSCSIController') && one.busNumber === bus);
    const controller = (known as VirtualController | undefined) ?? scsiController(bus);
    const unit = freeUnit(devices, controller);
    if (unit === undefined) continue;
    const number = devices.filter(isDisk).length + 1;
    const disk = typed('VirtualDisk', {
      key: diskKeyFor(devices, controller, unit),
      ...described(`Hard disk ${number}`, `${Math.floor(shape.sizeBytes / 1024)} KB`),
      backing: flatBacking(shape),
      controllerKey: controller.key,
      unitNumber: unit,
      capacityInKB: Math.floor(shape.sizeBytes / 1024),
      capacityInBytes: shape.sizeBytes,
    });
    return known ? [disk] : [controller, disk];
  }
  throw new Error('a machine has no place for another disk');
};

export const flatBacking = ({ path, datastore, uuid }: DiskShape): VirtualDiskFlatVer2BackingInfo & { readonly $type: string } =>
  typed('VirtualDiskFlatVer2BackingInfo', {
    fileName: path,
    datastore,
    diskMode: 'persistent',
    split: false,
    writeThrough: false,
    thinProvisioned: true,
    eagerlyScrub: false,
    uuid,
    sharing: 'sharingNone',
  });

export interface CardShape {
  readonly mac: string;
  readonly network: { readonly ref: MoRef; readonly name: string } | undefined;
  readonly connected: boolean;
}

export const newCard = (devices: readonly VirtualDevice[], { mac, network, connected }: CardShape): VirtualDevice => {
  const number = devices.filter(isCard).length;
  return typed('VirtualVmxnet3', {
    key: freeKey(devices, 4000),
    ...described(`Network adapter ${number + 1}`, network?.name ?? 'none'),
    backing: networkBacking(network),
    connectable: { startConnected: connected, allowGuestControl: true, connected: false, status: 'untried' },
    controllerKey: 100,
    unitNumber: 7 + number,
    addressType: 'assigned',
    macAddress: mac,
    wakeOnLanEnabled: true,
  });
};

export const networkBacking = (
  network: { readonly ref: MoRef; readonly name: string } | undefined,
): VirtualEthernetCardNetworkBackingInfo & { readonly $type: string } =>
  typed('VirtualEthernetCardNetworkBackingInfo', {
    deviceName: network?.name ?? '',
    useAutoDetect: false,
    ...(network ? { network: network.ref } : {}),
  });
