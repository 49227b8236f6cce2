// A streaming source's last pass and its power-off, which are one (V2).
import { DrError, type ItemId, isDrError } from '../../contract/index.ts';
import { setLastPass, setPhase } from '../../domain/decide.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import { updateItem } from '../../state/items.ts';
import { getGroup } from '../../state/records.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, emit, facetOf, fencedCall, sourceOf } from '../core.ts';
import { runCycle } from '../cycle.ts';
import { isSeenOff, lookAt } from '../look.ts';
import { sourceUnreachable } from '../source-off.ts';

/** Streaming sources: the last pass stays frozen, then the power goes: nothing is written in between (V2). */
export const captureThenPowerOff = (core: Core, flow: Flow, id: ItemId): Promise<{ point: string | null; wasOn: boolean }> =>
  flow.step(
    `last pass and power off ${id}`,
    async ({ operationId, signal, resumed }) => {
      const item = await itemNow(core, id);
      const look = await lookAt(core, item.source, operationId, signal);
      if (!look.reachable) throw sourceUnreachable(item, look);
      if (isSeenOff(look)) {
        const newest = (await core.journals.journal(item.state.direction.to, id)).newest();
        if (!newest || newest.point !== item.state.failover?.lastPass) throw lastWritesUnknown(item);
        return { point: newest.point, wasOn: resumed };
      }
      const power = facetOf(await sourceOf(core, item), 'power');
      const call = () => fencedCall(core, item, operationId, signal);
      // What an earlier try left frozen thaws (CaptureRequest.afterFinal).
      if (resumed || item.state.failover?.lastPass !== undefined) {
        await noteLastPass(core, id, undefined);
        await power.set(item.source.machine, 'on', call());
      }
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
        await noteLastPass(core, id, report.points.get(id)?.point);
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

/** Written down before the power goes, so that a machine that is found off is known to have stood still since. */
const noteLastPass = (core: Core, id: ItemId, lastPass: string | undefined): Promise<unknown> =>
  core.store.transaction((tx) => updateItem(tx, id, (item) => (item.state.failover ? setLastPass(item, lastPass) : item)));

const lastWritesUnknown = (item: Item): DrError =>
  new DrError('STATE_CONFLICT', `${item.name} is off, and what it wrote last was not taken over`, {
    context: { item: item.id, endpoint: item.source.endpoint },
    hint: 'power it on and run the planned failover again, or use unplanned failover: it says what is lost',
  });

/** Production must not stay frozen after a failover that did not come about. */
const thaw = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> => {
  try {
    await noteLastPass(core, item.id, undefined);
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
