import type { SnapshotInfo } from '../../adapters/lab/port.ts';
import type { Baseline, DiskId, MachineId, MachineSpec, Snapshot, SnapshotSource } from '../../core/contract/index.ts';
import { type Link, paged } from './connect.ts';
import { openReader } from './disks.ts';

const snapshot = ({ specs, notes: _, ...rest }: SnapshotInfo): Snapshot => ({
  ...rest,
  specs: new Map(Object.entries(specs) as [MachineId, MachineSpec][]),
});

/** All of a snapshot source but the question what has changed, in which the vendors differ. */
export const snapshots = (link: Link): Omit<SnapshotSource, 'createSnapshot' | 'changedExtents'> => {
  const { port, at } = link;
  return {
    kind: 'snapshot',
    enableTracking: async (machine, call) => (await port.call('source.enableTracking', { ...at, machine }, call)).findings,
    disableTracking: async (machine, call) => {
      await port.call('source.disableTracking', { ...at, machine }, call);
    },
    listSnapshots: (call) =>
      paged(call, async (cursor: string | undefined) => {
        const page = await port.call('source.listSnapshots', { ...at, cursor }, call);
        return { items: page.snapshots.map(snapshot), next: page.next };
      }),
    releaseSnapshot: async (id, outcome, call) => {
      await port.call('source.releaseSnapshot', { ...at, snapshot: id, outcome }, call);
    },
    allocatedExtents: (of, disk, from, call) =>
      paged(call, async (cursor: number | undefined) => {
        const page = await port.call('source.allocatedExtents', { ...at, snapshot: of, disk, from: cursor ?? from }, call);
        return { items: page.extents, next: page.next };
      }),
    openReader: (of, disk, call) => openReader(link, { snapshot: of, disk }, call),
    keepBaselines: async (machine, keep, call) => {
      await port.call('source.keepBaselines', { ...at, machine, keep: Object.fromEntries(keep) }, call);
    },
  };
};

/** The tracker is asked at query time: what the snapshot was taken against is kept in its notes, so that it outlives the session. */
export const sourceAskedLater = (link: Link): SnapshotSource => {
  const { port, at } = link;
  const taken = new Map<string, Readonly<Record<string, Baseline>>>();
  const sinceOf = async (of: string, disk: DiskId, call: Parameters<SnapshotSource['listSnapshots']>[0]) => {
    if (!taken.has(of)) {
      const all = paged(call, async (cursor: string | undefined) => {
        const page = await port.call('source.listSnapshots', { ...at, cursor }, call);
        return { items: page.snapshots, next: page.next };
      });
      for await (const found of all) taken.set(found.id, JSON.parse(found.notes));
    }
    return taken.get(of)?.[disk];
  };
  return {
    ...snapshots(link),
    createSnapshot: async (machines, { since, ...want }, call) => {
      const notes = JSON.stringify(Object.fromEntries(since));
      const made = await port.call('source.createSnapshot', { ...at, ...want, machines, notes, operationId: call.operationId }, call);
      taken.set(made.snapshot.id, JSON.parse(made.snapshot.notes));
      return snapshot(made.snapshot);
    },
    changedExtents: (of, disk, from, call) =>
      paged(call, async (cursor: number | undefined) => {
        const since = await sinceOf(of, disk, call);
        const page = await port.call('source.changedExtents', { ...at, snapshot: of, disk, since, from: cursor ?? from }, call);
        return { items: page.extents, next: page.next };
      }),
  };
};

/** The tracker must be told the old baseline when the snapshot is taken, and answers for that one only. */
export const sourceToldBefore = (link: Link): SnapshotSource => {
  const { port, at } = link;
  return {
    ...snapshots(link),
    createSnapshot: async (machines, { since, ...want }, call) => {
      const args = { ...at, ...want, machines, since: Object.fromEntries(since), notes: '', operationId: call.operationId };
      return snapshot((await port.call('source.createSnapshot', args, call)).snapshot);
    },
    changedExtents: (of, disk, from, call) =>
      paged(call, async (cursor: number | undefined) => {
        const page = await port.call('source.changedExtents', { ...at, snapshot: of, disk, from: cursor ?? from }, call);
        return { items: page.extents, next: page.next };
      }),
  };
};
