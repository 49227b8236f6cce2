// T6: snapshots grow where production lives.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { listOpenCycles } from '../../core/state/points.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MACHINES = [
  { name: 'erp-web', endpoint: 'vmm-a', read: 'agent.read' },
  { name: 'shop-web', endpoint: 'vcenter-a', read: 'device.read' },
] as const;

const fill = (world: World, endpoint: string, freeBytes?: number) => world.lab.control.call('lab.fill', { endpoint, freeBytes });
const pointsOf = async (world: World, target: string): Promise<number> =>
  ((await world.engine.call('point.list', { target })) as unknown[]).length;
const snapshotsOf = async (world: World): Promise<number> =>
  (await world.status()).leftovers.filter(({ kind }) => kind === 'snapshot').length;

for (const { name, endpoint, read } of MACHINES) {
  describe(`the storage of ${name} at ${endpoint}`, () => {
    it('gets no snapshot while too little is free, and replication goes on by itself after that', async () => {
      await using world = await World.create();
      await world.protect([name]);
      await world.advance(30_000);
      await fill(world, endpoint, 1_000);
      const before = world.faults.trace.length;

      const job = await world.run('sync.now', { target: name });

      expect(job.state).to.equal('Failed');
      expect(job.error).to.deep.include({ code: 'SOURCE_FULL' });
      expect(job.error?.message).to.contain('1000 bytes left');
      expect(world.faults.trace.slice(before).filter((call) => /CreateSnapshot/.test(call))).to.deep.equal([]);
      const { sync } = (await world.item(name)).state;
      expect(sync).to.deep.include({ is: 'Stalled' });
      expect(sync.reason).to.match(/^SOURCE_FULL: /);

      await fill(world, endpoint);
      await world.advance(30_000);
      await world.do('sync.now', { target: name });
      expect((await world.item(name)).state.sync).to.deep.equal({ is: 'Delta' });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
    });

    it('gets its snapshot back when it fills up under a cycle, and nothing is lost', async () => {
      await using world = await World.create();
      await world.protect([name]);
      await world.advance(30_000);
      const before = await pointsOf(world, name);
      await world.lab.control.call('lab.addFault', { rule: { method: read, endpoint, act: { delayMs: 12_000 } } });
      world.faults.onEnter = (call) => {
        if (call === `plugin.${read}`) void fill(world, endpoint, 1_000);
      };

      const job = await world.run('sync.now', { target: name });

      expect(job.error).to.deep.include({ code: 'SOURCE_FULL' });
      expect(await pointsOf(world, name)).to.equal(before);
      expect(await snapshotsOf(world)).to.equal(0);
      expect(await listOpenCycles(world.store.db)).to.deep.equal([]);

      world.faults.onEnter = undefined;
      await world.lab.control.call('lab.clearFaults', {});
      await fill(world, endpoint);
      await world.advance(30_000);
      await world.do('sync.now', { target: name });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });

    it('does not stand in the way of a planned failover of what is shut down', async () => {
      await using world = await World.create();
      await world.protect([name]);
      await world.advance(30_000);
      await fill(world, endpoint, 15_000);

      await world.do('failover.planned', { target: name });

      expect((await world.item(name)).state.protection).to.equal('CommitPending');
    });

    it('is not looked at when the policy says so', async () => {
      await using world = await World.create();
      await world.engine.call('policy.put', { name: 'brave', sourceFreePercent: 0 });
      await world.protect([name], { policy: 'brave' });
      await world.advance(30_000);
      await fill(world, endpoint, 15_000);

      await world.do('sync.now', { target: name });

      expect(await replicaDiffers(world, name)).to.equal(undefined);
    });
  });
}
