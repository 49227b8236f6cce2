// Planned and unplanned failover of machines, groups and plans: boot groups in order, members side by side.
import { DrError, type ErrorRecord, type ItemId, toErrorRecord } from '../contract/index.ts';
import { beginFailover, dropFork, fail, noteFailover, setPhase, started, startedInPlace } from '../domain/decide.ts';
import type { FailoverKind, Item } from '../domain/item.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, nowIso, replicaOf } from '../replication/core.ts';
import { isSeenOff, lookAt, patienceMs } from '../replication/look.ts';
import type { Chosen } from '../replication/replicator.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { trySourceOff } from '../replication/source-off.ts';
import { awaitBoot, type Boot, powerOnFork, powerOnReplica } from './boot.ts';
import { advanceEpoch } from './fence.ts';
import { allItems, concluded, eachMember, type Wave } from './members.ts';
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
  readonly failed: Readonly<Record<ItemId, ErrorRecord>>;
}

export const createFailover = (core: Core, kind: FailoverKind): Verb<FailoverInput, FailoverResult> => ({
  name: kind,
  run: (flow, input) => runFailover(core, flow, input),
  failed: (flow, input) => leaveOrUndo(core, flow, input),
});

export const runFailover = async (core: Core, flow: Flow, input: FailoverInput) => {
  const resumed = flow.did('start');
  const { startedAt } = await flow.step('start', async () => ({ startedAt: core.runtime.clock.now() }));
  const ids = allItems(input.waves);
  const failed = new Map<ItemId, DrError>();
  const drop = async (part: ReadonlyMap<ItemId, DrError>) => {
    for (const [id, error] of part) {
      failed.set(id, error);
      await memberFailed(core, flow, id, error);
    }
  };
  const begun = await eachMember(ids, (id) => beginMember(core, flow, id, input));
  await drop(begun.failed);
  const memberOf = (id: ItemId) => begun.done.get(id) as Begun;

  const stopped = new Map<ItemId, Stopped>();
  for (const wave of stopOrder(input)) {
    const due = wave.filter((id) => !failed.has(id) && !memberOf(id).runs);
    const part = await eachMember(due, (id) => stopSource(core, flow, id, memberOf(id), input));
    for (const [id, outcome] of part.done) stopped.set(id, outcome);
    await drop(part.failed);
  }
  const final = await lastCycle(core, flow, memberOf, stopped, failed, input);
  await drop(final.failed);

  const members: Record<ItemId, FailoverMember> = {};
  for (const wave of input.waves) {
    await waitBefore(core, flow, wave);
    const part = await eachMember(
      wave.items.filter((id) => !failed.has(id)),
      (id) =>
        startMember(core, flow, id, memberOf(id), {
          selector: input.selector,
          startedAt,
          zeroLoss: final.sealed.has(id) && input.selector === 'latest',
          resumed,
        }),
    );
    Object.assign(members, Object.fromEntries(part.done));
    await drop(part.failed);
  }
  const { partial } = concluded({ done: new Map(Object.entries(members)) as never, failed });
  const refused = Object.fromEntries([...failed].map(([id, error]) => [id, toErrorRecord(error)]));
  return { result: { members, failed: refused }, partial: partial || Object.values(members).some((member) => !member.booted) };
};

/**
 * What the rest of the job needs to know of a member, recorded once: a resumed job meets an item that its own later steps have changed,
 * and must still take the same way.
 */
interface Begun {
  /** An earlier try powered its fork on: it runs production and is taken over as it is. */
  readonly runs: boolean;
  readonly sourceStreams: boolean;
  readonly targetForks: boolean;
  readonly groupId: string;
}

const beginMember = async (core: Core, flow: Flow, id: ItemId, input: FailoverInput): Promise<Begun> => {
  const at = nowIso(core);
  const known = (item: Item) => ({
    kind: input.kind,
    phase: item.state.failover?.phase ?? ('Quiescing' as const),
    startedAt: at,
    ...(input.sourceIs ? { statement: input.sourceIs } : {}),
  });
  await transition(core, flow, `begin ${id}`, id, (item, facts) => beginFailover(item, known(item), facts), {
    kind: `failover.${input.kind}`,
    level: 'warning',
    message: `${input.kind} failover begins`,
    data: { reason: flow.reason ?? null, sourceIs: input.sourceIs ?? null },
  });
  const begun = await settleEarlierFork(core, flow, id);
  if (begun.runs) return begun;
  if (begun.targetForks) {
    await flow.step(`networks ${id}`, async (doing) => {
      const item = await itemNow(core, id);
      await replicatorOf(item).assertConnectable(core, item, input.selector, doing);
      return null;
    });
  }
  // A planned failover's last cycle waits its turn; an unplanned one does not wait for a source that may be gone.
  if (input.kind === 'unplanned')
    await flow.step(`drain ${id}`, async ({ signal }) => replicatorOf(await itemNow(core, id)).giveWay(core, begun.groupId, signal));
  if ((await itemNow(core, id)).state.test !== 'None') await cleanupTest(core, flow, id);
  await flow.step(`epoch ${id}`, async ({ operationId, signal }) => advanceEpoch(core, await itemNow(core, id), operationId, signal), {
    commit: async (tx, epoch) => void (await commitChange(tx, core, flow, id, { change: (item) => ({ ...item, epoch }) })),
  });
  return begun;
};

