// What the hosts say of a pair, asked and written down. Nothing is changed at a host.
import { DrError, isDrError, type NativePair, type NativeStatus } from '../../contract/index.ts';
import { pointSealed } from '../../domain/decide.ts';
import type { Item, NativeSeen, Side } from '../../domain/item.ts';
import { observed, pairVerdict, stageOf } from '../../domain/native.ts';
import type { Db } from '../../state/database.ts';
import { recordEvent } from '../../state/events.ts';
import { findItem, updateItem } from '../../state/items.ts';
import { listPoints, replacePoints } from '../../state/points.ts';
import { type Core, callFor, facetOf, nowIso, openEndpoint, replicaOf } from '../core.ts';
import type { Doing } from '../replicator.ts';
import { toPointRecords } from './records.ts';

export type End = 'source' | 'replica';

export const sideOf = (item: Item, end: End): Side => (end === 'source' ? item.source : replicaOf(item));

export const pairAt = async (core: Core, endpoint: string): Promise<NativePair> =>
  facetOf(await openEndpoint(core, endpoint), 'nativePair');

/** undefined: the machine is gone from its endpoint. */
export const observe = async (core: Core, side: Side, { operationId, signal }: Doing): Promise<NativeStatus | undefined> => {
  const pair = await pairAt(core, side.endpoint);
  const [status] = await Array.fromAsync(pair.observe([side.machine], callFor(core, operationId, signal)));
  return status;
};

export const statusOf = async (core: Core, side: Side, doing: Doing): Promise<NativeStatus> => {
  const status = await observe(core, side, doing);
  if (status) return status;
  throw new DrError('NOT_FOUND', `${side.name} is no longer at ${side.endpoint}`, {
    context: { endpoint: side.endpoint, machine: side.machine, kind: 'machine' },
    hint: 'if the machine was deleted on purpose, unprotect it',
  });
};

/** What one end answered, that the machine is gone from it, or why it did not answer. */
export type Sighting = { readonly status: NativeStatus | undefined } | { readonly unreachable: string };

const seenOf = (core: Core, before: NativeSeen | undefined, sighting: Sighting): NativeSeen | undefined => {
  if ('unreachable' in sighting) return before && { ...before, unreachable: sighting.unreachable };
  const { status } = sighting;
  return {
    at: nowIso(core),
    role: status?.role ?? 'none',
    state: status?.vendorState ?? 'Disabled',
    health: status?.health ?? 'NotApplicable',
    ...(status ? {} : { because: 'the machine is gone from its host' }),
    ...(status?.because === undefined ? {} : { because: status.because }),
    ...(status?.testMachine === undefined ? {} : { testMachine: status.testMachine }),
  };
};

/** The axes follow both ends together; the store's points are the replica's. Tells of every change of what is seen. */
export const noteSighting = async (tx: Db, core: Core, id: Item['id'], end: End, sighting: Sighting, endpoint: string): Promise<void> => {
  const before = await findItem(tx, id);
  // Turned round or let go while the host was asked: what it said is about another end.
  if (!before?.native || (end === 'source' ? before.source : before.replica)?.endpoint !== endpoint) return;
  const seen = seenOf(core, before.native.seen?.[end], sighting);
  if (!seen) return;
  const both = { ...before.native.seen, [end]: seen };
  const verdict = pairVerdict(both.source, both.replica);
  const status = 'status' in sighting ? sighting.status : undefined;
  // From a failover to its end the points are those that it was begun with.
  const replicates = ['Protected', 'InitialReplication', 'Reprotecting'].includes(before.state.protection);
  // What was not chosen is not offered after a commit, whatever the host still keeps.
  if (before.state.protection === 'FailedOver') await replacePoints(tx, id, []);
  if (end === 'replica' && status?.role === 'replica' && replicates) await replacePoints(tx, id, toPointRecords(before, status));
  const hasPoint = (await listPoints(tx, id)).length > 0;
  const after = await updateItem(tx, id, (item) => {
    const next = { ...item, native: { ...before.native!, seen: both } };
    const current = verdict ? observed(next, verdict.sync) : next;
    return hasPoint && isCopied(current, both) ? pointSealed(current, 'compare') : current;
  });
  if (before.state.protection !== after.state.protection || before.state.sync.is !== after.state.sync.is) {
    const { sync } = after.state;
    await recordEvent(tx, {
      at: nowIso(core),
      kind: 'native.observed',
      level: sync.is === 'Stalled' ? 'critical' : sync.is === 'Delta' ? 'info' : 'warning',
      subject: after.name,
      message: `the hosts of ${after.name} say: ${sync.is}${sync.reason ? ` (${sync.reason})` : ''}`,
      ...(verdict?.next ? { data: { hint: verdict.next } } : {}),
    });
  }
};

/** Initial replication ends with the first state that the replica holds whole, whoever is looking at that moment. */
const isCopied = (item: Item, { source, replica }: { readonly source?: NativeSeen; readonly replica?: NativeSeen }): boolean =>
  item.state.protection === 'InitialReplication' &&
  item.state.sync.is === 'Delta' &&
  source !== undefined &&
  replica !== undefined &&
  [source, replica].every((seen) => stageOf(seen) === 'replicating');

/** Asks one end and writes it down. An end that does not answer is written down too, and is no error here. */
export const lookAgain = async (core: Core, item: Item, end: End, doing: Doing): Promise<NativeStatus | undefined> => {
  let sighting: Sighting;
  try {
    sighting = { status: await observe(core, sideOf(item, end), doing) };
  } catch (error) {
    if (!isDrError(error) || doing.signal.aborted) throw error;
    sighting = { unreachable: `${error.code}: ${error.message}` };
  }
  await core.store.transaction((tx) => noteSighting(tx, core, item.id, end, sighting, sideOf(item, end).endpoint));
  return 'status' in sighting ? sighting.status : undefined;
};
