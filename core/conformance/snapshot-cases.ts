import assert from 'node:assert/strict';
import type { DiskId, Machine, MachineId, Snapshot, SnapshotId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertAborted, assertRefused, assertSameBytes, collect, isoTime, pattern, readRange } from './probe.ts';

const MARK_BYTES = 512;

const list = (ctx: Context): Promise<Snapshot[]> => collect(ctx.snapshots.listSnapshots(ctx.call()));

const holds = async (ctx: Context, id: SnapshotId): Promise<boolean> => (await list(ctx)).some((snapshot) => snapshot.id === id);

const assertWhole = (snapshot: Snapshot, machines: readonly Machine[], operationId: string): void => {
  const asked = machines.map(({ id }) => id).sort();
  assert.deepEqual(
    [...snapshot.machines].sort(),
    asked,
    `the snapshot names machines ${snapshot.machines.join(', ')}, asked for ${asked.join(', ')}`,
  );
  assert.equal(snapshot.operationId, operationId, `the snapshot has operationId ${snapshot.operationId}, expected ${operationId}`);
  assert.ok(isoTime(snapshot.takenAt), `takenAt is ${snapshot.takenAt}, not ISO-8601 in UTC`);
  for (const { id, spec } of machines) {
    assert.deepEqual(
      snapshot.specs.get(id)?.disks.map((disk) => disk.id),
      spec.disks.map((disk) => disk.id),
      `the snapshot has no whole definition of ${id}`,
    );
    const got = snapshot.disks.filter((disk) => disk.machine === id).map((disk) => `${disk.disk} ${disk.sizeBytes}`);
    assert.deepEqual(
      got.sort(),
      spec.disks.map((disk) => `${disk.id} ${disk.sizeBytes}`).sort(),
      `the snapshot has disks ${got.join(', ')} of ${id}`,
    );
  }
};

const counterOf = (data: Uint8Array): number => new DataView(data.buffer, data.byteOffset).getUint32(0);
const counterBlock = (value: number): Uint8Array => {
  const block = new Uint8Array(MARK_BYTES).fill(0x5a);
  new DataView(block.buffer).setUint32(0, value);
  return block;
};

interface Place {
  readonly machine: MachineId;
  readonly disk: DiskId;
}

/**
 * Counts up on the first place, then on the second, over and over, while a snapshot is taken.
 * At any one instant the first is equal to the second or one ahead.
 */
const assertOneInstant = async (ctx: Context, machines: readonly MachineId[], first: Place, second: Place): Promise<void> => {
  await ctx.lab.write(first.machine, first.disk, 0, counterBlock(0));
  await ctx.lab.write(second.machine, second.disk, 0, counterBlock(0));
  let count = 0;
  for (let round = 0; round < 3; round += 1) {
    let taking = true;
    const taken = ctx.snapshot(machines).finally(() => {
      taking = false;
    });
    taken.catch(() => undefined);
    while (taking) {
      count += 1;
      await ctx.lab.write(first.machine, first.disk, 0, counterBlock(count));
      await ctx.lab.write(second.machine, second.disk, 0, counterBlock(count));
      await new Promise((resolve) => void setImmediate(resolve));
    }
    const snapshot = await taken;
    const seen = [];
    for (const { disk } of [first, second]) {
      const reader = await ctx.snapshots.openReader(snapshot.id, disk, ctx.call());
      seen.push(counterOf(await readRange(reader, ctx.call, { length: Math.max(MARK_BYTES, reader.alignmentBytes) })));
      await reader[Symbol.asyncDispose]();
    }
    await ctx.snapshots.releaseSnapshot(snapshot.id, 'abandoned', ctx.call());
    const [one = 0, two = 0] = seen;
    assert.ok(
      one === two || one === two + 1,
      `a counter that is written to ${first.disk}, then to ${second.disk}, is ${one} and ${two} there`,
    );
  }
};

