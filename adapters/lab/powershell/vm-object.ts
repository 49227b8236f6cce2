// Microsoft.HyperV.PowerShell.VirtualMachine and what hangs on it.
import { type Cell, date, guid, int, member, NO_GUID, object, type PsObject, recordOf, type Shape, span } from './cells.ts';
import { hostOf, idOnHosts, switchNamed } from './fabric.ts';
import { underWay } from './jobs.ts';
import type { AdapterRecord, At, CheckpointRecord, DriveRecord, DvdRecord, Hv } from './model.ts';
import { healthOf } from './replica/health.ts';
import { isOpen } from './usage.ts';

const HYPERV = 'Microsoft.HyperV.PowerShell.';

export interface OfMachine {
  readonly at: At;
  readonly machine: Hv;
}
interface OfDrive extends OfMachine {
  readonly drive: DriveRecord;
}
interface OfDvd extends OfMachine {
  readonly dvd: DvdRecord;
}
export interface OfAdapter extends OfMachine {
  readonly adapter: AdapterRecord;
}
export interface OfCheckpoint extends OfMachine {
  readonly checkpoint: CheckpointRecord;
}

export const stateOf = ({ at, machine }: OfMachine): string => {
  if (machine.power === 'off') return 'Off';
  return isOpen(at, machine) ? 'Running' : 'Off';
};

const operationalStatus = ({ at, machine }: OfMachine): Cell[] => {
  const merging = machine.hv.merging && machine.hv.merging.untilMs > at.estate.timeline.now();
  const jobs = underWay(at.endpoint, machine.id);
  return [
    member('VMOperationalStatus', 'Ok'),
    ...(jobs.some((name) => name.startsWith('Creating')) ? [member('VMOperationalStatus', 'CreatingSnapshot')] : []),
    ...(jobs.some((name) => /^(Deleting|Converting)/.test(name)) ? [member('VMOperationalStatus', 'DeletingSnapshot')] : []),
    ...(merging ? [member('VMOperationalStatus', 'MergingDisks')] : []),
  ];
};

const heartbeat = ({ at, machine }: OfMachine): Cell => {
  if (machine.power === 'off') return null;
  return member('VMHeartbeatStatus', at.estate.guests.has(machine.id) ? 'OkApplicationsHealthy' : 'NoContact');
};

export const uptimeMs = ({ at, machine }: OfMachine): number =>
  machine.power === 'on' && machine.bootedAtMs !== undefined ? at.estate.timeline.now() - machine.bootedAtMs : 0;

const checkpointUnder = ({ hv }: Hv): CheckpointRecord | undefined => hv.checkpoints.find(({ id }) => id === hv.current);

/** By Hyper-V itself. */
const REPLICATION: Shape<OfMachine>['properties'] = {
  ReplicationState: ({ machine }) => member('VMReplicationState', machine.hv.replication?.state ?? 'Disabled'),
  ReplicationHealth: ({ at, machine }) => member('VMReplicationHealthState', healthOf(at, machine.hv.replication).health),
  ReplicationMode: ({ machine }) => member('VMReplicationMode', machine.hv.replication?.mode ?? 'None'),
};

export const VM: Shape<OfMachine> = {
  type: `${HYPERV}VirtualMachine`,
  text: ({ machine }) => `VirtualMachine (Name = '${machine.name}') [Id = '${idOnHosts(machine)}']`,
  properties: {
    Id: ({ machine }) => idOnHosts(machine),
    VMId: ({ machine }) => idOnHosts(machine),
    Name: ({ machine }) => machine.name,
    VMName: ({ machine }) => machine.name,
    ComputerName: ({ at, machine }) => hostOf(at, machine).name,
    State: (of) => member('VMState', stateOf(of) as 'Running'),
    Status: (of) => (operationalStatus(of).length > 1 ? 'Merging disks' : 'Operating normally'),
    OperationalStatus: operationalStatus,
    PrimaryStatusDescription: () => 'Operating normally',
    SecondaryOperationalStatus: (of) => operationalStatus(of)[1] ?? null,
    Generation: ({ machine }) => machine.hv.generation,
    Version: ({ machine }) => machine.hv.version,
    ProcessorCount: ({ machine }) => int(machine.spec.cpuCount),
    MemoryStartup: ({ machine }) => int(machine.hv.memory.startup),
    MemoryMinimum: ({ machine }) => int(machine.hv.memory.minimum),
    MemoryMaximum: ({ machine }) => int(machine.hv.memory.maximum),
    MemoryAssigned: ({ machine }) => int(machine.power === 'on' ? machine.hv.memory.startup : 0),
    DynamicMemoryEnabled: ({ machine }) => machine.hv.memory.dynamic,
    CheckpointType: ({ machine }) => member('CheckpointType', machine.hv.checkpointType),
    AutomaticCheckpointsEnabled: ({ machine }) => machine.hv.automaticCheckpoints,
    AutomaticStartAction: ({ machine }) => member('StartAction', machine.hv.startAction),
    AutomaticStopAction: ({ machine }) => member('StopAction', machine.hv.stopAction),
    IsClustered: ({ machine }) => machine.hv.clustered,
    ...REPLICATION,
    Path: ({ machine }) => machine.hv.path,
    ConfigurationLocation: ({ machine }) => machine.hv.path,
    SnapshotFileLocation: ({ machine }) => machine.hv.path,
    Notes: ({ machine }) => machine.hv.notes,
    CreationTime: ({ machine }) => date(machine.hv.createdMs),
    Uptime: (of) => span(uptimeMs(of)),
    Heartbeat: heartbeat,
    ParentSnapshotId: ({ machine }) => machine.hv.current ?? null,
    ParentSnapshotName: ({ machine }) => checkpointUnder(machine)?.name ?? null,
    ParentCheckpointId: ({ machine }) => machine.hv.current ?? null,
    HardDrives: (of) => of.machine.hv.drives.map((drive) => driveObject({ ...of, drive })),
    DVDDrives: (of) => of.machine.hv.dvds.map((dvd) => dvdObject({ ...of, dvd })),
    NetworkAdapters: (of) => of.machine.hv.adapters.map((adapter) => adapterObject({ ...of, adapter })),
    FibreChannelHostBusAdapters: () => [],
    IsDeleted: ({ at, machine }) => !at.estate.machines.has(machine.id),
  },
};

