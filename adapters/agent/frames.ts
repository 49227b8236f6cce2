import { DrError } from '../../core/contract/index.ts';

/** A message on the socket: two lengths (32 bits, little endian), a header of JSON, then a tail of bytes. */
export interface Frame {
  readonly header: unknown;
  readonly tail: Uint8Array;
}

const LENGTHS_BYTES = 8;
const MOST_HEADER_BYTES = 64 << 20;
const MOST_TAIL_BYTES = 64 << 20;

/** In two pieces, so that a large tail is not copied. */
export const encodeFrame = (header: object, tail: Uint8Array = new Uint8Array()): Uint8Array[] => {
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.allocUnsafe(LENGTHS_BYTES + json.length);
  head.writeUInt32LE(json.length, 0);
  head.writeUInt32LE(tail.length, 4);
  head.set(json, LENGTHS_BYTES);
  return tail.length > 0 ? [head, tail] : [head];
};

/** Puts frames together from chunks of any size; each byte of a tail is copied once. */
export class FrameReader {
  #chunks: Uint8Array[] = [];
  #have = 0;

  /** Throws PROTOCOL_ERROR on lengths that no peer of ours sends. */
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
    if (headerBytes > MOST_HEADER_BYTES || tailBytes > MOST_TAIL_BYTES) {
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

export type Request =
  | { readonly id: number; readonly method: string; readonly args: object; readonly tail: boolean }
  | { readonly cancel: number };

/** Takes the field `data` out of arguments or a result. */
export const splitData = (value: object): { rest: object; data: Uint8Array | undefined } => {
  const { data, ...rest } = value as { data?: Uint8Array };
  return { rest, data };
};
