// What all verbs share: members side by side, the item's own facts, transitions with their event in one transaction.
import { type DrError, type ItemId, isDrError } from '../contract/index.ts';
import { fail } from '../domain/decide.ts';
import type { Item } from '../domain/item.ts';
import type { Facts } from '../domain/operations.ts';
import type { Flow } from '../flow/flow.ts';
import { type Core, nowIso } from '../replication/core.ts';
import type { Db } from '../state/database.ts';
import { type EventInput, recordEvent } from '../state/events.ts';
import { getItem, updateItem } from '../state/items.ts';

/** Boot groups in order; the members of one start side by side. */
export interface Wave {
  readonly items: readonly ItemId[];
  readonly waitSecondsBefore?: number;
}

export interface MemberResults<T> {
  readonly done: ReadonlyMap<ItemId, T>;
  readonly failed: ReadonlyMap<ItemId, DrError>;
}

/** Runs the members side by side; one that fails does not stop the others. What is not a DrError (the engine stops, a crash) ends the job's run here. */
export const eachMember = async <T>(ids: readonly ItemId[], work: (id: ItemId) => Promise<T>): Promise<MemberResults<T>> => {
  const done = new Map<ItemId, T>();
  const failed = new Map<ItemId, DrError>();
  const settled = await Promise.allSettled(ids.map(work));
  for (const [index, outcome] of settled.entries()) {
    const id = ids[index] as ItemId;
    if (outcome.status === 'fulfilled') done.set(id, outcome.value);
    else if (isDrError(outcome.reason)) failed.set(id, outcome.reason);
    else throw outcome.reason;
  }
  return { done, failed };
};

/** All failed: the job fails with the first reason. Some failed: the job is Partial. */
export const concluded = <T>(results: MemberResults<T>): { readonly partial: boolean } => {
  const [first] = results.failed.values();
  if (first && results.done.size === 0) throw first;
  return { partial: results.failed.size > 0 };
};

/** From the store alone: no endpoint needs to answer. */
export const factsOf = async (db: Db, item: Item): Promise<Facts> => {
  const { n } = await db
    .selectFrom('point')
    .select((is) => is.fn.countAll<number>().as('n'))
    .where('itemId', '=', item.id)
    .where('kind', '!=', 'divergent')
    .executeTakeFirstOrThrow();
  return { hasPoint: n > 0, targetForks: item.traits.targetForks, plannedPossible: item.traits.plannedPossible };
};

export interface Change {
  readonly change: (item: Item) => Item;
  readonly event?: Pick<EventInput, 'kind' | 'message'> & Partial<Pick<EventInput, 'level' | 'data'>>;
}

/** Commit of a step: the item's next state and the event that tells it, in the step's own transaction. */
export const commitChange = async (tx: Db, core: Core, flow: Flow, id: ItemId, { change, event }: Change): Promise<Item> => {
  const item = await updateItem(tx, id, change);
  if (event) await recordEvent(tx, { at: nowIso(core), level: 'info', subject: item.name, jobId: flow.jobId, ...event });
  return item;
};

/** A step that is only a state change. */
export const transition = (
  core: Core,
  flow: Flow,
  name: string,
  id: ItemId,
  decide: (item: Item, facts: Facts) => Item,
  event?: Change['event'],
): Promise<null> =>
  flow.step(name, async () => null, {
    commit: async (tx) => {
      const facts = await factsOf(tx, await getItem(tx, id));
      await commitChange(tx, core, flow, id, { change: (item) => decide(item, facts), ...(event ? { event } : {}) });
    },
  });

/** The failed twin, so that retry and the ways out are offered. Used by `failed` of each verb. */
export const leaveFailed = async (flow: Flow, ids: readonly ItemId[]): Promise<void> => {
  for (const id of ids) {
    await flow.step(`leave ${id}`, async () => null, {
      commit: async (tx) => {
        if (await tx.selectFrom('item').select('id').where('id', '=', id).executeTakeFirst()) await updateItem(tx, id, fail);
      },
    });
  }
};

export const itemNow = (core: Core, id: ItemId): Promise<Item> => getItem(core.store.db, id);
export const allItems = (waves: readonly Wave[]): ItemId[] => waves.flatMap((wave) => wave.items);
