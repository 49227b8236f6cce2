// Snapshots of ours that nobody needs any more.
import type { Call, Snapshot } from '../contract/index.ts';
import type { EndpointSession } from '../host/host.ts';
import { findJob } from '../state/jobs.ts';
import { findCycle } from '../state/points.ts';
import type { Core } from './core.ts';

/** Gives back what cycles that have ended left at one endpoint. Returns how many there were. */
export const releaseOrphans = async (core: Core, { source }: EndpointSession, call: () => Call): Promise<number> => {
  if (source?.kind !== 'snapshot') return 0;
  let released = 0;
  for await (const snapshot of source.listSnapshots(call())) {
    if (await isNeeded(core, snapshot)) continue;
    await source.releaseSnapshot(snapshot.id, 'abandoned', call());
    released += 1;
  }
  return released;
};

/**
 * Asked for each when it has been seen: a cycle or job that began since has its intent on record before its snapshot exists, and a list of
 * those that were open at the beginning would take what they have just made for a leftover.
 */
const isNeeded = async ({ store }: Core, { operationId }: Snapshot): Promise<boolean> => {
  const cycle = await findCycle(store.db, operationId.slice(0, operationId.lastIndexOf('/')));
  if (cycle && cycle.endedAt === undefined) return true;
  const job = await findJob(store.db, operationId.split('/')[0] ?? '');
  return job !== undefined && job.endedAt === undefined;
};
