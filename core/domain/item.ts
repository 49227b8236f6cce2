import type { Baseline, DiskId, Epoch, ForkId, ItemId, MachineId, NativeHealth, NicId, PlaceId } from '../contract/index.ts';

export type SiteId = string;
/** Stable name of a disk inside its item ('disk0', 'disk1', …): the same whichever side is looked at. */
export type DiskKey = string;

/** Each *-ing has a failed twin that allows retry, a way back where there is one, and unprotect. */
export const IN_PROGRESS = [
  'Enabling',
  'FailingOver',
  'ChangingPoint',
  'CancellingFailover',
  'Committing',
  'Reprotecting',
  'Disabling',
] as const;
export type InProgress = (typeof IN_PROGRESS)[number];
export type Protection =
  | 'Unprotected'
  | 'InitialReplication'
  | 'Protected'
  | 'CommitPending'
  | 'FailedOver'
  | InProgress
  | `${InProgress}Failed`;

export type SyncKind = 'None' | 'InitialSync' | 'Delta' | 'Paused' | 'ResyncRequired' | 'Resyncing' | 'Stalled';
export interface Sync {
  readonly is: SyncKind;
  readonly reason?: string;
}
export type TestState = 'None' | 'Starting' | 'Running' | 'CleaningUp' | 'CleanupFailed';
export type Active = { readonly site: SiteId } | 'both' | 'neither' | 'unknown';

export type FailoverKind = 'planned' | 'unplanned';
export type FailoverPhase = 'Quiescing' | 'SourceOff' | 'FinalSealed' | 'Started';

/** `journaled`: the engine moves the bytes. `native`: the hosts replicate by themselves, the engine orders the steps. */
export type ReplicationMethod = 'journaled' | 'native';

/** The axes. Health and the flags are computed from them, never stored. */
export interface ItemState {
  readonly protection: Protection;
  readonly sync: Sync;
  readonly test: TestState;
  readonly active: Active;
  readonly direction: { readonly from: SiteId; readonly to: SiteId };
  /** Present from the begin of a failover to the end of its commit or cancel. */
  readonly failover?: Failover;
}

export interface Failover {
  readonly kind: FailoverKind;
  readonly phase: FailoverPhase;
  readonly startedAt: string;
  /** The recovery point that the machine runs from; absent until it is chosen. */
  readonly point?: string;
  /** We shut the source down, so cancel starts it again. */
  readonly sourceWasOn?: boolean;
  /** The operator's statement about a source that could not be confirmed off (F3). */
  readonly statement?: 'off' | 'unreachable' | 'running';
  /** The source was seen off after our failover began. */
  readonly sourceConfirmedOff?: boolean;
  /** Of a streaming source: the point of the pass after which it stayed frozen until its power went. */
  readonly lastPass?: string;
  /** The last cycle was sealed after the source was off: its point holds everything. */
  readonly finalPoint?: boolean;
}

/** A machine at one end. */
export interface Side {
  readonly site: SiteId;
  readonly endpoint: string;
  readonly machine: MachineId;
  readonly name: string;
}

export interface ItemDisk {
  readonly key: DiskKey;
  readonly sizeBytes: number;
  readonly sourceDisk: DiskId;
  readonly replicaDisk?: DiskId;
}

export interface ItemNic {
  readonly key: string;
  readonly sourceNic: NicId;
  readonly replicaNic?: NicId;
}

/** A fork of the replica that runs, or is about to. */
export interface ItemFork {
  readonly id: ForkId;
  readonly machine: MachineId;
  readonly disks: Readonly<Record<DiskKey, DiskId>>;
  readonly nics: Readonly<Record<string, NicId>>;
  readonly purpose: 'test' | 'failover';
  readonly mode: 'overlay' | 'clone';
  readonly point: string;
  /** When the point was taken; native only: the host may have replaced it since. */
  readonly takenAt?: string;
  readonly operationId: string;
  /** Taken before the first power-on: from it the tracker tells what the machine wrote (V3). */
  readonly baselines?: Readonly<Record<DiskKey, Baseline>>;
}

