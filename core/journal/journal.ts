// The journal of one protected item: its recovery points, and the one way to change its replica. Guarantees and files: docs/design/journal.md.
import { dirname, join } from 'node:path';
import { DrError, type Extent } from '../contract/index.ts';
import { union } from '../domain/extents.ts';
import { Allocation } from './allocation.ts';
import { CycleFiles, type CycleRequest, type CycleWriter } from './cycle-writer.ts';
import { canonicalJson, corrupt, FORMAT_VERSION, type Part, partName, readIndex, writeDocument } from './format.ts';
import { type JournalOptions, Ledger, toPoint } from './ledger.ts';
import { pruneSlots } from './prune.ts';
import { applyCycle, type Disks, type Replay, readUndos, restore, sealOf, verifyPieces } from './replay.ts';
import { finishRollBack, ROLL_BACK, type RollBack, type Slot, type State, scan } from './scan.ts';
import type { Point, Seal, SealedDisk, SealRecord } from './seal.ts';
import { readUndo } from './undo.ts';
import { type Verification, verifySlots } from './verify.ts';

export type { CycleDisk, CycleRequest, CycleWriter } from './cycle-writer.ts';
export type { GroupState, JournalOptions } from './ledger.ts';
export type { Disks } from './replay.ts';
export type { CycleKind, Point, SealedDisk, SealRecord } from './seal.ts';
export type { Verification } from './verify.ts';

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

export class Journal {
  readonly #options: JournalOptions;
  readonly #ledger: Ledger;
  readonly #allocation: Allocation;
  readonly #replay: Replay;

  constructor(options: JournalOptions, state: State, allocation: Allocation) {
    this.#options = options;
    this.#ledger = new Ledger(options, state);
    this.#allocation = allocation;
    this.#replay = { files: options.files, directory: options.directory, allocation };
    this.#noteSizes(state.slots.flatMap((slot) => slot.seal?.disks ?? []));
  }

  /** Visible points, oldest first. */
  get points(): readonly Point[] {
    return this.#ledger.points;
  }

  /** Where the replica stands, or stood before the apply that is under way. */
  head(): Point | undefined {
    const slot = this.#ledger.slots.findLast((candidate) => candidate.applied);
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
    return this.#ledger.findCycle(cycle);
  }

  /** Some sealed point has this disk: only the journal writes to its replica any more (J1). */
  hasDisk(key: string): boolean {
    return this.#ledger.hasDisk(key);
  }

  /** The point whose roll-back was interrupted: nothing but the same roll-back goes on from here. */
  get rollingBackTo(): string | undefined {
    return this.#ledger.state.rollBack?.point;
  }

  // ---- cycles ------------------------------------------------------------------------------------------------------------

