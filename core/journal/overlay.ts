import type { IndexRecord } from './format.ts';

/** A range of one disk whose content is known: zeroes, or bytes in a data file of the journal. */
export interface Stored {
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
  /** Path of the data file. */
  readonly file: string;
  readonly position: number;
  readonly sha256: Uint8Array;
}

/** The part of a stored range that counts. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly of: Stored;
}

export const toStored = (record: IndexRecord, file: string): Stored => ({
  offset: record.offset,
  length: record.length,
  isZero: record.kind === 'zero',
  file,
  position: record.position,
  sha256: record.sha256,
});

/** Ascending, disjoint pieces in which a later range hides what it overlaps of earlier ones. */
export const overlay = (ranges: readonly Stored[]): Piece[] => {
  const order = ranges.map((_, index) => index).sort((a, b) => ranges[a]!.offset - ranges[b]!.offset);
  const pieces: { offset: number; length: number; of: Stored }[] = [];
  const active = new MaxHeap();
  let next = 0;
  let at = 0;
  while (next < order.length || active.size > 0) {
    if (active.size === 0) at = ranges[order[next]!]!.offset;
    while (next < order.length && ranges[order[next]!]!.offset === at) active.push(order[next++]!);
    const top = ranges[active.max()]!;
    const until = next < order.length ? ranges[order[next]!]!.offset : Number.POSITIVE_INFINITY;
    const end = Math.min(top.offset + top.length, until);
    const last = pieces.at(-1);
    if (last && last.of === top && last.offset + last.length === at) last.length += end - at;
    else if (end > at) pieces.push({ offset: at, length: end - at, of: top });
    at = end;
    while (active.size > 0 && endOf(ranges[active.max()]!) <= at) active.pop();
  }
  return pieces;
};

const endOf = (range: Stored): number => range.offset + range.length;

class MaxHeap {
  readonly #items: number[] = [];

  get size(): number {
    return this.#items.length;
  }

  max(): number {
    return this.#items[0]!;
  }

  push(value: number): void {
    let at = this.#items.push(value) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (this.#items[up]! >= value) break;
      this.#items[at] = this.#items[up]!;
      at = up;
    }
    this.#items[at] = value;
  }

  pop(): void {
    const value = this.#items.pop()!;
    const size = this.#items.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= size) break;
      if (down + 1 < size && this.#items[down + 1]! > this.#items[down]!) down++;
      if (this.#items[down]! <= value) break;
      this.#items[at] = this.#items[down]!;
      at = down;
    }
    this.#items[at] = value;
  }
}
