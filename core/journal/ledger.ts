// What a journal knows of itself: its sealed cycles as the files have them, who may look at and change them, and when to read the files again.
import { DrError, isDrError } from '../contract/index.ts';
import type { Files } from '../ports/files.ts';
import type { CycleFiles, CycleRequest } from './cycle-writer.ts';
import { sealOf } from './replay.ts';
import { type Slot, type State, scan } from './scan.ts';
import type { Point, Seal } from './seal.ts';

export type GroupState = 'complete' | 'abandoned' | 'undecided';

export interface JournalOptions {
  readonly files: Files;
  readonly directory: string;
  readonly item: string;
  /** P1: a part of a group's cycle is a point only once this is not `undecided`. */
  readonly groupState: (groupCycle: string) => GroupState;
}

/** One at a time, first come first served. */
class Mutex {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    // Who waits next does not care how this one ended.
    this.#tail = done.catch(() => {});
    return done;
  }
}

export class Ledger {
  readonly options: JournalOptions;
  state: State;
  /** The cycle that is being written. */
  writer: CycleFiles | undefined;
  readonly #history = new Mutex();
  readonly #newest = new Mutex();
  /** Something failed half way: the files say how far it got. */
  #stale = false;

  constructor(options: JournalOptions, state: State) {
    this.options = options;
    this.state = state;
  }

  /** For what moves or reads the replica's history: apply, materialise, prune, verify. */
  withHistory<T>(work: () => Promise<T>): Promise<T> {
    return this.#exclusive(this.#history, work);
  }

  /** For what adds to the newest points. */
  withNewest<T>(work: () => Promise<T>): Promise<T> {
    return this.#exclusive(this.#newest, work);
  }

  withAll<T>(work: () => Promise<T>): Promise<T> {
    return this.#exclusive(this.#newest, () => this.#history.run(work));
  }

  /** For the end of everything, which must not depend on what the files say. */
  withAllAsIs<T>(work: () => Promise<T>): Promise<T> {
    return this.#newest.run(() => this.#history.run(work));
  }

  /** Sealed cycles; those that a roll-back is taking away do not count. */
  get slots(): readonly Slot[] {
    const { slots, rollBack } = this.state;
    return rollBack ? slots.filter((slot) => slot.seq <= rollBack.to) : slots;
  }

  /** Visible points, oldest first. */
  get points(): readonly Point[] {
    return this.slots.flatMap((slot) => (slot.seal && this.isVisible(slot) ? [toPoint(slot, slot.seal)] : []));
  }

  isVisible(slot: Slot): boolean {
    const group = slot.seal?.groupCycle;
    return slot.applied || group === undefined || this.options.groupState(group) !== 'undecided';
  }

  findCycle(cycle: string): Point | undefined {
    const slot = this.slots.find((candidate) => candidate.seal?.cycle === cycle);
    return slot?.seal && toPoint(slot, slot.seal);
  }

  hasDisk(key: string): boolean {
    return this.slots.some((slot) => slot.seal?.disks.some((disk) => disk.key === key && !disk.excluded));
  }

  get(point: string): Point {
    const found = this.points.find((candidate) => candidate.point === point);
    if (found) return found;
    throw new DrError('NOT_FOUND', `no recovery point ${point} in the journal of ${this.options.item}`, {
      context: { point, item: this.options.item, kind: 'point' },
    });
  }

  /** The point, and the cycles whose undo leads back to it: those after it that the replica holds, wholly or in part. */
  wayBack(point: string): { readonly seal: Seal; readonly undo: readonly Slot[] } {
    const found = this.get(point);
    if (found.state !== 'applied')
      throw new DrError('STATE_CONFLICT', `recovery point ${point} is not applied yet`, {
        context: { point, state: found.state },
        hint: 'apply the sealed points up to it first',
      });
    const undo = this.state.slots.filter((slot) => slot.seq > found.seq && (slot.applied || slot.undone !== 'none'));
    return { seal: found, undo };
  }

  assertNoRollBack(): void {
    const { rollBack } = this.state;
    if (!rollBack) return;
    throw new DrError('STATE_CONFLICT', `the roll-back of ${this.options.item} to ${rollBack.point} was interrupted`, {
      context: { item: this.options.item, point: rollBack.point },
      hint: 'run the roll-back to the same point again',
    });
  }

  /** T3, J1. */
  assertCanBuild(request: CycleRequest): void {
    const last = this.slots.at(-1);
    const newest = last && sealOf(last, this.options.directory).point;
    const context = { item: this.options.item, cycle: request.cycle, expected: newest ?? 'none', actual: request.base ?? 'none' };
    if (last && !this.isVisible(last))
      throw new DrError('STATE_CONFLICT', `the group of point ${newest} of ${this.options.item} is not decided yet`, { context });
    if (request.base !== newest)
      throw new DrError('STATE_CONFLICT', `cycle ${request.cycle} builds on ${context.actual}, the newest point is ${context.expected}`, {
        context,
      });
    for (const disk of request.disks)
      if (disk.direct && this.hasDisk(disk.key))
        throw new DrError('STATE_CONFLICT', `disk ${disk.key} is in a recovery point: only the journal writes to its replica`, {
          context: { ...context, disk: disk.key },
        });
  }

  async #exclusive<T>(lock: Mutex, work: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.#refresh();
      const outcome = await lock.run(async () => (this.#stale ? undefined : { value: await this.#watched(work) }));
      if (outcome) return outcome.value;
    }
  }

  async #watched<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      // A refusal changes nothing; to read the files again would wait for an apply that runs.
      this.#stale ||= !isDrError(error, 'STATE_CONFLICT');
      throw error;
    }
  }

  /** After a failure in the middle of something the files say what is, and half-done things are ended or undone as at a start. */
  async #refresh(): Promise<void> {
    if (!this.#stale) return;
    await this.#newest.run(() =>
      this.#history.run(async () => {
        if (!this.#stale) return;
        const { files, directory, item } = this.options;
        this.state = await scan(files, directory, item, this.writer?.seq);
        this.#stale = false;
      }),
    );
  }
}

export const toPoint = (slot: Slot, seal: Seal): Point => ({
  ...seal,
  state: slot.applied ? 'applied' : slot.undone === 'none' ? 'sealed' : 'applying',
});
