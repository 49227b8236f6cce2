import { expect } from 'chai';
import { describe, it } from 'mocha';
import { isDrError } from '../../core/contract/index.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const protectedWorld = async (): Promise<World> => {
  const world = await World.create();
  await world.protect(['erp-db', 'shop-db'], { group: 'all' });
  await world.advance(3_000);
  await world.do('sync.now', { target: 'all' });
  return world;
};

describe('the survivor acts alone (S1)', () => {
  it('rebuilds a lost home from the recovery site’s directory and fails over with the protected site gone', async () => {
    await using world = await protectedWorld();
    const before = (await world.engine.call('point.list', { target: 'all' })) as { id: string }[];
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });
    await world.loseStore();
    await world.engine.start();
    await world.engine.call('site.adopt', { id: 'site-b' });
    await world.crashAndRestart();

    const after = (await world.engine.call('point.list', { target: 'all' })) as { id: string }[];
    expect(after.map((point) => point.id)).to.deep.equal(before.map((point) => point.id));
    await world.do('failover.unplanned', { target: 'all', sourceIs: 'unreachable' });
    for (const name of ['erp-db', 'shop-db']) expect((await world.item(name)).state.protection).to.equal('CommitPending');
    expect((await world.status()).violations).to.deep.equal([]);
  });

  it('refuses to adopt into a home that protects machines', async () => {
    await using world = await protectedWorld();
    const refusal = await world.engine.call('site.adopt', { id: 'site-b' }).catch((error: unknown) => error);

    expect(isDrError(refusal, 'STATE_CONFLICT')).to.equal(true);
  });
});

describe('a state store that came back from a backup (F5)', () => {
  it('is read-only until reconcile, which takes the newer points in', async () => {
    await using world = await protectedWorld();
    const backup = await world.backUpStore();
    await world.advance(3_000);
    await world.do('sync.now', { target: 'all' });
    const newest = (await world.engine.call('point.list', { target: 'erp-db' })) as { id: string }[];
    await world.restoreStore(backup);
    const started = await world.engine.start();

    expect(started.readOnlyBecause).to.contain('newer than the state store');
    const refusal = await world.engine.call('sync.now', { target: 'all' }).catch((error: unknown) => error);
    expect(isDrError(refusal, 'OPERATION_NOT_ALLOWED')).to.equal(true);
    await world.engine.call('reconcile', {});
    expect(((await world.engine.call('point.list', { target: 'erp-db' })) as { id: string }[]).map((point) => point.id)).to.deep.equal(
      newest.map((point) => point.id),
    );
    await world.advance(1_000);
    await world.do('sync.now', { target: 'all' });
    expect(await replicaDiffers(world, 'erp-db')).to.equal(undefined);
    await world.engine.sweep();
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});

describe('a cycle (T6)', () => {
  it('is given up when its snapshots are older than the policy allows, and the next one loses nothing', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'hasty', maxSnapshotSeconds: 60 });
    await world.protect(['shop-web'], { policy: 'hasty' });
    await world.advance(3_000);
    await world.lab.control.call('lab.addFault', { rule: { method: 'vim.QueryChangedDiskAreas', act: { delayMs: 25_000 } } });
    await world.lab.control.call('lab.addFault', { rule: { method: 'device.read', act: { delayMs: 50_000 } } });
    const job = await world.run('sync.now', { target: 'shop-web' });
    await world.lab.control.call('lab.clearFaults', {});

    expect(job.state).to.equal('Failed');
    await world.do('sync.now', { target: 'shop-web' });
    expect(await replicaDiffers(world, 'shop-web')).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});

describe('application consistency (P3)', () => {
  const kinds = async (world: World): Promise<string[]> =>
    ((await world.engine.call('point.list', { target: 'shop-web' })) as { consistency: string }[]).map((point) => point.consistency);

  it('is asked for at the policy’s interval, and points between are crash-consistent', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'app', consistency: 'application', applicationIntervalSeconds: 60 });
    await world.protect(['shop-web'], { policy: 'app' });
    for (const seconds of [10, 10, 60]) {
      await world.advance(seconds * 1_000);
      await world.do('sync.now', { target: 'shop-web' });
    }

    expect(await kinds(world)).to.deep.equal(['application', 'crash', 'crash', 'application']);
  });

  it('that cannot be had falls back with the reason, or refuses the point, as the policy says', async () => {
    for (const [orElse, expected] of [
      ['crash', 'Succeeded'],
      ['refuse', 'Failed'],
    ] as const) {
      await using world = await World.create();
      await world.engine.call('policy.put', { name: 'app', consistency: 'application', applicationIntervalSeconds: 0, orElse });
      await world.protect(['shop-web'], { policy: 'app' });
      const { machine } = await world.machine('shop-web', 'vcenter-a');
      await world.lab.control.call('lab.power', { machine, to: 'off' });

      expect((await world.run('sync.now', { target: 'shop-web' })).state, orElse).to.equal(expected);
    }
  });

  it('is not asked of a machine that was shut down for its planned failover', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'app', consistency: 'application', applicationIntervalSeconds: 0, orElse: 'refuse' });
    await world.protect(['shop-web'], { policy: 'app' });
    await world.do('failover.planned', { target: 'shop-web' });

    expect((await world.item('shop-web')).state.protection).to.equal('CommitPending');
  });
});
