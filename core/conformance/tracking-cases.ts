import assert from 'node:assert/strict';
import type { Baseline, DiskId, DiskSpec, Extent, MachineId, Snapshot } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import {
  assertExtents,
  assertRefused,
  assertRestarts,
  assertStreamAborts,
  collect,
  covers,
  difference,
  merge,
  pattern,
  readRange,
  showExtent,
} from './probe.ts';
import { assertFindings } from './session-cases.ts';

type Since = ReadonlyMap<DiskId, Baseline>;

const baselinesOf = (snapshot: Snapshot): Since =>
  new Map(snapshot.disks.flatMap(({ disk, baseline }): [DiskId, Baseline][] => (baseline === undefined ? [] : [[disk, baseline]])));

const keepOf = (since: Since): ReadonlyMap<DiskId, readonly Baseline[]> =>
  new Map([...since].map(([disk, baseline]) => [disk, [baseline]]));

const changed = (ctx: Context, snapshot: Snapshot, disk: DiskId, from = 0): Promise<Extent[]> =>
  collect(ctx.snapshots.changedExtents(snapshot.id, disk, from, ctx.call()));

/** A tracked machine with a sealed baseline of every disk: what a first cycle leaves. */
const tracked = async (ctx: Context): Promise<{ id: MachineId; disks: readonly DiskSpec[]; since: Since }> => {
  const { id, spec } = await ctx.machine(0, 'on');
  assertFindings('enableTracking', await ctx.snapshots.enableTracking(id, ctx.call()));
  const first = await ctx.snapshot([id]);
  await ctx.snapshots.releaseSnapshot(first.id, 'sealed', ctx.call());
  const since = baselinesOf(first);
  assert.equal(since.size, spec.disks.length, `tracking is on, and ${since.size} of ${spec.disks.length} disks have a baseline`);
  await ctx.snapshots.keepBaselines(id, keepOf(since), ctx.call());
  return { id, disks: spec.disks, since };
};

/** Awkward places: both ends, across powers of two, single bytes' sectors, long runs. */
const awkward = (sizeBytes: number): Extent[] => {
  const places = [
    { offset: 0, length: 512 },
    { offset: 65_536 - 512, length: 1024 },
    { offset: 3 * 65_536, length: 4096 },
    { offset: Math.floor(sizeBytes / 2048) * 1024 - 4096, length: 8192 },
    { offset: Math.floor((sizeBytes * 3) / 4096) * 1024, length: 131_072 },
    { offset: sizeBytes - 512, length: 512 },
  ];
  return places.filter(({ offset, length }, index) => offset >= 0 && offset + length <= sizeBytes && (index === 0 || offset >= 512));
};

const writeAll = async (ctx: Context, id: MachineId, disk: DiskId, places: readonly Extent[], seed: number): Promise<void> => {
  for (const [index, { offset, length }] of places.entries()) await ctx.lab.write(id, disk, offset, pattern(seed + index, length));
};

const assertReported = (what: string, extents: readonly Extent[], written: readonly Extent[]): void => {
  for (const place of written) {
    assert.ok(
      covers(extents, place),
      `${what}: the write at ${showExtent(place)} is not reported; reported are ${merge(extents).map(showExtent).join(' ') || 'nothing'}`,
    );
  }
};

/** TRACKING_LOST, or a report that misses nothing. */
const assertHonest = async (ctx: Context, what: string, snapshot: Snapshot, disk: DiskId, written: readonly Extent[]): Promise<void> => {
  const answer = await changed(ctx, snapshot, disk).then(
    (extents) => ({ extents }),
    (error: unknown) => ({ error }),
  );
  if ('error' in answer) await assertRefused(what, () => Promise.reject(answer.error), 'TRACKING_LOST');
  else assertReported(what, answer.extents, written);
};

