// How an item changes: its own facts, and transitions with their event in one transaction.
import type { ItemId } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { Facts } from '../domain/operations.ts';
import type { Flow } from '../flow/flow.ts';
import type { Db } from '../state/database.ts';
import { type EventInput, recordEvent } from '../state/events.ts';
import { getItem, updateItem } from '../state/items.ts';
import { type Core, nowIso } from './core.ts';

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

export const itemNow = (core: Core, id: ItemId): Promise<Item> => getItem(core.store.db, id);
