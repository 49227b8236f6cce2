// Cycles that somebody asked for: now, as a resync, as a verification, and the last one of a failover.
import { DrError, fromErrorRecord, type ItemId, isDrError, toErrorRecord } from '../../contract/index.ts';
import { setSync } from '../../domain/decide.ts';
import type { Item } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import { recordEvent } from '../../state/events.ts';
import { updateItem } from '../../state/items.ts';
import { getGroup, getPolicy } from '../../state/records.ts';
import { itemNow } from '../changes.ts';
import { type Core, nowIso, sourceOf } from '../core.ts';
import { type CycleReport, runCycle } from '../cycle.ts';
import { mismatchesOf } from '../member-work.ts';
import { applySealed, pruneHistory } from '../replica.ts';
import type { Cycled, Verified } from '../replicator.ts';

/** One cycle for each group among the items, then apply and retention. */
export const cycleNow = async (core: Core, flow: Flow, ids: readonly ItemId[]): Promise<Cycled> => {
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

export const verify = async (core: Core, flow: Flow, id: ItemId): Promise<Verified> => {
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
      const report = await runCycle(core, {
        group: await getGroup(core.store.db, item.groupId),
        items: [id],
        kind: 'final',
        cycleId: operationId,
        signal,
        verify: true,
        onProgress: (_item, doneBytes) => flow.progress({ text: `verify ${item.name}`, doneBytes }),
      });
      const failure = report.failures.get(id);
      if (failure) throw failure;
      const point = report.points.get(id);
      const { count, bytes } = point ? mismatchesOf(point) : { count: 0, bytes: 0 };
      const suspect = count > 0 ? await markSuspect(core, id, point?.seq ?? 0) : [];
      await applySealed(core, id, signal, 'replication');
      return { point: point?.point ?? '', mismatches: count, bytes, suspect };
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

export const lastPass = async (
  core: Core,
  flow: Flow,
  groupId: string,
  items: readonly ItemId[],
  needed: boolean,
): Promise<Map<ItemId, DrError>> => {
  const { failed } = await flow.step(`last cycle ${groupId}`, async ({ operationId, signal }) => {
    try {
      const report = await runCycle(core, {
        group: await getGroup(core.store.db, groupId),
        items,
        kind: 'final',
        cycleId: operationId,
        signal,
      });
      return { failed: [...report.failures].map(([id, error]) => ({ id, error: toErrorRecord(error) })) };
    } catch (error) {
      if (!isDrError(error) || signal.aborted || needed) throw error;
      return { failed: items.map((id) => ({ id, error: toErrorRecord(error) })) };
    }
  });
  return new Map(failed.map(({ id, error }) => [id, fromErrorRecord(error)]));
};

/** What was wrong before a pause is still wrong after it. */
export const setPaused = (core: Core, item: Item, paused: boolean): Promise<Item> =>
  core.store.transaction((tx) =>
    updateItem(tx, item.id, (now) => {
      const { is, reason } = now.state.sync;
      if (paused) return setSync(now, { is: 'Paused', ...(is === 'Delta' ? {} : { reason: reason ?? is }) });
      return setSync(now, reason === undefined || is === 'Stalled' ? { is: 'Delta' } : { is: 'ResyncRequired', reason });
    }),
  );
