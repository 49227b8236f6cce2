// Planned and unplanned failover of machines, groups and plans: boot groups in order, members side by side.
import { DrError, type ItemId, isDrError } from '../contract/index.ts';
import { beginFailover, dropFork, fail, noteFailover, setPhase, started, startedInPlace } from '../domain/decide.ts';
import type { FailoverKind, Item } from '../domain/item.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { type Core, nowIso, replicaOf } from '../replication/core.ts';
import { runCycle } from '../replication/cycle.ts';
import { getGroup } from '../state/records.ts';
import {
  awaitBoot,
  type Boot,
  bringUp,
  bringUpInPlace,
  type Chosen,
  choosePoint,
  powerOnFork,
  powerOnReplica,
  removeFork,
} from './bring-up.ts';
import { advanceEpoch, isSeenOff, lookAt } from './fence.ts';
import { allItems, commitChange, concluded, eachMember, itemNow, transition, type Wave } from './members.ts';
import { captureThenPowerOff, isStreaming, shutDownSource, trySourceOff } from './source-off.ts';
import { cleanupTest, waitBefore } from './test-failover.ts';

export interface FailoverInput {
  readonly waves: readonly Wave[];
  readonly kind: FailoverKind;
  readonly selector: string;
  /** The operator's word about sources that cannot be seen off (F3). */
  readonly sourceIs?: 'off' | 'unreachable' | 'running';
}

export interface FailoverMember {
  readonly point: string;
  readonly takenAt: string;
  /** What was written after the point and is not in it: 0 only when the source was seen off before the last cycle. */
  readonly lossMs: number;
  readonly rtoMs: number;
  readonly booted: boolean;
  readonly evidence: string;
}

export interface FailoverResult {
  readonly members: Readonly<Record<ItemId, FailoverMember>>;
}

export const createFailover = (core: Core, kind: FailoverKind): Verb<FailoverInput, FailoverResult> => ({
  name: kind,
  run: (flow, input) => runFailover(core, flow, input),
  failed: (flow, input) => leaveOrUndo(core, flow, input),
});

export const runFailover = async (core: Core, flow: Flow, input: FailoverInput) => {
  const { startedAt } = await flow.step('start', async () => ({ startedAt: core.runtime.clock.now() }));
  const ids = allItems(input.waves);
  const failed = new Map<ItemId, DrError>();
  const drop = async (part: ReadonlyMap<ItemId, DrError>) => {
    for (const [id, error] of part) {
      failed.set(id, error);
      await memberFailed(core, flow, id, error);
    }
  };
  const alive = () => ids.filter((id) => !failed.has(id));

  const begun = await eachMember(ids, (id) => beginMember(core, flow, id, input));
  await drop(begun.failed);
  const runsAlready = (id: ItemId) => begun.done.get(id)?.runs === true;
  // Sources go down in reverse boot order: what others depend on goes last.
  for (const wave of [...input.waves].reverse()) {
    const members = wave.items.filter((id) => !failed.has(id) && !runsAlready(id));
    await drop((await eachMember(members, (id) => stopSource(core, flow, id, input))).failed);
  }
  await drop(
    await lastCycle(
      core,
      flow,
      alive().filter((id) => !runsAlready(id)),
      input,
    ),
  );

  const members: Record<ItemId, FailoverMember> = {};
  for (const wave of input.waves) {
    await waitBefore(core, flow, wave);
    const part = await eachMember(
      wave.items.filter((id) => !failed.has(id)),
      (id) => startMember(core, flow, id, input, startedAt, runsAlready(id)),
    );
    Object.assign(members, Object.fromEntries(part.done));
    await drop(part.failed);
  }
  const results = { done: new Map(Object.entries(members)) as never, failed };
  const { partial } = concluded(results);
  return { result: { members }, partial: partial || Object.values(members).some((member) => !member.booted) };
};

const beginMember = async (core: Core, flow: Flow, id: ItemId, input: FailoverInput): Promise<EarlierFork> => {
  const at = nowIso(core);
  await transition(
    core,
    flow,
    `begin ${id}`,
    id,
    (item, facts) =>
      beginFailover(
        item,
        {
          kind: input.kind,
          phase: item.state.failover?.phase ?? 'Quiescing',
          startedAt: at,
          ...(input.sourceIs ? { statement: input.sourceIs } : {}),
        },
        facts,
      ),
    {
      kind: `failover.${input.kind}`,
      level: 'warning',
      message: `${input.kind} failover begins`,
      data: { reason: flow.reason ?? null, sourceIs: input.sourceIs ?? null },
    },
  );
  const earlier = await settleEarlierFork(core, flow, id);
  if (earlier.runs) return earlier;
  if ((await itemNow(core, id)).state.test !== 'None') await cleanupTest(core, flow, id);
  await flow.step(`epoch ${id}`, async ({ operationId, signal }) => advanceEpoch(core, await itemNow(core, id), operationId, signal), {
    commit: async (tx, epoch) => {
      await commitChange(tx, core, flow, id, { change: (item) => ({ ...item, epoch }) });
    },
  });
  return earlier;
};

