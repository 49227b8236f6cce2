// Verbs over hosts that replicate by themselves: killed and failed at each call, as all the others.
import { listJobs } from '../../core/state/jobs.ts';
import { createNativeWorld, hostsOf } from '../support/native-pair/world.ts';
import type { World } from '../support/world.ts';
import type { Script } from './fault.ts';

const NAME = 'crm';
const ID = 'vm-crm';
const HOURS = 3_600_000;
const PROTECT = { machines: [NAME], to: 'site-b', target: 'hv-b', policy: 'hosts' };

const create = async (seed: number): Promise<World> => (await createNativeWorld({ seed })).world;

const stateOf = async (world: World): Promise<string> => (await world.item(NAME)).state.protection;

const protectAll = async (world: World): Promise<void> => {
  await world.do('protect', PROTECT);
  hostsOf(world).write('hv-a', NAME);
  await world.advance(HOURS);
  await world.do('sync.now', { target: NAME });
};

const planned = async (world: World): Promise<void> => {
  await protectAll(world);
  await world.do('failover.planned', { target: NAME });
};

/** Again while it has not come to its end; the third time it must. */
const again = async (world: World, operation: string, done: readonly string[], input: object = {}): Promise<void> => {
  for (let attempt = 0; attempt < 3 && !done.includes(await stateOf(world)); attempt++)
    await world.run(operation, { target: NAME, ...input });
  if (!done.includes(await stateOf(world))) throw new Error(`${operation}: no way on from ${await stateOf(world)}`);
};

const onceInProduction = (world: World, host: string): void => {
  const hosts = hostsOf(world);
  if (hosts.violations.length > 0) throw new Error(`promise 3: ${hosts.violations.join('; ')}`);
  const running = ['hv-a', 'hv-b'].filter((name) => hosts.host(name).machines.get(ID as never)?.power === 'on');
  if (running.join() !== host) throw new Error(`promise 3: ${NAME} runs at ${running.join(' and ') || 'no host'}, expected ${host}`);
};

/** The pair replicates from that host, and nothing of a test is left. */
const replicates = async (world: World, from: string): Promise<void> => {
  const hosts = hostsOf(world);
  onceInProduction(world, from);
  const written = hosts.write(from, NAME);
  await world.advance(HOURS);
  await world.do('sync.now', { target: NAME });
  const replica = hosts.machine(from === 'hv-a' ? 'hv-b' : 'hv-a', ID);
  if (replica.content !== written) throw new Error(`the replica holds ${replica.content}, ${written} was written`);
  const { protection, sync } = (await world.item(NAME)).state;
  if (protection !== 'Protected' || sync.is !== 'Delta') throw new Error(`it is ${protection}, ${sync.is}: ${sync.reason ?? ''}`);
  const tests = ['hv-a', 'hv-b'].flatMap((name) => [...hosts.host(name).machines.keys()].filter((id) => id !== ID));
  if (tests.length > 0) throw new Error(`promise 5: test machines are left: ${tests.join()}`);
};

/** Whatever the state: on until it is protected from that host. */
const bringHome = async (world: World, from: string): Promise<void> => {
  const next: Readonly<Record<string, string>> = {
    Protected: 'failback',
    FailingOverFailed: 'failover.planned',
    CommitPending: 'failover.commit',
    CommittingFailed: 'failover.commit',
    FailedOver: 'reprotect',
    ReprotectingFailed: 'reprotect',
  };
  for (let attempt = 0; attempt < 5; attempt++) {
    const { protection, direction } = (await world.item(NAME)).state;
    if (protection === 'Protected' && direction.from === (from === 'hv-a' ? 'site-a' : 'site-b')) return;
    await world.run(next[protection] ?? 'failback', { target: NAME });
  }
  throw new Error(`no way home from ${await stateOf(world)}`);
};

const script = (name: string, of: Omit<Script, 'name' | 'machines' | 'create'>): Script => ({
  name: `native: ${name}`,
  machines: [NAME],
  create,
  ...of,
});

