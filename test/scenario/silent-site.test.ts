// A site that is dark does not refuse: nothing ever comes back. What nobody answers must hold up nothing that can go on.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { demoEstate } from '../../adapters/lab/demo-estate.ts';
import type { EstateSpec } from '../../adapters/lab/port.ts';
import { listOpenCycles } from '../../core/state/points.ts';
import { seconds } from '../support/replicating.ts';
import { replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const GROUP = ['erp-db', 'erp-web', 'shop-db', 'ledger'];
/** The wait for an answer, and what is to be done after it. */
const LOOK_MS = 17_000;

const link = (world: World, up: boolean) => world.lab.control.call('lab.setLink', { site: 'site-a', up, silent: true });

/** The site goes dark at the next call like this one. */
const darkAt = (world: World, at: RegExp): Promise<void> =>
  new Promise((resolve) => {
    world.faults.onEnter = (call) => {
      if (!at.test(call)) return;
      world.faults.onEnter = undefined;
      void link(world, false).then(() => resolve());
    };
  });

/** These machines in place of those that the endpoints have. */
const crowded = (names: Readonly<Record<string, readonly string[]>>): EstateSpec => {
  const { sites } = demoEstate({ diskBytes: 262_144, writesPerSecond: 0 });
  const machinesOf = (own: readonly string[]) => own.map((name) => ({ name, disks: [{ sizeBytes: 262_144 }], writesPerSecond: 0 }));
  return {
    sites: sites.map((site) => ({
      ...site,
      endpoints: site.endpoints.map((endpoint) => {
        const own = names[endpoint.name];
        return own ? { ...endpoint, machines: machinesOf(own) } : endpoint;
      }),
    })),
  };
};

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${name}-${index}`);

const took = async <T>(world: World, work: () => Promise<T>): Promise<readonly [number, T]> => {
  const began = world.lab.clock.now();
  const result = await work();
  return [world.lab.clock.now() - began, result];
};

describe('a site that falls silent', function () {
  // Minutes of the world, second by second.
  this.timeout(120_000);

  const moments = [
    { when: 'before a cycle has looked at its machines', at: /^plugin\.(ps\.Get|vim\.Retrieve|inventory\.)/ },
    { when: 'while a cycle takes its snapshots', at: /^plugin\.(vim\.CreateSnapshot_Task|ps\.CreateSnapshot|snapshot\.create)/ },
    { when: 'while a cycle reads', at: /^plugin\.(agent|device|disk)\.read/ },
    {
      when: 'while a cycle gives its snapshots back',
      at: /^plugin\.(ps\.ConvertToReferencePoint|vim\.RemoveSnapshot_Task|snapshot\.release)/,
    },
  ];
  for (const { when, at } of moments) {
    it(`${when} keeps nobody from failing over`, async () => {
      await using world = await World.create();
      await world.protect(GROUP);
      await world.advance(20_000);
      const dark = darkAt(world, at);
      await world.engine.call('sync.now', { target: 'all' });
      await dark;

      const [ms, job] = await took(world, () => world.run('failover.unplanned', { target: 'all', sourceIs: 'unreachable' }));

      expect(job.state).to.equal('Succeeded');
      expect(ms).to.be.below(LOOK_MS);

      await link(world, true);
      for (const minute of [1, 2]) {
        await world.advance(minute * 60_000);
        await world.engine.sweep();
      }
      expect(await listOpenCycles(world.store.db)).to.deep.equal([]);
      expect((await world.status()).leftovers.filter(({ kind }) => kind === 'snapshot')).to.deep.equal([]);
    });
  }

  it('costs the failover of many machines one wait, not one for each', async () => {
    const names = numbered('web', 40);
    await using world = await World.create({ spec: crowded({ 'vcenter-a': names }) });
    await world.protect(names);
    await link(world, false);

    const [ms, job] = await took(world, () => world.run('failover.unplanned', { target: 'all', sourceIs: 'unreachable' }));

    expect(job.state).to.equal('Succeeded');
    expect(ms).to.be.below(LOOK_MS + 10_000);
  });

  it('is left alone by who lets its machines go, and what is left there is told', async () => {
    await using world = await World.create();
    await world.protect(GROUP);
    await link(world, false);

    const [ms, job] = await took(world, () => world.run('unprotect', { target: 'all' }));

    expect(job.state).to.equal('Succeeded');
    expect(ms).to.be.below(35_000);
    expect(JSON.stringify(job.result)).to.contain('change tracking at vmm-a');
    expect(await world.engine.call('group.list', {})).to.deep.equal([]);
  });

  it('keeps no engine from starting, and its machines are looked at again once it is back', async () => {
    await using world = await World.create();
    await world.protect(GROUP);
    await world.advance(20_000);
    await link(world, false);
    await world.do('failover.unplanned', { target: 'all', sourceIs: 'unreachable' });

    const [ms] = await took(world, () => world.crashAndRestart());

    expect(ms).to.be.at.most(3_000);
    expect((await world.item('erp-db')).state.active).to.equal('unknown');
    const planner = world.engine.startPlanner();
    await link(world, true);
    await world.advance(61_000);
    await planner.tick();
    await planner.idle();
    expect((await world.item('erp-db')).state.active).to.equal('both');
  });
});

const pointTimes = async (world: World, target: string, since: number): Promise<number[]> => {
  const points = (await world.engine.call('point.list', { target })) as { takenAt: string }[];
  const times = points.map(({ takenAt }) => Date.parse(takenAt)).filter((time) => time > since);
  return times.sort((one, other) => one - other);
};

const longestGapMs = (times: readonly number[]): number => Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? 0)));

const silence = (world: World, endpoint: string) =>
  world.lab.control.call('lab.addFault', { rule: { method: '*', endpoint, act: { stall: true } } });

describe('an endpoint that falls silent', function () {
  // Minutes of the world, second by second.
  this.timeout(120_000);

  it('costs machines of others no recovery point, however many of its own wait for it', async () => {
    const [dark, alsoDark] = [numbered('web', 8), numbered('db', 8)];
    await using world = await World.create({ spec: crowded({ 'vcenter-a': dark, 'vmm-a': alsoDark }) });
    await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 10 });
    for (const name of [...dark, ...alsoDark, 'files', 'ledger']) await world.protect([name], { policy: 'tight' });
    for (const endpoint of ['vcenter-a', 'vmm-a']) await silence(world, endpoint);
    await world.do('failover.unplanned', { target: 'web-0', sourceIs: 'unreachable' });

    const began = world.lab.clock.now();
    const planner = world.engine.startPlanner();
    // All at once wait for the two, until each has been heard of by nobody.
    await seconds(world, 60);
    const known = world.lab.clock.now();
    await seconds(world, 240);
    await planner.stop();

    for (const name of ['files', 'ledger']) {
      expect(await pointTimes(world, name, began), name).to.have.length.above(20);
      expect(longestGapMs(await pointTimes(world, name, known)), name).to.be.below(15_000);
    }
  });

  it('is looked at again and again, and its machines replicate as soon as it is back', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 10 });
    for (const name of ['erp-web', 'erp-db']) await world.protect([name], { policy: 'tight' });
    const planner = world.engine.startPlanner();
    await silence(world, 'vmm-a');
    await seconds(world, 1_200);

    await world.lab.control.call('lab.clearFaults', {});
    await world.lab.control.call('lab.cutConnections', { endpoint: 'vmm-a' });
    const back = world.lab.clock.now();
    await seconds(world, 60);
    await planner.stop();

    for (const name of ['erp-web', 'erp-db']) {
      expect((await world.item(name)).state.sync, name).to.deep.equal({ is: 'Delta' });
      const [first = Number.POSITIVE_INFINITY] = await pointTimes(world, name, back);
      expect(first - back, name).to.be.below(45_000);
    }
  });

  for (const [how, act] of [
    ['refuses', { error: 'CONNECTION_REFUSED' }],
    ['is silent', { stall: true }],
  ] as const) {
    it(`costs other members of a group no point of their own when it ${how}`, async () => {
      await using world = await World.create();
      await world.protect(['erp-db', 'shop-db', 'ledger']);
      await world.advance(20_000);
      const before = world.lab.clock.now();
      await world.lab.control.call('lab.addFault', { rule: { method: '*', endpoint: 'vmm-a', act } });

      const job = await world.run('sync.now', { target: 'all' });

      expect(job.state).to.equal('Partial');
      for (const name of ['shop-db', 'ledger']) {
        expect(await pointTimes(world, name, before), name).to.have.length(1);
        expect(await replicaDiffers(world, name), name).to.equal(undefined);
      }
      expect(await pointTimes(world, 'erp-db', before)).to.deep.equal([]);
      expect((await world.item('erp-db')).state.sync).to.deep.include({ is: 'Stalled' });

      await world.lab.control.call('lab.clearFaults', {});
      await world.lab.control.call('lab.cutConnections', { endpoint: 'vmm-a' });
      await world.advance(20_000);
      await world.do('sync.now', { target: 'all' });
      expect((await world.item('erp-db')).state.sync).to.deep.equal({ is: 'Delta' });
      for (const name of ['erp-db', 'shop-db', 'ledger']) expect(await replicaDiffers(world, name), name).to.equal(undefined);
    });
  }
});

describe('a recovery endpoint', function () {
  // Minutes of the world, second by second.
  this.timeout(120_000);

  for (const [how, act] of [
    ['refuses', { error: 'CONNECTION_REFUSED' }],
    ['is silent', { stall: true }],
  ] as const) {
    it(`that ${how} costs no recovery point, and its replicas are brought forward once it is back`, async () => {
      await using world = await World.create();
      await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 10 });
      for (const name of ['erp-web', 'shop-web']) await world.protect([name], { policy: 'tight' });
      const planner = world.engine.startPlanner();
      await seconds(world, 20);
      for (const endpoint of ['vmm-b', 'vcenter-b']) await world.lab.control.call('lab.addFault', { rule: { method: '*', endpoint, act } });
      const began = world.lab.clock.now();
      await seconds(world, 90);

      await world.lab.control.call('lab.clearFaults', {});
      for (const endpoint of ['vmm-b', 'vcenter-b']) await world.lab.control.call('lab.cutConnections', { endpoint });
      await seconds(world, 150);
      await planner.stop();

      for (const name of ['erp-web', 'shop-web']) {
        expect(longestGapMs(await pointTimes(world, name, began)), name).to.be.below(20_000);
        const journal = await world.engine.core.journals.journal('site-b', await world.itemId(name));
        expect(journal.pending().length, name).to.be.below(2);
        await world.do('sync.now', { target: name });
        expect(await replicaDiffers(world, name), name).to.equal(undefined);
      }
    });
  }

  it('that does not answer is told once, and once more when it does', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 10 });
    await world.protect(['shop-web'], { policy: 'tight' });
    const planner = world.engine.startPlanner();
    await world.lab.control.call('lab.addFault', {
      rule: { method: '*', endpoint: 'vcenter-b', act: { error: 'CONNECTION_REFUSED' } },
    });
    // Tried again after one minute, and then after two.
    await seconds(world, 100);
    await world.lab.control.call('lab.clearFaults', {});
    await seconds(world, 200);
    await planner.stop();

    const events = (await world.engine.call('event.list', { limit: 1_000 })) as { kind: string }[];
    const kinds = events.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith('apply.'))).to.deep.equal(['apply.failed', 'apply.resumed']);
    expect(kinds).to.not.include.members(['cycle.failed', 'rpo.violated']);
  });
});
