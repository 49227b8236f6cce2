// The one writer of the index of recovery points (the journal is the truth, J12) and of cycles.
import type { ItemId } from '../contract/index.ts';
import type { Db } from './database.ts';

export interface PointRecord {
  readonly id: string;
  readonly itemId: ItemId;
  readonly site: string;
  readonly seq: number;
  readonly takenAt: string;
  readonly kind: string;
  readonly consistency: string;
  /** 'instant', 'frozen' or 'skewed(ms)'. */
  readonly atomicity: string;
  readonly digest: string;
  readonly groupCycle?: string;
  readonly sealedAt: string;
  readonly appliedAt?: string;
  /** Bytes that this point added to the journal. */
  readonly dataBytes: number;
  readonly detail: PointDetail;
}

export interface PointDetail {
  /** Where the seconds between the snapshot and the seal went, and the apply's. */
  readonly timings: Readonly<Record<string, number>>;
  readonly readBytes: number;
  readonly fellBackBecause?: string;
  readonly excludes?: readonly string[];
  /** Of a native pair: the replica host's own id. Absent on its newest state. */
  readonly nativeId?: string;
}

const FIELDS = [
  'id',
  'itemId',
  'site',
  'seq',
  'takenAt',
  'kind',
  'consistency',
  'atomicity',
  'digest',
  'groupCycle',
  'sealedAt',
  'appliedAt',
  'dataBytes',
  'detail',
] as const;

const toPoint = (row: Record<(typeof FIELDS)[number], unknown>): PointRecord => {
  const { groupCycle, appliedAt, detail, ...rest } = row;
  return {
    ...(rest as unknown as Omit<PointRecord, 'groupCycle' | 'appliedAt' | 'detail'>),
    ...(groupCycle === null ? {} : { groupCycle: groupCycle as string }),
    ...(appliedAt === null ? {} : { appliedAt: appliedAt as string }),
    detail: JSON.parse(detail as string) as PointDetail,
  };
};

/** Oldest first. */
export const listPoints = async (db: Db, itemId: ItemId): Promise<PointRecord[]> =>
  (await db.selectFrom('point').select(FIELDS).where('itemId', '=', itemId).orderBy('seq').execute()).map(toPoint);

export const findPoint = async (db: Db, id: string): Promise<PointRecord | undefined> => {
  const row = await db.selectFrom('point').select(FIELDS).where('id', '=', id).executeTakeFirst();
  return row && toPoint(row);
};

/** Newest point of each item, in one query. */
export const listNewestPoints = async (db: Db): Promise<PointRecord[]> =>
  (
    await db
      .selectFrom('point')
      .select(FIELDS)
      .where((where) =>
        where.eb('seq', '=', (sub) =>
          sub
            .selectFrom('point as other')
            .select((is) => is.fn.max('other.seq').as('newest'))
            .whereRef('other.itemId', '=', 'point.itemId'),
        ),
      )
      .execute()
  ).map(toPoint);

export const countPoints = async (db: Db): Promise<ReadonlyMap<string, number>> => {
  const rows = await db
    .selectFrom('point')
    .select((is) => ['itemId', is.fn.countAll<number>().as('n')])
    .groupBy('itemId')
    .execute();
  return new Map(rows.map((row) => [row.itemId, row.n]));
};

export const putPoint = async (tx: Db, point: PointRecord): Promise<void> => {
  const values = {
    ...point,
    groupCycle: point.groupCycle ?? null,
    appliedAt: point.appliedAt ?? null,
    detail: JSON.stringify(point.detail),
  };
  await tx
    .insertInto('point')
    .values(values)
    .onConflict((c) => c.column('id').doUpdateSet({ appliedAt: values.appliedAt, detail: values.detail }))
    .execute();
};

export const deletePoints = async (tx: Db, ids: readonly string[]): Promise<void> => {
  if (ids.length > 0)
    await tx
      .deleteFrom('point')
      .where('id', 'in', [...ids])
      .execute();
};

/** What a replica host keeps now, in place of what it kept before. */
export const replacePoints = async (tx: Db, itemId: ItemId, points: readonly PointRecord[]): Promise<void> => {
  await deletePointsOf(tx, itemId);
  for (const point of points) await putPoint(tx, point);
};

export const deletePointsOf = async (tx: Db, itemId: ItemId): Promise<void> => {
  await tx.deleteFrom('point').where('itemId', '=', itemId).execute();
};

// ---- cycles --------------------------------------------------------------------------------------------------------

export interface CycleRecord {
  readonly id: string;
  readonly groupId: string;
  readonly kind: 'regular' | 'first' | 'final' | 'reverse';
  /** intent: about to take snapshots. reading: snapshots exist. stored: points and baselines are in the store. ended: released. */
  readonly phase: 'intent' | 'reading' | 'stored' | 'ended' | 'abandoned';
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly doc: CycleDoc;
}

export interface CycleDoc {
  readonly members: readonly { readonly item: ItemId; readonly point: string }[];
  readonly snapshots: readonly { readonly endpoint: string; readonly id: string; readonly items: readonly ItemId[] }[];
}

const toCycle = (row: {
  id: string;
  groupId: string;
  kind: string;
  phase: string;
  startedAt: string;
  endedAt: string | null;
  doc: string;
}): CycleRecord => ({
  id: row.id,
  groupId: row.groupId,
  kind: row.kind as CycleRecord['kind'],
  phase: row.phase as CycleRecord['phase'],
  startedAt: row.startedAt,
  ...(row.endedAt === null ? {} : { endedAt: row.endedAt }),
  doc: JSON.parse(row.doc) as CycleDoc,
});

export const listOpenCycles = async (db: Db): Promise<CycleRecord[]> =>
  (await db.selectFrom('cycle').selectAll().where('endedAt', 'is', null).orderBy('startedAt').execute()).map(toCycle);

export const findCycle = async (db: Db, id: string): Promise<CycleRecord | undefined> => {
  const row = await db.selectFrom('cycle').selectAll().where('id', '=', id).executeTakeFirst();
  return row && toCycle(row);
};

export const putCycle = async (tx: Db, cycle: CycleRecord): Promise<void> => {
  const values = { ...cycle, endedAt: cycle.endedAt ?? null, doc: JSON.stringify(cycle.doc) };
  await tx
    .insertInto('cycle')
    .values(values)
    .onConflict((c) => c.column('id').doUpdateSet({ phase: values.phase, endedAt: values.endedAt, doc: values.doc }))
    .execute();
};

/** Ended cycles older than `before` are history that nobody asks for. */
export const forgetCycles = async (tx: Db, before: string): Promise<void> => {
  await tx.deleteFrom('cycle').where('endedAt', '<', before).execute();
};
