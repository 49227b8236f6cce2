// Instances of root\virtualization\v2: every property that the class documents can be read, most are null.
import { type Cell, date, int, object, type PsObject, type Shape } from './cells.ts';
import { guidFrom, idOnHosts } from './fabric.ts';
import { classRow } from './interface.ts';
import { type Job, percentOf, stateOf } from './jobs.ts';
import type { AdapterRecord, CheckpointRecord, DriveRecord, OnHost, ReferencePointRecord } from './model.ts';
import type { OfMachine } from './vm-object.ts';

interface Source<T> {
  readonly key: (of: T) => string;
  readonly values: Readonly<Record<string, (of: T) => Cell>>;
}

/** Whatever was handed out is found again by its key alone. */
const shapeOf = <T>(type: string, keyName: string, { key, values }: Source<T>): Shape<T> => ({
  type,
  text: (of) => `${type} (${keyName} = "${key(of)}")`,
  properties: {
    ...Object.fromEntries(Object.keys(classRow(type)?.properties ?? {}).map((name) => [name, () => null])),
    ...values,
    [keyName]: key,
  },
});

export const upper = (id: string): string => id.toUpperCase();

// ---- machines ---------------------------------------------------------------------------------------------------------

export interface OfComputer extends OfMachine {
  readonly at: OnHost;
}

/** EnabledState has other numbers than the State of Get-VM. */
export const COMPUTER = shapeOf<OfComputer>('Msvm_ComputerSystem', 'Name', {
  key: ({ machine }) => upper(idOnHosts(machine)),
  values: {
    CreationClassName: () => 'Msvm_ComputerSystem',
    Caption: () => 'Virtual Machine',
    Description: () => 'Microsoft Virtual Machine',
    ElementName: ({ machine }) => machine.name,
    EnabledState: ({ machine }) => (machine.power === 'on' ? 2 : 3),
    HealthState: () => 5,
    OperationalStatus: () => [2],
    ProcessID: ({ machine }) => (machine.power === 'on' ? int(4000) : null),
  },
});

export const HOSTING = shapeOf<OnHost>('Msvm_ComputerSystem', 'Name', {
  key: ({ host }) => upper(host.name),
  values: {
    CreationClassName: () => 'Msvm_ComputerSystem',
    Caption: () => 'Hosting Computer System',
    ElementName: ({ host }) => upper(host.name),
    EnabledState: () => 2,
    HealthState: () => 5,
    OperationalStatus: () => [2],
  },
});

// ---- settings ---------------------------------------------------------------------------------------------------------

interface OfSettings extends OfComputer {
  /** Absent: of the machine as it is. */
  readonly checkpoint?: CheckpointRecord;
}

const typeOfSettings = ({ checkpoint }: OfSettings): string => {
  if (!checkpoint) return 'Microsoft:Hyper-V:System:Realized';
  return `Microsoft:Hyper-V:Snapshot:${checkpoint.kind === 'Recovery' ? 'Recovery' : 'Realized'}`;
};

export const SETTINGS = shapeOf<OfSettings>('Msvm_VirtualSystemSettingData', 'InstanceID', {
  key: ({ machine, checkpoint }) => `Microsoft:${upper(checkpoint?.id ?? idOnHosts(machine))}`,
  values: {
    ElementName: ({ machine, checkpoint }) => checkpoint?.name ?? machine.name,
    ConfigurationID: ({ machine, checkpoint }) => upper(checkpoint?.id ?? idOnHosts(machine)),
    VirtualSystemIdentifier: ({ machine }) => upper(idOnHosts(machine)),
    VirtualSystemType: typeOfSettings,
    VirtualSystemSubType: ({ machine }) => `Microsoft:Hyper-V:SubType:${machine.hv.generation}`,
    Notes: ({ machine, checkpoint }) => [(checkpoint?.config ?? machine.hv).notes],
    CreationTime: ({ machine, checkpoint }) => date(checkpoint?.createdMs ?? machine.hv.createdMs),
    ConfigurationDataRoot: ({ machine }) => machine.hv.path,
    Version: ({ machine }) => machine.hv.version,
    BIOSGUID: ({ machine }) => `{${upper(guidFrom(idOnHosts(machine), 'bios'))}}`,
    Parent: ({ checkpoint }) => (checkpoint?.parent === undefined ? null : `Microsoft:${upper(checkpoint.parent)}`),
    IsSaved: () => false,
  },
});

