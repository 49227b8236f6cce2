import assert from 'node:assert/strict';
import type { Baseline, CaptureRequest, DiskId, MachineId, Pass } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import {
  assertAborted,
  assertExtents,
  assertRefused,
  assertRestarts,
  assertSameBytes,
  collect,
  pattern,
  readRange,
  refusal,
} from './probe.ts';
import { assertFindings } from './session-cases.ts';

type Since = ReadonlyMap<DiskId, Baseline>;
type Images = Map<DiskId, Uint8Array>;

const MAX_FREEZE_MS = 30_000;

const request = (since: Since = new Map(), afterFinal: CaptureRequest['afterFinal'] = 'thaw'): CaptureRequest => ({
  consistency: 'crash',
  orElse: 'crash',
  since,
  maxFreezeMs: MAX_FREEZE_MS,
  afterFinal,
});

const tracked = async (ctx: Context): Promise<{ id: MachineId; disks: readonly DiskId[] }> => {
  const { id, spec } = await ctx.machine(0, 'on');
  assertFindings('enableTracking', await ctx.streaming.enableTracking(id, ctx.call()));
  return { id, disks: spec.disks.map((disk) => disk.id) };
};

const baselinesOf = (pass: Pass): Since =>
  new Map(pass.disks.flatMap(({ disk, baseline }): [DiskId, Baseline][] => (baseline === undefined ? [] : [[disk, baseline]])));

/** Puts what a pass gives into the images, as the engine does. */
const apply = async (ctx: Context, pass: Pass, images: Images): Promise<void> => {
  for (const { disk, extents, reader } of pass.disks) {
    const image = images.get(disk) ?? new Uint8Array(reader.sizeBytes);
    images.set(disk, image);
    const ranges = await collect(extents(0));
    assertExtents(`a pass over ${disk}`, ranges, reader.sizeBytes);
    for (const { offset, length, zero } of ranges) {
      const start = offset - (offset % reader.alignmentBytes);
      const end = Math.min(reader.sizeBytes, Math.ceil((offset + length) / reader.alignmentBytes) * reader.alignmentBytes);
      if (zero) image.fill(0, offset, offset + length);
      else image.set(await readRange(reader, ctx.call, { offset: start, length: end - start }), start);
    }
  }
};

/** A whole capture; `during` runs under every pass but the final one. Answers with the baselines of the final pass. */
const captured = async (
  ctx: Context,
  id: MachineId,
  since: Since,
  images: Images,
  during?: (pass: number) => Promise<void>,
): Promise<Since> => {
  let last: Since | undefined;
  let passes = 0;
  for await (const pass of ctx.streaming.capture(id, request(since), ctx.call())) {
    assert.ok(last === undefined, 'a pass came after the final one');
    await apply(ctx, pass, images);
    if (pass.final) last = baselinesOf(pass);
    else await during?.(passes);
    passes += 1;
  }
  assert.ok(last !== undefined, `the capture ended after ${passes} passes, and none was final`);
  return last;
};

const assertTruth = async (ctx: Context, what: string, id: MachineId, images: Images): Promise<void> => {
  for (const [disk, image] of images) assertSameBytes(`${what}: disk ${disk}`, image, await ctx.lab.read(id, disk, 0, image.length));
};

/** Starts to write; it ends when the machine is not frozen. */
const writeLater = (ctx: Context, id: MachineId, disk: DiskId, offset: number, seed: number) => {
  let landed = false;
  const done = ctx.lab.write(id, disk, offset, pattern(seed, 4096)).then(() => {
    landed = true;
  });
  done.catch(() => undefined);
  return { done, landed: () => landed };
};

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
};

/** Steps to the final pass and leaves it yielded. */
const frozen = async (passes: AsyncIterator<Pass>): Promise<Pass> => {
  for (;;) {
    const { value, done } = await passes.next();
    assert.ok(!done, 'the capture ended without a final pass');
    if (value.final) return value;
  }
};

