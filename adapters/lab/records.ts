// What the estate consists of, as it is kept in the state file: plain data.
import type { Baseline, DiskId, Epoch, Finding, ForkId, MachineId, MachineSpec, NicId, Place, PlaceId } from '../../core/contract/index.ts';
import type { ProfileName, SnapshotInfo, Violation } from './port.ts';
import type { HvRecord, HypervRecord } from './powershell/model.ts';
import type { TrackerState } from './tracker.ts';
import type { VcenterRecord, VmRecord } from './vsphere/model.ts';

export interface SiteRecord {
  readonly name: string;
  burned: boolean;
  linkCut: boolean | 'silent';
}

export interface PlaceRecord {
  readonly id: PlaceId;
  readonly kind: Place['kind'];
  readonly name: string;
  readonly parent?: PlaceId;
  readonly capacityBytes?: number;
  /** What files of somebody else take of it. */
  foreignBytes?: number;
  /** A share that hosts have mounted. */
  readonly nas?: { readonly remoteHost: string; readonly remotePath: string; readonly hosts: readonly PlaceId[] };
  /** A test network and who made it: nothing on it reaches production. */
  readonly isolated?: { readonly owner: string; readonly operationId: string };
}

export interface EndpointRecord {
  readonly name: string;
  readonly site: string;
  readonly profile: ProfileName;
  readonly username?: string;
  readonly password?: string;
  places: PlaceRecord[];
  fences: Record<string, Epoch>;
  /** Of a vmware endpoint: what its vCenter knows. */
  vsphere?: VcenterRecord;
  /** Of a hyperv endpoint: its hosts, and what is on them. */
  hyperv?: HypervRecord;
}

export interface MachineRecord {
  readonly id: MachineId;
  readonly endpoint: string;
  name: string;
  spec: MachineSpec;
  labels: Record<string, string>;
  host?: PlaceId;
  power: 'on' | 'off';
  bootedAtMs?: number;
  bootFailure?: string;
  /** Starts by itself when power comes back, if it ran when the power went. */
  autostart: boolean;
  ranAtPowerCut?: boolean;
  writesPerSecond: number;
  paused: boolean;
  bootDelayMs: number;
  shutdownDelayMs: number;
  refusesShutdown: boolean;
  protectedElsewhere?: string;
  generation: number;
  tracked: boolean;
  /** The layer that the machine writes to, for each disk. */
  volumes: Record<DiskId, string>;
  replica?: ReplicaMark;
  /** The fork that this machine is. */
  fork?: ForkId;
  /** Of a machine of a vmware endpoint. */
  vm?: VmRecord;
  /** Of a machine of a hyperv endpoint. */
  hv?: HvRecord;
}

export interface ReplicaMark {
  readonly owner: string;
  readonly operationId?: string;
  readonly adopted: boolean;
  /** Ids of the source's definition to ids here. */
  disks: Record<string, DiskId>;
  nics: Record<string, NicId>;
}

export interface SnapshotRecord {
  readonly info: SnapshotInfo;
  readonly endpoint: string;
  readonly owner: string;
  /** Of a snapshot that a vCenter took: what its description says it is for. */
  readonly kind?: 'cycle' | 'fork';
  readonly volumes: Record<DiskId, string>;
  readonly since: Record<DiskId, Baseline>;
}

export interface ForkRecord {
  readonly id: ForkId;
  readonly endpoint: string;
  readonly owner: string;
  readonly operationId: string;
  readonly replica: MachineId;
  readonly machine: MachineId;
  readonly mode: 'overlay' | 'clone';
  readonly purpose: 'test' | 'failover';
  readonly disks: Record<string, DiskId>;
  readonly nics: Record<string, NicId>;
  readonly findings: readonly Finding[];
  /** Fork's disk to the replica's disk, and to the layer under it. */
  readonly base: Record<DiskId, { readonly disk: DiskId; readonly volume: string }>;
  /** What the replica was before, when the fork is the replica itself. */
  readonly before?: { readonly name: string; readonly spec: MachineSpec };
  state: 'ready' | 'promoting' | 'promoted';
}

export interface VolumeRecord {
  readonly name: string;
  readonly sizeBytes: number;
  readonly storage: PlaceId;
  readonly parent?: string;
  readonly snapshot: boolean;
}

/** What the estate tells of beside time. */
export interface EstateEvents {
  machine: [MachineId];
  thaw: [MachineId];
  /** The revision has risen. */
  any: [];
  /** Of a site, whose connections break. */
  unreachable: [string];
  /** Of an endpoint, at which every host has lost its power. */
  powerCut: [string];
}

export const STATE_VERSION = 1;

export interface SavedState {
  readonly version: typeof STATE_VERSION;
  /** Set by an orderly end only: then machines go on as they were and trackers are whole. */
  readonly clean: boolean;
  readonly seed: string;
  readonly random: readonly number[];
  readonly counter: number;
  readonly revision: number;
  readonly nowMs: number;
  readonly sites: readonly SiteRecord[];
  readonly endpoints: readonly EndpointRecord[];
  readonly machines: readonly MachineRecord[];
  readonly snapshots: readonly SnapshotRecord[];
  readonly forks: readonly ForkRecord[];
  readonly volumes: readonly VolumeRecord[];
  readonly trackers: Readonly<Record<string, TrackerState>>;
  /** What machines that Hyper-V replicates have not sent yet, as runs of granules; of an orderly end only. */
  readonly logs?: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  readonly violations: readonly Violation[];
  /** Machines whose guest was up. */
  readonly up: readonly MachineId[];
}
