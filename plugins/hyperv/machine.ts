// A machine as the host's objects show it, in neutral terms. Sources: Hyper-V module of Windows Server 2016 to 2025.
import type { PsRow } from '../../adapters/powershell/port.ts';
import type { DiskId, DiskSpec, Machine, MachineId, MachineSpec, NicId, NicSpec, PlaceId, PowerState } from '../../core/contract/index.ts';
import { guestOf } from './guest.ts';
import { labelsIn, readable } from './notes.ts';
import { flag, maybeNumber, member, members, number, text, texts } from './rows.ts';
import { vendorFrom } from './vendor.ts';

export const VM = [
  'Id',
  'Name',
  'State',
  'Generation',
  'Version',
  'ProcessorCount',
  'MemoryStartup',
  'MemoryMinimum',
  'MemoryMaximum',
  'DynamicMemoryEnabled',
  'OperationalStatus',
  'ReplicationState',
  'ReplicationMode',
  'Path',
  'Notes',
  'Uptime',
  'AutomaticStartAction',
] as const;
export const DRIVE = [
  'VMId',
  'Path',
  'DiskNumber',
  'ControllerType',
  'ControllerNumber',
  'ControllerLocation',
  'SupportPersistentReservations?',
] as const;
export const VHD = [
  'Path',
  'VhdFormat',
  'VhdType',
  'Size',
  'LogicalSectorSize',
  'PhysicalSectorSize',
  'ParentPath',
  'DiskIdentifier',
  'Attached',
  'DiskNumber?',
] as const;
export const ADAPTER = ['Id', 'VMId', 'Name', 'MacAddress', 'SwitchName', 'IPAddresses', 'Connected', 'IsLegacy'] as const;
export const VLAN = ['ParentAdapter.Id', 'ParentAdapter.VMId', 'OperationMode', 'AccessVlanId'] as const;
export const FIRMWARE = ['VMId', 'SecureBoot', 'SecureBootTemplate', 'BootOrder.Device.Path?'] as const;
export const KVP = ['SystemName', 'GuestIntrinsicExchangeItems'] as const;
export const SECURITY = ['VMId', 'TpmEnabled'] as const;

/** The objects about one machine. `vhds` by lower-case path: Windows does not tell case apart. */
export interface MachineRows {
  readonly host: string;
  readonly vm: PsRow;
  readonly drives: readonly PsRow[];
  readonly vhds: ReadonlyMap<string, PsRow>;
  readonly adapters: readonly PsRow[];
  readonly vlans: readonly PsRow[];
  readonly firmware: PsRow | undefined;
  readonly security: PsRow | undefined;
  /** What answers for the guest. */
  readonly exchange: PsRow | undefined;
}

/** A virtual disk of a machine and where it hangs. */
export interface Drive {
  readonly id: DiskId;
  readonly path: string;
  readonly sizeBytes: number;
  readonly identifier: string;
  readonly controller: 'IDE' | 'SCSI' | 'PMEM';
  readonly number: number;
  readonly location: number;
  readonly vhd: PsRow;
}

const STATES: Readonly<Record<string, PowerState>> = {
  Off: 'off',
  OffCritical: 'off',
  Saved: 'suspended',
  SavedCritical: 'suspended',
  FastSaved: 'suspended',
  FastSavedCritical: 'suspended',
  Paused: 'suspended',
  PausedCritical: 'suspended',
  Running: 'on',
  RunningCritical: 'on',
  Starting: 'on',
  StartingCritical: 'on',
  Stopping: 'on',
  StoppingCritical: 'on',
  Reset: 'on',
  ResetCritical: 'on',
  Resuming: 'on',
  ResumingCritical: 'on',
  Pausing: 'on',
  PausingCritical: 'on',
  Saving: 'on',
  SavingCritical: 'on',
};

/** What is in between counts as running: its disks are written. */
export const powerOf = (vm: PsRow): PowerState => STATES[member(vm, 'State')] ?? 'unknown';

export const machineIdOf = (vm: PsRow): MachineId => text(vm, 'Id').toLowerCase() as MachineId;

/** The identifier follows the disk through checkpoints, moves and renames, but copies of one file share it: only with its machine is it one of a kind. */
export const diskIdOf = (machine: MachineId, identifier: string): DiskId => `${machine}/${identifier.toLowerCase()}` as DiskId;

/** `Microsoft:MACHINE\\CARD`; what comes after the machine is stable for the card's life. */
export const nicIdOf = (machine: MachineId, adapter: PsRow): NicId =>
  `${machine}/${(text(adapter, 'Id').split('\\').at(-1) ?? '').toLowerCase()}` as NicId;

export const hostPlace = (host: string): PlaceId => `host/${host.toLowerCase()}` as PlaceId;
/** By its name: hosts of a cluster have one switch each that stands for the same network. */
export const networkPlace = (switchName: string): PlaceId => `network/${switchName}` as PlaceId;
/** `owner` is empty for storage that the hosts share. */
export const storagePlace = (owner: string, root: string): PlaceId => `storage/${owner.toLowerCase()}/${root}` as PlaceId;

export const drivesOf = ({ vm, drives, vhds }: Pick<MachineRows, 'vm' | 'drives' | 'vhds'>): Drive[] =>
  drives
    .flatMap((row): Drive[] => {
      const vhd = vhds.get(text(row, 'Path').toLowerCase());
      if (!vhd) return [];
      const identifier = text(vhd, 'DiskIdentifier').toLowerCase();
      return [
        {
          id: diskIdOf(machineIdOf(vm), identifier),
          path: text(row, 'Path'),
          sizeBytes: number(vhd, 'Size'),
          identifier,
          controller: member(row, 'ControllerType') as Drive['controller'],
          number: number(row, 'ControllerNumber'),
          location: number(row, 'ControllerLocation'),
          vhd,
        },
      ];
    })
    .toSorted(byPlace);

