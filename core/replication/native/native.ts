import { DrError, type ItemId, isDrError } from '../../contract/index.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import { itemNow } from '../changes.ts';
import { type Core, callFor, fencedCall, openEndpoint } from '../core.ts';
import { answering } from '../look.ts';
import type { Cycled, Doing, Replicator } from '../replicator.ts';
import { shutDownSource } from '../source-off.ts';
import { assertConnectable, bringUp, discard, keepRunning, lastPass, newestPoint, promote } from './failover.ts';
import { type End, lookAgain, observe, pairAt, sideOf } from './look.ts';
import { order } from './order.ts';
import { assess, firstCopy, markReplica, place } from './place.ts';
import { choosePoint, selectPoint } from './points.ts';
import { reverse } from './reverse.ts';

/** The hosts replicate by themselves and keep the points; the engine orders the steps, looks, and fences. */
export const NATIVE: Replicator = {
  assess,
  place,
  firstCopy,
  forget: async (core, item, how, attempt) => {
    const ends: readonly End[] = item.replica ? ['source', 'replica'] : ['source'];
    for (const end of ends) {
      const side = sideOf(item, end);
      const { endpoint, machine } = side;
      await attempt(`replication at ${endpoint}`, async () => {
        await answering(core, side, how.operationId, how.signal);
        if (end === 'replica' && !item.native) await markUnfinished(core, item, how);
        const call = fencedCall(core, item, how.operationId, how.signal);
        await (await pairAt(core, endpoint)).remove(machine, call);
      });
    }
    if (!how.keepReplica && item.replica && !item.traits.replicaAdopted)
      await attempt(`replica ${item.replica.name} at ${item.replica.endpoint}`, () => deleteReplica(core, item, how));
  },
  cycleNow: (core, flow, ids) =>
    each(core, flow, ids, 'look', async (item, doing) => {
      await lookAgain(core, item, 'source', doing);
    }),
  resync: (core, flow, ids) =>
    each(core, flow, ids, 'resync', async (item, doing) => {
      await order(core, item, 'source', { do: 'resync' }, doing);
      await lookAgain(core, item, 'source', doing);
    }),
  verify: async (_core, _flow, id) => {
    throw new DrError('INTERNAL', `a native replica was to be compared`, { context: { item: id } });
  },
  setPaused: async (core, item, paused, doing) => {
    await order(core, item, 'source', { do: paused ? 'pause' : 'resume' }, doing);
    await lookAgain(core, item, 'source', doing);
    return itemNow(core, item.id);
  },
  selectPoint,
  choosePoint,
  sealedEpoch: async () => 0,
  assertConnectable,
  // A primary that has sent its last changes does not start before its replication is turned round or called off.
  assertUnwritten: async () => {},
  giveWay: async () => {},
  stopSource: async (core, flow, id) => {
    await shutDownSource(core, flow, id);
    return { captured: false };
  },
  lastPass,
  bringUp,
  bringUpInPlace: async (_core, _flow, id) => {
    throw new DrError('INTERNAL', `a native replica was to be rolled back in place`, { context: { item: id } });
  },
  discard,
  promote,
  keepRunning,
  reverse,
};

/** Protect has ended between the order and its mark: what its pair has made at the replica host is ours all the same. */
const markUnfinished = async (core: Core, item: Item, doing: Doing): Promise<void> => {
  const status = await observe(core, sideOf(item, 'replica'), doing);
  if (status?.role === 'replica') await markReplica(core, item, doing);
};

/** Members side by side, each in a step of its own; what came of it is the newest point that the replica holds then. */
const each = async (
  core: Core,
  flow: Flow,
  ids: readonly ItemId[],
  what: string,
  work: (item: Item, doing: Doing) => Promise<void>,
): Promise<Cycled> => {
  const failed = new Map<ItemId, DrError>();
  const points = new Map<ItemId, string>();
  await Promise.all(
    ids.map(async (id) => {
      try {
        const { point } = await flow.step(
          `${what} ${id}`,
          async (doing) => {
            const item = await itemNow(core, id);
            await work(item, doing);
            return { point: await newestPoint(core, item, doing) };
          },
          { interruptible: true },
        );
        points.set(id, point);
      } catch (error) {
        if (!isDrError(error)) throw error;
        failed.set(id, error);
      }
    }),
  );
  return { failed, points };
};

/**
 * Both ends know the machine by one id: what is deleted must be off, no longer of any pair, and carry the mark that only the replica got.
 * Anything else stays and is named.
 */
const deleteReplica = async (core: Core, item: Item, { operationId, signal }: Doing): Promise<void> => {
  const replica = sideOf(item, 'replica');
  const session = await openEndpoint(core, replica.endpoint);
  const call = () => fencedCall(core, item, operationId, signal);
  const { power } = await session.inventory.getMachine(replica.machine, call());
  const status = await observe(core, replica, { operationId, signal });
  const held = await session.fence?.read(replica.machine, callFor(core, operationId, signal));
  if (power !== 'off' || status?.role !== 'none' || held?.item !== item.id || !session.target?.deleteReplica) {
    throw new DrError('STATE_CONFLICT', `it is kept: only a replica that is off, in no pair and marked as ours is deleted`, {
      context: { item: item.id, endpoint: replica.endpoint, machine: replica.machine, state: power },
    });
  }
  await session.target.deleteReplica(replica.machine, call());
};
