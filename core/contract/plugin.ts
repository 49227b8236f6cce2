import type { Capabilities } from './capabilities.ts';
import type {
  Baseline,
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
} from './model.ts';
import type { NativePair } from './native-pair.ts';

export const CONTRACT_VERSION = 1;

// ---- plugin and session ----------------------------------------------------------------------------------------------

export interface Plugin<Config = Readonly<Record<string, unknown>>> {
  readonly manifest: Manifest;
  /** Opens one session to one endpoint. Rejects with an Access or Reach error, never hangs past `call.deadlineMs`. */
  connect(config: Config, host: HostContext, call: Call): Promise<Session>;
}

export interface Manifest {
  /** kebab-case, unique, stable for ever. */
  readonly id: string;
  readonly displayName: string;
  readonly contractVersion: typeof CONTRACT_VERSION;
  /** The host validates, prompts, masks and documents these; a plugin never sees a raw configuration. */
  readonly config: readonly ConfigField[];
  /** The most that this plugin can ever do. */
  readonly capabilities: Capabilities;
}

export interface ConfigField {
  readonly name: string;
  /**
   * `pin`: the SHA-256 of the endpoint's certificate or host key, which connect gets as 64 lower-case hex digits. Not a secret; at most one field.
   * With it nothing else identifies the endpoint. Without it, or when it differs, connect rejects what it has no other reason to trust with
   * CERTIFICATE_UNTRUSTED or HOST_KEY_MISMATCH, the fingerprint that was seen in `context.actual`, for a person to compare and accept.
   */
  readonly type: 'string' | 'number' | 'boolean' | 'secret' | 'choice' | 'pin';
  readonly choices?: readonly string[];
  readonly required?: boolean;
  readonly default?: string | number | boolean;
  readonly help: string;
}

export interface HostContext {
  /** This installation: a plugin tags what it creates with it, and lists and sweeps only what carries it. */
  readonly ownerId: string;
  /** Where we run, when that is a machine of this endpoint (HotAdd). */
  readonly localMachine?: MachineId;
  readonly scratchDir: string;
}

/** Last argument of every call. Once the signal aborts, stop and reject with `signal.reason`. */
export interface Call {
  readonly signal: AbortSignal;
  /** How long the call may take, counted from when it is made. */
  readonly deadlineMs: number;
  readonly log: Log;
  /** Equal when a call is retried: creating calls find what they made before. */
  readonly operationId: string;
  /** Required on power-on, attach, write and delete; compared with the FenceStore where there is one. */
  readonly fence?: Epoch;
}

export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
}

/** A facet that is absent is not supported; no method throws "not supported". */
export interface Session extends AsyncDisposable {
  readonly capabilities: Capabilities;
  readonly inventory: Inventory;
  readonly power?: Power;
  readonly source?: SnapshotSource | StreamingSource;
  readonly target?: Target;
  readonly network?: Network;
  readonly fence?: FenceStore;
  readonly nativePair?: NativePair;
  /** Version, rights held per purpose (assess, protect, recover), clock, certificates; with the code DATA_PATH how disks are read and written. */
  check(call: Call): Promise<readonly Finding[]>;
}

export interface Inventory {
  listMachines(query: { readonly labels?: Readonly<Record<string, string>> }, call: Call): AsyncIterable<Machine>;
  /** Throws NOT_FOUND. */
  getMachine(id: MachineId, call: Call): Promise<Machine>;
  listPlaces(kind: Place['kind'], call: Call): AsyncIterable<Place>;
  /** What stands in the way; with the code DATA_PATH how this machine's disks would be read or written. */
  checkProtectable(id: MachineId, as: 'source' | 'target', call: Call): Promise<readonly Finding[]>;
  watch?(cursor: string | undefined, call: Call): AsyncIterable<InventoryChange>;
}

export interface InventoryChange {
  readonly cursor: string;
  readonly changed: readonly MachineId[];
  readonly gone: readonly MachineId[];
}

/** Idempotent. `shutdown` asks the guest and fails with SHUTDOWN_REFUSED at the deadline: it never turns into `off` by itself. */
export interface Power {
  set(id: MachineId, to: 'on' | 'off' | 'shutdown', call: Call): Promise<void>;
}

// ---- source ----------------------------------------------------------------------------------------------------------

export interface PointRequest {
  readonly consistency: 'crash' | 'application';
  readonly orElse: 'crash' | 'refuse';
  /** The baselines that changedExtents will be asked for. Some trackers need them at snapshot time. */
  readonly since: ReadonlyMap<DiskId, Baseline>;
}

