import type { ForkInfo, PlacedInfo } from '../../adapters/lab/port.ts';
import type { DiskId, Fork, Forks, NicId, Placed, Target } from '../../core/contract/index.ts';
import { type Link, paged } from './connect.ts';
import { openReplicaDisk } from './disks.ts';

const placed = ({ disks, nics, ...rest }: PlacedInfo): Placed => ({
  ...rest,
  disks: new Map(Object.entries(disks) as [DiskId, DiskId][]),
  nics: new Map(Object.entries(nics) as [NicId, NicId][]),
});

/** Takes existing machines only: what a physical server can do. */
export const adoptingTarget = (link: Link): Target => {
  const { port, at } = link;
  return {
    adoptReplica: async (machine, spec, call) =>
      placed(await port.call('target.adoptReplica', { ...at, machine, spec, fence: call.fence }, call)),
    reshapeReplica: async (machine, spec, call) =>
      placed(await port.call('target.reshapeReplica', { ...at, machine, spec, fence: call.fence }, call)),
    deleteReplicaDisk: async (machine, disk, call) => {
      await port.call('target.deleteReplicaDisk', { ...at, machine, disk, fence: call.fence }, call);
    },
    openReplicaDisk: (replica, disk, call) => openReplicaDisk(link, { replica, disk }, call),
  };
};

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
