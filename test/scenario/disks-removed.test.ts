import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Journal } from '../../core/journal/journal.ts';
import { brokenInvariants, replicaDiffers, truthOf } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;

/** A second disk that one point has, and that the source has no more in the next one. */
const withFormerDisk = async (name: string): Promise<World> => {
  const world = await World.create({ seed: 3, writesPerSecond: 3 });
  await world.protect([name]);
  const { machine } = (await world.item(name)).source;
  const { disk } = await world.lab.control.call('lab.addDisk', { machine, sizeBytes: MIB });
  await world.lab.control.call('lab.write', { machine, disk, offset: 65_536, data: new Uint8Array(4096).fill(8) });
  await world.do('sync.now', { target: name });
  await world.lab.control.call('lab.removeDisk', { machine, disk });
  return world;
};

const journalOf = async (world: World, name: string): Promise<Journal> =>
  world.engine.core.journals.journal('site-b', await world.itemId(name));

describe('a disk that the source has no more', () => {
  for (const name of ['erp-web', 'shop-web', 'ledger']) {
    it(`is still there for the points that have it, when another one has taken its place: ${name}`, async () => {
      await using world = await withFormerDisk(name);
      const { machine } = (await world.item(name)).source;
      await world.lab.control.call('lab.addDisk', { machine, sizeBytes: MIB });
      for (let cycle = 0; cycle < 2; cycle++) await world.do('sync.now', { target: name });
      const { points } = await journalOf(world, name);
      expect(points.map(({ kind }) => kind)).to.deep.equal(['first', 'delta', 'delta', 'delta']);

      await world.do('failover.test', { target: name, point: points[1]!.point });

      const { testFork } = await world.item(name);
      expect(world.startedFrom.get(testFork!.machine)).to.have.members((await truthOf(world, points[1]!, machine))!);
    });

    it(`bars neither commit nor the way back: ${name}`, async () => {
      await using world = await withFormerDisk(name);
      await world.do('failover.planned', { target: name });
      await world.do('failover.commit', { target: name });
      await world.do('sync.now', { target: name });

      expect((await world.item(name)).state.protection).to.equal('Protected');
      expect(await brokenInvariants(world)).to.deep.equal([]);
      await world.do('failback', { target: name });
      await world.do('sync.now', { target: name });
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }

  it('is not missed after a failover to a point from before it was added', async () => {
    const name = 'shop-web';
    await using world = await withFormerDisk(name);
    const [first] = (await journalOf(world, name)).points;
    await world.lab.control.call('lab.power', { machine: (await world.item(name)).source.machine, to: 'off' });
    await world.do('failover.unplanned', { target: name, point: first!.point });
    await world.do('failover.commit', { target: name });
    await world.do('reprotect', { target: name });
    await world.do('sync.now', { target: name });

    expect(await replicaDiffers(world, name)).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});
