import { expect } from 'chai';
import { describe, it } from 'mocha';
import { listJobs } from '../../core/state/jobs.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { dieAfterStep, dieAtCall, goOn } from '../support/steps.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;

const prepared = async (name: string, diskBytes = MIB / 4): Promise<World> => {
  const world = await World.create({ seed: 3, diskBytes, writesPerSecond: 10 });
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

describe('a planned failover that goes on after its engine was dead for a while', () => {
  for (const name of ['erp-web', 'shop-web']) {
    it(`does not call a point the last one after which the source has been written: ${name}`, async () => {
      await using world = await prepared(name);
      await dieAfterStep(world, /^final point/, () => world.run('failover.planned', { target: name }));
      const { machine } = (await world.item(name)).source;
      await world.lab.control.call('lab.power', { machine, to: 'on' });
      await world.advance(60_000);
      await world.lab.control.call('lab.power', { machine, to: 'off' });

      await goOn(world);

      const [job] = await listJobs(world.store.db);
      expect(job?.error).to.include({ code: 'STATE_CONFLICT' });
      await world.do('failover.planned', { target: name });
      const { fork } = await world.item(name);
      expect(world.startedFrom.get(fork!.machine)).to.deep.equal(await world.digests({ machine }));
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });

    it(`goes on where nobody has touched the source: ${name}`, async () => {
      await using world = await prepared(name);
      await dieAfterStep(world, /^final point/, () => world.run('failover.planned', { target: name }));
      await world.advance(60_000);

      await goOn(world);

      expect((await world.item(name)).state.protection).to.equal('CommitPending');
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }
});

describe('a re-protect that goes on after its engine was dead for a while', () => {
  for (const name of ['erp-web', 'shop-web']) {
    it(`takes nothing for granted that it knew of the old source before: ${name}`, async () => {
      await using world = await prepared(name, 8 * MIB);
      await world.do('failover.unplanned', { target: name });
      await world.do('failover.commit', { target: name });
      const { source, disks } = await world.item(name);
      // The old source is about to become the replica.
      await dieAtCall(world, /ReconfigVM_Task|Remove-ClusterGroup/, () => world.run('reprotect', { target: name }));
      await world.lab.control.call('lab.power', { machine: source.machine, to: 'on' });
      // Where the machine that runs at the other site does not write by chance.
      const far = { machine: source.machine, disk: disks[0]!.sourceDisk, offset: 8 * MIB - 65_536, data: new Uint8Array(4096).fill(9) };
      await world.lab.control.call('lab.write', far);
      await world.lab.control.call('lab.power', { machine: source.machine, to: 'off' });

      await goOn(world);

      expect((await world.item(name)).state.protection).to.equal('Protected');
      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }
});

describe('a planned failover of a machine that is read as a stream', () => {
  it('is refused when the machine is off already: what it wrote last was not taken over', async () => {
    await using world = await prepared('files');
    await world.lab.control.call('lab.power', { machine: (await world.item('files')).source.machine, to: 'off' });

    const job = await world.run('failover.planned', { target: 'files' });

    expect(job.error).to.include({ code: 'STATE_CONFLICT' });
    expect(await brokenInvariants(world)).to.deep.equal([]);
    const { result } = await world.do('failover.unplanned', { target: 'files' });
    const [member] = Object.values((result as { members: Record<string, { lossMs: number }> }).members);
    expect(member?.lossMs).to.be.greaterThan(0);
  });
});

describe('a failover whose engine died while the source went down', () => {
  for (const [name, shutdown] of [
    ['erp-web', /ps\.Stop-VM$/],
    ['shop-web', /vim\.ShutdownGuest$/],
  ] as const) {
    it(`starts the source again when it is called off: ${name}`, async () => {
      await using world = await prepared(name);
      await dieAtCall(world, shutdown, () => world.run('failover.planned', { target: name }), 'after');
      // The host goes on with what it was asked.
      await world.advance(60_000);
      await goOn(world);
      expect((await world.item(name)).state.protection).to.equal('CommitPending');

      await world.do('failover.cancel', { target: name });

      const { source, state } = await world.item(name);
      expect((await world.machine(name, source.endpoint)).power).to.equal('on');
      expect(state.active).to.deep.equal({ site: 'site-a' });
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }
});
