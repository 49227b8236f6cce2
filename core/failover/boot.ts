// Powers a copy on and waits for its guest.
import { DrError, type ItemId, isDrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { Flow } from '../flow/flow.ts';
import { itemNow } from '../replication/changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../replication/core.ts';
import { forkOf } from '../replication/fork-of.ts';
import { isSeenOff, lookAt, pauseBeforeLook } from '../replication/look.ts';
import type { BringUp } from '../replication/replicator.ts';
import { replicatorOf } from '../replication/replicators.ts';

const BOOT_WAIT_MS = 300_000;

/** `unwritten`: the last point is to hold everything, and was sealed by an engine that is gone. */
export const powerOnFork = (core: Core, flow: Flow, id: ItemId, how: BringUp, unwritten = false): Promise<null> =>
  flow.step(`power on ${how.label} ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const isOff = await assertSourceStillOff(core, item, operationId, signal);
    if (isOff && unwritten) await replicatorOf(item).assertUnwritten(core, item, { operationId, signal });
    const session = await openEndpoint(core, replicaOf(item).endpoint);
    await facetOf(session, 'power').set(forkOf(item, how.purpose).machine, 'on', fencedCall(core, item, operationId, signal));
    return null;
  });

/**
 * F5: it was seen off earlier in the job, and that may be long ago: an engine was killed, a plan has waited, and somebody has started it again.
 * One that does not answer is taken for what it was; who said that it runs has been asked already.
 */
const assertSourceStillOff = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<boolean> => {
  const { protection, failover } = item.state;
  if (protection !== 'FailingOver' || !failover?.sourceConfirmedOff || failover.statement === 'running') return false;
  const look = await lookAt(core, item.source, operationId, signal);
  if (!look.reachable || !look.machine || isSeenOff(look)) return isSeenOff(look);
  throw new DrError('STATE_CONFLICT', `the source of ${item.name} was off and has been started again (power ${look.machine.power})`, {
    context: { item: item.id, endpoint: item.source.endpoint, state: look.machine.power },
    hint: 'run the failover again: it shuts the source down and takes what it has written, or cancel it',
  });
};

export const powerOnReplica = (core: Core, flow: Flow, id: ItemId): Promise<null> =>
  flow.step(`power on in place ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    await assertSourceStillOff(core, item, operationId, signal);
    const replica = replicaOf(item);
    await facetOf(await openEndpoint(core, replica.endpoint), 'power').set(
      replica.machine,
      'on',
      fencedCall(core, item, operationId, signal),
    );
    return null;
  });

export interface Boot {
  readonly booted: boolean;
  readonly evidence: string;
  readonly atMs: number;
}

/** Waits until the guest itself answers. Never fails: what was seen is the result. */
export const awaitBoot = (core: Core, flow: Flow, id: ItemId, machine: string, endpoint: string, label: string): Promise<Boot> =>
  flow.step(
    `boot ${label} ${id}`,
    async ({ operationId, signal }) => {
      const { name } = await itemNow(core, id);
      const session = await openEndpoint(core, endpoint);
      const deadline = core.runtime.clock.now() + BOOT_WAIT_MS;
      let seen = 'the guest did not answer';
      for (let looks = 0; ; looks++) {
        const now = core.runtime.clock.now();
        try {
          const found = await session.inventory.getMachine(machine as never, callFor(core, operationId, signal));
          if (found.power === 'on' && (found.guestName !== undefined || found.addresses.length > 0)) {
            return {
              booted: true,
              evidence: `guest ${found.guestName ?? ''} answers${found.addresses[0] ? ` at ${found.addresses[0]}` : ''}`,
              atMs: now,
            };
          }
          seen = found.power === 'on' ? 'powered on, but the guest did not answer' : `power is ${found.power}`;
        } catch (error) {
          if (!isDrError(error) || signal.aborted) throw error;
          seen = `${error.code}: ${error.message}`;
        }
        if (now >= deadline) return { booted: false, evidence: `${seen} within ${BOOT_WAIT_MS / 1000} s`, atMs: now };
        flow.progress({ text: `${name} is starting at ${endpoint}: ${seen}` });
        await core.runtime.clock.sleep(pauseBeforeLook(looks), signal);
      }
    },
    { interruptible: true },
  );
