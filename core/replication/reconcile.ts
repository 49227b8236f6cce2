// After a start: what a killed engine left is finished or given up, by the journals' seals and by tag (T2, F5, promise 5).
import { type Fork, type ItemId, isDrError } from '../contract/index.ts';
import { setSync } from '../domain/decide.ts';
import type { Item } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import type { Point } from '../journal/journal.ts';
import { recordEvent } from '../state/events.ts';
import { findItem, listItems, updateItem } from '../state/items.ts';
import { findJob } from '../state/jobs.ts';
import { type CycleRecord, deletePoints, findCycle, listOpenCycles, listPoints, putCycle } from '../state/points.ts';
import { listEndpoints, putMeta } from '../state/records.ts';
import { type Core, callFor, emit, nowIso, openEndpoint } from './core.ts';
import { releaseCycle, storePoint } from './cycle-end.ts';
import { releaseOrphans } from './orphans.ts';

/** Job-bound cycles (first, final, reverse) are taken up again by their job. */
const isJobBound = (cycle: CycleRecord): boolean => cycle.kind !== 'regular';

/** Seals decide: what is sealed becomes a point, the rest is given up. Needs nobody's answer: it may be the last point before a site was lost. */
export const settleCycles = async (core: Core): Promise<void> => {
  for (const cycle of await leftCycles(core)) {
    if (isUnderWay(core, cycle)) continue;
    try {
      await settleCycle(core, cycle);
    } catch (error) {
      if (!isDrError(error)) throw error;
      core.runtime.log.warn('a cycle that was left could not be settled yet', { cycle: cycle.id, error: error.message });
    }
  }
};

