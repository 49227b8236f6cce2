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

export const reconcileCycles = async (core: Core, signal: AbortSignal): Promise<void> => {
  for (const cycle of await listOpenCycles(core.store.db)) {
    if (core.activeCycles.has(cycle.id) || (isJobBound(cycle) && (await jobLives(core, cycle)))) continue;
    await finishCycle(core, cycle, signal);
  }
};

const jobLives = async (core: Core, cycle: CycleRecord): Promise<boolean> => {
  const job = await findJob(core.store.db, cycle.id.split('/')[0] ?? '');
  return job !== undefined && job.endedAt === undefined;
};

/** Seals decide: what is sealed becomes a point, the rest is given up; an endpoint that cannot be reached is left for the sweep. */
const finishCycle = async (core: Core, cycle: CycleRecord, signal: AbortSignal): Promise<void> => {
  const points = new Map<ItemId, Point>();
  const items: Item[] = [];
  const members: { item: Item; session: EndpointSession }[] = [];
  for (const { item: id } of cycle.doc.members) {
    const item = await findItem(core.store.db, id);
    if (!item) continue;
    items.push(item);
    const journal = await core.journals.journal(item.state.direction.to, item.id);
    const sealed = journal.findCycle(cycle.id);
    if (sealed) points.set(id, sealed);
    const session = await openEndpoint(core, item.source.endpoint).catch((error: unknown) => {
      if (isDrError(error)) return undefined;
      throw error;
    });
    if (session) members.push({ item, session });
  }
  // Whether or not its source still answers: this may be the last point before the site was lost.
  const [anyItem] = items;
  if (cycle.doc.members.length > 1 && anyItem) {
    const marks = await core.journals.marks(anyItem.state.direction.to);
    if (marks.groupState(cycle.id) === 'undecided')
      await marks.decideGroup(cycle.id, points.size === cycle.doc.members.length ? 'complete' : 'abandoned');
  }
  await core.store.transaction(async (tx) => {
    if (cycle.phase !== 'stored') for (const [id, point] of points) await storePoint(tx, core, id, point);
    await putCycle(tx, { ...cycle, phase: 'stored' });
  });
  try {
    await releaseCycle(core, cycle, members, new Set(points.keys()), signal);
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    core.runtime.log.warn('snapshots of an interrupted cycle could not be released yet', { cycle: cycle.id, code: error.code });
    return;
  }
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
    const journal = await core.journals.journal(item.state.direction.to, item.id);
    const stored = new Map((await listPoints(core.store.db, item.id)).map((point) => [point.id, point]));
    const present = new Set(journal.points.map((point) => point.point));
    for (const point of journal.points) {
      if (stored.has(point.point) || point.kind === 'divergent') continue;
      if (options.accept || (await findCycle(core.store.db, point.cycle)))
        await core.store.transaction((tx) => storePoint(tx, core, item.id, point));
      else unknown.push(point.point);
    }
    await noteVanished(
      core,
      item,
      [...stored.keys()].filter((id) => !present.has(id)),
      journal.points.length,
    );
  }
  await putMeta(core.store.db, 'readOnly', unknown.length > 0 ? `${unknown.length} recovery points are newer than the state store` : '');
  return { unknown };
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
  for (const endpoint of await listEndpoints(core.store.db)) {
    try {
      const session = await openEndpoint(core, endpoint.id);
      const call = () => callFor(core, `sweep/${endpoint.id}`, signal);
      swept.snapshots += await releaseOrphans(core, session, call);
      const forks = session.target?.forks;
      for await (const fork of forks?.list(call()) ?? []) {
        if (!(await isLeftover(core, fork))) continue;
        await discardFork(core, session, fork, signal);
        swept.forks += 1;
      }
    } catch (error) {
      if (!isDrError(error) || signal.aborted) throw error;
      swept.unreachable.push(endpoint.id);
      core.runtime.log.warn('endpoint could not be swept', { endpoint: endpoint.id, code: error.code, message: error.message });
    }
  }
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
