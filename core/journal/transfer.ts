// Moves stored ranges: out of data files, checked against their digests, and onto disks, within the disks' limits and a bounded memory.
import { subtle } from 'node:crypto';
import type { File, Files } from '../ports/files.ts';
import type { DiskIo } from './disk-io.ts';
import { corrupt, FRAME_BYTES, sha256 } from './format.ts';
import type { Piece, Stored } from './overlay.ts';

/** More lanes than this gain nothing and cost a frame of memory each. */
const MAX_LANES = 8;
/** Below this a digest costs less than a hand-over to a worker thread. */
const SMALL_BYTES = 64 * 1024;
const ZEROES = Buffer.alloc(FRAME_BYTES);

export const isZero = (data: Uint8Array): boolean => ZEROES.subarray(0, data.length).equals(data);

export const digestOf = async (data: Uint8Array): Promise<Uint8Array> =>
  data.length < SMALL_BYTES ? sha256(data) : new Uint8Array(await subtle.digest('SHA-256', data as Uint8Array<ArrayBuffer>));

/** Several at a time, each lane with a buffer of its own. When one fails no more are begun, and it rejects once all have ended. */
export const inFlight = async <T>(
  items: Iterable<T>,
  lanes: number,
  work: (item: T, buffer: (length: number) => Buffer) => Promise<void>,
): Promise<void> => {
  const iterator = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const lane = async () => {
    let frame: Buffer | undefined;
    const buffer = (length: number) => {
      if (!frame || frame.length < length) frame = Buffer.allocUnsafeSlow(length);
      return frame.subarray(0, length);
    };
    for (let next = iterator.next(); !next.done && failures.length === 0; next = iterator.next()) {
      try {
        await work(next.value, buffer);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(lanes, MAX_LANES)) }, lane));
  if (failures.length > 0) throw failures[0];
};

/** The journal's data files, opened when they are first read. */
export class DataFiles implements AsyncDisposable {
  readonly #files: Files;
  readonly #open = new Map<string, Promise<File>>();

  constructor(files: Files) {
    this.#files = files;
  }

  /** Reads `length` bytes of a stored range, from `from` of it on. Throws JOURNAL_CORRUPT when they are gone. */
  async read(stored: Stored, from: number, into: Uint8Array): Promise<void> {
    const file = await this.#file(stored.file);
    const got = await file.read(stored.position + from, into);
    if (got !== into.length) throw corrupt(stored.file, `it ends before ${stored.position + from + into.length}`);
  }

  /** Reads all of a stored range and compares it with its digest. */
  async readVerified(stored: Stored, data: Buffer): Promise<Buffer> {
    await this.read(stored, 0, data);
    if (!Buffer.from(stored.sha256).equals(await digestOf(data)))
      throw corrupt(stored.file, `the data at ${stored.position} is not as sealed`);
    return data;
  }

  /** Throws JOURNAL_CORRUPT at the first range that is not as it was sealed. */
  async verify(ranges: Iterable<Stored>): Promise<void> {
    await inFlight(withData(ranges), MAX_LANES, async (stored, buffer) => {
      await this.readVerified(stored, buffer(stored.length));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opening of this.#open.values()) {
      // One that never opened has said so to its reader.
      const file = await opening.catch(() => undefined);
      await file?.close();
    }
  }

  #file(path: string): Promise<File> {
    let file = this.#open.get(path);
    if (!file) {
      file = this.#files.open(path, 'read');
      this.#open.set(path, file);
    }
    return file;
  }
}

function* withData(ranges: Iterable<Stored>): Generator<Stored> {
  for (const stored of ranges) if (!stored.isZero) yield stored;
}

/**
 * Writes pieces to one disk and returns the bytes written; not flushed. `check` compares each stored range with its digest before a byte of it is written.
 * Pieces that are not aligned to the disk change only their own bytes.
 */
export const overwrite = async (disk: DiskIo, pieces: readonly Piece[], data: DataFiles, check: boolean): Promise<number> => {
  let written = 0;
  await inFlight(groupsOf(pieces, disk), disk.maxInFlight, async (group, buffer) => {
    for (const { offset, length, of } of group) {
      written += length;
      if (of.isZero) await writeZeroes(disk, offset, length);
      else if (check) {
        const whole = await data.readVerified(of, buffer(of.length));
        await writeBytes(disk, offset, whole.subarray(offset - of.offset, offset - of.offset + length));
      } else {
        const part = buffer(length);
        await data.read(of, offset - of.offset, part);
        await writeBytes(disk, offset, part);
      }
    }
  });
  return written;
};

/** Each piece by itself, long runs of zeroes cut to the disk's limit; pieces that share an alignment unit together, to be written one after the other. */
function* groupsOf(pieces: readonly Piece[], disk: DiskIo): Generator<Piece[]> {
  const unit = disk.alignmentBytes;
  let group: Piece[] = [];
  let groupEnd = 0;
  for (const piece of pieces) {
    if (group.length > 0 && piece.offset >= groupEnd) {
      yield* release(group, disk);
      group = [];
    }
    group.push(piece);
    groupEnd = Math.ceil((piece.offset + piece.length) / unit) * unit;
  }
  if (group.length > 0) yield* release(group, disk);
}

function* release(group: Piece[], disk: DiskIo): Generator<Piece[]> {
  const [only] = group;
  if (group.length > 1 || !only?.of.isZero || !isAligned(disk, only.offset, only.length)) yield group;
  else
    for (let at = 0; at < only.length; at += disk.maxRequestBytes)
      yield [{ offset: only.offset + at, length: Math.min(disk.maxRequestBytes, only.length - at), of: only.of }];
}

const isAligned = (disk: DiskIo, offset: number, length: number): boolean =>
  offset % disk.alignmentBytes === 0 && length % disk.alignmentBytes === 0;

const writeBytes = async (disk: DiskIo, offset: number, data: Uint8Array): Promise<void> => {
  const unit = disk.alignmentBytes;
  for (let done = 0; done < data.length; ) {
    const at = offset + done;
    const into = at % unit;
    const left = data.length - done;
    if (into !== 0 || left < unit) {
      const size = Math.min(left, unit - into);
      const block = Buffer.alloc(unit);
      await disk.read(at - into, block);
      block.set(data.subarray(done, done + size), into);
      await disk.write(at - into, block);
      done += size;
    } else {
      const size = Math.min(left - (left % unit), disk.maxRequestBytes);
      await disk.write(at, data.subarray(done, done + size));
      done += size;
    }
  }
};

const writeZeroes = async (disk: DiskIo, offset: number, length: number): Promise<void> => {
  const unit = disk.alignmentBytes;
  for (let done = 0; done < length; ) {
    const at = offset + done;
    const left = length - done;
    if (at % unit !== 0 || left < unit) {
      const size = Math.min(left, unit - (at % unit));
      await writeBytes(disk, at, ZEROES.subarray(0, size));
      done += size;
    } else {
      const size = Math.min(left - (left % unit), disk.maxRequestBytes);
      await disk.writeZeroes(at, size);
      done += size;
    }
  }
};
