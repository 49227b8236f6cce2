// A plugin or hypervisor that lies must be found out: each lie of the lab is seen by the byte comparison, by the checker or by verification.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Lie } from '../../adapters/lab/port.ts';
import { isDrError } from '../../core/contract/index.ts';
import { replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

interface Control {
  readonly what: string;
  readonly lie: Lie;
  readonly method: string;
  readonly machine: string;
}

const CHANGES = 'ps.Msvm_ImageManagementService.GetVirtualDiskChanges';
const CHECKPOINT = 'ps.Msvm_VirtualSystemSnapshotService.CreateSnapshot';

const CONTROLS: readonly Control[] = [
  { what: 'a tracker that leaves a dirty range out', lie: 'skipDirtyRange', method: CHANGES, machine: 'erp-web' },
  { what: 'a CBT that leaves a dirty range out', lie: 'skipDirtyRange', method: 'vim.QueryChangedDiskAreas', machine: 'shop-web' },
  { what: 'half of a delta', lie: 'halfData', method: 'agent.read', machine: 'erp-web' },
  { what: 'half of a delta of vSphere', lie: 'halfData', method: 'device.read', machine: 'shop-web' },
  { what: 'disks that were snapped at different times', lie: 'tornSnapshot', method: CHECKPOINT, machine: 'erp-db' },
  { what: 'a VM snapshot of disks at different times', lie: 'tornSnapshot', method: 'vim.CreateSnapshot_Task', machine: 'shop-db' },
];

const prepared = async (machine: string): Promise<World> => {
  const world = await World.create({ diskBytes: 8 * 2 ** 20, writesPerSecond: 60 });
  await world.protect([machine]);
  await world.advance(3_000);
  await world.do('sync.now', { target: machine });
  await world.advance(5_000);
  return world;
};

/** The replica is not the source's state of any instant, or the guest's own checker refuses it. */
const isFoundOut = async (world: World, machine: string): Promise<boolean> => {
  const item = await world.item(machine);
  if ((await replicaDiffers(world, machine)) !== undefined) return true;
  return !(await world.verdict({ replica: item.replica?.machine as never })).consistent;
};

describe('negative controls', () => {
  for (const { what, lie, method, machine } of CONTROLS) {
    it(`find out ${what}`, async () => {
      await using honest = await prepared(machine);
      await honest.do('sync.now', { target: machine });
      expect(await isFoundOut(honest, machine)).to.equal(false);

      await using world = await prepared(machine);
      await world.lab.control.call('lab.addFault', { rule: { method, act: { lie } } });
      // Reads take their time, so that the guest writes meanwhile.
      for (const read of ['agent.read', 'device.read'])
        await world.lab.control.call('lab.addFault', { rule: { method: read, act: { delayMs: 200 } } });
      await world.run('sync.now', { target: machine });
      expect(await isFoundOut(world, machine)).to.equal(true);
    });
  }

  it('are not needed where a host attaches no disk that its machine writes', async () => {
    await using world = await prepared('erp-db');
    await world.lab.control.call('lab.addFault', { rule: { method: CHECKPOINT, act: { lie: 'liveCopy' } } });
    const job = await world.run('sync.now', { target: 'erp-db' });

    expect(job.error?.code).to.equal('FILE_LOCKED');
    expect(await isFoundOut(world, 'erp-db')).to.equal(false);
  });

  it('find out a baseline from a tracker that was reset', async () => {
    await using world = await prepared('erp-web');
    const item = await world.item('erp-web');
    await world.lab.control.call('lab.addFault', { rule: { method: CHANGES, act: { lie: 'resetBaseline' } } });
    await world.lab.control.call('lab.resetTracker', { machine: item.source.machine });
    await world.advance(100);
    await world.run('sync.now', { target: 'erp-web' });

    expect(await isFoundOut(world, 'erp-web')).to.equal(true);
  });

  it('are not needed where the plugin itself does not believe a CBT that was reset', async () => {
    await using world = await prepared('shop-web');
    const item = await world.item('shop-web');
    await world.lab.control.call('lab.addFault', { rule: { method: 'vim.QueryChangedDiskAreas', act: { lie: 'resetBaseline' } } });
    await world.lab.control.call('lab.resetTracker', { machine: item.source.machine });
    await world.advance(100);
    await world.do('sync.now', { target: 'shop-web' });

    expect(await isFoundOut(world, 'shop-web')).to.equal(false);
  });

  it('find out a flush that flushed nothing', async () => {
    await using world = await prepared('shop-web');
    await world.lab.control.call('lab.addFault', { rule: { method: 'device.flush', act: { lie: 'noFlush' } } });
    await world.do('sync.now', { target: 'shop-web' });
    const item = await world.item('shop-web');
    await world.lab.control.call('lab.powerCut', { endpoint: 'vcenter-b' });

    expect(await isFoundOut(world, 'shop-web')).to.equal(true);
    expect(item.state.protection).to.equal('Protected');
  });

  it('verification names the ranges that a lying tracker left out, marks points suspect and asks for a resync, which repairs them', async () => {
    await using world = await prepared('shop-web');
    await world.do('sync.verify', { target: 'shop-web' });
    await world.lab.control.call('lab.addFault', {
      rule: { method: 'vim.QueryChangedDiskAreas', act: { lie: 'skipDirtyRange' } },
    });
    await world.advance(5_000);
    await world.run('sync.now', { target: 'shop-web' });
    await world.lab.control.call('lab.clearFaults', {});

    const job = await world.run('sync.verify', { target: 'shop-web' });
    expect(job.state).to.equal('Failed');
    expect(job.error?.code).to.equal('DIGEST_MISMATCH');
    expect((await world.item('shop-web')).state.sync.is).to.equal('ResyncRequired');
    const points = (await world.engine.call('point.list', { target: 'shop-web' })) as { suspect?: boolean }[];
    expect(points.filter((point) => point.suspect).length).to.be.greaterThan(0);
    expect(points.at(-1)?.suspect).to.equal(undefined);

    await world.do('sync.now', { target: 'shop-web' });
    expect((await world.item('shop-web')).state.sync.is).to.equal('Delta');
    await world.do('sync.verify', { target: 'shop-web' });
    expect(await replicaDiffers(world, 'shop-web')).to.equal(undefined);
  });
});

describe('a source that comes back (F4)', () => {
  it('is isolated when it has booted since the failover', async () => {
    await using world = await prepared('erp-web');
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });
    await world.do('failover.unplanned', { target: 'erp-web', sourceIs: 'unreachable' });
    expect((await world.item('erp-web')).state.active).to.equal('unknown');
    await world.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: true });
    await world.advance(5_000);
    await world.engine.call('sweep', {});

    const item = await world.item('erp-web');
    expect((await world.lab.control.call('lab.machine', { machine: item.source.machine })).status.power).to.equal('off');
    expect(item.state.active).to.deep.equal({ site: 'site-b' });
  });

  it('is shown as both and left alone when it never stopped, until resolve decides', async () => {
    await using world = await prepared('erp-web');
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: false });
    await world.do('failover.unplanned', { target: 'erp-web', sourceIs: 'unreachable' });
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: true });
    await world.engine.call('sweep', {});

    const item = await world.item('erp-web');
    expect(item.state.active).to.equal('both');
    expect((await world.lab.control.call('lab.machine', { machine: item.source.machine })).status.power).to.equal('on');
    const refused = await world.engine.call('reprotect', { target: 'erp-web' }).catch((error: unknown) => error);
    expect(isDrError(refused, 'OPERATION_NOT_ALLOWED')).to.equal(true);

    await world.do('resolve', { target: 'erp-web', keep: 'site-b' });
    const resolved = await world.item('erp-web');
    expect(resolved.state.active).to.deep.equal({ site: 'site-b' });
    expect((await world.lab.control.call('lab.machine', { machine: item.source.machine })).status.power).to.equal('off');
  });

  it('unplanned failover of a source that runs and does not say whether it is off wants the operator’s word, and changes nothing without it', async () => {
    await using world = await prepared('erp-web');
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: false });
    const job = await world.run('failover.unplanned', { target: 'erp-web' });

    expect(job.error?.code).to.equal('CONFIRMATION_NEEDED');
    const item = await world.item('erp-web');
    expect(item.state.protection).to.equal('Protected');
    expect(item.fork).to.equal(undefined);
  });
});
