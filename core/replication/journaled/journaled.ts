import { callFor, drainCycles, fencedCall } from '../core.ts';
import { answering } from '../look.ts';
import { releaseOrphans } from '../orphans.ts';
import type { Replicator } from '../replicator.ts';
import { shutDownSource } from '../source-off.ts';
import { cycleNow, lastPass, setPaused, verify } from './cycles.ts';
import { assertConnectable, bringUp, discard, keepRunning, promote } from './fork.ts';
import { bringUpInPlace } from './in-place.ts';
import { captureThenPowerOff } from './last-pass.ts';
import { assess, firstCopy, place } from './place.ts';
import { choosePoint, selectPoint } from './points.ts';
import { reverse } from './reverse.ts';
import { assertUnwritten } from './written.ts';

/** The engine moves the bytes: cycles into a journal of sealed points, forks on the replica's disks. */
export const JOURNALED: Replicator = {
  assess,
  place,
  firstCopy,
  forget: async (core, item, { keepReplica, operationId, signal }, attempt) => {
    await attempt(`change tracking at ${item.source.endpoint}`, async () => {
      const session = await answering(core, item.source, operationId, signal);
      const call = () => callFor(core, operationId, signal);
      await releaseOrphans(core, session, call);
      await session.source?.keepBaselines(item.source.machine, new Map(), call());
      await session.source?.disableTracking(item.source.machine, call());
      // A snapshot may have been on its way when its cycle was called off.
      await releaseOrphans(core, session, call);
    });
    // A machine that was there before us is never deleted: its disks may be somebody's.
    if (!keepReplica && item.replica && !item.traits.replicaAdopted) {
      const replica = item.replica;
      await attempt(`replica ${replica.name} at ${replica.endpoint}`, async () => {
        const session = await answering(core, replica, operationId, signal);
        await session.target?.deleteReplica?.(replica.machine, fencedCall(core, item, operationId, signal));
      });
    }
    for (const site of [item.state.direction.from, item.state.direction.to]) await core.journals.remove(site, item.id);
  },
  cycleNow,
  // The verb has set the axis already: a cycle of an item that is Resyncing compares.
  resync: cycleNow,
  verify,
  setPaused,
  selectPoint,
  choosePoint,
  sealedEpoch: async (core, item) => (await core.journals.journal(item.state.direction.to, item.id)).newest()?.epoch.epoch ?? 0,
  assertConnectable,
  assertUnwritten,
  giveWay: drainCycles,
  stopSource: async (core, flow, id, streams) => {
    await (streams ? captureThenPowerOff(core, flow, id) : shutDownSource(core, flow, id));
    return { captured: streams };
  },
  lastPass,
  bringUp,
  bringUpInPlace,
  discard,
  promote,
  keepRunning,
  reverse,
};
