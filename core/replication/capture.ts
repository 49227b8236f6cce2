// One machine's part of a cycle: reads what changed (or compares) and writes it into the journal, or straight to the replica for a first copy.
import {
  type Baseline,
  type DiskId,
  DrError,
  type Extent,
  isDrError,
  type MachineSpec,
  type Pass,
  type Snapshot,
  type SnapshotSource,
} from '../contract/index.ts';
import * as extents from '../domain/extents.ts';
import type { DiskKey, Item } from '../domain/item.ts';
import type { DiskIo } from '../journal/disk-io.ts';
import type { CycleWriter, Journal } from '../journal/journal.ts';
import { bindDigests, compareByDigests } from './compare.ts';
import { type Core, callFor } from './core.ts';
import { buffers, isZero, type OpenSource, pump, type Sink } from './pump.ts';

/** What is done with one disk in one pass. */
export type Mode =
  /** The changed ranges go to the redo. */
  | { readonly is: 'delta' }
  /** Straight to the replica, before the disk's first point; `compare` when the replica may hold content already (seed, restarted copy). */
  | { readonly is: 'first'; readonly compare: boolean }
  /** A later pass of a first copy: the ranges that were written meanwhile, straight to the replica. */
  | { readonly is: 'direct' }
  /** Both sides are read and what differs goes to the redo. `within`: together with the tracker's changes these ranges are proven to hold every difference. */
  | { readonly is: 'compare'; readonly within?: readonly Extent[] }
  /** A comparison that reports what differs although the tracker did not name it (promise 6). */
  | { readonly is: 'verify' };

/** A disk that stands still, however its hypervisor does that. */
export interface FrozenDisk {
  readonly key: DiskKey;
  readonly sizeBytes: number;
  readonly baseline?: Baseline;
  changed(from: number): AsyncIterable<Extent>;
  /** What is left out reads as zero. */
  allocated(from: number): AsyncIterable<Extent>;
  open(): Promise<OpenSource>;
}

/** Where the next delta starts from: of each disk whose changes can be told. */
export const baselinesOf = (disks: readonly FrozenDisk[]): Record<DiskKey, Baseline> =>
  Object.fromEntries(disks.flatMap((disk) => (disk.baseline === undefined ? [] : [[disk.key, disk.baseline]])));

export interface CaptureContext {
  readonly core: Core;
  readonly item: Item;
  readonly journal: Journal;
  readonly writer: CycleWriter;
  /** Replica disks by key: needed for first copies and comparisons. */
  replica(key: DiskKey): Promise<DiskIo>;
  readonly signal: AbortSignal;
  onBytes(readBytes: number): void;
  /** Bytes that were compared without being read here. */
  onCompared(bytes: number): void;
  /** A disk whose changes can no longer be told: it is compared instead. */
  onTrackingLost(key: DiskKey, error: DrError): Promise<void>;
  /** A range that differs and should not. */
  onMismatch(length: number): void;
}

const CHECKPOINT_BYTES = 64 * 1024 * 1024;

const collect = async (ranges: AsyncIterable<Extent>): Promise<Extent[]> => {
  const list: Extent[] = [];
  for await (const range of ranges) list.push(range);
  return list;
};

/** Moves one disk. Returns the bytes read from the source. */
export const captureDisk = async (context: CaptureContext, disk: FrozenDisk, mode: Mode): Promise<number> => {
  if (mode.is === 'direct') return captureDirect(context, disk);
  if (mode.is === 'first' || (mode.is === 'compare' && !mode.within)) return captureWhole(context, disk, mode);
  try {
    if (mode.is === 'compare' && mode.within) {
      const named = extents.union(mode.within, extents.normalise(await collect(disk.changed(0))));
      return await captureWhole(context, disk, { is: 'compare', within: named });
    }
    if (mode.is === 'verify')
      return await captureWhole(context, disk, { is: 'compare' }, extents.normalise(await collect(disk.changed(0))));
    return await moveRanges(context, disk, (from) => disk.changed(from), redoSink(context.writer, disk.key));
  } catch (error) {
    if (!isDrError(error, 'TRACKING_LOST', 'DISK_CHANGED')) throw error;
    await context.onTrackingLost(disk.key, error);
    // What the lost tracker had already given is this very snapshot's content: it may stay in the redo.
    return captureWhole(context, disk, { is: 'compare' });
  }
};

