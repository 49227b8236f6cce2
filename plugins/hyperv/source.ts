// A snapshot source: one recovery checkpoint of ours at a time, resilient change tracking (RCT) against the reference points that earlier ones became.
import { hash } from 'node:crypto';
import {
  type Baseline,
  type Call,
  type DiskId,
  type DiskReader,
  DrError,
  type Extent,
  type Finding,
  isDrError,
  type MachineId,
  type PointRequest,
  type Snapshot,
  type SnapshotId,
  type SnapshotSource,
} from '../../core/contract/index.ts';
import { Turns } from '../../core/plugin-kit/index.ts';
import {
  awaitMerge,
  busy,
  type Checkpoint,
  convertToReferencePoint,
  destroyCheckpoint,
  frozenDisks,
  snapshotsOf,
  takeRecovery,
} from './checkpoints.ts';
import type { Disks } from './disks.ts';
import { type Fabric, isMissing } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { type Drive, drivesOf, powerOf, specOf } from './machine.ts';
import { changeMarks, without } from './marks.ts';
import { type CycleMark, type Marks, readNotes } from './notes.ts';
import { storageFinder, storages } from './places.ts';
import { changesSince, destroyReferencePoint, lost, referencePointsOf } from './reference-points.ts';
import { text } from './rows.ts';

const SEPARATOR = '+';
/** Small enough to find holes between files, large enough that a first copy of terabytes asks for little. */
const ZERO_BLOCK_BYTES = 256 * 1024;

interface Ground {
  readonly fabric: Fabric;
  readonly disks: Disks;
}

export const sourceOf = (fabric: Fabric, disks: Disks): SnapshotSource => {
  const ground = { fabric, disks };
  return {
    kind: 'snapshot',
    enableTracking: (id, call) => enableTracking(fabric, id, call),
    disableTracking: (id, call) => disableTracking(fabric, id, call),
    createSnapshot: (ids, want, call) => createSnapshot(ground, ids, want, call),
    listSnapshots: (call) => listSnapshots(ground, call),
    releaseSnapshot: async (id, outcome, call) => {
      for (const part of partsOf(id)) await release(ground, part, outcome, call);
      call.signal.throwIfAborted();
    },
    changedExtents: async function* (of, disk, from, call) {
      const { look, frozen, cycle } = await findDisk(fabric, of, disk, call);
      const trackingId = await trackingIdOf(fabric, { look, frozen, since: cycle.since[disk] }, call);
      const { path, sizeBytes } = frozen;
      yield* changesSince(fabric, { host: look.host, path, disk, sizeBytes, trackingId, from }, call);
    },
    allocatedExtents: async function* (of, disk, from, call) {
      const { look, frozen } = await findDisk(fabric, of, disk, call);
      await using reader = await disks.openRead(look.host, frozen.path, call);
      yield* nonZero(reader, from, call);
    },
    openReader: async (of, disk, call) => {
      const { look, frozen } = await findDisk(fabric, of, disk, call);
      return disks.openRead(look.host, frozen.path, call);
    },
    keepBaselines: (id, keep, call) => keepBaselines(fabric, id, keep, call),
  };
};

/** A host does not tell which blocks of a file are in use. Its agent finds zeroes by reading, and sends 32 bytes for each block. */
async function* nonZero(reader: DiskReader, from: number, call: Call): AsyncGenerator<Extent> {
  const first = Math.floor(from / ZERO_BLOCK_BYTES) * ZERO_BLOCK_BYTES;
  for await (const { offset, sha256 } of reader.digests!(ZERO_BLOCK_BYTES, first, call)) {
    call.signal.throwIfAborted();
    const length = Math.min(ZERO_BLOCK_BYTES, reader.sizeBytes - offset);
    if (zeroDigest(length).equals(sha256)) continue;
    const start = Math.max(offset, from);
    yield { offset: start, length: offset + length - start };
  }
  call.signal.throwIfAborted();
}

