// Replication in the reverse direction: the old source becomes the replica (V3).
import { DrError, type ItemId } from '../contract/index.ts';
import { begin, isTurned } from '../domain/decide.ts';
import { activeSite } from '../domain/item.ts';
import { assertValid } from '../domain/validity.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, nowIso } from '../replication/core.ts';
import { isSeenOff, lookAt } from '../replication/look.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { recordEvent } from '../state/events.ts';
import { updateItem } from '../state/items.ts';
import { concluded, eachMember, leaveFailed } from './members.ts';
import { inspectStaleSource } from './resolve.ts';

export const createReprotect = (core: Core): Verb<{ readonly items: readonly ItemId[] }, unknown> => ({
  name: 'reprotect',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => reprotectOne(core, flow, id));
    await leaveFailed(flow, [...results.failed.keys()]);
    return { result: { reprotected: [...results.done.keys()] }, ...concluded(results) };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

export const reprotectOne = async (core: Core, flow: Flow, id: ItemId): Promise<null> => {
  await transition(core, flow, `begin reprotect ${id}`, id, (item, facts) => begin(item, 'reprotect', facts), {
    kind: 'reprotect.begun',
    message: 're-protect begins',
  });
  await inspectOldSource(core, flow, id);
  await replicatorOf(await itemNow(core, id)).reverse(core, flow, id);
  await finish(core, flow, id);
  return null;
};

/** The old source must be seen off: it is about to be written. One that runs is for `resolve`. */
const inspectOldSource = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `inspect old source ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      if (!isTurned(item)) {
        const look = await lookAt(core, item.source, operationId, signal);
        if (!look.reachable) {
          throw new DrError('CONNECTION_REFUSED', `the old source of ${item.name} cannot be reached (${look.because})`, {
            context: { item: id, endpoint: item.source.endpoint },
            hint: 'repair the endpoint and run reprotect again, or release the machine',
          });
        }
        if (!look.machine) {
          throw new DrError('NOT_FOUND', `the old source of ${item.name} is gone from ${item.source.endpoint}`, {
            context: { item: id, kind: 'machine' },
            hint: 'release the machine and protect it anew',
          });
        }
        // One that has started again since the failover is stale: it is isolated, and then it is off (F4).
        if (!isSeenOff(look) && (await inspectStaleSource(core, item, signal)) !== 'isolated') {
          throw new DrError('STATE_CONFLICT', `the old source of ${item.name} is not off (power ${look.machine.power})`, {
            context: { item: id, state: look.machine.power },
            hint: 'two copies may run: run resolve --keep to decide which one stays',
          });
        }
      }
      return null;
    },
    {
      commit: async (tx) =>
        void (await commitChange(tx, core, flow, id, {
          change: (item) =>
            activeSite(item.state.active) ? item : { ...item, state: { ...item.state, active: { site: item.state.direction.to } } },
        })),
    },
  );

const finish = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `reprotected ${id}`,
    async () => {
      const item = await itemNow(core, id);
      await core.journals.remove(item.state.direction.from, id);
      return null;
    },
    {
      commit: async (tx) => {
        const item = await updateItem(tx, id, (now) => {
          const { reverse: _done, ...rest } = now;
          return assertValid({
            ...rest,
            state: { ...now.state, protection: 'Protected', sync: { is: 'Delta' }, active: { site: now.state.direction.from } },
          });
        });
        await recordEvent(tx, {
          at: nowIso(core),
          kind: 'reprotect.done',
          level: 'info',
          subject: item.name,
          jobId: flow.jobId,
          message: `${item.name} is protected again, from ${item.state.direction.from} to ${item.state.direction.to}`,
        });
      },
    },
  );
