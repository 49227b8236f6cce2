import assert from 'node:assert/strict';
import type { Epoch, MachineId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertRefused, pattern } from './probe.ts';

const read = (ctx: Context, id: MachineId): Promise<Epoch | undefined> => ctx.fence.read(id, ctx.call());

/** Two above whatever there is: what lies below it is stale. */
const raise = async (ctx: Context, id: MachineId): Promise<Epoch> => {
  const held = await read(ctx, id);
  const next = ctx.epoch((held?.epoch ?? 0) + 2);
  await ctx.fence.advance(id, held, next, ctx.call());
  return next;
};

const stale = (ctx: Context, held: Epoch): Epoch[] => [ctx.epoch(held.epoch - 1), ctx.epoch(held.epoch, 'somebody-else')];

export const fenceCases: readonly Case[] = [
  {
    id: 'FNC-001',
    level: 3,
    title: 'an epoch that was set is read, from every session',
    promise:
      'advance MUST store the epoch with the machine, and read MUST give it to every session; before the first it MUST be undefined.',
    cause: 'the epoch is kept in the session',
    needs: ['fence', 'replica'],
    run: async (ctx) => {
      const { id } = await ctx.replica();
      if (ctx.target.createReplica) assert.equal(await read(ctx, id), undefined, 'a new replica has an epoch already');
      const next = await raise(ctx, id);
      const other = await ctx.connect();

      assert.deepEqual(await read(ctx, id), next, 'read does not give the epoch that was set');
      assert.deepEqual(await other.fence?.read(id, ctx.call()), next, 'another session does not see the epoch');
    },
  },
  {
    id: 'FNC-002',
    level: 3,
    title: 'an epoch is set by compare and set only',
    promise:
      'advance MUST reject with FENCED unless the stored epoch is the expected one and the next is higher, and MUST then change nothing.',
    cause: 'the expected epoch is not compared, or compared apart from the write',
    needs: ['fence', 'replica'],
    run: async (ctx) => {
      const { id } = await ctx.replica();
      const held = await raise(ctx, id);
      const refused: [string, Epoch | undefined, Epoch][] = [
        ['without an expected epoch', undefined, ctx.epoch(held.epoch + 1)],
        ['with an old expected epoch', ctx.epoch(held.epoch - 1), ctx.epoch(held.epoch + 1)],
        ['with another holder expected', ctx.epoch(held.epoch, 'somebody-else'), ctx.epoch(held.epoch + 1)],
        ['to an equal number of another holder', held, ctx.epoch(held.epoch, 'somebody-else')],
        ['to a lower number', held, ctx.epoch(held.epoch - 1)],
      ];
      for (const [how, expected, next] of refused) {
        await assertRefused(`advance ${how}`, () => ctx.fence.advance(id, expected, next, ctx.call()), 'FENCED');
        assert.deepEqual(await read(ctx, id), held, `advance ${how} was refused and changed the epoch`);
      }
      const raced = [1, 2].map((by) =>
        ctx.fence.advance(id, held, ctx.epoch(held.epoch + 1, `holder-${by}`), ctx.call()).then(
          () => true,
          () => false,
        ),
      );
      const won = (await Promise.all(raced)).filter(Boolean).length;
      assert.equal(won, 1, `of two that advance from one epoch at a time ${won} succeeded`);
    },
  },
  {
    id: 'FNC-003',
    level: 3,
    title: 'a stale epoch changes nothing',
    promise:
      'Where there is a fence store, calls that power on, attach, write or delete MUST reject with FENCED when their epoch is older, and MUST have no effect.',
    cause: 'the epoch is compared in some calls and forgotten in others',
    needs: ['fence', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const { id, disks, spec } = replica;
      const disk = await ctx.openReplicaDisk(replica);
      const held = await raise(ctx, id);
      for (const fence of stale(ctx, held)) {
        const call = () => ctx.call({ fence });
        const how = `with epoch ${fence.epoch} of ${fence.holder}`;
        await assertRefused(`write ${how}`, () => disk.write(0, pattern(1, 4096), call()), 'FENCED');
        await assertRefused(`openReplicaDisk ${how}`, () => ctx.target.openReplicaDisk(id, disks[0]!, call()), 'FENCED');
        await assertRefused(`reshapeReplica ${how}`, () => ctx.target.reshapeReplica(id, spec, call()), 'FENCED');
        if (ctx.session.capabilities.power.includes('on')) {
          await assertRefused(`power on ${how}`, () => ctx.power.set(id, 'on', call()), 'FENCED');
        }
        if (ctx.target.forks) {
          const request = ctx.forkRequest(replica, ctx.forks.modes[0]!);
          await assertRefused(`forks.create ${how}`, () => ctx.forks.create(id, request, call()), 'FENCED');
        }
        const doomed = disks.at(-1)!;
        await assertRefused(`deleteReplicaDisk ${how}`, () => ctx.target.deleteReplicaDisk(id, doomed, call()), 'FENCED');
        if (ctx.target.deleteReplica) await assertRefused(`deleteReplica ${how}`, () => ctx.target.deleteReplica!(id, call()), 'FENCED');
      }
      const seen = await ctx.session.inventory.getMachine(id, ctx.call());
      assert.equal(seen.power, 'off', `after refused calls the replica is ${seen.power}`);
      for (const one of disks)
        assert.ok(
          seen.spec.disks.some((own) => own.id === one),
          `after refused calls disk ${one} is gone`,
        );
    },
  },
  {
    id: 'FNC-004',
    level: 3,
    title: 'an isolated machine is off and off the network',
    promise: 'isolate MUST take every NIC off its network and then power the machine off, and MUST succeed when it is so already.',
    cause: 'the machine is powered off and starts again with its network',
    needs: ['fence', 'replica', 'network', 'scratch:network', 'power:on'],
    run: async (ctx) => {
      const { id, placed } = await ctx.replica();
      for (const nic of placed.nics.values()) await ctx.network.connectNic(id, nic, ctx.scratch.network!, await ctx.fenced(id));
      await ctx.power.set(id, 'on', await ctx.fenced(id));
      for (const time of ['once', 'twice']) {
        await ctx.fence.isolate(id, await ctx.fenced(id));
        const seen = await ctx.session.inventory.getMachine(id, ctx.call());
        const connected = seen.spec.nics.filter((nic) => nic.network !== undefined).length;
        assert.deepEqual(
          [seen.power, connected],
          ['off', 0],
          `isolated ${time}, the machine is ${seen.power} with ${connected} NICs connected`,
        );
      }
    },
  },
];
