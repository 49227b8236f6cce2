import { expect } from 'chai';
import { describe, it } from 'mocha';
import { brokenInvariants, replicaDiffers, truthOf } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MACHINES = [
  { kind: 'Hyper-V', name: 'erp-web' },
  { kind: 'Hyper-V with two disks', name: 'erp-db' },
  { kind: 'VMware', name: 'shop-web' },
  { kind: 'VMware with two disks', name: 'shop-db' },
  { kind: 'physical', name: 'files' },
] as const;

interface PointRow {
  readonly id: string;
  readonly takenAt: string;
}

const pointsOf = async (world: World, target: string): Promise<PointRow[]> =>
  (await world.engine.call('point.list', { target })) as PointRow[];

/** Several points with writes in between, oldest first. */
const makePoints = async (world: World, target: string, count: number): Promise<PointRow[]> => {
  for (let n = 0; n < count; n++) {
    await world.advance(3_000);
    await world.do('sync.now', { target });
  }
  return pointsOf(world, target);
};

/** What the lab says the guest had written at the instant of a point. */
const truthAt = async (world: World, name: string, pointId: string): Promise<string[]> => {
  const item = await world.item(name);
  const journal = await world.engine.core.journals.journal(item.state.direction.to, item.id);
  const point = journal.points.find((candidate) => candidate.point === pointId);
  if (!point) throw new Error(`no point ${pointId}`);
  const truth = await truthOf(world, point, item.source.machine);
  if (!truth) throw new Error(`no truth for ${pointId}`);
  return truth;
};

