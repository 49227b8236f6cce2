import { DrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { Point } from '../journal/journal.ts';
import type { Core } from '../replication/core.ts';
import { findPoint } from '../state/points.ts';

/** P4: `latest`, `latest-applied`, `latest-app`, a time (the newest point not after it) or an id. Damaged and suspect points are chosen by id only. */
export const selectPoint = async (core: Core, item: Item, selector: string): Promise<Point> => {
  const journal = await core.journals.journal(item.state.direction.to, item.id);
  const marks = await core.journals.marks(item.state.direction.to);
  // A point of another member stands for the group's point that both are parts of (P1).
  const groupCycle = (await findPoint(core.store.db, selector))?.groupCycle;
  const byId =
    journal.points.find((point) => point.point === selector) ??
    (groupCycle ? journal.points.find((point) => point.groupCycle === groupCycle) : undefined);
  if (byId) {
    if (marks.isDamaged(byId.point)) {
      throw new DrError('JOURNAL_CORRUPT', `recovery point ${selector} of ${item.name} is damaged`, {
        context: { item: item.id, point: selector },
        hint: 'choose an undamaged point: point list',
      });
    }
    return byId;
  }
  const usable = journal.points.filter(
    (point) => point.kind !== 'divergent' && !marks.isDamaged(point.point) && !marks.isSuspect(point.point),
  );
  const chosen = choose(usable, selector);
  if (chosen) return chosen;
  const newest = usable.at(-1);
  throw new DrError('NOT_FOUND', `${item.name} has no recovery point for ${JSON.stringify(selector)}`, {
    context: { item: item.id, point: selector, kind: 'point' },
    hint: newest ? `run point list ${item.name}; the newest is ${newest.point} of ${newest.takenAt}` : 'wait for the first recovery point',
  });
};

const choose = (points: readonly Point[], selector: string): Point | undefined => {
  if (selector === 'latest') return points.at(-1);
  if (selector === 'latest-applied') return points.findLast((point) => point.state === 'applied');
  if (selector === 'latest-app') return points.findLast((point) => point.consistency === 'application');
  const time = Date.parse(selector);
  return Number.isNaN(time) ? undefined : points.findLast((point) => Date.parse(point.takenAt) <= time);
};
