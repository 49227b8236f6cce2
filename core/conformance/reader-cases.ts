import assert from 'node:assert/strict';
import type { DiskReader, DiskSpec, MachineId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertAborted, assertRefused, assertSameBytes, assertStreamAborts, hex, pattern, readRange, sha256 } from './probe.ts';

interface Opened {
  readonly machine: MachineId;
  readonly disk: DiskSpec;
  readonly reader: DiskReader;
  open(): Promise<DiskReader>;
}

/** The first disk of a snapshot; with content that differs everywhere where a lab can write it. */
const opened = async (ctx: Context): Promise<Opened> => {
  const { id, spec } = await ctx.machine();
  const disk = spec.disks[0]!;
  if (ctx.subject.lab) {
    for (let offset = 0; offset < window(ctx, disk); offset += 262_144) {
      await ctx.lab.write(id, disk.id, offset, pattern(offset + 7, Math.min(262_144, window(ctx, disk) - offset)));
    }
  }
  const snapshot = await ctx.snapshot([id]);
  const open = () => ctx.snapshots.openReader(snapshot.id, disk.id, ctx.call());
  return { machine: id, disk, reader: await open(), open };
};

/** The part of the disk that is compared: whole sectors up to the scale's bound. */
const window = (ctx: Context, disk: DiskSpec): number => Math.min(disk.sizeBytes, ctx.scale.readBytes);

const limitsOf = ({ alignmentBytes, maxRequestBytes }: DiskReader) => ({
  align: alignmentBytes,
  most: maxRequestBytes - (maxRequestBytes % alignmentBytes),
});

