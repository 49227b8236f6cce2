import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Journal } from '../../core/journal/journal.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { goOn } from '../support/steps.ts';
import { World } from '../support/world.ts';

/** Two points, and a block of the replica that nobody of ours has written. */
const rotten = async (name: string): Promise<World> => {
  const world = await World.create({ seed: 3, writesPerSecond: 0 });
  await world.protect([name]);
  await world.do('sync.now', { target: name });
  const { replica, disks } = await world.item(name);
  const block = { machine: replica!.machine, disk: disks[0]!.replicaDisk!, offset: 4096, data: new Uint8Array(4096).fill(9) };
  await world.lab.control.call('lab.write', block);
  expect(await replicaDiffers(world, name)).to.be.a('string');
  return world;
};

const journalOf = async (world: World, name: string): Promise<Journal> =>
  world.engine.core.journals.journal('site-b', await world.itemId(name));

describe('a verification whose engine dies after its point was sealed', () => {
  for (const name of ['erp-web', 'shop-web']) {
    it(`says what it found, although its own point has mended it: ${name}`, async () => {
      await using world = await rotten(name);
      const journal = await journalOf(world, name);
      world.faults.onEnter = () => {
        if (journal.points.length > 2) world.faults.crashAt ??= world.faults.calls + 2;
      };
      const { crashed } = await world.untilCrash(world.run('sync.verify', { target: name }));
      expect(crashed).to.equal(true);

      await goOn(world);

      expect((await world.item(name)).state.sync.is).to.equal('ResyncRequired');
      const marks = await world.engine.core.journals.marks('site-b');
      const { points } = await journalOf(world, name);
      expect(points.map(({ point }) => marks.isSuspect(point))).to.deep.equal([true, true, false]);
    });
  }
});

describe('a resync that is asked for while a delta runs', () => {
  it('compares after it', async () => {
    const name = 'erp-web';
    await using world = await rotten(name);
    const running = world.run('sync.now', { target: name });
    while (world.engine.core.activeCycles.size === 0) await new Promise((resolve) => setImmediate(resolve));
    await world.do('sync.resync', { target: name });
    await running;

    expect((await journalOf(world, name)).points.map(({ kind }) => kind)).to.deep.equal(['first', 'delta', 'delta', 'compare']);
    expect(await replicaDiffers(world, name)).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});