/** An isolated network that is asked for at the replica's endpoint: the operation finds what became of it. */
export interface TestNetwork {
  readonly like: PlaceId;
  readonly operationId: string;
}

/** What re-protect needs to send only differences (V3). Kept from commit until re-protect or release. */
export interface ReverseInfo {
  readonly kind: FailoverKind;
  readonly point: string;
  readonly pointDigest: string;
  /** Newest sealed baselines at the old source, by disk. */
  readonly oldBaselines: Readonly<Record<DiskKey, Baseline>>;
  /** Baselines at the machine that runs now, taken before its first power-on. */
  readonly newBaselines: Readonly<Record<DiskKey, Baseline>>;
  readonly oldSource: Side;
}

/** What one end of a pair said when it was last asked. */
export interface NativeSeen {
  readonly at: string;
  readonly role: 'source' | 'replica' | 'none';
  /** By the vendor's name. */
  readonly state: string;
  readonly health: NativeHealth;
  readonly because?: string;
  readonly testMachine?: string;
  /** Why it could not be asked since. */
  readonly unreachable?: string;
}

/** Of an item that its hosts replicate by themselves. */
export interface NativeItem {
  /** The networks of its NICs at the source: a source that is lost cannot be asked. */
  readonly networks: Readonly<Record<NicId, PlaceId>>;
  readonly seen?: { readonly source?: NativeSeen; readonly replica?: NativeSeen };
}

export interface Item {
  readonly id: ItemId;
  readonly name: string;
  readonly groupId: string;
  /** How it replicates, for as long as it is protected. */
  readonly method: ReplicationMethod;
  readonly native?: NativeItem;
  readonly state: ItemState;
  readonly source: Side;
  readonly replica?: Side;
  readonly disks: readonly ItemDisk[];
  readonly nics: readonly ItemNic[];
  /** Written down before they are made, until they are seen off: several machines of one test share them. */
  readonly testNetworks?: readonly TestNetwork[];
  readonly epoch: Epoch;
  /** What its two endpoints can do, as seen when replication was set up: known also while they are out of reach. */
  readonly traits: {
    readonly targetForks: boolean;
    readonly plannedPossible: boolean;
    readonly sourceStreams: boolean;
    readonly replicaAdopted: boolean;
  };
  /** Cache of the newest seal record's baselines (T1). */
  readonly baselines: Readonly<Record<DiskKey, Baseline>>;
  readonly fork?: ItemFork;
  readonly testFork?: ItemFork;
  readonly reverse?: ReverseInfo;
  readonly lastTest?: TestProof;
  /** When the last failover began: a source that has booted since is stale (F4). */
  readonly lastFailoverAt?: string;
  readonly lastVerifyAt?: string;
  /** What a one-sided clean-up left behind, for a later one (V9). */
  readonly debris?: readonly string[];
}

/** Evidence of a test failover (promise 10). */
export interface TestProof {
  readonly at: string;
  readonly point: string;
  readonly pointAgeMs: number;
  readonly rtoMs: number;
  readonly booted: boolean;
  readonly evidence: string;
}

export const isInProgress = (protection: Protection): protection is InProgress => (IN_PROGRESS as readonly string[]).includes(protection);
export const failedTwin = (protection: InProgress): Protection => `${protection}Failed`;
export const activeSite = (active: Active): SiteId | undefined => (typeof active === 'object' ? active.site : undefined);

/** `endpoint/id` of every machine that is some item's: as source, replica, copy that runs, or source of before. */
export const machinesOfItems = (items: readonly Item[]): Map<string, Item> =>
  new Map(
    items.flatMap((item) => {
      const at = item.replica?.endpoint ?? '';
      const copies = [item.fork, item.testFork].flatMap((fork) => (fork ? [{ endpoint: at, machine: fork.machine }] : []));
      const sides = [item.source, item.replica, item.reverse?.oldSource].filter((side) => side !== undefined);
      return [...copies, ...sides].map(({ endpoint, machine }) => [`${endpoint}/${machine}`, item] as const);
    }),
  );
