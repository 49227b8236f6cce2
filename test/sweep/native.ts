// Verbs over hosts that replicate by themselves: killed and failed at each call, as all the others.
import { listJobs } from '../../core/state/jobs.ts';
import { HOUR_MS, type Home, MACHINE, pairOf } from '../support/native-pair/pair.ts';
import { createSmallPair } from '../support/native-pair/small.ts';
import { createTwinPair } from '../support/native-pair/twin.ts';
import type { World } from '../support/world.ts';
import type { Script } from './fault.ts';

const PROTECT = { machines: [MACHINE], to: 'site-b', target: 'hv-b', policy: 'hosts' };

const stateOf = async (world: World): Promise<string> => (await world.item(MACHINE)).state.protection;

const protectAll = async (world: World): Promise<void> => {
  await world.do('protect', PROTECT);
  await pairOf(world).write('hv-a');
  await world.advance(HOUR_MS);
  await world.do('sync.now', { target: MACHINE });
};

const planned = async (world: World): Promise<void> => {
  await protectAll(world);
  await world.do('failover.planned', { target: MACHINE });
};

/** Again while it has not come to its end; the third time it must. */
const again = async (world: World, operation: string, done: readonly string[], input: object = {}): Promise<void> => {
  for (let attempt = 0; attempt < 3 && !done.includes(await stateOf(world)); attempt++)
    await world.run(operation, { target: MACHINE, ...input });
  if (!done.includes(await stateOf(world))) throw new Error(`${operation}: no way on from ${await stateOf(world)}`);
};

const onceInProduction = (world: World, at: Home): void => {
  const pair = pairOf(world);
  const violations = pair.violations();
  if (violations.length > 0) throw new Error(`promise 3: ${violations.join('; ')}`);
  const running = pair.running();
  if (running.join() !== at) throw new Error(`promise 3: ${MACHINE} runs at ${running.join(' and ') || 'no host'}, expected ${at}`);
};

const nothingLeft = (world: World): void => {
  const left = pairOf(world).leftovers();
  if (left.length > 0) throw new Error(`promise 5: left behind: ${left.join()}`);
};

/** The copy runs alone, and began from the point that the item names. */
const startedRight = async (world: World, { final = false } = {}): Promise<void> => {
  onceInProduction(world, 'hv-b');
  const { fork } = await world.item(MACHINE);
  const wrong = fork?.takenAt === undefined ? 'no point is named' : await pairOf(world).startedWrong('hv-b', fork.takenAt, final);
  if (wrong) throw new Error(`promise ${final ? 4 : 1}: ${wrong}`);
};

/** The pair replicates from that host, and nothing of a test is left. */
const replicates = async (world: World, from: Home): Promise<void> => {
  onceInProduction(world, from);
  await pairOf(world).write(from);
  await world.advance(HOUR_MS);
  await world.do('sync.now', { target: MACHINE });
  const behind = await pairOf(world).behind(from);
  if (behind) throw new Error(`promise 1: ${behind}`);
  const { protection, sync } = (await world.item(MACHINE)).state;
  if (protection !== 'Protected' || sync.is !== 'Delta') throw new Error(`it is ${protection}, ${sync.is}: ${sync.reason ?? ''}`);
  nothingLeft(world);
};

/** Whatever the state: on until it is protected from that host. */
const bringHome = async (world: World, from: Home): Promise<void> => {
  const next: Readonly<Record<string, string>> = {
    Protected: 'failback',
    FailingOverFailed: 'failover.planned',
    CommitPending: 'failover.commit',
    CommittingFailed: 'failover.commit',
    FailedOver: 'reprotect',
    ReprotectingFailed: 'reprotect',
  };
  for (let attempt = 0; attempt < 5; attempt++) {
    const { protection, direction } = (await world.item(MACHINE)).state;
    if (protection === 'Protected' && direction.from === (from === 'hv-a' ? 'site-a' : 'site-b')) return;
    await world.run(next[protection] ?? 'failback', { target: MACHINE });
  }
  throw new Error(`no way home from ${await stateOf(world)}`);
};

