import assert from 'node:assert/strict';
import type { DiskId, Fork, ForkId, Machine } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context, Replica } from './context.ts';
import { assertAborted, assertRefused, assertSameBytes, collect, pattern, readRange } from './probe.ts';
import { assertPlaced } from './target-cases.ts';

const LENGTH = 65_536;

const list = (ctx: Context): Promise<Fork[]> => collect(ctx.forks.list(ctx.call()));

/** A replica whose first bytes are known. */
const seeded = async (ctx: Context, seed: number): Promise<Replica> => {
  const replica = await ctx.replica();
  const disk = await ctx.openReplicaDisk(replica);
  const call = await ctx.writing(replica.id);
  await disk.write(0, pattern(seed, 2 * LENGTH), call());
  await disk.flush(call());
  await disk[Symbol.asyncDispose]();
  return replica;
};

/** Overwrites the first half of what the replica has there. */
const writeFork = async (ctx: Context, replica: Replica, fork: Fork, seed: number): Promise<void> => {
  const disk = await ctx.openForkDisk(replica, fork);
  const call = await ctx.writing(replica.id);
  await disk.write(0, pattern(seed, LENGTH), call());
  await disk.flush(call());
  await disk[Symbol.asyncDispose]();
};

const mixed = (fork: number, replica: number): Uint8Array => {
  const data = pattern(replica, 2 * LENGTH);
  data.set(pattern(fork, LENGTH));
  return data;
};

const assertReplica = async (ctx: Context, what: string, replica: Replica, seed: number): Promise<void> => {
  const disk = await ctx.openReplicaDisk(replica);
  assertSameBytes(what, await readRange(disk, ctx.call, { length: 2 * LENGTH }), pattern(seed, 2 * LENGTH));
  await disk[Symbol.asyncDispose]();
};

/** What remained after promotion: read past the plugin, or as the replica that it is adopted for. */
const contentOf = async (ctx: Context, machine: Machine, disk: DiskId): Promise<Uint8Array> => {
  if (ctx.subject.lab) return ctx.lab.read(machine.id, disk, 0, 2 * LENGTH);
  const placed = await ctx.target.adoptReplica(machine.id, machine.spec, await ctx.fenced(machine.id));
  const open = await ctx.target.openReplicaDisk(machine.id, placed.disks.get(disk) ?? disk, await ctx.fenced(machine.id));
  return readRange(open, ctx.call, { length: 2 * LENGTH });
};

const startFork = async (ctx: Context, replica: Replica, fork: Fork): Promise<void> => {
  if (!ctx.session.capabilities.power.includes('on')) ctx.skip('the session cannot power on');
  const { fence } = await ctx.fenced(replica.id);
  await ctx.power.set(fork.machine.id, 'on', ctx.call(fence && { fence }));
};

const promoteAndRead = async (ctx: Context, replica: Replica, fork: Fork): Promise<{ machine: Machine; content: Uint8Array }> => {
  const machine = await ctx.forks.promote(fork.id, await ctx.fenced(replica.id));
  const disk = fork.disks.get(replica.spec.disks[0]!.id)!;
  return { machine, content: await contentOf(ctx, machine, disk) };
};

/** A hypervisor may make forks for tests in another way than those for failovers. */
const shapesOf = ({ forks }: Context) =>
  forks.modes.flatMap((mode) => (['test', 'failover'] as const).map((purpose) => [mode, purpose] as const));

