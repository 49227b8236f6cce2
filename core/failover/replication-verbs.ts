// Verbs of replication itself: a cycle now, a resync, a verification.
import { DrError, type ItemId } from '../contract/index.ts';
import { setSync } from '../domain/decide.ts';
import { assertAllowed, type Operation } from '../domain/operations.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { itemNow, transition } from '../replication/changes.ts';
import { type Core, nowIso, sourceOf } from '../replication/core.ts';
import { type CycleReport, type CycleRequest, runCycle } from '../replication/cycle.ts';
import { applySealed, pruneHistory } from '../replication/replica.ts';
import { recordEvent } from '../state/events.ts';
import { updateItem } from '../state/items.ts';
import { getGroup, getPolicy } from '../state/records.ts';
import { concluded, eachMember } from './members.ts';

interface Members {
  readonly items: readonly ItemId[];
}

/** One cycle for each group among the items, then apply and retention. */
const cycles = async (
  core: Core,
  flow: Flow,
  ids: readonly ItemId[],
  more: Partial<CycleRequest> = {},
): Promise<{ failed: ReadonlyMap<ItemId, DrError>; points: ReadonlyMap<ItemId, string> }> => {
  const items = await Promise.all(ids.map((id) => itemNow(core, id)));
  const failed = new Map<ItemId, DrError>();
  const points = new Map<ItemId, string>();
  for (const [key, members] of Map.groupBy(items, (item) => `${item.groupId} to ${item.state.direction.to}`)) {
    const groupId = members[0]?.groupId ?? '';
    const outcome = await flow.step(
      `cycle ${key}`,
      async ({ operationId, signal }) => {
        const report: CycleReport = await runCycle(core, {
          group: await getGroup(core.store.db, groupId),
          items: members.map((item) => item.id),
          kind: 'final',
          cycleId: operationId,
          signal,
          onProgress: (item, doneBytes) => flow.progress({ text: `cycle of ${item.name}`, doneBytes }),
          ...more,
        });
        return {
          points: [...report.points].map(([id, point]) => ({ id, point: point.point })),
          failed: [...report.failures].map(([id, error]) => ({ id, code: error.code, message: error.message, hint: error.hint })),
        };
      },
      { interruptible: true },
    );
    for (const entry of outcome.failed) failed.set(entry.id, new DrError(entry.code, entry.message, { hint: entry.hint }));
    for (const { id, point } of outcome.points) points.set(id, point);
  }
  for (const id of points.keys()) {
    await flow.step(
      `apply ${id}`,
      async ({ signal }) => {
        const applied = await applySealed(core, id, signal, 'replication');
        const group = await getGroup(core.store.db, (await itemNow(core, id)).groupId);
        await pruneHistory(core, id, await getPolicy(core.store.db, group.policy), signal);
        return applied;
      },
      { interruptible: true },
    );
  }
  return { failed, points };
};

const cycleVerb = (core: Core, operation: Operation, prepare: (flow: Flow, id: ItemId) => Promise<unknown>): Verb<Members, unknown> => ({
  name: operation,
  run: async (flow, input) => {
    const prepared = await eachMember(input.items, (id) => prepare(flow, id));
    const outcome = await cycles(core, flow, [...prepared.done.keys()]);
    const failed = new Map([...prepared.failed, ...outcome.failed]);
    return { result: { points: Object.fromEntries(outcome.points) }, ...concluded({ done: outcome.points, failed }) };
  },
});

const check = (core: Core, flow: Flow, id: ItemId, operation: Operation): Promise<null> =>
  transition(core, flow, `check ${id}`, id, (item, facts) => {
    assertAllowed(operation, item, facts);
    return item;
  });

export const createSyncNow = (core: Core): Verb<Members, unknown> => cycleVerb(core, 'sync', (flow, id) => check(core, flow, id, 'sync'));

export const createResync = (core: Core): Verb<Members, unknown> =>
  cycleVerb(core, 'resync', (flow, id) =>
    transition(
      core,
      flow,
      `resync ${id}`,
      id,
      (item, facts) => {
        assertAllowed('resync', item, facts);
        return setSync(item, { is: 'Resyncing', reason: 'asked for' });
      },
      { kind: 'sync.resync', message: 'resync: both sides are compared, what differs is sent' },
    ),
  );

