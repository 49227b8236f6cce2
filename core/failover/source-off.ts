// Getting the source down, and knowing it.
import { DrError, type ItemId, isDrError } from '../contract/index.ts';
import { noteFailover, setPhase } from '../domain/decide.ts';
import type { Item } from '../domain/item.ts';
import type { Flow } from '../flow/flow.ts';
import { commitChange, itemNow } from '../replication/changes.ts';
import { type Core, emit, facetOf, fencedCall, sourceOf } from '../replication/core.ts';
import { runCycle } from '../replication/cycle.ts';
import { getGroup } from '../state/records.ts';
import { isSeenOff, lookAt } from './fence.ts';

const SHUTDOWN_POLL_MS = 1_000;
const SHUTDOWN_WAIT_MS = 300_000;

/** Asks the guest, then waits until the hypervisor says off. SHUTDOWN_REFUSED when it does not: it never becomes a power cut by itself. */
const shutDown = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<{ wasOn: boolean }> => {
  const look = await lookAt(core, item.source, operationId, signal);
  if (!look.reachable)
    throw new DrError('CONNECTION_REFUSED', `the source of ${item.name} cannot be reached (${look.because})`, {
      context: { item: item.id, endpoint: item.source.endpoint },
    });
  if (isSeenOff(look)) return { wasOn: false };
  const power = facetOf(look.session, 'power');
  await power.set(item.source.machine, 'shutdown', fencedCall(core, item, operationId, signal));
  const deadline = core.runtime.clock.now() + SHUTDOWN_WAIT_MS;
  while (!isSeenOff(await lookAt(core, item.source, operationId, signal))) {
    if (core.runtime.clock.now() >= deadline) {
      throw new DrError('SHUTDOWN_REFUSED', `${item.name} did not shut down within ${SHUTDOWN_WAIT_MS / 1_000} s`, {
        context: { item: item.id, machine: item.source.machine },
      });
    }
    await core.runtime.clock.sleep(SHUTDOWN_POLL_MS, signal);
  }
  return { wasOn: true };
};

/** Snapshot sources: off first, then the last cycle. */
export const shutDownSource = (core: Core, flow: Flow, id: ItemId): Promise<{ wasOn: boolean }> =>
  flow.step(`shut down ${id}`, async ({ operationId, signal }) => shutDown(core, await itemNow(core, id), operationId, signal), {
    interruptible: true,
    commit: async (tx, { wasOn }) => {
      await commitChange(tx, core, flow, id, {
        // A retry finds the machine off that an earlier try of ours shut down.
        change: (item) =>
          setPhase(item, 'SourceOff', { sourceWasOn: wasOn || item.state.failover?.sourceWasOn === true, sourceConfirmedOff: true }),
        event: { kind: 'failover.source-off', level: 'warning', message: 'the source is off: no copy runs until the replica is started' },
      });
    },
  });

/** Streaming sources: the last pass stays frozen, then the power goes: nothing is written in between (V2). */
export const captureThenPowerOff = (core: Core, flow: Flow, id: ItemId): Promise<{ point: string | null; wasOn: boolean }> =>
  flow.step(
    `last pass and power off ${id}`,
    async ({ operationId, signal, resumed }) => {
      const item = await itemNow(core, id);
      const look = await lookAt(core, item.source, operationId, signal);
      if (isSeenOff(look)) {
        // Resumed after the power went: the pass before it was sealed while the machine stood still.
        const journal = await core.journals.journal(item.state.direction.to, id);
        return { point: journal.newest()?.point ?? null, wasOn: resumed };
      }
      const power = facetOf(await sourceOf(core, item), 'power');
      const call = () => fencedCall(core, item, operationId, signal);
      // What an earlier try left frozen thaws (CaptureRequest.afterFinal).
      if (resumed) await power.set(item.source.machine, 'on', call());
      const group = await getGroup(core.store.db, item.groupId);
      // A fresh cycle each time: after a kill the machine has thawed and written.
      const report = await runCycle(core, {
        group,
        items: [item.id],
        kind: 'final',
        cycleId: `${flow.jobId}/${core.runtime.newId('final')}`,
        signal,
        stayFrozen: true,
      });
      try {
        const failure = report.failures.get(id);
        if (failure) throw failure;
        await power.set(item.source.machine, 'off', call());
      } catch (error) {
        if (isDrError(error) && !signal.aborted) await thaw(core, item, operationId, signal);
        throw error;
      }
      return { point: report.points.get(id)?.point ?? null, wasOn: true };
    },
    {
      commit: async (tx, { wasOn }) => {
        await commitChange(tx, core, flow, id, {
          change: (item) => setPhase(item, 'SourceOff', { sourceWasOn: wasOn, sourceConfirmedOff: true }),
          event: {
            kind: 'failover.source-off',
            level: 'warning',
            message: 'last pass sealed, the source is off: no copy runs until the replica is started',
          },
        });
      },
    },
  );

/** Production must not stay frozen after a failover that did not come about. */
export const thaw = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> => {
  try {
    await facetOf(await sourceOf(core, item), 'power').set(item.source.machine, 'on', fencedCall(core, item, operationId, signal));
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    await emit(core, {
      kind: 'failover.frozen',
      level: 'critical',
      subject: item.name,
      message: `the source may still be frozen: ${error.message}`,
      data: { hint: 'power it on at its endpoint: that thaws it' },
    });
  }
};

/** Unplanned: what can be learned of the source, and a graceful shutdown where it still answers. Never fails for an unreachable source. */
export interface SourceSeen {
  readonly off: boolean;
  readonly wasOn: boolean;
  readonly seen: string;
}

export const trySourceOff = (core: Core, flow: Flow, id: ItemId, attempt: boolean): Promise<SourceSeen> =>
  flow.step(
    `look at source ${id}`,
    async ({ operationId, signal }): Promise<SourceSeen> => {
      const item = await itemNow(core, id);
      const look = await lookAt(core, item.source, operationId, signal);
      if (!look.reachable) return { off: false, wasOn: false, seen: `unreachable (${look.because})` };
      if (isSeenOff(look)) return { off: true, wasOn: false, seen: 'off' };
      if (!attempt) return { off: false, wasOn: false, seen: `power ${look.machine?.power ?? 'unknown: the machine is gone'}` };
      try {
        const { wasOn } = await shutDown(core, item, operationId, signal);
        return { off: true, wasOn, seen: 'shut down' };
      } catch (error) {
        if (!isDrError(error) || signal.aborted) throw error;
        return { off: false, wasOn: true, seen: `${error.code}: ${error.message}` };
      }
    },
    {
      interruptible: true,
      commit: async (tx, seen) => {
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            noteFailover(item, { sourceConfirmedOff: seen.off, sourceWasOn: seen.wasOn || item.state.failover?.sourceWasOn === true }),
          event: {
            kind: 'failover.source-seen',
            level: seen.off ? 'info' : 'warning',
            message: `source of the failover: ${seen.seen}`,
            data: { seen },
          },
        });
      },
    },
  );
