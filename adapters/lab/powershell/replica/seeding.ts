// First copies and resynchronisations: frozen disks go over piece by piece, and go on where they stopped.
import { recordTruth } from '../../operations/source.ts';
import { HRESULT, invalidState, type PsFailure, win32 } from '../failures.ts';
import type { At } from '../model.ts';
import { BYTES_PER_MS, beginLog, growDisks, planCycle, truthOf } from './cycles.ts';
import { disksOf, dropLayers, type End, freezeDisks, hostAt, isStill, makeEqual, tryOtherEnd } from './ends.ts';
import type { Replicated, ReplicationState, TransferRecord } from './model.ts';
import { keepPoint } from './points.ts';
import { isServing } from './server.ts';
import { noteMissed } from './statistics.ts';

const PIECE_BYTES = 8 << 20;
const STEP_MS = 200;
const AGAIN_MS = 60_000;
/** Then somebody has to look: Resume-VMReplication goes on. */
const MOST_FAILURES = 5;

const STATES = { initial: 'InitialReplicationInProgress', resync: 'Resynchronizing' } as const satisfies Record<
  TransferRecord['kind'],
  ReplicationState
>;

/** The state of now goes over; what is written meanwhile is for the first cycle. */
export const startTransfer = (at: At, machine: Replicated, kind: TransferRecord['kind']): void => {
  const { replication } = machine.hv;
  const instantMs = at.estate.timeline.now();
  recordTruth(at.estate, machine, truthOf(machine, instantMs));
  const layers = freezeDisks(at, machine);
  beginLog(at, machine);
  const totalBytes = disksOf(at, machine).reduce((sum, { volume }) => sum + volume.sizeBytes, 0);
  replication.transfer = { kind, instantMs, layers, totalBytes, sentBytes: 0, drive: 0, offset: 0, failures: 0 };
  replication.initialBytes = totalBytes;
  delete replication.seedAtMs;
  goOn(at, machine);
};

export const goOn = (at: At, machine: Replicated): void => {
  const { replication } = machine.hv;
  replication.state = STATES[replication.transfer!.kind];
  at.estate.touch(machine);
  stepLater(at, machine, STEP_MS);
};

export const dropTransfer = (at: At, machine: Replicated): void => {
  const { transfer } = machine.hv.replication;
  dropLayers(at.estate, Object.values(transfer?.layers ?? {}));
  delete machine.hv.replication.transfer;
};

const stepLater = (at: At, machine: Replicated, afterMs: number): void => {
  const { replication } = machine.hv;
  const { transfer } = replication;
  at.estate.timeline.schedule(afterMs, () => {
    if (!isStill(at, machine, replication.relationship) || replication.transfer !== transfer) return;
    if (machine.hv.replication.state === STATES[transfer!.kind]) step(at, machine, transfer!);
  });
};

const step = (at: At, machine: Replicated, transfer: TransferRecord): void => {
  const end: End = { on: hostAt(at, machine), machine };
  const other = isServing(end.on) ? tryOtherEnd(end) : undefined;
  const failure = other === undefined || 'failing' in other ? other : sendPiece(at, other, transfer);
  if (other === undefined) stepLater(at, machine, AGAIN_MS);
  else if (failure || 'failing' in other) noteFailure(at, machine, transfer);
  else sent(at, machine, { other, transfer });
};

const sent = (at: At, machine: Replicated, { other, transfer }: { readonly other: End; readonly transfer: TransferRecord }): void => {
  transfer.failures = 0;
  other.machine.hv.replication.state = STATES[transfer.kind];
  if (Object.keys(transfer.layers).length === transfer.drive) finish(at, machine, other);
  else stepLater(at, machine, STEP_MS + PIECE_BYTES / BYTES_PER_MS / (machine.hv.replication.settings.compression ? 2 : 1));
  at.estate.touch(machine);
};

const TAKES: readonly ReplicationState[] = [
  'WaitingForInitialReplication',
  'ReadyForInitialReplication',
  'InitialReplicationInProgress',
  'Resynchronizing',
  'Replicating',
];

/** A disk that was removed meanwhile stays as it is over there. */
const sendPiece = (at: At, other: End, transfer: TransferRecord): PsFailure | undefined => {
  const { replication } = other.machine.hv;
  if (replication.mode !== 'Replica' || !TAKES.includes(replication.state))
    return invalidState(`The replica takes nothing: it is in the state ${replication.state}.`);
  const drive = Object.keys(transfer.layers)[transfer.drive];
  const from = drive === undefined ? undefined : at.estate.layer(transfer.layers[drive]!).volume;
  const disks = new Map(disksOf(other.on, other.machine).map((disk) => [disk.drive, disk]));
  const into = drive === undefined ? undefined : disks.get(drive);
  if (!from || !into) return next(transfer);
  keepWhole(other, transfer);
  growDisks(other.on, other.machine, { disks, sizes: { [drive!]: from.sizeBytes } });
  const { estate, endpoint } = other.on;
  const length = Math.min(PIECE_BYTES, from.sizeBytes - transfer.offset);
  if (
    into.volume.unallocatedBytes(transfer.offset, length) > 0 &&
    estate.freeBytes(endpoint, estate.layer(into.volume.name).storage) < length
  )
    return win32(HRESULT.diskFull, 'Hyper-V failed to write the replica');
  makeEqual(from, into.volume, transfer.offset, length);
  transfer.offset += length;
  transfer.sentBytes += length;
  return transfer.offset >= from.sizeBytes ? next(transfer) : undefined;
};

const next = (transfer: TransferRecord): undefined => {
  transfer.drive++;
  transfer.offset = 0;
};

/** Halfway the replica's disks are of no instant: until the end it can fail over to what it had before. */
const keepWhole = ({ on, machine }: End, { kind }: TransferRecord): void => {
  const { replication } = machine.hv;
  if (kind === 'resync' && replication.replicatedMs !== undefined) replication.whole ??= freezeDisks(on, machine);
};

const finish = (at: At, machine: Replicated, { on, machine: replica }: End): void => {
  const { replication } = machine.hv;
  const { instantMs } = replication.transfer!;
  dropTransfer(at, machine);
  dropLayers(on.estate, Object.values(replica.hv.replication.whole ?? {}));
  delete replica.hv.replication.whole;
  for (const end of [replication, replica.hv.replication]) {
    end.state = 'Replicating';
    end.replicatedMs = instantMs;
    end.lastType = 'Regular';
  }
  keepPoint(on, replica, { instantMs, application: false });
  on.estate.touch(replica);
  planCycle(at, machine, 0);
};

const noteFailure = (at: At, machine: Replicated, transfer: TransferRecord): void => {
  const { replication } = machine.hv;
  transfer.failures++;
  noteMissed(at, machine);
  if (transfer.failures < MOST_FAILURES) stepLater(at, machine, AGAIN_MS);
  else replication.state = transfer.kind === 'resync' ? 'ResynchronizeSuspended' : 'Error';
  at.estate.touch(machine);
};