const captureDirect = async (context: CaptureContext, disk: FrozenDisk): Promise<number> => {
  const replica = await context.replica(disk.key);
  const ranges = extents.normalise(await collect(disk.changed(0)));
  await context.journal.markAllocated(disk.key, ranges);
  const readBytes = await moveRanges(context, disk, (from) => after(ranges, from), directSink(context, disk.key, replica));
  await context.writer.checkpoint(disk.key, () => replica.flush());
  return readBytes;
};

/** `named`: what may differ; with it everything else that differs is reported. */
const captureWhole = async (
  context: CaptureContext,
  disk: FrozenDisk,
  mode: Extract<Mode, { is: 'first' | 'compare' }>,
  named?: readonly Extent[],
): Promise<number> => {
  const { journal, writer } = context;
  const replica = await context.replica(disk.key);
  const replicaHas = journal.allocated(disk.key);
  const within = mode.is === 'compare' ? mode.within : undefined;
  const limit = (ranges: readonly Extent[]) => (within ? extents.intersect(ranges, within) : ranges);
  const comparing = mode.is === 'compare' || mode.compare;
  const { signal, onCompared } = context;
  const compared = comparing && !within && (await compareByDigests({ open: () => disk.open(), replica, replicaHas, signal, onCompared }));
  const sourceHas = compared ? compared.sourceHas : limit(extents.normalise(await collect(disk.allocated(0))));
  const mayDiffer = (ranges: readonly Extent[]) => (compared ? extents.intersect(ranges, compared.differs) : ranges);
  const onlyReplica = limit(extents.subtract(replicaHas, sourceHas));

  const direct = mode.is === 'first';
  if (direct) await journal.markAllocated(disk.key, sourceHas);
  const raw = direct ? directSink(context, disk.key, replica) : redoSink(writer, disk.key);
  const sink = skipEqual(raw, replica, replicaHas, comparing);
  const done = direct ? (writer.resumeFrom.get(disk.key) ?? []) : [];
  const wanted = done.length > 0 ? extents.subtract(sourceHas, done) : sourceHas;

  let readBytes = 0;
  const move = async (ranges: readonly Extent[], zeroes: readonly Extent[], into: Sink) => {
    readBytes += await moveRanges(context, disk, (from) => after(ranges, from), into);
    for (const range of extents.split(zeroes, replica.maxRequestBytes)) {
      context.signal.throwIfAborted();
      await into.zero(range.offset, range.length);
    }
  };
  if (named) {
    await move(extents.intersect(wanted, named), extents.intersect(onlyReplica, named), sink);
    const reporting = skipEqual(reportTo(context, raw), replica, replicaHas, true);
    await move(mayDiffer(extents.subtract(wanted, named)), mayDiffer(extents.subtract(onlyReplica, named)), reporting);
  } else {
    await move(mayDiffer(wanted), mayDiffer(onlyReplica), sink);
  }
  if (direct) await writer.checkpoint(disk.key, () => replica.flush());
  return readBytes;
};

/** What comes through was not named by the tracker and yet differs. */
const reportTo = (context: CaptureContext, sink: Sink): Sink => ({
  data: (offset, data) => {
    context.onMismatch(data.length);
    return sink.data(offset, data);
  },
  zero: (offset, length) => {
    context.onMismatch(length);
    return sink.zero(offset, length);
  },
});

const after = (ranges: readonly Extent[], from: number): Extent[] => extents.clip(ranges, from, Number.MAX_SAFE_INTEGER);

const moveRanges = async (
  context: CaptureContext,
  disk: FrozenDisk,
  ranges: (from: number) => AsyncIterable<Extent> | Iterable<Extent>,
  sink: Sink,
): Promise<number> => {
  let seen = 0;
  const report = await pump({
    extents: ranges,
    open: () => disk.open(),
    sink,
    signal: context.signal,
    onProgress: (readBytes) => {
      context.onBytes(readBytes - seen);
      seen = readBytes;
    },
  });
  return report.readBytes;
};

const redoSink = (writer: CycleWriter, key: DiskKey): Sink => ({
  data: (offset, data) => writer.data(key, offset, data),
  zero: (offset, length) => writer.zero(key, offset, length),
});

/** J1: only a first copy writes here. What it wrote becomes a record that a resumed copy may rely on after the replica's own flush. */
const directSink = (context: CaptureContext, key: DiskKey, replica: DiskIo): Sink => {
  let sinceCheckpoint = 0;
  const step = replica.maxRequestBytes;
  const note = async (bytes: number) => {
    sinceCheckpoint += bytes;
    if (sinceCheckpoint < CHECKPOINT_BYTES) return;
    sinceCheckpoint = 0;
    await context.writer.checkpoint(key, () => replica.flush());
  };
  return {
    data: async (offset, data) => {
      for (let at = 0; at < data.length; at += step) await replica.write(offset + at, data.subarray(at, at + step));
      await context.writer.direct(key, offset, data);
      await note(data.length);
    },
    zero: async (offset, length) => {
      for (let at = 0; at < length; at += step) await replica.writeZeroes(offset + at, Math.min(step, length - at));
      await context.writer.direct(key, offset, length);
      await note(length);
    },
  };
};

