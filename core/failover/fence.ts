// F1-F3: who may act on a machine, decided where the replica is.
import { DrError, type Epoch, isDrError, type Machine } from '../contract/index.ts';
import type { Item, Side } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import { type Core, callFor, openEndpoint, replicaOf } from '../replication/core.ts';

/** The next epoch: above everything seen in store, journal and at the replica's machine; granted there by compare-and-set (F2). */
export const advanceEpoch = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<Epoch> => {
  const replica = replicaOf(item);
  const session = await openEndpoint(core, replica.endpoint);
  const journal = await core.journals.journal(item.state.direction.to, item.id);
  const sealed = journal.newest()?.epoch.epoch ?? 0;
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

export type Look =
  | { readonly reachable: false; readonly because: string }
  | { readonly reachable: true; readonly machine: Machine | undefined; readonly session: EndpointSession };

/** Looks at a machine without changing anything. A machine that is gone from its endpoint is reachable without being there. */
export const lookAt = async (core: Core, side: Side, operationId: string, signal: AbortSignal): Promise<Look> => {
  try {
    const session = await openEndpoint(core, side.endpoint);
    try {
      return { reachable: true, machine: await session.inventory.getMachine(side.machine, callFor(core, operationId, signal)), session };
    } catch (error) {
      if (isDrError(error, 'NOT_FOUND')) return { reachable: true, machine: undefined, session };
      throw error;
    }
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    return { reachable: false, because: `${error.code}: ${error.message}` };
  }
};

/** Off as seen by its hypervisor: the only thing that counts as off. */
export const isSeenOff = (look: Look): boolean => look.reachable && look.machine?.power === 'off';