export const vmObject = (of: OfMachine): PsObject => object(VM, of, of.machine.id);

/** What each object of a machine says about the machine. */
const owned = {
  VMId: ({ machine }: OfMachine) => idOnHosts(machine),
  VMName: ({ machine }: OfMachine) => machine.name,
  ComputerName: ({ at, machine }: OfMachine) => hostOf(at, machine).name,
};

const deviceId = (machine: Hv, id: string): string => `Microsoft:${idOnHosts(machine).toUpperCase()}\\${id.toUpperCase()}`;

export const DRIVE: Shape<OfDrive> = {
  type: `${HYPERV}HardDiskDrive`,
  text: ({ machine, drive }) => `HardDiskDrive (VMName = '${machine.name}') [Id = '${drive.id}']`,
  properties: {
    ...owned,
    Id: ({ machine, drive }) => deviceId(machine, drive.id),
    Name: ({ drive }) => `Hard Drive on ${drive.type} controller number ${drive.number} at location ${drive.location}`,
    Path: ({ drive }) => drive.path,
    DiskNumber: () => null,
    ControllerType: ({ drive }) => member('ControllerType', drive.type),
    ControllerNumber: ({ drive }) => drive.number,
    ControllerLocation: ({ drive }) => drive.location,
    SupportPersistentReservations: () => false,
    PoolName: () => 'Primordial',
    IsDeleted: ({ machine, drive }) => !machine.hv.drives.some(({ id }) => id === drive.id),
    VMSnapshotId: () => NO_GUID,
  },
};

export const driveObject = (of: OfDrive): PsObject => object(DRIVE, of, of.machine.id);

export const DVD: Shape<OfDvd> = {
  type: `${HYPERV}DvdDrive`,
  text: ({ machine, dvd }) => `DvdDrive (VMName = '${machine.name}') [Id = '${dvd.id}']`,
  properties: {
    ...owned,
    Id: ({ machine, dvd }) => deviceId(machine, dvd.id),
    Path: () => null,
    ControllerType: ({ dvd }) => member('ControllerType', dvd.type),
    ControllerNumber: ({ dvd }) => dvd.number,
    ControllerLocation: ({ dvd }) => dvd.location,
  },
};

export const dvdObject = (of: OfDvd): PsObject => object(DVD, of, of.machine.id);

const addressesOf = ({ at, machine, adapter }: OfAdapter): readonly string[] => {
  const guest = at.estate.guests.get(machine.id);
  return guest && machine.hv.adapters[0]?.id === adapter.id ? guest.addresses : [];
};

export const ADAPTER: Shape<OfAdapter> = {
  type: `${HYPERV}VMNetworkAdapter`,
  text: ({ machine, adapter }) => `VMNetworkAdapter (Name = '${adapter.name}', VMName = '${machine.name}')`,
  properties: {
    ...owned,
    Id: ({ machine, adapter }) => deviceId(machine, adapter.id),
    AdapterId: ({ adapter }) => adapter.id.toUpperCase(),
    Name: ({ adapter }) => adapter.name,
    MacAddress: ({ adapter }) => adapter.mac,
    DynamicMacAddressEnabled: ({ adapter }) => adapter.dynamicMac,
    SwitchName: ({ adapter }) => adapter.switchName ?? null,
    SwitchId: ({ at, machine, adapter }) => guid(switchNamed(at, hostOf(at, machine), adapter.switchName)?.id),
    Connected: ({ at, machine, adapter }) => switchNamed(at, hostOf(at, machine), adapter.switchName) !== undefined,
    IPAddresses: addressesOf,
    IsLegacy: () => false,
    IsManagementOs: () => false,
    TestReplicaSwitchName: ({ adapter }) => adapter.testSwitch ?? null,
    TestReplicaPoolName: () => null,
    VlanSetting: (of) => vlanObject(of),
    VMSnapshotId: () => NO_GUID,
  },
};