export const readerCases: readonly Case[] = [
  {
    id: 'RDR-001',
    level: 2,
    title: 'a reader states limits that can be kept',
    promise:
      'A reader MUST state the size of the disk at the snapshot, an alignment that is a power of two, a largest request of at least that, and at least one request in flight.',
    cause: 'the size is that of the file, or of the disk now',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { disk, reader } = await opened(ctx);
      const { sizeBytes, alignmentBytes, maxRequestBytes, maxInFlight } = reader;

      assert.equal(sizeBytes, disk.sizeBytes, `the reader has ${sizeBytes} bytes, the disk ${disk.sizeBytes}`);
      assert.ok(Number.isInteger(Math.log2(alignmentBytes)), `the alignment of ${alignmentBytes} is no power of two`);
      assert.ok(maxRequestBytes >= alignmentBytes, `the largest request of ${maxRequestBytes} is below the alignment of ${alignmentBytes}`);
      assert.ok(Number.isInteger(maxInFlight) && maxInFlight >= 1, `maxInFlight is ${maxInFlight}`);
    },
  },
  {
    id: 'RDR-002',
    level: 2,
    title: 'any aligned offset and length can be read',
    promise:
      'A reader MUST serve every aligned offset and length up to its largest request, the short rest at the end of the disk included.',
    cause: 'requests are rounded to blocks of the endpoint, or the last block is cut off',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { disk, reader } = await opened(ctx);
      const { align, most } = limitsOf(reader);
      const whole = await readRange(reader, ctx.call, { length: window(ctx, disk) });
      const requests = [
        [0, align],
        [align, Math.min(most, 3 * align)],
        [0, Math.min(most, whole.length)],
        [Math.max(0, Math.floor((whole.length - most) / align) * align), Math.min(most, whole.length)],
        [Math.floor((whole.length - 1) / align) * align, align],
        [Math.floor(whole.length / 3 / align) * align, Math.min(most, 7 * align)],
      ] as const;
      for (const [offset, length] of requests) {
        const size = Math.min(length, whole.length - offset);
        const into = new Uint8Array(size);
        await reader.read(offset, into, ctx.call());
        assertSameBytes(`a read of ${size} bytes at ${offset}`, into, whole.subarray(offset, offset + size), offset);
      }
    },
  },
  {
    id: 'RDR-003',
    level: 2,
    title: 'a read fills its buffer and nothing beside it',
    promise: 'read MUST fill the whole buffer of the caller before it resolves, and MUST NOT touch what lies beside it.',
    cause: 'a short answer of the endpoint is taken for the whole, or the buffer behind a view is used',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { reader } = await opened(ctx);
      const { most } = limitsOf(reader);
      const length = Math.min(most, reader.sizeBytes);
      const around = new Uint8Array(length + 128);
      const into = around.subarray(64, 64 + length);
      await reader.read(0, into, ctx.call());

      assertSameBytes(
        'before and after the buffer',
        Uint8Array.of(...around.subarray(0, 64), ...around.subarray(64 + length)),
        new Uint8Array(128),
      );
      // The content has no zero byte: what was not filled shows.
      const hole = into.indexOf(0);
      assert.ok(hole < 0, `byte ${hole} of ${length} was not filled`);
    },
  },
  {
    id: 'RDR-004',
    level: 2,
    title: 'requests may overlap in time',
    promise: 'A reader MUST serve maxInFlight requests at a time, each with its own data.',
    cause: 'answers are matched to requests by order, or share one buffer',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { disk, reader } = await opened(ctx);
      const { align, most } = limitsOf(reader);
      const whole = await readRange(reader, ctx.call, { length: window(ctx, disk) });
      const size = Math.min(most, Math.max(align, Math.floor(whole.length / 16 / align) * align));
      const count = Math.min(reader.maxInFlight, 32);
      const offsets = Array.from({ length: count }, (_, index) => (index * 5 * size) % Math.max(align, whole.length - size + 1)).map(
        (at) => at - (at % align),
      );
      const reads = offsets.map(async (offset) => {
        const into = new Uint8Array(Math.min(size, whole.length - offset));
        await reader.read(offset, into, ctx.call());
        return into;
      });

      for (const [index, data] of (await Promise.all(reads)).entries()) {
        const offset = offsets[index] ?? 0;
        assertSameBytes(`one of ${count} reads at a time, at ${offset}`, data, whole.subarray(offset, offset + data.length), offset);
      }
    },
  },
  {
    id: 'RDR-005',
    level: 2,
    title: 'what is read is what the guest had written',
    promise: 'A reader MUST give the content of the disk at the snapshot, byte for byte.',
    cause: 'offsets are counted in the wrong unit, or a parent disk is read',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { machine, disk, reader } = await opened(ctx);
      const truth = await ctx.lab.read(machine, disk.id, 0, window(ctx, disk));

      assertSameBytes(`disk ${disk.id}`, await readRange(reader, ctx.call, { length: truth.length }), truth);
    },
  },
  {
    id: 'RDR-006',
    level: 2,
    title: 'a read past the end is refused',
    promise: 'read MUST reject with an error of the contract when the request goes past the end of the disk.',
    cause: 'the answer is padded with zeros',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { reader } = await opened(ctx);
      const { align } = limitsOf(reader);
      const last = Math.floor((reader.sizeBytes - 1) / align) * align;

      await assertRefused('a read at the end of the disk', () => reader.read(last + align, new Uint8Array(align), ctx.call()));
      await assertRefused('a read across the end of the disk', () => reader.read(last, new Uint8Array(2 * align), ctx.call()));
    },
  },
  {
    id: 'RDR-007',
    level: 2,
    title: 'digests are those of the data',
    promise:
      'digests, where a reader has them, MUST give the SHA-256 of each block in ascending order from the offset on, the short last one included.',
    cause: 'digests are taken of the live disk, or of the stored form of a block',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { disk, reader } = await opened(ctx);
      if (!reader.digests) return ctx.skip('the reader gives no digests');
      const whole = await readRange(reader, ctx.call, { length: window(ctx, disk) });
      const block = Math.max(reader.alignmentBytes, 65_536);
      for (const from of [0, 2 * block]) {
        let expected = from;
        for await (const { offset, sha256: digest } of reader.digests(block, from, ctx.call())) {
          if (offset >= whole.length) break;
          assert.equal(offset, expected, `digests gave the block at ${offset}, expected ${expected}`);
          const data = whole.subarray(offset, Math.min(offset + block, whole.length));
          assert.equal(hex(digest), await sha256(data), `the digest of the block at ${offset} is not that of its data`);
          expected += block;
        }
        assert.ok(expected >= whole.length, `digests from ${from} ended at ${expected} of ${whole.length}`);
      }
    },
  },
  {
    id: 'RDR-008',
    level: 2,
    title: 'readers are independent and close twice',
    promise: 'Closing a reader MUST succeed again when it is closed, and MUST NOT end another reader.',
    cause: 'readers of one disk share a handle without counting its users',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { reader, open } = await opened(ctx);
      const other = await open();
      const { align } = limitsOf(reader);

      await other[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();

      await reader.read(0, new Uint8Array(align), ctx.call());
    },
  },
  {
    id: 'RDR-009',
    level: 2,
    title: 'a read that was aborted rejects',
    promise: 'Once its signal aborts, read MUST reject with the reason of the signal, and the reader MUST stay usable.',
    cause: 'the signal is not passed to the transport',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { reader } = await opened(ctx);
      const { align } = limitsOf(reader);
      const { call, abort } = ctx.abortable();
      abort();

      await assertAborted('read', call, () => reader.read(0, new Uint8Array(align), call));
      await reader.read(0, new Uint8Array(align), ctx.call());
    },
  },
  {
    id: 'RDR-010',
    level: 2,
    title: 'digests end when they are aborted, wherever they are',
    promise: 'Once its signal aborts, digests MUST reject with the reason of the signal at the next element, also after the last one.',
    cause: 'the signal is looked at between requests only',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { reader } = await opened(ctx);
      const { digests } = reader;
      if (!digests) return ctx.skip('the reader gives no digests');

      await assertStreamAborts('digests', (call) => digests(Math.max(reader.alignmentBytes, 262_144), 0, call), ctx.abortable);
    },
  },
];