interface EarlierFork {
  readonly runs: boolean;
}

/**
 * A fork that an earlier try left: one that is off is discarded, one that was powered on runs production and is taken over as it is.
 * There is never a second one beside it (promise 3).
 */
const settleEarlierFork = (core: Core, flow: Flow, id: ItemId): Promise<EarlierFork> =>
  flow.step(
    `earlier fork ${id}`,
    async ({ operationId, signal }): Promise<EarlierFork> => {
      const item = await itemNow(core, id);
      if (!item.fork) return { runs: false };
      const look = await lookAt(core, { ...replicaOf(item), machine: item.fork.machine }, operationId, signal);
      if (!look.reachable)
        throw new DrError('CONNECTION_REFUSED', `the fork of ${item.name} cannot be looked at (${look.because})`, {
          context: { item: id, endpoint: replicaOf(item).endpoint },
        });
      if (look.machine && !isSeenOff(look)) return { runs: true };
      await removeFork(core, item, item.fork, operationId, signal);
      return { runs: false };
    },
    {
      commit: async (tx, { runs }) =>
        void (await commitChange(tx, core, flow, id, { change: (item) => (runs || !item.fork ? item : dropFork(item)) })),
    },
  );

/** Unplanned on an explicit older point takes no last cycle, and does not wait for a guest. */
const wantsLastCycle = (input: FailoverInput): boolean => input.kind === 'planned' || input.selector === 'latest';

const stopSource = async (core: Core, flow: Flow, id: ItemId, input: FailoverInput): Promise<void> => {
  const item = await itemNow(core, id);
  if (input.kind === 'planned') {
    if (await isStreaming(core, item)) await captureThenPowerOff(core, flow, id);
    else await shutDownSource(core, flow, id);
    return;
  }
  const seen = await trySourceOff(core, flow, id, input.sourceIs === undefined && wantsLastCycle(input));
  if (seen.off || input.sourceIs !== undefined) return;
  throw new DrError('CONFIRMATION_NEEDED', `the source of ${item.name} cannot be confirmed off: ${seen.seen}`, {
    context: { item: id, endpoint: item.source.endpoint },
    hint: 'find out, then say so: --source-is off, unreachable or running',
  });
};

/** The last cycle of each group's snapshot sources; a streaming source had its own. Unplanned goes on without. */
const lastCycle = async (core: Core, flow: Flow, ids: readonly ItemId[], input: FailoverInput): Promise<ReadonlyMap<ItemId, DrError>> => {
  const failed = new Map<ItemId, DrError>();
  if (!wantsLastCycle(input)) return failed;
  const items = await Promise.all(ids.map((id) => itemNow(core, id)));
  const due: Item[] = [];
  for (const item of items) {
    if (!item.state.failover?.sourceConfirmedOff) continue;
    const streaming = await isStreaming(core, item);
    if (streaming && input.kind === 'planned') await sealedFinal(core, flow, item.id);
    else if (!streaming) due.push(item);
  }
  for (const [groupId, members] of Map.groupBy(due, (item) => item.groupId)) {
    const outcome = await flow.step(`last cycle ${groupId}`, async ({ operationId, signal }) => {
      try {
        const report = await runCycle(core, {
          group: await getGroup(core.store.db, groupId),
          items: members.map((item) => item.id),
          kind: 'final',
          cycleId: operationId,
          signal,
        });
        return { failed: [...report.failures].map(([id, error]) => ({ id, code: error.code, message: error.message, hint: error.hint })) };
      } catch (error) {
        if (!isDrError(error) || signal.aborted || input.kind === 'planned') throw error;
        return { failed: members.map(({ id }) => ({ id, code: error.code, message: error.message, hint: error.hint })) };
      }
    });
    const broken = new Map(outcome.failed.map((entry) => [entry.id, new DrError(entry.code, entry.message, { hint: entry.hint })]));
    for (const { id } of members) {
      const error = broken.get(id);
      if (error && input.kind === 'planned') failed.set(id, error);
      else if (!error) await sealedFinal(core, flow, id);
    }
  }
  return failed;
};

const sealedFinal = (core: Core, flow: Flow, id: ItemId): Promise<null> =>
  transition(
    core,
    flow,
    `final point ${id}`,
    id,
    (item) =>
      item.state.failover?.kind === 'planned'
        ? setPhase(item, 'FinalSealed', { finalPoint: true })
        : noteFailover(item, { finalPoint: true }),
    {
      kind: 'failover.final-sealed',
      message: 'the last point is sealed: nothing is lost',
    },
  );

