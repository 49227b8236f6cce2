import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ENDED } from '../../core/flow/flow.ts';
import { NativeObserver } from '../../core/replication/native/observer.ts';
import { listJobs } from '../../core/state/jobs.ts';
import { createNativeWorld, letPass, type NativeWorld, protectNative } from '../support/native-pair/world.ts';
import { brokenInvariants } from '../support/rules.ts';

const CRM = 'vm-crm';

interface Reason {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}
const reasonsOf = async ({ world }: NativeWorld): Promise<readonly Reason[]> => {
  const [view] = (await world.engine.call('explain', { target: 'crm' })) as { health: { reasons: readonly Reason[] } }[];
  return view?.health.reasons ?? [];
};

/** One round of the planner, with what it has begun. */
const tick = async ({ world }: NativeWorld): Promise<void> => {
  const planner = world.engine.startPlanner();
  await planner.tick();
  await planner.idle();
};

describe('native replication in trouble', () => {
  it('is seen paused when somebody has paused it at its host, and goes on when resumed there', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);

    hosts.machine('hv-a', CRM).state = 'Suspended';
    await tick(native);
    expect((await world.item('crm')).state.sync.is).to.equal('Paused');
    hosts.machine('hv-a', CRM).state = 'Replicating';
    await world.advance(30_000);
    await tick(native);

    expect((await world.item('crm')).state.sync.is).to.equal('Delta');
  });

  for (const { what, change, says } of [
    {
      what: 'failed over',
      says: 'failed over by somebody else',
      change: ({ hosts }: NativeWorld) => {
        hosts.machine('hv-b', CRM).state = 'FailedOverWaitingCompletion';
      },
    },
    {
      what: 'removed at its source',
      says: 'no longer know of the replication',
      change: ({ hosts }: NativeWorld) => hosts.remove('hv-a', CRM),
    },
    {
      what: 'reversed',
      says: 'reversed by somebody else',
      change: ({ hosts }: NativeWorld) => {
        hosts.machine('hv-a', CRM).role = 'replica';
        hosts.machine('hv-b', CRM).role = 'source';
      },
    },
    {
      what: 'put into a state that nobody here knows',
      says: 'not known here: Teleporting',
      change: ({ hosts }: NativeWorld) => {
        hosts.machine('hv-a', CRM).state = 'Teleporting';
      },
    },
  ]) {
    it(`shows that it was ${what} by hand with the next step, undoes nothing, and refuses to fail over what is not there`, async () => {
      await using native = await createNativeWorld();
      const { world, hosts } = native;
      await protectNative(native, ['crm']);

      change(native);
      const acts = hosts.acts.length;
      await tick(native);

      const { sync, protection } = (await world.item('crm')).state;
      expect(protection).to.equal('Protected');
      expect(sync.is).to.equal('Stalled');
      expect(sync.reason).to.include(says);
      const reason = (await reasonsOf(native)).find(({ code }) => code === 'native-state');
      expect(reason?.hint).to.be.a('string').and.not.equal('');
      expect(hosts.acts.length).to.equal(acts);
    });
  }

  it('refuses a failover of a replica that somebody else has failed over, while the source still runs', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.machine('hv-b', CRM).state = 'FailedOverWaitingCompletion';

    const job = await world.run('failover.planned', { target: 'crm' });

    expect(job.error?.code).to.equal('STATE_CONFLICT');
    expect(hosts.machine('hv-a', CRM).power).to.equal('on');
    expect((await world.item('crm')).state.protection).to.equal('Protected');
  });

  it('leaves a test failover alone that somebody else has begun, and says so', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.machine('hv-b', CRM).testMachine = 'vm-theirs' as never;
    hosts.add('hv-b', 'theirs');

    const job = await world.run('failover.test', { target: 'crm' });
    await tick(native);

    expect(job.error?.code).to.equal('STATE_CONFLICT');
    expect(hosts.machine('hv-b', 'vm-theirs').power).to.equal('on');
    expect((await world.item('crm')).state.test).to.equal('None');
    expect((await reasonsOf(native)).map(({ code }) => code)).to.include('native-test');
  });

  it('asks a host that does not answer less and less often, and says since when it knows nothing', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.host('hv-a').down = true;

    await tick(native);
    const unseen = (await reasonsOf(native)).find(({ code }) => code === 'native-unseen');
    await world.advance(30_000);
    hosts.host('hv-a').down = false;
    await tick(native);
    const early = (await reasonsOf(native)).map(({ code }) => code);
    await world.advance(60_000);
    await tick(native);

    expect(unseen?.message).to.include('hv-a');
    expect(early).to.include('native-unseen');
    expect((await reasonsOf(native)).map(({ code }) => code)).to.not.include('native-unseen');
    expect((await world.item('crm')).state.sync.is).to.equal('Delta');
  });

  it('breaks the RPO when the replica stops growing, whatever the state says', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.linkDown = true;

    await world.advance(3_600_000);
    await tick(native);

    const { items } = (await world.engine.call('status', {})) as { items: { lag: { ms: number }; health: { rpoViolation: boolean } }[] };
    expect(items[0]?.lag.ms).to.be.greaterThan(3_500_000);
    expect(items[0]?.health.rpoViolation).to.equal(true);
  });

  it('says what the hosts say when their health is bad', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    Object.assign(hosts.machine('hv-a', CRM), { health: 'Critical', because: 'the log of changes is full' });
    hosts.linkDown = true;

    await tick(native);

    expect((await world.item('crm')).state.sync).to.deep.equal({ is: 'Stalled', reason: 'the log of changes is full' });
  });

  it('takes a lost answer neither for success nor for failure', async () => {
    for (const call of ['enable', 'seed', 'act.prepare', 'act.failover', 'act.test', 'act.endTest', 'power.on']) {
      await using native = await createNativeWorld();
      const { world, hosts, loseAnswer } = native;
      loseAnswer(call);
      await protectNative(native, ['crm']);
      await world.do('failover.test', { target: 'crm' });
      await world.do('failover.cleanup', { target: 'crm' });
      await world.do('failover.planned', { target: 'crm' });

      const twice = hosts.acts.filter((act, index) => hosts.acts.indexOf(act) !== index);
      expect(twice, call).to.deep.equal([]);
      expect(await brokenInvariants(world), call).to.deep.equal([]);
    }
  });

  it('a first copy of days outlives the engine, and goes on without a person however long that was gone', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    hosts.copyMs = 30 * 3_600_000;
    const { faults } = world;
    const begun = world.run('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' });
    faults.crashAt = faults.calls + 200;
    await world.untilCrash(begun);
    await world.advance(24 * 3_600_000);

    const { resumed } = await world.crashAndRestart();

    expect(resumed).to.have.length(1);
    const job = await world.engine.settled(resumed[0] ?? '');
    expect(job.state).to.equal('Succeeded');
    expect((await world.item('crm')).state.protection).to.equal('Protected');
    expect(hosts.acts).to.deep.equal(['enable hv-a', 'seed hv-a']);
  });

  it('a protect that is cancelled while the hosts copy ends, and the machine can be unprotected', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    hosts.copyMs = Number.POSITIVE_INFINITY;
    const { job } = (await world.engine.call('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' })) as {
      job: string;
    };
    while (!hosts.acts.includes('seed hv-a')) await new Promise((resolve) => setImmediate(resolve));

    await world.engine.call('job.cancel', { id: job });
    const ended = await world.engine.settled(job);
    await world.do('unprotect', { target: 'crm' });

    expect(ended.state).to.equal('Cancelled');
    expect(hosts.machine('hv-a', CRM).role).to.equal('none');
    expect((await listJobs(world.store.db)).every((known) => ENDED.includes(known.state))).to.equal(true);
  });

  it('two starts of one verb are one job of work', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);

    const both = await Promise.all([world.run('failover.planned', { target: 'crm' }), world.run('failover.planned', { target: 'crm' })]);

    expect(both.filter((job) => job.state === 'Succeeded')).to.have.length(1);
    expect(hosts.acts.filter((act) => act.startsWith('failover'))).to.have.length(1);
    expect(hosts.violations).to.deep.equal([]);
    await letPass(native, 'crm').catch(() => {});
  });

  it('a planned failover whose replica host dies is retried, or cancelled back to the source', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.linkDown = true;

    const failed = await world.run('failover.planned', { target: 'crm' });
    expect(failed.state).to.equal('Failed');
    expect((await world.item('crm')).state.protection).to.equal('FailingOverFailed');
    await world.do('failover.cancel', { target: 'crm' });

    expect(hosts.machine('hv-a', CRM)).to.include({ power: 'on', state: 'Replicating' });
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
  });

  it('is not failed over as planned while its source sends nothing: that is found out before anything is shut down', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.machine('hv-a', CRM).state = 'WaitingForStartResynchronize';

    const job = await world.run('failover.planned', { target: 'crm' });

    expect(job.error).to.include({ code: 'STATE_CONFLICT', hint: 'run sync resync' });
    expect(hosts.machine('hv-a', CRM).power).to.equal('on');
    expect((await world.item('crm')).state.protection).to.equal('Protected');
  });

  it('fails over from a home that was rebuilt at the recovery site, after one look at the replica host (S1)', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.setPower('hv-a', CRM, 'off');
    hosts.host('hv-a').down = true;
    await world.loseStore();
    await world.engine.start();
    await world.engine.call('site.adopt', { id: 'site-b' });
    await world.crashAndRestart();

    await world.do('sync.now', { target: 'crm' });
    await world.do('failover.unplanned', { target: 'crm', sourceIs: 'unreachable' });

    expect(hosts.machine('hv-b', CRM).power).to.equal('on');
    expect(hosts.violations).to.deep.equal([]);
  });

  it('says before a commit that the other points go', async () => {
    await using native = await createNativeWorld();
    const { world } = native;
    await protectNative(native, ['crm']);
    await world.do('failover.planned', { target: 'crm' });

    const plan = (await world.engine.call('failover.commit', { target: 'crm', dryRun: true })) as { members: { notes?: string[] }[] };

    expect(plan.members[0]?.notes?.join()).to.include('deletes all other points');
  });

  it('a re-protect whose pair is removed by hand fails, and says so, instead of calling the machine protected', async () => {
    await using native = await createNativeWorld();
    const { world, hosts } = native;
    await protectNative(native, ['crm']);
    hosts.setPower('hv-a', CRM, 'off');
    hosts.host('hv-a').down = true;
    await world.do('failover.unplanned', { target: 'crm', sourceIs: 'off' });
    await world.do('failover.commit', { target: 'crm' });
    expect(await world.engine.call('point.list', { target: 'crm' })).to.have.length(1);
    const observer = new NativeObserver(world.engine.core);
    observer.look([await world.item('crm')]);
    await observer.idle();
    expect(await world.engine.call('point.list', { target: 'crm' })).to.deep.equal([]);
    hosts.copyMs = Number.POSITIVE_INFINITY;
    hosts.host('hv-a').down = false;

    const { job } = (await world.engine.call('reprotect', { target: 'crm' })) as { job: string };
    while (!hosts.acts.includes('seed hv-b')) await new Promise((resolve) => setImmediate(resolve));
    hosts.remove('hv-b', CRM);
    const ended = await world.engine.settled(job);

    expect(ended.error?.code).to.equal('STATE_CONFLICT');
    expect((await world.item('crm')).state.protection).to.equal('ReprotectingFailed');
    await world.do('release', { target: 'crm' });
    expect(hosts.machine('hv-b', CRM).power).to.equal('on');
  });
});

describe('a host that is in the middle of a step', () => {
  /** An order that nobody waits for any more is still carried out. */
  const atWork = ({ world, hosts }: NativeWorld): void => {
    const replica = hosts.machine('hv-b', CRM);
    replica.state = 'RecoveryInProgress';
    world.lab.estate.timeline.schedule(5_000, () => {
      replica.state = 'FailedOverWaitingCompletion';
    });
  };

  for (const { verb, ends } of [
    { verb: 'failover.cancel', ends: 'Replicating' },
    { verb: 'failover.planned', ends: 'FailedOverWaitingCompletion' },
  ]) {
    it(`is waited for by ${verb}: what it says then is what counts`, async () => {
      await using native = await createNativeWorld();
      const { world, hosts } = native;
      await protectNative(native, ['crm']);
      world.faults.failNext = 'plugin.act.failover';
      await world.run('failover.planned', { target: 'crm' });
      const failed = (await world.item('crm')).state.protection;

      atWork(native);
      await world.do(verb, { target: 'crm' });

      expect(failed).to.equal('FailingOverFailed');
      expect(hosts.machine('hv-b', CRM).state).to.equal(ends);
      expect(hosts.violations).to.deep.equal([]);
    });
  }
});
