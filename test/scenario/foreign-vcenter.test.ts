// The main job once more, between two vCenters that we did not write: what our plugin says is understood by somebody else's server too.
import { expect } from 'chai';
import type { EndpointSpec, EstateSpec, MachineSeed } from '../../adapters/lab/port.ts';
import { requireDrsim } from '../support/drsim.ts';
import { brokenInvariants, replicaDiffers, truthOf } from '../support/rules.ts';
import { createProxiedEstate } from '../support/vcenter-proxy/start.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;

const vcenter = (name: string, hosts: readonly string[], machines: readonly MachineSeed[] = []): EndpointSpec => ({
  name,
  profile: 'vmware',
  networks: ['production'],
  storage: [{ name: 'store', capacityBytes: 4096 * MIB }],
  hosts,
  machines,
});

const estateSpec = (): EstateSpec => {
  const disk = { sizeBytes: MIB, contentBytes: MIB / 8 };
  const machines = [
    { name: 'shop-db', disks: [disk, disk], addresses: ['10.1.0.21'], writesPerSecond: 20 },
    { name: 'shop-web', firmware: 'bios' as const, disks: [disk], addresses: ['10.1.0.22'], writesPerSecond: 20 },
  ];
  return {
    sites: [
      { name: 'site-a', endpoints: [vcenter('vcenter-a', ['esx-a-1', 'esx-a-2'], machines)] },
      { name: 'site-b', endpoints: [vcenter('vcenter-b', ['esx-b-1'])] },
    ],
  };
};

interface PointRow {
  readonly id: string;
}

describe('the main job between two vCenters that we did not write', function () {
  this.timeout(60_000);
  let world: World;

  before(async function () {
    await requireDrsim(this);
  });
  beforeEach(async () => {
    world = await World.create({ spec: estateSpec(), openEstate: createProxiedEstate });
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  const makePoints = async (target: string, count: number): Promise<PointRow[]> => {
    for (let n = 0; n < count; n++) {
      await world.advance(3_000);
      await world.do('sync.now', { target });
    }
    return (await world.engine.call('point.list', { target })) as PointRow[];
  };
  const truthAt = async (name: string, id: string): Promise<string[] | undefined> => {
    const item = await world.item(name);
    const journal = await world.engine.core.journals.journal(item.state.direction.to, item.id);
    return truthOf(world, journal.points.find(({ point }) => point === id)!, item.source.machine);
  };
  const expectSound = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) expect(await replicaDiffers(world, name)).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  };

  it('replicates byte for byte while the guest writes, and starts tests from the newest and an older point', async () => {
    await world.protect(['shop-db']);
    const points = await makePoints('shop-db', 3);

    for (const { id } of [points.at(-1)!, points[1]!]) {
      const truth = await truthAt('shop-db', id);
      await world.do('failover.test', { target: 'shop-db', point: id });
      const { testFork, lastTest } = await world.item('shop-db');

      expect(lastTest).to.include({ booted: true, point: id });
      expect(world.startedFrom.get(testFork!.machine)).to.deep.equal(truth);
      await world.do('failover.cleanup', { target: 'shop-db' });
    }
    await expectSound('shop-db');
    expect((await world.status()).leftovers.filter(({ kind }) => kind !== 'replica')).to.deep.equal([]);
  });

  it('fails over as planned without loss, replicates back, and fails back', async () => {
    await world.protect(['shop-db', 'shop-web']);
    await makePoints('all', 1);
    const before = await world.item('shop-db');

    await world.do('failover.planned', { target: 'all' });
    const there = await world.item('shop-db');
    expect(world.startedFrom.get(there.fork!.machine)).to.deep.equal(await world.digests({ machine: before.source.machine }));
    await world.advance(3_000);
    await world.do('failover.commit', { target: 'all' });
    await expectSound('shop-db', 'shop-web');

    await world.do('failback', { target: 'all' });
    for (const name of ['shop-db', 'shop-web']) {
      const { state } = await world.item(name);
      expect(state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
    }
    await makePoints('all', 1);
    await expectSound('shop-db', 'shop-web');
  });

  it('fails over when the site has burned, and turns round on the machine that comes back', async () => {
    await world.protect(['shop-web']);
    const points = await makePoints('shop-web', 2);
    const truth = await truthAt('shop-web', points.at(-1)!.id);
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });

    await world.do('failover.unplanned', { target: 'shop-web', sourceIs: 'unreachable' });
    const { fork, state } = await world.item('shop-web');
    expect(world.startedFrom.get(fork!.machine)).to.deep.equal(truth);
    expect(state.active).to.equal('unknown');

    await world.do('failover.commit', { target: 'shop-web' });
    await world.lab.control.call('lab.restoreSite', { site: 'site-a' });
    await world.do('reprotect', { target: 'shop-web' });
    expect((await world.item('shop-web')).state).to.deep.include({ protection: 'Protected', active: { site: 'site-b' } });
    await expectSound('shop-web');
  });

  it('goes back to an older point and cancels, and the source runs on', async () => {
    await world.protect(['shop-web']);
    const points = await makePoints('shop-web', 3);
    await world.do('failover.planned', { target: 'shop-web' });
    await world.advance(5_000);
    const { id } = points[1]!;

    await world.do('failover.change-point', { target: 'shop-web', point: id });
    const { fork } = await world.item('shop-web');
    expect(world.startedFrom.get(fork!.machine)).to.deep.equal(await truthAt('shop-web', id));
    await world.do('failover.cancel', { target: 'shop-web' });

    expect((await world.machine('shop-web', 'vcenter-a')).power).to.equal('on');
    await makePoints('shop-web', 1);
    await expectSound('shop-web');
  });

  it('is seen to differ where the server leaves a change out (negative control)', async () => {
    await world.protect(['shop-db']);
    const rule = { method: 'vim.QueryChangedDiskAreas', act: { lie: 'skipDirtyRange' as const } };
    await world.lab.control.call('lab.addFault', { rule });

    await makePoints('shop-db', 3);

    expect(await replicaDiffers(world, 'shop-db')).to.match(/differs/);
  });
});