/** Hypervisors: a snapshot is the frozen state that one cycle reads. */
export interface SnapshotSource {
  readonly kind: 'snapshot';
  /** Findings say what it still takes: a stun, a power cycle, … */
  enableTracking(id: MachineId, call: Call): Promise<readonly Finding[]>;
  disableTracking(id: MachineId, call: Call): Promise<void>;
  /** One instant for all disks of all given machines when `atomicity` allows it, else the achieved atomicity is stated. */
  createSnapshot(ids: readonly MachineId[], want: PointRequest, call: Call): Promise<Snapshot>;
  /** All that carry our ownerId: finds orphans. */
  listSnapshots(call: Call): AsyncIterable<Snapshot>;
  /** `sealed` keeps the new baseline, `abandoned` the old one. Resolves when merged away; succeeds if gone. */
  releaseSnapshot(id: SnapshotId, outcome: 'sealed' | 'abandoned', call: Call): Promise<void>;
  /** Since `want.since` of that snapshot, from a byte offset on; or TRACKING_LOST. Ascending, disjoint; a normal end means complete. */
  changedExtents(of: SnapshotId, disk: DiskId, from: number, call: Call): AsyncIterable<Extent>;
  allocatedExtents(of: SnapshotId, disk: DiskId, from: number, call: Call): AsyncIterable<Extent>;
  openReader(of: SnapshotId, disk: DiskId, call: Call): Promise<DiskReader>;
  /** The far side has sealed: forget every baseline of ours but these (reference points, bitmaps, checkpoints). Idempotent. */
  keepBaselines(id: MachineId, keep: ReadonlyMap<DiskId, readonly Baseline[]>, call: Call): Promise<void>;
}

export interface Snapshot {
  readonly id: SnapshotId;
  readonly machines: readonly MachineId[];
  readonly takenAt: string;
  readonly operationId: string;
  readonly atomicity: 'instant' | 'frozen' | { readonly skewedMs: number };
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  readonly disks: readonly SnapshotDisk[];
  /** The definition at that instant belongs to the point. */
  readonly specs: ReadonlyMap<MachineId, MachineSpec>;
}

export interface SnapshotDisk {
  readonly disk: DiskId;
  readonly machine: MachineId;
  readonly sizeBytes: number;
  readonly baseline?: Baseline;
}

/**
 * Servers without snapshots: passes over the running machine, then a short frozen one. Only a final pass that ended normally makes a point.
 * Frozen from before the final pass is yielded until next() or return(); an earlier thaw throws and voids the pass.
 * TRACKING_LOST is thrown before the first pass.
 */
export interface StreamingSource {
  readonly kind: 'streaming';
  enableTracking(id: MachineId, call: Call): Promise<readonly Finding[]>;
  disableTracking(id: MachineId, call: Call): Promise<void>;
  capture(id: MachineId, want: CaptureRequest, call: Call): AsyncIterable<Pass>;
  keepBaselines(id: MachineId, keep: ReadonlyMap<DiskId, readonly Baseline[]>, call: Call): Promise<void>;
}

export interface CaptureRequest extends PointRequest {
  readonly maxFreezeMs: number;
  /** `stayFrozen`: until the machine is powered off, or powered on, which thaws it. */
  readonly afterFinal: 'thaw' | 'stayFrozen';
}

/** Its readers end with the next pass. */
export interface Pass {
  readonly final: boolean;
  readonly spec: MachineSpec;
  readonly disks: readonly PassDisk[];
}

export interface PassDisk {
  readonly disk: DiskId;
  readonly baseline?: Baseline;
  extents(from: number): AsyncIterable<Extent>;
  readonly reader: DiskReader;
}

/**
 * `read` fills the caller's buffer; requests may overlap in time up to maxInFlight.
 * The engine does pipelining, zero tests, digests and compression.
 */
export interface DiskReader extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  read(offset: number, into: Uint8Array, call: Call): Promise<void>;
  /** SHA-256 of each block from a byte offset on; the last block may be short. */
  digests?(blockBytes: number, from: number, call: Call): AsyncIterable<BlockDigest>;
}

export interface BlockDigest {
  readonly offset: number;
  readonly sha256: Uint8Array;
}

// ---- target ----------------------------------------------------------------------------------------------------------