/** Gives back what cycles hold that nobody runs any more. None waits for another: an endpoint that does not answer is asked again the next time. */
export const releaseCycles = async (core: Core, signal: AbortSignal): Promise<void> => {
  const cycles = (await leftCycles(core)).filter(({ phase }) => phase === 'stored');
  const outcomes = await Promise.allSettled(cycles.map((cycle) => releaseLeft(core, cycle, signal)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
};

const leftCycles = async (core: Core): Promise<CycleRecord[]> => {
  const left: CycleRecord[] = [];
  for (const cycle of await listOpenCycles(core.store.db))
    if (!core.activeCycles.has(cycle.id) && !(isJobBound(cycle) && (await jobLives(core, cycle)))) left.push(cycle);
  return left;
};

/** What one cycle of a group gives back, the next one may be about to rely on. */
const isUnderWay = (core: Core, { groupId }: CycleRecord): boolean =>
  [...core.activeCycles.values()].some((active) => active.groupId === groupId);

const jobLives = async (core: Core, cycle: CycleRecord): Promise<boolean> => {
  const job = await findJob(core.store.db, cycle.id.split('/')[0] ?? '');
  return job !== undefined && job.endedAt === undefined;
};

const settleCycle = async (core: Core, cycle: CycleRecord): Promise<void> => {
  if (cycle.phase === 'stored') return;
  const { items, points } = await partsOf(core, cycle);
  const [anyItem] = items;
  if (cycle.doc.members.length > 1 && anyItem) {
    const marks = await core.journals.marks(anyItem.state.direction.to);
    if (marks.groupState(cycle.id) === 'undecided')
      await marks.decideGroup(cycle.id, points.size === cycle.doc.members.length ? 'complete' : 'abandoned');
  }
  await core.store.transaction(async (tx) => {
    for (const [id, point] of points) await storePoint(tx, core, id, point);
    await putCycle(tx, { ...cycle, phase: 'stored' });
  });
};

/** Its members that are still protected, and what it sealed of them. */
const partsOf = async (core: Core, cycle: CycleRecord): Promise<{ items: Item[]; points: Map<ItemId, Point> }> => {
  const points = new Map<ItemId, Point>();
  const items: Item[] = [];
  for (const { item: id } of cycle.doc.members) {
    const item = await findItem(core.store.db, id);
    if (!item) continue;
    items.push(item);
    const sealed = (await core.journals.journal(item.state.direction.to, item.id)).findCycle(cycle.id);
    if (sealed) points.set(id, sealed);
  }
  return { items, points };
};

/** The next cycle of the group ends it, and gives back by itself what stands in its way. */
const releaseLeft = async (core: Core, cycle: CycleRecord, signal: AbortSignal): Promise<void> => {
  if (isUnderWay(core, cycle)) return;
  const interrupt = new AbortController();
  const done = releaseParts(core, cycle, AbortSignal.any([signal, interrupt.signal])).catch((error: unknown) => {
    if (!isDrError(error) || signal.aborted) throw error;
    core.runtime.log.warn('snapshots of an interrupted cycle could not be released yet', { cycle: cycle.id, code: error.code });
  });
  core.releases.set(cycle.id, { groupId: cycle.groupId, interrupt, done });
  try {
    await done;
  } finally {
    core.releases.delete(cycle.id);
  }
};

const releaseParts = async (core: Core, cycle: CycleRecord, signal: AbortSignal): Promise<void> => {
  const { items, points } = await partsOf(core, cycle);
  const members: { item: Item; session: EndpointSession }[] = [];
  let failure: unknown;
  for (const item of items) {
    try {
      members.push({ item, session: await openEndpoint(core, item.source.endpoint, signal) });
    } catch (error) {
      if (!isDrError(error) || signal.aborted) throw error;
      failure ??= error;
    }
  }
  await releaseCycle(core, cycle, members, new Set(points.keys()), signal);
  // Not ended while somebody is out of reach: its baselines are those of a point that was sealed.
  if (failure !== undefined) throw failure;
  await core.store.transaction((tx) => putCycle(tx, { ...cycle, phase: points.size > 0 ? 'ended' : 'abandoned', endedAt: nowIso(core) }));
};

/**
 * The journal is the truth for points (J12). A point that the store misses although its cycle is known is taken in;
 * one whose cycle the store never had means that the store is older than the journal: nothing is changed until `reconcile` (F5).
 */
export const reconcilePoints = async (
  core: Core,
  options: { readonly accept: boolean },
): Promise<{ readonly unknown: readonly string[] }> => {
  const unknown: string[] = [];
  for (const item of await listItems(core.store.db)) {
    // Its points are where its replica host has them.
    if (item.method === 'native') continue;
    try {
      unknown.push(...(await reconcileItem(core, item, options)));
    } catch (error) {
      if (!isDrError(error)) throw error;
      // One that cannot be read does not keep the others from failing over.
      await emit(core, {
        kind: 'journal.unreadable',
        level: 'critical',
        subject: item.name,
        message: `the journal of ${item.name} at ${item.state.direction.to} cannot be read: ${error.message}`,
        data: { code: error.code, hint: error.hint },
      });
    }
  }
  await putMeta(core.store.db, 'readOnly', unknown.length > 0 ? `${unknown.length} recovery points are newer than the state store` : '');
  return { unknown };
};

/** Gives the points that the store cannot have known. */
const reconcileItem = async (core: Core, item: Item, { accept }: { readonly accept: boolean }): Promise<string[]> => {
  const unknown: string[] = [];
  const journal = await core.journals.journal(item.state.direction.to, item.id);
  const stored = new Map((await listPoints(core.store.db, item.id)).map((point) => [point.id, point]));
  const present = new Set(journal.points.map((point) => point.point));
  for (const point of journal.points) {
    if (stored.has(point.point) || point.kind === 'divergent') continue;
    if (accept || (await findCycle(core.store.db, point.cycle))) await core.store.transaction((tx) => storePoint(tx, core, item.id, point));
    else unknown.push(point.point);
  }
  const gone = [...stored.keys()].filter((id) => !present.has(id));
  await noteVanished(core, item, gone, journal.points.length);
  return unknown;
};

/** Pruned between two writes, or lost with the journal's folder: the second is said aloud, and what is left is compared anew. */
const noteVanished = (core: Core, item: Item, gone: readonly string[], left: number): Promise<void> =>
  core.store.transaction(async (tx) => {
    await deletePoints(tx, gone);
    if (gone.length === 0 || left > 0) return;
    await recordEvent(tx, {
      at: nowIso(core),
      kind: 'journal.lost',
      level: 'critical',
      subject: item.name,
      message: `the journal of ${item.name} at ${item.state.direction.to} is gone, and ${gone.length} recovery points with it`,
    });
    if (item.state.protection === 'Protected')
      await updateItem(tx, item.id, (now) => setSync(now, { is: 'ResyncRequired', reason: 'the journal is gone' }));
  });

/** Snapshots and forks of ours that nobody needs: of cycles that ended, of jobs that are gone. Endpoints out of reach are skipped. */
export const sweepOrphans = async (
  core: Core,
  signal: AbortSignal,
): Promise<{ readonly snapshots: number; readonly forks: number; readonly unreachable: readonly string[] }> => {
  const swept = { snapshots: 0, forks: 0, unreachable: [] as string[] };
  const sweepAt = async (endpoint: string): Promise<void> => {
    try {
      const session = await openEndpoint(core, endpoint, signal);
      const call = () => callFor(core, `sweep/${endpoint}`, signal);
      const snapshots = await releaseOrphans(core, session, call);
      swept.snapshots += snapshots;
      const forks = session.target?.forks;
      for await (const fork of forks?.list(call()) ?? []) {
        if (!(await isLeftover(core, fork))) continue;
        await discardFork(core, session, fork, signal);
        swept.forks += 1;
      }
    } catch (error) {
      if (!isDrError(error) || signal.aborted) throw error;
      swept.unreachable.push(endpoint);
      core.runtime.log.warn('endpoint could not be swept', { endpoint, code: error.code, message: error.message });
    }
  };
  const outcomes = await Promise.allSettled((await listEndpoints(core.store.db)).map(({ id }) => sweepAt(id)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  if (swept.snapshots + swept.forks > 0) {
    await emit(core, {
      kind: 'sweep',
      level: 'info',
      subject: 'home',
      message: `${swept.snapshots} snapshots and ${swept.forks} forks that nobody needed were removed`,
    });
  }
  return swept;
};

/** Only what an ended job of this very store made is a leftover: a fork of an unknown job may be somebody's production. */
const isLeftover = async (core: Core, fork: Fork): Promise<boolean> => {
  const job = await findJob(core.store.db, fork.operationId.split('/')[0] ?? '');
  if (!job?.endedAt) return false;
  // After the job: what it has made is the item's by the time that it has ended.
  if ((await listItems(core.store.db)).some((item) => item.fork?.id === fork.id || item.testFork?.id === fork.id)) return false;
  return fork.purpose === 'test' || fork.machine.power === 'off';
};

const discardFork = async (core: Core, session: EndpointSession, fork: Fork, signal: AbortSignal): Promise<void> => {
  // No item knows it, so that no item's epoch is at hand: it is ours by its tag, and goes under the epoch that is on record.
  const held = [];
  for (const machine of new Set([fork.replica, fork.machine.id])) {
    const epoch = await session.fence?.read(machine, callFor(core, `sweep/${fork.id}`, signal));
    if (epoch) held.push(epoch);
  }
  const [newest] = held.sort((a, b) => b.epoch - a.epoch);
  const fence = newest ?? { item: 'orphan' as ItemId, epoch: 1, holder: core.ownerId };
  const call = () => callFor(core, `sweep/${fork.id}`, signal, fence);
  await session.power?.set(fork.machine.id, 'off', call());
  await session.target?.forks?.discard(fork.id, call());
};
