// Getting the source down, and knowing it.
import { DrError, type ItemId, isDrError, type Power } from '../contract/index.ts';
import { noteFailover, setPhase } from '../domain/decide.ts';
import type { Item } from '../domain/item.ts';
import type { Flow } from '../flow/flow.ts';
import { updateItem } from '../state/items.ts';
import { commitChange, itemNow } from './changes.ts';
import { type Core, facetOf, fencedCall } from './core.ts';
import { isSeenOff, lookAt, pauseBeforeLook } from './look.ts';

const SHUTDOWN_WAIT_MS = 300_000;

/** Asks the guest, then waits until the hypervisor says off. SHUTDOWN_REFUSED when it does not: it never becomes a power cut by itself. */
const shutDown = async (core: Core, flow: Flow, item: Item, operationId: string, signal: AbortSignal): Promise<{ wasOn: boolean }> => {
  const look = await lookAt(core, item.source, operationId, signal);
  if (!look.reachable) throw sourceUnreachable(item, look);
  if (isSeenOff(look)) return { wasOn: false };
  const before = item.state.failover?.sourceWasOn === true;
  // Written down first: whoever goes on after a kill finds it off, and must still start it again when the failover is called off.
  await noteWasOn(core, item, true);
  try {
    await askDown(core, flow, item, { power: facetOf(look.session, 'power'), operationId, signal });
  } catch (error) {
    if (isDrError(error) && !signal.aborted) await noteWasOn(core, item, before);
    throw error;
  }
  return { wasOn: true };
};

export const sourceUnreachable = (item: Item, { because }: { readonly because: string }): DrError =>
  new DrError('CONNECTION_REFUSED', `the source of ${item.name} cannot be reached (${because})`, {
    context: { item: item.id, endpoint: item.source.endpoint },
  });

const noteWasOn = (core: Core, { id }: Item, sourceWasOn: boolean): Promise<unknown> =>
  core.store.transaction((tx) => updateItem(tx, id, (item) => (item.state.failover ? noteFailover(item, { sourceWasOn }) : item)));

const askDown = async (
  core: Core,
  flow: Flow,
  item: Item,
  { power, operationId, signal }: { power: Power; operationId: string; signal: AbortSignal },
): Promise<void> => {
  flow.progress({ text: `${item.name} is shutting down at ${item.source.endpoint}` });
  await power.set(item.source.machine, 'shutdown', fencedCall(core, item, operationId, signal));
  const deadline = core.runtime.clock.now() + SHUTDOWN_WAIT_MS;
  for (let looks = 0; !isSeenOff(await lookAt(core, item.source, operationId, signal)); looks++) {
    if (core.runtime.clock.now() >= deadline) {
      throw new DrError('SHUTDOWN_REFUSED', `${item.name} did not shut down within ${SHUTDOWN_WAIT_MS / 1_000} s`, {
        context: { item: item.id, machine: item.source.machine },
      });
    }
    await core.runtime.clock.sleep(pauseBeforeLook(looks), signal);
  }
};

/** Snapshot sources: off first, then the last cycle. */
export const shutDownSource = (core: Core, flow: Flow, id: ItemId): Promise<{ wasOn: boolean }> =>
  flow.step(`shut down ${id}`, async ({ operationId, signal }) => shutDown(core, flow, await itemNow(core, id), operationId, signal), {
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

/** Unplanned: what can be learned of the source, and a graceful shutdown where it still answers. Never fails for an unreachable source. */
export interface SourceSeen {
  readonly off: boolean;
  readonly wasOn: boolean;
  readonly seen: string;
}

export const trySourceOff = (
  core: Core,
  flow: Flow,
  id: ItemId,
  { attempt, withinMs }: { readonly attempt: boolean; readonly withinMs: number },
): Promise<SourceSeen> =>
  flow.step(
    `look at source ${id}`,
    async ({ operationId, signal }): Promise<SourceSeen> => {
      const item = await itemNow(core, id);
      flow.progress({ text: `looking at the source of ${item.name} at ${item.source.endpoint}` });
      const look = await lookAt(core, item.source, operationId, signal, withinMs);
      if (!look.reachable) return { off: false, wasOn: false, seen: `unreachable (${look.because})` };
      if (isSeenOff(look)) return { off: true, wasOn: false, seen: 'off' };
      if (!attempt) return { off: false, wasOn: false, seen: `power ${look.machine?.power ?? 'unknown: the machine is gone'}` };
      try {
        const { wasOn } = await shutDown(core, flow, item, operationId, signal);
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
