import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Item } from '../../../../core/domain/item.ts';
import { DEFAULT_POLICY, type ProtectionGroup, type ReplicationPolicy } from '../../../../core/domain/policy.ts';
import { dueUnits, type PlannerState, unitsOf } from '../../../../core/replication/planner.ts';
import { World } from '../../../support/world.ts';

const policy = (name: string, rpoSeconds: number): ReplicationPolicy => ({ ...DEFAULT_POLICY, name, rpoSeconds, intervalSeconds: 10 });
const group = (id: string, policyName: string): ProtectionGroup => ({
  id,
  name: id,
  policy: policyName,
  fromSite: 'a',
  toSite: 'b',
  createdAt: '',
});
const item = (id: string, groupId: string, state: Partial<Item['state']> = {}): Item =>
  ({
    id,
    name: id,
    groupId,
    state: {
      protection: 'Protected',
      sync: { is: 'Delta' },
      test: 'None',
      active: { site: 'a' },
      direction: { from: 'a', to: 'b' },
      ...state,
    },
    source: { site: 'a', endpoint: 'v', machine: id, name: id },
  }) as unknown as Item;

const idle = (more: Partial<PlannerState> = {}): PlannerState => ({
  lastStartMs: new Map(),
  expectedMs: new Map(),
  notBeforeMs: new Map(),
  newestMs: new Map(),
  running: new Set(),
  ...more,
});

describe('the planner', () => {
  it('starts first what would miss its deadline first, counting twice the expected duration', () => {
    const units = unitsOf(
      [group('slow', 'five'), group('fast', 'one'), group('long', 'five')],
      [policy('five', 300), policy('one', 60)],
      [item('s', 'slow'), item('f', 'fast'), item('l', 'long')],
    );
    const newestMs = new Map([
      ['s', 900_000],
      ['f', 980_000],
      ['l', 900_000],
    ]);
    const expectedMs = new Map(units.filter((unit) => unit.group.id === 'long').map((unit) => [unit.key, 130_000]));

    const due = dueUnits(units, idle({ newestMs, expectedMs }), 1_000_000);

    expect(due.map((unit) => unit.group.id)).to.deep.equal(['long', 'fast', 'slow']);
  });

  it('keeps the interval as a floor, and waits after a failure', () => {
    const units = unitsOf([group('g', 'p')], [policy('p', 60)], [item('m', 'g')]);
    const key = units[0]?.key ?? '';

    expect(dueUnits(units, idle({ lastStartMs: new Map([[key, 995_000]]) }), 1_000_000)).to.deep.equal([]);
    expect(dueUnits(units, idle({ lastStartMs: new Map([[key, 990_000]]) }), 1_000_000)).to.have.length(1);
    expect(dueUnits(units, idle({ notBeforeMs: new Map([[key, 1_000_001]]) }), 1_000_000)).to.deep.equal([]);
    expect(dueUnits(units, idle({ running: new Set([key]) }), 1_000_000)).to.deep.equal([]);
  });

  it('takes only what replicates, and keeps directions apart', () => {
    const items = [
      item('one', 'g'),
      item('paused', 'g', { sync: { is: 'Paused' } }),
      item('over', 'g', { protection: 'CommitPending' }),
      item('back', 'g', { direction: { from: 'b', to: 'a' } }),
    ];

    const units = unitsOf([group('g', 'p')], [policy('p', 60)], items);

    expect(units.map((unit) => unit.items.map((member) => member.id))).to.deep.equal([['one'], ['back']]);
  });

  it('keeps every machine within its RPO by itself, applies and prunes', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 10, retention: { points: 3, hours: 0 } });
    await world.protect(['erp-web', 'shop-web'], { policy: 'tight' });
    const planner = world.engine.startPlanner();
    for (let second = 0; second < 120; second++) await world.runtime.clock.sleep(1_000);
    await planner.stop();

    const status = (await world.engine.call('status', {})) as {
      items: { name: string; points: number; newestPoint: { takenAt: string; applied: boolean } }[];
    };
    expect(planner.cycles).to.be.at.least(8);
    for (const machine of status.items) {
      expect(world.runtime.clock.now() - Date.parse(machine.newestPoint.takenAt), machine.name).to.be.below(30_000);
      expect(machine.points, machine.name).to.be.within(1, 4);
    }
    const events = (await world.engine.call('event.list', { limit: 1_000 })) as { kind: string }[];
    expect(events.filter((event) => event.kind === 'rpo.violated')).to.deep.equal([]);
  });

  it('goes on after an endpoint was out of reach, and says that the RPO was missed and is kept again', async function () {
    this.timeout(120_000);
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 60, intervalSeconds: 10 });
    await world.protect(['erp-web'], { policy: 'tight' });
    const planner = world.engine.startPlanner();
    for (let second = 0; second < 30; second++) await world.runtime.clock.sleep(1_000);
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: false });
    for (let second = 0; second < 120; second++) await world.runtime.clock.sleep(1_000);
    await world.lab.control.call('lab.setLink', { site: 'site-a', up: true });
    for (let second = 0; second < 700; second++) await world.runtime.clock.sleep(1_000);
    await planner.stop();

    const kinds = ((await world.engine.call('event.list', { limit: 10_000 })) as { kind: string }[]).map((event) => event.kind);
    expect(kinds).to.include.members(['cycle.failed', 'rpo.violated', 'rpo.restored']);
    expect((await world.item('erp-web')).state.sync.is).to.equal('Delta');
  });

  it('ends a test failover whose apply backlog has reached the limit (V8)', async () => {
    await using world = await World.create();
    await world.engine.call('policy.put', { name: 'short', rpoSeconds: 60, intervalSeconds: 5, testBacklogPoints: 5 });
    await world.protect(['shop-web'], { policy: 'short' });
    await world.do('failover.test', { target: 'shop-web' });
    const planner = world.engine.startPlanner();
    for (let second = 0; second < 60; second++) await world.runtime.clock.sleep(1_000);
    await planner.stop();

    const kinds = ((await world.engine.call('event.list', { limit: 1_000 })) as { kind: string }[]).map((event) => event.kind);
    expect((await world.item('shop-web')).state.test).to.equal('None');
    expect(kinds).to.include.members(['test.backlog', 'test.cleaned-up']);
  });
});
