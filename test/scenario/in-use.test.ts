import { expect } from 'chai';
import { describe, it } from 'mocha';
import { isDrError } from '../../core/contract/index.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const refused = async (world: World, input: object): Promise<boolean> =>
  isDrError(await world.engine.call('protect', input).catch((error: unknown) => error), 'ALREADY_PROTECTED');

describe('a machine that is a copy of a protected one', () => {
  for (const { name, another } of [
    { name: 'erp-db', another: 'erp-web' },
    { name: 'shop-db', another: 'shop-web' },
    { name: 'ledger', another: 'files' },
  ]) {
    it(`becomes neither the replica of another nor a source of its own: ${name}`, async () => {
      await using world = await World.create({ seed: 3, diskBytes: 262_144, writesPerSecond: 10 });
      await world.protect([name]);
      const { replica } = await world.item(name);
      const { machine, endpoint } = replica!;

      expect(await refused(world, { machines: [another], to: 'site-b', target: endpoint, seed: machine })).to.equal(true);
      expect(await refused(world, { machines: [machine], to: 'site-a', group: 'other' })).to.equal(true);
      await world.run('failover.test', { target: name });
      const { testFork } = await world.item(name);
      expect(await refused(world, { machines: [testFork!.machine], to: 'site-a', group: 'other' })).to.equal(true);

      await world.do('failover.cleanup', { target: name });
      await world.do('sync.now', { target: name });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
      // One that nobody needs any more is what seeds are for.
      await world.do('unprotect', { target: name, keepReplica: true });
      await world.protect([name], { target: endpoint, seed: machine });
      await world.do('sync.now', { target: name });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
    });
  }
});
