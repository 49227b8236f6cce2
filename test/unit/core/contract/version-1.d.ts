// Version 1 of the contract as it was frozen: what a plugin gives and gets, without comments. Never changed; see docs/integrator/versioning.md.
type Brand<B extends string> = string & {
  readonly __brand: B;
};
export type MachineId = Brand<'machine'>;
export type DiskId = Brand<'disk'>;
export type NicId = Brand<'nic'>;
export type PlaceId = Brand<'place'>;
export type SnapshotId = Brand<'snapshot'>;
export type Baseline = Brand<'baseline'>;
export type ForkId = Brand<'fork'>;
export type ItemId = Brand<'item'>;
export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly zero?: true;
}
export type PowerState = 'on' | 'off' | 'suspended' | 'unknown';
export interface Machine {
  readonly id: MachineId;
  readonly name: string;
  readonly power: PowerState;
  readonly spec: MachineSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly bootedAt?: string;
  readonly host?: PlaceId;
  readonly guestName?: string;
  readonly addresses: readonly string[];
  readonly protectedElsewhere?: string;
}
export interface MachineSpec {
  readonly firmware: 'bios' | 'uefi';
  readonly secureBoot?: boolean;
  readonly tpm?: boolean;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly guest: {
    readonly family: 'windows' | 'linux' | 'other';
    readonly detail?: string;
  };
  readonly disks: readonly DiskSpec[];
  readonly nics: readonly NicSpec[];
  readonly vendor?: Readonly<Record<string, unknown>>;
}
export interface DiskSpec {
  readonly id: DiskId;
  readonly sizeBytes: number;
  readonly bus: 'ide' | 'sata' | 'scsi' | 'nvme' | 'virtio';
  readonly slot: string;
  readonly boot: boolean;
  readonly logicalSectorBytes: 512 | 4096;
  readonly physicalSectorBytes: 512 | 4096;
  readonly storage?: PlaceId;
}
export interface NicSpec {
  readonly id: NicId;
  readonly mac?: string;
  readonly network?: PlaceId;
  readonly model?: string;
}
export interface Place {
  readonly id: PlaceId;
  readonly kind: 'network' | 'storage' | 'folder' | 'host' | 'pool';
  readonly name: string;
  readonly parent?: PlaceId;
  readonly freeBytes?: number;
}
export interface Finding {
  readonly code: string;
  readonly level: 'info' | 'warning' | 'blocks';
  readonly message: string;
  readonly hint: string;
}
export interface Epoch {
  readonly item: ItemId;
  readonly epoch: number;
  readonly holder: string;
}
export interface Capabilities {
  readonly tracking: 'native' | 'none';
  readonly consistency: readonly ('crash' | 'application')[];
  readonly atomicity: 'disk' | 'machine' | 'group';
  readonly testNetwork: 'host' | 'cluster' | 'site' | 'none';
  readonly power: readonly ('on' | 'off' | 'shutdown')[];
  readonly finalFreeze: boolean;
  readonly snapshotSurvivesDisconnect: boolean;
  readonly maxSnapshotsPerMachine: number;
}
export interface NativePair {
  listener(call: Call): Promise<NativeListener>;
  checkPair(id: MachineId, to: NativePeer, call: Call): Promise<readonly Finding[]>;
  enable(id: MachineId, to: NativePeer, call: Call): Promise<void>;
  remove(id: MachineId, call: Call): Promise<void>;
  seed(id: MachineId, how: NativeSeed, call: Call): Promise<void>;
  observe(ids: readonly MachineId[], call: Call): AsyncIterable<NativeStatus>;
  act(id: MachineId, step: NativeStep, call: Call): Promise<NativeStatus>;
}
export interface NativeListener {
  readonly address: string;
  readonly port: number;
  readonly authentication: readonly NativeSettings['authentication'][];
  readonly findings: readonly Finding[];
}
export interface NativePeer {
  readonly address: string;
  readonly port: number;
  readonly settings: NativeSettings;
}
export interface NativeSettings {
  readonly frequencySeconds: 30 | 300 | 900;
  readonly points: number;
  readonly applicationConsistentHours: number;
  readonly compression: boolean;
  readonly authentication: 'kerberos' | 'certificate';
  readonly certificateThumbprint?: string;
}
export type NativeSeed =
  | {
      readonly by: 'network';
      readonly startAt?: string;
    }
  | {
      readonly by: 'media';
      readonly path: string;
    }
  | {
      readonly by: 'existing';
    };
