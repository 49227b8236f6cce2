import type { DiskRef } from '../../adapters/lab/port.ts';
import type { BlockDigest, Call, DiskReader, ReplicaDisk } from '../../core/contract/index.ts';
import type { Link } from './connect.ts';

const DIGESTS_AT_ONCE = 64;
const SHA256_BYTES = 32;

export const openReader = async ({ port, at }: Link, of: DiskRef, call: Call): Promise<DiskReader> => {
  const info = await port.call('disk.open', { ...at, of, forWriting: false }, call);
  return {
    ...info,
    read: async (offset, into, read) => into.set((await port.call('disk.read', { ...at, of, offset, length: into.length }, read)).data),
    digests: async function* (blockBytes, from, digest): AsyncGenerator<BlockDigest> {
      const step = blockBytes * DIGESTS_AT_ONCE;
      for (let offset = from; offset < info.sizeBytes; offset += step) {
        const { data } = await port.call('disk.digests', { ...at, of, blockBytes, offset, count: DIGESTS_AT_ONCE }, digest);
        for (let row = 0; row * SHA256_BYTES < data.length; row++) {
          digest.signal.throwIfAborted();
          yield { offset: offset + row * blockBytes, sha256: data.subarray(row * SHA256_BYTES, (row + 1) * SHA256_BYTES) };
        }
      }
      digest.signal.throwIfAborted();
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
};

export const openReplicaDisk = async (link: Link, of: DiskRef, call: Call): Promise<ReplicaDisk> => {
  const { port, at } = link;
  await port.call('disk.open', { ...at, of, forWriting: true, fence: call.fence }, call);
  return {
    ...(await openReader(link, of, call)),
    write: async (offset, data, write) => {
      await port.call('disk.write', { ...at, of, offset, data, fence: write.fence }, write);
    },
    writeZeroes: async (offset, length, write) => {
      await port.call('disk.writeZeroes', { ...at, of, offset, length, fence: write.fence }, write);
    },
    flush: async (flush) => {
      await port.call('disk.flush', { ...at, of, fence: flush.fence }, flush);
    },
  };
};