const WHOLE = hash('sha256', new Uint8Array(ZERO_BLOCK_BYTES), 'buffer');
const zeroDigest = (length: number): Buffer => (length === ZERO_BLOCK_BYTES ? WHOLE : hash('sha256', new Uint8Array(length), 'buffer'));

// ---- identities ------------------------------------------------------------------------------------------------------

interface Part {
  readonly machine: MachineId;
  readonly checkpoint: string;
}

const partId = ({ machine, checkpoint }: Part): string => `${machine}/${checkpoint}`;
const partsOf = (id: SnapshotId): Part[] =>
  id.split(SEPARATOR).map((part) => {
    const [machine = '', checkpoint = ''] = part.split('/');
    return { machine: machine as MachineId, checkpoint };
  });

/** What a checkpoint becomes is known only when its cycle has ended: until then, and after, it is called by the checkpoint. */
const baselineOf = (checkpoint: string, identifier: string): Baseline => `${checkpoint}/${identifier}` as Baseline;
const isOfDisk = (baseline: string, identifier: string): boolean => baseline.endsWith(`/${identifier}`);
const checkpointOf = (baseline: string): string => baseline.slice(0, Math.max(0, baseline.indexOf('/')));

// ---- tracking --------------------------------------------------------------------------------------------------------

/** Change tracking has no switch: the first checkpoint of this kind starts it. */
const enableTracking = async (fabric: Fabric, id: MachineId, call: Call): Promise<readonly Finding[]> => {
  const { notes } = await lookAt(fabric, id, call);
  if (Object.keys(notes.marks?.points ?? {}).length > 0) return [];
  return [
    {
      code: 'TRACKING_FROM_NEXT_SNAPSHOT',
      level: 'info',
      message: 'changes are tracked from the first checkpoint on',
      hint: 'nothing to do: the first copy reads everything',
    },
  ];
};

const disableTracking = (fabric: Fabric, id: MachineId, call: Call): Promise<void> => keepBaselines(fabric, id, new Map(), call);

/** Only those on our own record: a reference point does not say whose it is. */
const keepBaselines = async (fabric: Fabric, id: MachineId, keep: ReadonlyMap<DiskId, readonly Baseline[]>, call: Call): Promise<void> => {
  const kept = new Set([...keep.values()].flat().map(checkpointOf));
  const { host, notes } = await lookAt(fabric, id, call);
  if (notes.marks && notes.marks.owner !== fabric.ownerId) return;
  const gone = Object.entries(notes.marks?.points ?? {}).filter(([checkpoint]) => !kept.has(checkpoint));
  if (gone.length === 0) return;
  for (const [, point] of gone) await destroyReferencePoint(fabric, host, point, call);
  await changeMarks(
    fabric,
    id,
    (marks) =>
      forgetPoints(
        marks,
        gone.map(([checkpoint]) => checkpoint),
      ),
    call,
  );
};

const forgetPoints = (marks: Marks, checkpoints: readonly string[]): Marks => {
  const points = Object.fromEntries(Object.entries(marks.points ?? {}).filter(([checkpoint]) => !checkpoints.includes(checkpoint)));
  return Object.keys(points).length === 0 ? without(marks, 'points') : { ...marks, points };
};

const trackingIdOf = async (
  fabric: Fabric,
  { look, frozen, since }: { readonly look: Look; readonly frozen: Drive; readonly since: string | undefined },
  call: Call,
): Promise<string> => {
  if (since === undefined) throw lost(frozen.id, 'no baseline was given');
  if (!isOfDisk(since, frozen.identifier)) throw lost(frozen.id, 'the baseline is of another disk');
  const point = look.notes.marks?.points?.[checkpointOf(since)];
  if (point === undefined) throw lost(frozen.id, 'its baseline is not on record at the machine any more');
  const there = (await referencePointsOf(fabric, look.id, look.host, call)).find(({ id }) => id === point);
  if (!there) throw lost(frozen.id, 'the reference point of its baseline is gone from the host');
  const trackingId = there.trackingIds.get(frozen.identifier);
  if (trackingId === undefined) throw lost(frozen.id, 'the reference point of its baseline does not have the disk');
  return trackingId;
};