/** The engine keeps journal and points; a target gives disks to write and machines to run. */
export interface Target {
  /** Powered off, autostart off, HA restart off, one per operationId. Absent: the target only adopts (physical servers). */
  createReplica?(spec: MachineSpec, as: ReplicaRequest, call: Call): Promise<Placed>;
  /** An existing machine as replica: failback, seed, physical. */
  adoptReplica(id: MachineId, spec: MachineSpec, call: Call): Promise<Placed>;
  /** A disk was added or has grown. Never shrinks. */
  reshapeReplica(id: MachineId, spec: MachineSpec, call: Call): Promise<Placed>;
  deleteReplicaDisk(id: MachineId, disk: DiskId, call: Call): Promise<void>;
  deleteReplica?(id: MachineId, call: Call): Promise<void>;
  openReplicaDisk(id: MachineId, disk: DiskId, call: Call): Promise<ReplicaDisk>;
  /** Absent: no test failover, no change point, no cancel on this target. */
  readonly forks?: Forks;
}

/** Where a replica goes and how it is called there. What is left out the target chooses. */
export interface ReplicaRequest {
  readonly name: string;
  readonly storage?: PlaceId;
  readonly folder?: PlaceId;
  readonly host?: PlaceId;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
}

/** What was asked for, and the ids that it got: the engine never guesses which disk is which. */
export interface Placed {
  readonly machine: Machine;
  readonly disks: ReadonlyMap<DiskId, DiskId>;
  readonly nics: ReadonlyMap<NicId, NicId>;
  readonly findings: readonly Finding[];
}

/** A machine that runs on top of a replica's disks without changing them: test failover, and every failover until commit. */
export interface Forks {
  readonly modes: readonly ('overlay' | 'clone')[];
  /** One per operationId, powered off. */
  create(replica: MachineId, as: ForkRequest, call: Call): Promise<Fork>;
  /** Powered off only: older points, boot fixes. */
  openDisk(id: ForkId, disk: DiskId, call: Call): Promise<ReplicaDisk>;
  /** Of a fork for a failover, also while it runs; returns the machine that remains; restartable. A fork for a test is only ever discarded. */
  promote(id: ForkId, call: Call): Promise<Machine>;
  /** Powered off first; succeeds if gone. */
  discard(id: ForkId, call: Call): Promise<void>;
  /** All that carry our ownerId. */
  list(call: Call): AsyncIterable<Fork>;
}

export interface ForkRequest {
  readonly mode: 'overlay' | 'clone';
  readonly purpose: 'test' | 'failover';
  readonly name: string;
  readonly spec: MachineSpec;
  readonly newGenerationId: boolean;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
}

/** `machine` may be the replica itself (VM snapshot, checkpoint) or a second machine (linked overlay disk). `disks` maps the ids of the request's spec. */
export interface Fork extends Placed {
  readonly id: ForkId;
  readonly replica: MachineId;
  readonly purpose: 'test' | 'failover';
  readonly operationId: string;
}

export interface ReplicaDisk extends DiskReader {
  write(offset: number, data: Uint8Array, call: Call): Promise<void>;
  /** Like `write`, of at most maxRequestBytes. */
  writeZeroes(offset: number, length: number, call: Call): Promise<void>;
  /** All writes that were answered before are durable after; nothing is before. */
  flush(call: Call): Promise<void>;
}

// ---- network, fence ---------------------------------------------------------------------------------------

export interface Network {
  connectNic(id: MachineId, nic: NicId, to: PlaceId | 'disconnected', call: Call): Promise<void>;
  /** Isolated; one per operationId. */
  createTestNetwork(like: PlaceId, call: Call): Promise<Place>;
  deleteTestNetwork(id: PlaceId, call: Call): Promise<void>;
  setGuestAddresses(id: MachineId, nics: ReadonlyMap<NicId, GuestAddress>, call: Call): Promise<readonly Finding[]>;
}

export interface GuestAddress {
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly gateway?: string;
  readonly dns?: readonly string[];
  readonly dhcp?: boolean;
}

/** Advisory at the hypervisor; enforced where our own code acts. */
export interface FenceStore {
  read(id: MachineId, call: Call): Promise<Epoch | undefined>;
  /** Compare and set, else FENCED. */
  advance(id: MachineId, expected: Epoch | undefined, next: Epoch, call: Call): Promise<void>;
  /** NICs off, autostart off, then power off. */
  isolate(id: MachineId, call: Call): Promise<void>;
}
