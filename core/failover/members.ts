// What all verbs share: members side by side, and what becomes of those that fail.
import { type DrError, type ItemId, isDrError } from '../contract/index.ts';
import { fail } from '../domain/decide.ts';
import type { Flow } from '../flow/flow.ts';
import { updateItem } from '../state/items.ts';

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

/** The steps by which a verb takes hold of a member. */
const BEGINNINGS = ['assess', 'begin', 'begin commit', 'begin reprotect'];

/**
 * The failed twin, so that retry and the ways out are offered. Used by `failed` of each verb.
 * A member that refused to begin is left alone: what it is in the middle of is another job's.
 */
export const leaveFailed = async (flow: Flow, ids: readonly ItemId[]): Promise<void> => {
  for (const id of ids) {
    if (!BEGINNINGS.some((beginning) => flow.did(`${beginning} ${id}`))) continue;
    await flow.step(`leave ${id}`, async () => null, {
      commit: async (tx) => {
        if (await tx.selectFrom('item').select('id').where('id', '=', id).executeTakeFirst()) await updateItem(tx, id, fail);
      },
    });
  }
};

export const allItems = (waves: readonly Wave[]): ItemId[] => waves.flatMap((wave) => wave.items);