// ---- snapshots -------------------------------------------------------------------------------------------------------

/** One machine after the other: only collections of VHD sets are held at one instant. */
const createSnapshot = async (ground: Ground, ids: readonly MachineId[], want: PointRequest, call: Call): Promise<Snapshot> => {
  const { fabric } = ground;
  const machines = [...new Set(ids)];
  const looks = new Map<MachineId, Look>();
  for (const id of machines) looks.set(id, await settled(ground, id, call));
  const isOurs = (id: MachineId) => cycleOf(fabric, looks.get(id)!)?.operation === call.operationId;
  const other = machines.find((id) => cycleOf(fabric, looks.get(id)!) && !isOurs(id));
  if (other !== undefined && !machines.some(isOurs)) {
    throw new DrError('SNAPSHOT_LIMIT_REACHED', `machine ${other} has a checkpoint of another cycle of this installation already`, {
      hint: 'let the cycle that it belongs to end, or run doctor --sweep',
      context: { machine: other },
    });
  }
  const taken: Part[] = [];
  try {
    for (const id of machines) {
      const look = looks.get(id)!;
      const checkpoint = await turns.take(id, () => fabric.held(look, () => takeOne(ground, look, { ...want, machines }, call), call));
      taken.push({ machine: id, checkpoint });
    }
  } catch (error) {
    // All or none; what an abort or a second failure has left is found by its operation.
    if (!call.signal.aborted) for (const part of taken) await release(ground, part, 'abandoned', call).catch(() => undefined);
    throw error;
  }
  return describe(fabric, taken, call);
};

/** Between two calls of this process: what one is at, another must not take for left behind. */
const turns = new Turns();

/**
 * What a killed call has left of a cycle is brought to an end. Written down without a checkpoint: that is the one that is there, and where there
 * is none, none was taken (a host that was still at it has been waited for). Half a reference point becomes a whole one. A checkpoint that is gone
 * was released.
 */
const settled = (ground: Ground, id: MachineId, call: Call): Promise<Look> =>
  turns.take(id, async () => {
    const { fabric } = ground;
    const look = await lookAt(fabric, id, call);
    const cycle = cycleOf(fabric, look);
    if (!cycle) return look;
    if (cycle.checkpoint === undefined) await awaitMerge(fabric, id, call);
    const recovery = (await snapshotsOf(fabric, look, call)).filter(({ type }) => type === 'Recovery');
    const { checkpoint = recovery[0]?.id } = cycle;
    const isThere = recovery.some((one) => one.id === checkpoint);
    if (isThere && cycle.checkpoint !== undefined && !cycle.converting) return look;
    if (checkpoint !== undefined && cycle.converting)
      await releaseAt(ground, { part: { machine: id, checkpoint }, look, outcome: 'sealed' }, call);
    else
      await changeMarks(
        fabric,
        id,
        (marks) => (isThere && checkpoint !== undefined ? { ...marks, cycle: { ...cycle, checkpoint } } : without(marks, 'cycle')),
        call,
      );
    return lookAt(fabric, id, call);
  });

const cycleOf = (fabric: Fabric, { notes }: Look): CycleMark | undefined =>
  notes.marks?.owner === fabric.ownerId ? notes.marks.cycle : undefined;