const assertThaws = async (ctx: Context, what: string, id: MachineId, disk: DiskId): Promise<void> => {
  const write = writeLater(ctx, id, disk, 8192, 77);
  await turns(50);
  assert.ok(write.landed(), `${what} the machine is still frozen`);
};

export const streamingCases: readonly Case[] = [
  {
    id: 'STR-001',
    level: 2,
    title: 'a capture ends with one final pass, and every pass has every disk',
    promise:
      'A capture MUST end with exactly one final pass; each pass MUST give every disk with a reader of its size, and the definition.',
    cause: 'disks that have no changes are left out',
    needs: ['scratch', 'source:streaming'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const { spec } = await ctx.machine();
      const kinds: boolean[] = [];
      for await (const pass of ctx.streaming.capture(id, request(), ctx.call())) {
        kinds.push(pass.final);
        assert.deepEqual(
          pass.disks.map(({ disk }) => disk).sort(),
          [...disks].sort(),
          `a pass gave disks ${pass.disks.map(({ disk }) => disk).join(', ')}`,
        );
        assert.deepEqual(
          pass.spec.disks.map((disk) => disk.id),
          spec.disks.map((disk) => disk.id),
          'the definition of a pass lacks disks',
        );
        for (const { disk, reader } of pass.disks) {
          assert.equal(
            reader.sizeBytes,
            spec.disks.find((one) => one.id === disk)?.sizeBytes,
            `the reader of ${disk} has ${reader.sizeBytes} bytes`,
          );
        }
      }

      assert.deepEqual(
        kinds.map((final, index) => final === (index === kinds.length - 1)),
        kinds.map(() => true),
        `passes were final: ${kinds.join(', ')}`,
      );
      assert.ok(kinds.length > 0, 'the capture gave no pass');
    },
  },
  {
    id: 'STR-002',
    level: 2,
    title: 'the final pass is frozen, and thaws after',
    promise: 'The machine MUST be frozen from before the final pass is yielded until next() or return(), and MUST run again after.',
    cause: 'the freeze begins after the pass was read, or ends before it was taken',
    needs: ['scratch', 'source:streaming', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const disk = disks[0]!;
      await ctx.lab.write(id, disk, 8192, pattern(1, 4096));
      for (const end of ['next', 'return'] as const) {
        const passes = ctx.streaming.capture(id, request(), ctx.call())[Symbol.asyncIterator]();
        const pass = await frozen(passes);
        const write = writeLater(ctx, id, disk, 8192, 2);
        await turns(20);
        const { reader } = pass.disks.find((one) => one.disk === disk)!;
        const seen = await readRange(reader, ctx.call, { offset: 8192, length: 4096 });

        assertSameBytes('the final pass while the guest writes', seen, pattern(1, 4096), 8192);
        assert.ok(!write.landed(), 'the guest wrote while the final pass was yielded');
        if (end === 'next') await passes.next();
        else await passes.return?.();
        await turns(50);
        assert.ok(write.landed(), `after ${end}() the machine is still frozen`);
        await ctx.lab.write(id, disk, 8192, pattern(1, 4096));
      }
    },
  },
  {
    id: 'STR-003',
    level: 2,
    title: 'the passes of a capture make the disk as it was frozen',
    promise:
      'What the passes give, one over the other, MUST be the content at the freeze: each later pass MUST cover what was written under the earlier one.',
    cause: 'the mark of a pass is set after its first read',
    needs: ['scratch', 'source:streaming', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const images: Images = new Map();
      await captured(ctx, id, new Map(), images, async (pass) => {
        for (const disk of disks) await ctx.lab.write(id, disk, 65_536 * (pass + 1), pattern(pass + 3, 8192));
      });

      await assertTruth(ctx, 'a first capture', id, images);
    },
  },
  {
    id: 'STR-004',
    level: 2,
    title: 'a capture since a baseline brings an older copy up to date',
    promise: 'With baselines, the passes MUST cover every byte that was written after them; keepBaselines MUST be idempotent.',
    cause: 'the baseline of an earlier pass is given for that of the final one',
    needs: ['scratch', 'source:streaming', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const images: Images = new Map();
      let since = await captured(ctx, id, new Map(), images);
      for (let cycle = 0; cycle < 3; cycle += 1) {
        for (const _ of ['once', 'twice']) {
          await ctx.streaming.keepBaselines(id, new Map([...since].map(([disk, baseline]) => [disk, [baseline]])), ctx.call());
        }
        for (const disk of disks) await ctx.lab.write(id, disk, 512 + 40_960 * cycle, pattern(20 + cycle, 4096));
        since = await captured(ctx, id, since, images, async () => {
          for (const disk of disks) await ctx.lab.write(id, disk, 131_072 + 512 * cycle, pattern(30 + cycle, 512));
        });
        await assertTruth(ctx, `capture ${cycle + 2}`, id, images);
      }
    },
  },
  {
    id: 'STR-005',
    level: 2,
    title: 'a capture that was left early loses nothing',
    promise: 'A capture that ends before its final pass makes no point: the baselines before it MUST stay valid and cover everything.',
    cause: 'the tracker moves on with each pass',
    needs: ['scratch', 'source:streaming', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const images: Images = new Map();
      const since = await captured(ctx, id, new Map(), images);
      await ctx.lab.write(id, disks[0]!, 16_384, pattern(41, 4096));
      for await (const _ of ctx.streaming.capture(id, request(since), ctx.call())) break;
      await ctx.lab.write(id, disks[0]!, 98_304, pattern(42, 4096));
      await captured(ctx, id, since, images);

      await assertTruth(ctx, 'after a capture that was left early', id, images);
    },
  },
  {
    id: 'STR-006',
    level: 2,
    title: 'a baseline that the tracker does not know is tracking lost, before the first pass',
    promise:
      'capture MUST reject with TRACKING_LOST before its first pass when a baseline is foreign, and MUST NOT leave the machine frozen.',
    cause: 'an unknown baseline is taken for "nothing has changed"',
    needs: ['scratch', 'source:streaming', 'tracking:native'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const since = new Map([[disks[0]!, 'no-such-baseline' as Baseline]]);
      const passes = ctx.streaming.capture(id, request(since), ctx.call())[Symbol.asyncIterator]();

      await assertRefused('capture with a foreign baseline', () => passes.next(), 'TRACKING_LOST');
      if (ctx.subject.lab) await assertThaws(ctx, 'after TRACKING_LOST', id, disks[0]!);
    },
  },
  {
    id: 'STR-007',
    level: 2,
    title: 'a capture ends when it is aborted, and the machine thaws',
    promise: 'Once its signal aborts, capture MUST reject with the reason of the signal at the next pass, and MUST thaw the machine.',
    cause: 'thawing uses the signal that has just aborted',
    needs: ['scratch', 'source:streaming', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      for (const when of ['before the first pass', 'after the first pass', 'under the final pass'] as const) {
        const { call, abort } = ctx.abortable();
        const passes = ctx.streaming.capture(id, request(), call)[Symbol.asyncIterator]();
        if (when === 'after the first pass') await passes.next();
        if (when === 'under the final pass') await frozen(passes);
        abort();

        await assertAborted(`capture, aborted ${when},`, call, () => passes.next());
        await assertThaws(ctx, `after an abort ${when}`, id, disks[0]!);
      }
    },
  },
  {
    id: 'STR-008',
    level: 2,
    title: 'a freeze ends at its maximum, and then the pass is void',
    promise:
      'The machine MUST thaw by itself after maxFreezeMs, and next() MUST then reject: a pass that was read under no freeze makes no point.',
    cause: 'the watchdog thaws, and the plugin does not ask whether it did',
    needs: ['scratch', 'source:streaming', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const passes = ctx.streaming.capture(id, request(), ctx.call())[Symbol.asyncIterator]();
      await frozen(passes);
      await ctx.lab.advance(MAX_FREEZE_MS + 1000);

      await assertThaws(ctx, `${MAX_FREEZE_MS} ms and more after the freeze`, id, disks[0]!);
      await assertRefused('next() after the freeze had ended', () => passes.next());
    },
  },
  {
    id: 'STR-009',
    level: 2,
    title: 'a machine stays frozen after the final pass when it is asked to',
    promise:
      'Where finalFreeze is promised, afterFinal stayFrozen MUST keep the machine frozen after the capture ended, until it is powered off.',
    cause: 'the clean-up of the capture thaws in every case',
    needs: ['scratch', 'source:streaming', 'finalFreeze', 'power:off', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      await ctx.lab.write(id, disks[0]!, 8192, pattern(1, 4096));
      const images: Images = new Map();
      for await (const pass of ctx.streaming.capture(id, request(new Map(), 'stayFrozen'), ctx.call())) await apply(ctx, pass, images);
      await ctx.lab.advance(2 * MAX_FREEZE_MS);
      const write = writeLater(ctx, id, disks[0]!, 8192, 9);
      await turns(50);

      assert.ok(!write.landed(), 'the machine runs again after a capture that should have kept it frozen');
      await assertTruth(ctx, 'after a capture that keeps the machine frozen', id, images);
      await ctx.power.set(id, 'off', await ctx.fenced(id));
      await ctx.drive(write.done.catch(() => undefined));
      await ctx.machine(0, 'on');
    },
  },
  {
    id: 'STR-010',
    level: 2,
    title: 'the ranges of a pass are ascending and disjoint, and can be asked from any offset on',
    promise:
      'The extents of a pass MUST be ascending, disjoint and within the disk, and asked from a later offset MUST give the same rest.',
    cause: 'the offset is applied to pages, not to bytes',
    needs: ['scratch', 'source:streaming'],
    run: async (ctx) => {
      const { id } = await tracked(ctx);
      for await (const pass of ctx.streaming.capture(id, request(), ctx.call())) {
        for (const { disk, extents, reader } of pass.disks)
          await assertRestarts(`the extents of a pass over ${disk}`, reader.sizeBytes, extents);
      }
    },
  },
  {
    id: 'STR-011',
    level: 4,
    title: 'a tracker that was reset is tracking lost',
    promise: 'After the tracker was reset, capture MUST reject with TRACKING_LOST before its first pass for a baseline from before.',
    cause: 'the baseline does not name the incarnation of the tracker',
    needs: ['scratch', 'source:streaming', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const since = await captured(ctx, id, new Map(), new Map());
      await ctx.lab.write(id, disks[0]!, 16_384, pattern(51, 4096));
      await ctx.lab.resetTracking(id);
      const passes = ctx.streaming.capture(id, request(since), ctx.call())[Symbol.asyncIterator]();

      await assertRefused('capture after a reset', () => passes.next(), 'TRACKING_LOST');
    },
  },
  {
    id: 'STR-012',
    level: 4,
    title: 'a machine thaws although the connection was cut',
    promise: 'When the connection is lost under the final pass, next() MUST reject and the machine MUST thaw by itself within maxFreezeMs.',
    cause: 'the watchdog runs on our side of the connection',
    needs: ['scratch', 'source:streaming', 'lab'],
    run: async (ctx) => {
      const { id, disks } = await tracked(ctx);
      const passes = ctx.streaming.capture(id, request(), ctx.call())[Symbol.asyncIterator]();
      await frozen(passes);
      await ctx.cutConnections();
      const error = await refusal(() => passes.next());
      await ctx.lab.advance(MAX_FREEZE_MS + 1000);

      assert.ok(error !== undefined, 'the capture ended normally although its connection was cut');
      await assertThaws(ctx, `${MAX_FREEZE_MS} ms and more after the cut`, id, disks[0]!);
    },
  },
];
