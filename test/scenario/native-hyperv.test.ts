import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { EndpointSpec, EstateSpec } from '../../adapters/lab/port.ts';
import { idOnHosts } from '../../adapters/lab/powershell/fabric.ts';
import type { MachineRecord } from '../../adapters/lab/records.ts';
import type { DryRun } from '../../core/engine/operations-recover.ts';
import type { FailoverResult } from '../../core/failover/failover.ts';
import { brokenInvariants } from '../support/rules.ts';
import { World } from '../support/world.ts';

const MIB = 2 ** 20;
const HOUR = 3_600_000;

const endpoint = (name: string, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
  ...{ name, profile: 'hyperv' as const, networks: ['production'] },
  storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
  ...more,
});

const CRM = { name: 'crm', writesPerSecond: 0.001, disks: [{ sizeBytes: MIB }, { sizeBytes: MIB, contentBytes: MIB / 4 }] };
const SPEC: EstateSpec = {
  sites: [
    { name: 'site-a', endpoints: [endpoint('hv-a', { machines: [CRM] })] },
    { name: 'site-b', endpoints: [endpoint('hv-b')] },
  ],
};

/** The engine, the plugin and simulated hosts: nothing in between knows of the others. */
const nativeWorld = async (): Promise<World> => {
  const world = await World.create({ spec: SPEC });
  await world.engine.call('policy.put', { name: 'hosts', method: 'native', rpoSeconds: 900, native: { frequencySeconds: 30, points: 4 } });
  await world.do('protect', { machines: ['crm'], to: 'site-b', target: 'hv-b', policy: 'hosts' });
  return world;
};

const at = (world: World, name: string): MachineRecord => {
  const { machines } = world.lab.estate;
  return [...machines.values()].find((one) => one.endpoint === name && !one.name.endsWith('Test'))!;
};

const write = (world: World, side: string, fill: number): Promise<unknown> => {
  const machine = at(world, side);
  const disk = machine.spec.disks[1]!.id;
  return world.lab.control.call('lab.write', { machine: machine.id, disk, offset: 917_504, data: Buffer.alloc(4096, fill) });
};

const byte = (world: World, side: string): number => {
  const machine = at(world, side);
  const into = new Uint8Array(1);
  world.lab.estate.live(machine, machine.spec.disks[1]!.id).read(917_504, into);
  return into[0]!;
};

