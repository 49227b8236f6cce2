// What a source that is off has been written since a baseline, by its own tracker.
import { DrError, type Extent, isDrError } from '../../contract/index.ts';
import * as extents from '../../domain/extents.ts';
import type { DiskKey, Item } from '../../domain/item.ts';
import { type Core, callFor, sourceOf } from '../core.ts';
import { takeSnapshot } from '../orphans.ts';
import type { Doing } from '../replicator.ts';

/** Undefined when that cannot be told. */
export const writtenSince = async (
  core: Core,
  item: Item,
  baselines: Item['baselines'],
  { operationId, signal }: Doing,
): Promise<Record<DiskKey, Extent[]> | undefined> => {
  if (item.disks.some((disk) => baselines[disk.key] === undefined)) return undefined;
  const session = await sourceOf(core, item);
  const { source } = session;
  if (source?.kind !== 'snapshot' || session.capabilities.tracking === 'none') return undefined;
  const call = () => callFor(core, operationId, signal);
  try {
    const since = new Map(item.disks.map((disk) => [disk.sourceDisk, baselines[disk.key] as never]));
    const point = { consistency: 'crash', orElse: 'crash', since } as const;
    const snapshot = await takeSnapshot(core, session, source, { machines: [item.source.machine], point, operationId, signal });
    try {
      const writes: Record<DiskKey, Extent[]> = {};
      for (const disk of item.disks) {
        const list: Extent[] = [];
        for await (const extent of source.changedExtents(snapshot.id, disk.sourceDisk, 0, call()))
          list.push({ offset: extent.offset, length: extent.length });
        writes[disk.key] = extents.normalise(list);
      }
      return writes;
    } finally {
      await source.releaseSnapshot(snapshot.id, 'abandoned', call());
    }
  } catch (error) {
    if (!isDrError(error, 'TRACKING_LOST', 'DISK_CHANGED', 'CAPABILITY_MISSING')) throw error;
    return undefined;
  }
};

/** A stream cannot be asked: it says nothing of a machine that is off. */
export const assertUnwritten = async (core: Core, item: Item, doing: Doing): Promise<void> => {
  if (item.traits.sourceStreams) return;
  const former = new Set(item.disks.filter((disk) => item.baselines[disk.key] === undefined).map((disk) => disk.key));
  const disks = item.disks.filter((disk) => !former.has(disk.key));
  const writes = await writtenSince(core, { ...item, disks }, item.baselines, doing);
  if (disks.length > 0 && writes && Object.values(writes).every((ranges) => ranges.length === 0)) return;
  throw new DrError('STATE_CONFLICT', `the source of ${item.name} is off, and has been written since its last point`, {
    context: { item: item.id, endpoint: item.source.endpoint },
    hint: 'run the failover again: it takes what the source has written, or cancel it',
  });
};
