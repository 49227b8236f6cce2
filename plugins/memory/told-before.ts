// A snapshot source whose tracker must know the old baseline when the snapshot is taken; its target is the overlay target.
import type { SnapshotSource } from '../../core/contract/index.ts';
import { type Link, paged, type Shape } from './connect.ts';
import { overlayTarget, snapshot, snapshots, vmware } from './snapshot-overlay.ts';

export const kvm: Shape = {
  displayName: 'Simulated KVM host',
  capabilities: { ...vmware.capabilities, consistency: ['crash'], testNetwork: 'host', maxSnapshotsPerMachine: 8 },
  facets: (link) => ({ source: sourceToldBefore(link), target: overlayTarget(link) }),
};

/** The tracker must be told the old baseline when the snapshot is taken, and answers for that one only. */
const sourceToldBefore = (link: Link): SnapshotSource => {
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
