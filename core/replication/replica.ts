// The replica's disks under the journal: opening them, applying what is sealed, keeping history within the policy.
import { DrError, type Fork, type ForkId, isDrError, type MachineId, type ReplicaDisk } from '../contract/index.ts';
import { setSync } from '../domain/decide.ts';
import type { DiskKey, Item } from '../domain/item.ts';
import type { ReplicationPolicy } from '../domain/policy.ts';
import { selectForPruning } from '../domain/retention.ts';
import type { DiskIo } from '../journal/disk-io.ts';
import type { Journal, Point } from '../journal/journal.ts';
import { recordEvent } from '../state/events.ts';
import { getItem, updateItem } from '../state/items.ts';
import { deletePoints, listPoints, type PointRecord, putPoint } from '../state/points.ts';
import { bindDigests } from './compare.ts';
import { type Core, facetOf, fencedCall, nowIso, openEndpoint, replicaOf } from './core.ts';

export interface ReplicaDisks {
  /** Opened at first use. */
  get(key: DiskKey): Promise<DiskIo>;
  all(): Promise<ReadonlyMap<DiskKey, DiskIo>>;
  close(): Promise<void>;
}

interface OpenRequest {
  readonly signal: AbortSignal;
  readonly operationId: string;
  /** The replica's own disks, or those of a fork on top of it. */
  readonly machine?: MachineId;
  readonly fork?: Pick<Fork, 'id'> & { readonly disks: Readonly<Record<DiskKey, string>> };
}

export const openReplicaDisks = (core: Core, item: Item, request: OpenRequest): ReplicaDisks => {
  const open = new Map<DiskKey, Promise<{ io: DiskIo; handle: ReplicaDisk }>>();
  const call = () => fencedCall(core, item, request.operationId, request.signal);

  const openOne = async (key: DiskKey): Promise<{ io: DiskIo; handle: ReplicaDisk }> => {
    const replica = replicaOf(item);
    const target = facetOf(await openEndpoint(core, replica.endpoint), 'target');
    const disk = item.disks.find((candidate) => candidate.key === key);
    const id = request.fork ? request.fork.disks[key] : disk?.replicaDisk;
    if (!id)
      throw new DrError('STATE_CONFLICT', `disk ${key} of ${item.name} has no replica yet`, { context: { item: item.id, disk: key } });
    const handle = request.fork
      ? await (target.forks ?? refuseForks(replica.endpoint)).openDisk(request.fork.id as ForkId, id as never, call())
      : await target.openReplicaDisk(request.machine ?? replica.machine, id as never, call());
    return { io: bindDisk(handle, call), handle };
  };
  const get = (key: DiskKey) => {
    const known = open.get(key) ?? openOne(key);
    open.set(key, known);
    return known.then(({ io }) => io);
  };
  return {
    get,
    all: async () =>
      new Map(
        await Promise.all(item.disks.filter((disk) => disk.replicaDisk).map(async (disk) => [disk.key, await get(disk.key)] as const)),
      ),
    close: async () => {
      const handles = await Promise.allSettled(open.values());
      open.clear();
      await Promise.allSettled(
        handles.flatMap((entry) => (entry.status === 'fulfilled' ? [entry.value.handle[Symbol.asyncDispose]()] : [])),
      );
    },
  };
};

const refuseForks = (endpoint: string): never => {
  throw new DrError('CAPABILITY_MISSING', `endpoint ${endpoint} has no forks`, { context: { endpoint, kind: 'forks' } });
};

const bindDisk = (handle: ReplicaDisk, call: () => ReturnType<typeof fencedCall>): DiskIo => ({
  sizeBytes: handle.sizeBytes,
  alignmentBytes: handle.alignmentBytes,
  maxRequestBytes: handle.maxRequestBytes,
  maxInFlight: handle.maxInFlight,
  read: (offset, into) => handle.read(offset, into, call()),
  ...bindDigests(handle, call),
  write: (offset, data) => handle.write(offset, data, call()),
  writeZeroes: (offset, length) => handle.writeZeroes(offset, length, call()),
  flush: () => handle.flush(call()),
});

export const toPointRecord = (item: Item, point: Point): PointRecord => ({
  id: point.point,
  itemId: item.id,
  site: item.state.direction.to,
  seq: point.seq,
  takenAt: point.takenAt,
  kind: point.kind,
  consistency: point.consistency,
  atomicity: typeof point.atomicity === 'string' ? point.atomicity : `skewed(${point.atomicity.skewedMs})`,
  digest: point.digest,
  ...(point.groupCycle === undefined ? {} : { groupCycle: point.groupCycle }),
  sealedAt: point.sealedAt,
  dataBytes: point.dataBytes,
  detail: {
    timings: point.timings,
    readBytes: point.timings['readBytes'] ?? 0,
    ...(point.fellBackBecause === undefined ? {} : { fellBackBecause: point.fellBackBecause }),
  },
});

