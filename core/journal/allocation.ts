// Which parts of the replica's disks may be non-zero: always a superset of the truth, whatever crashes.
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Extent } from '../contract/index.ts';
import { clip, normalise } from '../domain/extents.ts';
import type { Files } from '../ports/files.ts';
import { readWhole, replaceFile } from './format.ts';

export const CHUNK_BYTES = 1024 * 1024;
const HEADER_BYTES = 24;
const MAGIC = Buffer.from('WSALLOC1');
const PREFIX = 'alloc.';

interface AllocationMap {
  readonly sizeBytes: number;
  readonly bits: Uint8Array;
}

export class Allocation {
  readonly #files: Files;
  readonly #directory: string;
  readonly #maps = new Map<string, AllocationMap>();
  /** Sizes of the disks as the journal knows them: a disk without a map counts as allocated up to here. */
  readonly #sizes = new Map<string, number>();
  #writing: Promise<void> = Promise.resolve();

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** A map that cannot be read is unknown, so all of its disk counts as allocated. */
  async load(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (!name.startsWith(PREFIX)) continue;
      const map = decode(await readWhole(this.#files, join(this.#directory, name)));
      if (map) this.#maps.set(name.slice(PREFIX.length), map);
    }
  }

  setSize(disk: string, sizeBytes: number): void {
    this.#sizes.set(disk, Math.max(sizeBytes, this.#sizes.get(disk) ?? 0));
  }

  /** All of a disk that nothing is known of. */
  allocated(disk: string): Extent[] {
    const map = this.#maps.get(disk);
    const sizeBytes = this.#sizes.get(disk) ?? map?.sizeBytes ?? Number.MAX_SAFE_INTEGER;
    if (!map) return [{ offset: 0, length: sizeBytes }];
    const chunks: Extent[] = [];
    for (let chunk = 0; chunk * CHUNK_BYTES < map.sizeBytes; chunk++)
      if (hasBit(map.bits, chunk)) chunks.push({ offset: chunk * CHUNK_BYTES, length: CHUNK_BYTES });
    // What the disk has grown by since was never seen.
    if (map.sizeBytes > 0 && sizeBytes > map.sizeBytes) chunks.push({ offset: map.sizeBytes, length: sizeBytes - map.sizeBytes });
    return clip(normalise(chunks), 0, sizeBytes);
  }

  /** Whether all of a range may be non-zero. */
  covers(disk: string, offset: number, length: number): boolean {
    const map = this.#maps.get(disk);
    if (!map) return true;
    for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk * CHUNK_BYTES < offset + length; chunk++)
      if (!hasBit(map.bits, chunk)) return false;
    return true;
  }

  /** From now on the disk is known to read as zero, everywhere: it was just created. Durable before it resolves. */
  declareEmpty(disk: string): Promise<void> {
    return this.#replace(disk, () => ({ sizeBytes: 0, bits: new Uint8Array(0) }));
  }

  /** Durable before it resolves, so call it before the write. Leaves an unknown disk unknown. */
  mark(disk: string, extents: readonly Extent[]): Promise<void> {
    return this.#replace(disk, () => {
      const map = this.#maps.get(disk);
      if (!map) return undefined;
      const reach = extents.reduce((end, extent) => Math.max(end, extent.offset + extent.length), this.#sizes.get(disk) ?? 0);
      const grown = grow(map, reach);
      let changed = grown.sizeBytes !== map.sizeBytes;
      for (const { offset, length } of extents) {
        for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk * CHUNK_BYTES < offset + length; chunk++) {
          if (hasBit(grown.bits, chunk)) continue;
          grown.bits[chunk >> 3]! |= 1 << (chunk & 7);
          changed = true;
        }
      }
      return changed ? grown : undefined;
    });
  }

  /** One after the other. When it fails the caller does not write, so the map as it was stays true. */
  #replace(disk: string, next: () => AllocationMap | undefined): Promise<void> {
    const write = async () => {
      const map = next();
      if (!map) return;
      await replaceFile(this.#files, this.#directory, PREFIX + disk, encode(map));
      this.#maps.set(disk, map);
    };
    const done = this.#writing.then(write);
    // Whoever asked hears of a failure; the next in line does not.
    this.#writing = done.catch(() => {});
    return done;
  }
}

const hasBit = (bits: Uint8Array, chunk: number): boolean => (bits[chunk >> 3]! & (1 << (chunk & 7))) !== 0;

/** What is added counts as allocated, but for a disk declared empty before its size was known (0). */
const grow = (map: AllocationMap, sizeBytes: number): AllocationMap => {
  if (sizeBytes <= map.sizeBytes) return { sizeBytes: map.sizeBytes, bits: Uint8Array.from(map.bits) };
  const bits = new Uint8Array(Math.ceil(sizeBytes / CHUNK_BYTES / 8));
  bits.set(map.bits);
  for (
    let chunk = map.sizeBytes === 0 ? bits.length * 8 : Math.floor(map.sizeBytes / CHUNK_BYTES);
    chunk * CHUNK_BYTES < sizeBytes;
    chunk++
  )
    bits[chunk >> 3]! |= 1 << (chunk & 7);
  return { sizeBytes, bits };
};

const encode = (map: AllocationMap): Buffer => {
  const content = Buffer.alloc(HEADER_BYTES + map.bits.length);
  MAGIC.copy(content);
  content.writeBigUInt64LE(BigInt(map.sizeBytes), 8);
  content.writeUInt32LE(CHUNK_BYTES, 16);
  content.set(map.bits, HEADER_BYTES);
  content.writeUInt32LE(crc32(map.bits, crc32(content.subarray(0, 20))), 20);
  return content;
};

const decode = (content: Buffer): AllocationMap | undefined => {
  if (content.length < HEADER_BYTES || !content.subarray(0, 8).equals(MAGIC) || content.readUInt32LE(16) !== CHUNK_BYTES) return undefined;
  const bits = Uint8Array.from(content.subarray(HEADER_BYTES));
  const sizeBytes = Number(content.readBigUInt64LE(8));
  if (content.readUInt32LE(20) !== crc32(bits, crc32(content.subarray(0, 20)))) return undefined;
  return bits.length === Math.ceil(sizeBytes / CHUNK_BYTES / 8) ? { sizeBytes, bits } : undefined;
};
