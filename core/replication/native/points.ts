// The points that a replica host keeps, as rows of the store: what it said last, chosen from without asking it again.
import { DrError, type ItemId } from '../../contract/index.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import { listPoints, type PointRecord } from '../../state/points.ts';
import { itemNow } from '../changes.ts';
import type { Core } from '../core.ts';
import type { Chosen } from '../replicator.ts';
import { lookAgain } from './look.ts';

const choose = (points: readonly PointRecord[], selector: string): PointRecord | undefined => {
  if (selector === 'latest' || selector === 'latest-applied') return points.at(-1);
  if (selector === 'latest-app') return points.findLast((point) => point.consistency === 'application');
  const byId = points.find((point) => point.id === selector);
  const time = Date.parse(selector);
  return byId ?? (Number.isNaN(time) ? undefined : points.findLast((point) => Date.parse(point.takenAt) <= time));
};

export const findPointRecord = async (core: Core, item: Item, selector: string): Promise<PointRecord> => {
  const points = await listPoints(core.store.db, item.id);
  const chosen = choose(points, selector);
  if (chosen) return chosen;
  const newest = points.at(-1);
  throw new DrError(
    'NOT_FOUND',
    `${item.name} has no recovery point for ${JSON.stringify(selector)} at ${item.replica?.endpoint ?? 'its replica host'}`,
    {
      context: { item: item.id, point: selector, kind: 'point' },
      hint: newest
        ? `run point list ${item.name}: the replica host has replaced the point since; the newest is ${newest.id}`
        : 'wait for the first copy to end',
    },
  );
};

export const selectPoint = async (core: Core, item: Item, selector: string): Promise<Chosen> => {
  const { id, takenAt, digest } = await findPointRecord(core, item, selector);
  return { point: id, takenAt, digest };
};

export const choosePoint = (core: Core, flow: Flow, id: ItemId, selector: string, label: string): Promise<Chosen> =>
  flow.step(`choose point ${label} ${id}`, async (doing) => {
    const item = await itemNow(core, id);
    const status = await lookAgain(core, item, 'replica', doing);
    // What runs already was chosen by an earlier try: the host may have replaced it since.
    if (item.fork?.takenAt && selector === item.fork.point) return { point: selector, takenAt: item.fork.takenAt, digest: '' };
    const record = await findPointRecord(core, item, selector);
    // The newest state goes on while points stand still from the beginning of a failover: the last changes of a planned one are in it.
    const newest = record.detail.nativeId === undefined ? status?.replicatedAt : undefined;
    return { point: record.id, takenAt: newest === undefined ? record.takenAt : new Date(newest).toISOString(), digest: record.digest };
  });

/** The host's name for a point; undefined: its newest state. */
export const nativeIdOf = async (core: Core, item: Item, chosen: Chosen): Promise<string | undefined> =>
  (await findPointRecord(core, item, chosen.point)).detail.nativeId;
