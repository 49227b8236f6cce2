import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MachineId } from '../../core/contract/index.ts';
import type { RuleDetail, RuleView } from '../../core/engine/operations-rule.ts';
import type { StatusView } from '../../core/engine/status.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

const GOLD = { name: 'gold', label: 'cloud=gold', to: 'site-b', target: 'vmm-b' };
const MINUTES = 60_000;

/** One round of the planner, with all that it has begun. */
const look = async (world: World): Promise<void> => {
  const planner = world.engine.startPlanner();
  await planner.tick();
  await planner.idle();
};

const lookAfter = async (world: World, ms: number): Promise<void> => {
  await world.advance(ms);
  await look(world);
};

const idOf = async (world: World, name: string, endpoint = 'vmm-a'): Promise<MachineId> => (await world.machine(name, endpoint)).machine;

const label = async (world: World, name: string, labels: Record<string, string>, endpoint?: string): Promise<void> =>
  void (await world.lab.control.call('lab.setLabels', { machine: await idOf(world, name, endpoint), labels }));

const put = (world: World, rule: object = GOLD) => world.engine.call('rule.put', rule, { actor: 'tester' });

const stateOf = async (world: World, name: string): Promise<string> =>
  (await world.item(name).catch(() => undefined))?.state.protection ?? 'Unprotected';

const verdicts = async (world: World, name = 'gold'): Promise<Record<string, string>> => {
  const rule = (await world.engine.call('rule.show', { name })) as RuleDetail;
  return Object.fromEntries(rule.machines.map((machine) => [machine.name, machine.verdict]));
};

const waits = async (world: World): Promise<StatusView['waits']> => ((await world.engine.call('status', {})) as StatusView).waits;

const eventsOf = async (world: World, kind: string) =>
  ((await world.engine.call('event.list', { limit: 1_000 })) as { kind: string; message: string }[]).filter((event) => event.kind === kind);