/** Written down first, taken, then written down as what: whoever is killed in between is understood by the next. */
const takeOne = async (
  { fabric }: Ground,
  look: Look,
  { consistency, orElse, since, machines }: PointRequest & { readonly machines: readonly MachineId[] },
  call: Call,
): Promise<string> => {
  const { id, host } = look;
  const begun = cycleOf(fabric, look);
  if (begun?.checkpoint !== undefined) return begun.checkpoint;
  const there = (await snapshotsOf(fabric, look, call)).filter(({ type }) => type === 'Recovery');
  if (there.length > 0)
    throw busy(id, 'has a backup checkpoint of another product', 'wait for the backup to end, or remove its checkpoint');
  await awaitMerge(fabric, id, call);
  const possible = consistency === 'application' ? await applicationFinding(look) : undefined;
  if (possible !== undefined && orElse === 'refuse') throw new DrError('CONSISTENCY_UNAVAILABLE', possible, { context: { machine: id } });
  const own = Object.fromEntries([...since].filter(([disk]) => disk.startsWith(`${id}/`)));
  const cycle: CycleMark = { operation: call.operationId, machines, since: own, consistency: 'crash' };
  const note = (more: Partial<CycleMark>) =>
    changeMarks(fabric, id, (marks) => ({ ...claimed(fabric, marks), cycle: { ...cycle, ...more } }), call);
  const take = async (level: 'crash' | 'application', more: Partial<CycleMark>): Promise<string> => {
    await note(more);
    await takeRecovery(fabric, { id, host }, level, call);
    const checkpoint = await newRecovery(fabric, look, call);
    // Whole once more: a sweep that saw no checkpoint in between has taken the cycle for one that took none.
    await note({ ...more, checkpoint });
    return checkpoint;
  };
  if (consistency === 'crash' || possible !== undefined) return take('crash', possible === undefined ? {} : { fellBackBecause: possible });
  try {
    return await take('application', { consistency: 'application' });
  } catch (error) {
    if (orElse === 'refuse' || !isDrError(error) || !mayFallBack(error)) throw asQuiesce(error, id);
    return take('crash', { fellBackBecause: error.message });
  }
};

/** Marks of another installation: the machine has changed hands, which the engine has decided by its epoch. */
const claimed = (fabric: Fabric, marks: Marks): Marks =>
  marks.owner === fabric.ownerId ? marks : { owner: fabric.ownerId, ...(marks.epoch ? { epoch: marks.epoch } : {}) };

/** What a host says to a guest that could not be quiesced is a general failure: everything that is none of these may be that. */
const mayFallBack = (error: DrError): boolean =>
  !isDrError(
    error,
    'PERMISSION_DENIED',
    'CONNECTION_LOST',
    'CONNECTION_REFUSED',
    'TIMED_OUT',
    'NOT_FOUND',
    'HOST_BUSY',
    'TASK_IN_PROGRESS',
    'TARGET_FULL',
  );

const asQuiesce = (error: unknown, id: MachineId): unknown =>
  isDrError(error) && mayFallBack(error)
    ? new DrError('QUIESCE_FAILED', `the guest of machine ${id} could not be quiesced: ${error.message}`, {
        context: { machine: id },
        cause: error,
      })
    : error;

const applicationFinding = async ({ vm, id }: Look): Promise<string | undefined> =>
  powerOf(vm) === 'on' ? undefined : `machine ${id} does not run`;

const newRecovery = async (fabric: Fabric, look: Look, call: Call): Promise<string> => {
  const made = (await snapshotsOf(fabric, look, call)).filter(({ type }) => type === 'Recovery');
  const [only] = made;
  if (only && made.length === 1) return only.id;
  if (only) throw busy(look.id, 'has got a backup checkpoint of another product at the same time', 'wait for the backup to end');
  throw new DrError('SNAPSHOT_GONE', `the checkpoint of machine ${look.id} is gone right after it was taken`, {
    context: { machine: look.id },
  });
};

interface Frozen {
  readonly part: Part;
  readonly look: Look;
  readonly cycle: CycleMark;
  readonly snapshot: Checkpoint;
  readonly drives: readonly Drive[];
}

/** Undefined when the checkpoint is not ours, or not there. */
const frozenOf = async (fabric: Fabric, part: Part, call: Call): Promise<Frozen | undefined> => {
  const look = await lookAt(fabric, part.machine, call);
  return fabric.held(look, () => frozenAt(fabric, part, look, call), call);
};

