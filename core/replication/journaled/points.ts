import { DrError, type ItemId } from '../../contract/index.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import type { Point } from '../../journal/journal.ts';
import { findPoint } from '../../state/points.ts';
import { itemNow } from '../changes.ts';
import type { Core } from '../core.ts';
import { applySealed } from '../replica.ts';
import type { Chosen } from '../replicator.ts';

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

/** The point is chosen once and written down: a resumed job does not choose anew. */
export const choosePoint = (core: Core, flow: Flow, id: ItemId, selector: string, label: string): Promise<Chosen> =>
  flow.step(`choose point ${label} ${id}`, async () => {
    const item = await itemNow(core, id);
    // A roll-back that was cut short leaves the disks between points: only the same one leads on.
    const journal = await core.journals.journal(item.state.direction.to, id);
    const { point, takenAt, digest } = await selectPoint(core, item, journal.rollingBackTo ?? selector);
    return { point, takenAt, digest };
  });

/** Apply of what is sealed up to the point: a fork begins at the head. */
export const settlePoint = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, label: string): Promise<null> =>
  flow.step(
    `settle ${label} ${id}`,
    async ({ signal }) => {
      const item = await itemNow(core, id);
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (journal.pending().some((point) => point.point === chosen.point)) await applySealed(core, id, signal, 'verb', chosen.point);
      return null;
    },
    { interruptible: true },
  );
