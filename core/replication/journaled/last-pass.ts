// A streaming source's last pass and its power-off, which are one (V2).
import { type ItemId, isDrError } from '../../contract/index.ts';
import { setPhase } from '../../domain/decide.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import { getGroup } from '../../state/records.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, emit, facetOf, fencedCall, sourceOf } from '../core.ts';
import { runCycle } from '../cycle.ts';
import { isSeenOff, lookAt } from '../look.ts';

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
const thaw = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> => {
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
