// The layout of the guests' mini database: a write-ahead log and pages laid straight on raw disks, so that a checker can tell every state that no crash could leave.
import { hash } from 'node:crypto';

/** A disk as the guest sees it. */
export interface GuestDisk {
  readonly sizeBytes: number;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
}

export const PAGE_BYTES = 4096;
export const RECORD_BYTES = 512;
const SUPERBLOCK_AT = 0;
export const CONFIG_AT = 4096;
export const LOG_AT = 65_536;
const SUPERBLOCK_MAGIC = 'WSLABSB1';
const CONFIG_MAGIC = 'WSLABCF1';
const RECORD_MAGIC = 'WSLABWL1';
const PAGE_MAGIC = 'WSLABPG1';
const EMPTY = Buffer.alloc(PAGE_BYTES);

export interface Layout {
  /** The guest's identity: copies of a machine share it. */
  readonly identity: string;
  readonly logSlots: number;
  readonly pageCount: number;
  readonly pagesAt: number;
  readonly pageStride: number;
  /** The pages lie on a second disk, which has a superblock of its own. */
  readonly twoDisks: boolean;
}

export interface GuestConfig {
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly bootCount: number;
}

export interface LogRecord {
  readonly sequence: number;
  readonly page: number;
  readonly writtenAtMs: number;
  readonly previous: Buffer;
  readonly hash: Buffer;
}

/** Each page is written at least once in 2 * pageCount transactions, and the log holds twice as many: so the log proves the age of every page. */
export const layoutFor = (identity: string, sizes: readonly number[]): Layout => {
  const twoDisks = sizes.length > 1;
  const pagesDisk = sizes[twoDisks ? 1 : 0]!;
  const pageCount = Math.max(8, Math.min(2048, Math.floor(pagesDisk / 4 / PAGE_BYTES), Math.floor(sizes[0]! / 8 / RECORD_BYTES / 4)));
  const pagesAt = twoDisks ? LOG_AT : roundUp(LOG_AT + pageCount * 4 * RECORD_BYTES, 65_536);
  const stride = Math.floor((pagesDisk - pagesAt) / pageCount / PAGE_BYTES) * PAGE_BYTES;
  return { identity, logSlots: pageCount * 4, pageCount, pagesAt, pageStride: Math.max(PAGE_BYTES, Math.min(stride, 1 << 20)), twoDisks };
};

/** The smallest disk that holds the database. */
export const SMALLEST_DISK_BYTES = 262_144;

export const writeSuperblock = (disk: GuestDisk, layout: Layout, role: 'boot' | 'pages'): void =>
  disk.write(SUPERBLOCK_AT, sealed(SUPERBLOCK_MAGIC, Buffer.from(JSON.stringify({ ...layout, role }))));

/** Undefined when there is none of ours, or when it is damaged. */
export const readSuperblock = (disk: GuestDisk): (Layout & { readonly role: 'boot' | 'pages' }) | undefined => {
  const body = unsealed(SUPERBLOCK_MAGIC, disk, SUPERBLOCK_AT);
  return body && JSON.parse(body.toString());
};

export const writeConfig = (disk: GuestDisk, config: GuestConfig): void =>
  disk.write(CONFIG_AT, sealed(CONFIG_MAGIC, Buffer.from(JSON.stringify(config))));

export const readConfig = (disk: GuestDisk): GuestConfig | undefined => {
  const body = unsealed(CONFIG_MAGIC, disk, CONFIG_AT);
  return body && JSON.parse(body.toString());
};

export const encodeRecord = (layout: Layout, sequence: number, page: number, writtenAtMs: number, previous: Buffer): Buffer => {
  const record = Buffer.alloc(RECORD_BYTES);
  record.write(RECORD_MAGIC, 0, 'latin1');
  record.writeDoubleLE(sequence, 8);
  record.writeDoubleLE(writtenAtMs, 16);
  record.writeUInt32LE(page, 24);
  record.set(previous, 32);
  record.write(layout.identity, 64, 'latin1');
  record.set(hash('sha256', record.subarray(0, RECORD_BYTES - 32), 'buffer'), RECORD_BYTES - 32);
  return record;
};

