import { expect } from 'chai';
import { describe, it } from 'mocha';
import { listJobs } from '../../core/state/jobs.ts';
import { brokenInvariants } from '../support/rules.ts';
import { dieAfterStep, goOn } from '../support/steps.ts';
import { World } from '../support/world.ts';

const prepared = async (name: string): Promise<World> => {
  const world = await World.create({ seed: 3, diskBytes: 262_144, writesPerSecond: 10 });
  await world.protect([name]);
  await world.advance(2_000);
  return world;
};

describe('a failover that goes on after its engine was dead for a while', () => {
  for (const name of ['erp-web', 'shop-web']) {
    for (const kind of ['planned', 'unplanned']) {
      it(`starts no second copy beside a source that somebody has started again: ${name}, ${kind}`, async () => {
        await using world = await prepared(name);
        await dieAfterStep(world, /^final point/, () => world.run(`failover.${kind}`, { target: name }));
        const { machine } = (await world.item(name)).source;
        await world.lab.control.call('lab.power', { machine, to: 'on' });
        await world.advance(60_000);

        await goOn(world);

        const [job] = await listJobs(world.store.db);
        expect(job?.error).to.include({ code: 'STATE_CONFLICT' });
        expect(await brokenInvariants(world)).to.deep.equal([]);
        // The way on: off again, and what was written meanwhile comes along.
        await world.do(`failover.${kind}`, { target: name });
        const { fork } = await world.item(name);
        expect(world.startedFrom.get(fork!.machine)).to.deep.equal(await world.digests({ machine }));
        expect(await brokenInvariants(world)).to.deep.equal([]);
      });
    }
  }
});
