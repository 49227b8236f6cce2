import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DrError, type Extent } from '../contract/index.ts';
import { normalise, roundOut, split, subtract } from '../domain/extents.ts';
import type { File, Files } from '../ports/files.ts';
import {
  ATOMIC_BYTES,
  decodeRecord,
  encodeRecord,
  FRAME_BYTES,
  type IndexRecord,
  NO_DIGEST,
  partName,
  RECORD_BYTES,
  readSoundRecords,
  replaceFile,
} from './format.ts';
import { ChangesDigest, type CycleKind, type Point, type SealedDisk, type SealRecord } from './seal.ts';
import { digestOf } from './transfer.ts';

export interface CycleDisk extends SealedDisk {
  /** Its first copy goes straight to the replica; the index only records what was written. */
  readonly direct?: boolean;
}

export interface CycleRequest {
  readonly cycle: string;
  readonly point: string;
  readonly kind: CycleKind;
  readonly groupCycle?: string;
  /** The point that the changes start from; left out for the first cycle. */
  readonly base?: string;
  /** Names what is read, which does not change while it has this name: only then can a first copy go on where it was. A stream has none. */
  readonly frozen?: string;
  readonly disks: readonly CycleDisk[];
}

/**
 * Takes the changes of one cycle. Calls need not wait for each other; what a later call gives for the same bytes counts.
 * Memory is bounded by what the caller has under way: `bytes` may be used again once the promise has resolved.
 * After a failure the cycle cannot be sealed any more.
 */
export interface CycleWriter extends AsyncDisposable {
  /** The cycle was sealed before: there is nothing left to write (J3). */
  readonly sealed: Point | undefined;
  /** Ranges by disk that an earlier run of this cycle wrote to the replica, durably and from the same frozen content. Disks without any are left out. */
  readonly resumeFrom: ReadonlyMap<string, readonly Extent[]>;
  data(disk: string, offset: number, bytes: Uint8Array): Promise<void>;
  zero(disk: string, offset: number, length: number): Promise<void>;
  /** The caller has written this to the replica itself: bytes, or a number of zeroes. */
  direct(disk: string, offset: number, content: Uint8Array | number): Promise<void>;
  /** What `direct` recorded for the disk before this call is durable after it: `flush` makes the replica's part so. */
  checkpoint(disk: string, flush: () => Promise<void>): Promise<void>;
  /** The point exists, durably, when this resolves (P5). A second call gives the same point. */
  seal(record: SealRecord): Promise<Point>;
  /** Drops everything, also what could be resumed. */
  discard(): Promise<void>;
  /** Closes an unsealed cycle: a first copy can be resumed up to its checkpoints, anything else is dropped. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The index is written in batches of this many records. */
const BATCH_RECORDS = 256;

interface Batch {
  readonly position: number;
  readonly content: Buffer;
  taken: number;
  filled: number;
}

/** The redo and index files of a cycle that is not sealed yet. */
export class CycleFiles {
  readonly seq: number;
  readonly request: CycleRequest;
  readonly resumeFrom: ReadonlyMap<string, readonly Extent[]>;
  readonly bytes = { data: 0, zero: 0, direct: 0 };
  readonly #files: Files;
  readonly #directory: string;
  readonly #redo: File;
  readonly #index: File;
  readonly #disks: ReadonlyMap<string, number>;
  readonly #underWay = new Set<Promise<void>>();
  /** Direct records by disk that no checkpoint has covered. */
  readonly #unsaved = new Map<string, IndexRecord[]>();
  #batch: Batch;
  #redoBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #closed = false;

  private constructor(place: { files: Files; directory: string; seq: number }, request: CycleRequest, open: OpenFiles) {
    this.#files = place.files;
    this.#directory = place.directory;
    this.seq = place.seq;
    this.request = request;
    this.#redo = open.redo;
    this.#index = open.index;
    this.#batch = newBatch(open.kept.length * RECORD_BYTES);
    this.#disks = new Map(request.disks.map((disk, index) => [disk.key, index]));
    for (const record of open.kept) this.bytes.direct += record.length;
    this.resumeFrom = rangesByDisk(request.disks, open.kept);
  }

