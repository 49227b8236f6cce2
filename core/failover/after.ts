// What follows a failover: another point, back, or for good.
import { DrError, type ItemId } from '../contract/index.ts';
import { begin, cancelled, committed, dropFork, reverseInfo, started } from '../domain/decide.ts';
import type { Active, Item } from '../domain/item.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, facetOf, fencedCall, replicaOf, sourceOf } from '../replication/core.ts';
import { isSeenOff, lookAt, patienceMs } from '../replication/look.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { awaitBoot, powerOnFork } from './boot.ts';
import { concluded, eachMember, leaveFailed, type MemberResults } from './members.ts';
import { reprotectOne } from './reprotect.ts';

interface Members {
  readonly items: readonly ItemId[];
}

const failMember = async (core: Core, flow: Flow, results: MemberResults<unknown>): Promise<void> => {
  await leaveFailed(flow, [...results.failed.keys()]);
  for (const [id, error] of results.failed) core.runtime.log.warn('member failed', { item: id, code: error.code, message: error.message });
};

/** Off, then discarded; what the fork held is gone. Recorded, so that a resumed job does not discard the next one. */
const discardFork = (core: Core, flow: Flow, id: ItemId, backToSource: boolean): Promise<unknown> =>
  flow.step(
    `discard ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      await replicatorOf(item).discard(core, item, item.fork, { purpose: 'failover', backToSource, operationId, signal });
      return null;
    },
    { commit: async (tx) => void (await commitChange(tx, core, flow, id, { change: dropFork })) },
  );

// ---- change point --------------------------------------------------------------------------------------------------------

export const createChangePoint = (core: Core): Verb<Members & { readonly selector: string }, unknown> => ({
  name: 'change-point',
  run: async (flow, input) => {
    const results = await eachMember(input.items, async (id) => {
      await assertSourceDown(core, flow, id);
      await transition(core, flow, `begin ${id}`, id, (item, facts) => begin(item, 'change-point', facts), {
        kind: 'failover.changing-point',
        level: 'warning',
        message: `another recovery point: ${input.selector}`,
      });
      await discardFork(core, flow, id, false);
      const how = {
        purpose: 'failover' as const,
        selector: input.selector,
        mode: 'overlay' as const,
        newGenerationId: true,
        label: 'changed',
      };
      const chosen = await replicatorOf(await itemNow(core, id)).bringUp(core, flow, id, how);
      await powerOnFork(core, flow, id, how);
      await transition(core, flow, `started ${id}`, id, (item) => changedTo(item, chosen.point), {
        kind: 'failover.started',
        level: 'warning',
        message: `the machine runs from the point of ${chosen.takenAt}`,
        data: { point: chosen.point },
      });
      const item = await itemNow(core, id);
      const boot = await awaitBoot(core, flow, id, item.fork?.machine ?? '', replicaOf(item).endpoint, 'changed');
      return { point: chosen.point, takenAt: chosen.takenAt, booted: boot.booted, evidence: boot.evidence };
    });
    await failMember(core, flow, results);
    const members = Object.fromEntries(results.done);
    return {
      result: { members },
      partial: concluded(results).partial || Object.values(members).some((member) => !(member as { booted: boolean }).booted),
    };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

/** Where both were seen running, the source is left, and what is started anew would be a second copy that we have made (promise 3). */
const assertSourceDown = (core: Core, flow: Flow, id: ItemId): Promise<null> =>
  flow.step(`source of ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    if (item.state.active !== 'both') return null;
    const look = await lookAt(core, item.source, operationId, signal, patienceMs(1));
    if (!look.reachable || look.machine?.power !== 'on') return null;
    const { from, to } = item.state.direction;
    throw new DrError('OPERATION_NOT_ALLOWED', `change-point of ${item.name} is not possible: its source runs at ${from} too`, {
      context: { item: id, endpoint: item.source.endpoint, operation: 'change-point' },
      hint: `run resolve --keep ${to} first, which stops it, or failover cancel to go back to it`,
    });
  });

/** Who is active does not change with the point. */
const changedTo = (item: Item, point: string): Item => {
  const { active } = item.state;
  const next = started(item);
  return {
    ...next,
    state: { ...next.state, active, failover: { ...(next.state.failover as NonNullable<Item['state']['failover']>), point } },
  };
};