/** What an earlier try left: a fork that is off is discarded, what was powered on is taken over. There is never a second one beside it (promise 3). */
const settleEarlierFork = (core: Core, flow: Flow, id: ItemId): Promise<Begun> =>
  flow.step(
    `earlier fork ${id}`,
    async ({ operationId, signal }): Promise<Begun> => {
      const item = await itemNow(core, id);
      const begun = { sourceStreams: item.traits.sourceStreams, targetForks: item.traits.targetForks, groupId: item.groupId };
      // In place the point is noted just before the power-on.
      const started = item.fork?.machine ?? (item.traits.targetForks || !item.state.failover?.point ? undefined : replicaOf(item).machine);
      if (!started) return { ...begun, runs: false };
      const look = await lookAt(core, { ...replicaOf(item), machine: started }, operationId, signal);
      if (!look.reachable) {
        throw new DrError('CONNECTION_REFUSED', `what an earlier try started of ${item.name} cannot be looked at (${look.because})`, {
          context: { item: id, endpoint: replicaOf(item).endpoint },
        });
      }
      if (look.machine && !isSeenOff(look)) return { ...begun, runs: true };
      if (!item.fork) return { ...begun, runs: false };
      await replicatorOf(item).discard(core, item, item.fork, { purpose: 'failover', backToSource: false, operationId, signal });
      return { ...begun, runs: false };
    },
    {
      commit: async (tx, { runs }) =>
        void (await commitChange(tx, core, flow, id, { change: (item) => (runs || !item.fork ? item : dropFork(item)) })),
    },
  );

/** Unplanned on an explicit older point takes no last cycle, and does not wait for a guest. */
const wantsLastCycle = (input: FailoverInput): boolean => input.kind === 'planned' || input.selector === 'latest';

const triesSourceOff = (input: FailoverInput): boolean =>
  input.kind === 'planned' || (input.sourceIs === undefined && wantsLastCycle(input));

/** Sources go down in reverse boot order: what others depend on goes last. Where they are only looked at, nobody waits for another's dark site. */
const stopOrder = (input: FailoverInput): readonly (readonly ItemId[])[] =>
  triesSourceOff(input) ? input.waves.map(({ items }) => items).reverse() : [allItems(input.waves)];

interface Stopped {
  /** The source was seen off: what is captured now is everything. */
  readonly off: boolean;
  /** A streaming source's last pass was sealed before its power went. */
  readonly captured: boolean;
}

const stopSource = async (core: Core, flow: Flow, id: ItemId, { sourceStreams }: Begun, input: FailoverInput): Promise<Stopped> => {
  if (input.kind === 'planned') {
    const { captured } = await replicatorOf(await itemNow(core, id)).stopSource(core, flow, id, sourceStreams);
    return { off: true, captured };
  }
  const withinMs = patienceMs(allItems(input.waves).length);
  const seen = await trySourceOff(core, flow, id, { attempt: triesSourceOff(input), withinMs });
  if (seen.off || input.sourceIs !== undefined) return { off: seen.off, captured: false };
  const item = await itemNow(core, id);
  throw new DrError('CONFIRMATION_NEEDED', `the source of ${item.name} cannot be confirmed off: ${seen.seen}`, {
    context: { item: id, endpoint: item.source.endpoint },
    hint: 'find out, then say so: --source-is off, unreachable or running',
  });
};

interface Final {
  /** Their newest point holds everything that the source ever wrote. */
  readonly sealed: ReadonlySet<ItemId>;
  readonly failed: ReadonlyMap<ItemId, DrError>;
}

