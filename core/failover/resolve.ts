// Stale sources (F4) and the operator's decision about two copies.
import { DrError, type ItemId, isDrError } from '../contract/index.ts';
import { setActive } from '../domain/decide.ts';
import type { Item, Side } from '../domain/item.ts';
import { assertAllowed } from '../domain/operations.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, factsOf, itemNow } from '../replication/changes.ts';
import { type Core, callFor, facetOf, nowIso, openEndpoint, replicaOf } from '../replication/core.ts';
import { isSeenOff, type Look, lookAt, patienceMs } from '../replication/look.ts';
import { recordEvent } from '../state/events.ts';
import { findItem, listItems, updateItem } from '../state/items.ts';
import { concluded, eachMember } from './members.ts';

const FAILED_OVER = ['CommitPending', 'ChangingPoint', 'ChangingPointFailed', 'Committing', 'CommittingFailed', 'FailedOver'];

/** The side that a failover has replaced and that must not run. */
const staleSide = (item: Item): Side | undefined => {
  if (!FAILED_OVER.includes(item.state.protection)) return undefined;
  if (item.state.failover?.phase === 'Started' || item.state.protection === 'FailedOver') return item.source;
  return undefined;
};

export interface StaleSource {
  readonly item: ItemId;
  readonly did: 'seen off' | 'isolated' | 'both run' | 'unreachable' | 'nothing';
}

/** F4: before anything else after a start and a reconnection. What has booted since the failover is isolated; what never stopped is shown as both. */
export const inspectStaleSources = async (core: Core, signal: AbortSignal): Promise<StaleSource[]> => {
  const stale = (await listItems(core.store.db)).flatMap((item) => {
    const side = staleSide(item);
    return side ? [{ item, side }] : [];
  });
  const withinMs = patienceMs(stale.length);
  const outcomes = await Promise.allSettled(
    stale.map(async ({ item: { id }, side }): Promise<StaleSource> => {
      const look = await lookAt(core, side, `fence/${id}`, signal, withinMs);
      const item = await findItem(core.store.db, id);
      // A verb may have begun meanwhile: one that gives production back has started the source itself.
      if (!item || !staleSide(item)) return { item: id, did: 'nothing' };
      return { item: id, did: await deal(core, item, side, { look, signal }) };
    }),
  );
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
};

/** The old source of one item, also when a verb is about to write to it. */
export const inspectStaleSource = async (core: Core, item: Item, signal: AbortSignal): Promise<StaleSource['did']> =>
  deal(core, item, item.source, { look: await lookAt(core, item.source, `fence/${item.id}`, signal), signal });

const deal = async (
  core: Core,
  item: Item,
  side: Side,
  { look, signal }: { readonly look: Look; readonly signal: AbortSignal },
): Promise<StaleSource['did']> => {
  if (!look.reachable) return 'unreachable';
  const here = { site: item.state.direction.to };
  if (!look.machine || isSeenOff(look)) {
    await note(
      core,
      item,
      (now) => (now.state.active === 'unknown' || now.state.active === 'both' ? setActive(now, here) : now),
      'fence.seen-off',
      'info',
      'the old source was seen off',
    );
    return 'seen off';
  }
  const failedOverAt = item.state.failover?.startedAt ?? item.lastFailoverAt;
  const bootedSince =
    look.machine.bootedAt !== undefined && failedOverAt !== undefined && Date.parse(look.machine.bootedAt) > Date.parse(failedOverAt);
  if (!bootedSince || look.machine.power !== 'on') {
    await note(
      core,
      item,
      (now) => (now.state.active === 'both' ? now : setActive(now, 'both')),
      'fence.both',
      'critical',
      `two copies run: the old source at ${side.endpoint} never stopped, or its boot time cannot be told`,
    );
    return 'both run';
  }
  const { fence } = look.session;
  if (!fence) {
    await note(
      core,
      item,
      (now) => (now.state.active === 'both' ? now : setActive(now, 'both')),
      'fence.both',
      'critical',
      `the old source has started at ${side.endpoint} and cannot be isolated from here`,
    );
    return 'both run';
  }
  await fence.isolate(side.machine, callFor(core, `fence/${item.id}`, signal, item.epoch));
  await note(
    core,
    item,
    (now) => setActive(now, here),
    'fence.isolated',
    'critical',
    `the old source started at ${side.endpoint} and was isolated: network off, power off`,
  );
  return 'isolated';
};

const note = (
  core: Core,
  item: Item,
  change: (item: Item) => Item,
  kind: string,
  level: 'info' | 'warning' | 'critical',
  message: string,
): Promise<unknown> =>
  core.store.transaction(async (tx) => {
    const before = await updateItem(tx, item.id, (now) => now);
    const after = await updateItem(tx, item.id, change);
    if (JSON.stringify(before.state.active) !== JSON.stringify(after.state.active) || kind === 'fence.isolated')
      await recordEvent(tx, { at: nowIso(core), kind, level, subject: item.name, message });
  });

// ---- resolve -----------------------------------------------------------------------------------------------------------

export const createResolve = (core: Core): Verb<{ readonly items: readonly ItemId[]; readonly keep: string }, unknown> => ({
  name: 'resolve',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => resolveOne(core, flow, id, input.keep));
    return { result: { kept: input.keep }, ...concluded(results) };
  },
});

/** The loser is isolated, its disks are kept. Keeping the protected site is a cancel, which discards the fork with its own confirmation. */
const resolveOne = (core: Core, flow: Flow, id: ItemId, keep: string): Promise<unknown> =>
  flow.step(
    `resolve ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      assertAllowed('resolve', item, await factsOf(core.store.db, item));
      const { from, to } = item.state.direction;
      if (keep !== from && keep !== to)
        throw new DrError('USAGE', `${item.name} is at ${from} and ${to}, not at ${JSON.stringify(keep)}`, {
          context: { item: id, site: keep },
          hint: `name one of them: --keep ${from} or --keep ${to}`,
        });
      if (keep === from && item.state.protection !== 'Protected') {
        throw new DrError('OPERATION_NOT_ALLOWED', `${item.name} runs at ${to} on a failed-over copy`, {
          context: { item: id, state: item.state.protection },
          hint: 'to keep the protected site, power the copy off with failover cancel: it discards what the copy wrote',
        });
      }
      const loser = keep === to ? item.source : replicaOf(item);
      const look = await lookAt(core, loser, operationId, signal);
      if (!look.reachable)
        throw new DrError('CONNECTION_REFUSED', `the other copy of ${item.name} at ${loser.endpoint} cannot be reached (${look.because})`, {
          context: { item: id, endpoint: loser.endpoint },
        });
      if (look.machine && !isSeenOff(look)) await stopLoser(core, item, loser, operationId, signal);
      return { keep };
    },
    {
      commit: async (tx) => {
        await commitChange(tx, core, flow, id, {
          change: (item) => setActive(item, { site: keep }),
          event: {
            kind: 'resolve.done',
            level: 'warning',
            message: `the copy at ${keep} stays; the other one is off and its disks are kept`,
          },
        });
      },
    },
  );

const stopLoser = async (core: Core, item: Item, loser: Side, operationId: string, signal: AbortSignal): Promise<void> => {
  const session = await openEndpoint(core, loser.endpoint);
  const call = () => callFor(core, operationId, signal, item.epoch);
  if (session.fence) await session.fence.isolate(loser.machine, call());
  try {
    await facetOf(session, 'power').set(loser.machine, 'off', call());
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};