interface OfStorage extends OfSettings {
  readonly drive: DriveRecord;
}

export const STORAGE = shapeOf<OfStorage>('Msvm_StorageAllocationSettingData', 'InstanceID', {
  key: ({ machine, checkpoint, drive }) => `Microsoft:${upper(checkpoint?.id ?? idOnHosts(machine))}\\${upper(drive.id)}\\D`,
  values: {
    ElementName: () => 'Hard Disk Image',
    ResourceType: () => 31,
    ResourceSubType: () => 'Microsoft:Hyper-V:Virtual Hard Disk',
    HostResource: ({ drive }) => [drive.path],
    Address: ({ drive }) => String(drive.location),
    PersistentReservationsSupported: () => false,
  },
});

interface OfPort extends OfSettings {
  readonly adapter: AdapterRecord;
}

export const PORT = shapeOf<OfPort>('Msvm_SyntheticEthernetPortSettingData', 'InstanceID', {
  key: ({ machine, checkpoint, adapter }) => `Microsoft:${upper(checkpoint?.id ?? idOnHosts(machine))}\\${upper(adapter.id)}`,
  values: {
    ElementName: ({ adapter }) => adapter.name,
    ResourceType: () => 10,
    ResourceSubType: () => 'Microsoft:Hyper-V:Synthetic Ethernet Port',
    Address: ({ adapter }) => adapter.mac,
    StaticMacAddress: ({ adapter }) => !adapter.dynamicMac,
    VirtualSystemIdentifiers: ({ adapter }) => [`{${upper(adapter.id)}}`],
  },
});

const addressesOf = ({ at, machine, adapter }: OfPort): readonly string[] =>
  machine.hv.adapters[0]?.id === adapter.id ? (at.estate.guests.get(machine.id)?.addresses ?? []) : [];

export const GUEST_NETWORK = shapeOf<OfPort>('Msvm_GuestNetworkAdapterConfiguration', 'InstanceID', {
  key: ({ machine, adapter }) => `Microsoft:GuestNetwork\\${upper(idOnHosts(machine))}\\${upper(adapter.id)}`,
  values: {
    ProtocolIFType: () => 4098,
    DHCPEnabled: () => false,
    IPAddresses: addressesOf,
    Subnets: (of) => addressesOf(of).map((address) => (address.includes(':') ? '/64' : '255.255.255.0')),
    DefaultGateways: () => [],
    DNSServers: () => [],
    IPAddressOrigins: (of) => addressesOf(of).map(() => 2),
  },
});

// ---- the guest --------------------------------------------------------------------------------------------------------

const item = (name: string, data: string): string =>
  `<INSTANCE CLASSNAME="Msvm_KvpExchangeDataItem"><PROPERTY NAME="Data" TYPE="string"><VALUE>${escaped(data)}</VALUE></PROPERTY><PROPERTY NAME="Name" TYPE="string"><VALUE>${name}</VALUE></PROPERTY><PROPERTY NAME="Source" TYPE="uint16"><VALUE>2</VALUE></PROPERTY></INSTANCE>`;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const OS = {
  windows: ['Windows Server 2022 Datacenter', '10.0.20348'],
  linux: ['Debian GNU/Linux', '12'],
  other: ['Unknown', '0'],
} as const;