const frozenAt = async (fabric: Fabric, part: Part, look: Look, call: Call): Promise<Frozen | undefined> => {
  const cycle = cycleOf(fabric, look);
  if (cycle?.checkpoint !== part.checkpoint || cycle.converting) return undefined;
  const snapshot = (await snapshotsOf(fabric, look, call)).find(({ id }) => id === part.checkpoint);
  if (!snapshot) return undefined;
  return {
    part,
    look,
    cycle,
    snapshot,
    drives: drivesOf({ vm: look.vm, ...(await frozenDisks(fabric, look.host, part.checkpoint, call)) }),
  };
};

const describe = async (fabric: Fabric, parts: readonly Part[], call: Call): Promise<Snapshot> => {
  const found: Frozen[] = [];
  for (const part of parts) {
    const frozen = await frozenOf(fabric, part, call);
    if (!frozen) throw gone(parts.map(partId).join(SEPARATOR));
    found.push(frozen);
  }
  const volumes = await storages(fabric, call);
  const times = found.map(({ snapshot }) => Date.parse(snapshot.createdAt));
  const [first] = found as [Frozen];
  const fellBack = found.find(({ cycle }) => cycle.fellBackBecause !== undefined)?.cycle.fellBackBecause;
  return {
    id: parts.map(partId).join(SEPARATOR) as SnapshotId,
    machines: parts.map(({ machine }) => machine),
    takenAt: first.snapshot.createdAt,
    operationId: first.cycle.operation,
    atomicity: found.length > 1 ? { skewedMs: Math.max(...times) - Math.min(...times) } : 'instant',
    consistency: found.every(({ cycle }) => cycle.consistency === 'application') ? 'application' : 'crash',
    ...(fellBack === undefined ? {} : { fellBackBecause: fellBack }),
    disks: found.flatMap(({ part, drives }) =>
      drives.map(({ id, sizeBytes, identifier }) => ({
        disk: id,
        machine: part.machine,
        sizeBytes,
        baseline: baselineOf(part.checkpoint, identifier),
      })),
    ),
    specs: new Map(
      found.map(({ part, look, drives }) => {
        // The machine's own definition with the disks as they were: only those can have changed places since.
        const vhds = new Map(drives.map(({ path, vhd }) => [path.toLowerCase(), vhd]));
        const rows = { ...look, drives: look.drives.map((row, at) => ({ ...row, Path: drives[at]?.path ?? text(row, 'Path') })), vhds };
        return [part.machine, specOf(rows, storageFinder(volumes, look.host))];
      }),
    ),
  };
};

const gone = (id: string): DrError => new DrError('SNAPSHOT_GONE', `snapshot ${id} does not exist any more`, { context: { snapshot: id } });

async function* listSnapshots(ground: Ground, call: Call): AsyncGenerator<Snapshot> {
  const { fabric } = ground;
  const parts = new Map<string, { readonly part: Part; readonly machines: readonly MachineId[] }[]>();
  for (const host of await fabric.hosts(call)) {
    const rows = await fabric.rows(host, [{ cmdlet: 'Get-VM', params: {}, select: ['Id', 'Notes'] }], call);
    for (const row of rows) {
      const { marks } = readable(text(row, 'Notes'));
      if (marks?.owner !== fabric.ownerId || !marks.cycle) continue;
      const machine = text(row, 'Id').toLowerCase() as MachineId;
      fabric.note(machine, host);
      const cycle = await ended(ground, machine, call);
      if (cycle?.checkpoint === undefined) continue;
      const { operation, checkpoint, machines } = cycle;
      parts.set(operation, [...(parts.get(operation) ?? []), { part: { machine, checkpoint }, machines }]);
    }
  }
  for (const found of parts.values()) {
    call.signal.throwIfAborted();
    const order = found[0]?.machines ?? [];
    const sorted = found.map(({ part }) => part).sort((a, b) => order.indexOf(a.machine) - order.indexOf(b.machine));
    // One that is released while the list is read is left out; the others are not its victims.
    const snapshot = await describe(fabric, sorted, call).catch((error: unknown) => {
      if (!isDrError(error, 'SNAPSHOT_GONE', 'NOT_FOUND')) throw error;
      return undefined;
    });
    if (snapshot) yield snapshot;
  }
  call.signal.throwIfAborted();
}

