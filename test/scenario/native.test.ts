import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createNativeWorld, letPass, type NativeWorld, POLICY, protectNative } from '../support/native-pair/world.ts';
import { brokenInvariants } from '../support/rules.ts';

const CRM = 'vm-crm';

/** Rules of the engine, and nothing twice in production. */
const expectSound = async ({ world, hosts }: NativeWorld): Promise<void> => {
  expect(hosts.violations).to.deep.equal([]);
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

interface PointView {
  readonly id: string;
  readonly takenAt: string;
}
const pointsOf = async ({ world }: NativeWorld, target = 'crm') => (await world.engine.call('point.list', { target })) as PointView[];

const membersOf = (job: { readonly result?: unknown }): { readonly lossMs: number; readonly point: string }[] =>
  Object.values((job.result as { members: Record<string, { lossMs: number; point: string }> }).members);

const code = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

describe('native replication', () => {
  it('protects by order of the hosts and ends with the first state that the replica holds', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;

    await protectNative(native, ['crm']);
    const item = await world.item('crm');

    expect(item).to.include({ method: 'native' });
    expect(item.state).to.deep.include({ protection: 'Protected', sync: { is: 'Delta' }, active: { site: 'site-a' } });
    expect(item.replica).to.include({ endpoint: 'hv-b', machine: CRM });
    expect(hosts.host('hv-b').fences.get(CRM as never)).to.deep.include({ item: item.id, epoch: 1 });
    expect(await pointsOf(native)).to.have.length(1);
    await expectSound(native);
  });

  it('goes there and back: test, planned failover, commit into re-protect, failback', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.write('hv-a', 'crm');
    await letPass(native, 'crm');

    const test = await world.do('failover.test', { target: 'crm' });
    const tested = hosts.machine('hv-b', `${CRM}-test`);
    expect(Object.values((test.result as { proofs: Record<string, { booted: boolean }> }).proofs)[0]?.booted).to.equal(true);
    expect(tested).to.include({ power: 'on', content: 2 });
    expect(tested.nics.map((nic) => nic.network)).to.deep.equal(['test-1']);
    expect(hosts.machine('hv-a', CRM).power).to.equal('on');
    await world.do('failover.cleanup', { target: 'crm' });
    expect([...hosts.host('hv-b').machines.keys()]).to.deep.equal([CRM]);
    expect(hosts.host('hv-b').testNetworks.size).to.equal(0);

    const written = hosts.write('hv-a', 'crm');
    const job = await world.do('failover.planned', { target: 'crm' });
    expect(membersOf(job).map((member) => member.lossMs)).to.deep.equal([0]);
    expect(hosts.machine('hv-b', CRM)).to.include({ power: 'on', content: written });
    expect(hosts.machine('hv-b', CRM).nics.map((nic) => nic.network)).to.deep.equal(['production']);
    expect((await world.item('crm')).state.protection).to.equal('CommitPending');
    await expectSound(native);

    await world.do('failover.commit', { target: 'crm' });
    const reversed = await world.item('crm');
    expect(reversed.state).to.deep.include({
      protection: 'Protected',
      sync: { is: 'Delta' },
      direction: { from: 'site-b', to: 'site-a' },
      active: { site: 'site-b' },
    });
    expect(hosts.machine('hv-b', CRM).role).to.equal('source');
    expect(hosts.machine('hv-a', CRM)).to.include({ role: 'replica', power: 'off' });

    const back = hosts.write('hv-b', 'crm');
    await world.do('failback', { target: 'crm' });
    expect((await world.item('crm')).state).to.deep.include({
      protection: 'Protected',
      direction: { from: 'site-a', to: 'site-b' },
      active: { site: 'site-a' },
    });
    expect(hosts.machine('hv-a', CRM)).to.include({ power: 'on', content: back, role: 'source' });
    await expectSound(native);
  });

  it('fails over to a chosen point although the source is lost, changes the point, and takes the old source in when it returns', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    for (const _ of [1, 2, 3]) {
      hosts.write('hv-a', 'crm');
      await letPass(native, 'crm');
    }
    const points = await pointsOf(native);
    expect(points.length).to.be.greaterThan(2);
    hosts.host('hv-a').down = true;
    hosts.linkDown = true;

    const unsaid = await world.run('failover.unplanned', { target: 'crm', point: points[0]?.id });
    expect(unsaid.error?.code).to.equal('CONFIRMATION_NEEDED');
    await world.do('failover.unplanned', { target: 'crm', point: points[0]?.id, sourceIs: 'unreachable' });
    const oldest = hosts.machine('hv-b', CRM).content;
    expect((await world.item('crm')).state.active).to.equal('unknown');
    await world.do('failover.change-point', { target: 'crm', point: 'latest' });
    expect(hosts.machine('hv-b', CRM).content).to.be.greaterThan(oldest);
    await world.do('failover.commit', { target: 'crm' });
    expect((await world.item('crm')).state.protection).to.equal('FailedOver');

    hosts.host('hv-a').down = false;
    hosts.linkDown = false;
    const running = await world.run('reprotect', { target: 'crm' });
    expect(running.error?.code).to.equal('STATE_CONFLICT');
    hosts.setPower('hv-a', CRM, 'off');
    await world.do('reprotect', { target: 'crm' });
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', direction: { from: 'site-b', to: 'site-a' } });
    expect(hosts.machine('hv-a', CRM).role).to.equal('replica');
    // The source had never stopped: the operator's word was all that was known of it (F3).
    expect(hosts.violations).to.have.length(2);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });

  it('cancel takes both hosts back and starts the source again', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    await world.do('failover.planned', { target: 'crm' });

    await world.do('failover.cancel', { target: 'crm' });

    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
    expect(hosts.machine('hv-a', CRM)).to.include({ power: 'on', state: 'Replicating' });
    expect(hosts.machine('hv-b', CRM)).to.include({ power: 'off', state: 'Replicating' });
    await letPass(native, 'crm', 60_000);
    await expectSound(native);
  });

  it('pauses, resumes, resyncs at the hosts, and says why it cannot verify', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);

    await world.engine.call('sync.pause', { target: 'crm' });
    expect(hosts.machine('hv-a', CRM).state).to.equal('Suspended');
    expect((await world.item('crm')).state.sync.is).to.equal('Paused');
    await world.engine.call('sync.resume', { target: 'crm' });
    expect((await world.item('crm')).state.sync).to.deep.equal({ is: 'Delta' });
    await world.do('sync.resync', { target: 'crm' });
    expect((await world.item('crm')).state.sync.is).to.equal('Resyncing');
    await letPass(native, 'crm');
    expect((await world.item('crm')).state.sync.is).to.equal('Delta');
    expect(await code(world.engine.call('sync.verify', { target: 'crm' }))).to.equal('OPERATION_NOT_ALLOWED');
    expect(await code(world.engine.call('point.pin', { id: (await pointsOf(native))[0]?.id }))).to.equal('CAPABILITY_MISSING');
  });

  it('unprotect removes at both hosts and deletes only a replica that is proven to be ours', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);

    const job = await world.do('unprotect', { target: 'crm' });

    expect((job.result as { leftBehind: string[] }).leftBehind).to.deep.equal([]);
    expect(hosts.machine('hv-a', CRM)).to.include({ role: 'none', power: 'on' });
    expect(hosts.host('hv-b').machines.size).to.equal(0);
  });

  for (const { what, spoil } of [
    {
      what: 'marked as somebody else’s',
      spoil: ({ hosts }: NativeWorld) => void hosts.host('hv-b').fences.set(CRM as never, { item: 'theirs', epoch: 1, holder: 'them' }),
    },
    { what: 'not marked at all', spoil: ({ hosts }: NativeWorld) => void hosts.host('hv-b').fences.delete(CRM as never) },
    {
      what: 'running',
      spoil: ({ hosts }: NativeWorld) => {
        hosts.machine('hv-b', CRM).power = 'on';
      },
    },
  ]) {
    it(`unprotect keeps a replica that is ${what}, and names it`, async () => {
      await using native = await createNativeWorld();
      const { world, hosts } = native;
      await protectNative(native, ['crm']);
      spoil(native);

      const job = await world.do('unprotect', { target: 'crm' });

      expect((job.result as { leftBehind: string[] }).leftBehind.join()).to.include('replica crm at hv-b');
      expect(hosts.host('hv-b').machines.has(CRM as never)).to.equal(true);
    });
  }

  it('unprotect is one-sided when a host is dead, and names what it left', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.host('hv-b').down = true;

    const job = await world.do('unprotect', { target: 'crm' });

    expect((job.result as { leftBehind: string[] }).leftBehind.join()).to.include('hv-b');
    expect(hosts.machine('hv-a', CRM).role).to.equal('none');
  });

  it('a protect that fails once its hosts have been told is unprotected at both: the replica is deleted, and it can be protected again', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    world.faults.failNext = 'plugin.fence.advance';

    const job = await world.run('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' });
    const told = hosts.machine('hv-b', CRM).role;
    const ended = await world.do('unprotect', { target: 'crm' });
    const left = hosts.host('hv-b').machines.has(CRM as never);
    await protectNative(native, ['crm']);

    expect([job.state, told]).to.deep.equal(['Failed', 'replica']);
    expect(ended.result).to.deep.include({ leftBehind: [] });
    expect([hosts.acts.includes('remove hv-b'), left]).to.deep.equal([true, false]);
    expect((await world.item('crm')).state.protection).to.equal('Protected');
  });

  it('a protect is refused where the replica host has the machine in a pair already, and leaves that alone', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.host('hv-b').down = true;
    await world.do('unprotect', { target: 'crm' });
    hosts.host('hv-b').down = false;

    const job = await world.run('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' });
    await world.do('unprotect', { target: 'crm' });

    expect(job.error).to.include({ code: 'STATE_CONFLICT' });
    expect(hosts.machine('hv-a', CRM).role).to.equal('none');
    expect(hosts.machine('hv-b', CRM).role).to.equal('replica');
  });

  it('never deletes the original machine after a failback was left half way', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    await world.do('failover.planned', { target: 'crm' });
    await world.do('failover.commit', { target: 'crm' });

    await world.do('unprotect', { target: 'crm' });

    expect(hosts.machine('hv-a', CRM)).to.include({ role: 'none', power: 'off' });
    expect(hosts.machine('hv-b', CRM)).to.include({ role: 'none', power: 'on' });
  });

  it('is refused before anything happens where an end cannot do it, naming endpoint and facet', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;

    const refused = world.run('protect', { machines: ['crm'], to: 'site-b', target: 'plain-b', policy: 'hosts' });

    await refused.then(
      () => expect.fail('it was begun'),
      (error: { code: string; message: string }) => {
        expect(error.code).to.equal('CAPABILITY_MISSING');
        expect(error.message).to.include('plain-b').and.include('nativePair');
      },
    );
    expect(hosts.acts).to.deep.equal([]);
    expect(await world.engine.call('group.list', {})).to.deep.equal([]);
  });

  it('a policy that hosts cannot keep is refused, and its method stays while a group uses it', async () => {
    await using native = await createNativeWorld();
    const { world } = native;
    await protectNative(native, ['crm']);
    const put = (more: object) => code(world.engine.call('policy.put', { ...POLICY, ...more }));

    expect(await put({ name: 'fast', rpoSeconds: 60, intervalSeconds: 30, native: { frequencySeconds: 300 } })).to.equal('CONFIG_INVALID');
    expect(await put({ name: 'odd', native: { frequencySeconds: 60 } })).to.equal('CONFIG_INVALID');
    expect(await put({ name: 'many', native: { points: 25 } })).to.equal('CONFIG_INVALID');
    expect(await put({ name: 'both', method: 'journaled' })).to.equal('CONFIG_INVALID');
    expect(await put({ method: 'journaled', native: undefined })).to.equal('STATE_CONFLICT');
    expect(await world.engine.call('policy.show', { name: 'hosts' })).to.nested.include({
      method: 'native',
      'native.frequencySeconds': 30,
      'native.initialCopy.by': 'network',
    });
  });

  it('a group fails over together, and a plan mixes native and journaled machines', async () => {
    await using native = await createNativeWorld({ machines: ['crm', 'web'] });
    const { world, hosts } = native;
    await protectNative(native, ['crm', 'web']);
    await world.protect(['shop-web']);
    await world.engine.call('plan.put', { name: 'all', steps: [{ boot: ['shop-web'] }, { boot: ['hosts'] }] });

    await world.do('failover.test', { target: 'all' });
    await world.do('failover.cleanup', { target: 'all' });
    await world.do('failover.planned', { target: 'all' });
    for (const name of ['crm', 'web', 'shop-web']) expect((await world.item(name)).state.protection).to.equal('CommitPending');
    await world.do('failover.commit', { target: 'all' });

    for (const name of ['crm', 'web', 'shop-web']) {
      expect((await world.item(name)).state).to.deep.include({ protection: 'Protected', direction: { from: 'site-b', to: 'site-a' } });
    }
    expect(hosts.machine('hv-b', 'vm-web').role).to.equal('source');
    await expectSound(native);
  });
});
