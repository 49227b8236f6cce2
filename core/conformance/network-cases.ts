import assert from 'node:assert/strict';
import type { MachineId, NicId, PlaceId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertRefused, collect } from './probe.ts';
import { assertFindings } from './session-cases.ts';

const networks = async (ctx: Context): Promise<PlaceId[]> =>
  (await collect(ctx.session.inventory.listPlaces('network', ctx.call()))).map((place) => place.id);

const networkOf = async (ctx: Context, machine: MachineId, nic: NicId): Promise<PlaceId | undefined> => {
  const { spec } = await ctx.session.inventory.getMachine(machine, ctx.call());
  return spec.nics.find((own) => own.id === nic)?.network;
};

const nicOf = async (ctx: Context): Promise<{ machine: MachineId; nic: NicId }> => {
  const { id, placed } = await ctx.replica();
  const [nic] = placed.nics.values();
  return { machine: id, nic: nic ?? ctx.skip('the replica has no NIC') };
};

export const networkCases: readonly Case[] = [
  {
    id: 'NET-001',
    level: 3,
    title: 'the same operation makes one test network, which is listed',
    promise: 'createTestNetwork MUST make one network per operationId, which is listed among the places.',
    cause: 'the operationId is not stored with the network',
    needs: ['network', 'testNetwork', 'scratch:network'],
    run: async (ctx) => {
      const before = await networks(ctx);
      const call = ctx.call();
      const one = await ctx.network.createTestNetwork(ctx.scratch.network!, call);
      const two = await ctx.network.createTestNetwork(ctx.scratch.network!, call);
      const made = (await networks(ctx)).filter((id) => !before.includes(id));

      assert.equal(two.id, one.id, `the same operation made ${one.id} and ${two.id}`);
      assert.deepEqual(made, [one.id], `${made.length} networks were added to the places, expected one`);
      assert.equal(one.kind, 'network', `the test network is a ${one.kind}`);
    },
  },
  {
    id: 'NET-002',
    level: 3,
    title: 'a test network that was deleted is gone, and can be deleted again',
    promise:
      'deleteTestNetwork MUST remove the network, and MUST succeed when it is gone; it MUST refuse a network that is no test network.',
    cause: '"not found" is passed on as an error, or any network can be deleted',
    needs: ['network', 'testNetwork', 'scratch:network'],
    run: async (ctx) => {
      const before = await networks(ctx);
      const { id } = await ctx.network.createTestNetwork(ctx.scratch.network!, ctx.call());
      for (const time of ['once', 'twice']) {
        await ctx.network.deleteTestNetwork(id, ctx.call());
        assert.deepEqual(await networks(ctx), before, `after deleting a test network ${time} the networks are not those of before`);
      }
      if (!ctx.subject.lab) return;
      const production = ctx.scratch.network!;
      await assertRefused('deleteTestNetwork of a production network', () => ctx.network.deleteTestNetwork(production, ctx.call()));
      assert.deepEqual(await networks(ctx), before, 'a production network was deleted');
    },
  },
  {
    id: 'NET-003',
    level: 3,
    title: 'a NIC is connected where it is asked, and disconnected',
    promise: 'connectNic MUST connect the NIC to the network, or to none, and MUST succeed when it is so already.',
    cause: 'another NIC of the machine is changed, or the change takes effect at the next start only',
    needs: ['network', 'replica', 'scratch:network'],
    run: async (ctx) => {
      const { machine, nic } = await nicOf(ctx);
      const network = ctx.scratch.network!;
      for (const [to, expected] of [
        [network, network],
        [network, network],
        ['disconnected', undefined],
        ['disconnected', undefined],
      ] as const) {
        await ctx.network.connectNic(machine, nic, to, await ctx.fenced(machine));
        const seen = await networkOf(ctx, machine, nic);
        assert.equal(seen, expected, `connected to ${to}, the NIC is at ${seen ?? 'no network'}`);
      }
      const missing = async () => ctx.network.connectNic(machine, 'no-such-nic' as NicId, network, await ctx.fenced(machine));
      await assertRefused('connectNic of an unknown NIC', missing, 'NOT_FOUND');
    },
  },
  {
    id: 'NET-004',
    level: 3,
    title: 'setting guest addresses answers with findings',
    promise: 'setGuestAddresses MUST be idempotent and MUST say by findings what the guest will not keep.',
    cause: 'a guest that cannot be reached is an error instead of a finding',
    needs: ['network', 'replica'],
    run: async (ctx) => {
      const { machine, nic } = await nicOf(ctx);
      const addresses = new Map([[nic, { ipv4: '192.0.2.10/24', gateway: '192.0.2.1', dns: ['192.0.2.53'] }]]);

      for (const _ of ['once', 'twice']) {
        assertFindings('setGuestAddresses', await ctx.network.setGuestAddresses(machine, addresses, await ctx.fenced(machine)));
      }
    },
  },
];