const expectSound = async (world: World): Promise<void> => {
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

describe('the main job', () => {
  for (const { kind, name } of MACHINES) {
    describe(`for a ${kind} machine`, () => {
      it('replicates byte for byte while the guest writes (promise 1)', async () => {
        await using world = await World.create();
        await world.protect([name]);
        const points = await makePoints(world, name, 3);

        expect(points).to.have.length(4);
        expect(await replicaDiffers(world, name)).to.equal(undefined);
        await expectSound(world);
      });

      it('test failover starts the newest and an older point as they were, and leaves nothing behind', async () => {
        await using world = await World.create();
        await world.protect([name]);
        const points = await makePoints(world, name, 3);
        const chosen = [points.at(-1), points[1]] as PointRow[];
        for (const point of chosen) {
          const truth = await truthAt(world, name, point.id);
          await world.do('failover.test', { target: name, point: point.id });
          const item = await world.item(name);
          const fork = item.testFork;

          expect(item.state.test).to.equal('Running');
          expect(item.lastTest).to.include({ booted: true, point: point.id });
          expect(world.startedFrom.get(fork?.machine ?? '')).to.deep.equal(truth);
          expect((await world.verdict({ machine: fork?.machine as never })).consistent).to.equal(true);

          await world.do('sync.now', { target: name });
          await world.do('failover.cleanup', { target: name });
          expect(await replicaDiffers(world, name)).to.equal(undefined);
        }
        await expectSound(world);
        expect((await world.status()).leftovers.filter((entry) => entry.kind !== 'replica')).to.deep.equal([]);
      });

      it('planned failover loses nothing, commit goes on into re-protect, failback restores the shape (promise 4)', async () => {
        await using world = await World.create();
        await world.protect([name]);
        await makePoints(world, name, 2);
        const before = await world.item(name);

        const job = await world.do('failover.planned', { target: name });
        const source = await world.digests({ machine: before.source.machine });
        const failedOver = await world.item(name);
        expect(
          Object.values((job.result as { members: Record<string, { lossMs: number }> }).members).map((member) => member.lossMs),
        ).to.deep.equal([0]);
        expect(failedOver.state).to.deep.include({ protection: 'CommitPending', active: { site: 'site-b' } });
        expect(world.startedFrom.get(failedOver.fork?.machine ?? '')).to.deep.equal(source);
        await expectSound(world);

        await world.advance(3_000);
        await world.do('failover.commit', { target: name });
        const reversed = await world.item(name);
        expect(reversed.state).to.deep.include({
          protection: 'Protected',
          active: { site: 'site-b' },
          direction: { from: 'site-b', to: 'site-a' },
        });
        expect(reversed.replica?.machine).to.equal(before.source.machine);
        expect(await replicaDiffers(world, name)).to.equal(undefined);
        await expectSound(world);

        await makePoints(world, name, 1);
        await world.do('failback', { target: name });
        const home = await world.item(name);
        expect(home.state).to.deep.include({
          protection: 'Protected',
          active: { site: 'site-a' },
          direction: { from: 'site-a', to: 'site-b' },
        });
        expect(await replicaDiffers(world, name)).to.equal(undefined);
        await makePoints(world, name, 1);
        expect(await replicaDiffers(world, name)).to.equal(undefined);
        await expectSound(world);
      });

      it('unplanned failover states its loss, which is at most the lag, and the returning source is fenced', async () => {
        await using world = await World.create();
        await world.protect([name]);
        const points = await makePoints(world, name, 2);
        await world.advance(4_000);
        await world.lab.control.call('lab.burnSite', { site: 'site-a' });
        const lagMs = Date.parse((await world.status()).now) - Date.parse(points.at(-1)?.takenAt ?? '');
        const truth = await truthAt(world, name, points.at(-1)?.id ?? '');

        const job = await world.do('failover.unplanned', { target: name, sourceIs: 'unreachable' });
        const [member] = Object.values((job.result as { members: Record<string, { lossMs: number; point: string }> }).members);
        const item = await world.item(name);
        expect(member?.point).to.equal(points.at(-1)?.id);
        expect(member?.lossMs).to.be.within(1, lagMs + 1_000);
        expect(world.startedFrom.get(item.fork?.machine ?? '')).to.deep.equal(truth);
        expect(item.state.active).to.equal('unknown');

        await world.do('failover.commit', { target: name });
        await world.lab.control.call('lab.restoreSite', { site: 'site-a' });
        await world.do('reprotect', { target: name });
        const back = await world.item(name);
        expect(back.state).to.deep.include({ protection: 'Protected', active: { site: 'site-b' } });
        expect(await replicaDiffers(world, name)).to.equal(undefined);
        await expectSound(world);
      });
    });
  }

  it('a failover whose networks are not mapped is refused while its source still runs', async () => {
    await using world = await World.create({ diskBytes: 262_144, writesPerSecond: 20 });
    await world.protect(['shop-web']);
    await world.store.db.deleteFrom('mapping').execute();

    const job = await world.run('failover.planned', { target: 'shop-web' });

    expect(job.state).to.equal('Failed');
    expect(job.error?.code).to.equal('MAPPING_MISSING');
    expect((await world.machine('shop-web', 'vcenter-a')).power).to.equal('on');
    expect((await world.item('shop-web')).state).to.include({ protection: 'Protected' });
  });

  it('change point and cancel bring back exactly the chosen state after the machine has written for a while', async () => {
    await using world = await World.create();
    await world.protect(['shop-web']);
    const points = await makePoints(world, 'shop-web', 3);
    await world.do('failover.planned', { target: 'shop-web' });
    await world.advance(5_000);
    const older = points[1]?.id ?? '';
    await world.do('failover.change-point', { target: 'shop-web', point: older });
    const changed = await world.item('shop-web');
    expect(world.startedFrom.get(changed.fork?.machine ?? '')).to.deep.equal(await truthAt(world, 'shop-web', older));

    await world.advance(5_000);
    await world.do('failover.cancel', { target: 'shop-web' });
    const back = await world.item('shop-web');
    expect(back.state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' }, sync: { is: 'Delta' } });
    expect((await world.machine('shop-web', 'vcenter-a')).power).to.equal('on');
    await makePoints(world, 'shop-web', 1);
    expect(await replicaDiffers(world, 'shop-web')).to.equal(undefined);
    await expectSound(world);
  });

  it('change point starts nothing beside a source that came back and runs, and does so once one of them is chosen', async () => {
    await using world = await World.create();
    await world.protect(['shop-web']);
    const points = await makePoints(world, 'shop-web', 2);
    const link = (up: boolean) => world.lab.control.call('lab.setLink', { site: 'site-a', up });
    await link(false);
    await world.do('failover.unplanned', { target: 'shop-web', sourceIs: 'unreachable' });
    await link(true);
    await world.engine.call('sweep', {});
    expect((await world.item('shop-web')).state.active).to.equal('both');
    const seen = (await world.status()).violations.length;

    const refused = await world.run('failover.change-point', { target: 'shop-web', point: points[0]?.id ?? '' });

    expect(refused.error).to.deep.include({ code: 'OPERATION_NOT_ALLOWED' });
    expect(refused.error?.hint).to.contain('resolve --keep site-b');
    expect((await world.item('shop-web')).state.protection).to.equal('CommitPending');
    expect((await world.status()).violations).to.have.length(seen);

    await world.do('resolve', { target: 'shop-web', keep: 'site-b' });
    await world.do('failover.change-point', { target: 'shop-web', point: points[0]?.id ?? '' });
    expect((await world.status()).violations).to.have.length(seen);
  });

  it('cancel leaves a machine off that was off before, and one that stays off because somebody wants it so is not called running', async () => {
    for (const { before, startSource, after, active } of [
      { before: 'off', startSource: true, after: 'off', active: { site: 'site-a' } },
      { before: 'on', startSource: false, after: 'off', active: 'neither' },
      { before: 'on', startSource: true, after: 'on', active: { site: 'site-a' } },
    ] as const) {
      await using world = await World.create();
      await world.protect(['shop-web']);
      const { source } = await world.item('shop-web');
      if (before === 'off') await world.lab.control.call('lab.power', { machine: source.machine, to: 'off' });
      await world.do('failover.planned', { target: 'shop-web' });

      await world.do('failover.cancel', { target: 'shop-web', startSource });

      const seen = `${before}, ${startSource}`;
      expect((await world.item('shop-web')).state.active, seen).to.deep.equal(active);
      expect((await world.machine('shop-web', 'vcenter-a')).power, seen).to.equal(after);
    }
  });

  it('re-protect after an unplanned failover to an older point keeps the old disks as a divergent point', async () => {
    await using world = await World.create();
    await world.protect(['erp-web']);
    const points = await makePoints(world, 'erp-web', 3);
    await world.advance(3_000);
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });
    await world.do('failover.unplanned', { target: 'erp-web', point: points[1]?.id, sourceIs: 'unreachable' });
    await world.advance(3_000);
    await world.do('failover.commit', { target: 'erp-web' });
    await world.lab.control.call('lab.restoreSite', { site: 'site-a' });
    const old = await world.item('erp-web');
    const oldContent = await world.digests({ machine: old.source.machine });
    await world.do('reprotect', { target: 'erp-web' });

    const item = await world.item('erp-web');
    const journal = await world.engine.core.journals.journal('site-a', item.id);
    expect(journal.points[0]?.kind).to.equal('divergent');
    await world.do('failover.test', { target: 'erp-web', point: journal.points[0]?.point });
    const fork = (await world.item('erp-web')).testFork;
    expect(world.startedFrom.get(fork?.machine ?? '')).to.deep.equal(oldContent);
    await world.do('failover.cleanup', { target: 'erp-web' });
    await expectSound(world);
  });

  it('a group over three hypervisors gets points of one cycle and fails over together', async () => {
    await using world = await World.create();
    const names = ['erp-db', 'shop-db', 'ledger'];
    await world.protect(names);
    await makePoints(world, 'all', 2);
    await world.do('failover.test', { target: 'all' });
    await world.do('failover.cleanup', { target: 'all' });
    await world.do('failover.planned', { target: 'all' });
    for (const name of names) expect((await world.item(name)).state.protection).to.equal('CommitPending');
    await world.do('failover.commit', { target: 'all' });
    for (const name of names) {
      expect((await world.item(name)).state.direction).to.deep.equal({ from: 'site-b', to: 'site-a' });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
    }
    await world.do('failback', { target: 'all' });
    for (const name of names) expect((await world.item(name)).state.direction).to.deep.equal({ from: 'site-a', to: 'site-b' });
    await expectSound(world);
  });
});
