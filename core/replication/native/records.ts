import type { NativeStatus } from '../../contract/index.ts';
import type { Item } from '../../domain/item.ts';
import type { PointRecord } from '../../state/points.ts';

const idOf = (item: Item, at: string): string => `${item.id}@${at}`;

/** Oldest first; the newest state, which is no point of its own to the host, comes last. Their order is that of their times. */
export const toPointRecords = (item: Item, status: NativeStatus): PointRecord[] => {
  const record = (takenAt: string, consistency: string, id?: string): PointRecord => ({
    id: idOf(item, id ?? takenAt),
    itemId: item.id,
    site: item.state.direction.to,
    seq: Date.parse(takenAt) * 2 + (id === undefined ? 1 : 0),
    takenAt,
    kind: 'native',
    consistency,
    atomicity: 'instant',
    digest: '',
    sealedAt: takenAt,
    appliedAt: takenAt,
    dataBytes: 0,
    detail: { timings: {}, readBytes: 0, ...(id === undefined ? {} : { nativeId: id }) },
  });
  const kept = status.points.map((point) => record(new Date(point.at).toISOString(), point.consistency, point.id));
  const newest = status.replicatedAt === undefined ? [] : [record(new Date(status.replicatedAt).toISOString(), 'crash')];
  return [...kept, ...newest].sort((a, b) => a.seq - b.seq);
};