export const nativeScripts: readonly Script[] = [
  script('protect', {
    run: (world) => world.run('protect', PROTECT),
    after: async (world) => {
      const item = await world.item(NAME).catch(() => undefined);
      if (item && item.state.protection !== 'Protected') await world.do('unprotect', { target: item.id });
      if (item?.state.protection !== 'Protected') await world.do('protect', PROTECT);
      await replicates(world, 'hv-a');
    },
  }),
  script('test and cleanup', {
    before: protectAll,
    run: async (world) => {
      await world.run('failover.test', { target: NAME });
      await world.run('failover.cleanup', { target: NAME });
    },
    after: async (world) => {
      if ((await world.item(NAME)).state.test !== 'None') await world.do('failover.cleanup', { target: NAME });
      await replicates(world, 'hv-a');
    },
  }),
  script('planned failover', {
    before: protectAll,
    run: (world) => world.run('failover.planned', { target: NAME }),
    after: async (world) => {
      await again(world, 'failover.planned', ['CommitPending']);
      onceInProduction(world, 'hv-b');
      const [source, replica] = ['hv-a', 'hv-b'].map((host) => hostsOf(world).machine(host, ID).content);
      if (source !== replica) throw new Error(`promise 4: the source holds ${source}, the copy ${replica}`);
    },
  }),
  script('unplanned failover, host lost', {
    before: async (world) => {
      await protectAll(world);
      hostsOf(world).setPower('hv-a', ID, 'off');
      hostsOf(world).host('hv-a').down = true;
    },
    run: (world) => world.run('failover.unplanned', { target: NAME, sourceIs: 'off' }),
    after: async (world) => {
      await again(world, 'failover.unplanned', ['CommitPending'], { sourceIs: 'off' });
      onceInProduction(world, 'hv-b');
    },
  }),
  script('change point', {
    before: planned,
    run: async (world) => world.run('failover.change-point', { target: NAME, point: await oldest(world) }),
    after: async (world) => {
      await again(world, 'failover.change-point', ['CommitPending'], { point: await oldest(world) });
      onceInProduction(world, 'hv-b');
    },
  }),
  script('cancel', {
    before: planned,
    run: (world) => world.run('failover.cancel', { target: NAME }),
    after: async (world) => {
      await again(world, 'failover.cancel', ['Protected']);
      await replicates(world, 'hv-a');
    },
  }),
  script('commit and re-protect', {
    before: planned,
    run: (world) => world.run('failover.commit', { target: NAME }),
    after: async (world) => {
      await bringHome(world, 'hv-b');
      await replicates(world, 'hv-b');
    },
  }),
  script('failback', {
    before: async (world) => {
      await planned(world);
      await world.do('failover.commit', { target: NAME });
    },
    run: (world) => world.run('failback', { target: NAME }),
    after: async (world) => {
      await bringHome(world, 'hv-a');
      await replicates(world, 'hv-a');
    },
  }),
  script('unprotect', {
    before: protectAll,
    run: (world) => world.run('unprotect', { target: NAME }),
    after: async (world) => {
      if (await world.item(NAME).catch(() => undefined)) await world.do('unprotect', { target: NAME });
      onceInProduction(world, 'hv-a');
      if (hostsOf(world).machine('hv-a', ID).role !== 'none' && !(await leftBehind(world)).includes('hv-a'))
        throw new Error('promise 5: the source still replicates, and nobody was told');
    },
  }),
];

/** What the newest unprotect says that it could not remove (V9). */
const leftBehind = async (world: World): Promise<string> =>
  JSON.stringify((await listJobs(world.store.db)).find((job) => job.verb === 'unprotect')?.result ?? {});

const oldest = async (world: World): Promise<string> =>
  ((await world.engine.call('point.list', { target: NAME })) as { id: string }[])[0]?.id ?? 'latest';
