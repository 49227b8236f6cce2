import type { Parser, Want } from './protocol.ts';

/** Drives a parser with the chunks that a socket gives: bytes go straight to where the parser wants them. */
export class Feed {
  readonly #parser: Parser<unknown>;
  #want: Want = { bytes: 0 };
  #filled = 0;
  #ended = false;

  constructor(parser: Parser<unknown>) {
    this.#parser = parser;
  }

  /** Nothing of the chunk is kept: its memory may be used again at once. Throws what the parser throws. */
  push(chunk: Uint8Array): void {
    let at = 0;
    for (;;) {
      while (this.#filled === this.#want.bytes && !this.#ended) this.#next();
      if (this.#ended || at === chunk.length) return;
      const part = Math.min(chunk.length - at, this.#want.bytes - this.#filled);
      this.#want.into?.set(chunk.subarray(at, at + part), this.#filled);
      this.#filled += part;
      at += part;
    }
  }

  #next(): void {
    this.#filled = 0;
    const { done, value } = this.#parser.next();
    if (done) this.#ended = true;
    else this.#want = value;
  }
}