/** `empty` for a slot never written, undefined for one that no guest can have written. */
export const decodeRecord = (layout: Layout, record: Buffer): LogRecord | 'empty' | undefined => {
  if (record.equals(EMPTY.subarray(0, RECORD_BYTES))) return 'empty';
  const digest = record.subarray(RECORD_BYTES - 32);
  if (record.toString('latin1', 0, 8) !== RECORD_MAGIC || !hash('sha256', record.subarray(0, RECORD_BYTES - 32), 'buffer').equals(digest))
    return undefined;
  if (record.toString('latin1', 64, 64 + layout.identity.length) !== layout.identity) return undefined;
  return {
    sequence: record.readDoubleLE(8),
    writtenAtMs: record.readDoubleLE(16),
    page: record.readUInt32LE(24),
    previous: record.subarray(32, 64),
    hash: digest,
  };
};

export const readLog = (disk: GuestDisk, layout: Layout): Buffer => {
  const log = Buffer.alloc(layout.logSlots * RECORD_BYTES);
  disk.read(LOG_AT, log);
  return log;
};

export const slotOf = (layout: Layout, sequence: number): number => (sequence - 1) % layout.logSlots;

export const writeRecord = (disk: GuestDisk, layout: Layout, sequence: number, record: Buffer): void =>
  disk.write(LOG_AT + slotOf(layout, sequence) * RECORD_BYTES, record);

/** Odd transactions sweep over all pages, even ones go anywhere: what a transaction writes follows from its number alone. */
export const pageOf = (layout: Layout, sequence: number): number => {
  if (sequence % 2 === 1) return ((sequence - 1) / 2) % layout.pageCount;
  return hash('sha256', `${layout.identity}/${sequence}`, 'buffer').readUInt32LE(0) % layout.pageCount;
};

export const encodePage = (layout: Layout, page: number, sequence: number): Buffer => {
  const data = Buffer.allocUnsafe(PAGE_BYTES);
  data.write(PAGE_MAGIC, 0, 'latin1');
  data.writeDoubleLE(sequence, 8);
  const seed = hash('sha256', `${layout.identity}/${page}/${sequence}`, 'buffer');
  let state = seed.readUInt32LE(0) | 1;
  for (let at = 16; at < PAGE_BYTES; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data.writeInt32LE(state, at);
  }
  return data;
};

/** The transaction that a page claims to be of; 0 when it was never written, -1 when it is no page. */
export const pageSequence = (data: Buffer): number => {
  if (data.toString('latin1', 0, 8) === PAGE_MAGIC) return data.readDoubleLE(8);
  return data.equals(EMPTY) ? 0 : -1;
};

export const readPage = (disk: GuestDisk, layout: Layout, page: number): Buffer => {
  const data = Buffer.alloc(PAGE_BYTES);
  disk.read(layout.pagesAt + page * layout.pageStride, data);
  return data;
};

export const writePage = (disk: GuestDisk, layout: Layout, page: number, data: Buffer): void =>
  disk.write(layout.pagesAt + page * layout.pageStride, data);

const sealed = (magic: string, body: Buffer): Buffer => {
  const data = Buffer.alloc(PAGE_BYTES);
  data.write(magic, 0, 'latin1');
  data.writeUInt32LE(body.length, 8);
  data.set(body, 16);
  data.set(hash('sha256', data.subarray(0, PAGE_BYTES - 32), 'buffer'), PAGE_BYTES - 32);
  return data;
};

const unsealed = (magic: string, disk: GuestDisk, at: number): Buffer | undefined => {
  if (disk.sizeBytes < at + PAGE_BYTES) return undefined;
  const data = Buffer.alloc(PAGE_BYTES);
  disk.read(at, data);
  if (data.toString('latin1', 0, 8) !== magic) return undefined;
  if (!hash('sha256', data.subarray(0, PAGE_BYTES - 32), 'buffer').equals(data.subarray(PAGE_BYTES - 32))) return undefined;
  return data.subarray(16, 16 + data.readUInt32LE(8));
};

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