export const forkCases: readonly Case[] = [
  {
    id: 'FRK-001',
    level: 3,
    title: 'a fork is off, whole and mapped',
    promise:
      'forks.create MUST answer with a machine that is off, with every disk and NIC of the definition mapped, the replica, the purpose and the operationId.',
    cause: 'the ids are those of the replica, not those of the fork',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 1);
      for (const [mode, purpose] of shapesOf(ctx)) {
        const call = await ctx.fenced(replica.id);
        const fork = await ctx.forks.create(replica.id, ctx.forkRequest(replica, mode, purpose), call);
        const seen = await ctx.session.inventory.getMachine(fork.machine.id, ctx.call());

        assertPlaced(`a fork by ${mode}`, fork, replica.spec);
        assert.deepEqual(
          [fork.replica, fork.purpose, fork.operationId, seen.power],
          [replica.id, purpose, call.operationId, 'off'],
          `a fork by ${mode} has replica ${fork.replica}, purpose ${fork.purpose}, operationId ${fork.operationId} and is ${seen.power}`,
        );
        await ctx.forks.discard(fork.id, await ctx.fenced(replica.id));
      }
    },
  },
  {
    id: 'FRK-002',
    level: 3,
    title: 'the same operation makes one fork, which its owner finds',
    promise:
      'forks.create with the operationId of an earlier call MUST answer with the fork that this one made; list MUST give it to its owner only.',
    cause: 'the operationId is not stored with the fork',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 2);
      const call = await ctx.fenced(replica.id);
      const request = ctx.forkRequest(replica, ctx.forks.modes[0]!);
      const one = await ctx.forks.create(replica.id, request, call);
      const two = await ctx.forks.create(replica.id, request, call);
      const again = (await ctx.connect()).target?.forks;
      const theirs = (await ctx.connect({ ownerId: 'somebody-else' })).target?.forks;

      const listed = again ? await collect(again.list(ctx.call())) : [];
      const foreign = theirs ? await collect(theirs.list(ctx.call())) : [];
      assert.equal(two.id, one.id, `the same operation made ${one.id} and ${two.id}`);
      assert.deepEqual(
        listed.map((fork) => fork.id),
        [one.id],
        `${listed.length} forks are listed, one was made`,
      );
      assert.equal(listed[0]?.operationId, call.operationId, `the list gives operationId ${listed[0]?.operationId}`);
      assert.deepEqual(foreign, [], 'another owner sees our fork');
    },
  },
  {
    id: 'FRK-003',
    level: 3,
    title: 'a fork reads as its replica, keeps what is written, and leaves the replica alone',
    promise: 'A fork MUST read as its replica where nothing was written, MUST read back what was written, and MUST NOT change the replica.',
    cause: 'the overlay is opened on top of the wrong disk, or writes go through it',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 3);
      for (const [mode, purpose] of shapesOf(ctx)) {
        const fork = await ctx.forks.create(replica.id, ctx.forkRequest(replica, mode, purpose), await ctx.fenced(replica.id));
        await writeFork(ctx, replica, fork, 30);
        const disk = await ctx.openForkDisk(replica, fork);

        assertSameBytes(`a fork by ${mode}`, await readRange(disk, ctx.call, { length: 2 * LENGTH }), mixed(30, 3));
        await disk[Symbol.asyncDispose]();
        await ctx.forks.discard(fork.id, await ctx.fenced(replica.id));
        await assertReplica(ctx, `the replica after a fork by ${mode}`, replica, 3);
      }
    },
  },
  {
    id: 'FRK-004',
    level: 3,
    title: 'a discarded fork is gone, and can be discarded again',
    promise: 'discard MUST power the fork off, drop what was written and remove everything of it, and MUST succeed when it is gone.',
    cause: 'the overlay file stays, or "not found" is passed on as an error',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 4);
      const fork = await ctx.fork(replica);
      await writeFork(ctx, replica, fork, 40);
      if (ctx.session.capabilities.power.includes('on')) await startFork(ctx, replica, fork);
      for (const time of ['once', 'twice']) {
        await ctx.forks.discard(fork.id, await ctx.fenced(replica.id));
        assert.deepEqual(await list(ctx), [], `a fork, discarded ${time}, is still listed`);
      }
      await ctx.forks.discard('no-such-fork' as ForkId, ctx.call({ fence: ctx.epoch(1) }));
      const { power } = await ctx.session.inventory.getMachine(replica.id, ctx.call());
      assert.equal(power, 'off', `after its fork was discarded the replica is ${power}`);
      await assertReplica(ctx, 'the replica after its fork was discarded', replica, 4);
    },
  },
  {
    id: 'FRK-005',
    level: 3,
    title: 'a promoted fork keeps its content',
    promise:
      'promote of a fork for a failover MUST make what the fork reads the content of the machine that remains, and MUST remove the fork.',
    cause: 'the overlay is dropped instead of merged, or merged into the wrong disk',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 5);
      const fork = await ctx.fork(replica);
      await writeFork(ctx, replica, fork, 50);
      const { content } = await promoteAndRead(ctx, replica, fork);

      assertSameBytes('the promoted machine', content, mixed(50, 5));
      assert.deepEqual(await list(ctx), [], 'a promoted fork is still listed');
    },
  },
  {
    id: 'FRK-006',
    level: 3,
    title: 'a running fork is promoted without a stop',
    promise: 'promote MUST work while the fork runs, keep its content, and leave the machine running.',
    cause: 'the machine is stopped for the merge',
    needs: ['forks', 'replica', 'power:on', 'lab'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 6);
      const fork = await ctx.fork(replica);
      await writeFork(ctx, replica, fork, 60);
      await startFork(ctx, replica, fork);
      const { machine, content } = await promoteAndRead(ctx, replica, fork);

      assert.equal(machine.power, 'on', `after promotion the machine is ${machine.power}`);
      assertSameBytes('the promoted machine', content, mixed(60, 6));
    },
  },
  {
    id: 'FRK-007',
    level: 3,
    title: 'a promotion that was aborted is taken up again, and can be repeated',
    promise:
      'promote MUST be restartable: called again after an abort, or after it was done, it MUST end with the same machine and content.',
    cause: 'the second call finds the fork half gone, or answers NOT_FOUND',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 7);
      const fork = await ctx.fork(replica);
      await writeFork(ctx, replica, fork, 70);
      const { fence } = await ctx.fenced(replica.id);
      const { call, abort } = ctx.abortable(fence && { fence });
      const promoting = ctx.forks.promote(fork.id, call);
      abort();
      await promoting.catch(() => undefined);
      const { machine, content } = await promoteAndRead(ctx, replica, fork);
      const again = await ctx.forks.promote(fork.id, await ctx.fenced(machine.id));

      assertSameBytes('the promoted machine', content, mixed(70, 7));
      assert.equal(again.id, machine.id, `promoted again, the fork gives machine ${again.id}, before ${machine.id}`);
    },
  },
  {
    id: 'FRK-008',
    level: 3,
    title: 'the disk of a running fork is not opened',
    promise: 'openDisk MUST refuse while the fork runs.',
    cause: 'the disk is opened beside the running machine, which corrupts it',
    needs: ['forks', 'replica', 'power:on'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 8);
      const fork = await ctx.fork(replica);
      await startFork(ctx, replica, fork);

      await assertRefused('openDisk of a running fork', () => ctx.openForkDisk(replica, fork));
    },
  },
  {
    id: 'FRK-009',
    level: 3,
    title: 'a fork that was aborted under way is found by its operation',
    promise: 'After an abort, forks.create that is repeated with the same operationId MUST give one fork.',
    cause: 'the tag is written after the fork was made',
    needs: ['forks', 'replica'],
    run: async (ctx) => {
      const replica = await seeded(ctx, 9);
      const { fence } = await ctx.fenced(replica.id);
      const first = ctx.abortable(fence && { fence });
      const request = ctx.forkRequest(replica, ctx.forks.modes[0]!);
      first.abort();
      await assertAborted('forks.create', first.call, () => ctx.forks.create(replica.id, request, first.call));
      assert.deepEqual(await list(ctx), [], 'a fork was made although the signal had aborted before');

      const { call, abort } = ctx.abortable(fence && { fence });
      const creating = ctx.forks.create(replica.id, request, call);
      abort();
      await creating.catch(() => undefined);
      const fork = await ctx.forks.create(replica.id, request, await ctx.fenced(replica.id, { operationId: call.operationId }));
      assert.deepEqual(
        (await list(ctx)).map(({ id }) => id),
        [fork.id],
        'after an abort and a retry there is not one fork',
      );
    },
  },
];
