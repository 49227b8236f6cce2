// Two implementations: in process (in-process.ts: sweeps, model tests, conformance) and over a Unix socket (client.ts: the lab as a process of its own).
import type {
  Baseline,
  Capabilities,
  DiskId,
  Epoch,
  Extent,
  Finding,
  ForkId,
  Machine,
  MachineId,
  MachineSpec,
  NicId,
  Place,
  PlaceId,
  SnapshotId,
} from '../../core/contract/index.ts';

import type { Comparison, EstateSpec, EstateStatus, FaultRule, MachineStatus, StateRef, StateReport, Truth } from './model.ts';
import type { ReplicaServerRecord, ReplicationState } from './powershell/replica/model.ts';

export type * from './model.ts';

/**
 * The simulated estate. Methods are data: a name and one object of arguments, all JSON but for an optional field `data` on either side,
 * which travels as a binary tail. One port is one connection: after a cut every call on it rejects with CONNECTION_LOST, and a new port must be opened.
 */
export interface EstatePort extends AsyncDisposable {
  /** Rejects with a DrError, or with the signal's reason once that aborts; what was begun may then still take effect. */
  call<M extends EstateMethod>(method: M, args: EstateArgs<M>, options?: { readonly signal?: AbortSignal }): Promise<EstateResult<M>>;
}

export type OpenEstate = (address: string) => Promise<EstatePort>;

export type EstateMethod = keyof EstateMethods;
export type EstateArgs<M extends EstateMethod> = EstateMethods[M][0];
export type EstateResult<M extends EstateMethod> = EstateMethods[M][1];

export type ProfileName = 'vmware' | 'hyperv' | 'physical' | 'kvm';

/** Every vendor-like call names its endpoint, and the installation on whose behalf it is made. */
interface At {
  readonly endpoint: string;
  readonly owner: string;
}
interface AtMachine extends At {
  readonly machine: MachineId;
}
interface AtDevice extends At {
  readonly appliance: MachineId;
  readonly uuid: DiskId;
}
interface AtHandle {
  readonly host: string;
  readonly handle: number;
}
interface Fenced {
  readonly fence?: Epoch | undefined;
}
interface Page {
  /** From the `next` of the page before; absent for the first page. */
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}
interface Nothing {
  readonly data?: never;
}

export interface EndpointInfo {
  readonly profile: ProfileName;
  readonly version: string;
  readonly capabilities: Capabilities;
  readonly findings: readonly Finding[];
}

/** The disk that a read or write goes to. `freeze` binds a read of a running machine to the freeze under which it is consistent. */
export type DiskRef =
  | { readonly snapshot: SnapshotId; readonly disk: DiskId }
  | { readonly replica: MachineId; readonly disk: DiskId }
  | { readonly fork: ForkId; readonly disk: DiskId }
  | { readonly machine: MachineId; readonly disk: DiskId; readonly freeze?: string | undefined };

export interface DiskInfo {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
}

export interface SnapshotInfo {
  readonly id: SnapshotId;
  readonly operationId: string;
  readonly takenAt: string;
  readonly machines: readonly MachineId[];
  readonly atomicity: 'instant' | 'frozen' | { readonly skewedMs: number };
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  /** Free text of whoever made it; survives the session. */
  readonly notes: string;
  readonly disks: readonly {
    readonly disk: DiskId;
    readonly machine: MachineId;
    readonly sizeBytes: number;
    readonly baseline?: Baseline;
  }[];
  readonly specs: Readonly<Record<string, MachineSpec>>;
}

export interface PassInfo {
  readonly spec: MachineSpec;
  /** `changedBytes` is what a pass over the disk has to read. */
  readonly disks: readonly {
    readonly disk: DiskId;
    readonly sizeBytes: number;
    readonly baseline: Baseline;
    readonly changedBytes: number;
  }[];
}

/** `disks` and `nics`: ids of the request to ids of what was made. */
export interface PlacedInfo {
  readonly machine: Machine;
  readonly disks: Readonly<Record<string, DiskId>>;
  readonly nics: Readonly<Record<string, NicId>>;
  readonly findings: readonly Finding[];
}

