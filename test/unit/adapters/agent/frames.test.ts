import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { encodeFrame, type Frame, FrameReader } from '../../../../adapters/agent/frames.ts';
import { errorFrom, fieldsOf } from '../../../../adapters/agent/wire.ts';
import { CONTEXT_KEYS, isDrError } from '../../../../core/contract/errors.ts';

const LIMITS = { headerBytes: 4096, tailBytes: 4096 };

const lengths = (header: number, tail: number): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(header, 0);
  bytes.writeUInt32LE(tail, 4);
  return bytes;
};

/** In pieces that end at the given places. */
const cut = (bytes: Uint8Array, places: readonly number[]): Uint8Array[] => {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
};

const codeFrom = (work: () => unknown): string => {
  try {
    work();
    return 'none';
  } catch (error) {
    return isDrError(error) ? error.code : String(error);
  }
};

describe('frames', () => {
  it('come out as they went in, however the stream cuts them', () => {
    const frame = fc.record({ header: fc.dictionary(fc.string(), fc.jsonValue()), tail: fc.uint8Array({ maxLength: 300 }) });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), fc.array(fc.nat()), (frames, places) => {
        const stream = Buffer.concat(frames.flatMap(({ header, tail }) => encodeFrame(header, tail)));
        const reader = new FrameReader({ headerBytes: 1 << 20, tailBytes: 1 << 20 });

        const came: Frame[] = cut(stream, places).flatMap((chunk) => reader.push(chunk));

        const asJson = frames.map(({ header, tail }) => ({ header: JSON.parse(JSON.stringify(header)) as unknown, tail: [...tail] }));
        expect(came.map(({ header, tail }) => ({ header, tail: [...tail] }))).to.deep.equal(asJson);
      }),
    );
  });

  it('of a stranger are refused by their lengths, before any room is made for them', () => {
    for (const [header, tail] of [
      [4097, 0],
      [0, 4097],
      [0xffffffff, 0xffffffff],
    ] as const) {
      expect(codeFrom(() => new FrameReader(LIMITS).push(lengths(header, tail)))).to.equal('PROTOCOL_ERROR');
    }
    expect(codeFrom(() => new FrameReader(LIMITS).push(Buffer.from('GET / HTTP/1.1\r\n\r\n')))).to.equal('PROTOCOL_ERROR');
    expect(codeFrom(() => new FrameReader(LIMITS).push(Buffer.concat([lengths(2, 0), Buffer.from('{]')])))).to.equal('PROTOCOL_ERROR');
  });

  it('of any bytes at all give frames or PROTOCOL_ERROR, and headers of any shape no other error either', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat()), (bytes, places) => {
        const reader = new FrameReader(LIMITS);
        expect(codeFrom(() => cut(bytes, places).flatMap((chunk) => reader.push(chunk)))).to.be.oneOf(['none', 'PROTOCOL_ERROR']);
      }),
    );
    fc.assert(
      fc.property(fc.jsonValue(), (header) => {
        expect(codeFrom(() => fieldsOf(header))).to.be.oneOf(['none', 'PROTOCOL_ERROR']);
      }),
    );
  });
});

describe('an error as the other side tells it', () => {
  it('has a known code, plain text and listed keys, whatever was sent', () => {
    const record = fc.record(
      {
        code: fc.oneof(fc.constantFrom('NOT_FOUND', 'toString', '__proto__', 'constructor'), fc.jsonValue()),
        message: fc.jsonValue(),
        hint: fc.jsonValue(),
        context: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(record, (sent) => {
        const error = errorFrom(sent);

        expect(error.code).to.equal(sent.code === 'NOT_FOUND' ? 'NOT_FOUND' : 'INTERNAL');
        expect(error.message.length).to.be.at.most(1000);
        expect(Object.keys(error.context).every((key) => (CONTEXT_KEYS as readonly string[]).includes(key))).to.equal(true);
      }),
    );
  });

  it('does nothing to a terminal, and keeps what it is about', () => {
    const error = errorFrom({
      code: 'NOT_FOUND',
      message: 'no disk \u001b[31mred\u001b[0m\nroot: \u202egone',
      context: { path: '/dev/\u0007x', password: 'secret', offset: 5, kind: { deep: true } },
    });

    expect(error.message).to.equal('no disk  [31mred [0m root:  gone');
    expect(error.context).to.deep.equal({ path: '/dev/ x', offset: 5 });
  });
});