const startMember = async (
  core: Core,
  flow: Flow,
  id: ItemId,
  input: FailoverInput,
  startedAt: number,
  runs: boolean,
): Promise<FailoverMember> => {
  const before = await itemNow(core, id);
  const zeroLoss = before.state.failover?.finalPoint === true && input.selector === 'latest';
  const { chosen, boot } = before.traits.targetForks
    ? await startOnFork(core, flow, id, input, zeroLoss, runs)
    : await startInPlace(core, flow, id, input);
  return {
    point: chosen.point,
    takenAt: chosen.takenAt,
    lossMs: zeroLoss ? 0 : Math.max(0, startedAt - Date.parse(chosen.takenAt)),
    rtoMs: boot.atMs - startedAt,
    booted: boot.booted,
    evidence: boot.evidence,
  };
};

const startOnFork = async (
  core: Core,
  flow: Flow,
  id: ItemId,
  input: FailoverInput,
  zeroLoss: boolean,
  runs: boolean,
): Promise<{ chosen: Chosen; boot: Boot }> => {
  const how = {
    purpose: 'failover' as const,
    selector: input.selector,
    mode: 'overlay' as const,
    newGenerationId: !zeroLoss,
    label: 'failover',
  };
  const chosen = runs
    ? await choosePoint(core, flow, id, (await itemNow(core, id)).fork?.point ?? '', 'running')
    : await bringUp(core, flow, id, how);
  if (!runs) await powerOnFork(core, flow, id, how);
  await transition(core, flow, `started ${id}`, id, (item) => started(noteFailover(item, { point: chosen.point })), {
    kind: 'failover.started',
    level: 'warning',
    message: `the machine runs at the recovery site from the point of ${chosen.takenAt}`,
    data: { point: chosen.point },
  });
  const item = await itemNow(core, id);
  return { chosen, boot: await noteBoot(core, flow, id, item.fork?.machine ?? '', replicaOf(item).endpoint) };
};

const startInPlace = async (core: Core, flow: Flow, id: ItemId, input: FailoverInput): Promise<{ chosen: Chosen; boot: Boot }> => {
  const chosen = await bringUpInPlace(core, flow, id, input.selector);
  await powerOnReplica(core, flow, id);
  await transition(core, flow, `started ${id}`, id, (item) => startedInPlace(noteFailover(item, { point: chosen.point }), chosen.digest), {
    kind: 'failover.started',
    level: 'warning',
    message: `the machine runs at the recovery site from the point of ${chosen.takenAt}, on the replica itself: there is nothing to commit`,
    data: { point: chosen.point },
  });
  const replica = replicaOf(await itemNow(core, id));
  return { chosen, boot: await noteBoot(core, flow, id, replica.machine, replica.endpoint) };
};

const noteBoot = async (core: Core, flow: Flow, id: ItemId, machine: string, endpoint: string): Promise<Boot> => {
  const boot = await awaitBoot(core, flow, id, machine, endpoint, 'failover');
  if (!boot.booted) {
    await transition(core, flow, `not booted ${id}`, id, (item) => item, {
      kind: 'failover.boot-failed',
      level: 'critical',
      message: `started, but not seen booting: ${boot.evidence}`,
    });
  }
  return boot;
};

/** Nothing was changed yet: back to where it was. Else the failed twin with its ways out (retry, cancel, unplanned). */
const memberFailed = (core: Core, flow: Flow, id: ItemId, error: DrError): Promise<null> =>
  flow.step(`failed ${id}`, async () => null, {
    commit: async (tx) => {
      await commitChange(tx, core, flow, id, {
        change: (item) => (item.state.protection === 'FailingOver' ? backOrFailed(item) : item),
        event: {
          kind: 'failover.failed',
          level: 'critical',
          message: `failover failed: ${error.message}`,
          data: { code: error.code, hint: error.hint },
        },
      });
    },
  });

const backOrFailed = (item: Item): Item => {
  const { failover, ...state } = item.state;
  const untouched = failover?.phase === 'Quiescing' && item.fork === undefined && !failover.sourceWasOn && state.sync.is !== 'None';
  return untouched ? { ...item, state: { ...state, protection: 'Protected' } } : fail(item);
};

const leaveOrUndo = async (core: Core, flow: Flow, input: FailoverInput): Promise<void> => {
  for (const id of allItems(input.waves)) {
    await flow.step(`leave ${id}`, async () => null, {
      commit: async (tx) => {
        await commitChange(tx, core, flow, id, { change: (item) => (item.state.protection === 'FailingOver' ? backOrFailed(item) : item) });
      },
    });
  }
};
