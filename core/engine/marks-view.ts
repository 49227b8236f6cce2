import type { Item } from '../domain/item.ts';
import type { Core } from '../replication/core.ts';
import { listPoints } from '../state/points.ts';

/** Suspect and damaged points by item. Sites whose storage is not here have none. */
export const selectForMarks = async (
  core: Core,
  items: readonly Item[],
): Promise<ReadonlyMap<string, { readonly suspect: number; readonly damaged: number }>> => {
  const result = new Map<string, { suspect: number; damaged: number }>();
  for (const [site, members] of Map.groupBy(items, (item) => item.state.direction.to)) {
    const marks = await core.journals.marks(site);
    if (!marks.hasDoubts()) continue;
    for (const item of members) {
      const points = await listPoints(core.store.db, item.id);
      result.set(item.id, {
        suspect: points.filter((point) => marks.isSuspect(point.id)).length,
        damaged: points.filter((point) => marks.isDamaged(point.id)).length,
      });
    }
  }
  return result;
};