export const KVP = shapeOf<OfComputer>('Msvm_KvpExchangeComponent', 'DeviceID', {
  key: ({ machine }) => `Microsoft:${upper(idOnHosts(machine))}\\${upper(guidFrom(idOnHosts(machine), 'kvp'))}`,
  values: {
    SystemName: ({ machine }) => upper(idOnHosts(machine)),
    ElementName: () => 'Key-Value Pair Exchange',
    EnabledState: () => 2,
    OperationalStatus: ({ at, machine }) => [at.estate.guests.has(machine.id) ? 2 : 12],
    GuestExchangeItems: () => [],
    GuestIntrinsicExchangeItems: ({ at, machine }) => {
      const guest = at.estate.guests.get(machine.id);
      if (!guest) return [];
      const [name, version] = OS[machine.spec.guest.family];
      return [item('FullyQualifiedDomainName', guest.hostname), item('OSName', name), item('OSVersion', version)];
    },
  },
});

// ---- services, jobs, points -------------------------------------------------------------------------------------------

export const SERVICES = {
  Msvm_VirtualSystemSnapshotService: service('Msvm_VirtualSystemSnapshotService', 'vssnap'),
  Msvm_VirtualSystemReferencePointService: service('Msvm_VirtualSystemReferencePointService', 'vsrefp'),
  Msvm_ImageManagementService: service('Msvm_ImageManagementService', 'vhdsvc'),
  Msvm_VirtualSystemManagementService: service('Msvm_VirtualSystemManagementService', 'vmms'),
} as const;

function service(type: string, name: string): Shape<OnHost> {
  return shapeOf<OnHost>(type, 'Name', {
    key: () => name,
    values: { CreationClassName: () => type, SystemName: ({ host }) => upper(host.name), EnabledState: () => 5, Started: () => true },
  });
}

interface OfJob {
  readonly at: OnHost;
  readonly job: Job;
}

export const JOB = shapeOf<OfJob>('Msvm_ConcreteJob', 'InstanceID', {
  key: ({ job }) => upper(job.id),
  values: {
    Name: ({ job }) => job.name,
    ElementName: ({ job }) => job.name,
    JobState: ({ at, job }) => stateOf(at.estate, job),
    JobStatus: ({ at, job }) => (stateOf(at.estate, job) === 7 ? 'OK' : 'Job is running'),
    PercentComplete: ({ at, job }) => percentOf(at.estate, job),
    ErrorCode: ({ job }) => job.errorCode,
    ErrorDescription: ({ job }) => job.errorText,
    ErrorSummaryDescription: ({ job }) => job.errorText,
    Cancellable: ({ job }) => job.isCancellable,
    DeleteOnCompletion: () => false,
    StartTime: ({ job }) => date(job.startedMs),
  },
});

/** As a method hands out a job, or a result: nothing but its key is filled in until it is read again. */
export const reference = (of: PsObject, keyName: string): PsObject => {
  const type = of.type;
  const key = of.read(keyName) ?? null;
  return object(
    { type, text: () => `${type} (${keyName} = "${String(key)}")`, properties: blankBut(type, keyName, key) },
    undefined,
    of.machine,
  );
};

const blankBut = (type: string, keyName: string, key: Cell): Shape<unknown>['properties'] => ({
  ...Object.fromEntries(Object.keys(classRow(type)?.properties ?? {}).map((name) => [name, () => null])),
  [keyName]: () => key,
});

interface OfPoint extends OfComputer {
  readonly point: ReferencePointRecord;
}

/** Two arrays that belong together by their places. */
export const POINT = shapeOf<OfPoint>('Msvm_VirtualSystemReferencePoint', 'InstanceID', {
  key: ({ point }) => `Microsoft:${upper(point.id)}`,
  values: {
    ReferencePointType: () => 2,
    ConsistencyLevel: ({ point }) => (point.application ? 1 : 2),
    VirtualSystemIdentifier: ({ machine }) => upper(idOnHosts(machine)),
    HasAssociatedData: () => false,
    VirtualDiskIdentifiers: ({ point }) => point.disks.map(({ identifier }) => upper(identifier)),
    ResilientChangeTrackingIdentifiers: ({ point }) => point.disks.map(({ rctId }) => rctId),
  },
});

export const cim = <T extends { readonly machine: OfMachine['machine'] }>(shape: Shape<T>, of: T): PsObject =>
  object(shape, of, of.machine.id);