/** The last cycle of each group's snapshot sources that are off; a streaming source had its own. Unplanned goes on without. */
const lastCycle = async (
  core: Core,
  flow: Flow,
  memberOf: (id: ItemId) => Begun,
  stopped: ReadonlyMap<ItemId, Stopped>,
  dropped: ReadonlyMap<ItemId, DrError>,
  input: FailoverInput,
): Promise<Final> => {
  const sealed = new Set<ItemId>();
  const failed = new Map<ItemId, DrError>();
  if (!wantsLastCycle(input)) return { sealed, failed };
  const off = [...stopped].filter(([id, outcome]) => outcome.off && !dropped.has(id));
  for (const [id, outcome] of off) if (outcome.captured) sealed.add(id);
  const due = off.map(([id]) => id).filter((id) => !memberOf(id).sourceStreams);
  for (const [groupId, members] of Map.groupBy(due, (id) => memberOf(id).groupId)) {
    const replicator = replicatorOf(await itemNow(core, members[0] as ItemId));
    const outcome = await replicator.lastPass(core, flow, groupId, members, input.kind === 'planned');
    for (const id of members) if (!outcome.has(id)) sealed.add(id);
    if (input.kind === 'planned') for (const [id, error] of outcome) failed.set(id, error);
  }
  for (const id of sealed) await sealedFinal(core, flow, id);
  return { sealed, failed };
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

interface Start {
  readonly selector: string;
  readonly startedAt: number;
  readonly zeroLoss: boolean;
  /** An engine has died since the job began. */
  readonly resumed: boolean;
}

const startMember = async (core: Core, flow: Flow, id: ItemId, begun: Begun, start: Start): Promise<FailoverMember> => {
  const { chosen, boot } = begun.targetForks
    ? await startOnFork(core, flow, id, begun, start)
    : await startInPlace(core, flow, id, begun, start);
  return {
    point: chosen.point,
    takenAt: chosen.takenAt,
    lossMs: start.zeroLoss ? 0 : Math.max(0, start.startedAt - Date.parse(chosen.takenAt)),
    rtoMs: boot.atMs - start.startedAt,
    booted: boot.booted,
    evidence: boot.evidence,
  };
};

interface Started {
  readonly chosen: Chosen;
  readonly boot: Boot;
}

const startOnFork = async (
  core: Core,
  flow: Flow,
  id: ItemId,
  { runs }: Begun,
  { selector, zeroLoss, resumed }: Start,
): Promise<Started> => {
  const how = { purpose: 'failover' as const, selector, mode: 'overlay' as const, newGenerationId: !zeroLoss, label: 'failover' };
  const now = await itemNow(core, id);
  const chosen = runs
    ? await replicatorOf(now).choosePoint(core, flow, id, now.fork?.point ?? '', 'running')
    : await replicatorOf(now).bringUp(core, flow, id, how);
  if (!runs) await powerOnFork(core, flow, id, how, zeroLoss && resumed);
  await transition(core, flow, `started ${id}`, id, (item) => started(noteFailover(item, { point: chosen.point })), {
    kind: 'failover.started',
    level: 'warning',
    message: `the machine runs at the recovery site from the point of ${chosen.takenAt}`,
    data: { point: chosen.point },
  });
  const item = await itemNow(core, id);
  return { chosen, boot: await noteBoot(core, flow, id, item.fork?.machine ?? '', replicaOf(item).endpoint) };
};

const startInPlace = async (core: Core, flow: Flow, id: ItemId, { runs }: Begun, { selector }: Start): Promise<Started> => {
  const now = await itemNow(core, id);
  const chosen = runs
    ? await replicatorOf(now).choosePoint(core, flow, id, now.state.failover?.point ?? '', 'running')
    : await replicatorOf(now).bringUpInPlace(core, flow, id, selector);
  if (!runs) await powerOnReplica(core, flow, id);
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
        // What refused to begin is in another job's hands.
        change: (item) => (flow.did(`begin ${id}`) && item.state.protection === 'FailingOver' ? backOrFailed(item) : item),
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
  const untouched =
    failover?.phase === 'Quiescing' &&
    item.fork === undefined &&
    !failover.sourceWasOn &&
    failover.lastPass === undefined &&
    state.sync.is !== 'None';
  return untouched ? { ...item, state: { ...state, protection: 'Protected' } } : fail(item);
};

const leaveOrUndo = async (core: Core, flow: Flow, input: FailoverInput): Promise<void> => {
  for (const id of allItems(input.waves)) {
    if (!flow.did(`begin ${id}`)) continue;
    await flow.step(`leave ${id}`, async () => null, {
      commit: async (tx) => {
        await commitChange(tx, core, flow, id, { change: (item) => (item.state.protection === 'FailingOver' ? backOrFailed(item) : item) });
      },
    });
  }
};
