// A copy that the replica host makes ready: for a test as a second machine, for a failover as the replica itself.
import { DrError, type ForkId, fromErrorRecord, type ItemId, isDrError, type MachineId, toErrorRecord } from '../../contract/index.ts';
import { setFork, setTest } from '../../domain/decide.ts';
import type { Item, ItemFork } from '../../domain/item.ts';
import { isDone, obstacleTo, stageOf, verdictOf } from '../../domain/native.ts';
import type { Flow } from '../../flow/flow.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../core.ts';
import { forkOf } from '../fork-of.ts';
import { productionNics, testNics } from '../networks.ts';
import type { BringUp, Chosen, Discarding, Doing, Promoted } from '../replicator.ts';
import { lookAgain, observe, statusOf } from './look.ts';
import { atRest, order } from './order.ts';
import { choosePoint, findPointRecord, nativeIdOf, selectPoint } from './points.ts';

/** The machine's NICs and networks as they were seen last: all that is known of a source that is lost. */
const definitionOf = (item: Item) => ({
  nics: item.nics.map(({ sourceNic: id }) => {
    const network = item.native?.networks[id];
    return network === undefined ? { id } : { id, network };
  }),
});

/** Networks are mapped, the point is there, and the replica host would take the step: all known while the source still runs. */
export const assertConnectable = async (core: Core, item: Item, selector: string, doing: Doing): Promise<void> => {
  await productionNics(core, item, definitionOf(item), replicaOf(item).endpoint);
  await selectPoint(core, item, selector);
  if (item.state.failover?.kind === 'planned' && item.state.failover.phase === 'Quiescing') await assertSends(core, item, doing);
  const status = await statusOf(core, replicaOf(item), doing);
  const stage = stageOf({ role: status.role, state: status.vendorState });
  const byHand = isDone('failover', status) && item.fork === undefined;
  const obstacle = byHand || stage === 'none' ? (obstacleTo('failover', { ...status, allowed: [] }) ?? undefined) : undefined;
  if (!obstacle) return;
  throw new DrError('STATE_CONFLICT', `${item.name} cannot be failed over by its hosts: ${obstacle.reason}`, {
    context: { item: item.id, endpoint: replicaOf(item).endpoint, state: status.vendorState },
    hint: obstacle.way,
  });
};

/** A source that sends nothing now will send nothing when it is off: that must not be found out with no copy running. */
const assertSends = async (core: Core, item: Item, doing: Doing): Promise<void> => {
  const { role, vendorState: state, health, because } = await statusOf(core, item.source, doing);
  const seen = { role, state, health, ...(because === undefined ? {} : { because }) };
  if (health !== 'Critical' && ['replicating', 'prepared'].includes(stageOf(seen))) return;
  const { sync, next } = verdictOf(seen);
  throw new DrError('STATE_CONFLICT', `the host of ${item.name} could not send its last changes: ${sync.reason ?? `it is ${state}`}`, {
    context: { item: item.id, endpoint: item.source.endpoint, state },
    hint: next ?? 'wait until it replicates, or use failover unplanned',
  });
};

/** The source is off: what the replica lacks goes over now, and nothing after it. */
export const lastPass = async (core: Core, flow: Flow, _groupId: string, ids: readonly ItemId[]): Promise<ReadonlyMap<ItemId, DrError>> => {
  const outcomes = await Promise.all(
    ids.map((id) =>
      flow.step(`prepare ${id}`, async (doing) => {
        const item = await itemNow(core, id);
        try {
          await order(core, item, 'source', { do: 'prepare' }, doing);
          return { id, error: null };
        } catch (error) {
          if (!isDrError(error) || doing.signal.aborted) throw error;
          return { id, error: toErrorRecord(error) };
        }
      }),
    ),
  );
  return new Map(outcomes.flatMap(({ id, error }) => (error ? [[id, fromErrorRecord(error)] as const] : [])));
};

