// Both sides of a disk by the digests of their blocks: where they differ is found without moving what is equal.
import { hash } from 'node:crypto';
import { type BlockDigest, type Call, type DiskReader, DrError, type Extent } from '../contract/index.ts';
import * as extents from '../domain/extents.ts';
import type { DiskIo } from '../journal/disk-io.ts';
import { BLOCK_BYTES, buffers, isPassing, type OpenSource, REOPEN_ATTEMPTS } from './pump.ts';

export interface CompareRequest {
  open(): Promise<OpenSource>;
  readonly replica: DiskIo;
  /** What the replica may hold; the rest of it is known to be zero and is not read. */
  readonly replicaHas: readonly Extent[];
  readonly signal: AbortSignal;
  /** So many bytes more are known to be equal or not. */
  onCompared(bytes: number): void;
}

export interface Compared {
  /** Blocks of the source that are not zero. */
  readonly sourceHas: readonly Extent[];
  readonly differs: readonly Extent[];
}

const zeroes = new Map<number, Buffer>();
const zeroDigest = (length: number): Buffer => {
  const known = zeroes.get(length) ?? hash('sha256', new Uint8Array(length), 'buffer');
  zeroes.set(length, known);
  return known;
};

type Growing = { readonly offset: number; length: number }[];

/** Blocks come in ascending order: neighbours are one range. */
const append = (ranges: Growing, offset: number, length: number): void => {
  const last = ranges.at(-1);
  if (last && last.offset + last.length === offset) last.length += length;
  else ranges.push({ offset, length });
};

const lengthAt = (offset: number, sizeBytes: number): number => Math.min(BLOCK_BYTES, sizeBytes - offset);

/** Undefined where the source gives no digests. After a lost connection it goes on from the last block that both sides have told. */
export const compareByDigests = async (request: CompareRequest): Promise<Compared | undefined> => {
  const sourceHas: Growing = [];
  const differs: Growing = [];
  let next = 0;
  for (let attempts = 0; ; attempts++) {
    const before = next;
    try {
      await using source = await request.open();
      if (!source.digests) return undefined;
      const theirs = replicaDigests(request, next)[Symbol.asyncIterator]();
      try {
        for await (const { offset, sha256 } of source.digests(BLOCK_BYTES, next)) {
          request.signal.throwIfAborted();
          const length = lengthAt(offset, source.sizeBytes);
          const there = await theirs.next();
          if (!there.done && there.value.offset !== offset) throw outOfStep(offset, there.value.offset);
          if (!zeroDigest(length).equals(sha256)) append(sourceHas, offset, length);
          if (there.done || Buffer.compare(there.value.sha256, sha256) !== 0) append(differs, offset, length);
          next = offset + length;
          request.onCompared(length);
        }
      } finally {
        await theirs.return?.();
      }
      return { sourceHas, differs };
    } catch (error) {
      request.signal.throwIfAborted();
      if (next > before) attempts = 0;
      if (!isPassing(error) || attempts + 1 >= REOPEN_ATTEMPTS) throw error;
    }
  }
};

/** The digests of a reader, with their call bound; absent where it gives none. */
export const bindDigests = (reader: Pick<DiskReader, 'digests'>, call: () => Call): Pick<DiskIo, 'digests'> =>
  reader.digests ? { digests: (blockBytes, from) => reader.digests!(blockBytes, from, call()) } : {};

const outOfStep = (expected: number, given: number): DrError =>
  new DrError('CONTRACT_VIOLATED', `digests of the replica gave the block at ${given}, expected ${expected}`, {
    context: { expected, actual: given },
  });

const replicaDigests = ({ replica, replicaHas, signal }: CompareRequest, from: number): AsyncIterable<BlockDigest> =>
  replica.digests ? replica.digests(BLOCK_BYTES, from) : readDigests(replica, replicaHas, from, signal);

/** Reads ahead, as many blocks at a time as the disk takes. */
async function* readDigests(replica: DiskIo, has: readonly Extent[], from: number, signal: AbortSignal): AsyncGenerator<BlockDigest> {
  const mayHold = extents.overlaps(has);
  const ahead: Promise<BlockDigest>[] = [];
  let next = from;
  const start = (): void => {
    const offset = next;
    const length = lengthAt(offset, replica.sizeBytes);
    next = offset + length;
    const digest = mayHold(offset, length) ? digestOf(replica, offset, length) : Promise.resolve(zeroDigest(length));
    const block = digest.then((sha256) => ({ offset, sha256 }));
    // It is awaited in its turn; until then its failure is nobody's.
    block.catch(() => {});
    ahead.push(block);
  };
  for (;;) {
    signal.throwIfAborted();
    while (ahead.length < Math.max(1, replica.maxInFlight) && next < replica.sizeBytes) start();
    const block = ahead.shift();
    if (!block) return;
    yield await block;
  }
}

const digestOf = async (replica: DiskIo, offset: number, length: number): Promise<Buffer> => {
  const buffer = buffers.take();
  const block = buffer.subarray(0, length);
  const step = Math.min(replica.maxRequestBytes, length);
  for (let at = 0; at < length; at += step) await replica.read(offset + at, block.subarray(at, Math.min(at + step, length)));
  const digest = hash('sha256', block, 'buffer');
  // A read that failed may still write into its buffer later: only one that ended well gives it back.
  buffers.give(buffer);
  return digest;
};
