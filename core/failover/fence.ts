// F1-F3: who may act on a machine, decided where the replica is.
import { DrError, type Epoch } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import { type Core, callFor, openEndpoint, replicaOf } from '../replication/core.ts';
import { replicatorOf } from '../replication/replicators.ts';

/** The next epoch: above everything seen in store, journal and at the replica's machine; granted there by compare-and-set (F2). */
export const advanceEpoch = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<Epoch> => {
  const replica = replicaOf(item);
  const session = await openEndpoint(core, replica.endpoint);
  const sealed = await replicatorOf(item).sealedEpoch(core, item);
  const next = (known: Epoch | undefined): Epoch => ({
    item: item.id,
    epoch: 1 + Math.max(item.epoch.epoch, sealed, known?.epoch ?? 0),
    holder: core.ownerId,
  });
  if (!session.fence) return next(undefined);
  const held = await session.fence.read(replica.machine, callFor(core, operationId, signal));
  if (held && held.item === item.id && held.holder !== core.ownerId) {
    throw new DrError('FENCED', `the replica of ${item.name} is held by another installation (${held.holder}, epoch ${held.epoch})`, {
      context: { item: item.id, holder: held.holder, epoch: held.epoch },
      hint: 'find out which controller runs this machine; run reconcile only when it is this one',
    });
  }
  const granted = next(held);
  await session.fence.advance(replica.machine, held, granted, callFor(core, operationId, signal));
  return granted;
};
