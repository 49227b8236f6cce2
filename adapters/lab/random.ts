import { hash } from 'node:crypto';

/** A small seeded generator (xoshiro128**): the same seed gives the same estate, byte for byte. Never for secrets. */
export class Random {
  #state: Uint32Array;

  constructor(seed: string | number) {
    const digest = hash('sha256', `warmsite-lab ${seed}`, 'buffer');
    this.#state = Uint32Array.from([0, 4, 8, 12], (at) => digest.readUInt32LE(at));
  }

  /** So that a lab that is opened again goes on where it was. */
  get state(): number[] {
    return [...this.#state];
  }

  set state(words: readonly number[]) {
    this.#state = Uint32Array.from(words);
  }

  uint32(): number {
    const s = this.#state as Uint32Array & { 0: number; 1: number; 2: number; 3: number };
    const product = Math.imul(s[1], 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  fill(into: Uint8Array): void {
    const words = new Uint32Array(Math.ceil(into.length / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.uint32();
    into.set(new Uint8Array(words.buffer, 0, into.length));
  }

  uuid(): string {
    const bytes = Buffer.alloc(16);
    this.fill(bytes);
    bytes[6] = (bytes[6]! & 0x0f) | 0x40;
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }
}
