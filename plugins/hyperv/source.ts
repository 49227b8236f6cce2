// A snapshot source: one recovery checkpoint of ours at a time, resilient change tracking (RCT) against the reference points that earlier ones became.
import { hash } from 'node:crypto';
import type { Baseline, Call, DiskId, DiskReader, Extent, Finding, MachineId, SnapshotSource } from '../../core/contract/index.ts';
import { createSnapshot, listSnapshots } from './cycles.ts';
import type { Disks } from './disks.ts';
import type { Fabric } from './fabric.ts';
import { baselineParts, findDisk, partsOf } from './frozen.ts';
import { type Look, lookAt } from './look.ts';
import type { Drive } from './machine.ts';
import { changeMarks, without } from './marks.ts';
import type { Marks } from './notes.ts';
import { changesSince, destroyReferencePoint, lost, referencePointsOf } from './reference-points.ts';
import { release } from './release.ts';

/** Small enough to find holes between files, large enough that a first copy of terabytes asks for little. */
const ZERO_BLOCK_BYTES = 256 * 1024;

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
      yield* changesSince(fabric, { look, frozen, trackingId, from }, call);
    },
    allocatedExtents: async function* (of, disk, from, call) {
      const { look, frozen } = await findDisk(fabric, of, disk, call);
      await using reader = await fabric.held(look, () => disks.openRead(look.host, frozen.path, call), call);
      yield* nonZero(reader, from, call);
    },
    openReader: async (of, disk, call) => {
      const { look, frozen } = await findDisk(fabric, of, disk, call);
      return fabric.held(look, () => disks.openRead(look.host, frozen.path, call), call);
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
  const kept = new Set([...keep.values()].flat().map((baseline) => baselineParts(baseline).checkpoint));
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
  const { checkpoint, identifier, sizeBytes } = baselineParts(since);
  if (identifier !== frozen.identifier) throw lost(frozen.id, 'the baseline is of another disk');
  // Nobody says what a host still knows of a disk after that.
  if (sizeBytes !== frozen.sizeBytes) throw lost(frozen.id, 'the disk has another size since');
  const point = look.notes.marks?.points?.[checkpoint];
  if (point === undefined) throw lost(frozen.id, 'its baseline is not on record at the machine any more');
  const there = (await referencePointsOf(fabric, look.id, look.host, call)).find(({ id }) => id === point);
  if (!there) throw lost(frozen.id, 'the reference point of its baseline is gone from the host');
  const trackingId = there.trackingIds.get(frozen.identifier);
  if (trackingId === undefined) throw lost(frozen.id, 'the reference point of its baseline does not have the disk');
  return trackingId;
};
