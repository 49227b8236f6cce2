import { type Baseline, DrError, type Extent } from '../../core/contract/index.ts';

const CHUNK_GRANULES = 4096;
/** 256 KiB where a granule is 32 KiB. */
const COARSE_GRANULES = 8;

/** A set of granule numbers that takes room only where something is set. */
export class SparseBitmap {
  readonly #chunks = new Map<number, Uint8Array>();

  add(first: number, last: number): void {
    for (let granule = first; granule <= last; granule++) {
      const key = Math.floor(granule / CHUNK_GRANULES);
      let chunk = this.#chunks.get(key);
      if (!chunk) {
        chunk = new Uint8Array(CHUNK_GRANULES / 8);
        this.#chunks.set(key, chunk);
      }
      const bit = granule % CHUNK_GRANULES;
      chunk[bit >> 3]! |= 1 << (bit & 7);
    }
  }

  addAll(other: SparseBitmap): void {
    for (const [key, theirs] of other.#chunks) {
      const ours = this.#chunks.get(key);
      if (!ours) this.#chunks.set(key, theirs.slice());
      else for (let i = 0; i < ours.length; i++) ours[i]! |= theirs[i]!;
    }
  }

  /** Ascending runs as [first, last]. */
  *runs(): Generator<[number, number]> {
    let first = -1;
    let last = -2;
    for (const key of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      const chunk = this.#chunks.get(key)!;
      for (let bit = 0; bit < CHUNK_GRANULES; bit++) {
        if ((chunk[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
        const granule = key * CHUNK_GRANULES + bit;
        if (granule !== last + 1) {
          if (first >= 0) yield [first, last];
          first = granule;
        }
        last = granule;
      }
    }
    if (first >= 0) yield [first, last];
  }
}

export interface TrackerState {
  readonly incarnation: string;
  readonly position: number;
  readonly marks: readonly { readonly position: number; readonly owner: string; readonly dirty: readonly [number, number][] }[];
}

interface Mark {
  position: number;
  /** Whose baseline it is; 'tracker' for the beginning, which nobody holds. */
  owner: string;
  /** Written after this mark and before the next. */
  readonly dirty: SparseBitmap;
}

/**
 * Change tracking of one disk: a list of marks with what was written after each.
 * `exact`: a baseline is a thing of its own that can be forgotten (bitmaps, reference points); else it is a place in a sequence and any place between two marks is answered from the older one.
 */
export class Tracker {
  readonly #disk: string;
  readonly #granuleBytes: number;
  readonly #exact: boolean;
  #incarnation: string;
  #position = 0;
  #marks: Mark[];

  constructor(disk: string, incarnation: string, granuleBytes: number, exact: boolean) {
    this.#disk = disk;
    this.#granuleBytes = granuleBytes;
    this.#exact = exact;
    this.#incarnation = incarnation;
    this.#marks = [{ position: 0, owner: 'tracker', dirty: new SparseBitmap() }];
  }

  get incarnation(): string {
    return this.#incarnation;
  }

  /** Of the newest mark; 0 before the first. */
  get position(): number {
    return this.#position;
  }

  baselineAt(position: number): Baseline {
    return this.#format(position);
  }

  record(offset: number, length: number): void {
    if (length === 0) return;
    this.#marks.at(-1)!.dirty.add(Math.floor(offset / this.#granuleBytes), Math.floor((offset + length - 1) / this.#granuleBytes));
  }

  /** A new baseline: everything up to now is before it. */
  mark(owner: string): Baseline {
    this.#position++;
    this.#marks.push({ position: this.#position, owner, dirty: new SparseBitmap() });
    return this.#format(this.#position);
  }

  /** Everything that was known is gone. */
  reset(incarnation: string): void {
    this.#incarnation = incarnation;
    this.#position = 0;
    this.#marks = [{ position: 0, owner: 'tracker', dirty: new SparseBitmap() }];
  }

  knows(since: Baseline): boolean {
    return this.#find(since) >= 0;
  }

  /** What was written between two baselines, ascending and disjoint, clipped to the size. Throws TRACKING_LOST. */
  changed(since: Baseline, upTo: Baseline | undefined, sizeBytes: number): Extent[] {
    const start = this.#find(since);
    if (start < 0) throw this.#lost(since);
    // An end that was forgotten meanwhile is answered up to now: more than was asked, never less.
    const end = upTo === undefined ? -1 : this.#find(upTo, true);
    return this.#extents(this.#marks.slice(start, end < 0 ? undefined : end), sizeBytes);
  }

  /** What a tracker that was reset would say if it did not notice: only a lie asks for this. */
  changedSinceReset(sizeBytes: number): Extent[] {
    return this.#extents(this.#marks, sizeBytes);
  }

  /** Forgets a baseline as if it had never been: what was written after it counts to the one before. */
  forget(baseline: Baseline): void {
    const at = this.#find(baseline, true);
    if (at > 0) this.#merge(at);
  }

  /** Forgets the baselines of this owner that are not kept. */
  keep(owner: string, keep: readonly Baseline[]): void {
    const kept = new Set<string>(keep);
    for (let at = this.#marks.length - 1; at > 0; at--) {
      const mark = this.#marks[at]!;
      if (mark.owner === owner && !kept.has(this.#format(mark.position))) this.#merge(at);
    }
    // What lies before the oldest baseline that anybody holds will never be asked for.
    if (this.#marks.length > 1) this.#marks[0] = { position: this.#marks[0]!.position, owner: 'tracker', dirty: new SparseBitmap() };
  }

  /** What a coarser log knows after a crash: for each change the whole region around it. */
  coarsen(granules = COARSE_GRANULES): void {
    for (const { dirty } of this.#marks) {
      for (const [first, last] of [...dirty.runs()]) {
        dirty.add(Math.floor(first / granules) * granules, (Math.floor(last / granules) + 1) * granules - 1);
      }
    }
  }

  save(): TrackerState {
    const marks = this.#marks.map((mark) => ({ position: mark.position, owner: mark.owner, dirty: [...mark.dirty.runs()] }));
    return { incarnation: this.#incarnation, position: this.#position, marks };
  }

  load(state: TrackerState): void {
    this.#incarnation = state.incarnation;
    this.#position = state.position;
    this.#marks = state.marks.map((mark) => {
      const dirty = new SparseBitmap();
      for (const [first, last] of mark.dirty) dirty.add(first, last);
      return { position: mark.position, owner: mark.owner, dirty };
    });
  }

  #format(position: number): Baseline {
    return `${this.#incarnation}/${this.#disk}/${position}` as Baseline;
  }

  /** The mark that answers for a baseline; -1 when it is not ours, of another incarnation, or forgotten. */
  #find(baseline: Baseline, exact = this.#exact): number {
    const prefix = `${this.#incarnation}/${this.#disk}/`;
    if (!baseline.startsWith(prefix) || !/^[1-9]\d*$/.test(baseline.slice(prefix.length))) return -1;
    const position = Number(baseline.slice(prefix.length));
    if (position > this.#position) return -1;
    const at = this.#marks.findLastIndex((mark) => mark.position <= position);
    // The beginning cannot stand in for a later place: what was dropped there is not known any more.
    if (at <= 0) return -1;
    return exact && this.#marks[at]!.position !== position ? -1 : at;
  }

  #merge(at: number): void {
    const [gone] = this.#marks.splice(at, 1);
    this.#marks[at - 1]!.dirty.addAll(gone!.dirty);
  }

  #extents(marks: readonly Mark[], sizeBytes: number): Extent[] {
    const all = new SparseBitmap();
    for (const mark of marks) all.addAll(mark.dirty);
    const extents: Extent[] = [];
    for (const [first, last] of all.runs()) {
      const offset = first * this.#granuleBytes;
      if (offset < sizeBytes) extents.push({ offset, length: Math.min((last + 1) * this.#granuleBytes, sizeBytes) - offset });
    }
    return extents;
  }

  #lost(since: Baseline): DrError {
    return new DrError('TRACKING_LOST', `the tracker of disk ${this.#disk} does not know the baseline ${since}`, {
      context: { disk: this.#disk },
    });
  }
}
