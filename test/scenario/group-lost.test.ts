import { expect } from 'chai';
import { describe, it } from 'mocha';
import { brokenInvariants } from '../support/rules.ts';
import { goOn } from '../support/steps.ts';
import { World } from '../support/world.ts';

describe('a group whose engine dies with its protected site', () => {
  it('keeps the last point that all members have sealed, and goes on from it', async () => {
    await using world = await World.create({ seed: 3, diskBytes: 262_144, writesPerSecond: 10 });
    const names = ['erp-db', 'shop-db'];
    await world.protect(names);
    await world.advance(2_000);
    const { core } = world.engine;
    const journalOf = async (name: string) => world.engine.core.journals.journal('site-b', await world.itemId(name));
    const journals = await Promise.all(names.map(journalOf));
    // Sealed by both; the mark that makes it a point of the group is not written any more.
    world.faults.onEnter = () => {
      const [id] = core.activeCycles.keys();
      if (id && journals.every((journal) => journal.findCycle(id))) world.faults.crashAt ??= world.faults.calls;
    };
    const planner = world.engine.startPlanner();
    await world.untilCrash(planner.tick().then(() => planner.idle()));
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });

    await goOn(world);

    for (const name of names) expect((await journalOf(name)).points).to.have.length(2);
    await world.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: true });
    await world.advance(30_000);
    await world.engine.sweep();
    await world.do('sync.now', { target: 'all' });
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});
