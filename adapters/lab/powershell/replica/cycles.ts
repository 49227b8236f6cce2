// Cycles: what a machine has written since the last one goes to the other end as one instant. Between cycles nothing runs.
import type { Extent } from '../../../../core/contract/index.ts';
import { recordTruth } from '../../operations/source.ts';
import { specFromHv } from '../equipment.ts';
import { idOnHosts } from '../fabric.ts';
import { asPsFailure, HRESULT, invalidState, type PsFailure, win32 } from '../failures.ts';
import type { At } from '../model.ts';
import { type DiskOf, disksOf, type End, hostAt, isStill, otherEnd } from './ends.ts';
import { ReplicationLog } from './log.ts';
import type { Replicated, ReplicationState, ReplicationType } from './model.ts';
import { keepPoint } from './points.ts';
import { demandResync } from './refusals.ts';
import { resyncByItself } from './resync.ts';
import { isServing } from './server.ts';
import { sendUpdate } from './settings.ts';
import { noteMissed, noteSent } from './statistics.ts';

/** One stream for each machine, about 1 Gbit/s. */
export const BYTES_PER_MS = 125_000;
const LATENCY_MS = 40;
const HOUR_MS = 3_600_000;
/** Half of a disk, but the lab's disks are tiny: below this a log is no burden. */
const SMALL_LOG_BYTES = 4 << 20;

interface Piece {
  readonly drive: string;
  readonly offset: number;
  readonly data: Uint8Array;
}

export interface Delta {
  readonly instantMs: number;
  readonly type: ReplicationType;
  readonly pieces: readonly Piece[];
  readonly sizes: Readonly<Record<string, number>>;
  readonly bytes: number;
}

/** Deltas on their way, by machine, with those who wait for their end. */
const underWay = new WeakMap<Replicated, (() => void)[]>();

/** Once no delta is on its way. */
export const whenIdle = (machine: Replicated, work: () => void): void => {
  const waiting = underWay.get(machine);
  if (waiting) waiting.push(work);
  else work();
};

/** From now on, nothing is known to differ. */
export const beginLog = (at: At, machine: Replicated): void => {
  for (const { disk } of disksOf(at, machine)) at.estate.logs.set(disk, new ReplicationLog());
};

export const endLog = ({ estate }: At, machine: Replicated): void => {
  for (const { disk } of machine.hv.drives) estate.logs.delete(disk);
};

export const logBytes = (at: At, machine: Replicated): number =>
  disksOf(at, machine).reduce((sum, { disk }) => sum + (at.estate.logs.get(disk)?.bytes ?? 0), 0);

/** The next is due `afterMs` from now; one that was due before is not any more. */
export const planCycle = (at: At, machine: Replicated, afterMs = machine.hv.replication.settings.frequencySec * 1000): void => {
  const { replication } = machine.hv;
  const dueMs = at.estate.timeline.now() + afterMs;
  replication.nextMs = dueMs;
  at.estate.timeline.schedule(afterMs, () => {
    if (isStill(at, machine, replication.relationship) && machine.hv.replication === replication && replication.nextMs === dueMs)
      runCycle(at, machine);
  });
};

const runCycle = (at: At, machine: Replicated): void => {
  planCycle(at, machine);
  const { replication } = machine.hv;
  const end: End = { on: hostAt(at, machine), machine };
  if (!isServing(end.on)) return;
  if (replication.update) sendUpdate(end);
  if (replication.state === 'WaitingForStartResynchronize') resyncByItself(at, machine);
  if (replication.state !== 'Replicating') return;
  // What did not arrive stays in the log.
  if (underWay.has(machine)) noteMissed(at, machine);
  else transmit(end, 'Regular', () => undefined);
};

/** `done` is told at the end, with what the other end, or the way to it, has said: then nothing is lost. */
export const transmit = (end: End, type: ReplicationType, done: (failure?: PsFailure) => void): void => {
  const { on: at, machine } = end;
  const { compression } = machine.hv.replication.settings;
  const refused = attempt(() => accepting(end));
  if (refused) {
    noteFailed(at, machine, refused);
    done(refused);
    return;
  }
  const delta = capture(at, machine, type);
  const tookMs = LATENCY_MS + delta.bytes / BYTES_PER_MS / (compression ? 2 : 1);
  underWay.set(machine, []);
  const { replication } = machine.hv;
  const arrive = () => {
    const waiting = underWay.get(machine) ?? [];
    underWay.delete(machine);
    const isOurs = isStill(at, machine, replication.relationship) && machine.hv.replication === replication;
    const failure = isOurs ? attempt(() => deliver(end, delta)) : invalidState('The replication was removed meanwhile.');
    if (failure && isOurs) noteFailed(at, machine, failure);
    if (!failure) noteSent(at, machine, { bytes: delta.bytes, tookMs });
    done(failure);
    for (const next of waiting) next();
  };
  at.estate.timeline.schedule(tookMs, arrive, true);
};

const attempt = (work: () => void): PsFailure | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    const failure = asPsFailure(error);
    if (failure) return failure;
    throw error;
  }
};

const SENDS: readonly ReplicationState[] = ['Replicating', 'PreparedForSyncReplication'];