export const trackingCases: readonly Case[] = [
  {
    id: 'CHG-001',
    level: 2,
    title: 'tracking can be enabled twice, and gives baselines',
    promise: 'enableTracking MUST be idempotent and answer with findings; after it every disk of a snapshot MUST have a baseline.',
    cause: 'tracking takes effect at the next power cycle, and the plugin does not say so',
    needs: ['scratch', 'source:snapshot', 'tracking:native'],
    run: async (ctx) => {
      const { id } = await tracked(ctx);

      assertFindings('enableTracking', await ctx.snapshots.enableTracking(id, ctx.call()));
    },
  },
  {
    id: 'CHG-002',
    level: 2,
    title: 'every written range is reported',
    promise: 'changedExtents MUST cover every byte that was written after the baseline and before the snapshot; it MAY report more.',
    cause: 'ranges are rounded inwards, the last page of the answer is lost, or the wrong baseline is used',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      for (const [index, disk] of disks.entries()) await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 10 * index);
      const snapshot = await ctx.snapshot([id], since);

      for (const disk of disks) assertReported(`disk ${disk.id}`, await changed(ctx, snapshot, disk.id), awkward(disk.sizeBytes));
    },
  },
  {
    id: 'CHG-003',
    level: 2,
    title: 'whatever differs between two snapshots is reported',
    promise: 'A range whose content differs between the snapshot of the baseline and the present one MUST be in changedExtents.',
    cause: 'the baseline is taken after the snapshot, so that what was written between them is lost',
    needs: ['scratch', 'source:snapshot', 'tracking:native'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine(0, 'on');
      await ctx.snapshots.enableTracking(id, ctx.call());
      const first = await ctx.snapshot([id]);
      const before = await contents(ctx, first, spec.disks);
      if (ctx.subject.lab) await writeAll(ctx, id, spec.disks[0]!.id, awkward(spec.disks[0]!.sizeBytes), 400);
      await ctx.snapshots.releaseSnapshot(first.id, 'sealed', ctx.call());
      const second = await ctx.snapshot([id], baselinesOf(first));
      const after = await contents(ctx, second, spec.disks);

      for (const { id: disk } of spec.disks) {
        const extents = await changed(ctx, second, disk);
        assertReported(`disk ${disk}`, extents, differing(before.get(disk)!, after.get(disk)!));
      }
    },
  },
  {
    id: 'CHG-004',
    level: 2,
    title: 'changed ranges are ascending and disjoint, and can be asked from any offset on',
    promise: 'changedExtents MUST be ascending, disjoint and within the disk, and asked from a later offset MUST give the same rest.',
    cause: 'the offset is applied to pages, not to bytes, or answers of the endpoint are not put in order',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 30);
      const snapshot = await ctx.snapshot([id], since);

      await assertRestarts('changedExtents', disk.sizeBytes, (from) =>
        ctx.snapshots.changedExtents(snapshot.id, disk.id, from, ctx.call()),
      );
    },
  },
  {
    id: 'CHG-005',
    level: 2,
    title: 'changed ranges end when they are aborted, wherever they are',
    promise:
      'Once its signal aborts, changedExtents MUST reject with the reason of the signal and MUST NOT end normally: a normal end means complete.',
    cause: 'an aborted request is taken for the end of the list',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 40);
      const snapshot = await ctx.snapshot([id], since);

      await assertStreamAborts('changedExtents', (call) => ctx.snapshots.changedExtents(snapshot.id, disk.id, 0, call), ctx.abortable);
    },
  },
  {
    id: 'CHG-006',
    level: 2,
    title: 'an abandoned snapshot keeps the old baseline',
    promise: 'After releaseSnapshot abandoned, changes since the old baseline MUST be reported in full, those before and those after.',
    cause: 'the tracker moves on when the snapshot is taken, and is not merged back',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      const [early, late] = [awkward(disk.sizeBytes).slice(0, 3), awkward(disk.sizeBytes).slice(3)];
      await writeAll(ctx, id, disk.id, early, 50);
      const abandoned = await ctx.snapshot([id], since);
      await ctx.snapshots.releaseSnapshot(abandoned.id, 'abandoned', ctx.call());
      await writeAll(ctx, id, disk.id, late, 60);
      const snapshot = await ctx.snapshot([id], since);

      assertReported('after an abandoned snapshot', await changed(ctx, snapshot, disk.id), [...early, ...late]);
    },
  },
  {
    id: 'CHG-007',
    level: 2,
    title: 'a sealed snapshot gives the next baseline',
    promise:
      'After releaseSnapshot sealed and keepBaselines, changes since the new baseline MUST be reported in full; keepBaselines MUST be idempotent.',
    cause: 'the new baseline is removed together with the snapshot',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      let baselines = since;
      for (let cycle = 0; cycle < 3; cycle += 1) {
        const places = awkward(disk.sizeBytes).slice(cycle, cycle + 2);
        await writeAll(ctx, id, disk.id, places, 70 + 10 * cycle);
        const snapshot = await ctx.snapshot([id], baselines);
        // Written under the snapshot: belongs to the next cycle.
        const under = { offset: 5 * 65_536 + cycle * 4096, length: 512 };
        await writeAll(ctx, id, disk.id, [under], 90);
        assertReported(`cycle ${cycle + 1}`, await changed(ctx, snapshot, disk.id), places);
        baselines = baselinesOf(snapshot);
        await ctx.snapshots.releaseSnapshot(snapshot.id, 'sealed', ctx.call());
        for (const _ of ['once', 'twice']) await ctx.snapshots.keepBaselines(id, keepOf(baselines), ctx.call());
        const next = await ctx.snapshot([id], baselines);
        assertReported(`what was written while cycle ${cycle + 1} read`, await changed(ctx, next, disk.id), [under]);
        await ctx.snapshots.releaseSnapshot(next.id, 'abandoned', ctx.call());
      }
    },
  },
  {
    id: 'CHG-008',
    level: 2,
    title: 'a baseline that the tracker does not know is tracking lost',
    promise:
      'createSnapshot MUST succeed with any baseline, and changedExtents MUST then reject with TRACKING_LOST for one that is foreign, of another disk, or absent.',
    cause: 'an unknown baseline is taken for "everything" or for "nothing", or is refused at the snapshot already',
    needs: ['scratch', 'source:snapshot', 'tracking:native'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const [one, two] = disks;
      const foreign: [string, Since][] = [
        ['a foreign baseline', new Map([[one!.id, 'no-such-baseline' as Baseline]])],
        ['no baseline', new Map()],
      ];
      const other = two && since.get(two.id);
      if (other !== undefined) foreign.push(['the baseline of another disk', new Map([[one!.id, other]])]);
      for (const [what, wrong] of foreign) {
        const snapshot = await ctx.snapshot([id], wrong);
        await assertRefused(`changedExtents with ${what}`, () => changed(ctx, snapshot, one!.id), 'TRACKING_LOST');
        await ctx.snapshots.releaseSnapshot(snapshot.id, 'abandoned', ctx.call());
      }
    },
  },
  {
    id: 'CHG-009',
    level: 2,
    title: 'tracking that was switched off is not taken up again as if nothing had happened',
    promise: 'disableTracking MUST be idempotent; a baseline from before it MUST give TRACKING_LOST or a report that misses nothing.',
    cause: 'the baseline does not name the incarnation of the tracker',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      for (const _ of ['once', 'twice']) await ctx.snapshots.disableTracking(id, ctx.call());
      await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 110);
      await ctx.snapshots.enableTracking(id, ctx.call());
      const snapshot = await ctx.snapshot([id], since);

      await assertHonest(ctx, 'changedExtents after tracking was off', snapshot, disk.id, awkward(disk.sizeBytes));
    },
  },
  {
    id: 'CHG-010',
    level: 2,
    title: 'a baseline outlives the session that took it',
    promise: 'A baseline MUST be valid in every session of its endpoint.',
    cause: 'what a baseline stands for is kept in the session',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 120);
      const other = (await ctx.connect()).source;
      if (other?.kind !== 'snapshot') return;
      const snapshot = await ctx.snapshot([id], since, other);

      assertReported(
        'in another session',
        await collect(other.changedExtents(snapshot.id, disk.id, 0, ctx.call())),
        awkward(disk.sizeBytes),
      );
    },
  },
  {
    id: 'CHG-011',
    level: 4,
    title: 'a tracker that was reset is tracking lost',
    promise: 'After the tracker was reset, changedExtents MUST reject with TRACKING_LOST for a baseline from before.',
    cause: 'the baseline does not name the incarnation of the tracker',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      await writeAll(ctx, id, disks[0]!.id, awkward(disks[0]!.sizeBytes), 130);
      await ctx.lab.resetTracking(id);
      const snapshot = await ctx.snapshot([id], since);

      await assertRefused('changedExtents after a reset', () => changed(ctx, snapshot, disks[0]!.id), 'TRACKING_LOST');
    },
  },
  {
    id: 'CHG-012',
    level: 4,
    title: 'after a power cut the tracker misses nothing or says that it is lost',
    promise: 'After a power cut, changedExtents MUST reject with TRACKING_LOST or report everything that was written.',
    cause: 'the tracker keeps its state in memory and starts again empty under the same incarnation',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks, since } = await tracked(ctx);
      const disk = disks[0]!;
      await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 140);
      await ctx.lab.cutPower(id);
      await ctx.machine(0, 'on');
      const snapshot = await ctx.snapshot([id], since);

      await assertHonest(ctx, 'changedExtents after a power cut', snapshot, disk.id, awkward(disk.sizeBytes));
    },
  },
  {
    id: 'ALC-001',
    level: 2,
    title: 'allocated ranges cover everything that is not zero',
    promise: 'What allocatedExtents leaves out, and what it marks as zero, MUST read as zero.',
    cause: 'blocks of a parent disk are left out, or the last page of the answer is lost',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      if (ctx.subject.lab) await writeAll(ctx, id, spec.disks[0]!.id, awkward(spec.disks[0]!.sizeBytes), 150);
      const snapshot = await ctx.snapshot([id]);
      const seen = await contents(ctx, snapshot, spec.disks);

      for (const disk of spec.disks) {
        const extents = await collect(ctx.snapshots.allocatedExtents(snapshot.id, disk.id, 0, ctx.call()));
        assertExtents(`allocatedExtents of ${disk.id}`, extents, disk.sizeBytes);
        const data = seen.get(disk.id)!.slice();
        for (const { offset, length, zero } of extents) if (!zero) data.fill(0, offset, offset + length);
        const at = data.findIndex((byte) => byte !== 0);
        assert.ok(at < 0, `byte ${at} of disk ${disk.id} is not zero, and allocatedExtents does not cover it`);
      }
    },
  },
  {
    id: 'ALC-002',
    level: 2,
    title: 'allocated ranges can be asked from any offset on',
    promise: 'allocatedExtents MUST be ascending, disjoint and within the disk, and asked from a later offset MUST give the same rest.',
    cause: 'the offset is applied to pages, not to bytes',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const disk = spec.disks[0]!;
      if (ctx.subject.lab) await writeAll(ctx, id, disk.id, awkward(disk.sizeBytes), 160);
      const snapshot = await ctx.snapshot([id]);

      await assertRestarts('allocatedExtents', disk.sizeBytes, (from) =>
        ctx.snapshots.allocatedExtents(snapshot.id, disk.id, from, ctx.call()),
      );
    },
  },
  {
    id: 'ALC-003',
    level: 2,
    title: 'allocated ranges end when they are aborted, wherever they are',
    promise: 'Once its signal aborts, allocatedExtents MUST reject with the reason of the signal.',
    cause: 'an aborted request is taken for the end of the list',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const snapshot = await ctx.snapshot([id]);

      await assertStreamAborts(
        'allocatedExtents',
        (call) => ctx.snapshots.allocatedExtents(snapshot.id, spec.disks[0]!.id, 0, call),
        ctx.abortable,
      );
    },
  },
];

/** Every disk up to the scale's bound. */
const contents = async (ctx: Context, snapshot: Snapshot, disks: readonly DiskSpec[]): Promise<Map<DiskId, Uint8Array>> => {
  const seen = new Map<DiskId, Uint8Array>();
  for (const { id } of disks) {
    const reader = await ctx.snapshots.openReader(snapshot.id, id, ctx.call());
    seen.set(id, await readRange(reader, ctx.call, { length: Math.min(reader.sizeBytes, ctx.scale.readBytes) }));
    await reader[Symbol.asyncDispose]();
  }
  return seen;
};

const SECTOR = 512;

const differing = (before: Uint8Array, after: Uint8Array): Extent[] => {
  const found: Extent[] = [];
  for (let offset = 0; offset < after.length; offset += SECTOR) {
    const [left, right] = [before.subarray(offset, offset + SECTOR), after.subarray(offset, offset + SECTOR)];
    if (difference(left, right) !== undefined) found.push({ offset, length: right.length });
  }
  return found;
};