// ---- cancel --------------------------------------------------------------------------------------------------------------

export const createCancel = (core: Core): Verb<Members & { readonly startSource: boolean }, unknown> => ({
  name: 'cancel',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => cancelOne(core, flow, id, input.startSource));
    await failMember(core, flow, results);
    return { result: null, ...concluded(results) };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

const cancelOne = async (core: Core, flow: Flow, id: ItemId, startSource: boolean): Promise<null> => {
  await transition(core, flow, `begin ${id}`, id, (item, facts) => begin(item, 'cancel', facts), {
    kind: 'failover.cancelling',
    level: 'warning',
    message: 'failover is cancelled',
  });
  await discardFork(core, flow, id, true);
  // Only now, with the fork gone, may the source run again.
  const { active } = await flow.step(`source ${id}`, async ({ operationId, signal }): Promise<{ active: Active }> => {
    const item = await itemNow(core, id);
    // Powering on also thaws what a last pass may have left frozen.
    if (startSource && (item.state.failover?.sourceWasOn || item.traits.sourceStreams)) {
      await facetOf(await sourceOf(core, item), 'power').set(item.source.machine, 'on', fencedCall(core, item, operationId, signal));
      return { active: { site: item.state.direction.from } };
    }
    const look = await lookAt(core, item.source, operationId, signal);
    if (!look.reachable) return { active: 'unknown' };
    // One that was off before is back as it was.
    const wasOff = item.state.failover?.sourceConfirmedOff === true && item.state.failover.sourceWasOn !== true;
    return { active: isSeenOff(look) && !wasOff ? 'neither' : { site: item.state.direction.from } };
  });
  // V4: whether the tracker survived is seen by the next cycle: TRACKING_LOST turns it into a comparison.
  await transition(core, flow, `cancelled ${id}`, id, (item) => cancelled(item, { is: 'Delta' }, active), {
    kind: 'failover.cancelled',
    message: 'the fork is discarded, replication goes on',
  });
  return null;
};

// ---- commit --------------------------------------------------------------------------------------------------------------

export interface CommitInput extends Members {
  /** V13: after a planned failover straight on into re-protect, unless told not to. */
  readonly reprotect: boolean;
}

export const createCommit = (core: Core): Verb<CommitInput, unknown> => ({
  name: 'commit',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => commitOne(core, flow, id));
    await failMember(core, flow, results);
    const after = await goOn(core, flow, input, [...results.done.keys()]);
    return {
      result: { committed: [...results.done.keys()], reprotected: after.done },
      partial: concluded(results).partial || after.failed,
    };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

/** Commit itself has succeeded: a re-protect that fails leaves its own failed twin and a partial job. */
const goOn = async (core: Core, flow: Flow, input: CommitInput, ids: readonly ItemId[]): Promise<{ done: ItemId[]; failed: boolean }> => {
  if (!input.reprotect) return { done: [], failed: false };
  const planned = (await Promise.all(ids.map((id) => itemNow(core, id)))).filter(
    (item) => item.reverse?.kind === 'planned' || item.state.protection !== 'FailedOver',
  );
  const results = await eachMember(
    planned.map((item) => item.id),
    (id) => reprotectOne(core, flow, id),
  );
  await failMember(core, flow, results);
  return { done: [...results.done.keys()], failed: results.failed.size > 0 };
};

export const commitOne = async (core: Core, flow: Flow, id: ItemId): Promise<null> => {
  await transition(core, flow, `begin commit ${id}`, id, (item, facts) => begin(item, 'commit', facts), {
    kind: 'failover.committing',
    level: 'warning',
    message: 'commit: the recovery points are no longer offered',
  });
  await flow.pointOfNoReturn();
  await flow.step(
    `promote ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      return replicatorOf(item).promote(core, item, { operationId, signal });
    },
    {
      commit: async (tx, { machine, disks, nics, digest }) => {
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            committed(item, {
              replica: { ...replicaOf(item), machine: machine.id, name: machine.name },
              disks,
              nics,
              reverse: reverseInfo(item, digest),
            }),
          event: {
            kind: 'failover.committed',
            level: 'warning',
            message: 'committed: the recovery site is the home of the machine; it is not protected until re-protect',
          },
        });
      },
    },
  );
  return null;
};