export const bringUp = async (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Chosen> => {
  if (how.mode === 'clone')
    throw new DrError('CAPABILITY_MISSING', 'a test failover on a full copy is not there under native replication', {
      context: { item: id, kind: 'clone' },
      hint: 'leave --copy out: the replica host makes a machine of its own, and replication goes on',
    });
  const chosen = await choosePoint(core, flow, id, how.selector, how.label);
  await intend(core, flow, id, chosen, how);
  await makeReady(core, flow, id, chosen, how);
  return chosen;
};

/** Written down before the host is told: what is found at the host later is ours only because of it. */
const intend = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<ItemFork> =>
  flow.step(
    `fork ${how.label} ${id}`,
    async ({ operationId, signal }): Promise<ItemFork> => {
      const item = await itemNow(core, id);
      const replica = replicaOf(item);
      const status = await atRest(core, replica, { operationId, signal });
      const step = how.purpose === 'test' ? 'test' : 'failover';
      if (isDone(step, status)) {
        throw new DrError('STATE_CONFLICT', `somebody else has begun a ${step} of ${item.name} at ${replica.endpoint}`, {
          context: { item: id, endpoint: replica.endpoint, state: status.vendorState },
          hint: 'end it in the manager of the replica host, then try again',
        });
      }
      return {
        id: `native:${operationId}` as ForkId,
        machine: step === 'test' ? ('' as MachineId) : replica.machine,
        disks: {},
        nics: {},
        purpose: how.purpose,
        mode: 'overlay',
        point: chosen.point,
        takenAt: chosen.takenAt,
        operationId,
      };
    },
    {
      commit: async (tx, fork) => {
        await commitChange(tx, core, flow, id, {
          change: (item) => (how.purpose === 'test' ? setTest(item, 'Starting', fork) : setFork(item, fork)),
        });
      },
    },
  );

const testNetworks = async (core: Core, item: Item, jobId: string, signal: AbortSignal) =>
  testNics(core, item, definitionOf(item), await openEndpoint(core, replicaOf(item).endpoint), jobId, signal);

const makeReady = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<{ readonly machine: MachineId }> =>
  flow.step(
    `make ready ${how.label} ${id}`,
    async (doing) => {
      const item = await itemNow(core, id);
      const replica = replicaOf(item);
      const point = await nativeIdOf(core, item, chosen);
      const which = point === undefined ? {} : { point };
      if (how.purpose === 'failover') {
        const nics = await productionNics(core, item, definitionOf(item), replica.endpoint);
        await order(core, item, 'replica', { do: 'failover', nics, ...which }, doing);
        return { machine: replica.machine };
      }
      const nics = await testNetworks(core, item, flow.jobId, doing.signal);
      const status = await order(core, item, 'replica', { do: 'test', nics, ...which }, doing);
      if (status.testMachine) return { machine: status.testMachine };
      throw new DrError('CONTRACT_VIOLATED', `endpoint ${replica.endpoint} names no machine for the test failover of ${item.name}`, {
        context: { item: id, endpoint: replica.endpoint },
      });
    },
    {
      commit: async (tx, { machine }) => {
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            how.purpose === 'test'
              ? setTest(item, 'Starting', { ...forkOf(item, 'test'), machine })
              : setFork(item, { ...forkOf(item, 'failover'), machine }),
        });
      },
    },
  );

// ---- back, or for good -------------------------------------------------------------------------------------------------------

export const discard = async (core: Core, item: Item, fork: ItemFork | undefined, how: Discarding): Promise<void> => {
  if (how.purpose === 'test') {
    if (fork) await endTest(core, item, fork, how);
    return;
  }
  if (fork) {
    const status = await atRest(core, replicaOf(item), how);
    // A replica that has not failed over is off, and its host keeps it so.
    if (!isDone('cancel', status)) await powerOff(core, item, fork.machine, how);
    await order(core, item, 'replica', { do: 'cancel' }, how);
  }
  if (how.backToSource) await takeSourceBack(core, item, how);
};

const endTest = async (core: Core, item: Item, fork: ItemFork, doing: Doing): Promise<void> => {
  // A lost answer may have made a machine whose id was never written down.
  const status = await observe(core, replicaOf(item), doing);
  const machine = status?.testMachine ?? fork.machine;
  if (machine) await powerOff(core, item, machine, doing);
  if (status) await order(core, item, 'replica', { do: 'endTest' }, doing);
};

const powerOff = async (core: Core, item: Item, machine: MachineId, { operationId, signal }: Doing): Promise<void> => {
  const power = facetOf(await openEndpoint(core, replicaOf(item).endpoint), 'power');
  try {
    await power.set(machine, 'off', fencedCall(core, item, operationId, signal));
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

/** A source that we prepared must hear that it is not to be failed over; one that is lost was never prepared. */
const takeSourceBack = async (core: Core, item: Item, doing: Doing): Promise<void> => {
  const { failover } = item.state;
  const prepared = failover?.kind === 'planned' || failover?.finalPoint === true;
  try {
    const status = await observe(core, item.source, doing);
    if (status && stageOf({ role: status.role, state: status.vendorState }) === 'prepared')
      await order(core, item, 'source', { do: 'cancel' }, doing);
  } catch (error) {
    if (!isDrError(error) || doing.signal.aborted || prepared) throw error;
  }
};

export const promote = async (core: Core, item: Item, doing: Doing): Promise<Promoted> => {
  await keepRunning(core, item, doing);
  const { machine, endpoint } = replicaOf(item);
  const session = await openEndpoint(core, endpoint);
  const { id, name } = await session.inventory.getMachine(machine, callFor(core, doing.operationId, doing.signal));
  return { machine: { id, name }, disks: item.disks, nics: item.nics, digest: '' };
};

export const keepRunning = async (core: Core, item: Item, doing: Doing): Promise<void> => {
  if (item.fork) await order(core, item, 'replica', { do: 'commit' }, doing);
};

/** As `latest` of a planned failover: the state that the replica holds after the last changes came. */
export const newestPoint = async (core: Core, item: Item, doing: Doing): Promise<string> => {
  await lookAgain(core, item, 'replica', doing);
  return (await findPointRecord(core, item, 'latest')).id;
};
