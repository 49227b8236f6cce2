// What simulated Hyper-V hosts know beyond the estate, as plain data: it is kept in the estate's state file.
import type { DiskId, DiskSpec, MachineSpec, PlaceId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { FaultAct, InjectedError, Lie } from '../model.ts';
import type { EndpointRecord, MachineRecord } from '../records.ts';
import type { ReplicaServerRecord, ReplicationRecord } from './replica/model.ts';

export type HypervKind = 'host' | 'cluster' | 'vmm';

/** On `EndpointRecord.hyperv`. */
export interface HypervRecord {
  readonly kind: HypervKind;
  readonly hosts: HostRecord[];
  /** By path in lower case. */
  files: Record<string, FileRecord>;
  /** Folders that machines were made in, in lower case. */
  folders: string[];
  switches: SwitchRecord[];
  /** How it takes replicas from other hosts, where that was changed. */
  replicaServer?: ReplicaServerRecord;
}

export interface HostRecord {
  readonly name: string;
  readonly place: PlaceId;
  up: boolean;
  /** Until then its management service answers nothing. */
  vmmsStoppedUntilMs?: number;
  mounts: MountRecord[];
}

/** A virtual disk that is a disk of the host, `\\.\PhysicalDriveN`; 0 is the host's own. */
export interface MountRecord {
  readonly number: number;
  /** Key of its file. */
  readonly file: string;
  readonly readOnly: boolean;
  /** Windows writes to the volumes of a disk that is online: nobody else may. */
  offline: boolean;
}

export interface FileRecord {
  /** As it was written first. */
  path: string;
  layer: string;
  /** DiskIdentifier: page 83 of the disk. A differencing disk has its parent's until it is reset. */
  identifier: string;
  readonly type: 'Fixed' | 'Dynamic' | 'Differencing';
  /** Key of the file under it. */
  parent?: string;
  readonly logicalSectorBytes: DiskSpec['logicalSectorBytes'];
  readonly physicalSectorBytes: DiskSpec['physicalSectorBytes'];
}

export interface SwitchRecord {
  readonly id: string;
  readonly host: string;
  name: string;
  readonly type: 'External' | 'Internal' | 'Private';
  notes: string;
  /** The network of the estate that it is. */
  readonly place: PlaceId;
}

/** On `MachineRecord.hv` of a machine of a hyperv endpoint. The host that has it is `MachineRecord.host`. */
export interface HvRecord {
  readonly generation: 1 | 2;
  /** Its id on hosts, of a replica: the estate knows another machine by it. */
  readonly vmId?: string;
  readonly version: string;
  notes: string;
  /** Folder of its configuration. */
  readonly path: string;
  readonly createdMs: number;
  clustered: boolean;
  memory: { readonly dynamic: boolean; readonly startup: number; readonly minimum: number; readonly maximum: number };
  startAction: 'Nothing' | 'StartIfRunning' | 'Start';
  stopAction: 'TurnOff' | 'Save' | 'ShutDown';
  checkpointType: 'Disabled' | 'Production' | 'ProductionOnly' | 'Standard';
  automaticCheckpoints: boolean;
  secureBoot: boolean;
  secureBootTemplate: string;
  tpm: boolean;
  scsiControllers: number;
  drives: DriveRecord[];
  dvds: DvdRecord[];
  adapters: AdapterRecord[];
  /** Of generation 2: the drive that the firmware starts from, where it is not the first. */
  firstBoot?: string;
  checkpoints: CheckpointRecord[];
  /** The checkpoint under the live disks. */
  current?: string;
  referencePoints: ReferencePointRecord[];
  /** Its tracking is resilient: begun by a recovery checkpoint, it outlives a crash and tells too much then. */
  rct: boolean;
  /** Disks that still have to be merged; they go on by themselves. */
  merging?: { readonly untilMs: number };
  /** A virtual machine's files are closed a moment after its power has gone. */
  closedAtMs?: number;
  /** By Hyper-V itself. */
  replication?: ReplicationRecord;
  /** Custom properties of VMM. */
  custom: Record<string, string>;
}

export interface DriveRecord {
  readonly id: string;
  readonly type: 'IDE' | 'SCSI';
  readonly number: number;
  readonly location: number;
  /** As it was given. */
  path: string;
  /** The disk of the estate. */
  disk: DiskId;
}

export interface DvdRecord {
  readonly id: string;
  readonly type: 'IDE' | 'SCSI';
  readonly number: number;
  readonly location: number;
}

export interface AdapterRecord {
  readonly id: string;
  readonly name: string;
  /** Twelve digits without separators, as the module shows them. */
  readonly mac: string;
  readonly dynamicMac: boolean;
  /** Name of the switch: another host has another one of this name. */
  switchName?: string;
  vlan?: number;
  testSwitch?: string;
  failover?: Readonly<Record<string, string>>;
}

export interface CheckpointRecord {
  readonly id: string;
  readonly name: string;
  readonly kind: 'Standard' | 'Recovery' | 'Replica' | 'AppConsistentReplica';
  readonly createdMs: number;
  readonly parent?: string;
  readonly application: boolean;
  readonly disks: readonly {
    readonly disk: DiskId;
    /** Key of the file that it froze. */
    readonly file: string;
    readonly sizeBytes: number;
    /** Of a recovery checkpoint: its place in what the tracker knows. */
    readonly position?: number;
  }[];
  /** The machine's configuration at that instant: going back brings it back whole, notes too. */
  readonly config: Pick<
    HvRecord,
    'notes' | 'memory' | 'drives' | 'adapters' | 'dvds' | 'scsiControllers' | 'secureBoot' | 'secureBootTemplate'
  > & {
    readonly spec: MachineSpec;
    readonly name: string;
  };
}

export interface ReferencePointRecord {
  readonly id: string;
  readonly application: boolean;
  readonly disks: readonly { readonly disk: DiskId; readonly identifier: string; readonly rctId: string }[];
}

/** A machine that hosts know. */
export type Hv = MachineRecord & { readonly hv: HvRecord };

export interface At {
  readonly estate: Estate;
  readonly endpoint: EndpointRecord;
  readonly hyperv: HypervRecord;
}

/** Where the steps of a session run. */
export interface OnHost extends At {
  readonly host: HostRecord;
}

/** One step on a host. What is synchronous in a cmdlet is one instant of the estate. */
export interface PsContext extends OnHost {
  /** How the session was addressed: a VMM server runs other cmdlets than a host. */
  readonly role: 'host' | 'vmm';
  readonly session: PsSession;
  readonly lies: ReadonlySet<Lie>;
  /** The job that the step starts never ends. */
  readonly stall: boolean;
  readonly acts: readonly FaultAct[];
  /** The job that the step starts ends with it. */
  readonly taskError?: InjectedError;
  readonly signal: AbortSignal;
  warn(text: string): void;
  /** About one object of several: throws, unless the step collects. */
  report(error: unknown): void;
}

export interface PsSession {
  /** Get-SCVMMServer has run. */
  vmm: boolean;
}