describe('a standing rule', () => {
  it('protects every machine of a cloud, and one that comes to it later', async () => {
    await using world = await World.create();
    await label(world, 'erp-web', { app: 'erp' });
    await put(world);

    await look(world);
    expect(await stateOf(world, 'erp-db')).to.equal('Protected');
    expect(await stateOf(world, 'erp-web')).to.equal('Unprotected');

    await label(world, 'erp-web', { app: 'erp', cloud: 'gold' });
    await lookAfter(world, 5 * MINUTES);
    expect(await stateOf(world, 'erp-web')).to.equal('Protected');
    for (const name of ['erp-db', 'erp-web']) {
      await world.do('sync.now', { target: name });
      expect(await replicaDiffers(world, name)).to.equal(undefined);
    }
    expect(await brokenInvariants(world)).to.deep.equal([]);
    expect(await verdicts(world)).to.deep.equal({ 'erp-db': 'protected', 'erp-web': 'protected' });
    expect(await world.engine.call('group.list', {})).to.have.length(2);
  });

  it('puts all into one group when it names one, and takes nobody in while the group is failed over', async () => {
    await using world = await World.create();
    await label(world, 'erp-web', { app: 'erp' });
    await put(world, { ...GOLD, group: 'erp' });
    await look(world);
    await world.do('failover.planned', { target: 'erp' });

    await label(world, 'erp-web', { cloud: 'gold' });
    await lookAfter(world, 5 * MINUTES);
    expect(await stateOf(world, 'erp-web')).to.equal('Unprotected');
    expect((await waits(world)).map(({ name, because }) => ({ name, because }))).to.deep.equal([
      { name: 'erp-web', because: 'group erp takes nobody in: its member erp-db is CommitPending' },
    ]);

    await world.do('failover.cancel', { target: 'erp' });
    await lookAfter(world, 15 * MINUTES);
    expect(await stateOf(world, 'erp-web')).to.equal('Protected');
    expect(await waits(world)).to.deep.equal([]);
    expect(await world.engine.call('group.list', {})).to.have.length(1);
  });

  it('leaves alone what somebody has unprotected or released, until somebody protects it', async () => {
    await using world = await World.create();
    await put(world);
    await look(world);
    await world.do('unprotect', { target: 'erp-db' });
    await world.do('failover.planned', { target: 'erp-web' });
    await world.do('failover.commit', { target: 'erp-web', reprotect: false });
    await world.do('release', { target: 'erp-web' });

    await lookAfter(world, 2 * 60 * MINUTES);
    expect(await stateOf(world, 'erp-db')).to.equal('Unprotected');
    expect(await stateOf(world, 'erp-web')).to.equal('Unprotected');
    expect(await verdicts(world)).to.deep.equal({ 'erp-db': 'left out', 'erp-web': 'left out' });

    await world.protect(['erp-db'], { target: 'vmm-b' });
    expect((await verdicts(world))['erp-db']).to.equal('protected');
  });

  it('never takes a machine that runs back home for one of its own', async () => {
    await using world = await World.create();
    await put(world);
    await look(world);
    await world.do('failover.planned', { target: 'erp-db' });
    await world.do('failover.commit', { target: 'erp-db' });

    await lookAfter(world, 5 * MINUTES);
    expect((await world.item('erp-db')).state.direction).to.deep.equal({ from: 'site-b', to: 'site-a' });
    expect(await verdicts(world)).to.deep.equal({ 'erp-db': 'protected', 'erp-web': 'protected' });
    await world.do('failback', { target: 'erp-db' });
    await lookAfter(world, 5 * MINUTES);
    expect(await world.engine.call('group.list', {})).to.have.length(2);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });

  it('tries a protection that failed again after an hour, and at once when an operator puts the rule again', async () => {
    await using world = await World.create();
    await label(world, 'erp-web', {});
    const { id } = await world.lab.control.call('lab.addFault', { rule: { method: 'ps.New-VM', act: { error: 'TARGET_FULL' } } });
    await put(world);
    await look(world);
    expect(await stateOf(world, 'erp-db')).to.equal('EnablingFailed');
    await world.lab.control.call('lab.clearFaults', { id });

    await lookAfter(world, 10 * MINUTES);
    expect(await stateOf(world, 'erp-db')).to.equal('EnablingFailed');
    await put(world);
    await look(world);
    expect(await stateOf(world, 'erp-db')).to.equal('Protected');
  });

  it('says once what stands in the way of a machine, in status and event, and goes on with the others', async () => {
    await using world = await World.create();
    for (const name of ['ledger', 'files']) await label(world, name, { cloud: 'servers' }, 'servers-a');
    const files = await idOf(world, 'files', 'servers-a');
    await world.lab.control.call('lab.addFault', {
      rule: { method: 'inventory.assess', machine: files, act: { error: 'PERMISSION_DENIED' } },
    });
    await put(world, { name: 'servers', label: 'cloud=servers', to: 'site-b' });

    await look(world);
    await lookAfter(world, 10 * MINUTES);
    await lookAfter(world, 10 * MINUTES);
    expect(await stateOf(world, 'ledger')).to.equal('Protected');
    expect((await waits(world)).map(({ name, rule }) => ({ name, rule }))).to.deep.equal([{ name: 'files', rule: 'servers' }]);
    expect(await eventsOf(world, 'rule.waits')).to.have.length(1);

    await world.lab.control.call('lab.clearFaults', {});
    await lookAfter(world, 10 * MINUTES);
    expect(await stateOf(world, 'files')).to.equal('Protected');
    expect(await waits(world)).to.deep.equal([]);
  });

  it('names an endpoint that is dark, and keeps what it knew of its machines', async () => {
    await using world = await World.create();
    await put(world);
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: false });
    await look(world);
    expect((await waits(world)).map(({ name }) => name)).to.include('vmm-a');

    await world.lab.control.call('lab.setLink', { site: 'site-a', up: true });
    await lookAfter(world, 10 * MINUTES);
    expect(await waits(world)).to.deep.equal([]);
    expect(await stateOf(world, 'erp-db')).to.equal('Protected');
  });

  it('goes on after a crash in the middle, and makes nothing twice', async () => {
    await using world = await World.create();
    await put(world);
    world.faults.crashAt = world.faults.calls + 260;
    await world.untilCrash(look(world));
    expect(world.faults.crashed).to.equal(true);

    const { resumed } = await world.crashAndRestart();
    for (const job of resumed) await world.engine.settled(job);
    await look(world);
    await lookAfter(world, 61 * MINUTES);
    expect(await verdicts(world)).to.deep.equal({ 'erp-db': 'protected', 'erp-web': 'protected' });
    expect(await stateOf(world, 'erp-db')).to.equal('Protected');
    const names = (await world.status()).machines.filter(({ endpoint }) => endpoint === 'vmm-b').map(({ name }) => name);
    expect(names).to.have.length(2);
    expect(await brokenInvariants(world)).to.deep.equal([]);
  });

  it('begins with four machines, and with the next when one is done', async () => {
    await using world = await World.create();
    for (const [name, endpoint] of [
      ['shop-db', 'vcenter-a'],
      ['shop-web', 'vcenter-a'],
      ['ledger', 'servers-a'],
      ['files', 'servers-a'],
    ] as const)
      await label(world, name, { cloud: 'gold' }, endpoint);
    await put(world, { name: 'gold', label: 'gold', to: 'site-b', target: 'kvm-b' });

    const planner = world.engine.startPlanner();
    await planner.tick();
    const running = ((await world.engine.call('job.list', {})) as { state: string; actor: string }[]).filter(
      ({ state }) => state === 'Running',
    );
    expect(running.length).to.be.at.most(4);
    await planner.idle();
    await planner.tick();
    await planner.idle();

    const { items } = (await world.engine.call('status', {})) as StatusView;
    expect(items.map(({ protection }) => protection)).to.deep.equal(Array(6).fill('Protected'));
    const jobs = (await world.engine.call('job.list', {})) as { actor: string; verb: string }[];
    expect(new Set(jobs.map(({ actor }) => actor))).to.deep.equal(new Set(['rule:gold']));
  });

  it('is refused when it names what is not there or does not fit, and keeps what it uses', async () => {
    await using world = await World.create();
    const refusal = async (work: Promise<unknown>): Promise<string> =>
      work.then(
        () => '',
        (error: Error) => error.message,
      );
    await world.engine.call('policy.put', { name: 'other' });
    await world.protect(['erp-db'], { group: 'erp', target: 'vmm-b' });

    expect(await refusal(put(world, { ...GOLD, policy: 'golden' }))).to.include('there is no policy "golden"');
    expect(await refusal(put(world, { ...GOLD, to: 'site-c' }))).to.include('there is no site "site-c"');
    expect(await refusal(put(world, { ...GOLD, target: 'vmm-a' }))).to.include('endpoint vmm-a is not at the recovery site site-b');
    expect(await refusal(put(world, { ...GOLD, endpoint: 'vmm-b' }))).to.include('endpoint vmm-b is at the recovery site site-b');
    expect(await refusal(put(world, { ...GOLD, group: 'erp', policy: 'other' }))).to.include('group erp replicates by policy default');
    expect(await refusal(world.engine.call('rule.delete', { name: 'golt' }))).to.include('there is no rule "golt"');

    await put(world, { ...GOLD, policy: 'other', endpoint: 'vmm-a' });
    expect(await refusal(world.engine.call('policy.delete', { name: 'other' }))).to.include('policy other is used by rule gold');
    await world.do('unprotect', { target: 'erp-db' });
    expect(await refusal(world.engine.call('endpoint.remove', { id: 'vmm-a' }))).to.include('endpoint vmm-a is used by rule gold');
    await world.engine.call('rule.delete', { name: 'gold' });
    expect((await world.engine.call('rule.list', {})) as RuleView[]).to.deep.equal([]);
    await world.engine.call('endpoint.remove', { id: 'vmm-a' });
  });

  it('comes back with the directory of the recovery site', async () => {
    await using world = await World.create();
    await put(world);
    await look(world);
    await world.engine.call('rule.put', GOLD);
    await world.loseStore();

    await world.engine.call('site.adopt', { id: 'site-b' });
    expect(((await world.engine.call('rule.list', {})) as RuleView[]).map(({ name }) => name)).to.deep.equal(['gold']);
  });
});

describe('protect by label', () => {
  it('leaves out what is protected already', async () => {
    await using world = await World.create();
    await world.protect(['erp-db'], { target: 'vmm-b' });

    await world.do('protect', { label: 'cloud=gold', to: 'site-b', target: 'vmm-b', group: 'rest' });
    expect(await stateOf(world, 'erp-web')).to.equal('Protected');
    const again = await world.engine.call('protect', { label: 'cloud=gold', to: 'site-b' }).then(
      () => '',
      (error: Error) => error.message,
    );
    expect(again).to.equal('all 2 machines with the label cloud=gold are protected already');
  });
});
