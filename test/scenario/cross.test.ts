import { expect } from 'chai';
import { describe, it } from 'mocha';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

/** Sums of whole disks, whatever file they lie in: VHDX, VMDK or raw. */
const runningCopy = async (world: World, target: string): Promise<string[] | undefined> => {
  const { fork } = await world.item(target);
  return world.startedFrom.get(fork?.machine ?? '');
};

const cycles = async (world: World, target: string, count: number): Promise<void> => {
  for (let n = 0; n < count; n++) {
    await world.advance(3_000);
    await world.do('sync.now', { target });
  }
};

describe('a machine that goes to another hypervisor', () => {
  for (const { name, what, target } of [
    { name: 'erp-db', what: 'Hyper-V to VMware', target: 'vcenter-b' },
    { name: 'shop-db', what: 'VMware to Hyper-V', target: 'vmm-b' },
    { name: 'erp-web', what: 'Hyper-V to KVM', target: 'kvm-b' },
  ]) {
    it(`starts from the very bytes of its source, and comes back with what it has written since: ${what}`, async () => {
      await using world = await World.create();
      await world.protect([name], { target });
      await cycles(world, name, 2);
      const { source } = await world.item(name);

      const test = await world.do('failover.test', { target: name });
      expect(JSON.stringify(test.result)).to.include('"booted":true');
      await world.do('failover.cleanup', { target: name });
      await world.do('failover.planned', { target: name });
      expect(await runningCopy(world, name)).to.deep.equal(await world.digests({ machine: source.machine }));

      await world.advance(3_000);
      await world.do('failover.commit', { target: name });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      await cycles(world, name, 1);
      await world.do('failback', { target: name });

      const home = await world.item(name);
      expect(home.source).to.include({ endpoint: source.endpoint, machine: source.machine });
      expect(home.state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
      await cycles(world, name, 1);
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }

  it('goes with others of another hypervisor, in one group and to one point', async () => {
    await using world = await World.create();
    await world.protect(['erp-web', 'shop-web']);
    await cycles(world, 'all', 2);

    const job = await world.do('failover.planned', { target: 'all' });

    const { members } = job.result as { members: Record<string, { lossMs: number; booted: boolean }> };
    expect(Object.values(members).map(({ lossMs, booted }) => [lossMs, booted])).to.deep.equal([
      [0, true],
      [0, true],
    ]);
    await world.do('failover.commit', { target: 'all' });
    for (const name of ['erp-web', 'shop-web']) expect(await replicaDiffers(world, name), name).to.equal(undefined);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });
});