/** Who asks: replication by itself, or a verb that prepares a fork. */
export type Applier = 'replication' | 'verb';

/**
 * The replica's disks are somebody's: nothing is applied under a fork (J1, V10). Replication by itself keeps off from the moment that a verb
 * begins, since the fork exists at the target before the item knows it.
 */
export const applyIsHeld = (item: Item, by: Applier): boolean => {
  if (item.fork !== undefined || (item.testFork !== undefined && item.testFork.mode === 'overlay')) return true;
  if (item.state.protection === 'FailedOver' || item.state.protection === 'Committing') return true;
  return (
    by === 'replication' &&
    (item.state.test === 'Starting' || !['Protected', 'InitialReplication', 'Reprotecting'].includes(item.state.protection))
  );
};

const applyLock = (item: Pick<Item, 'id'>) => `apply ${item.id}`;

/** Brings the replica forward to a sealed point (default: the newest). Returns how many points were applied. */
export const applySealed = (core: Core, itemId: Item['id'], signal: AbortSignal, by: Applier, upTo?: string): Promise<number> =>
  core.locks.with(applyLock({ id: itemId }), signal, async () => {
    const item = await getItem(core.store.db, itemId);
    if (applyIsHeld(item, by)) return 0;
    const journal = await core.journals.journal(item.state.direction.to, item.id);
    if (journal.pending().length === 0) {
      await noteApplied(core, item, journal, 0);
      return 0;
    }
    const started = core.runtime.clock.now();
    const disks = openReplicaDisks(core, item, { signal, operationId: `apply/${item.id}` });
    try {
      const { applied } = await journal.apply(await disks.all(), upTo === undefined ? {} : { upTo });
      await noteApplied(core, item, journal, core.runtime.clock.now() - started);
      return applied;
    } catch (error) {
      if (isDrError(error, 'JOURNAL_FULL', 'TARGET_FULL') && item.state.protection === 'Protected') await stall(core, item, error);
      throw error;
    } finally {
      await disks.close();
    }
  });

const stall = (core: Core, item: Item, error: DrError): Promise<unknown> =>
  core.store.transaction(async (tx) => {
    await updateItem(tx, item.id, (now) =>
      now.state.sync.is === 'Paused' ? now : setSync(now, { is: 'Stalled', reason: `${error.code}: ${error.message}` }),
    );
    await recordEvent(tx, {
      at: nowIso(core),
      kind: 'apply.stalled',
      level: 'critical',
      subject: item.name,
      message: `points of ${item.name} cannot be applied: ${error.message}`,
      data: { hint: error.hint },
    });
  });

const noteApplied = async (core: Core, item: Item, journal: Journal, tookMs: number): Promise<void> => {
  const head = journal.head();
  if (!head) return;
  const open = (await listPoints(core.store.db, item.id)).filter((point) => point.appliedAt === undefined && point.seq <= head.seq);
  if (open.length === 0) return;
  await core.store.transaction(async (tx) => {
    for (const point of open) {
      await putPoint(tx, {
        ...point,
        appliedAt: nowIso(core),
        detail: { ...point.detail, timings: { ...point.detail.timings, applyMs: Math.round(tookMs / open.length) } },
      });
    }
  });
};

/** J11: by sequence, ages from the newest point, frozen while the item does not replicate normally. */
export const pruneHistory = (core: Core, itemId: Item['id'], policy: ReplicationPolicy, signal: AbortSignal): Promise<readonly string[]> =>
  core.locks.with(applyLock({ id: itemId }), signal, async () => {
    const item = await getItem(core.store.db, itemId);
    if (applyIsHeld(item, 'replication') || item.testFork) return [];
    const journal = await core.journals.journal(item.state.direction.to, item.id);
    const marks = await core.journals.marks(item.state.direction.to);
    const applied = journal.points.filter((point) => point.state === 'applied');
    const remove = selectForPruning(
      applied.map((point) => ({
        id: point.point,
        seq: point.seq,
        takenAt: point.takenAt,
        kind: point.kind,
        pinned: marks.isPinned(point.point),
        verified: !marks.isDamaged(point.point) && !marks.isSuspect(point.point),
      })),
      policy.retention,
      { frozen: item.state.protection !== 'Protected' || item.state.sync.is !== 'Delta' },
    );
    if (remove.length === 0) return [];
    const removed = await journal.prune(remove);
    await core.store.transaction((tx) => deletePoints(tx, removed));
    return removed;
  });