const ended = async (ground: Ground, id: MachineId, call: Call): Promise<CycleMark | undefined> => {
  try {
    return cycleOf(ground.fabric, await settled(ground, id, call));
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
    return undefined;
  }
};

/** A line that somebody has changed is that machine's trouble, not the list's. */
const readable = (notes: string) => {
  try {
    return readNotes(notes);
  } catch (error) {
    if (!isDrError(error, 'PROTOCOL_ERROR')) throw error;
    return { text: notes, marks: undefined };
  }
};

/** SNAPSHOT_GONE when nothing is left of it, NOT_FOUND for a disk that it does not have. */
const findDisk = async (fabric: Fabric, id: SnapshotId, disk: DiskId, call: Call) => {
  for (const part of partsOf(id)) {
    const found = await frozenOf(fabric, part, call).catch((error: unknown) => {
      if (isDrError(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
    if (!found) throw gone(id);
    const frozen = found.drives.find((one) => one.id === disk);
    if (frozen) return { ...found, frozen };
  }
  throw new DrError('NOT_FOUND', `snapshot ${id} has no disk ${disk}`, { context: { kind: 'disk', disk, snapshot: id } });
};

// ---- releasing -------------------------------------------------------------------------------------------------------

const release = (ground: Ground, part: Part, outcome: 'sealed' | 'abandoned', call: Call): Promise<void> =>
  turns.take(part.machine, async () => {
    try {
      const look = await lookAt(ground.fabric, part.machine, call);
      await ground.fabric.held(look, () => releaseAt(ground, { part, look, outcome }, call), call);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  });

interface Release {
  readonly part: Part;
  readonly look: Look;
  readonly outcome: 'sealed' | 'abandoned';
}

const releaseAt = async ({ fabric, disks }: Ground, { part, look, outcome }: Release, call: Call): Promise<void> => {
  const cycle = cycleOf(fabric, look);
  if (cycle?.checkpoint !== part.checkpoint) return;
  const { host, id } = look;
  const isThere = (await snapshotsOf(fabric, look, call)).some((one) => one.id === part.checkpoint);
  if (isThere) {
    const { drives } = await frozenDisks(fabric, host, part.checkpoint, call);
    await disks.release(
      host,
      drives.map((row) => text(row, 'Path')),
      call,
    );
  }
  const point = outcome === 'sealed' || cycle.converting ? await convert(fabric, { look, cycle, isThere }, call) : undefined;
  if (isThere && outcome === 'abandoned' && !cycle.converting) await destroyCheckpoint(fabric, host, part.checkpoint, call);
  await changeMarks(
    fabric,
    id,
    (marks) => {
      const rest = without(marks, 'cycle');
      return point === undefined ? rest : { ...rest, points: { ...rest.points, [part.checkpoint]: point } };
    },
    call,
  );
  await awaitMerge(fabric, id, call);
};

/** A reference point says neither whose it is nor what it was: it is the one that was not there before. Two such are nobody's: then the next cycle compares. */
const convert = async (
  fabric: Fabric,
  { look, cycle, isThere }: { readonly look: Look; readonly cycle: CycleMark; readonly isThere: boolean },
  call: Call,
): Promise<string | undefined> => {
  const { id, host } = look;
  const list = async () => (await referencePointsOf(fabric, id, host, call)).map((point) => point.id);
  const before = cycle.converting ?? (await list());
  if (!cycle.converting)
    await changeMarks(fabric, id, (marks) => (marks.cycle ? { ...marks, cycle: { ...marks.cycle, converting: before } } : marks), call);
  if (isThere) await convertToReferencePoint(fabric, host, cycle.checkpoint ?? '', call);
  const fresh = (await list()).filter((point) => !before.includes(point));
  return fresh.length === 1 ? fresh[0] : undefined;
};
