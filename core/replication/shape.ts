// P2: a disk that was added or has grown at the source is followed at the replica before the next cycle.
import { type DiskSpec, DrError, isDrError, type Machine } from '../contract/index.ts';
import type { Item, ItemDisk } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import { recordEvent } from '../state/events.ts';
import { updateItem } from '../state/items.ts';
import { type Core, callFor, facetOf, fencedCall, nowIso, openEndpoint, replicaOf } from './core.ts';

export interface Shape {
  readonly item: Item;
  /** Those that the source has now; the item also keeps those that it had. */
  readonly disks: readonly DiskSpec[];
}

/** The item with the disks that its source has now. */
export const followShape = async (core: Core, item: Item, session: EndpointSession, signal: AbortSignal): Promise<Shape> => {
  const machine = await readMachine(core, item, session, signal);
  return { item: await reshaped(core, item, machine, signal), disks: machine.spec.disks };
};

const reshaped = async (core: Core, item: Item, machine: Machine, signal: AbortSignal): Promise<Item> => {
  const changed = machine.spec.disks.some((disk) => {
    const known = item.disks.find((candidate) => candidate.sourceDisk === disk.id);
    return !known || known.sizeBytes < disk.sizeBytes;
  });
  if (!changed) return item;
  if (item.testFork || item.fork) {
    throw new DrError('OPERATION_NOT_ALLOWED', `the disks of ${item.name} have changed and its replica is in use`, {
      context: { item: item.id, operation: 'reshape' },
      hint: 'clean up the test failover: the new disk is then copied by the next cycle',
    });
  }
  const shrunk = machine.spec.disks.find((disk) =>
    item.disks.some((known) => known.sourceDisk === disk.id && known.sizeBytes > disk.sizeBytes),
  );
  if (shrunk)
    throw new DrError('DISK_CHANGED', `disk ${shrunk.id} of ${item.name} has shrunk`, {
      context: { item: item.id, disk: shrunk.id },
      hint: 'unprotect the machine and protect it again',
    });

  const replica = replicaOf(item);
  const target = facetOf(await openEndpoint(core, replica.endpoint), 'target');
  const placed = await target.reshapeReplica(
    replica.machine,
    machine.spec,
    fencedCall(core, item, `${item.id}/reshape/${machine.spec.disks.length}`, signal),
  );
  const followed = machine.spec.disks.map((disk, index): ItemDisk => {
    const known = item.disks.find((candidate) => candidate.sourceDisk === disk.id);
    const replicaDisk = placed.disks.get(disk.id) ?? known?.replicaDisk;
    return {
      key: known?.key ?? nextKey(item, index),
      sizeBytes: disk.sizeBytes,
      sourceDisk: disk.id,
      ...(replicaDisk ? { replicaDisk } : {}),
    };
  });
  // One that the source has no more is still in older points.
  const removed = item.disks.filter((known) => !followed.some((disk) => disk.key === known.key));
  const disks = [...followed, ...removed];
  return core.store.transaction(async (tx) => {
    await recordEvent(tx, {
      at: nowIso(core),
      kind: 'machine.reshaped',
      level: 'info',
      subject: item.name,
      message: `disks of ${item.name} have changed: the replica follows`,
    });
    // A grown disk has no baseline any more: what its tracker says of the new end is not relied on.
    return updateItem(tx, item.id, (now) => {
      const grown = disks
        .filter((disk) => now.disks.some((old) => old.key === disk.key && old.sizeBytes !== disk.sizeBytes))
        .map((disk) => disk.key);
      const baselines = Object.fromEntries(Object.entries(now.baselines).filter(([key]) => !grown.includes(key)));
      return { ...now, disks, baselines };
    });
  });
};

const readMachine = async (core: Core, item: Item, session: EndpointSession, signal: AbortSignal): Promise<Machine> => {
  try {
    return await session.inventory.getMachine(item.source.machine, callFor(core, `${item.id}/look`, signal));
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
    throw new DrError('NOT_FOUND', `${item.name} is no longer at ${item.source.endpoint}`, {
      context: { item: item.id, endpoint: item.source.endpoint, machine: item.source.machine, kind: 'machine' },
      hint: 'if the machine was deleted on purpose, unprotect it; its recovery points are still there',
      cause: error,
    });
  }
};

const nextKey = (item: Item, index: number): string => {
  let number = index;
  while (item.disks.some((disk) => disk.key === `disk${number}`)) number += 1;
  return `disk${number}`;
};