  /** `resume`: keep the direct records that an earlier run of the same cycle made durable. What that run had in the redo is dropped. */
  static async open(files: Files, directory: string, seq: number, request: CycleRequest, resume: boolean): Promise<CycleFiles> {
    const redoPath = join(directory, partName(seq, 'redo'));
    const indexPath = join(directory, partName(seq, 'idx'));
    const found = resume && (await files.exists(indexPath)) ? await readSoundRecords(files, indexPath) : [];
    const kept = found.filter((record) => record.kind === 'direct' || record.kind === 'directZero');
    await replaceFile(files, directory, partName(seq, 'idx'), encodeAll(kept));
    await files.remove(redoPath);
    const redo = await files.open(redoPath, 'create');
    try {
      const index = await files.open(indexPath, 'update');
      return new CycleFiles({ files, directory, seq }, request, { redo, index, kept });
    } catch (error) {
      await redo.close();
      throw error;
    }
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  async data(disk: string, offset: number, bytes: Uint8Array): Promise<void> {
    const index = this.#diskIndex(disk, 'redo', offset, bytes.length);
    const frames: Promise<void>[] = [];
    for (const { offset: at, length } of split([{ offset: 0, length: bytes.length }], FRAME_BYTES)) {
      const frame = bytes.subarray(at, at + length);
      // Places in redo and index are taken before anything is awaited, so they are in the order of the calls.
      const position = this.#redoBytes;
      this.#redoBytes += length;
      this.bytes.data += length;
      const fill = this.#takeRecord();
      const put = async () => {
        const [digest] = await Promise.all([digestOf(frame), this.#redo.write(position, frame)]);
        await fill({ disk: index, kind: 'data', offset: offset + at, length, position, sha256: digest });
      };
      frames.push(put());
    }
    await this.#guard(frames);
  }

  async zero(disk: string, offset: number, length: number): Promise<void> {
    const index = this.#diskIndex(disk, 'redo', offset, length);
    this.bytes.zero += length;
    const fill = this.#takeRecord();
    await this.#guard([fill({ disk: index, kind: 'zero', offset, length, position: 0, sha256: NO_DIGEST })]);
  }

  async direct(disk: string, offset: number, content: Uint8Array | number): Promise<void> {
    const length = typeof content === 'number' ? content : content.length;
    const index = this.#diskIndex(disk, 'direct', offset, length);
    const records: IndexRecord[] = [];
    if (typeof content === 'number') records.push({ disk: index, kind: 'directZero', offset, length, position: 0, sha256: NO_DIGEST });
    else {
      for (const { offset: at, length: size } of split([{ offset: 0, length }], FRAME_BYTES)) {
        const digest = await digestOf(content.subarray(at, at + size));
        records.push({ disk: index, kind: 'direct', offset: offset + at, length: size, position: 0, sha256: digest });
      }
    }
    this.bytes.direct += length;
    const unsaved = this.#unsaved.get(disk);
    if (unsaved) unsaved.push(...records);
    else this.#unsaved.set(disk, records);
  }

  async checkpoint(disk: string, flush: () => Promise<void>): Promise<void> {
    this.#assertUsable();
    const records = this.#unsaved.get(disk) ?? [];
    this.#unsaved.delete(disk);
    const save = async () => {
      await flush();
      const batches = new Set([this.#batch]);
      for (const record of records) {
        await this.#takeRecord()(record);
        batches.add(this.#batch);
      }
      for (const batch of batches) await this.#writeBatch(batch);
      await this.#index.sync();
    };
    await this.#guard([save()]);
  }

  /** J3: data, index and their names are durable when it resolves. Then nothing more can be written. */
  async finish(): Promise<{ readonly indexSha256: string; readonly changes: ChangesDigest }> {
    this.#assertUsable();
    for (const [disk, records] of this.#unsaved) {
      if (records.length === 0) continue;
      throw new DrError('STATE_CONFLICT', `direct records of ${disk} in cycle ${this.request.cycle} have no checkpoint`, {
        context: { cycle: this.request.cycle, disk },
      });
    }
    const save = async () => {
      await Promise.all(this.#underWay);
      await this.#writeBatch(this.#batch);
      await this.#redo.sync();
      await this.#index.sync();
      await this.#files.syncDirectory(this.#directory);
    };
    try {
      await save();
      return await this.#digest();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    await this.#redo.close();
    await this.#index.close();
  }

  async #digest(): Promise<{ readonly indexSha256: string; readonly changes: ChangesDigest }> {
    const changes = new ChangesDigest(this.request.disks.map((disk) => disk.key));
    const whole = createHash('sha256');
    const sizeBytes = this.#batch.position + this.#batch.taken * RECORD_BYTES;
    const buffer = Buffer.allocUnsafeSlow(Math.min(sizeBytes, BATCH_RECORDS * RECORD_BYTES));
    for (const { offset, length } of split([{ offset: 0, length: sizeBytes }], BATCH_RECORDS * RECORD_BYTES)) {
      const content = buffer.subarray(0, length);
      const got = await this.#index.read(offset, content);
      whole.update(content);
      for (let at = 0; at < length; at += RECORD_BYTES) {
        const record = got === length ? decodeRecord(content, at) : undefined;
        if (!record) throw new DrError('INTERNAL', `index of cycle ${this.request.cycle} is not as it was written`);
        changes.add(record);
      }
    }
    return { indexSha256: whole.digest('hex'), changes };
  }

  /** The next place in the index, and the function that fills it. */
  #takeRecord(): (record: IndexRecord) => Promise<void> {
    const batch = this.#batch;
    const at = batch.taken++ * RECORD_BYTES;
    if (batch.taken === BATCH_RECORDS) this.#batch = newBatch(batch.position + BATCH_RECORDS * RECORD_BYTES);
    return async (record) => {
      encodeRecord(record, batch.content, at);
      if (++batch.filled === BATCH_RECORDS) await this.#writeBatch(batch);
    };
  }

  async #writeBatch(batch: Batch): Promise<void> {
    if (batch.taken > 0) await this.#index.write(batch.position, batch.content.subarray(0, batch.taken * RECORD_BYTES));
  }

  async #guard(work: Promise<void>[]): Promise<void> {
    for (const one of work) {
      this.#underWay.add(one);
      const forget = () => void this.#underWay.delete(one);
      one.then(forget, forget);
    }
    try {
      await Promise.all(work);
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure.error;
    if (this.#closed)
      throw new DrError('STATE_CONFLICT', `cycle ${this.request.cycle} is closed`, { context: { cycle: this.request.cycle } });
  }

  #diskIndex(disk: string, how: 'redo' | 'direct', offset: number, length: number): number {
    this.#assertUsable();
    const index = this.#disks.get(disk);
    const known = index === undefined ? undefined : this.request.disks[index];
    const context = { cycle: this.request.cycle, disk, offset, length };
    if (index === undefined || !known || known.excluded)
      throw new DrError('NOT_FOUND', `cycle ${this.request.cycle} has no disk ${disk}`, { context });
    if ((known.direct ? 'direct' : 'redo') !== how)
      throw new DrError('STATE_CONFLICT', `disk ${disk} takes ${known.direct ? 'direct records' : 'redo data'} in this cycle`, { context });
    if (!(offset >= 0 && length > 0 && offset + length <= known.sizeBytes))
      throw new DrError('CONTRACT_VIOLATED', `${length} bytes at ${offset} are not on disk ${disk}`, { context });
    return index;
  }
}

interface OpenFiles {
  readonly redo: File;
  readonly index: File;
  readonly kept: readonly IndexRecord[];
}

const newBatch = (position: number): Batch => ({ position, content: Buffer.alloc(BATCH_RECORDS * RECORD_BYTES), taken: 0, filled: 0 });

const encodeAll = (records: readonly IndexRecord[]): Buffer => {
  const content = Buffer.alloc(records.length * RECORD_BYTES);
  for (const [index, record] of records.entries()) encodeRecord(record, content, index * RECORD_BYTES);
  return content;
};

/** Whole units only: one that was written in part may have been torn by what was written beside it. */
const rangesByDisk = (disks: readonly SealedDisk[], records: readonly IndexRecord[]): Map<string, Extent[]> => {
  const ranges = Map.groupBy(records, (record) => disks[record.disk]?.key);
  return new Map(
    disks.flatMap(({ key, sizeBytes }) => {
      const written = normalise(ranges.get(key) ?? []);
      const rest = subtract([{ offset: 0, length: sizeBytes }], written);
      const whole = subtract(written, roundOut(rest, ATOMIC_BYTES));
      return whole.length > 0 ? [[key, whole] as const] : [];
    }),
  );
};