export const adapterObject = (of: OfAdapter): PsObject => object(ADAPTER, of, of.machine.id);

const VLAN: Shape<OfAdapter> = {
  type: `${HYPERV}VMNetworkAdapterVlanSetting`,
  text: () => `${HYPERV}VMNetworkAdapterVlanSetting`,
  properties: {
    OperationMode: ({ adapter }) => member('VMNetworkAdapterVlanMode', adapter.vlan === undefined ? 'Untagged' : 'Access'),
    AccessVlanId: ({ adapter }) => adapter.vlan ?? 0,
    NativeVlanId: () => 0,
    AllowedVlanIdList: () => [],
    ParentAdapter: (of) => adapterObject(of),
  },
};

export const vlanObject = (of: OfAdapter): PsObject => object(VLAN, of, of.machine.id);

export const CHECKPOINT: Shape<OfCheckpoint> = {
  type: `${HYPERV}VMSnapshot`,
  text: ({ checkpoint }) => `VMSnapshot (Name = '${checkpoint.name}') [Id = '${checkpoint.id}']`,
  properties: {
    ...owned,
    Id: ({ checkpoint }) => checkpoint.id,
    Name: ({ checkpoint }) => checkpoint.name,
    SnapshotType: ({ checkpoint }) => member('SnapshotType', checkpoint.kind),
    CreationTime: ({ checkpoint }) => date(checkpoint.createdMs),
    ParentSnapshotId: ({ checkpoint }) => checkpoint.parent ?? null,
    ParentSnapshotName: ({ machine, checkpoint }) => machine.hv.checkpoints.find(({ id }) => id === checkpoint.parent)?.name ?? null,
    Notes: ({ checkpoint }) => checkpoint.config.notes,
    Path: ({ machine }) => machine.hv.path,
    IsAutomaticCheckpoint: () => false,
    HardDrives: (of) => of.checkpoint.config.drives.map((drive) => driveObject({ ...of, drive })),
    NetworkAdapters: (of) => of.checkpoint.config.adapters.map((adapter) => adapterObject({ ...of, adapter })),
  },
};

export const checkpointObject = (of: OfCheckpoint): PsObject => object(CHECKPOINT, of, of.machine.id);

export const FIRMWARE: Shape<OfMachine> = {
  type: `${HYPERV}VMFirmware`,
  text: () => `${HYPERV}VMFirmware`,
  properties: {
    ...owned,
    SecureBoot: ({ machine }) => member('OnOffState', machine.hv.secureBoot ? 'On' : 'Off'),
    SecureBootTemplate: ({ machine }) => machine.hv.secureBootTemplate,
    SecureBootTemplateId: ({ machine }) => TEMPLATES[machine.hv.secureBootTemplate] ?? NO_GUID,
    BootOrder: (of) => bootOrder(of),
  },
};

/** Ids of the templates that every host has. */
export const TEMPLATES: Readonly<Record<string, string>> = {
  MicrosoftWindows: '1734c6e8-3154-4dda-ba5f-a874cc483422',
  MicrosoftUEFICertificateAuthority: '272e7447-90a4-4563-a4b9-8e4ab00526ce',
  OpenSourceShieldedVM: '4292ae2b-ee2c-42b5-a969-dd8f8689f6f3',
};

const BOOT_SOURCE: Shape<{ readonly device: PsObject }> = {
  type: `${HYPERV}VMBootSource`,
  text: ({ device }) => `VMBootSource (${device})`,
  properties: { BootType: ({ device }) => (device.type.endsWith('Drive') ? 'Drive' : 'Network'), Device: ({ device }) => device },
};

const bootOrder = (of: OfMachine): Cell => {
  const { drives, dvds, adapters, firstBoot } = of.machine.hv;
  const sources = [
    ...drives.map((drive) => ({ id: drive.id, device: driveObject({ ...of, drive }) })),
    ...dvds.map((dvd) => ({ id: dvd.id, device: dvdObject({ ...of, dvd }) })),
    ...adapters.map((adapter) => ({ id: adapter.id, device: adapterObject({ ...of, adapter }) })),
  ];
  const inOrder = sources.toSorted((a, b) => Number(b.id === firstBoot) - Number(a.id === firstBoot));
  return inOrder.map(({ device }) => object(BOOT_SOURCE, { device }, of.machine.id));
};

export const SECURITY: Shape<OfMachine> = {
  type: `${HYPERV}VMSecurity`,
  text: () => `${HYPERV}VMSecurity`,
  properties: {
    ...owned,
    TpmEnabled: ({ machine }) => machine.hv.tpm,
    Shielded: () => false,
    EncryptStateAndVmMigrationTraffic: () => false,
    BindToHostTpm: () => false,
    VirtualizationBasedSecurityOptOut: () => false,
  },
};

/** Of a drive or a card. */
export const idOfComponent = (device: PsObject): string | undefined =>
  recordOf(device, DRIVE)?.drive.id ?? recordOf(device, DVD)?.dvd.id ?? recordOf(device, ADAPTER)?.adapter.id;
