// The journal of one protected item: its recovery points, and the one way to change its replica. Guarantees and files: docs/design/journal.md.
import { dirname, join } from 'node:path';
import { DrError, type Extent } from '../contract/index.ts';
import { union } from '../domain/extents.ts';
import type { Files } from '../ports/files.ts';
import { Allocation } from './allocation.ts';
import { CycleFiles, type CycleRequest, type CycleWriter } from './cycle-writer.ts';
import { canonicalJson, corrupt, FORMAT_VERSION, type Part, partName, readIndex, writeDocument } from './format.ts';
import { pruneSlots } from './prune.ts';
import { applyCycle, type Disks, type Replay, readUndos, restore, sealOf, verifyPieces } from './replay.ts';
import { finishRollBack, ROLL_BACK, type RollBack, type Slot, type State, scan } from './scan.ts';
import type { Point, Seal, SealRecord } from './seal.ts';
import { readUndo } from './undo.ts';
import { type Verification, verifySlots } from './verify.ts';

export type { CycleDisk, CycleRequest, CycleWriter } from './cycle-writer.ts';
export type { Disks } from './replay.ts';
export type { CycleKind, Point, SealedDisk, SealRecord } from './seal.ts';
export type { Verification } from './verify.ts';

export type GroupState = 'complete' | 'abandoned' | 'undecided';

export interface JournalOptions {
  readonly files: Files;
  readonly directory: string;
  readonly item: string;
  /** P1: a part of a group's cycle is a point only once this is not `undecided`. */
  readonly groupState: (groupCycle: string) => GroupState;
}

/** What the first record of a reverse journal needs: the old disks as found. */
export type DivergentRecord = Pick<CycleRequest, 'cycle' | 'point' | 'disks'> &
  Pick<SealRecord, 'takenAt' | 'sealedAt' | 'spec' | 'epoch'> &
  Partial<SealRecord>;

export const openJournal = async (options: JournalOptions): Promise<Journal> => {
  const { files, directory, item } = options;
  await files.makeDirectory(directory);
  await files.syncDirectory(dirname(dirname(directory)));
  await files.syncDirectory(dirname(directory));
  const state = await scan(files, directory, item, undefined);
  const allocation = new Allocation(files, directory);
  await allocation.load(state.names);
  return new Journal(options, state, allocation);
};

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

export class Journal {
  readonly #options: JournalOptions;
  readonly #allocation: Allocation;
  readonly #replay: Replay;
  /** Held by what moves or reads the replica's history: apply, materialise, roll-back, prune, verify. */
  readonly #history = new Mutex();
  /** Held by what adds or takes away the newest points; taken before #history where both are needed. */
  readonly #newest = new Mutex();
  #state: State;
  /** Something failed half way: the files say how far it got. */
  #stale = false;
  #writer: CycleFiles | undefined;

  constructor(options: JournalOptions, state: State, allocation: Allocation) {
    this.#options = options;
    this.#state = state;
    this.#allocation = allocation;
    this.#replay = { files: options.files, directory: options.directory, allocation };
    this.#noteSizes();
  }

  /** Visible points, oldest first. */
  get points(): readonly Point[] {
    return this.#slots().flatMap((slot) => (slot.seal && this.#isVisible(slot) ? [toPoint(slot, slot.seal)] : []));
  }

  /** Where the replica stands, or stood before the apply that is under way. */
  head(): Point | undefined {
    const slot = this.#slots().findLast((candidate) => candidate.applied);
    return slot?.seal && toPoint(slot, slot.seal);
  }

  newest(): Point | undefined {
    return this.points.at(-1);
  }

  /** Sealed and not applied, in order. */
  pending(): readonly Point[] {
    return this.points.filter((point) => point.state !== 'applied');
  }

  /** The point that a cycle was sealed as, also while its group is undecided. */
  findCycle(cycle: string): Point | undefined {
    const slot = this.#slots().find((candidate) => candidate.seal?.cycle === cycle);
    return slot?.seal && toPoint(slot, slot.seal);
  }

