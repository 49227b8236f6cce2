// What the files of a journal look like, byte by byte: docs/design/journal.md.
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { DrError, isDrError } from '../contract/index.ts';
import type { Files } from '../ports/files.ts';

export const FORMAT_VERSION = 1;
export const RECORD_BYTES = 64;
/** No frame of data is longer, so nobody needs a larger buffer. */
export const FRAME_BYTES = 1024 * 1024;
/** Undo is captured in whole units of at least this: a torn write can spoil no more. */
export const ATOMIC_BYTES = 4096;

export type Part = 'redo' | 'idx' | 'open' | 'seal' | 'undo' | 'undo.idx' | 'undone' | 'applied' | 'stub' | 'rolled';

export const partName = (seq: number, part: Part): string => `${String(seq).padStart(12, '0')}.${part}`;

/** Undefined for a name that is no part of a cycle. */
export const parsePart = (name: string): { readonly seq: number; readonly part: string } | undefined => {
  const match = /^(\d{12})\.(.+)$/.exec(name);
  return match ? { seq: Number(match[1]), part: match[2]! } : undefined;
};

// ---- index records ---------------------------------------------------------------------------------------------------

const KINDS = ['', 'data', 'zero', 'direct', 'directZero'] as const;
export type RecordKind = Exclude<(typeof KINDS)[number], ''>;

/** One range of one disk. `position` is where its bytes begin in the data file; only `data` has any. */
export interface IndexRecord {
  /** Index into the list of disks of the seal (or of the undo's own seal). */
  readonly disk: number;
  readonly kind: RecordKind;
  readonly offset: number;
  readonly length: number;
  readonly position: number;
  /** SHA-256 of the bytes; all zero for `zero` and `directZero`. */
  readonly sha256: Uint8Array;
}

export const NO_DIGEST = new Uint8Array(32);
export const sha256 = (data: Uint8Array): Buffer => hash('sha256', data, 'buffer');

export const encodeRecord = (record: IndexRecord, into: Buffer, at: number): void => {
  into.writeUInt16LE(record.disk, at);
  into.writeUInt8(KINDS.indexOf(record.kind), at + 2);
  into.writeUInt8(0, at + 3);
  into.writeUInt32LE(0, at + 4);
  into.writeBigUInt64LE(BigInt(record.offset), at + 8);
  into.writeBigUInt64LE(BigInt(record.length), at + 16);
  into.writeBigUInt64LE(BigInt(record.position), at + 24);
  into.set(record.sha256, at + 32);
  into.writeUInt32LE(crc32(into.subarray(at, at + RECORD_BYTES)), at + 4);
};

const CRC_FIELD = new Uint8Array(4);

/** Undefined when the checksum or the kind is wrong. */
export const decodeRecord = (from: Buffer, at: number): IndexRecord | undefined => {
  const kind = KINDS[from.readUInt8(at + 2)];
  const expected = from.readUInt32LE(at + 4);
  const actual = crc32(from.subarray(at + 8, at + RECORD_BYTES), crc32(CRC_FIELD, crc32(from.subarray(at, at + 4))));
  if (!kind || expected !== actual) return undefined;
  return {
    disk: from.readUInt16LE(at),
    kind,
    offset: Number(from.readBigUInt64LE(at + 8)),
    length: Number(from.readBigUInt64LE(at + 16)),
    position: Number(from.readBigUInt64LE(at + 24)),
    sha256: from.subarray(at + 32, at + RECORD_BYTES),
  };
};

export const readWhole = async (files: Files, path: string): Promise<Buffer> => {
  const file = await files.open(path, 'read');
  try {
    const content = Buffer.allocUnsafeSlow(await file.sizeBytes());
    return content.subarray(0, await file.read(0, content));
  } finally {
    await file.close();
  }
};

/** All records of an index whose digest is known. Throws JOURNAL_CORRUPT when a byte of it is wrong, or when it is gone. */
export const readIndex = async (files: Files, path: string, expectedSha256: string): Promise<IndexRecord[]> => {
  const content = await readOrCorrupt(files, path);
  const actual = sha256(content).toString('hex');
  if (actual !== expectedSha256) throw corrupt(path, 'its digest is not the sealed one', { expected: expectedSha256, actual });
  const records: IndexRecord[] = [];
  for (let at = 0; at < content.length; at += RECORD_BYTES) {
    const record = at + RECORD_BYTES <= content.length ? decodeRecord(content, at) : undefined;
    if (!record) throw corrupt(path, `the record at ${at} is damaged`);
    records.push(record);
  }
  return records;
};

/** The records that are whole, of an index that was never sealed: each of them is true by itself. */
export const readSoundRecords = async (files: Files, path: string): Promise<IndexRecord[]> => {
  const content = await readWhole(files, path);
  const records: IndexRecord[] = [];
  for (let at = 0; at + RECORD_BYTES <= content.length; at += RECORD_BYTES) {
    const record = decodeRecord(content, at);
    if (record) records.push(record);
  }
  return records;
};

const readOrCorrupt = async (files: Files, path: string): Promise<Buffer> => {
  try {
    return await readWhole(files, path);
  } catch (error) {
    if (isDrError(error, 'NOT_FOUND')) throw corrupt(path, 'it is gone');
    throw error;
  }
};

export const corrupt = (path: string, why: string, context: { expected?: string; actual?: string; point?: string } = {}): DrError =>
  new DrError('JOURNAL_CORRUPT', `journal file ${path} is damaged: ${why}`, { context: { path, ...context } });

// ---- documents: one line of JSON, then the SHA-256 of that line --------------------------------------------------------

export const encodeDocument = (body: object): Buffer => {
  const line = Buffer.from(JSON.stringify(body));
  return Buffer.concat([line, Buffer.from(`\n${sha256(line).toString('hex')}\n`)]);
};

/** Throws JOURNAL_CORRUPT when it is not as it was written, NOT_FOUND when there is none. */
export const readDocument = async <T extends object>(files: Files, path: string): Promise<T> => {
  const content = await readWhole(files, path);
  const end = content.indexOf(0x0a);
  const line = content.subarray(0, Math.max(0, end));
  if (end < 0 || content.subarray(end + 1).toString('latin1') !== `${sha256(line).toString('hex')}\n`)
    throw corrupt(path, 'its checksum is wrong');
  return JSON.parse(line.toString('utf8')) as T;
};

/** When it resolves the document is durable under its name; when it rejects, the next start may find the old or the new one, never a part. */
export const writeDocument = (files: Files, directory: string, name: string, body: object): Promise<void> =>
  replaceFile(files, directory, name, encodeDocument(body));

export const TEMPORARY = '.tmp';

export const replaceFile = async (files: Files, directory: string, name: string, content: Uint8Array): Promise<void> => {
  const path = join(directory, name);
  const temporary = path + TEMPORARY;
  const file = await files.open(temporary, 'create');
  try {
    await file.write(0, content);
    await file.sync();
  } catch (error) {
    await file.close();
    await files.remove(temporary);
    throw error;
  }
  await file.close();
  await files.rename(temporary, path);
  await files.syncDirectory(directory);
};

/** JSON with sorted keys and without what is undefined: equal values give equal text. */
export const canonicalJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map((entry) => canonicalJson(entry ?? null)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`).join(',')}}`;
};