export interface ForkInfo extends PlacedInfo {
  readonly id: ForkId;
  readonly replica: MachineId;
  readonly purpose: 'test' | 'failover';
  readonly operationId: string;
}

type NicPlaces = Readonly<Record<string, PlaceId | 'disconnected'>>;

export interface ReplicaArgs extends At, Fenced {
  readonly operationId: string;
  readonly spec: MachineSpec;
  readonly name: string;
  readonly storage?: PlaceId | undefined;
  readonly folder?: PlaceId | undefined;
  readonly host?: PlaceId | undefined;
  readonly nics: NicPlaces;
}

export interface ForkArgs extends At, Fenced {
  readonly operationId: string;
  readonly replica: MachineId;
  readonly mode: 'overlay' | 'clone';
  readonly purpose: 'test' | 'failover';
  readonly name: string;
  readonly spec: MachineSpec;
  readonly newGenerationId: boolean;
  readonly nics: NicPlaces;
}

export interface SnapshotArgs extends At {
  readonly operationId: string;
  readonly machines: readonly MachineId[];
  readonly consistency: 'crash' | 'application';
  readonly orElse: 'crash' | 'refuse';
  readonly notes: string;
  /** Needed by endpoints whose tracker must know the old baseline at snapshot time, ignored by the others. */
  readonly since?: Readonly<Record<string, Baseline>> | undefined;
}

interface ExtentsArgs extends At, Page {
  readonly disk: DiskId;
  readonly from: number;
}
interface ExtentPage {
  readonly extents: readonly Extent[];
  /** Where the next page begins; absent: complete. */
  readonly next?: number;
}

// ---- the table ------------------------------------------------------------------------------------------------------------

/** Arguments and result of each method. */
export interface EstateMethods {
  'session.open': [At & { readonly username?: string | undefined; readonly password?: string | undefined }, EndpointInfo];

  'inventory.machines': [
    At & Page & { readonly labels?: Readonly<Record<string, string>> | undefined },
    { readonly machines: readonly Machine[]; readonly next?: string },
  ];
  'inventory.machine': [AtMachine, { readonly machine: Machine }];
  'inventory.places': [At & Page & { readonly kind: Place['kind'] }, { readonly places: readonly Place[]; readonly next?: string }];
  'inventory.assess': [AtMachine & { readonly as: 'source' | 'target' }, { readonly findings: readonly Finding[] }];
  /** Answers when something has changed after the cursor, else after `waitMs` with the same cursor. */
  'inventory.changes': [
    At & { readonly cursor?: string | undefined; readonly waitMs: number },
    { readonly cursor: string; readonly changed: readonly MachineId[]; readonly gone: readonly MachineId[] },
  ];

  /** `shutdown` answers when the machine is off, or with SHUTDOWN_REFUSED after `timeoutMs`. */
  'power.set': [AtMachine & Fenced & { readonly to: 'on' | 'off' | 'shutdown'; readonly timeoutMs: number }, Nothing];

  'source.enableTracking': [AtMachine, { readonly findings: readonly Finding[] }];
  'source.disableTracking': [AtMachine, Nothing];
  'source.createSnapshot': [SnapshotArgs, { readonly snapshot: SnapshotInfo }];
  'source.listSnapshots': [At & Page, { readonly snapshots: readonly SnapshotInfo[]; readonly next?: string }];
  'source.releaseSnapshot': [At & { readonly snapshot: SnapshotId; readonly outcome: 'sealed' | 'abandoned' }, Nothing];
  /** `since` where the tracker takes it at query time; the others answer for what was given at snapshot time. */
  'source.changedExtents': [ExtentsArgs & { readonly snapshot: SnapshotId; readonly since?: Baseline | undefined }, ExtentPage];
  'source.allocatedExtents': [ExtentsArgs & { readonly snapshot: SnapshotId }, ExtentPage];
  'source.keepBaselines': [AtMachine & { readonly keep: Readonly<Record<string, readonly Baseline[]>> }, Nothing];

