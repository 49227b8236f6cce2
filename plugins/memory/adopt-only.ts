// A target that makes no machines and has no forks: it takes the disks of a machine that exists.
import type { PlacedInfo } from '../../adapters/lab/port.ts';
import type { DiskId, NicId, Placed, Target } from '../../core/contract/index.ts';
import type { Link } from './connect.ts';
import { openReplicaDisk } from './disks.ts';

export const placed = ({ disks, nics, ...rest }: PlacedInfo): Placed => ({
  ...rest,
  disks: new Map(Object.entries(disks) as [DiskId, DiskId][]),
  nics: new Map(Object.entries(nics) as [NicId, NicId][]),
});

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
