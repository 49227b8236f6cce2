import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openVim25 } from '../../adapters/vsphere/vim25/client.ts';
import { Vim } from '../support/vim.ts';
import { World } from '../support/world.ts';

/** What has to fail so that a cycle can neither read its snapshot nor release it. */
const LEFT = [
  { machine: 'shop-web', read: 'device.read', release: 'vim.RemoveSnapshot_Task' },
  { machine: 'erp-web', read: 'agent.read', release: 'ps.Msvm_VirtualSystemSnapshotService.DestroySnapshot' },
] as const;

const leaveSnapshot = async (world: World, { machine, read, release }: (typeof LEFT)[number]): Promise<void> => {
  await world.protect([machine]);
  for (const method of [read, release]) await world.lab.control.call('lab.addFault', { rule: { method, act: { error: 'INTERNAL' } } });
  await world.advance(2_000);
  await world.run('sync.now', { target: machine });
};

describe('a sweep', () => {
  for (const [what, machine, endpoint, method, read] of [
    ['a cycle', 'erp-web', 'vmm-a', 'ps.Get-VMSnapshot', 'agent.read'],
    ['a cycle at a vCenter', 'shop-web', 'vcenter-a', 'vim.CreateContainerView', 'device.read'],
  ] as const) {
    it(`leaves the snapshot of ${what} that began after it did`, async () => {
      await using world = await World.create({ writesPerSecond: 60 });
      await world.protect([machine]);
      await world.advance(3_000);
      // The sweep looks while the cycle reads.
      await world.lab.control.call('lab.addFault', { rule: { method, endpoint, act: { delayMs: 5_000 } } });
      await world.lab.control.call('lab.addFault', { rule: { method: read, act: { delayMs: 20_000 } } });

      const sweeping = world.engine.call('sweep', {});
      const cycle = await world.run('sync.now', { target: machine });

      expect(await sweeping).to.include({ snapshots: 0, forks: 0 });
      expect(cycle.state).to.equal('Succeeded');
    });
  }
});

describe('a cycle', () => {
  it('gives back the snapshot of a killed cycle that the server finished after the sweep, and goes on', async () => {
    await using world = await World.create({ writesPerSecond: 60 });
    await world.protect(['shop-web']);
    const { source } = await world.item('shop-web');
    const tag = { warmsite: 1, owner: world.engine.core.ownerId, operationId: 'cycle-of-a-killed-engine/0', kind: 'cycle' };
    await using client = await openVim25(world.lab.openWire, { address: 'vcenter-a', username: 'warmsite', password: 'warmsite' });
    const vim = new Vim(client);
    const vm = { type: 'VirtualMachine', value: source.machine };
    const description = JSON.stringify(tag);
    await vim.task('CreateSnapshot_Task', vm, { name: 'warmsite cycle', description, memory: false, quiesce: false });

    const cycle = await world.run('sync.now', { target: 'shop-web' });

    expect(cycle.state).to.equal('Succeeded');
    expect((await vim.get(vm, 'snapshot'))['snapshot']).to.equal(undefined);
  });

  it('gives back the snapshot of a cycle before, which could not be released, without waiting for a sweep', async () => {
    for (const left of LEFT) {
      const { machine } = left;
      await using world = await World.create({ writesPerSecond: 60 });
      await leaveSnapshot(world, left);
      await world.lab.control.call('lab.clearFaults', {});
      await world.advance(2_000);

      const cycle = await world.run('sync.now', { target: machine });

      expect(cycle.state, machine).to.equal('Succeeded');
      expect((await world.status()).leftovers.filter(({ kind }) => kind === 'snapshot')).to.deep.equal([]);
    }
  });
});

describe('a re-protect', () => {
  it('gives back the snapshot of a cycle whose site went dark, which is in its way at the old source', async () => {
    for (const left of LEFT) {
      const { machine } = left;
      await using world = await World.create({ writesPerSecond: 60 });
      await leaveSnapshot(world, left);
      await world.lab.control.call('lab.burnSite', { site: 'site-a' });
      await world.lab.control.call('lab.clearFaults', {});
      await world.do('failover.unplanned', { target: machine, sourceIs: 'unreachable' });
      await world.do('failover.commit', { target: machine });
      await world.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: true });

      const reprotect = await world.run('reprotect', { target: machine });

      expect(reprotect.state, `${machine}: ${JSON.stringify(reprotect)}`).to.equal('Succeeded');
      expect((await world.status()).leftovers.filter(({ kind }) => kind === 'snapshot')).to.deep.equal([]);
    }
  });
});
