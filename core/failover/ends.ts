// The ways out: unprotect from every state, release after a failover, and failback as one verb (V9, V12).
import { type ItemId, isDrError } from '../contract/index.ts';
import { begin } from '../domain/decide.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, nowIso } from '../replication/core.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { recordEvent } from '../state/events.ts';
import { deleteItem, getItem, listItems } from '../state/items.ts';
import { deleteGroup } from '../state/records.ts';
import { leaveOut } from '../state/rules.ts';
import { commitOne } from './after.ts';
import { type FailoverInput, type FailoverResult, runFailover } from './failover.ts';
import { allItems, concluded, eachMember, leaveFailed } from './members.ts';
import { reprotectOne } from './reprotect.ts';
import { removeTest, testOver } from './test-failover.ts';

export interface UnprotectInput {
  readonly items: readonly ItemId[];
  readonly keepReplica: boolean;
}

export const createUnprotect = (core: Core): Verb<UnprotectInput, { readonly leftBehind: readonly string[] }> => ({
  name: 'unprotect',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => unprotectOne(core, flow, id, input.keepReplica));
    await leaveFailed(flow, [...results.failed.keys()]);
    return { result: { leftBehind: [...results.done.values()].flat() }, ...concluded(results) };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

export const createRelease = (core: Core): Verb<{ readonly items: readonly ItemId[] }, { readonly leftBehind: readonly string[] }> => ({
  name: 'release',
  run: async (flow, input) => {
    const results = await eachMember(input.items, async (id) => {
      await transition(core, flow, `begin ${id}`, id, (item, facts) => begin(item, 'release', facts), {
        kind: 'release.begun',
        message: 'the machine stays where it runs and is no longer protected',
      });
      return forget(core, flow, id, true);
    });
    await leaveFailed(flow, [...results.failed.keys()]);
    return { result: { leftBehind: [...results.done.values()].flat() }, ...concluded(results) };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

/** A machine that runs at the recovery site is never taken away: its fork is promoted and stays (as commit and release would leave it). */
const unprotectOne = async (core: Core, flow: Flow, id: ItemId, keepReplica: boolean): Promise<string[]> => {
  const runsHere = await flow.step(`decide ${id}`, async () => {
    const item = await itemNow(core, id);
    return {
      runsHere:
        item.fork !== undefined ||
        ['FailedOver', 'Reprotecting', 'ReprotectingFailed', 'Committing', 'CommittingFailed'].includes(item.state.protection),
    };
  });
  await transition(core, flow, `begin ${id}`, id, (item, facts) => begin(item, 'unprotect', facts), {
    kind: 'unprotect.begun',
    level: 'warning',
    message: 'protection ends',
  });
  // A cycle that goes on would write into a journal that is being removed, and leave its snapshot at a machine that is nobody's then.
  await flow.step(`drain ${id}`, async ({ signal }) => {
    const item = await itemNow(core, id);
    await replicatorOf(item).giveWay(core, item.groupId, signal);
    return null;
  });
  await endTest(core, flow, id);
  if (runsHere.runsHere) await promoteRunning(core, flow, id);
  return forget(core, flow, id, keepReplica || runsHere.runsHere);
};

const endTest = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `end test ${id}`,
    async ({ operationId, signal }) => {
      await removeTest(core, await itemNow(core, id), operationId, signal);
      return null;
    },
    { commit: async (tx) => void (await commitChange(tx, core, flow, id, { change: testOver })) },
  );

const promoteRunning = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(`keep running machine ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    await replicatorOf(item).keepRunning(core, item, { operationId, signal });
    return null;
  });

/** One-sided when a side is dead: what could not be removed is named in the event and the job's result. */
const forget = (core: Core, flow: Flow, id: ItemId, keepReplica: boolean): Promise<string[]> =>
  flow.step(
    `forget ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const leftBehind: string[] = [];
      const attempt = async (what: string, work: () => Promise<unknown>) => {
        try {
          await work();
        } catch (error) {
          if (!isDrError(error) || signal.aborted) throw error;
          if (error.code !== 'NOT_FOUND') leftBehind.push(`${what}: ${error.message}`);
        }
      };
      await replicatorOf(item).forget(core, item, { keepReplica, operationId, signal }, attempt);
      return leftBehind;
    },
    {
      commit: async (tx, leftBehind) => {
        const item = await getItem(tx, id);
        await recordEvent(tx, {
          at: nowIso(core),
          kind: 'unprotected',
          level: leftBehind.length > 0 ? 'warning' : 'info',
          subject: item.name,
          jobId: flow.jobId,
          message: leftBehind.length > 0 ? `no longer protected; left behind: ${leftBehind.join('; ')}` : 'no longer protected',
          data: { leftBehind, replicaKept: keepReplica },
        });
        await leaveOut(
          tx,
          [item.source, item.replica, item.reverse?.oldSource].filter((side) => side !== undefined),
        );
        await deleteItem(tx, id);
        if ((await listItems(tx, item.groupId)).length === 0) await deleteGroup(tx, item.groupId);
      },
    },
  );

// ---- failback ----------------------------------------------------------------------------------------------------------

/** Planned failover in the swapped direction, commit, re-protect: the original shape again. */
export const createFailback = (core: Core): Verb<FailoverInput, FailoverResult> => ({
  name: 'failback',
  run: async (flow, input) => {
    const outcome = await runFailover(core, flow, { ...input, kind: 'planned' });
    const ids = Object.keys(outcome.result.members) as ItemId[];
    const results = await eachMember(ids, async (id) => {
      const { onFork } = await flow.step(`runs on a fork ${id}`, async () => ({ onFork: (await itemNow(core, id)).fork !== undefined }));
      if (onFork) await commitOne(core, flow, id);
      await reprotectOne(core, flow, id);
    });
    await leaveFailed(flow, [...results.failed.keys()]);
    return { result: outcome.result, partial: outcome.partial || results.failed.size > 0 };
  },
  failed: (flow, input) => leaveFailed(flow, allItems(input.waves)),
});
