// What a machine has written since its last cycle: a log of Hyper-V Replica's own, beside whatever else tracks changes.
import type { Extent } from '../../../../core/contract/index.ts';
import { SparseBitmap } from '../../tracker.ts';

const GRANULE_BYTES = 4096;

export class ReplicationLog {
  #open = new SparseBitmap();
  /** Closed, and on its way. */
  #closed: SparseBitmap | undefined;

  record(offset: number, length: number): void {
    if (length > 0) this.#open.add(Math.floor(offset / GRANULE_BYTES), Math.floor((offset + length - 1) / GRANULE_BYTES));
  }

  /** Later writes go to a new one. */
  close(sizeBytes: number): Extent[] {
    this.#closed = this.#open;
    this.#open = new SparseBitmap();
    return extentsOf(this.#closed, sizeBytes);
  }

  /** What was closed has arrived. */
  drop(): void {
    this.#closed = undefined;
  }

  /** What was closed has not arrived: it is sent with the next. */
  reopen(): void {
    if (this.#closed) this.#open.addAll(this.#closed);
    this.#closed = undefined;
  }

  /** Each place once, however often it was written. */
  get bytes(): number {
    let granules = 0;
    for (const log of [this.#open, this.#closed]) for (const [first, last] of log?.runs() ?? []) granules += last - first + 1;
    return granules * GRANULE_BYTES;
  }

  save(): [number, number][] {
    return [...this.#open.runs(), ...(this.#closed?.runs() ?? [])];
  }

  /** As it was saved. */
  static of(runs: readonly (readonly [number, number])[]): ReplicationLog {
    const log = new ReplicationLog();
    for (const [first, last] of runs) log.#open.add(first, last);
    return log;
  }
}

const extentsOf = (log: SparseBitmap, sizeBytes: number): Extent[] =>
  [...log.runs()].flatMap(([first, last]) => {
    const offset = first * GRANULE_BYTES;
    return offset < sizeBytes ? [{ offset, length: Math.min((last + 1) * GRANULE_BYTES, sizeBytes) - offset }] : [];
  });