const STORIES: readonly Omit<Script, 'machines' | 'create'>[] = [
  {
    name: 'protect',
    run: (world) => world.run('protect', PROTECT),
    after: async (world) => {
      const item = await world.item(MACHINE).catch(() => undefined);
      if (item && item.state.protection !== 'Protected') await world.do('unprotect', { target: item.id });
      if (item?.state.protection !== 'Protected') await forgotten(world);
      if (item?.state.protection !== 'Protected') await world.do('protect', PROTECT);
      await replicates(world, 'hv-a');
    },
  },
  {
    name: 'test and cleanup',
    before: protectAll,
    run: async (world) => {
      await world.run('failover.test', { target: MACHINE });
      await world.run('failover.cleanup', { target: MACHINE });
    },
    after: async (world) => {
      if ((await world.item(MACHINE)).state.test !== 'None') await world.do('failover.cleanup', { target: MACHINE });
      await replicates(world, 'hv-a');
    },
  },
  {
    name: 'planned failover',
    before: protectAll,
    run: (world) => world.run('failover.planned', { target: MACHINE }),
    after: async (world) => {
      await again(world, 'failover.planned', ['CommitPending']);
      await startedRight(world, { final: true });
    },
  },
  {
    name: 'unplanned failover, host lost',
    before: async (world) => {
      await protectAll(world);
      await pairOf(world).lose('hv-a');
    },
    run: (world) => world.run('failover.unplanned', { target: MACHINE, sourceIs: 'off' }),
    after: async (world) => {
      await again(world, 'failover.unplanned', ['CommitPending'], { sourceIs: 'off' });
      await startedRight(world);
    },
  },
  {
    name: 'change point',
    before: planned,
    run: async (world) => world.run('failover.change-point', { target: MACHINE, point: await oldest(world) }),
    after: async (world) => {
      await again(world, 'failover.change-point', ['CommitPending'], { point: await oldest(world) });
      await startedRight(world);
    },
  },
  {
    name: 'cancel',
    before: planned,
    run: (world) => world.run('failover.cancel', { target: MACHINE }),
    after: async (world) => {
      await again(world, 'failover.cancel', ['Protected']);
      await replicates(world, 'hv-a');
    },
  },
  {
    name: 'commit and re-protect',
    before: planned,
    run: (world) => world.run('failover.commit', { target: MACHINE }),
    after: async (world) => {
      await bringHome(world, 'hv-b');
      await replicates(world, 'hv-b');
    },
  },
  {
    name: 'failback',
    before: async (world) => {
      await planned(world);
      await world.do('failover.commit', { target: MACHINE });
    },
    run: (world) => world.run('failback', { target: MACHINE }),
    after: async (world) => {
      await bringHome(world, 'hv-a');
      await replicates(world, 'hv-a');
    },
  },
  {
    name: 'unprotect',
    before: protectAll,
    run: (world) => world.run('unprotect', { target: MACHINE }),
    after: async (world) => {
      if (await world.item(MACHINE).catch(() => undefined)) await world.do('unprotect', { target: MACHINE });
      onceInProduction(world, 'hv-a');
      await forgotten(world);
    },
  },
];

/** Nothing of the pair is left that nobody was told of. */
const forgotten = async (world: World): Promise<void> => {
  const pair = pairOf(world);
  const told = await leftBehind(world);
  if (pair.isPaired('hv-a') && !told.includes('hv-a')) throw new Error('promise 5: the source still replicates, and nobody was told');
  if (pair.holds('hv-b') && !told.includes('hv-b')) throw new Error('promise 5: the replica is left, and nobody was told');
};

/** What the newest unprotect says that it could not remove (V9). */
const leftBehind = async (world: World): Promise<string> =>
  JSON.stringify((await listJobs(world.store.db)).find((job) => job.verb === 'unprotect')?.result ?? {});

const oldest = async (world: World): Promise<string> =>
  ((await world.engine.call('point.list', { target: MACHINE })) as { id: string }[])[0]?.id ?? 'latest';

const scriptsOver = (label: string, create: (seed: number) => Promise<World>): Script[] =>
  STORIES.map((story) => ({ ...story, name: `${label}: ${story.name}`, machines: [MACHINE], create }));

export const nativeScripts: readonly Script[] = [
  ...scriptsOver('native', createSmallPair),
  ...scriptsOver('native hyperv', (seed) => createTwinPair(seed)),
  ...scriptsOver('native vmm', (seed) => createTwinPair(seed, 'vmm')),
];
