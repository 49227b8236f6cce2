import { type ItemId, isDrError } from '../contract/index.ts';
import { setTest } from '../domain/decide.ts';
import type { Item, TestProof, TestState } from '../domain/item.ts';
import { assertAllowed } from '../domain/operations.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, nowIso, replicaOf } from '../replication/core.ts';
import { removeTestNetworks } from '../replication/networks.ts';
import type { BringUp } from '../replication/replicator.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { getItem } from '../state/items.ts';
import { awaitBoot, powerOnFork } from './boot.ts';
import { allItems, concluded, eachMember, type Wave } from './members.ts';

export interface TestInput {
  readonly waves: readonly Wave[];
  readonly selector: string;
  /** On a full copy instead of an overlay: points go on being applied meanwhile (V8). */
  readonly copy: boolean;
}

export interface TestResult {
  readonly proofs: Readonly<Record<ItemId, TestProof>>;
}

export const createTest = (core: Core): Verb<TestInput, TestResult> => ({
  name: 'test',
  run: async (flow, input) => {
    const proofs: Record<ItemId, TestProof> = {};
    const results = { done: new Map<ItemId, TestProof>(), failed: new Map() };
    for (const wave of input.waves) {
      await waitBefore(core, flow, wave);
      const part = await eachMember(wave.items, (id) => testOne(core, flow, id, input));
      for (const [id, proof] of part.done) {
        proofs[id] = proof;
        results.done.set(id, proof);
      }
      for (const [id, error] of part.failed) {
        results.failed.set(id, error);
        await undoTest(core, flow, id, 'failed');
      }
    }
    return { result: { proofs }, partial: concluded(results).partial || Object.values(proofs).some((proof) => !proof.booted) };
  },
  failed: async (flow, input) => {
    for (const id of allItems(input.waves)) await undoTest(core, flow, id, 'undone');
  },
});

/** A wave's wait is a step: it is not waited for twice after a kill. */
export const waitBefore = async (core: Core, flow: Flow, wave: Wave): Promise<void> => {
  const seconds = wave.waitSecondsBefore;
  if (!seconds) return;
  await flow.step(
    `wait ${seconds} s before ${wave.items[0] ?? 'the end'}`,
    ({ signal }) => core.runtime.clock.sleep(seconds * 1_000, signal),
    { interruptible: true },
  );
};

const testOne = async (core: Core, flow: Flow, id: ItemId, input: TestInput): Promise<TestProof> => {
  const how: BringUp = {
    purpose: 'test',
    selector: input.selector,
    mode: input.copy ? 'clone' : 'overlay',
    newGenerationId: true,
    label: 'test',
  };
  const { startedAt } = await flow.step(`begin ${id}`, async () => ({ startedAt: core.runtime.clock.now() }));
  await transition(core, flow, `starting ${id}`, id, (item, facts) => {
    assertAllowed('test', item, facts);
    return setTest(item, 'Starting');
  });
  const chosen = await replicatorOf(await itemNow(core, id)).bringUp(core, flow, id, how);
  await powerOnFork(core, flow, id, how);
  const item = await itemNow(core, id);
  const fork = item.testFork;
  const boot = await awaitBoot(core, flow, id, fork?.machine ?? '', replicaOf(item).endpoint, 'test');
  const proof: TestProof = {
    at: new Date(boot.atMs).toISOString(),
    point: chosen.point,
    pointAgeMs: Math.max(0, startedAt - Date.parse(chosen.takenAt)),
    rtoMs: boot.atMs - startedAt,
    booted: boot.booted,
    evidence: boot.evidence,
  };
  await flow.step(`running ${id}`, async () => null, {
    commit: async (tx) => {
      await commitChange(tx, core, flow, id, {
        change: (now) => ({ ...setTest(now, 'Running'), lastTest: proof }),
        event: {
          kind: proof.booted ? 'test.running' : 'test.boot-failed',
          level: proof.booted ? 'info' : 'warning',
          message: proof.booted ? `test failover runs: ${proof.evidence}` : `test failover did not boot: ${proof.evidence}`,
          data: { proof },
        },
      });
    },
  });
  return proof;
};

/** What a test made before it failed goes; when even that fails the clean-up is left to be run again. */
const undoTest = async (core: Core, flow: Flow, id: ItemId, label: string): Promise<void> => {
  if (!flow.did(`starting ${id}`)) return;
  await flow.step(
    `test of ${id} ${label}`,
    async ({ operationId, signal }): Promise<{ readonly left: TestState }> => {
      const item = await itemNow(core, id);
      if (item.state.test !== 'Starting') return { left: item.state.test };
      try {
        await removeTest(core, item, operationId, signal);
        return { left: 'None' };
      } catch (error) {
        if (!isDrError(error) || signal.aborted) throw error;
        return { left: 'CleanupFailed' };
      }
    },
    {
      commit: async (tx, { left }) => {
        if ((await getItem(tx, id)).state.test !== 'Starting') return;
        await commitChange(tx, core, flow, id, {
          change: (item) => (left === 'None' ? testOver(item) : setTest(item, left)),
          event: {
            kind: 'test.undone',
            level: 'warning',
            message:
              left === 'None'
                ? 'test failover did not start and was removed'
                : 'test failover did not start and could not be removed yet: run failover cleanup',
          },
        });
      },
    },
  );
};

export const createCleanup = (core: Core): Verb<{ readonly items: readonly ItemId[] }, null> => ({
  name: 'cleanup',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => cleanupTest(core, flow, id));
    return { result: null, ...concluded(results) };
  },
  failed: async (flow, input) => {
    for (const id of input.items) {
      await flow.step(`cleanup failed ${id}`, async () => null, {
        commit: async (tx) => {
          await commitChange(tx, core, flow, id, {
            change: (item) => (item.state.test === 'CleaningUp' ? setTest(item, 'CleanupFailed') : item),
          });
        },
      });
    }
  },
});

/** Also a part of other verbs that need the test gone. */
export const cleanupTest = async (core: Core, flow: Flow, id: ItemId): Promise<null> => {
  await transition(core, flow, `cleaning up ${id}`, id, (item) => (item.state.test === 'None' ? item : setTest(item, 'CleaningUp')));
  await flow.step(
    `remove test ${id}`,
    async ({ operationId, signal }) => {
      await discardTest(core, await itemNow(core, id), operationId, signal);
      return null;
    },
    // What the networks wait for: from here on the machine is on none of them.
    { commit: async (tx) => void (await commitChange(tx, core, flow, id, { change: withoutTestFork })) },
  );
  await flow.step(
    `remove test networks ${id}`,
    async ({ operationId, signal }) => {
      await removeTestNetworks(core, await itemNow(core, id), operationId, signal);
      return null;
    },
    {
      commit: async (tx) => {
        await commitChange(tx, core, flow, id, {
          change: testOver,
          event: { kind: 'test.cleaned-up', message: `test failover cleaned up at ${nowIso(core)}` },
        });
      },
    },
  );
  return null;
};

/** Nothing of a test is left. */
export const testOver = (item: Item): Item => {
  const { testNetworks: _, ...rest } = setTest(item, 'None');
  return rest;
};

const withoutTestFork = (item: Item): Item => {
  const { testFork: _, ...rest } = item;
  return rest;
};

const discardTest = (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> =>
  replicatorOf(item).discard(core, item, item.testFork, { purpose: 'test', backToSource: false, operationId, signal });

/** The copy, then the networks that it was on. */
export const removeTest = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> => {
  await discardTest(core, item, operationId, signal);
  await removeTestNetworks(core, item, operationId, signal);
};
