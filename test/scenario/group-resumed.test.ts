import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openVim25 } from '../../adapters/vsphere/vim25/client.ts';
import type { Point } from '../../core/journal/journal.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { goOn } from '../support/steps.ts';
import { Vim } from '../support/vim.ts';
import { World } from '../support/world.ts';

const GROUP = ['erp-db', 'shop-db'];

/** One member of two has sealed its part when the engine dies; it is back a minute later. */
const resumed = async (meanwhile: (world: World) => Promise<void>): Promise<World> => {
  const world = await World.create({ seed: 3, diskBytes: 262_144, writesPerSecond: 10 });
  await world.protect(GROUP);
  await world.advance(2_000);
  const { core } = world.engine;
  const journals = await Promise.all(GROUP.map(async (name) => core.journals.journal('site-b', await world.itemId(name))));
  world.faults.onEnter = () => {
    const [id] = core.activeCycles.keys();
    if (id && journals.filter((journal) => journal.findCycle(id)).length === 1) world.faults.crashAt ??= world.faults.calls;
  };
  const { crashed } = await world.untilCrash(world.run('sync.now', { target: 'all' }));
  expect(crashed).to.equal(true);
  await meanwhile(world);
  await world.advance(60_000);
  await goOn(world);
  return world;
};

const newest = async (world: World): Promise<Point[]> => {
  const { journals } = world.engine.core;
  return Promise.all(GROUP.map(async (name) => (await journals.journal('site-b', await world.itemId(name))).newest()!));
};

const removeSnapshot = async (world: World): Promise<void> => {
  await using client = await openVim25(world.lab.openWire, { address: 'vcenter-a', username: 'warmsite', password: 'warmsite' });
  const vim = new Vim(client);
  const { machine } = await world.machine('shop-db', 'vcenter-a');
  const { snapshot } = await vim.get({ type: 'VirtualMachine', value: machine }, 'snapshot');
  const [root] = (snapshot as { rootSnapshotList: { snapshot: never }[] }).rootSnapshotList;
  await vim.task('RemoveSnapshot_Task', root!.snapshot, { removeChildren: true, consolidate: true });
};

const apartMs = ([one, other]: readonly Point[]): number => Math.abs(Date.parse(one!.takenAt) - Date.parse(other!.takenAt));

const stateOf = async (world: World, [one]: readonly Point[]): Promise<string> =>
  (await world.engine.core.journals.marks('site-b')).groupState(one!.groupCycle!);

const goesOn = async (world: World): Promise<void> => {
  await world.do('sync.now', { target: 'all' });
  for (const name of GROUP) expect(await replicaDiffers(world, name)).to.equal(undefined);
  expect(await brokenInvariants(world)).to.deep.equal([]);
};

describe('a cycle of a group whose engine died between the seals of its members', () => {
  it('goes on from the snapshots that it had taken', async () => {
    await using world = await resumed(async () => {});

    const points = await newest(world);
    expect(apartMs(points)).to.be.lessThan(1_000);
    expect(await stateOf(world, points)).to.equal('complete');
    await goesOn(world);
  });

  it('makes no point of the group from two instants where a snapshot is gone', async () => {
    await using world = await resumed(removeSnapshot);

    const points = await newest(world);
    expect(apartMs(points)).to.be.greaterThan(59_000);
    expect(await stateOf(world, points)).to.equal('abandoned');
    expect((points[1]!.atomicity as { skewedMs: number }).skewedMs).to.be.greaterThan(59_000);
    await goesOn(world);
  });
});
