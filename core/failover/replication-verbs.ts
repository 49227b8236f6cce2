// Verbs of replication itself: a cycle now, a resync, a verification.
import { DrError, type ItemId } from '../contract/index.ts';
import { setSync } from '../domain/decide.ts';
import { assertAllowed, type Operation } from '../domain/operations.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { itemNow, transition } from '../replication/changes.ts';
import type { Core } from '../replication/core.ts';
import type { Cycled, Verified } from '../replication/replicator.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { concluded, eachMember } from './members.ts';

interface Members {
  readonly items: readonly ItemId[];
}

type Cycles = 'cycleNow' | 'resync';

/** Each method has its own way; what came of it is one result. */
const cyclesOf = async (core: Core, flow: Flow, ids: readonly ItemId[], which: Cycles): Promise<Cycled> => {
  const items = await Promise.all(ids.map((id) => itemNow(core, id)));
  const failed = new Map<ItemId, DrError>();
  const points = new Map<ItemId, string>();
  for (const [replicator, members] of Map.groupBy(items, replicatorOf)) {
    const outcome = await replicator[which](
      core,
      flow,
      members.map((item) => item.id),
    );
    for (const [id, error] of outcome.failed) failed.set(id, error);
    for (const [id, point] of outcome.points) points.set(id, point);
  }
  return { failed, points };
};

const cycleVerb = (
  core: Core,
  operation: Operation,
  which: Cycles,
  prepare: (flow: Flow, id: ItemId) => Promise<unknown>,
): Verb<Members, unknown> => ({
  name: operation,
  run: async (flow, input) => {
    const prepared = await eachMember(input.items, (id) => prepare(flow, id));
    const outcome = await cyclesOf(core, flow, [...prepared.done.keys()], which);
    const failed = new Map([...prepared.failed, ...outcome.failed]);
    return { result: { points: Object.fromEntries(outcome.points) }, ...concluded({ done: outcome.points, failed }) };
  },
});

const check = (core: Core, flow: Flow, id: ItemId, operation: Operation): Promise<null> =>
  transition(core, flow, `check ${id}`, id, (item, facts) => {
    assertAllowed(operation, item, facts);
    return item;
  });

export const createSyncNow = (core: Core): Verb<Members, unknown> =>
  cycleVerb(core, 'sync', 'cycleNow', (flow, id) => check(core, flow, id, 'sync'));

export const createResync = (core: Core): Verb<Members, unknown> =>
  cycleVerb(core, 'resync', 'resync', (flow, id) =>
    transition(
      core,
      flow,
      `resync ${id}`,
      id,
      (item, facts) => {
        assertAllowed('resync', item, facts);
        return setSync(item, { is: 'Resyncing', reason: 'asked for' });
      },
      { kind: 'sync.resync', message: 'resync: both sides are compared, what differs is sent' },
    ),
  );

export interface VerifyResult {
  readonly members: Readonly<Record<ItemId, Verified>>;
}

/**
 * Compares source and replica at one point. What differs although the tracker did not name it is a tracker's lie or rot:
 * the points since the last clean verification become suspect, and a resync follows (J13, version 1).
 */
export const createVerify = (core: Core): Verb<Members, VerifyResult> => ({
  name: 'verify',
  run: async (flow, input) => {
    const results = await eachMember(input.items, async (id) => {
      await check(core, flow, id, 'verify');
      return replicatorOf(await itemNow(core, id)).verify(core, flow, id);
    });
    const members = Object.fromEntries(results.done) as VerifyResult['members'];
    const found = Object.entries(members).find(([, member]) => member.mismatches > 0);
    if (found) {
      const item = await itemNow(core, found[0] as ItemId);
      throw new DrError(
        'DIGEST_MISMATCH',
        `${item.name} differs from its source in ${found[1].mismatches} ranges (${found[1].bytes} bytes) that its tracker did not name`,
        {
          context: { item: item.id, point: found[1].point },
          hint: `the points since the last clean verification are suspect (${found[1].suspect.length}); a resync is due: run sync now`,
        },
      );
    }
    return { result: { members }, ...concluded(results) };
  },
});
