import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { FaultRule } from '../../adapters/lab/port.ts';
import { createTwinPair } from '../support/native-pair/twin.ts';
import { brokenInvariants } from '../support/rules.ts';
import { World } from '../support/world.ts';

const once = (world: World, rule: FaultRule) => world.lab.control.call('lab.addFault', { rule: { ...rule, times: 1 } });

const testNetworks = async (world: World): Promise<number> =>
  (await world.status()).leftovers.filter(({ kind }) => kind === 'testNetwork').length;

interface Method {
  readonly is: string;
  readonly machine: string;
  open(): Promise<World>;
}

const METHODS: readonly Method[] = [
  {
    is: 'journaled',
    machine: 'erp-web',
    open: async () => {
      const world = await World.create({ diskBytes: 262_144, writesPerSecond: 1 });
      await world.protect(['erp-web']);
      return world;
    },
  },
  {
    is: 'native',
    machine: 'crm',
    open: async () => {
      const world = await createTwinPair(1);
      await world.do('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' });
      return world;
    },
  },
];

for (const { is, machine, open } of METHODS) {
  describe(`a test failover under ${is} replication leaves no network (promise 5)`, () => {
    it('when its machine does not start', async () => {
      await using world = await open();
      await once(world, { method: 'ps.Start-VM', act: { error: 'TARGET_FULL' } });

      const job = await world.run('failover.test', { target: machine });

      expect(job.state).to.equal('Failed');
      expect((await world.item(machine)).state.test).to.equal('None');
      expect(await testNetworks(world)).to.equal(0);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });

    it('when the answer to its making is lost', async () => {
      await using world = await open();
      await once(world, { method: 'ps.New-VMSwitch', act: { cut: 'after' } });

      await world.run('failover.test', { target: machine });
      if ((await world.item(machine)).state.test !== 'None') await world.do('failover.cleanup', { target: machine });

      expect(await testNetworks(world)).to.equal(0);
    });

    it('when its removal fails once: the clean-up says so and is run again', async () => {
      await using world = await open();
      await world.do('failover.test', { target: machine });
      await once(world, { method: 'ps.Remove-VMSwitch', act: { error: 'PERMISSION_DENIED' } });

      const failed = await world.run('failover.cleanup', { target: machine });
      const { test } = (await world.item(machine)).state;
      await world.do('failover.cleanup', { target: machine });

      expect([failed.state, test]).to.deep.equal(['Failed', 'CleanupFailed']);
      expect((await world.item(machine)).state.test).to.equal('None');
      expect(await testNetworks(world)).to.equal(0);
    });

    it('when the machine is unprotected meanwhile', async () => {
      await using world = await open();
      await world.do('failover.test', { target: machine });

      await world.do('unprotect', { target: machine });

      expect(await testNetworks(world)).to.equal(0);
    });
  });
}

describe('a group under test', () => {
  it('shares its networks until the last machine is cleaned up', async () => {
    await using world = await World.create({ diskBytes: 262_144, writesPerSecond: 1 });
    await world.protect(['erp-web', 'erp-db']);
    await world.do('failover.test', { target: 'all' });
    const running = await testNetworks(world);

    await world.do('failover.cleanup', { target: 'erp-web' });
    const shared = await testNetworks(world);
    await world.do('failover.cleanup', { target: 'erp-db' });

    expect(running).to.be.greaterThan(0);
    expect([shared, await testNetworks(world)]).to.deep.equal([running, 0]);
  });

  it('has none left when all are cleaned up at once', async () => {
    await using world = await World.create({ diskBytes: 262_144, writesPerSecond: 1 });
    await world.protect(['erp-web', 'erp-db']);
    await world.do('failover.test', { target: 'all' });

    await world.do('failover.cleanup', { target: 'all' });

    expect(await testNetworks(world)).to.equal(0);
  });
});
