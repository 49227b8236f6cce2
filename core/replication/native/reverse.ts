// Re-protect of a native pair: the machine that runs becomes the source of the one that it came from, and the hosts send what differs.
import { DrError, type ItemId } from '../../contract/index.ts';
import { isTurned } from '../../domain/decide.ts';
import { assertValid } from '../../domain/validity.ts';
import type { Flow } from '../../flow/flow.ts';
import { deletePointsOf } from '../../state/points.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, openEndpoint, replicaOf } from '../core.ts';
import { order } from './order.ts';
import { awaitFirstPoint, networksOf, peerAt, settingsOf, startCopy } from './place.ts';

export const reverse = async (core: Core, flow: Flow, id: ItemId): Promise<void> => {
  await turn(core, flow, id);
  // The old source is its own seed: what differs is found by comparing.
  await flow.step(`seed ${id}`, async (doing) => startCopy(core, await itemNow(core, id), doing, { by: 'existing' }));
  const { copied, because } = await awaitFirstPoint(core, flow, id);
  if (copied) return;
  throw new DrError('STATE_CONFLICT', `the hosts have not replicated in the other direction: ${because ?? 'the first copy has failed'}`, {
    context: { item: id },
    hint: 'look at the replication in the manager of the hosts; then run reprotect again, or release the machine',
  });
};

/** The hosts are told, then item and direction turn round in one transaction. */
const turn = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `turn ${id}`,
    async (doing) => {
      const item = await itemNow(core, id);
      if (isTurned(item)) return null;
      const now = replicaOf(item);
      const old = await openEndpoint(core, item.source.endpoint);
      const home = await openEndpoint(core, now.endpoint);
      const epoch = { item: id, epoch: item.epoch.epoch + 1, holder: core.ownerId };
      if (old.fence) {
        const call = () => callFor(core, doing.operationId, doing.signal);
        const held = await old.fence.read(item.source.machine, call());
        if (!held || held.epoch < epoch.epoch) await old.fence.advance(item.source.machine, held, epoch, call());
      }
      const to = await peerAt(core, item.source.endpoint, await settingsOf(core, item), doing);
      await order(core, item, 'replica', { do: 'reverse', to }, doing);
      return {
        epoch,
        networks: await networksOf(core, now, doing),
        plannedPossible: home.capabilities.power.includes('shutdown'),
      };
    },
    {
      commit: async (tx, turned) => {
        if (!turned) return;
        const { epoch, networks, plannedPossible } = turned;
        await deletePointsOf(tx, id);
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            assertValid({
              ...item,
              epoch,
              native: { networks },
              // What the original machine became must never be deleted as a replica of ours.
              traits: { ...item.traits, plannedPossible, replicaAdopted: true },
              source: replicaOf(item),
              replica: item.source,
              state: {
                ...item.state,
                direction: { from: item.state.direction.to, to: item.state.direction.from },
                active: { site: item.state.direction.to },
              },
            }),
          event: { kind: 'reprotect.adopted', message: 'the hosts replicate in the other direction: the old source is the replica now' },
        });
      },
    },
  );
