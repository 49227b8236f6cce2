/** Servers send a read in a few parts, ascending. One that scatters more of them than this wants to be expensive. */
const MAX_PARTS = 1024;

interface Part {
  start: number;
  end: number;
}

/** Which bytes of a read have come. */
export class Coverage {
  readonly #parts: Part[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** False when a part of it was there before, or when it comes in too many pieces. */
  add(start: number, end: number): boolean {
    const after = this.#parts.findLastIndex((part) => part.start < end) + 1;
    const before = this.#parts[after - 1];
    if (before !== undefined && before.end > start) return false;
    if (before?.end === start) before.end = end;
    else if (this.#parts.length === MAX_PARTS) return false;
    else this.#parts.splice(after, 0, { start, end });
    this.#bytes += end - start;
    return true;
  }
}
