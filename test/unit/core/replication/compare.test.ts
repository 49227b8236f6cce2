import { hash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { DrError, type Extent } from '../../../../core/contract/index.ts';
import * as extents from '../../../../core/domain/extents.ts';
import type { DiskIo } from '../../../../core/journal/disk-io.ts';
import { type Compared, compareByDigests } from '../../../../core/replication/compare.ts';
import { BLOCK_BYTES, type OpenSource } from '../../../../core/replication/pump.ts';

const never = new AbortController().signal;

const blocksOf = (content: Buffer, from = 0) =>
  Array.from({ length: Math.ceil((content.length - from) / BLOCK_BYTES) }, (_, index) => {
    const offset = from + index * BLOCK_BYTES;
    return { offset, sha256: hash('sha256', content.subarray(offset, offset + BLOCK_BYTES), 'buffer') };
  });

const digestsOf = (content: Buffer) =>
  async function* (_: number, from: number) {
    yield* blocksOf(content, from);
  };

interface Counted {
  readBytes: number;
}

const diskOf = (content: Buffer, more: Partial<DiskIo> = {}): DiskIo & Counted => {
  const disk = {
    readBytes: 0,
    sizeBytes: content.length,
    alignmentBytes: 512,
    maxRequestBytes: 256 * 1024,
    maxInFlight: 3,
    read: async (offset: number, into: Uint8Array) => {
      disk.readBytes += into.length;
      content.copy(into, 0, offset, offset + into.length);
    },
    write: async () => {},
    writeZeroes: async () => {},
    flush: async () => {},
    ...more,
  };
  return disk;
};

const sourceOf = (content: Buffer, more: Partial<OpenSource> = {}): OpenSource & Counted => {
  const disk = diskOf(content, { digests: digestsOf(content), ...more });
  return Object.assign(disk, { [Symbol.asyncDispose]: async () => {} });
};

const compare = (source: () => OpenSource, replica: DiskIo, has: readonly Extent[], onCompared: (bytes: number) => void = () => {}) =>
  compareByDigests({ open: async () => source(), replica, replicaHas: has, signal: never, onCompared });

const everything = (content: Buffer): Extent[] => [{ offset: 0, length: content.length }];

/** Blocks by a number each; zero is an empty one. */
const disksFrom = (source: readonly number[], replica: readonly number[], tail: number): readonly [Buffer, Buffer] => {
  const size = Math.max(0, source.length - 1) * BLOCK_BYTES + tail;
  const filled = (blocks: readonly number[]) => {
    const content = Buffer.alloc(size);
    blocks.forEach((block, index) => {
      content.fill(block, index * BLOCK_BYTES, Math.min(size, (index + 1) * BLOCK_BYTES));
    });
    return content;
  };
  return [filled(source), filled(replica)];
};

const expected = (source: Buffer, replica: Buffer): Compared => {
  const theirs = blocksOf(replica);
  const rows = blocksOf(source).map(({ offset, sha256 }, index) => ({
    range: { offset, length: Math.min(BLOCK_BYTES, source.length - offset) },
    differs: !sha256.equals(theirs[index]!.sha256),
    empty: source.subarray(offset, offset + BLOCK_BYTES).every((byte) => byte === 0),
  }));
  return {
    sourceHas: extents.normalise(rows.filter(({ empty }) => !empty).map(({ range }) => range)),
    differs: extents.normalise(rows.filter(({ differs }) => differs).map(({ range }) => range)),
  };
};

describe('a comparison by digests', () => {
  it('finds every block that differs and no other, the short last one included', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), fc.nat(2)), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: BLOCK_BYTES / 512 }),
        fc.boolean(),
        async (blocks, sectors, replicaTells) => {
          const [source, replica] = disksFrom(
            blocks.map(([one]) => one),
            blocks.map(([, other]) => other),
            sectors * 512,
          );
          const there = diskOf(replica, replicaTells ? { digests: digestsOf(replica) } : {});

          const found = await compare(() => sourceOf(source), there, everything(replica));

          expect(found).to.deep.equal(expected(source, replica));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('reads nothing of the source, and of the replica only what it may hold', async () => {
    const [content, same] = disksFrom([1, 0, 2, 0], [1, 0, 2, 0], BLOCK_BYTES);
    const source = sourceOf(content);
    const replica = diskOf(same);
    let comparedBytes = 0;

    const found = await compare(
      () => source,
      replica,
      [
        { offset: 0, length: BLOCK_BYTES },
        { offset: 2 * BLOCK_BYTES, length: BLOCK_BYTES },
      ],
      (bytes) => {
        comparedBytes += bytes;
      },
    );

    expect(found?.differs).to.deep.equal([]);
    expect(source.readBytes).to.equal(0);
    expect(replica.readBytes).to.equal(2 * BLOCK_BYTES);
    expect(comparedBytes).to.equal(content.length);
  });

  it('goes on after a lost connection from where it was, and gives up when it gets no further', async () => {
    const [content, other] = disksFrom([1, 2, 3, 4], [1, 2, 0, 4], BLOCK_BYTES);
    const asked: number[] = [];
    const losing = (blocks: number) =>
      async function* (_: number, from: number) {
        asked.push(from / BLOCK_BYTES);
        yield* blocksOf(content, from).slice(0, blocks);
        if (from / BLOCK_BYTES + blocks < 4) throw new DrError('CONNECTION_LOST', 'gone');
      };

    const found = await compare(() => sourceOf(content, { digests: losing(1) }), diskOf(other), everything(other));
    const failure = await compare(() => sourceOf(content, { digests: losing(0) }), diskOf(other), everything(other)).catch(
      (error: DrError) => error.code,
    );

    expect(found?.differs).to.deep.equal([{ offset: 2 * BLOCK_BYTES, length: BLOCK_BYTES }]);
    expect(asked).to.deep.equal([0, 1, 2, 3, 0, 0, 0, 0, 0]);
    expect(failure).to.equal('CONNECTION_LOST');
  });

  it('is not made where the source gives no digests', async () => {
    const content = Buffer.alloc(BLOCK_BYTES, 1);
    const { digests: _, ...plain } = sourceOf(content);

    expect(await compare(() => plain, diskOf(content), everything(content))).to.equal(undefined);
  });

  it('ends with the reason when it is aborted', async () => {
    const content = Buffer.alloc(2 * BLOCK_BYTES, 1);
    const stopping = new AbortController();
    const found = compareByDigests({
      open: async () => sourceOf(content),
      replica: diskOf(content),
      replicaHas: everything(content),
      signal: stopping.signal,
      onCompared: () => stopping.abort(new DrError('ABORTED', 'enough')),
    }).catch((error: DrError) => error.message);

    expect(await found).to.equal('enough');
  });
});
