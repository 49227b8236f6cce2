import assert from 'node:assert/strict';
import { DrError, type Extent, type MachineId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertRefused, assertSameBytes, collect, describeError, merge, pattern, readRange, refusal } from './probe.ts';

/** The engine opens a new session only for errors that ask for one; a wire that connects anew by itself gives its result. */
const assertReconnects = (what: string, error: unknown): void => {
  if (error === undefined) return;
  const retry = error instanceof DrError ? error.retry : undefined;
  assert.equal(
    retry,
    'reconnect',
    `${what} after the cut gave ${describeError(error)}, expected a result or an error that asks to reconnect`,
  );
};

const newMachines = async (ctx: Context, before: readonly MachineId[]): Promise<MachineId[]> => {
  const { inventory } = await ctx.connect();
  return (await collect(inventory.listMachines({}, ctx.call()))).map(({ id }) => id).filter((id) => !before.includes(id));
};

export const faultCases: readonly Case[] = [
  {
    id: 'FLT-001',
    level: 4,
    title: 'a cut connection is told, and a new session works',
    promise:
      'After its connection was cut, a session MUST reject calls with an error that asks to reconnect, or connect anew and serve them; a new session MUST work.',
    cause: 'the error of the socket is passed on, or waited for until the deadline',
    needs: ['lab'],
    run: async (ctx) => {
      const { session } = ctx;
      const [machine] = await collect(session.inventory.listMachines({}, ctx.call()));
      await ctx.cutConnections();

      assertReconnects('listMachines', await refusal(() => collect(session.inventory.listMachines({}, ctx.call()))));
      if (machine) assertReconnects('getMachine', await refusal(() => session.inventory.getMachine(machine.id, ctx.call())));
      const fresh = await ctx.connect();
      assert.ok((await collect(fresh.inventory.listMachines({}, ctx.call()))).length > 0, 'a new session lists no machines');
    },
  },
  {
    id: 'FLT-002',
    level: 4,
    title: 'a snapshot whose answer was lost is found by its operation',
    promise: 'A creating call that lost its connection MUST, repeated in a new session with the same operationId, give one snapshot.',
    cause: 'what the operation made is remembered in the session',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const call = ctx.call();
      const creating = ctx.snapshots.createSnapshot([id], ctx.pointRequest(), call);
      // Whatever ends the case here, what was begun must not reject unheard.
      creating.catch(() => {});
      await ctx.cutConnections();
      await creating.catch(() => undefined);
      const { source } = await ctx.connect();
      if (source?.kind !== 'snapshot') return;
      const made = await source.createSnapshot([id], ctx.pointRequest(), ctx.call({ operationId: call.operationId }));
      const listed = await collect(source.listSnapshots(ctx.call()));

      assert.deepEqual(
        listed.map((one) => one.id),
        [made.id],
        `after a cut and a retry ${listed.length} snapshots are listed`,
      );
    },
  },
  {
    id: 'FLT-003',
    level: 4,
    title: 'a stream of ranges that was cut does not end as if it were complete',
    promise:
      'A stream that loses its connection MUST reject with an error that asks to reconnect, or give everything: a normal end means complete.',
    cause: 'the end of the connection is taken for the end of the list',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const { id: disk, sizeBytes } = spec.disks[0]!;
      for (const offset of [0, sizeBytes / 4, sizeBytes / 2]) await ctx.lab.write(id, disk, offset, pattern(80, 4096));
      const snapshot = await ctx.snapshot([id]);
      const open = () => ctx.snapshots.allocatedExtents(snapshot.id, disk, 0, ctx.call());
      const whole = merge(await collect(open()));
      const iterator = open()[Symbol.asyncIterator]();
      const seen: Extent[] = [];
      const first = await iterator.next();
      if (!first.done) seen.push(first.value);
      await ctx.cutConnections();
      const error = await refusal(async () => {
        for (let next = await iterator.next(); !next.done; next = await iterator.next()) seen.push(next.value);
      });

      if (error === undefined)
        assert.deepEqual(merge(seen), whole, `the stream ended normally after ${seen.length} ranges, and they are not all`);
      else assertReconnects('allocatedExtents', error);
    },
  },
  {
    id: 'FLT-004',
    level: 4,
    title: 'a read that lost its connection rejects or goes on, and the snapshot is read on in a new session',
    promise:
      'When the connection is cut a read MUST reject with an error that asks to reconnect, or go on; where snapshots survive it, a new session MUST read on.',
    cause: 'the reader waits for an answer that never comes',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const disk = spec.disks[0]!.id;
      const snapshot = await ctx.snapshot([id]);
      const reader = await ctx.snapshots.openReader(snapshot.id, disk, ctx.call());
      const length = Math.min(65_536, reader.sizeBytes);
      const before = await readRange(reader, ctx.call, { length });
      await ctx.cutConnections();

      const after = await readRange(reader, ctx.call, { length }).catch((error: unknown) => error);
      if (after instanceof Uint8Array) assertSameBytes('the read after the cut', after, before);
      else assertReconnects('read', after);
      const { source, capabilities } = await ctx.connect();
      if (source?.kind !== 'snapshot' || !capabilities.snapshotSurvivesDisconnect) return;
      const again = await source.openReader(snapshot.id, disk, ctx.call());
      assertSameBytes('the snapshot after the cut', await readRange(again, ctx.call, { length }), before);
    },
  },
  {
    id: 'FLT-005',
    level: 4,
    title: 'a disk that was added is seen by the next snapshot, and not tracked from before',
    promise:
      'A snapshot MUST keep the disks and the definition of its instant; the next MUST have an added disk, whose changes MUST be TRACKING_LOST at first.',
    cause: 'the disks are cached in the session',
    needs: ['scratch', 'source:snapshot', 'tracking:native', 'lab'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine(0, 'on');
      await ctx.snapshots.enableTracking(id, ctx.call());
      const before = await ctx.snapshot([id]);
      const added = await ctx.lab.addDisk(id, spec.disks[0]!.sizeBytes);
      try {
        const [old] = (await collect(ctx.snapshots.listSnapshots(ctx.call()))).filter((one) => one.id === before.id);
        const held = old?.specs.get(id)?.disks.length;
        assert.equal(held, spec.disks.length, `a snapshot from before has ${held} disks in its definition, expected ${spec.disks.length}`);
        const since = new Map(before.disks.flatMap(({ disk, baseline }) => (baseline === undefined ? [] : [[disk, baseline] as const])));
        // An endpoint may hold one snapshot at a time.
        await ctx.snapshots.releaseSnapshot(before.id, 'sealed', ctx.call());
        const after = await ctx.snapshot([id], since);
        assert.ok(
          after.disks.some(({ disk }) => disk === added),
          `the snapshot after has disks ${after.disks.map(({ disk }) => disk).join(', ')}, not ${added}`,
        );
        const changed = () => collect(ctx.snapshots.changedExtents(after.id, added, 0, ctx.call()));
        await assertRefused('changedExtents of an added disk', changed, 'TRACKING_LOST');
      } finally {
        await ctx.lab.removeDisk(id, added);
      }
    },
  },
  {
    id: 'FLT-006',
    level: 4,
    title: 'what was flushed outlives a power cut',
    promise: 'When flush has resolved, every write that was answered before it MUST be durable.',
    cause: 'flush is not passed on, or the file under the disk is opened without syncing',
    needs: ['target', 'replica', 'lab'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const call = await ctx.writing(replica.id);
      const length = Math.min(262_144, disk.maxRequestBytes, disk.sizeBytes);
      await disk.write(0, pattern(91, length), call());
      await disk.flush(call());
      await disk[Symbol.asyncDispose]();
      await ctx.lab.cutPower(replica.id);

      const after = await ctx.openReplicaDisk(replica);
      assertSameBytes('what was flushed before a power cut', await readRange(after, ctx.call, { length }), pattern(91, length));
    },
  },
  {
    id: 'FLT-007',
    level: 4,
    title: 'a replica whose answer was lost is found by its operation',
    promise: 'createReplica that lost its connection MUST, repeated in a new session with the same operationId, give one machine.',
    cause: 'what the operation made is remembered in the session',
    needs: ['target:create', 'lab'],
    run: async (ctx) => {
      const before = (await collect(ctx.session.inventory.listMachines({}, ctx.call()))).map(({ id }) => id);
      const call = await ctx.fenced();
      const creating = ctx.target.createReplica!(ctx.spec(), ctx.replicaRequest(), call);
      // Whatever ends the case here, what was begun must not reject unheard.
      creating.catch(() => {});
      await ctx.cutConnections();
      await creating.catch(() => undefined);
      const { target } = await ctx.connect();
      const placed = await target!.createReplica!(
        ctx.spec(),
        ctx.replicaRequest(),
        ctx.call({ operationId: call.operationId, fence: ctx.epoch(1) }),
      );
      const made = await newMachines(ctx, before);

      assert.deepEqual(made, [placed.machine.id], `after a cut and a retry there are ${made.length} new machines`);
    },
  },
  {
    id: 'FLT-008',
    level: 4,
    title: 'a promotion whose answer was lost is taken up again',
    promise: 'promote that lost its connection MUST, repeated in a new session, end with the content of the fork.',
    cause: 'the merge is bound to the session that began it',
    needs: ['forks', 'replica', 'lab'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const fork = await ctx.fork(replica);
      const disk = await ctx.openForkDisk(replica, fork);
      await disk.write(0, pattern(95, 65_536), (await ctx.writing(replica.id))());
      await disk[Symbol.asyncDispose]();
      const fenced = await ctx.fenced(replica.id);
      const promoting = ctx.forks.promote(fork.id, fenced);
      // Whatever ends the case here, what was begun must not reject unheard.
      promoting.catch(() => {});
      await ctx.cutConnections();
      await promoting.catch(() => undefined);
      const { target } = await ctx.connect();
      const machine = await target!.forks!.promote(fork.id, ctx.call(fenced.fence && { fence: fenced.fence }));

      const seen = await ctx.lab.read(machine.id, fork.disks.get(replica.spec.disks[0]!.id)!, 0, 65_536);
      assertSameBytes('the promoted machine', seen, pattern(95, 65_536));
    },
  },
];
