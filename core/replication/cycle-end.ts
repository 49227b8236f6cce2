// What a cycle leaves: its points in the store, failures on their items, and snapshots given back.
import type { DrError, ItemId, Snapshot } from '../contract/index.ts';
import { pointSealed, setSync } from '../domain/decide.ts';
import type { Item } from '../domain/item.ts';
import type { Point } from '../journal/journal.ts';
import type { Db } from '../state/database.ts';
import { recordEvent } from '../state/events.ts';
import { getItem, updateItem } from '../state/items.ts';
import { type CycleRecord, putPoint } from '../state/points.ts';
import { type Core, callFor, nowIso } from './core.ts';
import type { Member } from './member-work.ts';
import { toPointRecord } from './replica.ts';

/** The point becomes known: index row, baselines and state in one transaction (promise 2). */
export const storePoint = async (tx: Db, core: Core, itemId: ItemId, point: Point): Promise<void> => {
  const before = await getItem(tx, itemId);
  await putPoint(tx, toPointRecord(before, point));
  await updateItem(tx, itemId, (item) => pointSealed({ ...item, baselines: point.baselines as Item['baselines'] }, point.kind));
  const first = before.state.protection === 'InitialReplication';
  await recordEvent(tx, {
    at: nowIso(core),
    kind: first ? 'point.first' : 'point.sealed',
    level: 'info',
    subject: before.name,
    message: first ? `${before.name} is protected: first recovery point of ${point.takenAt}` : `recovery point of ${point.takenAt}`,
    data: { point: point.point, seq: point.seq },
  });
};

export const noteFailure = async (tx: Db, itemId: ItemId, error: DrError): Promise<void> => {
  await updateItem(tx, itemId, (item) => {
    if (item.state.sync.is === 'Paused' || item.state.protection !== 'Protected') return item;
    if (error.retry === 'resync') return setSync(item, { is: 'ResyncRequired', reason: error.code });
    if (item.state.sync.is === 'ResyncRequired' || item.state.sync.is === 'Resyncing')
      return setSync(item, { is: 'ResyncRequired', reason: item.state.sync.reason ?? error.code });
    return setSync(item, { is: 'Stalled', reason: `${error.code}: ${error.message}` });
  });
};

/** Keeps the baselines of the newest point, whichever cycle made it, and gives the snapshots back. */
export const releaseCycle = async (
  core: Core,
  cycle: CycleRecord,
  members: readonly Pick<Member, 'item' | 'session'>[],
  sealed: ReadonlySet<ItemId>,
  signal: AbortSignal,
): Promise<void> => {
  for (const { item, session } of members) {
    if (!sealed.has(item.id) || !session.source) continue;
    const baselines = (await core.journals.journal(item.state.direction.to, item.id)).newest()?.baselines ?? {};
    const keep = new Map(
      item.disks.flatMap((disk) => {
        const baseline = baselines[disk.key];
        return baseline === undefined ? [] : [[disk.sourceDisk, [baseline]] as const];
      }),
    );
    await session.source.keepBaselines(item.source.machine, keep, callFor(core, `${cycle.id}/keep`, signal));
  }
  for (const snapshot of cycle.doc.snapshots) {
    const session = members.find((member) => member.item.source.endpoint === snapshot.endpoint)?.session;
    if (session?.source?.kind !== 'snapshot') continue;
    const outcome = snapshot.items.every((id) => sealed.has(id)) ? 'sealed' : 'abandoned';
    await session.source.releaseSnapshot(snapshot.id as Snapshot['id'], outcome, callFor(core, `${cycle.id}/release`, signal));
  }
};