const deliver = (end: End, delta: Delta): void => {
  const { on: at, machine } = end;
  const { replication } = machine.hv;
  if (!SENDS.includes(replication.state)) throw invalidState('Replication was stopped meanwhile.');
  if (!isServing(hostAt(at, machine))) throw invalidState('The server has lost its power meanwhile.');
  apply(accepting(end), delta);
  for (const { disk } of disksOf(at, machine)) at.estate.logs.get(disk)?.drop();
  replication.replicatedMs = delta.instantMs;
  replication.lastType = delta.type;
  if (delta.type === 'ApplicationConsistent') replication.vssMs = delta.instantMs;
};

const ACCEPTS: readonly ReplicationState[] = ['Replicating', 'FiredrillInProgress'];

/** The other end, where it takes what comes now. */
const accepting = (end: End): End => {
  const other = otherEnd(end);
  const { mode, state } = other.machine.hv.replication;
  if (mode === 'Replica' && ACCEPTS.includes(state)) return other;
  throw invalidState(`The replica of '${end.machine.name}' takes nothing: it is in the state ${state}.`);
};

/** One instant of all disks. */
const capture = (at: At, machine: Replicated, asked: ReplicationType): Delta => {
  const { estate } = at;
  const now = estate.timeline.now();
  const type = asked === 'Regular' && isVssDue(machine, now) && isQuiet(at, machine) ? 'ApplicationConsistent' : asked;
  if (type === 'ApplicationConsistent') estate.guests.get(machine.id)?.finishTransaction(now);
  const disks = disksOf(at, machine);
  const pieces = disks.flatMap((disk) => piecesOf(disk, estate.logs.get(disk.disk)?.close(disk.volume.sizeBytes) ?? []));
  if (pieces.length > 0) recordTruth(estate, machine, truthOf(machine, now));
  const bytes = pieces.reduce((sum, { data }) => sum + data.length, 0);
  return { instantMs: now, type, pieces, bytes, sizes: Object.fromEntries(disks.map(({ drive, volume }) => [drive, volume.sizeBytes])) };
};

/** Under which the truth of an instant is on record. */
export const truthOf = (machine: Replicated, instantMs: number): string => `hvr:${idOnHosts(machine)}:${instantMs}`;

const isVssDue = ({ hv }: Replicated, now: number): boolean => {
  const { settings, vssMs } = hv.replication;
  return settings.vssHours > 0 && (vssMs === undefined || now - vssMs >= settings.vssHours * HOUR_MS);
};

const isQuiet = ({ estate }: At, machine: Replicated): boolean => machine.power === 'off' || estate.guests.has(machine.id);

const piecesOf = ({ drive, volume }: DiskOf, extents: readonly Extent[]): Piece[] =>
  extents.map(({ offset, length }) => {
    const data = new Uint8Array(length);
    volume.read(offset, data);
    return { drive, offset, data };
  });

/** All or nothing: there is room for it before the first byte is written. */
const apply = ({ on: at, machine }: End, { pieces, sizes, instantMs, type }: Delta): void => {
  const disks = new Map(disksOf(at, machine).map((disk) => [disk.drive, disk]));
  assertRoom(at, pieces, disks);
  growDisks(at, machine, { disks, sizes });
  for (const { drive, offset, data } of pieces) disks.get(drive)?.volume.write(offset, data);
  const { replication } = machine.hv;
  replication.replicatedMs = instantMs;
  replication.lastType = type;
  if (type === 'ApplicationConsistent') replication.vssMs = instantMs;
  keepPoint(at, machine, { instantMs, application: type === 'ApplicationConsistent' });
  at.estate.touch(machine);
};

const assertRoom = ({ estate, endpoint }: At, pieces: readonly Piece[], disks: ReadonlyMap<string, DiskOf>): void => {
  const wanted = new Map<string, number>();
  for (const { drive, offset, data } of pieces) {
    const disk = disks.get(drive);
    if (!disk) continue;
    const { storage } = estate.layer(disk.volume.name);
    wanted.set(storage, (wanted.get(storage) ?? 0) + disk.volume.unallocatedBytes(offset, data.length));
  }
  for (const [storage, bytes] of wanted)
    if (bytes > estate.freeBytes(endpoint, storage as never)) throw win32(HRESULT.diskFull, 'Hyper-V failed to apply the log');
};

export const growDisks = (
  at: At,
  machine: Replicated,
  { disks, sizes }: { readonly disks: ReadonlyMap<string, DiskOf>; readonly sizes: Readonly<Record<string, number>> },
): void => {
  const small = [...disks.values()].filter(({ drive, volume }) => volume.sizeBytes < (sizes[drive] ?? 0));
  for (const { drive, volume } of small) volume.grow(sizes[drive]!);
  if (small.length > 0) specFromHv(at, machine);
};

/** The other end has no room, or does not know us: nobody tries again by himself. */
const isFinal = ({ failing }: PsFailure): boolean => failing.id === 'ObjectNotFound' || failing.innerHresult === HRESULT.diskFull;

const noteFailed = (at: At, machine: Replicated, failure: PsFailure): void => {
  const { replication } = machine.hv;
  for (const { disk } of disksOf(at, machine)) at.estate.logs.get(disk)?.reopen();
  noteMissed(at, machine);
  if (replication.state !== 'Replicating') return;
  if (isFinal(failure)) replication.state = 'Error';
  else if (isTooLong(at, machine)) demandResync(at.estate, machine);
  at.estate.touch(machine);
};

/** A log that has grown over half of its disk is given up. */
const isTooLong = (at: At, machine: Replicated): boolean =>
  disksOf(at, machine).some(({ disk, volume }) => (at.estate.logs.get(disk)?.bytes ?? 0) > Math.max(volume.sizeBytes / 2, SMALL_LOG_BYTES));