/** Lets through what the replica does not hold already. What the replica never had allocated is known to be zero and is not read. */
const skipEqual = (sink: Sink, replica: DiskIo, replicaHas: readonly Extent[], comparing: boolean): Sink => {
  const mayHold = extents.overlaps(replicaHas);
  const differs = async (offset: number, length: number, data: Uint8Array | undefined): Promise<boolean> => {
    const step = Math.min(replica.maxRequestBytes, length);
    for (let at = 0; at < length; at += step) {
      const size = Math.min(step, length - at);
      const buffer = buffers.take();
      const there = buffer.subarray(0, size);
      await replica.read(offset + at, there);
      const same = data ? there.equals(data.subarray(at, at + size)) : isZero(there);
      buffers.give(buffer);
      if (!same) return true;
    }
    return false;
  };
  return {
    data: async (offset, data) => {
      if (comparing && mayHold(offset, data.length) && !(await differs(offset, data.length, data))) return;
      await sink.data(offset, data);
    },
    zero: async (offset, length) => {
      if (!mayHold(offset, length)) return;
      if (comparing && !(await differs(offset, length, undefined))) return;
      await sink.zero(offset, length);
    },
  };
};

// ---- the two kinds of sources ------------------------------------------------------------------------------------------

export const frozenBySnapshot = (
  context: Pick<CaptureContext, 'core' | 'signal'>,
  source: SnapshotSource,
  snapshot: Snapshot,
  item: Item,
): FrozenDisk[] => {
  const call = () => callFor(context.core, `${snapshot.operationId}/read`, context.signal);
  return snapshot.disks
    .filter((disk) => disk.machine === item.source.machine)
    .map((disk) => ({
      key: keyOf(item, disk.disk),
      sizeBytes: disk.sizeBytes,
      ...(disk.baseline === undefined ? {} : { baseline: disk.baseline }),
      changed: (from) => source.changedExtents(snapshot.id, disk.disk, from, call()),
      allocated: (from) => source.allocatedExtents(snapshot.id, disk.disk, from, call()),
      open: async () => bindReader(await source.openReader(snapshot.id, disk.disk, call()), call),
    }));
};

export const frozenByPass = (
  context: Pick<CaptureContext, 'core' | 'signal'>,
  pass: Pass,
  item: Item,
  operationId: string,
): FrozenDisk[] => {
  const call = () => callFor(context.core, `${operationId}/read`, context.signal);
  return pass.disks.map((disk) => ({
    key: keyOf(item, disk.disk),
    sizeBytes: disk.reader.sizeBytes,
    ...(disk.baseline === undefined ? {} : { baseline: disk.baseline }),
    changed: (from) => disk.extents(from),
    allocated: (from) => disk.extents(from),
    // The pass owns its reader: it ends with the pass.
    open: async () => ({ ...bindReader(disk.reader, call), [Symbol.asyncDispose]: async () => {} }),
  }));
};

const keyOf = (item: Item, disk: DiskId): DiskKey => {
  const known = item.disks.find((candidate) => candidate.sourceDisk === disk);
  if (!known)
    throw new DrError('DISK_CHANGED', `${item.name} has a disk ${disk} that is not replicated yet`, { context: { item: item.id, disk } });
  return known.key;
};

type Reader = Awaited<ReturnType<SnapshotSource['openReader']>>;

const bindReader = (reader: Reader, call: () => ReturnType<typeof callFor>): OpenSource => ({
  sizeBytes: reader.sizeBytes,
  alignmentBytes: reader.alignmentBytes,
  maxRequestBytes: reader.maxRequestBytes,
  maxInFlight: reader.maxInFlight,
  read: (offset, into) => reader.read(offset, into, call()),
  ...bindDigests(reader, call),
  [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
});

/** The definition of the machine with its disks under their keys: what a point keeps. */
export const pointDisks = (item: Item, spec: MachineSpec): { key: DiskKey; sizeBytes: number }[] =>
  spec.disks.map((disk) => ({ key: keyOf(item, disk.id), sizeBytes: disk.sizeBytes }));
