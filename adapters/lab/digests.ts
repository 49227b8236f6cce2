import { hash } from 'node:crypto';
import type { Lie } from './model.ts';
import type { Volume } from './volume.ts';

export interface DigestRange {
  readonly offset: number;
  readonly blockBytes: number;
  readonly count: number;
}

/** Most of a disk is room that nothing was written to: its digest is known. */
const zeroDigests = new Map<number, Buffer>();

const digestOf = (block: Uint8Array): Buffer => {
  // Compared with itself one byte on: all bytes equal a first one that is zero.
  const zero = block[0] === 0 && Buffer.compare(block.subarray(1), block.subarray(0, -1)) === 0;
  const digest = (zero ? zeroDigests.get(block.length) : undefined) ?? hash('sha256', block, 'buffer');
  if (zero) zeroDigests.set(block.length, digest);
  return digest;
};

/** One SHA-256 after the other. */
export const digestRows = (
  volume: Volume,
  { offset, blockBytes, count }: DigestRange,
  endBytes: number,
  lies: ReadonlySet<Lie>,
): Buffer => {
  const rows: Buffer[] = [];
  const room = new Uint8Array(blockBytes);
  for (let from = offset; from < endBytes && rows.length < count; from += blockBytes) {
    const block = room.subarray(0, Math.min(blockBytes, endBytes - from));
    volume.read(from, block);
    if (lies.has('halfData')) block.fill(0, block.length >> 1);
    rows.push(digestOf(block));
  }
  return Buffer.concat(rows);
};
