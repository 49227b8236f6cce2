import type { Random } from './random.ts';
import type { Volume } from './volume.ts';

const UNIT_BYTES = 4096;
const MOST_UNITS = 4096;

/**
 * A volatile cache in front of a replica disk: remembers what each unit held at the last flush, so that a power cut can take some of the
 * later writes back. Bounded to 16 MiB; beyond that the oldest writes have reached the disk, as in a real cache.
 */
export class WriteCache {
  readonly #before = new Map<number, Uint8Array>();

  /** Called before the write. */
  note(volume: Volume, offset: number, length: number): void {
    const last = Math.min(Math.floor((offset + length - 1) / UNIT_BYTES), Math.floor(offset / UNIT_BYTES) + MOST_UNITS);
    for (let unit = Math.floor(offset / UNIT_BYTES); unit <= last; unit++) {
      if (this.#before.has(unit)) continue;
      const before = new Uint8Array(Math.min(UNIT_BYTES, volume.sizeBytes - unit * UNIT_BYTES));
      volume.read(unit * UNIT_BYTES, before);
      this.#before.set(unit, before);
    }
    for (const unit of this.#before.keys()) {
      if (this.#before.size <= MOST_UNITS) break;
      this.#before.delete(unit);
    }
  }

  flush(): void {
    this.#before.clear();
  }

  /** The power goes: of what was not flushed, about half is lost. */
  crash(volume: Volume, random: Random): void {
    for (const [unit, before] of this.#before) if (random.below(2) === 0) volume.write(unit * UNIT_BYTES, before);
    this.#before.clear();
  }
}
