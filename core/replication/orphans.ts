// Snapshots of ours that nobody needs any more.
import { type Call, isDrError, type MachineId, type PointRequest, type Snapshot, type SnapshotSource } from '../contract/index.ts';
import type { EndpointSession } from '../host/host.ts';
import { findJob } from '../state/jobs.ts';
import { findCycle } from '../state/points.ts';
import { type Core, callFor } from './core.ts';

export interface SnapshotWanted {
  readonly machines: readonly MachineId[];
  readonly point: PointRequest;
  readonly operationId: string;
  readonly signal: AbortSignal;
}

/**
 * A snapshot, in the place of one that nobody needs any more: a server may have finished it for an engine that was killed, after the leftovers
 * had been swept, and one whose site went dark could not be released.
 */
export const takeSnapshot = async (
  core: Core,
  session: EndpointSession,
  source: SnapshotSource,
  { machines, point, operationId, signal }: SnapshotWanted,
): Promise<Snapshot> => {
  const take = () => source.createSnapshot(machines, point, callFor(core, operationId, signal));
  try {
    return await take();
  } catch (error) {
    if (!isDrError(error, 'SNAPSHOT_LIMIT_REACHED')) throw error;
    if ((await releaseOrphans(core, session, () => callFor(core, `${operationId}/orphans`, signal))) === 0) throw error;
    return take();
  }
};

/** Gives back what cycles that have ended left at one endpoint. Returns how many there were. */
export const releaseOrphans = async (core: Core, { source }: EndpointSession, call: () => Call): Promise<number> => {
  if (source?.kind !== 'snapshot') return 0;
  let released = 0;
  for await (const snapshot of source.listSnapshots(call())) {
    const outcome = await outcomeOf(core, snapshot);
    if (outcome === 'needed') continue;
    await source.releaseSnapshot(snapshot.id, outcome, call());
    released += 1;
  }
  return released;
};

/**
 * Asked for each when it has been seen: a cycle or job that began since has its intent on record before its snapshot exists, and a list of
 * those that were open at the beginning would take what they have just made for a leftover. A cycle that is open and that nobody runs has
 * stored its points or never will; only its snapshot could not be released, because its site had gone.
 */
const outcomeOf = async (core: Core, { operationId }: Snapshot): Promise<'needed' | 'sealed' | 'abandoned'> => {
  const { db } = core.store;
  const cycle = await findCycle(db, operationId.slice(0, operationId.lastIndexOf('/')));
  const job = await findJob(db, operationId.split('/')[0] ?? '');
  if (job && job.endedAt === undefined) return 'needed';
  if (cycle?.endedAt !== undefined || !cycle) return 'abandoned';
  if (core.activeCycles.has(cycle.id)) return 'needed';
  return cycle.phase === 'stored' ? 'sealed' : 'abandoned';
};