  /** Stops the guest's writes. It thaws by itself after `maxFreezeMs`, which voids everything read under `freeze`. */
  'stream.freeze': [
    AtMachine & { readonly operationId: string; readonly consistency: 'crash' | 'application'; readonly maxFreezeMs: number },
    { readonly freeze: string },
  ];
  /** TIMED_OUT when the freeze has ended before. `hold` stays frozen until power off or on. */
  'stream.endFreeze': [AtMachine & { readonly freeze: string; readonly outcome: 'thaw' | 'hold' }, Nothing];
  /** Sets a mark in the tracker. Without `since` the pass is over all that is allocated. */
  'stream.beginPass': [AtMachine & { readonly since?: Readonly<Record<string, Baseline>> | undefined }, PassInfo];
  'stream.passExtents': [
    ExtentsArgs & {
      readonly machine: MachineId;
      readonly since?: Baseline | undefined;
      readonly upTo: Baseline;
      readonly freeze?: string | undefined;
    },
    ExtentPage,
  ];

  'target.createReplica': [ReplicaArgs, PlacedInfo];
  'target.adoptReplica': [AtMachine & Fenced & { readonly spec: MachineSpec }, PlacedInfo];
  'target.reshapeReplica': [AtMachine & Fenced & { readonly spec: MachineSpec }, PlacedInfo];
  'target.deleteReplicaDisk': [AtMachine & Fenced & { readonly disk: DiskId }, Nothing];
  'target.deleteReplica': [AtMachine & Fenced, Nothing];

  'forks.create': [ForkArgs, ForkInfo];
  'forks.promote': [At & Fenced & { readonly fork: ForkId }, { readonly machine: Machine }];
  'forks.discard': [At & Fenced & { readonly fork: ForkId }, Nothing];
  'forks.list': [At & Page, { readonly forks: readonly ForkInfo[]; readonly next?: string }];

  'disk.open': [At & Fenced & { readonly of: DiskRef; readonly forWriting: boolean }, DiskInfo];
  'disk.read': [At & { readonly of: DiskRef; readonly offset: number; readonly length: number }, { readonly data: Uint8Array }];
  'disk.write': [At & Fenced & { readonly of: DiskRef; readonly offset: number; readonly data: Uint8Array }, Nothing];
  'disk.writeZeroes': [At & Fenced & { readonly of: DiskRef; readonly offset: number; readonly length: number }, Nothing];
  'disk.flush': [At & Fenced & { readonly of: DiskRef }, Nothing];
  /** `data`: 32 bytes of SHA-256 for each block from `offset` on. */
  'disk.digests': [
    At & { readonly of: DiskRef; readonly blockBytes: number; readonly offset: number; readonly count: number },
    { readonly data: Uint8Array },
  ];

  /** The block devices of a machine from within, by the identities of the attached disks. Waits `waitMs` for one that is to come, then NOT_FOUND. */
  'device.open': [
    AtDevice & { readonly forWriting: boolean; readonly waitMs: number },
    { readonly sizeBytes: number; readonly logicalSectorBytes: number },
  ];
  'device.read': [AtDevice & { readonly offset: number; readonly length: number }, { readonly data: Uint8Array }];
  'device.write': [AtDevice & { readonly offset: number; readonly data: Uint8Array }, Nothing];
  'device.writeZeroes': [AtDevice & { readonly offset: number; readonly length: number }, Nothing];
  'device.flush': [AtDevice, Nothing];

  /** Disks of a simulated Hyper-V host, as its agent sees them: `\\.\PhysicalDriveN` of what is mounted there. A connection that ends closes what it had open. */
  'agent.open': [
    { readonly host: string; readonly path: string; readonly forWriting: boolean },
    { readonly handle: number; readonly sizeBytes: number; readonly logicalSectorBytes: number },
  ];
  'agent.read': [AtHandle & { readonly offset: number; readonly length: number }, { readonly data: Uint8Array }];
  'agent.write': [AtHandle & { readonly offset: number; readonly data: Uint8Array }, Nothing];
  'agent.writeZeroes': [AtHandle & { readonly offset: number; readonly length: number }, Nothing];
  'agent.flush': [AtHandle, Nothing];
  /** `data`: 32 bytes of SHA-256 for each block from `offset` on. */
  'agent.digests': [
    AtHandle & { readonly blockBytes: number; readonly offset: number; readonly count: number },
    { readonly data: Uint8Array },
  ];
  'agent.close': [AtHandle, Nothing];

