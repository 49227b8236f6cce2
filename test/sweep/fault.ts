// Crashes or fails at the N-th call of store, files or plugins, for each verb, then restarts and holds the world to the rules.
import { DrError, isDrError } from '../../core/contract/index.ts';
import { ENDED } from '../../core/flow/flow.ts';
import { listJobs } from '../../core/state/jobs.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import type { CrashMoment } from '../support/wires.ts';
import { World } from '../support/world.ts';
import { nativeScripts } from './native.ts';

/** A verb under test: what comes before it, the verb itself, and what must be possible after it whatever happened. */
export interface Script {
  readonly name: string;
  readonly machines: readonly string[];
  /** In place of a world of the lab alone. */
  create?(seed: number): Promise<World>;
  before?(world: World): Promise<void>;
  run(world: World): Promise<unknown>;
  /** Brings the machines to rest: retries what failed. Throws when there is no way on. */
  after(world: World): Promise<void>;
}

const target = (script: Script): string => (script.machines.length > 1 ? 'all' : (script.machines[0] ?? ''));

const protectAll = async (world: World, script: Script, cycles: number): Promise<void> => {
  await world.protect(script.machines);
  for (let n = 0; n < cycles; n++) {
    await world.advance(2_000);
    await world.do('sync.now', { target: target(script) });
  }
};

const stateOf = async (world: World, script: Script): Promise<string[]> =>
  Promise.all(script.machines.map(async (name) => (await world.item(name)).state.protection));

/** Runs the verb again while it is allowed; the second run must succeed. */
const again = async (
  world: World,
  script: Script,
  operation: string,
  input: object,
  done: (states: readonly string[]) => boolean,
): Promise<void> => {
  for (let attempt = 0; attempt < 3 && !done(await stateOf(world, script)); attempt++) {
    const job = await world.run(operation, { target: target(script), ...input });
    if (job.state !== 'Succeeded' && attempt === 2)
      throw new Error(`${operation} again ended ${job.state}: ${JSON.stringify(job.error ?? job.result)}`);
  }
  if (!done(await stateOf(world, script))) throw new Error(`${operation}: no way on from ${(await stateOf(world, script)).join(', ')}`);
};

const all =
  (...wanted: readonly string[]) =>
  (states: readonly string[]) =>
    states.every((state) => wanted.includes(state));

/** One more cycle: replication has survived, and the replica is what the source is. */
const replicates = async (world: World, script: Script): Promise<void> => {
  await world.advance(1_000);
  await world.do('sync.now', { target: target(script) });
  for (const name of script.machines) {
    const differs = await replicaDiffers(world, name);
    if (differs) throw new Error(`promise 1: ${differs}`);
  }
};

const failedOver = async (world: World, script: Script, kind: 'planned' | 'unplanned', input: object = {}): Promise<void> => {
  await world.do(`failover.${kind}`, { target: target(script), ...input });
  await world.advance(2_000);
};