const expectSound = async (world: World): Promise<void> => {
  expect(world.lab.estate.violations).to.deep.equal([]);
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

describe('native replication of Hyper-V hosts', () => {
  it('waits for no host of a silent site: neither a failover nor who lets the machine go', async () => {
    for (const [operation, input] of [
      ['failover.unplanned', { sourceIs: 'unreachable' }],
      ['unprotect', {}],
    ] as const) {
      await using world = await nativeWorld();
      await world.advance(HOUR);
      await world.lab.control.call('lab.setLink', { site: 'site-a', up: false, silent: true });
      const began = world.lab.clock.now();

      await world.do(operation, { target: 'crm', ...input });

      expect(world.lab.clock.now() - began, operation).to.be.below(35_000);
    }
  });

  it('goes there and back without a byte lost: test, planned failover, commit into re-protect, failback', async function () {
    this.timeout(60_000);
    await using world = await nativeWorld();
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', sync: { is: 'Delta' } });
    expect(idOnHosts(at(world, 'hv-b'))).to.equal(at(world, 'hv-a').id);

    await world.do('failover.test', { target: 'crm' });
    const tests = [...world.lab.estate.machines.values()].filter(({ name }) => name.endsWith('Test'));
    expect(tests.map(({ power }) => power)).to.deep.equal(['on']);
    await world.do('failover.cleanup', { target: 'crm' });
    expect([...world.lab.estate.machines.values()]).to.have.lengthOf(2);

    await write(world, 'hv-a', 7);
    await world.do('failover.planned', { target: 'crm' });
    expect([byte(world, 'hv-b'), at(world, 'hv-b').power, at(world, 'hv-a').power]).to.deep.equal([7, 'on', 'off']);
    await expectSound(world);

    await world.do('failover.commit', { target: 'crm' });
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', direction: { from: 'site-b', to: 'site-a' } });
    expect(await world.engine.call('group.list', {})).to.have.deep.nested.property('[0].directions', ['site-b -> site-a']);
    await write(world, 'hv-b', 8);
    await world.do('failback', { target: 'crm' });
    expect([byte(world, 'hv-a'), at(world, 'hv-a').power, at(world, 'hv-b').power]).to.deep.equal([8, 'on', 'off']);
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
    await expectSound(world);

    await world.do('unprotect', { target: 'crm' });
    expect(at(world, 'hv-a').hv!.replication).to.equal(undefined);
    expect(at(world, 'hv-a').power).to.equal('on');
  });

  it('is told before as what the hosts do: no way of data through here', async () => {
    await using world = await World.create({ spec: SPEC });
    await world.engine.call('policy.put', {
      name: 'hosts',
      method: 'native',
      rpoSeconds: 900,
      native: { frequencySeconds: 300, points: 4 },
    });

    const plan = (await world.engine.call('protect', { machines: ['crm'], to: 'site-b', policy: 'hosts', dryRun: true })) as DryRun;

    expect(plan.steps[0]).to.match(/^enable replication at the source host/);
    expect(plan.dataPaths).to.deep.equal([]);
    expect(plan.members[0]).to.deep.include({ disks: { count: 2, sizeBytes: 2 * MIB }, findings: [] });
  });

  it('goes to the endpoint that is mapped, whichever comes first', async () => {
    await using world = await World.create({ spec: SPEC });
    const { control } = world.lab;
    await control.call('lab.build', { spec: { sites: [{ name: 'site-b', endpoints: [endpoint('another')] }] } });
    const { kind, address } = await control.call('lab.powershell', { endpoint: 'another' });
    const config = { address, kind, transport: 'local' };
    await world.engine.call('endpoint.add', { id: 'another', site: 'site-b', plugin: 'hyperv', config });
    await world.engine.call('policy.put', { name: 'hosts', method: 'native', rpoSeconds: 900 });

    for (const policy of ['default', 'hosts']) {
      const asked = { machines: ['crm'], to: 'site-b', policy, dryRun: true };
      const plan = (await world.engine.call('protect', asked)) as DryRun;
      expect(plan.members[0]?.notes, policy).to.deep.equal(['replica at hv-b']);
    }
  });

  it('is not taken for the work of another product', async () => {
    await using world = await nativeWorld();

    const { machines } = (await world.engine.call('machine.list', {})) as { machines: Record<string, unknown>[] };

    expect(machines.map(({ endpoint, protection, protectedElsewhere }) => [endpoint, protection, protectedElsewhere])).to.deep.equal([
      ['hv-a', 'Protected', undefined],
      ['hv-b', 'replica', undefined],
    ]);
    expect((await world.machine('crm', 'hv-b')).role).to.equal('replica');
  });

  it('names the state that a planned failover starts from by the time when the last changes went over', async function () {
    this.timeout(60_000);
    await using world = await nativeWorld();
    await world.advance(20_000);
    const before = world.runtime.clock.now();

    const { result } = await world.do('failover.planned', { target: 'crm' });

    const [member] = Object.values((result as FailoverResult).members);
    expect(member?.lossMs).to.equal(0);
    expect(Date.parse(member?.takenAt ?? '')).to.be.greaterThan(before);
  });

  it('brings the chosen point up when the source has burned, and takes the old source in by a comparison', async function () {
    this.timeout(60_000);
    await using world = await nativeWorld();
    for (const fill of [1, 2, 3]) {
      await write(world, 'hv-a', fill);
      await world.advance(HOUR);
      await world.do('sync.now', { target: 'crm' });
    }
    const points = (await world.engine.call('point.list', { target: 'crm' })) as { readonly id: string }[];
    await world.lab.control.call('lab.burnSite', { site: 'site-a' });

    await world.do('failover.unplanned', { target: 'crm', point: points[0]!.id, sourceIs: 'unreachable' });
    const oldest = byte(world, 'hv-b');
    await world.do('failover.change-point', { target: 'crm', point: 'latest' });
    const newest = byte(world, 'hv-b');
    await world.do('failover.commit', { target: 'crm' });
    await world.lab.control.call('lab.restoreSite', { site: 'site-a', autostart: false });
    await write(world, 'hv-b', 9);
    await world.do('reprotect', { target: 'crm' });
    await world.advance(HOUR);

    expect([oldest < newest, newest, byte(world, 'hv-a')]).to.deep.equal([true, 3, 9]);
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', direction: { from: 'site-b', to: 'site-a' } });
    await expectSound(world);
  });

  it('is cancelled back to a source that runs on as it was', async function () {
    this.timeout(60_000);
    await using world = await nativeWorld();
    await write(world, 'hv-a', 5);
    await world.do('failover.planned', { target: 'crm' });
    await write(world, 'hv-b', 6);

    await world.do('failover.cancel', { target: 'crm' });

    expect([byte(world, 'hv-a'), byte(world, 'hv-b'), at(world, 'hv-a').power]).to.deep.equal([5, 5, 'on']);
    expect((await world.item('crm')).state).to.deep.include({ protection: 'Protected', active: { site: 'site-a' } });
    await expectSound(world);
  });
});

interface Story {
  readonly verb: string;
  readonly before: readonly string[];
  /** Where it must have led once it was told again, and where the machine then runs. */
  readonly ends: string;
  readonly runs: 'hv-a' | 'hv-b';
}

const STORIES: readonly Story[] = [
  { verb: 'failover.test', before: [], ends: 'Protected', runs: 'hv-a' },
  { verb: 'failover.cleanup', before: ['failover.test'], ends: 'Protected', runs: 'hv-a' },
  { verb: 'failover.planned', before: [], ends: 'CommitPending', runs: 'hv-b' },
  { verb: 'failover.cancel', before: ['failover.planned'], ends: 'Protected', runs: 'hv-a' },
  { verb: 'failover.commit', before: ['failover.planned'], ends: 'Protected', runs: 'hv-b' },
  { verb: 'failback', before: ['failover.planned', 'failover.commit'], ends: 'Protected', runs: 'hv-a' },
];

const PLACES = 6;

describe('an engine that is killed while Hyper-V hosts replicate', () => {
  for (const { verb, before, ends, runs } of STORIES) {
    it(`in the middle of ${verb}, comes to its end once it is back`, async function () {
      this.timeout(120_000);
      const calls = await callsOf(verb, before);
      for (let place = 0; place < PLACES; place++) {
        await using world = await nativeWorld();
        for (const done of before) await world.do(done, { target: 'crm' });
        await write(world, before.length === 1 && verb !== 'failover.cleanup' ? 'hv-b' : 'hv-a', 30 + place).catch(() => undefined);
        const dies = 1 + Math.floor((place * calls) / PLACES);
        world.crashMoment = place % 2 === 0 ? 'after' : 'before';
        world.faults.crashAt = world.faults.calls + dies;

        await world.untilCrash(world.run(verb, { target: 'crm' }));
        const { resumed } = await world.crashAndRestart();
        for (const job of resumed) await world.engine.settled(job);
        for (let again = 0; again < 3 && !(await isThere(world, ends, verb)); again++) await world.run(verb, { target: 'crm' });

        const where = `${verb}, killed ${world.crashMoment} call ${dies} of ${calls}`;
        expect((await world.item('crm')).state.protection, where).to.equal(ends);
        expect([at(world, 'hv-a').power, at(world, 'hv-b').power], where).to.deep.equal(runs === 'hv-a' ? ['on', 'off'] : ['off', 'on']);
        await expectSound(world);
      }
    });
  }
});

const isThere = async (world: World, ends: string, verb: string): Promise<boolean> => {
  const { protection, test, direction } = (await world.item('crm')).state;
  if (verb === 'failover.cleanup') return test === 'None';
  if (verb === 'failover.test') return test !== 'None';
  if (verb === 'failback') return protection === ends && direction.from === 'site-a';
  return protection === ends;
};

const callsOf = async (verb: string, before: readonly string[]): Promise<number> => {
  await using world = await nativeWorld();
  for (const done of before) await world.do(done, { target: 'crm' });
  const from = world.faults.calls;
  await world.do(verb, { target: 'crm' });
  return world.faults.calls - from;
};