  /** Some sealed point has this disk: only the journal writes to its replica any more (J1). */
  hasDisk(key: string): boolean {
    return this.#slots().some((slot) => slot.seal?.disks.some((disk) => disk.key === key && !disk.excluded));
  }

  /** The point whose roll-back was interrupted: nothing but the same roll-back goes on from here. */
  get rollingBackTo(): string | undefined {
    return this.#state.rollBack?.point;
  }

  // ---- cycles ------------------------------------------------------------------------------------------------------------

  /**
   * Refuses with STATE_CONFLICT when `base` is not the newest sealed point (T3). A writer that was left open ends here: its cycle goes on from its
   * checkpoints when it is the same one, else it is dropped (J4).
   */
  begin(request: CycleRequest): Promise<CycleWriter> {
    return this.#exclusive(this.#newest, async () => {
      const sealed = this.findCycle(request.cycle);
      if (sealed) return this.#writerFor(undefined, request, sealed);
      this.#assertNoRollBack();
      this.#assertBase(request);
      await this.#writer?.close();
      this.#writer = undefined;
      const { files, directory } = this.#options;
      const { open, nextSeq: seq } = this.#state;
      const resume = open !== undefined && canonicalJson(open.request) === canonicalJson(request);
      if (!resume) {
        await this.#dropUnsealed();
        if (request.disks.some((disk) => disk.direct)) {
          await writeDocument(files, directory, partName(seq, 'open'), request);
          this.#state.open = { seq, request };
        }
      }
      for (const disk of request.disks) this.#allocation.setSize(disk.key, disk.sizeBytes);
      this.#writer = await CycleFiles.open(files, directory, seq, request, resume);
      return this.#writerFor(this.#writer, request, undefined);
    });
  }

  #writerFor(cycle: CycleFiles | undefined, request: CycleRequest, sealed: Point | undefined): CycleWriter {
    const open = (): CycleFiles => {
      if (cycle) return cycle;
      throw new DrError('STATE_CONFLICT', `cycle ${request.cycle} is sealed`, { context: { cycle: request.cycle } });
    };
    const end = (keepDirect: boolean) =>
      this.#exclusive(this.#newest, async () => {
        if (!cycle || this.#writer !== cycle) return;
        this.#writer = undefined;
        await cycle.close();
        if (!keepDirect || !this.#state.open) await this.#dropUnsealed();
      });
    return {
      sealed,
      resumeFrom: cycle?.resumeFrom ?? new Map(),
      data: async (disk, offset, bytes) => open().data(disk, offset, bytes),
      zero: async (disk, offset, length) => open().zero(disk, offset, length),
      direct: async (disk, offset, content) => open().direct(disk, offset, content),
      checkpoint: async (disk, flush) => open().checkpoint(disk, flush),
      seal: (record) => this.#seal(cycle, request, record),
      discard: () => end(false),
      [Symbol.asyncDispose]: () => end(true),
    };
  }

  #seal(cycle: CycleFiles | undefined, request: CycleRequest, record: SealRecord): Promise<Point> {
    return this.#exclusive(this.#newest, async () => {
      const before = this.findCycle(request.cycle);
      if (before) return before;
      this.#assertNoRollBack();
      this.#assertBase(request);
      if (!cycle || this.#writer !== cycle)
        throw new DrError('STATE_CONFLICT', `cycle ${request.cycle} is closed`, { context: { cycle: request.cycle } });
      const seal = await this.#composeSeal(cycle, request, record);
      // From here the files alone say whether it is sealed: nobody may take them away.
      this.#writer = undefined;
      try {
        await writeDocument(this.#options.files, this.#options.directory, partName(seal.seq, 'seal'), seal);
      } finally {
        await cycle.close();
      }
      const slot: Slot = { seq: seal.seq, seal, undone: 'none', applied: false };
      this.#state.slots.push(slot);
      this.#state.nextSeq = seal.seq + 1;
      if (this.#state.open) await this.#remove(seal.seq, 'open');
      this.#state.open = undefined;
      this.#noteSizes();
      return toPoint(slot, seal);
    });
  }

  async #composeSeal(cycle: CycleFiles, request: CycleRequest, record: SealRecord): Promise<Seal> {
    const disks = (record.disks ?? request.disks).map(({ key, sizeBytes, excluded }) => ({
      key,
      sizeBytes,
      ...(excluded && { excluded }),
    }));
    for (const { key, excluded } of disks) {
      if (excluded || this.hasDisk(key) || request.disks.some((disk) => disk.key === key && !disk.excluded)) continue;
      throw new DrError('CONTRACT_VIOLATED', `disk ${key} of cycle ${request.cycle} was never copied`, { context: { disk: key } });
    }
    const { indexSha256, changes } = await cycle.finish();
    const last = this.#slots().at(-1)?.seal;
    const parent = last ? { point: last.point, digest: last.digest, seq: last.seq } : null;
    return {
      format: FORMAT_VERSION,
      item: this.#options.item,
      seq: cycle.seq,
      cycle: request.cycle,
      point: request.point,
      parent,
      digest: changes.point(parent, record.spec, disks),
      ...record,
      kind: record.kind ?? request.kind,
      ...(request.groupCycle === undefined ? {} : { groupCycle: request.groupCycle }),
      disks,
      indexDisks: request.disks.map((disk) => disk.key),
      indexSha256,
      dataBytes: cycle.bytes.data,
      zeroBytes: cycle.bytes.zero,
      directBytes: cycle.bytes.direct,
    };
  }

  /** The first record of a reverse journal (V3): no data, and the replica stands there. */
  async startDivergent(record: DivergentRecord): Promise<Point> {
    const { cycle, point, disks, ...rest } = record;
    await using writer = await this.begin({ cycle, point, kind: 'divergent', disks });
    const sealed = await writer.seal({ baselines: {}, consistency: 'crash', atomicity: 'instant', timings: {}, ...rest });
    await this.apply(new Map(), { upTo: sealed.point });
    return this.#get(sealed.point);
  }

  // ---- the replica and its history -----------------------------------------------------------------------------------------

  /** Brings the replica forward, one sealed point after the other; what a crash or a failure interrupted is done again. */
  apply(disks: Disks, options: { readonly upTo?: string } = {}): Promise<{ readonly applied: number; readonly bytesWritten: number }> {
    return this.#exclusive(this.#history, async () => {
      this.#assertNoRollBack();
      const last = options.upTo === undefined ? Number.POSITIVE_INFINITY : this.#get(options.upTo).seq;
      let applied = 0;
      let bytesWritten = 0;
      let previous: number | null = null;
      // Cycles that are sealed meanwhile are taken along.
      for (const slot of this.#state.slots) {
        if (slot.seq > last || !this.#isVisible(slot)) break;
        if (!slot.applied) {
          bytesWritten += await applyCycle(this.#replay, slot, previous, disks);
          applied++;
        }
        previous = slot.seq;
      }
      return { applied, bytesWritten };
    });
  }

  /** `into`: disks that read as the replica. Makes them read as the point, flushed, and returns the ranges written by disk. */
  materialise(point: string, into: Disks): Promise<Map<string, Extent[]>> {
    return this.#exclusive(this.#history, async () => {
      this.#assertNoRollBack();
      const slot = this.#reachable(point);
      const pieces = await readUndos(this.#replay, this.#wayBackTo(slot), sealOf(slot, this.#options.directory));
      return restore(this.#replay, pieces, into, true);
    });
  }

  /**
   * In place: the replica stands at the point and what came after it is gone, but for its extents. Once begun, and after a crash, only the same
   * roll-back again makes the journal usable.
   */
  rollBack(point: string, disks: Disks): Promise<void> {
    return this.#exclusive(this.#newest, () =>
      this.#history.run(async () => {
        const { files, directory } = this.#options;
        if (this.rollingBackTo !== undefined && this.rollingBackTo !== point) this.#assertNoRollBack();
        const slot = this.#reachable(point);
        const pieces = await readUndos(this.#replay, this.#wayBackTo(slot), sealOf(slot, directory));
        await verifyPieces(files, pieces);
        await this.#writer?.close();
        this.#writer = undefined;
        const intent: RollBack = { format: FORMAT_VERSION, to: slot.seq, point, phase: 'restoring' };
        await writeDocument(files, directory, ROLL_BACK, intent);
        this.#state.rollBack = intent;
        await restore(this.#replay, pieces, disks, false);
        await writeDocument(files, directory, ROLL_BACK, { ...intent, phase: 'restored' });
        await finishRollBack(files, directory, intent);
        this.#state = await scan(files, directory, this.#options.item, undefined);
      }),
    );
  }

  /** Removes applied points; the head and what is not applied stay. Returns those that are gone. */
  prune(remove: readonly string[]): Promise<string[]> {
    return this.#exclusive(this.#history, async () => {
      this.#assertNoRollBack();
      return pruneSlots(this.#replay, this.#state, new Set(remove));
    });
  }

  /**
   * By disk key, at least everything that sealed cycles after the point changed, applied or not, rolled back or not. A disk that the point does
   * not have may be missing. Throws JOURNAL_CORRUPT when it cannot be told: then only a comparison helps.
   */
  extentsAfter(point: string): Promise<Map<string, Extent[]>> {
    return this.#exclusive(this.#history, async () => {
      const { files, directory } = this.#options;
      const { seq } = this.#get(point);
      const result = new Map<string, Extent[]>();
      const add = (key: string, ranges: readonly Extent[]) => result.set(key, union(result.get(key) ?? [], ranges));
      for (const slot of [...this.#state.slots, ...this.#state.rolled]) {
        if (slot.seq <= seq) continue;
        const seal = sealOf(slot, directory);
        const records = await readIndex(files, join(directory, partName(slot.seq, 'idx')), seal.indexSha256);
        for (const [index, ranges] of Map.groupBy(records, (record) => record.disk)) add(seal.indexDisks[index]!, ranges);
        // A merged undo also names what removed points in between had changed.
        if (slot.undone === 'damaged') throw corrupt(join(directory, partName(slot.seq, 'undone')), 'what it covered cannot be told');
        if (slot.undone !== 'none') for (const [key, ranges] of await readUndo(files, directory, slot.undone)) add(key, ranges);
      }
      return result;
    });
  }

  /** Forgets the extents of what was rolled back: re-protect has used them, or nobody will. */
  release(): Promise<void> {
    return this.#exclusive(this.#history, async () => {
      for (const { seq } of this.#state.rolled)
        for (const part of ['idx', 'undo.idx', 'undone', 'rolled'] as const) await this.#remove(seq, part);
      this.#state.rolled.length = 0;
    });
  }

  /** Reads what the point needs to be reached and proves it, or everything. */
  verify(point?: string): Promise<Verification> {
    return this.#exclusive(this.#history, async () => {
      const target = point === undefined ? undefined : this.#get(point).seq;
      return verifySlots(this.#options, { ...this.#state, slots: this.#slots().filter((slot) => this.#isVisible(slot)) }, target);
    });
  }

  // ---- allocation, size, end -------------------------------------------------------------------------------------------------

  /** Where the replica's disk may be non-zero: everywhere, when nothing is known. */
  allocated(disk: string): Extent[] {
    return this.#allocation.allocated(disk);
  }

  /** To be awaited before a first copy writes there. */
  markAllocated(disk: string, extents: readonly Extent[]): Promise<void> {
    return this.#allocation.mark(disk, extents);
  }

  /** The replica's disk was just created and reads as zero. */
  declareEmpty(disk: string): Promise<void> {
    return this.#allocation.declareEmpty(disk);
  }

  async sizeBytes(): Promise<number> {
    const { files, directory } = this.#options;
    let total = 0;
    for (const name of await files.list(directory)) {
      const file = await files.open(join(directory, name), 'read').catch(() => undefined);
      total += (await file?.sizeBytes()) ?? 0;
      await file?.close();
    }
    return total;
  }

  /** The journal and its points are gone; the object must not be used any more. */
  remove(): Promise<void> {
    return this.#newest.run(() =>
      this.#history.run(async () => {
        await this.#writer?.close();
        await this.#options.files.remove(this.#options.directory);
        await this.#options.files.syncDirectory(dirname(this.#options.directory));
      }),
    );
  }

  // ---- inside ----------------------------------------------------------------------------------------------------------------

  /** Sealed cycles; those that a roll-back is taking away do not count. */
  #slots(): readonly Slot[] {
    const { slots, rollBack } = this.#state;
    return rollBack ? slots.filter((slot) => slot.seq <= rollBack.to) : slots;
  }

  #isVisible(slot: Slot): boolean {
    const group = slot.seal?.groupCycle;
    return slot.applied || group === undefined || this.#options.groupState(group) !== 'undecided';
  }

  #get(point: string): Point {
    const found = this.points.find((candidate) => candidate.point === point);
    if (found) return found;
    throw new DrError('NOT_FOUND', `no recovery point ${point} in the journal of ${this.#options.item}`, {
      context: { point, item: this.#options.item, kind: 'point' },
    });
  }

  #reachable(point: string): Slot {
    const { seq, state } = this.#get(point);
    if (state !== 'applied')
      throw new DrError('STATE_CONFLICT', `recovery point ${point} is not applied yet`, {
        context: { point, state },
        hint: 'apply the sealed points up to it first',
      });
    return this.#state.slots.find((slot) => slot.seq === seq)!;
  }

  /** Cycles whose undo leads back to the point: those after it that the replica holds, wholly or in part. */
  #wayBackTo(target: Slot): Slot[] {
    return this.#state.slots.filter((slot) => slot.seq > target.seq && (slot.applied || slot.undone !== 'none'));
  }

  #assertNoRollBack(): void {
    const point = this.rollingBackTo;
    if (point === undefined) return;
    throw new DrError('STATE_CONFLICT', `the roll-back of ${this.#options.item} to ${point} was interrupted`, {
      context: { item: this.#options.item, point },
      hint: 'run the roll-back to the same point again',
    });
  }

  #assertBase(request: CycleRequest): void {
    const last = this.#slots().at(-1);
    const newest = last && sealOf(last, this.#options.directory).point;
    const context = { item: this.#options.item, cycle: request.cycle, expected: newest ?? 'none', actual: request.base ?? 'none' };
    if (last && !this.#isVisible(last))
      throw new DrError('STATE_CONFLICT', `the group of point ${newest} of ${this.#options.item} is not decided yet`, { context });
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

  async #dropUnsealed(): Promise<void> {
    this.#state.open = undefined;
    for (const part of ['open', 'redo', 'idx'] as const) await this.#remove(this.#state.nextSeq, part);
  }

  #remove(seq: number, part: Part): Promise<void> {
    return this.#options.files.remove(join(this.#options.directory, partName(seq, part)));
  }

  #noteSizes(): void {
    for (const slot of this.#state.slots) for (const disk of slot.seal?.disks ?? []) this.#allocation.setSize(disk.key, disk.sizeBytes);
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
      this.#stale = true;
      throw error;
    }
  }

  /** After a failure in the middle of something: the files say what is, and half-done things are ended or undone as at a start. */
  async #refresh(): Promise<void> {
    if (!this.#stale) return;
    await this.#newest.run(() =>
      this.#history.run(async () => {
        if (!this.#stale) return;
        const { files, directory, item } = this.#options;
        this.#state = await scan(files, directory, item, this.#writer?.seq);
        this.#stale = false;
      }),
    );
  }
}

const toPoint = (slot: Slot, seal: Seal): Point => ({
  ...seal,
  state: slot.applied ? 'applied' : slot.undone === 'none' ? 'sealed' : 'applying',
});