const scriptsFor = (label: string, machines: readonly string[]): Script[] => {
  const base = { machines };
  const unprotected = async (world: World): Promise<boolean> => ((await world.engine.call('group.list', {})) as unknown[]).length === 0;
  return [
    {
      ...base,
      name: `${label}: protect`,
      run: (world) => world.run('protect', { machines, to: 'site-b', ...(machines.length > 1 ? { group: 'all' } : {}) }),
      after: async (world) => {
        const known = await Promise.all(machines.map((name) => world.item(name).catch(() => undefined)));
        for (const [index, item] of known.entries()) {
          if (item?.state.protection === 'EnablingFailed') await world.do('unprotect', { target: item.id });
          if (!item || item.state.protection === 'EnablingFailed')
            await world.do('protect', { machines: [machines[index]], to: 'site-b', group: 'all' });
        }
        for (const name of machines) {
          await world.do('sync.now', { target: name });
          const differs = await replicaDiffers(world, name);
          if (differs) throw new Error(`promise 1: ${differs}`);
        }
      },
    },
    {
      ...base,
      name: `${label}: cycle`,
      before: (world) => protectAll(world, { ...base } as Script, 1).then(() => world.advance(2_000)),
      run: (world) => world.run('sync.now', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: (world) => replicates(world, { ...base } as Script),
    },
    {
      ...base,
      name: `${label}: resync`,
      before: (world) => protectAll(world, { ...base } as Script, 1).then(() => world.advance(2_000)),
      run: (world) => world.run('sync.resync', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: (world) => replicates(world, { ...base } as Script),
    },
    {
      ...base,
      name: `${label}: test and cleanup`,
      before: (world) => protectAll(world, { ...base } as Script, 2),
      run: async (world) => {
        await world.run('failover.test', { target: machines.length > 1 ? 'all' : machines[0] });
        await world.run('failover.cleanup', { target: machines.length > 1 ? 'all' : machines[0] });
      },
      after: async (world) => {
        for (const name of machines)
          if ((await world.item(name)).state.test !== 'None') await world.do('failover.cleanup', { target: name });
        await replicates(world, { ...base } as Script);
      },
    },
    {
      ...base,
      name: `${label}: planned failover`,
      before: (world) => protectAll(world, { ...base } as Script, 1).then(() => world.advance(2_000)),
      run: (world) => world.run('failover.planned', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: (world) => again(world, { ...base } as Script, 'failover.planned', {}, all('CommitPending', 'FailedOver')),
    },
    {
      ...base,
      name: `${label}: unplanned failover, site lost`,
      before: async (world) => {
        await protectAll(world, { ...base } as Script, 2);
        await world.lab.control.call('lab.burnSite', { site: 'site-a' });
      },
      run: (world) => world.run('failover.unplanned', { target: machines.length > 1 ? 'all' : machines[0], sourceIs: 'unreachable' }),
      after: (world) =>
        again(world, { ...base } as Script, 'failover.unplanned', { sourceIs: 'unreachable' }, all('CommitPending', 'FailedOver')),
    },
    {
      ...base,
      name: `${label}: change point`,
      before: async (world) => {
        await protectAll(world, { ...base } as Script, 2);
        await failedOver(world, { ...base } as Script, 'planned');
      },
      run: async (world) =>
        world.run('failover.change-point', {
          target: machines.length > 1 ? 'all' : machines[0],
          point: await olderPoint(world, machines[0] ?? ''),
        }),
      after: async (world) =>
        again(
          world,
          { ...base } as Script,
          'failover.change-point',
          { point: await olderPoint(world, machines[0] ?? '') },
          all('CommitPending'),
        ),
    },
    {
      ...base,
      name: `${label}: cancel`,
      before: async (world) => {
        await protectAll(world, { ...base } as Script, 1);
        await failedOver(world, { ...base } as Script, 'planned');
      },
      run: (world) => world.run('failover.cancel', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: async (world) => {
        await again(world, { ...base } as Script, 'failover.cancel', {}, all('Protected'));
        await replicates(world, { ...base } as Script);
      },
    },
    {
      ...base,
      name: `${label}: commit and re-protect`,
      before: async (world) => {
        await protectAll(world, { ...base } as Script, 1);
        await failedOver(world, { ...base } as Script, 'planned');
      },
      run: (world) => world.run('failover.commit', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: async (world) => {
        if (!all('Protected', 'FailedOver', 'ReprotectingFailed')(await stateOf(world, { ...base } as Script))) {
          await again(world, { ...base } as Script, 'failover.commit', {}, all('Protected', 'FailedOver', 'ReprotectingFailed'));
        }
        for (const name of machines)
          if ((await world.item(name)).state.protection !== 'Protected') await world.do('reprotect', { target: name });
        await replicates(world, { ...base } as Script);
      },
    },
    {
      ...base,
      name: `${label}: failback`,
      before: async (world) => {
        await protectAll(world, { ...base } as Script, 1);
        await failedOver(world, { ...base } as Script, 'planned');
        const pending = (await stateOf(world, { ...base } as Script)).includes('CommitPending');
        await world.do(pending ? 'failover.commit' : 'reprotect', { target: machines.length > 1 ? 'all' : machines[0] });
        await world.advance(2_000);
      },
      run: (world) => world.run('failback', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: async (world) => {
        for (const name of machines) await finishFailback(world, name);
        await replicates(world, { ...base } as Script);
      },
    },
    {
      ...base,
      name: `${label}: unprotect`,
      before: (world) => protectAll(world, { ...base } as Script, 1),
      run: (world) => world.run('unprotect', { target: machines.length > 1 ? 'all' : machines[0] }),
      after: async (world) => {
        for (const name of machines) if (await world.item(name).catch(() => undefined)) await world.do('unprotect', { target: name });
        if (!(await unprotected(world))) throw new Error('promise 5: a group is left without members');
      },
    },
  ];
};

const olderPoint = async (world: World, name: string): Promise<string> => {
  const points = (await world.engine.call('point.list', { target: name })) as { id: string }[];
  return points[1]?.id ?? points[0]?.id ?? 'latest';
};

const finishFailback = async (world: World, name: string): Promise<void> => {
  for (let attempt = 0; attempt < 4; attempt++) {
    const { protection, direction } = (await world.item(name)).state;
    if (protection === 'Protected' && direction.from === 'site-a') return;
    const next = {
      Protected: 'failback',
      FailingOverFailed: 'failover.planned',
      CommitPending: 'failover.commit',
      CommittingFailed: 'failover.commit',
      FailedOver: 'reprotect',
      ReprotectingFailed: 'reprotect',
    }[protection as string];
    if (!next) break;
    const job = await world.run(next, { target: name });
    if (job.state === 'Failed' && attempt === 3) throw new Error(`${next} ended ${job.state}: ${JSON.stringify(job.error)}`);
  }
  const { state } = await world.item(name);
  if (state.protection !== 'Protected' || state.direction.from !== 'site-a')
    throw new Error(`failback: no way on from ${state.protection}, ${state.direction.from}`);
};

/** A target without forks has neither test nor change point nor cancel; physical servers come home to one. */
const withoutForksBack = (script: Script): boolean => !/physical: (change point|cancel)$/.test(script.name);

/** One round of the planner, with all that it has begun; each engine has one. */
const lookAround = async (world: World): Promise<void> => {
  const planner = world.engine.startPlanner();
  await planner.tick();
  await planner.idle();
  await planner.stop();
};

const RULE = { name: 'gold', label: 'cloud=gold', to: 'site-b', target: 'vmm-b', group: 'all' };

/** A standing rule finds machines by itself: whatever happens to its look, a later one finds them. */
const ruleScript: Script = {
  name: 'rule: look',
  machines: ['erp-db', 'erp-web'],
  run: async (world) => {
    await world.engine.call('rule.put', RULE, { actor: 'sweep' });
    await lookAround(world);
  },
  after: async (world) => {
    await world.engine.call('rule.put', RULE, { actor: 'sweep' });
    for (let hour = 0; hour < 3; hour++) {
      await world.advance(61 * 60_000);
      await world.crashAndRestart();
      await lookAround(world);
    }
    const states = await stateOf(world, ruleScript);
    if (!all('Protected')(states)) throw new Error(`the rule leaves its machines ${states.join(', ')}`);
    await replicates(world, ruleScript);
  },
};

export const SCRIPTS: readonly Script[] = [
  ...scriptsFor('hyperv', ['erp-web']),
  ...scriptsFor('vmware', ['shop-web']),
  ...scriptsFor('physical', ['files']).filter(withoutForksBack),
  ...scriptsFor('mixed group', ['erp-db', 'shop-db', 'ledger']),
  ruleScript,
  ...nativeScripts,
];

export type Mode =
  | { readonly is: 'crash'; readonly moment: CrashMoment }
  | { readonly is: 'fail'; readonly code: 'CONNECTION_LOST' | 'HOST_BUSY' | 'JOURNAL_FULL' | 'INTERNAL' }
  /** Done, or still being done, and nobody is told. */
  | { readonly is: 'lose' };
const MODES: readonly Mode[] = [
  { is: 'crash', moment: 'after' },
  { is: 'crash', moment: 'before' },
  { is: 'fail', code: 'INTERNAL' },
  { is: 'fail', code: 'CONNECTION_LOST' },
  { is: 'lose' },
];

/** Only what goes over a wire can lose its answer. */
const canBe = (mode: Mode, name: string): boolean => mode.is !== 'lose' || name.startsWith('plugin.');

const prepare = async (script: Script, seed: number): Promise<World> => {
  const world = await (script.create?.(seed) ?? World.create({ seed, diskBytes: 262_144, writesPerSecond: 10 }));
  await script.before?.(world);
  return world;
};

export interface SweepPoint {
  readonly script: Script;
  readonly mode: Mode;
  readonly call: number;
}

/** The calls that the verb makes, by name. */
export const callsOf = async (script: Script, seed: number): Promise<readonly string[]> => {
  await using world = await prepare(script, seed);
  const before = world.faults.calls;
  await script.run(world);
  return world.faults.trace.slice(before);
};

export const pointsOf = (script: Script, calls: readonly string[]): SweepPoint[] =>
  MODES.flatMap((mode) => calls.flatMap((name, index) => (canBe(mode, name) ? [{ script, mode, call: index + 1 }] : [])));

export interface Broken {
  readonly script: string;
  readonly mode: Mode;
  readonly call: number;
  readonly at: string;
  readonly problems: readonly string[];
}

/** One point: undefined when all rules hold. */
export const sweepPoint = async ({ script, mode, call }: SweepPoint, seed: number): Promise<Broken | undefined> => {
  await using world = await prepare(script, seed);
  const at = world.faults.calls + call;
  const problems: string[] = [];
  const { faults } = world;
  try {
    if (mode.is === 'crash') {
      world.crashMoment = mode.moment;
      faults.crashAt = at;
      await world.untilCrash(script.run(world));
      // An engine is not back at once: what it had copied is written over meanwhile.
      faults.crashed = true;
      await world.advance(2_000);
      await world.crashAndRestart();
      await settleAll(world);
    } else {
      if (mode.is === 'lose') faults.loseAt = at;
      else faults.failAt = { call: at, error: () => new DrError(mode.code, `injected at call ${call}`) };
      await script.run(world).catch((error: unknown) => {
        if (!isDrError(error)) throw error;
      });
      faults.failAt = undefined;
      faults.loseAt = undefined;
      await settleAll(world);
    }
    // Freezes that nobody ended run out.
    await world.advance(15_000);
    await world.engine.sweep();
    problems.push(...(await brokenInvariants(world)));
    await script.after(world);
    await world.engine.sweep();
    problems.push(...(await brokenInvariants(world)));
  } catch (error) {
    problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return problems.length > 0 ? { script: script.name, mode, call, at: faults.trace[at - 1] ?? '?', problems } : undefined;
};

const settleAll = async (world: World): Promise<void> => {
  for (const job of await listJobs(world.store.db)) {
    if (ENDED.includes(job.state)) continue;
    await world.engine.settled(job.id);
  }
};
