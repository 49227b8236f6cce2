// Moves the replica, or a fork of it, from one point to another: forward by redo, back by undo.
import { join } from 'node:path';
import { DrError, type Extent } from '../contract/index.ts';
import { normalise } from '../domain/extents.ts';
import type { Files } from '../ports/files.ts';
import type { Allocation } from './allocation.ts';
import type { DiskIo } from './disk-io.ts';
import { corrupt, FORMAT_VERSION, partName, readIndex, writeDocument } from './format.ts';
import { overlay, type Piece, type Stored, toStored } from './overlay.ts';
import type { Slot } from './scan.ts';
import type { Seal } from './seal.ts';
import { DataFiles, overwrite } from './transfer.ts';
import { captureUndo, readUndo } from './undo.ts';

export type Disks = ReadonlyMap<string, DiskIo>;
type Ranges = Map<string, Stored[]>;
type Pieces = Map<string, Piece[]>;

export interface Replay {
  readonly files: Files;
  readonly directory: string;
  readonly allocation: Allocation;
}

/** One cycle, from wherever an earlier try ended. J5-J8: its first steps change nothing, its last makes it final. Returns the bytes written. */
export const applyCycle = async (replay: Replay, slot: Slot, previous: number | null, disks: Disks): Promise<number> => {
  const { files, directory } = replay;
  const seal = sealOf(slot, directory);
  const redo = await readRedo(files, directory, seal);
  assertDisks(redo, disks);
  await using data = new DataFiles(files);
  for (const ranges of redo.values()) await data.verify(ranges);
  const touched = new Set(redo.keys());
  let bytesWritten = 0;
  if (slot.undone === 'none') {
    slot.undone = await captureUndo({ files, directory, seq: slot.seq, to: previous }, redo, disks, (disk) =>
      replay.allocation.allocated(disk),
    );
  } else if (slot.undone !== 'damaged') {
    // An earlier try may have left torn units, which only whole before-images mend.
    const undo = await readUndo(files, directory, slot.undone);
    for (const key of undo.keys()) touched.add(key);
    bytesWritten += await writeAll(toPieces(undo), disks, data, true);
  }
  const pieces = toPieces(redo);
  for (const [key, list] of pieces)
    await replay.allocation.mark(
      key,
      list.filter((piece) => !piece.of.isZero),
    );
  bytesWritten += await writeAll(pieces, disks, data, false);
  for (const key of touched) await disks.get(key)?.flush();
  await writeDocument(files, directory, partName(slot.seq, 'applied'), { format: FORMAT_VERSION, seq: slot.seq, point: seal.point });
  slot.applied = true;
  await files.remove(join(directory, partName(slot.seq, 'redo')));
  return bytesWritten;
};

/**
 * What these undos hold together for the disks of a point: where several know a byte the oldest before-image wins.
 * Throws JOURNAL_CORRUPT when one of them is damaged.
 */
export const readUndos = async (replay: Replay, oldestFirst: readonly Slot[], target: Seal): Promise<Pieces> => {
  const ranges: Ranges = new Map(target.disks.filter((disk) => !disk.excluded).map((disk) => [disk.key, []]));
  for (const slot of oldestFirst.toReversed()) {
    if (typeof slot.undone === 'string')
      throw corrupt(join(replay.directory, partName(slot.seq, 'undone')), 'the way back is gone', { point: target.point });
    for (const [key, more] of await readUndo(replay.files, replay.directory, slot.undone)) {
      const list = ranges.get(key);
      for (const range of more) list?.push(range);
    }
  }
  return toPieces(ranges);
};

/** Writes the pieces, flushes, and returns the ranges written by disk. `check`: every stored range is compared with its digest as it is read. */
export const restore = async (replay: Replay, pieces: Pieces, disks: Disks, check: boolean): Promise<Map<string, Extent[]>> => {
  assertDisks(pieces, disks);
  await using data = new DataFiles(replay.files);
  await writeAll(pieces, disks, data, check);
  for (const key of pieces.keys()) await disks.get(key)!.flush();
  return new Map(Array.from(pieces, ([key, list]) => [key, normalise(list)]));
};

export const verifyPieces = async (files: Files, pieces: Pieces): Promise<void> => {
  await using data = new DataFiles(files);
  for (const list of pieces.values()) await data.verify(new Set(list.map((piece) => piece.of)));
};

/** What a cycle has in its redo, by disk key in the order of writing; disks without any are left out. */
export const readRedo = async (files: Files, directory: string, seal: Seal): Promise<Ranges> => {
  const redo: Ranges = new Map();
  const path = join(directory, partName(seal.seq, 'redo'));
  for (const record of await readIndex(files, join(directory, partName(seal.seq, 'idx')), seal.indexSha256)) {
    if (record.kind !== 'data' && record.kind !== 'zero') continue;
    const key = seal.indexDisks[record.disk]!;
    const list = redo.get(key);
    if (list) list.push(toStored(record, path));
    else redo.set(key, [toStored(record, path)]);
  }
  return redo;
};

export const sealOf = (slot: Slot, directory: string): Seal => {
  if (!slot.seal) throw corrupt(join(directory, partName(slot.seq, 'seal')), 'its checksum is wrong');
  return slot.seal;
};

const toPieces = (ranges: Ranges): Pieces => new Map(Array.from(ranges, ([key, list]) => [key, overlay(list)]));

const writeAll = async (pieces: Pieces, disks: Disks, data: DataFiles, check: boolean): Promise<number> => {
  let written = 0;
  for (const [key, list] of pieces) written += await overwrite(disks.get(key)!, list, data, check);
  return written;
};

const assertDisks = (ranges: ReadonlyMap<string, readonly Extent[]>, disks: Disks): void => {
  for (const [key, list] of ranges) {
    const disk = disks.get(key);
    if (!disk) throw new DrError('NOT_FOUND', `disk ${key} was not given`, { context: { disk: key, kind: 'disk' } });
    const end = list.reduce((max, range) => Math.max(max, range.offset + range.length), 0);
    if (end > disk.sizeBytes)
      throw new DrError('DISK_CHANGED', `disk ${key} has ${disk.sizeBytes} bytes, the journal needs ${end}`, {
        context: { disk: key, sizeBytes: disk.sizeBytes, needBytes: end },
      });
  }
};