export type NativeStep =
  | {
      readonly do: 'prepare';
    }
  | {
      readonly do: 'pause' | 'resume' | 'resync';
    }
  | {
      readonly do: 'failover';
      readonly point?: string;
      readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
    }
  | {
      readonly do: 'test';
      readonly point?: string;
      readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
    }
  | {
      readonly do: 'endTest';
    }
  | {
      readonly do: 'cancel';
    }
  | {
      readonly do: 'commit';
    }
  | {
      readonly do: 'reverse';
      readonly to: NativePeer;
    };
export type NativeHealth = 'NotApplicable' | 'Normal' | 'Warning' | 'Critical';
export interface NativeStatus {
  readonly machine: MachineId;
  readonly role: 'source' | 'replica' | 'none';
  readonly vendorState: string;
  readonly health: NativeHealth;
  readonly because?: string;
  readonly replicatedAt?: string;
  readonly points: readonly NativePoint[];
  readonly testMachine?: MachineId;
  readonly allowed: readonly NativeStep['do'][];
}
export interface NativePoint {
  readonly id: string;
  readonly at: string;
  readonly consistency: 'crash' | 'application';
}
export declare const CONTRACT_VERSION = 1;
export interface Plugin<Config = Readonly<Record<string, unknown>>> {
  readonly manifest: Manifest;
  connect(config: Config, host: HostContext, call: Call): Promise<Session>;
}
export interface Manifest {
  readonly id: string;
  readonly displayName: string;
  readonly contractVersion: typeof CONTRACT_VERSION;
  readonly config: readonly ConfigField[];
  readonly capabilities: Capabilities;
}
export interface ConfigField {
  readonly name: string;
  readonly type: 'string' | 'number' | 'boolean' | 'secret' | 'choice' | 'pin';
  readonly choices?: readonly string[];
  readonly required?: boolean;
  readonly default?: string | number | boolean;
  readonly help: string;
}
export interface HostContext {
  readonly ownerId: string;
  readonly localMachine?: MachineId;
  readonly scratchDir: string;
}
export interface Call {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
  readonly log: Log;
  readonly operationId: string;
  readonly fence?: Epoch;
}
export interface Log {
  debug(message: string, fields?: object): void;
  info(message: string, fields?: object): void;
  warn(message: string, fields?: object): void;
}
export interface Session extends AsyncDisposable {
  readonly capabilities: Capabilities;
  readonly inventory: Inventory;
  readonly power?: Power;
  readonly source?: SnapshotSource | StreamingSource;
  readonly target?: Target;
  readonly network?: Network;
  readonly fence?: FenceStore;
  readonly nativePair?: NativePair;
  check(call: Call): Promise<readonly Finding[]>;
}
export interface Inventory {
  listMachines(
    query: {
      readonly labels?: Readonly<Record<string, string>>;
    },
    call: Call,
  ): AsyncIterable<Machine>;
  getMachine(id: MachineId, call: Call): Promise<Machine>;
  listPlaces(kind: Place['kind'], call: Call): AsyncIterable<Place>;
  checkProtectable(id: MachineId, as: 'source' | 'target', call: Call): Promise<readonly Finding[]>;
  watch?(cursor: string | undefined, call: Call): AsyncIterable<InventoryChange>;
}
export interface InventoryChange {
  readonly cursor: string;
  readonly changed: readonly MachineId[];
  readonly gone: readonly MachineId[];
}
export interface Power {
  set(id: MachineId, to: 'on' | 'off' | 'shutdown', call: Call): Promise<void>;
}
export interface PointRequest {
  readonly consistency: 'crash' | 'application';
  readonly orElse: 'crash' | 'refuse';
  readonly since: ReadonlyMap<DiskId, Baseline>;
}
export interface SnapshotSource {
  readonly kind: 'snapshot';
  enableTracking(id: MachineId, call: Call): Promise<readonly Finding[]>;
  disableTracking(id: MachineId, call: Call): Promise<void>;
  createSnapshot(ids: readonly MachineId[], want: PointRequest, call: Call): Promise<Snapshot>;
  listSnapshots(call: Call): AsyncIterable<Snapshot>;
  releaseSnapshot(id: SnapshotId, outcome: 'sealed' | 'abandoned', call: Call): Promise<void>;
  changedExtents(of: SnapshotId, disk: DiskId, from: number, call: Call): AsyncIterable<Extent>;
  allocatedExtents(of: SnapshotId, disk: DiskId, from: number, call: Call): AsyncIterable<Extent>;
  openReader(of: SnapshotId, disk: DiskId, call: Call): Promise<DiskReader>;
  keepBaselines(id: MachineId, keep: ReadonlyMap<DiskId, readonly Baseline[]>, call: Call): Promise<void>;
}
export interface Snapshot {
  readonly id: SnapshotId;
  readonly machines: readonly MachineId[];
  readonly takenAt: string;
  readonly operationId: string;
  readonly atomicity:
    | 'instant'
    | 'frozen'
    | {
        readonly skewedMs: number;
      };
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  readonly disks: readonly SnapshotDisk[];
  readonly specs: ReadonlyMap<MachineId, MachineSpec>;
}
export interface SnapshotDisk {
  readonly disk: DiskId;
  readonly machine: MachineId;
  readonly sizeBytes: number;
  readonly baseline?: Baseline;
}
export interface StreamingSource {
  readonly kind: 'streaming';
  enableTracking(id: MachineId, call: Call): Promise<readonly Finding[]>;
  disableTracking(id: MachineId, call: Call): Promise<void>;
  capture(id: MachineId, want: CaptureRequest, call: Call): AsyncIterable<Pass>;
  keepBaselines(id: MachineId, keep: ReadonlyMap<DiskId, readonly Baseline[]>, call: Call): Promise<void>;
}
export interface CaptureRequest extends PointRequest {
  readonly maxFreezeMs: number;
  readonly afterFinal: 'thaw' | 'stayFrozen';
}
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
export interface DiskReader extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  read(offset: number, into: Uint8Array, call: Call): Promise<void>;
  digests?(blockBytes: number, from: number, call: Call): AsyncIterable<BlockDigest>;
}
export interface BlockDigest {
  readonly offset: number;
  readonly sha256: Uint8Array;
}
export interface Target {
  createReplica?(spec: MachineSpec, as: ReplicaRequest, call: Call): Promise<Placed>;
  adoptReplica(id: MachineId, spec: MachineSpec, call: Call): Promise<Placed>;
  reshapeReplica(id: MachineId, spec: MachineSpec, call: Call): Promise<Placed>;
  deleteReplicaDisk(id: MachineId, disk: DiskId, call: Call): Promise<void>;
  deleteReplica?(id: MachineId, call: Call): Promise<void>;
  openReplicaDisk(id: MachineId, disk: DiskId, call: Call): Promise<ReplicaDisk>;
  readonly forks?: Forks;
}
export interface ReplicaRequest {
  readonly name: string;
  readonly storage?: PlaceId;
  readonly folder?: PlaceId;
  readonly host?: PlaceId;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
}
export interface Placed {
  readonly machine: Machine;
  readonly disks: ReadonlyMap<DiskId, DiskId>;
  readonly nics: ReadonlyMap<NicId, NicId>;
  readonly findings: readonly Finding[];
}
export interface Forks {
  readonly modes: readonly ('overlay' | 'clone')[];
  create(replica: MachineId, as: ForkRequest, call: Call): Promise<Fork>;
  openDisk(id: ForkId, disk: DiskId, call: Call): Promise<ReplicaDisk>;
  promote(id: ForkId, call: Call): Promise<Machine>;
  discard(id: ForkId, call: Call): Promise<void>;
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
export interface Fork extends Placed {
  readonly id: ForkId;
  readonly replica: MachineId;
  readonly purpose: 'test' | 'failover';
  readonly operationId: string;
}
export interface ReplicaDisk extends DiskReader {
  write(offset: number, data: Uint8Array, call: Call): Promise<void>;
  writeZeroes(offset: number, length: number, call: Call): Promise<void>;
  flush(call: Call): Promise<void>;
}
export interface Network {
  connectNic(id: MachineId, nic: NicId, to: PlaceId | 'disconnected', call: Call): Promise<void>;
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
export interface FenceStore {
  read(id: MachineId, call: Call): Promise<Epoch | undefined>;
  advance(id: MachineId, expected: Epoch | undefined, next: Epoch, call: Call): Promise<void>;
  isolate(id: MachineId, call: Call): Promise<void>;
}
