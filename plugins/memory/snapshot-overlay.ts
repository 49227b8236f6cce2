// A snapshot source with an overlay target: the smallest complete plugin, and the one to copy. With connect.ts it is all that vCenter and Hyper-V need here.
import type { ForkInfo, SnapshotInfo } from '../../adapters/lab/port.ts';
import type {
  Baseline,
  Call,
  DiskId,
  Fork,
  Forks,
  MachineId,
  MachineSpec,
  Snapshot,
  SnapshotSource,
  Target,
} from '../../core/contract/index.ts';
import { adoptingTarget, placed } from './adopt-only.ts';
import { type Link, paged, type Shape } from './connect.ts';
import { openReader, openReplicaDisk } from './disks.ts';

export const vmware: Shape = {
  displayName: 'Simulated vCenter',
  capabilities: {
    tracking: 'native',
    consistency: ['crash', 'application'],
    atomicity: 'machine',
    testNetwork: 'cluster',
    power: ['on', 'off', 'shutdown'],
    snapshotSurvivesDisconnect: true,
    maxSnapshotsPerMachine: 31,
  },
  facets: (link) => ({ source: snapshotSource(link), target: overlayTarget(link) }),
};

export const hyperv: Shape = {
  displayName: 'Simulated Hyper-V',
  capabilities: { ...vmware.capabilities, atomicity: 'group', testNetwork: 'host', maxSnapshotsPerMachine: 50 },
  facets: vmware.facets,
};

/** The tracker is asked at query time: what the snapshot was taken against is kept in its notes, so that it outlives the session. */
const snapshotSource = (link: Link): SnapshotSource => {
  const { port, at } = link;
  const taken = new Map<string, Readonly<Record<string, Baseline>>>();
  const sinceOf = async (of: string, disk: DiskId, call: Call) => {
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

export const snapshot = ({ specs, notes: _, ...rest }: SnapshotInfo): Snapshot => ({
  ...rest,
  specs: new Map(Object.entries(specs) as [MachineId, MachineSpec][]),
});

/** Makes machines, and runs copies of them on overlays. */
export const overlayTarget = (link: Link): Target => {
  const { port, at } = link;
  return {
    ...adoptingTarget(link),
    createReplica: async (spec, { nics, ...as }, call) => {
      const args = { ...at, ...as, spec, nics: Object.fromEntries(nics), operationId: call.operationId, fence: call.fence };
      return placed(await port.call('target.createReplica', args, call));
    },
    deleteReplica: async (machine, call) => {
      await port.call('target.deleteReplica', { ...at, machine, fence: call.fence }, call);
    },
    forks: overlayForks(link),
  };
};

const overlayForks = (link: Link): Forks => {
  const { port, at } = link;
  const fork = (info: ForkInfo): Fork => ({ ...info, ...placed(info) });
  return {
    modes: ['overlay', 'clone'],
    create: async (replica, { nics, ...as }, call) => {
      const args = { ...at, ...as, replica, nics: Object.fromEntries(nics), operationId: call.operationId, fence: call.fence };
      return fork(await port.call('forks.create', args, call));
    },
    openDisk: (id, disk, call) => openReplicaDisk(link, { fork: id, disk }, call),
    promote: async (id, call) => (await port.call('forks.promote', { ...at, fork: id, fence: call.fence }, call)).machine,
    discard: async (id, call) => {
      await port.call('forks.discard', { ...at, fork: id, fence: call.fence }, call);
    },
    list: (call) =>
      paged(call, async (cursor: string | undefined) => {
        const { forks, next } = await port.call('forks.list', { ...at, cursor }, call);
        return { items: forks.map(fork), next };
      }),
  };
};