  /**
   * Refuses with STATE_CONFLICT when `base` is not the newest sealed point (T3). A writer that was left open ends here: its cycle goes on from its
   * checkpoints when it is the same one and reads what it has read before, else it is dropped (J4).
   */
  begin(request: CycleRequest): Promise<CycleWriter> {
    return this.#ledger.withNewest(async () => {
      const sealed = this.findCycle(request.cycle);
      if (sealed) return this.#writerFor(undefined, request, sealed);
      this.#ledger.assertNoRollBack();
      this.#ledger.assertCanBuild(request);
      await this.#ledger.writer?.close();
      this.#ledger.writer = undefined;
      const { files, directory } = this.#options;
      const { open, nextSeq: seq } = this.#ledger.state;
      const resume = open !== undefined && request.frozen !== undefined && canonicalJson(open.request) === canonicalJson(request);
      if (!resume) {
        await this.#dropUnsealed();
        if (request.disks.some((disk) => disk.direct)) {
          await writeDocument(files, directory, partName(seq, 'open'), request);
          this.#ledger.state.open = { seq, request };
        }
      }
      this.#noteSizes(request.disks);
      this.#ledger.writer = await CycleFiles.open(files, directory, seq, request, resume);
      return this.#writerFor(this.#ledger.writer, request, undefined);
    });
  }

  #writerFor(cycle: CycleFiles | undefined, request: CycleRequest, sealed: Point | undefined): CycleWriter {
    const open = (): CycleFiles => {
      if (cycle) return cycle;
      throw new DrError('STATE_CONFLICT', `cycle ${request.cycle} is sealed`, { context: { cycle: request.cycle } });
    };
    const end = (keepDirect: boolean) =>
      this.#ledger.withNewest(async () => {
        if (!cycle || this.#ledger.writer !== cycle) return;
        this.#ledger.writer = undefined;
        await cycle.close();
        if (!keepDirect || !this.#ledger.state.open) await this.#dropUnsealed();
      });
    return {
      sealed,
      resumeFrom: cycle?.resumeFrom ?? new Map(),
      data: async (disk, offset, bytes) => open().data(disk, offset, bytes),
      zero: async (disk, offset, length) => open().zero(disk, offset, length),
      direct: async (disk, offset, content) => {
        // Undo does not read what the map calls zero: a write that it does not know would be lost to every later point.
        if (typeof content !== 'number' && !this.#allocation.covers(disk, offset, content.length))
          throw new DrError('STATE_CONFLICT', `disk ${disk} was written where it was not marked as allocated`, {
            context: { disk, offset },
          });
        await open().direct(disk, offset, content);
      },
      checkpoint: async (disk, flush) => open().checkpoint(disk, flush),
      seal: (record) => this.#seal(cycle, request, record),
      discard: () => end(false),
      [Symbol.asyncDispose]: () => end(true),
    };
  }

  #seal(cycle: CycleFiles | undefined, request: CycleRequest, record: SealRecord): Promise<Point> {
    return this.#ledger.withNewest(async () => {
      const before = this.findCycle(request.cycle);
      if (before) return before;
      this.#ledger.assertNoRollBack();
      this.#ledger.assertCanBuild(request);
      if (!cycle || this.#ledger.writer !== cycle)
        throw new DrError('STATE_CONFLICT', `cycle ${request.cycle} is closed`, { context: { cycle: request.cycle } });
      const seal = await this.#composeSeal(cycle, request, record);
      // From here the files alone say whether it is sealed: nobody may take them away.
      this.#ledger.writer = undefined;
      try {
        await writeDocument(this.#options.files, this.#options.directory, partName(seal.seq, 'seal'), seal);
      } finally {
        await cycle.close();
      }
      const slot: Slot = { seq: seal.seq, seal, undone: 'none', applied: false };
      this.#ledger.state.slots.push(slot);
      this.#ledger.state.nextSeq = seal.seq + 1;
      if (this.#ledger.state.open) await this.#remove(seal.seq, 'open');
      this.#ledger.state.open = undefined;
      this.#noteSizes(seal.disks);
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
    const last = this.#ledger.slots.at(-1)?.seal;
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
    return this.#ledger.get(sealed.point);
  }

  // ---- the replica and its history -----------------------------------------------------------------------------------------

  /** Brings the replica forward, one sealed point after the other; what a crash or a failure interrupted is done again. */
  apply(disks: Disks, options: { readonly upTo?: string } = {}): Promise<{ readonly applied: number; readonly bytesWritten: number }> {
    return this.#ledger.withHistory(async () => {
      this.#ledger.assertNoRollBack();
      const last = options.upTo === undefined ? Number.POSITIVE_INFINITY : this.#ledger.get(options.upTo).seq;
      let applied = 0;
      let bytesWritten = 0;
      let previous: number | null = null;
      // Cycles that are sealed meanwhile are taken along.
      for (const slot of this.#ledger.state.slots) {
        if (slot.seq > last || !this.#ledger.isVisible(slot)) break;
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
    return this.#ledger.withHistory(async () => {
      this.#ledger.assertNoRollBack();
      const { seal, undo } = this.#ledger.wayBack(point);
      const pieces = await readUndos(this.#replay, undo, seal);
      return restore(this.#replay, pieces, into, true);
    });
  }

  /**
   * In place: the replica stands at the point and what came after it is gone, but for its extents. Once begun, and after a crash, only the same
   * roll-back again makes the journal usable.
   */
  rollBack(point: string, disks: Disks): Promise<void> {
    return this.#ledger.withAll(async () => {
      const { files, directory } = this.#options;
      if (this.rollingBackTo !== undefined && this.rollingBackTo !== point) this.#ledger.assertNoRollBack();
      const { seal, undo } = this.#ledger.wayBack(point);
      const pieces = await readUndos(this.#replay, undo, seal);
      await verifyPieces(files, pieces);
      await this.#ledger.writer?.close();
      this.#ledger.writer = undefined;
      const intent: RollBack = { format: FORMAT_VERSION, to: seal.seq, point, phase: 'restoring' };
      await writeDocument(files, directory, ROLL_BACK, intent);
      this.#ledger.state.rollBack = intent;
      await restore(this.#replay, pieces, disks, false);
      await writeDocument(files, directory, ROLL_BACK, { ...intent, phase: 'restored' });
      await finishRollBack(files, directory, intent);
      this.#ledger.state = await scan(files, directory, this.#options.item, undefined);
    });
  }

  /** Removes applied points; the head and what is not applied stay. Returns those that are gone. */
  prune(remove: readonly string[]): Promise<string[]> {
    return this.#ledger.withHistory(async () => {
      this.#ledger.assertNoRollBack();
      return pruneSlots(this.#replay, this.#ledger.state, new Set(remove));
    });
  }

  /**
   * By disk key, at least everything that sealed cycles after the point changed, applied or not, rolled back or not. A disk that the point does
   * not have may be missing. Throws JOURNAL_CORRUPT when it cannot be told: then only a comparison helps.
   */
  extentsAfter(point: string): Promise<Map<string, Extent[]>> {
    return this.#ledger.withHistory(async () => {
      const { files, directory } = this.#options;
      const { seq } = this.#ledger.get(point);
      const result = new Map<string, Extent[]>();
      const add = (key: string, ranges: readonly Extent[]) => result.set(key, union(result.get(key) ?? [], ranges));
      for (const slot of [...this.#ledger.state.slots, ...this.#ledger.state.rolled]) {
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
    return this.#ledger.withHistory(async () => {
      for (const { seq } of this.#ledger.state.rolled)
        for (const part of ['idx', 'undo.idx', 'undone', 'rolled'] as const) await this.#remove(seq, part);
      this.#ledger.state.rolled.length = 0;
    });
  }

  /** Reads what the point needs to be reached and proves it, or everything. */
  verify(point?: string): Promise<Verification> {
    return this.#ledger.withHistory(async () => {
      const target = point === undefined ? undefined : this.#ledger.get(point).seq;
      return verifySlots(
        this.#options,
        { ...this.#ledger.state, slots: this.#ledger.slots.filter((slot) => this.#ledger.isVisible(slot)) },
        target,
      );
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
    return this.#ledger.withAllAsIs(async () => {
      await this.#ledger.writer?.close();
      await this.#options.files.remove(this.#options.directory);
      await this.#options.files.syncDirectory(dirname(this.#options.directory));
    });
  }

  async #dropUnsealed(): Promise<void> {
    const { state } = this.#ledger;
    state.open = undefined;
    for (const part of ['open', 'redo', 'idx'] as const) await this.#remove(state.nextSeq, part);
  }

  #remove(seq: number, part: Part): Promise<void> {
    return this.#options.files.remove(join(this.#options.directory, partName(seq, part)));
  }

  #noteSizes(disks: Iterable<SealedDisk>): void {
    for (const disk of disks) this.#allocation.setSize(disk.key, disk.sizeBytes);
  }
}
