import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { DrError, type Extent, isDrError } from '../../../../core/contract/index.ts';
import { BLOCK_BYTES, type OpenSource, pieces, pump, type Sink } from '../../../../core/replication/pump.ts';

const MIB = 2 ** 20;

const sourceOf = (content: Buffer, more: Partial<OpenSource> = {}): OpenSource => ({
  sizeBytes: content.length,
  alignmentBytes: 512,
  maxRequestBytes: MIB,
  maxInFlight: 4,
  read: async (offset, into) => void content.copy(into, 0, offset, offset + into.length),
  [Symbol.asyncDispose]: async () => {},
  ...more,
});

const collectingSink = (size: number): Sink & { readonly content: Buffer; readonly zeroed: Extent[] } => {
  const content = Buffer.alloc(size, 0xee);
  const zeroed: Extent[] = [];
  return {
    content,
    zeroed,
    data: async (offset, data) => void content.set(data, offset),
    zero: async (offset, length) => {
      zeroed.push({ offset, length });
      content.fill(0, offset, offset + length);
    },
  };
};

const run = (source: () => OpenSource, extents: readonly Extent[], sink: Sink, signal = new AbortController().signal) =>
  pump({ extents: (from) => extents.filter((extent) => extent.offset + extent.length > from), open: async () => source(), sink, signal });

describe('the pump', () => {
  it('moves every byte of the ranges and none beside them, whatever their alignment', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 1, max: 300_000 })), { maxLength: 8 }),
        fc.constantFrom(512, 4096),
        async (gaps, alignmentBytes) => {
          const size = 6 * MIB;
          const content = Buffer.alloc(size, 1);
          const extents: Extent[] = [];
          let at = 0;
          for (const [gap, length] of gaps) {
            const offset = at + gap;
            if (offset + length > size) break;
            extents.push({ offset, length });
            at = offset + length;
          }
          const sink = collectingSink(size);
          await run(() => sourceOf(content, { alignmentBytes }), extents, sink);
          for (const { offset, length } of extents)
            expect(sink.content.subarray(offset, offset + length).every((byte) => byte === 1)).to.equal(true);
          const touched = sink.content.reduce((sum, byte) => sum + (byte === 1 ? 1 : 0), 0);
          const asked = extents.reduce((sum, extent) => sum + extent.length, 0);
          expect(touched).to.be.within(asked, asked + extents.length * 2 * alignmentBytes);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('hands zero blocks on as zeroes, and reads nothing where the source says zero', async () => {
    const content = Buffer.alloc(2 * MIB);
    let reads = 0;
    const sink = collectingSink(2 * MIB);
    const source = () =>
      sourceOf(content, {
        read: async (offset, into) => {
          reads += 1;
          content.copy(into, 0, offset, offset + into.length);
        },
      });

    await run(
      source,
      [
        { offset: 0, length: MIB },
        { offset: MIB, length: MIB, zero: true },
      ],
      sink,
    );

    expect(reads).to.equal(1);
    expect(sink.zeroed.map((range) => range.length)).to.deep.equal([MIB, MIB]);
  });

  it('keeps several reads under way, never more than the reader allows', async () => {
    let open = 0;
    let most = 0;
    const content = Buffer.alloc(16 * MIB, 7);
    const source = () =>
      sourceOf(content, {
        maxInFlight: 3,
        read: async (offset, into) => {
          most = Math.max(most, ++open);
          await new Promise((resolve) => setImmediate(resolve));
          content.copy(into, 0, offset, offset + into.length);
          open -= 1;
        },
      });

    await run(source, [{ offset: 0, length: 16 * MIB }], collectingSink(16 * MIB));

    expect(most).to.equal(3);
  });

  it('goes on from where it was after a lost connection, and gives up when there is no progress', async () => {
    const content = Buffer.alloc(8 * MIB, 9);
    let reads = 0;
    const sink = collectingSink(8 * MIB);
    const flaky = () =>
      sourceOf(content, {
        maxInFlight: 1,
        read: async (offset, into) => {
          reads += 1;
          if (reads % 3 === 0) throw new DrError('CONNECTION_LOST', 'the line is cut');
          content.copy(into, 0, offset, offset + into.length);
        },
      });
    await run(flaky, [{ offset: 0, length: 8 * MIB }], sink);

    expect(sink.content.equals(content)).to.equal(true);
    expect(reads).to.be.lessThan(20);

    const dead = () => sourceOf(content, { read: () => Promise.reject(new DrError('CONNECTION_LOST', 'the line is cut')) });
    const failure = await run(dead, [{ offset: 0, length: MIB }], sink).catch((error: unknown) => error);
    expect(isDrError(failure, 'CONNECTION_LOST')).to.equal(true);
  });

  it('stops with the reason of an abort', async () => {
    const abort = new AbortController();
    const content = Buffer.alloc(8 * MIB, 9);
    const source = () =>
      sourceOf(content, {
        maxInFlight: 1,
        read: async (offset, into) => {
          if (offset >= 2 * MIB) abort.abort(new DrError('ABORTED', 'enough'));
          content.copy(into, 0, offset, offset + into.length);
        },
      });

    const failure = await run(source, [{ offset: 0, length: 8 * MIB }], collectingSink(8 * MIB), abort.signal).catch(
      (error: unknown) => error,
    );

    expect(isDrError(failure, 'ABORTED')).to.equal(true);
  });

  it('cuts ranges into aligned pieces within the disk, without overlap', async () => {
    const list: Extent[] = [];
    for await (const piece of pieces(
      [
        { offset: 100, length: 10 },
        { offset: 600, length: 10 },
        { offset: 5 * MIB - 5, length: 5 },
      ],
      { sizeBytes: 5 * MIB, alignmentBytes: 512 },
      BLOCK_BYTES,
    ))
      list.push(piece);

    expect(list).to.deep.equal([
      { offset: 0, length: 512 },
      { offset: 512, length: 512 },
      { offset: 5 * MIB - 512, length: 512 },
    ]);
  });
});