export interface VerifyResult {
  readonly members: Readonly<
    Record<ItemId, { readonly point: string; readonly mismatches: number; readonly bytes: number; readonly suspect: readonly string[] }>
  >;
}

/**
 * Compares source and replica at one point. What differs although the tracker did not name it is a tracker's lie or rot:
 * the points since the last clean verification become suspect, and a resync follows (J13, version 1).
 */
export const createVerify = (core: Core): Verb<Members, VerifyResult> => ({
  name: 'verify',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => verifyOne(core, flow, id));
    const members = Object.fromEntries(results.done) as VerifyResult['members'];
    const found = Object.entries(members).find(([, member]) => member.mismatches > 0);
    if (found) {
      const item = await itemNow(core, found[0] as ItemId);
      throw new DrError(
        'DIGEST_MISMATCH',
        `${item.name} differs from its source in ${found[1].mismatches} ranges (${found[1].bytes} bytes) that its tracker did not name`,
        {
          context: { item: item.id, point: found[1].point },
          hint: `the points since the last clean verification are suspect (${found[1].suspect.length}); a resync is due: run sync now`,
        },
      );
    }
    return { result: { members }, ...concluded(results) };
  },
});

const verifyOne = async (core: Core, flow: Flow, id: ItemId): Promise<VerifyResult['members'][ItemId]> => {
  await check(core, flow, id, 'verify');
  const before = await itemNow(core, id);
  if ((await sourceOf(core, before)).source?.kind !== 'snapshot') {
    throw new DrError('CAPABILITY_MISSING', `${before.name} is read as a stream: its blocks cannot be compared at one point`, {
      context: { item: id, endpoint: before.source.endpoint },
      hint: 'run sync resync: it compares everything and repairs what differs',
    });
  }
  await flow.step(`apply before ${id}`, async ({ signal }) => applySealed(core, id, signal, 'replication'), { interruptible: true });
  return flow.step(
    `compare ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const found = { mismatches: 0, bytes: 0 };
      const report = await runCycle(core, {
        group: await getGroup(core.store.db, item.groupId),
        items: [id],
        kind: 'final',
        cycleId: operationId,
        signal,
        verify: true,
        onProgress: (_item, doneBytes) => flow.progress({ text: `verify ${item.name}`, doneBytes }),
        onMismatch: (_item, _disk, _offset, length) => {
          found.mismatches += 1;
          found.bytes += length;
        },
      });
      const failure = report.failures.get(id);
      if (failure) throw failure;
      const point = report.points.get(id);
      const suspect = found.mismatches > 0 ? await markSuspect(core, id, point?.seq ?? 0) : [];
      await applySealed(core, id, signal, 'replication');
      return { point: point?.point ?? '', ...found, suspect };
    },
    {
      interruptible: true,
      commit: async (tx, result) => {
        const at = nowIso(core);
        const item = await updateItem(tx, id, (now) =>
          result.mismatches === 0
            ? { ...now, lastVerifyAt: at }
            : setSync(now, { is: 'ResyncRequired', reason: `verification found ${result.mismatches} ranges that differ` }),
        );
        await recordEvent(tx, {
          at,
          kind: result.mismatches === 0 ? 'verify.clean' : 'verify.mismatch',
          level: result.mismatches === 0 ? 'info' : 'critical',
          subject: item.name,
          jobId: flow.jobId,
          message:
            result.mismatches === 0
              ? 'replica equals source'
              : `${result.mismatches} ranges (${result.bytes} bytes) differ that the tracker did not name`,
          data: { ...result },
        });
      },
    },
  );
};

/** Points before the one that the verification sealed, back to the last clean one. */
const markSuspect = async (core: Core, id: ItemId, seq: number): Promise<string[]> => {
  const item = await itemNow(core, id);
  const journal = await core.journals.journal(item.state.direction.to, id);
  const marks = await core.journals.marks(item.state.direction.to);
  const since = item.lastVerifyAt ? Date.parse(item.lastVerifyAt) : 0;
  const suspect = journal.points.filter((point) => point.seq < seq && Date.parse(point.takenAt) > since).map((point) => point.point);
  for (const point of suspect) await marks.markSuspect(point, 'verification found differences');
  return suspect;
};
