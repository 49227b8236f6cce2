import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { FaultRule } from '../../adapters/lab/port.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MACHINE = 'erp-db';

const failOnce = async (world: World, fault: Pick<FaultRule, 'method' | 'endpoint'>, target: string) => {
  const { id } = await world.lab.control.call('lab.addFault', { rule: { ...fault, act: { error: 'TARGET_FULL' } } });
  const job = await world.run('protect', { machines: [MACHINE], to: 'site-b', target });
  await world.lab.control.call('lab.clearFaults', { id });
  expect(job.error?.code).to.equal('TARGET_FULL');
  expect((await world.item(MACHINE)).state.protection).to.equal('EnablingFailed');
  return job;
};

const machinesAt = async (world: World, endpoint: string): Promise<string[]> =>
  (await world.status()).machines.filter((machine) => machine.endpoint === endpoint).map(({ name }) => name);

const expectProtected = async (world: World): Promise<void> => {
  expect((await world.item(MACHINE)).state.protection).to.equal('Protected');
  await world.do('sync.now', { target: MACHINE });
  expect(await replicaDiffers(world, MACHINE)).to.equal(undefined);
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

describe('a protection that could not be set up', () => {
  it('is set up by the same command, in the same group, when the cause is gone', async () => {
    await using world = await World.create();
    await failOnce(world, { method: 'ps.New-VM', endpoint: 'vmm-b' }, 'vmm-b');

    await world.do('protect', { machines: [MACHINE], to: 'site-b', target: 'vmm-b' });

    await expectProtected(world);
    expect(await world.engine.call('group.list', {})).to.have.length(1);
  });

  it('is set up by a retry of its job', async () => {
    await using world = await World.create();
    const { id } = await failOnce(world, { method: 'ps.New-VM', endpoint: 'vmm-b' }, 'vmm-b');

    const again = await world.engine.settled(await world.engine.jobs.retry(id, 'tester'));

    expect(again.state, JSON.stringify(again.error)).to.equal('Succeeded');
    await expectProtected(world);
  });

  it('leaves no second replica beside the one that was made before the failure', async () => {
    await using world = await World.create();
    await failOnce(world, { method: 'fence.advance', endpoint: 'kvm-b' }, 'kvm-b');
    const [made] = await machinesAt(world, 'kvm-b');
    expect(made).to.be.a('string');

    await world.do('protect', { machines: [MACHINE], to: 'site-b', target: 'kvm-b' });

    await expectProtected(world);
    expect(await machinesAt(world, 'kvm-b')).to.have.length(1);
  });

  it('may go to another target', async () => {
    await using world = await World.create();
    await failOnce(world, { method: 'fence.advance', endpoint: 'kvm-b' }, 'kvm-b');

    await world.do('protect', { machines: [MACHINE], to: 'site-b', target: 'vmm-b' });

    await expectProtected(world);
    expect(await machinesAt(world, 'kvm-b')).to.deep.equal([]);
  });

  it('says what keeps it from being taken back, and can be ended all the same', async () => {
    await using world = await World.create();
    await failOnce(world, { method: 'fence.advance', endpoint: 'kvm-b' }, 'kvm-b');
    await world.lab.control.call('lab.addFault', {
      rule: { method: 'target.delete*', endpoint: 'kvm-b', act: { error: 'PERMISSION_DENIED' } },
    });

    const again = await world.run('protect', { machines: [MACHINE], to: 'site-b', target: 'vmm-b' });

    expect(again.error?.code).to.equal('PERMISSION_DENIED');
    expect((await world.item(MACHINE)).state.protection).to.equal('EnablingFailed');
    await world.do('unprotect', { target: MACHINE });
    expect(await world.engine.call('group.list', {})).to.deep.equal([]);
  });
});

describe('a first copy that failed', () => {
  it('is made by the planner when the cause is gone', async () => {
    await using world = await World.create();
    await world.lab.control.call('lab.addFault', { rule: { method: 'agent.read', act: { error: 'INTERNAL' } } });
    const job = await world.run('protect', { machines: [MACHINE], to: 'site-b' });
    expect(job.state).to.equal('Failed');
    await world.lab.control.call('lab.clearFaults', {});

    const planner = world.engine.startPlanner();
    await planner.tick();
    await planner.idle();
    await planner.stop();

    await expectProtected(world);
  });
});
