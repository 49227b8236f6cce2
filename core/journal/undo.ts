// Before-images: what the replica held where a cycle writes. Captured before its first overwrite, merged when the point before it is removed.
import { join } from 'node:path';
import { clip, intersect, normalise, roundOut, split, subtract } from '../domain/extents.ts';
import type { File, Files } from '../ports/files.ts';
import type { DiskIo } from './disk-io.ts';
import {
  ATOMIC_BYTES,
  encodeRecord,
  FORMAT_VERSION,
  FRAME_BYTES,
  type IndexRecord,
  NO_DIGEST,
  partName,
  RECORD_BYTES,
  readIndex,
  sha256,
  writeDocument,
} from './format.ts';
import { overlay, type Stored, toStored } from './overlay.ts';
import { DataFiles, digestOf, inFlight, isZero } from './transfer.ts';

/** The undo's own seal. */
export interface Undone {
  readonly format: number;
  readonly seq: number;
  /** The point that applying it leads back to; null before the first. */
  readonly to: number | null;
  readonly disks: readonly string[];
  readonly indexSha256: string;
}

/** Of a merged undo that the manifest has not put in its place yet. */
export const NEW = '.new';
type Suffix = '' | typeof NEW;

const undoPath = (directory: string, seq: number, part: 'undo' | 'undo.idx', suffix: Suffix = ''): string =>
  join(directory, partName(seq, part) + suffix);

/** Ranges by disk key, in the order of the index. */
export const readUndo = async (files: Files, directory: string, undone: Undone): Promise<Map<string, Stored[]>> => {
  const records = await readIndex(files, undoPath(directory, undone.seq, 'undo.idx'), undone.indexSha256);
  const ranges = new Map<string, Stored[]>(undone.disks.map((key) => [key, []]));
  const path = undoPath(directory, undone.seq, 'undo');
  for (const record of records) ranges.get(undone.disks[record.disk]!)!.push(toStored(record, path));
  return ranges;
};

interface Place {
  readonly files: Files;
  readonly directory: string;
  readonly seq: number;
  readonly to: number | null;
}

/** `changes`: what the cycle will write, by disk key. `mayHold`: where a disk may be non-zero, the rest is not read. Sealed when it resolves. */
export const captureUndo = (
  place: Place,
  changes: ReadonlyMap<string, readonly Stored[]>,
  disks: ReadonlyMap<string, DiskIo>,
  mayHold: (disk: string) => readonly { offset: number; length: number }[],
): Promise<Undone> =>
  writeUndo(place, '', Array.from(changes.keys()), async (undo) => {
    for (const [index, [key, ranges]] of Array.from(changes).entries()) {
      const disk = disks.get(key)!;
      const unit = Math.max(ATOMIC_BYTES, disk.alignmentBytes);
      const wanted = clip(roundOut(normalise(ranges), unit), 0, disk.sizeBytes);
      const allocated = roundOut(mayHold(key), unit);
      for (const { offset, length } of subtract(wanted, allocated)) undo.zero(index, offset, length);
      const limit = Math.min(FRAME_BYTES, disk.maxRequestBytes);
      const frame = limit - (limit % disk.alignmentBytes);
      await inFlight(split(intersect(wanted, allocated), frame), disk.maxInFlight, async ({ offset, length }, buffer) => {
        const before = buffer(length);
        await disk.read(offset, before);
        await undo.data(index, offset, before);
      });
    }
  });

/** One undo that leads from the newest of these points to before the oldest: where several know a byte, the oldest before-image wins (J11). */
export const mergeUndo = async (place: Place, oldestFirst: readonly Undone[]): Promise<Undone> => {
  const { files, directory } = place;
  const ranges = new Map<string, Stored[]>();
  for (const undone of oldestFirst.toReversed())
    for (const [key, more] of await readUndo(files, directory, undone)) ranges.set(key, [...(ranges.get(key) ?? []), ...more]);
  await using data = new DataFiles(files);
  return await writeUndo(place, NEW, Array.from(ranges.keys()), async (undo) => {
    for (const [index, list] of Array.from(ranges.values()).entries()) {
      await inFlight(overlay(list), 4, async ({ offset, length, of }, buffer) => {
        if (of.isZero) return undo.zero(index, offset, length);
        const whole = await data.readVerified(of, buffer(of.length));
        await undo.data(index, offset, whole.subarray(offset - of.offset, offset - of.offset + length));
      });
    }
  });
};

interface UndoSink {
  data(disk: number, offset: number, bytes: Uint8Array): Promise<void>;
  zero(disk: number, offset: number, length: number): void;
}

const writeUndo = async (place: Place, suffix: Suffix, disks: string[], fill: (undo: UndoSink) => Promise<void>): Promise<Undone> => {
  const { files, directory, seq, to } = place;
  const paths = [undoPath(directory, seq, 'undo', suffix), undoPath(directory, seq, 'undo.idx', suffix)] as const;
  const records: IndexRecord[] = [];
  let index: Buffer;
  try {
    await writeFile(files, paths[0], async (file) => {
      let end = 0;
      await fill({
        zero: (disk, offset, length) => void records.push({ disk, kind: 'zero', offset, length, position: 0, sha256: NO_DIGEST }),
        data: async (disk, offset, bytes) => {
          if (isZero(bytes)) {
            records.push({ disk, kind: 'zero', offset, length: bytes.length, position: 0, sha256: NO_DIGEST });
            return;
          }
          const position = end;
          end += bytes.length;
          const [digest] = await Promise.all([digestOf(bytes), file.write(position, bytes)]);
          records.push({ disk, kind: 'data', offset, length: bytes.length, position, sha256: digest });
        },
      });
    });
    index = Buffer.alloc(records.length * RECORD_BYTES);
    for (const [at, record] of records.entries()) encodeRecord(record, index, at * RECORD_BYTES);
    await writeFile(files, paths[1], (file) => file.write(0, index));
  } catch (error) {
    // Above all when the journal is full: this is room that somebody else can use.
    for (const path of paths) await files.remove(path);
    throw error;
  }
  const undone: Undone = { format: FORMAT_VERSION, seq, to, disks, indexSha256: sha256(index).toString('hex') };
  // Its directory sync makes the names of the data and the index durable too, before the rename that they stand for can be relied on.
  await files.syncDirectory(directory);
  await writeDocument(files, directory, partName(seq, 'undone') + suffix, undone);
  return undone;
};

const writeFile = async (files: Files, path: string, fill: (file: File) => Promise<void>): Promise<void> => {
  const file = await files.open(path, 'create');
  try {
    await fill(file);
    await file.sync();
  } finally {
    await file.close();
  }
};
