import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DiskId } from '../../core/contract/index.ts';
import { listPoints } from '../../core/state/points.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 16 * MIB;

/** The guest writes nothing more, the replica stands where it stands, and then one block is changed and nobody has tracked it. */
const changeOneBlock = async (world: World, name: string): Promise<void> => {
  const { machine } = (await world.item(name)).source;
  const { spec } = await world.lab.control.call('lab.machine', { machine });
  const disk = spec.disks[0]?.id as DiskId;
  await world.lab.control.call('lab.setWorkload', { machine, paused: true });
  await world.do('sync.now', { target: name });
  await world.lab.control.call('lab.write', { machine, disk, offset: DISK_BYTES - MIB, data: new Uint8Array(512).fill(7) });
  await world.lab.control.call('lab.resetTracker', { machine });
};

describe('a comparison after tracking was lost', () => {
  for (const { name, target } of [
    { name: 'erp-web', target: 'vmm-b' },
    { name: 'erp-web', target: 'kvm-b' },
    { name: 'erp-web', target: 'vcenter-b' },
    { name: 'files', target: 'vmm-b' },
  ]) {
    it(`moves only blocks that differ, from where digests are told: ${name} to ${target}`, async () => {
      await using world = await World.create({ diskBytes: DISK_BYTES });
      await world.protect([name], { target });
      await changeOneBlock(world, name);

      // A stream that has lost its tracker says so before its first pass: the next cycle compares.
      await world.run('sync.now', { target: name });
      await world.do('sync.now', { target: name });

      const points = await listPoints(world.store.db, (await world.item(name)).id);
      const compared = points.find(({ kind }) => kind === 'compare');
      expect(compared?.detail.readBytes).to.equal(MIB);
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }

  it('reads both sides where no digests are told, and finds the same', async () => {
    await using world = await World.create({ diskBytes: DISK_BYTES });
    await world.protect(['shop-web'], { target: 'vcenter-b' });
    await changeOneBlock(world, 'shop-web');

    await world.do('sync.now', { target: 'shop-web' });
    await world.do('sync.now', { target: 'shop-web' });

    const points = await listPoints(world.store.db, (await world.item('shop-web')).id);
    expect(points.find(({ kind }) => kind === 'compare')?.detail.readBytes).to.be.greaterThan(MIB);
    expect(await replicaDiffers(world, 'shop-web')).to.equal(undefined);
  });
});
