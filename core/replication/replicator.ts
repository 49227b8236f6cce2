// The port of replication itself: how a machine's state gets to its replica, and how a copy is started from what is there.
// Shipping implementations: journaled (the engine moves the bytes) and native (the hosts do it by themselves).
import type { DrError, Finding, ItemId, Machine, MachineId } from '../contract/index.ts';
import type { Item, ItemFork } from '../domain/item.ts';
import type { Flow } from '../flow/flow.ts';
import type { EndpointSession } from '../host/host.ts';
import type { Core } from './core.ts';

/** What every move of a step gets: equal each time the step runs, and aborted when the engine stops. */
export interface Doing {
  readonly operationId: string;
  readonly signal: AbortSignal;
}

export interface Asked {
  readonly machine: Machine;
  readonly source: EndpointSession;
  readonly sourcePlugin: string;
  readonly toSite: string;
  readonly policy: string;
  /** Target endpoint; absent: the replicator chooses one at the recovery site. */
  readonly target?: string;
  /** An existing machine at the target that becomes the replica. */
  readonly seed?: MachineId;
}

export interface Assessed {
  readonly target: EndpointSession;
  readonly findings: readonly Finding[];
}

export interface Placing {
  readonly target: string;
  readonly seed?: MachineId;
}

/** A state of the machine that a copy can start from. */
export interface Chosen {
  readonly point: string;
  readonly takenAt: string;
  /** Empty where nobody but the hosts has seen the bytes. */
  readonly digest: string;
}

export interface BringUp {
  readonly purpose: 'test' | 'failover';
  readonly selector: string;
  readonly mode: 'overlay' | 'clone';
  /** Not after a planned failover at its final point (V11). */
  readonly newGenerationId: boolean;
  /** Distinguishes forks of one job (change point makes a second one). */
  readonly label: string;
}

export interface Discarding extends Doing {
  readonly purpose: 'test' | 'failover';
  /** The source is about to run again, so that it takes its part back too. */
  readonly backToSource: boolean;
}

/** The machine that remains, and what it is to be known by from now on. */
export interface Promoted extends Pick<Item, 'disks' | 'nics'> {
  readonly machine: { readonly id: MachineId; readonly name: string };
  readonly digest: string;
}

export interface Cycled {
  readonly failed: ReadonlyMap<ItemId, DrError>;
  readonly points: ReadonlyMap<ItemId, string>;
}

export interface Verified {
  readonly point: string;
  readonly mismatches: number;
  readonly bytes: number;
  readonly suspect: readonly string[];
}

/** Notes what failed and goes on: the way out of protection is open with one side dead (V9). */
export type Attempt = (what: string, work: () => Promise<unknown>) => Promise<void>;

/**
 * Moves that take a flow record steps of their own; the others are part of a step of the verb. All of them are done once however often they are told:
 * each looks at what is there before it acts.
 */
export interface Replicator {
  // ---- begin and end
  /** Where the replica would be and what is in the way. Changes nothing. */
  assess(core: Core, asked: Asked, signal: AbortSignal): Promise<Assessed>;
  /** From Enabling to InitialReplication: a replica that nothing was copied to yet. */
  place(core: Core, flow: Flow, id: ItemId, where: Placing): Promise<unknown>;
  /** Up to the first point of each. Those that failed are tried again without a job. */
  firstCopy(core: Core, flow: Flow, groupId: string, ids: readonly ItemId[]): Promise<{ readonly failed: readonly ItemId[] }>;
  forget(core: Core, item: Item, how: Doing & { readonly keepReplica: boolean }, attempt: Attempt): Promise<void>;

  // ---- replication itself
  cycleNow(core: Core, flow: Flow, ids: readonly ItemId[]): Promise<Cycled>;
  resync(core: Core, flow: Flow, ids: readonly ItemId[]): Promise<Cycled>;
  verify(core: Core, flow: Flow, id: ItemId): Promise<Verified>;
  setPaused(core: Core, item: Item, paused: boolean, doing: Doing): Promise<Item>;

  // ---- points
  /** P4: `latest`, `latest-applied`, `latest-app`, a time (the newest point not after it) or an id. */
  selectPoint(core: Core, item: Item, selector: string): Promise<Chosen>;
  /** Chosen once and written down: a resumed job does not choose anew. */
  choosePoint(core: Core, flow: Flow, id: ItemId, selector: string, label: string): Promise<Chosen>;
  /** The highest epoch that the points carry; 0 where they carry none (F2). */
  sealedEpoch(core: Core, item: Item): Promise<number>;

  // ---- failover
  /** Throws when a copy from that point could not be connected: found out while the source still runs. */
  assertConnectable(core: Core, item: Item, selector: string, doing: Doing): Promise<void>;
  /** Throws when a source that is off has been written since the newest point: somebody had it running while no engine was there. */
  assertUnwritten(core: Core, item: Item, doing: Doing): Promise<void>;
  /** Ends what it does for this group just now, and waits until it has ended. */
  giveWay(core: Core, groupId: string, signal: AbortSignal): Promise<void>;
  /** Planned: the source is off when it resolves. `captured`: its last state is taken over already. */
  stopSource(core: Core, flow: Flow, id: ItemId, streams: boolean): Promise<{ readonly captured: boolean }>;
  /** What sources that are off have not sent yet. `needed`: a failure of the whole is thrown. Gives the members that failed. */
  lastPass(core: Core, flow: Flow, groupId: string, ids: readonly ItemId[], needed: boolean): Promise<ReadonlyMap<ItemId, DrError>>;
  /** A fork at the point, in its networks, off. */
  bringUp(core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Chosen>;
  /** A target without forks: the replica itself stands at the point, off (V1). */
  bringUpInPlace(core: Core, flow: Flow, id: ItemId, selector: string): Promise<Chosen>;
  /** Off first, then gone; what the fork held is lost. */
  discard(core: Core, item: Item, fork: ItemFork | undefined, how: Discarding): Promise<void>;
  promote(core: Core, item: Item, doing: Doing): Promise<Promoted>;
  /** As promote, where only the machine matters: protection ends. */
  keepRunning(core: Core, item: Item, doing: Doing): Promise<void>;
  /** The old source, seen off, becomes the replica; ends with a point in the new direction. Goes on where an earlier try stopped. */
  reverse(core: Core, flow: Flow, id: ItemId): Promise<unknown>;
}
