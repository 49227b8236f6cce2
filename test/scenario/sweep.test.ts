import { expect } from 'chai';
import { describe, it } from 'mocha';
import { World } from '../support/world.ts';

describe('a sweep', () => {
  for (const [what, machine, endpoint, method, read] of [
    ['a cycle', 'erp-web', 'vmm-a', 'source.listSnapshots', 'disk.read'],
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
