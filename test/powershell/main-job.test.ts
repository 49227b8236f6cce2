// The main job for Hyper-V machines, where the plugin speaks to its hosts through a true PowerShell.
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';
import { mockModules } from './engine.ts';
import type { MockModules } from './mock/modules.ts';
import { createTrueEstate } from './mock/open.ts';

const MACHINE = 'erp-web';

describe('the main job through a true PowerShell', function () {
  this.timeout(180_000);
  let modules: MockModules;

  before(async function () {
    modules = await mockModules(this);
  });
  after(() => modules?.[Symbol.asyncDispose]());

  const open = (): Promise<World> => World.create({ openEstate: (options) => createTrueEstate(modules, options) });

  const cycle = async (world: World): Promise<void> => {
    await world.advance(3_000);
    await world.do('sync.now', { target: MACHINE });
  };

  it('replicates byte for byte, and a test failover starts the machine and leaves nothing behind', async () => {
    await using world = await open();
    await world.protect([MACHINE]);
    await cycle(world);

    await world.do('failover.test', { target: MACHINE });
    const { lastTest } = await world.item(MACHINE);
    await world.do('failover.cleanup', { target: MACHINE });

    expect(lastTest).to.include({ booted: true });
    expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);
    expect((await world.status()).leftovers.filter(({ kind }) => kind !== 'replica')).to.deep.equal([]);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });

  it('fails over as planned without loss, re-protects, and comes home', async () => {
    await using world = await open();
    await world.protect([MACHINE]);
    await cycle(world);
    const { source } = await world.item(MACHINE);

    await world.do('failover.planned', { target: MACHINE });
    const { fork } = await world.item(MACHINE);
    expect(world.startedFrom.get(fork?.machine ?? '')).to.deep.equal(await world.digests({ machine: source.machine }));

    await world.do('failover.commit', { target: MACHINE });
    expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);

    await world.do('failback', { target: MACHINE });
    expect((await world.item(MACHINE)).state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
    expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});