/** IDE before SCSI, as a generation 1 machine boots. */
const byPlace = (a: Drive, b: Drive): number => a.controller.localeCompare(b.controller) || a.number - b.number || a.location - b.location;

export const slotOf = ({ controller, number: at, location }: Pick<Drive, 'controller' | 'number' | 'location'>): string =>
  `${controller.toLowerCase()}${at}:${location}`;

const sector = (row: PsRow, name: string): 512 | 4096 => (number(row, name) === 4096 ? 4096 : 512);

/** The slot of the first disk in the firmware's order; without one, or on generation 1, of the first by its place. */
const bootSlotOf = (rows: MachineRows): string | undefined => {
  const { vm, firmware } = rows;
  const drives = drivesOf(rows);
  const order = number(vm, 'Generation') === 2 && firmware ? texts(firmware, 'BootOrder.Device.Path') : [];
  const byPath = new Map(drives.map((drive) => [drive.path.toLowerCase(), drive]));
  const boot = order.map((path) => byPath.get(path.toLowerCase())).find((drive) => drive !== undefined) ?? drives[0];
  return boot && slotOf(boot);
};

/** `drives`: those of a checkpoint, whose files are other ones than the machine's; they hang where the machine's do. */
export const specOf = (
  rows: MachineRows,
  storageOf: (path: string) => PlaceId | undefined,
  drives: readonly Drive[] = drivesOf(rows),
): MachineSpec => {
  const { vm, adapters, firmware, security, exchange } = rows;
  const id = machineIdOf(vm);
  const boot = bootSlotOf(rows);
  return {
    firmware: number(vm, 'Generation') === 2 ? 'uefi' : 'bios',
    ...(firmware ? { secureBoot: flag(firmware, 'SecureBoot') } : {}),
    ...(security && flag(security, 'TpmEnabled') ? { tpm: true } : {}),
    cpuCount: number(vm, 'ProcessorCount'),
    memoryBytes: number(vm, 'MemoryStartup'),
    // What runs inside is known to a guest that answers, and to nobody else.
    guest: guestOf(exchange).guest,
    disks: drives.map((drive): DiskSpec => {
      const storage = storageOf(drive.path);
      return {
        id: drive.id,
        sizeBytes: drive.sizeBytes,
        bus: drive.controller === 'IDE' ? 'ide' : 'scsi',
        slot: slotOf(drive),
        boot: slotOf(drive) === boot,
        logicalSectorBytes: sector(drive.vhd, 'LogicalSectorSize'),
        physicalSectorBytes: sector(drive.vhd, 'PhysicalSectorSize'),
        ...(storage === undefined ? {} : { storage }),
      };
    }),
    nics: adapters.map((adapter): NicSpec => {
      const mac = macOf(adapter);
      const network = text(adapter, 'SwitchName');
      return {
        id: nicIdOf(id, adapter),
        ...(mac === undefined ? {} : { mac }),
        ...(network === '' ? {} : { network: networkPlace(network) }),
        model: flag(adapter, 'IsLegacy') ? 'legacy' : 'synthetic',
      };
    }),
    vendor: { hyperv: vendorFrom({ vm, firmware, vlans: vlansOf(rows) }) },
  };
};

const vlansOf = ({ vm, vlans }: MachineRows): Map<NicId, PsRow> =>
  new Map(vlans.map((row) => [nicIdOf(machineIdOf(vm), { Id: row['ParentAdapter.Id'] ?? null }), row]));

/** `00155D010203`; zeroes until the card gets one at its first start. */
const macOf = (adapter: PsRow): string | undefined => {
  const mac = text(adapter, 'MacAddress');
  if (!/^[0-9A-Fa-f]{12}$/.test(mac) || /^0+$/.test(mac)) return undefined;
  return (mac.match(/../g) ?? []).join(':').toLowerCase();
};

export interface Surroundings {
  readonly storageOf: (path: string) => PlaceId | undefined;
  /** Of VMM: cloud and custom properties. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly nowMs: number;
}

export const toMachine = (rows: MachineRows, { storageOf, labels, nowMs }: Surroundings): Machine => {
  const { vm, host, adapters, exchange } = rows;
  const guest = guestOf(exchange).name;
  const power = powerOf(vm);
  const uptimeMs = maybeNumber(vm, 'Uptime') ?? 0;
  const elsewhere = elsewhereOf(vm);
  return {
    id: machineIdOf(vm),
    name: text(vm, 'Name'),
    power,
    spec: specOf(rows, storageOf),
    labels: { ...labelsIn(readable(text(vm, 'Notes')).text), ...labels },
    ...(power === 'on' ? { bootedAt: new Date(nowMs - uptimeMs).toISOString() } : {}),
    host: hostPlace(host),
    ...(power === 'on' && guest !== undefined ? { guestName: guest } : {}),
    addresses: adapters.flatMap((adapter) => texts(adapter, 'IPAddresses')),
    ...(elsewhere === undefined ? {} : { protectedElsewhere: elsewhere }),
  };
};

/** As a primary it is replicated by Hyper-V itself; a replica is written by it. */
export const elsewhereOf = (vm: PsRow): string | undefined =>
  ['None', 'TestReplica'].includes(member(vm, 'ReplicationMode')) ? undefined : 'Hyper-V Replica';

export const statusOf = (vm: PsRow): string[] => members(vm, 'OperationalStatus');
