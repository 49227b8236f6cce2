import { DrError } from '../../core/contract/errors.ts';

/** A message on the wire: two lengths (32 bits, little endian), a header of JSON, then a tail of bytes. */
export interface Frame {
  readonly header: unknown;
  readonly tail: Uint8Array;
}

/** The longest of each that a peer may send. */
export interface FrameLimits {
  readonly headerBytes: number;
  readonly tailBytes: number;
}

const LENGTHS_BYTES = 8;

/** In two pieces, so that a large tail is not copied. */
export const encodeFrame = (header: object, tail: Uint8Array = new Uint8Array()): Uint8Array[] => {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.allocUnsafe(LENGTHS_BYTES + json.length);
  head.writeUInt32LE(json.length, 0);
  head.writeUInt32LE(tail.length, 4);
  head.set(json, LENGTHS_BYTES);
  return tail.length > 0 ? [head, tail] : [head];
};

/** Puts frames together from chunks of any size; each byte of a tail is copied once. Room is made only for what has arrived, never for what is announced. */
export class FrameReader {
  /** Small until the peer has said who it is. */
  limits: FrameLimits;
  #chunks: Uint8Array[] = [];
  #have = 0;

  constructor(limits: FrameLimits) {
    this.limits = limits;
  }

  /** Throws PROTOCOL_ERROR on lengths that no peer of ours sends, and on a header that is no JSON. */
  push(chunk: Uint8Array): Frame[] {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#have < LENGTHS_BYTES) return undefined;
    if (this.#chunks[0]!.length < LENGTHS_BYTES) this.#chunks = [Buffer.concat(this.#chunks)];
    const lengths = Buffer.from(this.#chunks[0]!.buffer, this.#chunks[0]!.byteOffset, LENGTHS_BYTES);
    const headerBytes = lengths.readUInt32LE(0);
    const tailBytes = lengths.readUInt32LE(4);
    if (headerBytes > this.limits.headerBytes || tailBytes > this.limits.tailBytes) {
      throw new DrError('PROTOCOL_ERROR', `a frame of ${headerBytes} and ${tailBytes} bytes is too long`);
    }
    if (this.#have < LENGTHS_BYTES + headerBytes + tailBytes) return undefined;
    this.#take(LENGTHS_BYTES);
    const json = Buffer.from(this.#take(headerBytes)).toString();
    try {
      return { header: JSON.parse(json), tail: this.#take(tailBytes) };
    } catch (cause) {
      throw new DrError('PROTOCOL_ERROR', 'the header of a frame is no JSON', { cause });
    }
  }

  #take(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const chunk = this.#chunks[0]!;
      const piece = chunk.subarray(0, length - at);
      taken.set(piece, at);
      at += piece.length;
      if (piece.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(piece.length);
    }
    this.#have -= length;
    return taken;
  }
}