export const snapshotCases: readonly Case[] = [
  {
    id: 'SNP-001',
    level: 2,
    title: 'a snapshot has every disk and the definition of every machine',
    promise:
      'createSnapshot MUST answer with the machines asked for, every disk of theirs with its size, the definition of each at that instant, and the operationId.',
    cause: 'disks are taken from a cached inventory, or the operationId is not stored with the snapshot',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const machine = await ctx.machine();
      const call = ctx.call();

      assertWhole(await ctx.snapshots.createSnapshot([machine.id], ctx.pointRequest(), call), [machine], call.operationId);
    },
  },
  {
    id: 'SNP-002',
    level: 2,
    title: 'the same operation makes one snapshot',
    promise: 'createSnapshot with the operationId of an earlier call MUST answer with the snapshot that this one made.',
    cause: 'the operationId is not looked up before creating',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const call = ctx.call();
      const one = await ctx.snapshots.createSnapshot([id], ctx.pointRequest(), call);
      const two = await ctx.snapshots.createSnapshot([id], ctx.pointRequest(), call);
      const made = (await list(ctx)).filter((snapshot) => snapshot.operationId === call.operationId);

      assert.equal(two.id, one.id, `the same operation made ${one.id} and ${two.id}`);
      assert.equal(made.length, 1, `${made.length} snapshots carry the operationId`);
    },
  },
  {
    id: 'SNP-003',
    level: 2,
    title: 'snapshots are found by their owner, and by no other',
    promise: 'listSnapshots MUST give all snapshots that carry the ownerId of the host, from every session, and none of another owner.',
    cause: 'the list is kept in the session, or snapshots are not tagged with the owner',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const snapshot = await ctx.snapshot([id]);
      const ours = (await ctx.connect()).source;
      const theirs = (await ctx.connect({ ownerId: 'somebody-else' })).source;

      const seen = ours?.kind === 'snapshot' ? await collect(ours.listSnapshots(ctx.call())) : [];
      const foreign = theirs?.kind === 'snapshot' ? await collect(theirs.listSnapshots(ctx.call())) : [];
      const found = seen.find((one) => one.id === snapshot.id);
      assert.ok(found, `another session of the same owner does not list ${snapshot.id}`);
      assert.equal(
        found.operationId,
        snapshot.operationId,
        `the list gives operationId ${found.operationId}, expected ${snapshot.operationId}`,
      );
      assert.ok(!foreign.some((one) => one.id === snapshot.id), `a session of another owner lists ${snapshot.id}`);
    },
  },
  {
    id: 'SNP-004',
    level: 2,
    title: 'a released snapshot is gone, and can be released again',
    promise: 'releaseSnapshot MUST resolve when the snapshot is merged away, and MUST succeed when it is gone.',
    cause: 'the merge is started and not waited for, or "not found" is passed on as an error',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      for (const outcome of ['sealed', 'abandoned'] as const) {
        const snapshot = await ctx.snapshot([id]);
        await ctx.snapshots.releaseSnapshot(snapshot.id, outcome, ctx.call());
        assert.ok(!(await holds(ctx, snapshot.id)), `snapshot ${snapshot.id}, released as ${outcome}, is still listed`);
        await ctx.snapshots.releaseSnapshot(snapshot.id, outcome, ctx.call());
      }
      await ctx.snapshots.releaseSnapshot('no-such-snapshot' as SnapshotId, 'abandoned', ctx.call());
    },
  },
  {
    id: 'SNP-005',
    level: 2,
    title: 'a snapshot stays as it was while the guest writes',
    promise: 'The content of a snapshot MUST NOT change while it exists, whatever the guest writes.',
    cause: 'the reader reads the live disk',
    needs: ['scratch', 'source:snapshot', 'lab'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const disk = spec.disks[0]!;
      const places = [0, Math.floor(disk.sizeBytes / 1024) * 512, disk.sizeBytes - 4096];
      for (const place of places) await ctx.lab.write(id, disk.id, place, pattern(1, 4096));
      const snapshot = await ctx.snapshot([id]);
      const reader = await ctx.snapshots.openReader(snapshot.id, disk.id, ctx.call());

      for (const [round, place] of places.entries()) {
        await ctx.lab.write(id, disk.id, place, pattern(round + 2, 4096));
        const start = place - (place % reader.alignmentBytes);
        const seen = await readRange(reader, ctx.call, {
          offset: start,
          length: Math.min(Math.max(reader.alignmentBytes, 8192), disk.sizeBytes - start),
        });
        assertSameBytes('the snapshot after the guest wrote', seen.subarray(place - start, place - start + 4096), pattern(1, 4096), place);
      }
    },
  },
  {
    id: 'SNP-006',
    level: 2,
    title: 'all disks of a machine are held at one instant',
    promise: 'Where atomicity is machine or group, a snapshot MUST hold all disks of a machine at one instant.',
    cause: 'disks are snapped one after the other, without a transaction or a freeze around them',
    needs: ['scratch:two-disks', 'source:snapshot', 'atomicity:machine', 'lab'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine(0, 'on');
      const [one, two] = spec.disks;
      const places = [one!, two!].map((disk) => ({ machine: id, disk: disk.id }));

      await assertOneInstant(ctx, [id], places[0]!, places[1]!);
      await assertOneInstant(ctx, [id], places[1]!, places[0]!);
    },
  },
  {
    id: 'SNP-007',
    level: 2,
    title: 'several machines are held at one instant',
    promise: 'Where atomicity is group, a snapshot MUST hold all disks of all machines at one instant.',
    cause: 'machines are snapped one after the other',
    needs: ['scratch:two-machines', 'source:snapshot', 'atomicity:group', 'lab'],
    run: async (ctx) => {
      const machines = [await ctx.machine(0, 'on'), await ctx.machine(1, 'on')];
      const [one, two] = machines.map(({ id, spec }) => ({ machine: id, disk: spec.disks[0]!.id }));
      const ids = machines.map(({ id }) => id);

      await assertOneInstant(ctx, ids, one!, two!);
      await assertOneInstant(ctx, ids, two!, one!);
    },
  },
  {
    id: 'SNP-008',
    level: 2,
    title: 'a snapshot states the atomicity and consistency that it achieved',
    promise:
      'A snapshot MUST state instant or frozen where the capability promises it, crash consistency when asked for crash, and application only where it was achieved.',
    cause: 'what was asked for is echoed as what was achieved',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine(0, 'on');
      const { capabilities } = ctx.session;
      const crash = await ctx.snapshot([id]);

      assert.ok(
        capabilities.atomicity === 'disk' || typeof crash.atomicity === 'string',
        `atomicity ${capabilities.atomicity} is promised, and the snapshot is skewed`,
      );
      const call = ctx.call();
      const want = { ...ctx.pointRequest(), consistency: 'application', orElse: 'crash' } as const;
      await ctx.snapshots.releaseSnapshot(crash.id, 'abandoned', ctx.call());
      const application = await ctx.snapshots.createSnapshot([id], want, call);
      const able = capabilities.consistency.includes('application');
      assert.ok(able || application.consistency === 'crash', 'a snapshot is called application-consistent, which the session cannot do');
      assert.ok(
        application.consistency === 'application' || application.fellBackBecause,
        'a snapshot fell back to crash consistency without saying why',
      );
    },
  },
  {
    id: 'SNP-009',
    level: 2,
    title: 'application consistency that cannot be had is refused when nothing else will do',
    promise:
      'With orElse refuse, createSnapshot MUST reject with CONSISTENCY_UNAVAILABLE or QUIESCE_FAILED instead of falling back, and MUST leave nothing.',
    cause: 'orElse is ignored',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      if (ctx.session.capabilities.consistency.includes('application')) ctx.skip('this session can make application-consistent snapshots');
      const { id } = await ctx.machine();
      const want = { ...ctx.pointRequest(), consistency: 'application', orElse: 'refuse' } as const;
      const create = () => ctx.snapshots.createSnapshot([id], want, ctx.call());

      await assertRefused('createSnapshot with orElse refuse', create, 'CONSISTENCY_UNAVAILABLE', 'QUIESCE_FAILED');
      assert.deepEqual(await list(ctx), [], 'a refused snapshot was made all the same');
    },
  },
  {
    id: 'SNP-010',
    level: 2,
    title: 'a snapshot that was aborted under way is found by its operation',
    promise:
      'After an abort, a creating call that is repeated with the same operationId MUST give one thing, which its owner finds in the list.',
    cause: 'the tag is written after the snapshot was made, or the retry makes a second one',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const before = ctx.abortable();
      before.abort();
      await assertAborted('createSnapshot', before.call, () => ctx.snapshots.createSnapshot([id], ctx.pointRequest(), before.call));
      assert.deepEqual(await list(ctx), [], 'a snapshot was made although the signal had aborted before');

      const { call, abort } = ctx.abortable();
      const creating = ctx.snapshots.createSnapshot([id], ctx.pointRequest(), call);
      abort();
      await creating.catch(() => undefined);
      const { operationId } = call;
      const retried = await ctx.snapshots.createSnapshot([id], ctx.pointRequest(), ctx.call({ operationId }));
      const listed = await list(ctx);

      assert.deepEqual(
        listed.map((snapshot) => snapshot.id),
        [retried.id],
        `after an abort and a retry ${listed.length} snapshots are listed, expected the one of the retry`,
      );
    },
  },
  {
    id: 'SNP-011',
    level: 2,
    title: 'a snapshot of an unknown machine is refused whole',
    promise: 'createSnapshot MUST reject with NOT_FOUND when one of the machines does not exist, and MUST leave nothing of the others.',
    cause: 'machines are snapped in a loop, and an error leaves those before it',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const create = () => ctx.snapshot([id, 'no-such-machine' as MachineId]);

      await assertRefused('createSnapshot with an unknown machine', create, 'NOT_FOUND');
      assert.deepEqual(await list(ctx), [], 'a refused snapshot was made all the same');
    },
  },
  {
    id: 'SNP-012',
    level: 2,
    title: 'snapshots are limited in number, and say so',
    promise: 'createSnapshot MUST succeed up to maxSnapshotsPerMachine, and beyond MUST reject with SNAPSHOT_LIMIT_REACHED or succeed.',
    cause: 'the limit that is promised is not that of the endpoint, or its error is not translated',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id } = await ctx.machine();
      const most = ctx.session.capabilities.maxSnapshotsPerMachine;
      if (most > 8) ctx.skip(`${most} snapshots are too many to try`);
      for (let made = 0; made < most; made += 1) await ctx.snapshot([id]);

      const beyond = await ctx.snapshot([id]).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (beyond !== undefined)
        await assertRefused(`snapshot ${most + 1} of a machine`, () => Promise.reject(beyond), 'SNAPSHOT_LIMIT_REACHED');
    },
  },
  {
    id: 'SNP-013',
    level: 2,
    title: 'a snapshot that is gone says so',
    promise: 'Reading a snapshot that is gone MUST reject with SNAPSHOT_GONE, so that the cycle begins anew.',
    cause: 'NOT_FOUND of the endpoint is passed on, which stops replication instead',
    needs: ['scratch', 'source:snapshot'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const disk = spec.disks[0]!.id;
      const snapshot = await ctx.snapshot([id]);
      await ctx.snapshots.releaseSnapshot(snapshot.id, 'abandoned', ctx.call());

      await assertRefused('openReader of a gone snapshot', () => ctx.snapshots.openReader(snapshot.id, disk, ctx.call()), 'SNAPSHOT_GONE');
      const allocated = () => collect(ctx.snapshots.allocatedExtents(snapshot.id, disk, 0, ctx.call()));
      await assertRefused('allocatedExtents of a gone snapshot', allocated, 'SNAPSHOT_GONE');
    },
  },
  {
    id: 'SNP-014',
    level: 2,
    title: 'a snapshot outlives the session that made it',
    promise: 'Where snapshotSurvivesDisconnect is promised, a snapshot MUST be readable from a later session.',
    cause: 'the snapshot lives in the memory of the session',
    needs: ['scratch', 'source:snapshot', 'survivesDisconnect'],
    run: async (ctx) => {
      const { id, spec } = await ctx.machine();
      const disk = spec.disks[0]!.id;
      const first = await ctx.connect();
      if (first.source?.kind !== 'snapshot') return;
      const snapshot = await ctx.snapshot([id], new Map(), first.source);
      await first[Symbol.asyncDispose]();

      const reader = await ctx.snapshots.openReader(snapshot.id, disk, ctx.call());
      await readRange(reader, ctx.call, { length: Math.min(reader.sizeBytes, 65_536) });
    },
  },
];