  /** One PowerShell session at a simulated host for each connection. The connection ends with the session. */
  'powershell.open': [{ readonly host: string; readonly username?: string | undefined; readonly password?: string | undefined }, Nothing];
  /** A request of the dispatcher and its reply, as they travel to real hosts. */
  'powershell.run': [{ readonly request: object }, { readonly reply: object }];

  'network.connectNic': [AtMachine & Fenced & { readonly nic: NicId; readonly to: PlaceId | 'disconnected' }, Nothing];
  'network.createTest': [At & { readonly operationId: string; readonly like: PlaceId }, { readonly place: Place }];
  'network.deleteTest': [At & { readonly place: PlaceId }, Nothing];
  'network.setAddresses': [
    AtMachine & Fenced & { readonly addresses: Readonly<Record<string, readonly string[]>> },
    { readonly findings: readonly Finding[] },
  ];

  'fence.read': [AtMachine, { readonly epoch?: Epoch }];
  'fence.advance': [AtMachine & { readonly expected?: Epoch | undefined; readonly next: Epoch }, Nothing];
  'fence.isolate': [AtMachine & Fenced, Nothing];

  'lab.build': [{ readonly spec: EstateSpec }, Nothing];
  'lab.status': [Nothing, EstateStatus];
  'lab.machine': [{ readonly machine: MachineId }, { readonly status: MachineStatus; readonly spec: MachineSpec }];
  /** Finds machines by name at an endpoint, or in the whole estate. */
  'lab.find': [{ readonly name: string; readonly endpoint?: string | undefined }, { readonly machines: readonly MachineStatus[] }];
  'lab.inspect': [{ readonly of: StateRef }, StateReport];
  /** Every copy of the machine's guest, byte by byte. */
  'lab.compare': [{ readonly machine: MachineId }, Comparison];
  'lab.truth': [
    { readonly snapshot?: SnapshotId | undefined; readonly operationId?: string | undefined },
    { readonly truths: readonly Truth[] },
  ];
  'lab.powerCut': [{ readonly machine: MachineId } | { readonly endpoint: string } | { readonly site: string }, Nothing];
  'lab.burnSite': [{ readonly site: string }, Nothing];
  'lab.restoreSite': [{ readonly site: string; readonly autostart?: boolean }, Nothing];
  /** `silent`: what is sent into the cut is lost, and nobody is told; else it is refused, and connections break. */
  'lab.setLink': [{ readonly site: string; readonly up: boolean; readonly silent?: boolean | undefined }, Nothing];
  /** Files of somebody else leave so much free at each storage of an endpoint; left out: they are gone. */
  'lab.fill': [{ readonly endpoint: string; readonly freeBytes?: number | undefined }, Nothing];
  /** Drops every connection that has opened a session, or has one at this endpoint. */
  'lab.cutConnections': [{ readonly endpoint?: string | undefined }, Nothing];
  'lab.resetTracker': [{ readonly machine: MachineId; readonly disk?: DiskId | undefined }, Nothing];
  'lab.addDisk': [{ readonly machine: MachineId; readonly sizeBytes: number }, { readonly disk: DiskId }];
  'lab.removeDisk': [{ readonly machine: MachineId; readonly disk: DiskId }, Nothing];
  'lab.growDisk': [{ readonly machine: MachineId; readonly disk: DiskId; readonly sizeBytes: number }, Nothing];
  'lab.rename': [{ readonly machine: MachineId; readonly name: string }, Nothing];
  /** As an administrator sets them, in place of all that there are; a cloud of VMM is the label `cloud`. */
  'lab.setLabels': [{ readonly machine: MachineId; readonly labels: Readonly<Record<string, string>> }, Nothing];
  /** Writes as the guest would: seen by tracker and snapshots, and waits while the machine is frozen. */
  'lab.write': [{ readonly machine: MachineId; readonly disk: DiskId; readonly offset: number; readonly data: Uint8Array }, Nothing];
  'lab.read': [
    { readonly machine: MachineId; readonly disk: DiskId; readonly offset: number; readonly length: number },
    { readonly data: Uint8Array },
  ];
  'lab.importDisk': [
    { readonly machine: MachineId; readonly disk: DiskId; readonly path: string },
    { readonly copiedBytes: number; readonly method: 'extents' | 'scan' },
  ];
  'lab.applyDisk': [
    { readonly machine: MachineId; readonly disk: DiskId; readonly path: string },
    { readonly changedBytes: number; readonly method: 'extents' | 'scan' },
  ];
  'lab.exportDisk': [{ readonly of: StateRef; readonly disk: DiskId; readonly path: string }, { readonly writtenBytes: number }];
  'lab.setWorkload': [
    { readonly machine?: MachineId | undefined; readonly paused?: boolean | undefined; readonly writesPerSecond?: number | undefined },
    Nothing,
  ];
  /** `refusesShutdown` and the delays, as a test wants them. */
  'lab.setGuest': [
    {
      readonly machine: MachineId;
      readonly refusesShutdown?: boolean | undefined;
      readonly bootDelayMs?: number | undefined;
      readonly shutdownDelayMs?: number | undefined;
    },
    Nothing,
  ];
  /** Powers a machine by hand, as somebody at the console would: no fence is asked. */
  'lab.power': [{ readonly machine: MachineId; readonly to: 'on' | 'off' }, Nothing];
  /** Where the simulated vCenter of a vmware endpoint is; without a certificate to pin where it does not listen but is spoken to in this process. */
  'lab.vcenter': [
    { readonly endpoint: string },
    { readonly address: string; readonly pin?: string; readonly username?: string; readonly appliance?: MachineId },
  ];
  /** `restart`: its sessions, its connections and what it remembers of tasks are gone. `newCertificate`: at the same address another one. */
  'lab.setVcenter': [
    {
      readonly endpoint: string;
      readonly sessionIdleMs?: number | undefined;
      readonly maxSessions?: number | undefined;
      readonly missingPrivileges?: readonly string[] | undefined;
      readonly newCertificate?: boolean | undefined;
      readonly restart?: boolean | undefined;
    },
    Nothing,
  ];
  /** The simulated hosts of a hyperv endpoint; `executable` is what stands in for PowerShell, where the lab is a process of its own. */
  'lab.powershell': [
    { readonly endpoint: string },
    {
      readonly kind: 'host' | 'cluster' | 'vmm';
      /** Of the endpoint's own address. */
      readonly address: string;
      readonly hosts: readonly string[];
      readonly username?: string;
      readonly executable?: string;
    },
  ];
  /** `up`: its power; clustered machines go to another node. `service`: its management service. */
  'lab.setHost': [
    {
      readonly endpoint: string;
      readonly host: string;
      readonly up?: boolean | undefined;
      readonly service?: 'stopped' | 'running' | undefined;
    },
    Nothing,
  ];
  /** How the hosts of an endpoint take replicas from others (Set-VMReplicationServer), and which certificates they hold. */
  'lab.setReplicaServer': [{ readonly endpoint: string; readonly settings: Partial<ReplicaServerRecord> }, Nothing];
  /** Puts one end of a replication into a state to which no call of the lab's hosts leads. */
  'lab.setReplication': [{ readonly machine: MachineId; readonly state: ReplicationState }, Nothing];
  /** Live migration to another node, which takes some time. */
  'lab.migrate': [{ readonly machine: MachineId; readonly to?: string | undefined }, Nothing];
  /** Manual clock only. */
  'lab.advance': [{ readonly ms: number }, { readonly now: string }];
  'lab.addFault': [{ readonly rule: FaultRule }, { readonly id: string }];
  'lab.clearFaults': [{ readonly id?: string | undefined }, Nothing];
  'lab.faults': [
    Nothing,
    { readonly faults: readonly (FaultRule & { readonly id: string; readonly matched: number; readonly acted: number })[] },
  ];
}
