// Random verbs, faults and restarts against a naive model: which point is which content, and who may run.
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { isDrError } from '../../core/contract/index.ts';
import type { Item } from '../../core/domain/item.ts';
import { allowedOperations, type Operation } from '../../core/domain/operations.ts';
import { ENDED } from '../../core/flow/flow.ts';
import { factsOf } from '../../core/replication/changes.ts';
import { findItem } from '../../core/state/items.ts';
import { listJobs } from '../../core/state/jobs.ts';
import { brokenInvariants, truthOf } from '../support/rules.ts';
import { World } from '../support/world.ts';

/** At least this many commands run in all; CI runs them, a smaller number is for a quick look. */
const COMMANDS = Number(process.env['MODEL_COMMANDS'] ?? 10_000);
const PER_RUN = 40;

/** The naive side: nothing but what each point must contain. */
interface Model {
  readonly contents: Map<string, string>;
  /** How often each verb came to its end: a run in which nothing works proves nothing. */
  readonly succeeded: Map<string, number>;
  commands: number;
}

interface Real {
  readonly world: World;
  readonly name: string;
  id: Item['id'];
  burned: boolean;
}

const itemOf = (real: Real): Promise<Item | undefined> => findItem(real.world.store.db, real.id);

const learnPoints = async (model: Model, real: Real): Promise<void> => {
  const item = await itemOf(real);
  if (!item) return;
  const journal = await real.world.engine.core.journals.journal(item.state.direction.to, item.id);
  for (const point of journal.points) {
    if (model.contents.has(point.point) || point.kind === 'divergent') continue;
    const truth = await truthOf(real.world, point, item.source.machine);
    if (truth) model.contents.set(point.point, truth.join());
  }
};

/** After each command: rules hold, and what runs on a fork began as exactly the chosen point. */
const check = async (model: Model, real: Real, started: ReadonlyMap<string, string[]>): Promise<void> => {
  const broken = await brokenInvariants(real.world);
  if (broken.length > 0) throw new Error(broken.join('\n'));
  await learnPoints(model, real);
  const item = await itemOf(real);
  for (const fork of [item?.fork, item?.testFork]) {
    const content = fork && started.get(fork.machine);
    if (!fork || !content) continue;
    expect(content.join(), `${fork.purpose} fork began as ${fork.point}`).to.equal(model.contents.get(fork.point));
  }
};

const settle = async (real: Real): Promise<void> => {
  for (const job of await listJobs(real.world.store.db)) if (!ENDED.includes(job.state)) await real.world.engine.settled(job.id);
  await real.world.engine.sweep();
};

type Input = (item: Item, real: Real, pick: number) => Promise<object> | object;

const pickPoint = async (real: Real, pick: number): Promise<string> => {
  const points = (await real.world.engine.call('point.list', { target: real.id })) as { id: string; kind: string }[];
  const usable = points.filter((point) => point.kind !== 'divergent');
  return usable[pick % Math.max(1, usable.length)]?.id ?? 'latest';
};

const VERBS: readonly { readonly operation: Operation; readonly call: string; readonly input?: Input }[] = [
  { operation: 'sync', call: 'sync.now' },
  { operation: 'sync', call: 'sync.now' },
  { operation: 'resync', call: 'sync.resync' },
  { operation: 'verify', call: 'sync.verify' },
  {
    operation: 'test',
    call: 'failover.test',
    input: async (_item, real, pick) => ({ point: await pickPoint(real, pick), copy: pick % 5 === 0 }),
  },
  { operation: 'cleanup', call: 'failover.cleanup' },
  { operation: 'planned', call: 'failover.planned' },
  {
    operation: 'unplanned',
    call: 'failover.unplanned',
    input: async (_item, real, pick) => ({ point: await pickPoint(real, pick), sourceIs: real.burned ? 'unreachable' : undefined }),
  },
  {
    operation: 'change-point',
    call: 'failover.change-point',
    input: async (_item, real, pick) => ({ point: await pickPoint(real, pick) }),
  },
  { operation: 'cancel', call: 'failover.cancel' },
  { operation: 'commit', call: 'failover.commit', input: (_item, _real, pick) => ({ reprotect: pick % 3 !== 0 }) },
  { operation: 'reprotect', call: 'reprotect' },
  { operation: 'failback', call: 'failback' },
  { operation: 'resolve', call: 'resolve', input: (item) => ({ keep: item.state.direction.to }) },
];

class VerbCommand implements fc.AsyncCommand<Model, Real> {
  #verb: (typeof VERBS)[number];
  readonly #pick: number;
  readonly #crashAfter: number | undefined;

  constructor(verb: number, pick: number, crashAfter: number | undefined) {
    this.#verb = VERBS[verb % VERBS.length] as (typeof VERBS)[number];
    this.#pick = pick;
    this.#crashAfter = crashAfter;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    model.commands += 1;
    const { world } = real;
    const item = await itemOf(real);
    if (!item) return;
    await learnPoints(model, real);
    const offered = allowedOperations(item, await factsOf(world.store.db, item));
    // Four of five times something that the state allows: what is refused changes nothing and is soon known.
    const sensible = VERBS.filter((verb) => offered.includes(verb.operation));
    if (this.#pick % 5 !== 0 && !offered.includes(this.#verb.operation)) this.#verb = sensible[this.#pick % sensible.length] ?? this.#verb;
    const allowed = offered.includes(this.#verb.operation);
    const input = { target: real.id, ...(await this.#verb.input?.(item, real, this.#pick)) };
    if (this.#crashAfter !== undefined) {
      world.crashMoment = this.#pick % 2 === 0 ? 'after' : 'before';
      world.faults.crashAt = world.faults.calls + this.#crashAfter;
    }
    const outcome = await world.untilCrash(world.run(this.#verb.call, input));
    if (outcome.crashed) await world.crashAndRestart();
    else world.faults.crashAt = undefined;
    const job = outcome.crashed ? undefined : (outcome.result as { state?: string });
    if (job?.state === 'Succeeded') model.succeeded.set(this.#verb.operation, (model.succeeded.get(this.#verb.operation) ?? 0) + 1);
    await settle(real);
    if (!allowed && !outcome.crashed)
      expect(isDrError(outcome.result), `${this.#verb.operation} is refused in ${item.state.protection}`).to.equal(true);
    await check(model, real, world.startedFrom);
  }

  toString(): string {
    return `${this.#verb.call}(${this.#pick}${this.#crashAfter === undefined ? '' : `, crash after ${this.#crashAfter}`})`;
  }
}

const HAPPENINGS = [
  'time passes',
  'power cut',
  'tracker reset',
  'connections cut',
  'pause',
  'resume',
  'restart',
  'burn',
  'restore',
] as const;

class HappeningCommand implements fc.AsyncCommand<Model, Real> {
  readonly #what: (typeof HAPPENINGS)[number];
  readonly #pick: number;

  constructor(what: number, pick: number) {
    this.#what = HAPPENINGS[what % HAPPENINGS.length] as (typeof HAPPENINGS)[number];
    this.#pick = pick;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    model.commands += 1;
    const { world } = real;
    const item = await itemOf(real);
    if (!item) return;
    const { control } = world.lab;
    if (this.#what === 'time passes') await world.advance(100 + this.#pick * 50);
    // Whoever cuts the power of production switches it on again; a stale source is left alone: that is somebody else's hand (F1).
    if (this.#what === 'power cut' && !real.burned && item.state.protection === 'Protected') {
      await control.call('lab.powerCut', { machine: item.source.machine });
      await control.call('lab.power', { machine: item.source.machine, to: 'on' });
    }
    if (this.#what === 'tracker reset') await control.call('lab.resetTracker', { machine: item.source.machine }).catch(() => {});
    if (this.#what === 'connections cut') await control.call('lab.cutConnections', {});
    if (this.#what === 'pause' || this.#what === 'resume')
      await world.engine.call(`sync.${this.#what}`, { target: real.id }).catch(() => {});
    if (this.#what === 'restart') {
      world.faults.crashed = true;
      await world.crashAndRestart();
      await settle(real);
    }
    if (this.#what === 'burn' && !real.burned) {
      real.burned = true;
      await control.call('lab.burnSite', { site: 'site-a' });
    }
    if (this.#what === 'restore' && real.burned) {
      real.burned = false;
      // A stale source that starts by itself is somebody else's hand (F1); a scenario of its own proves that it is isolated.
      await control.call('lab.restoreSite', {
        site: 'site-a',
        autostart: item.state.protection === 'Protected' && item.source.site === 'site-a',
      });
      // Without it nothing can be written there: an operator who brings a site back starts it first.
      const { appliance } = await control.call('lab.vcenter', { endpoint: 'vcenter-a' });
      if (appliance) await control.call('lab.power', { machine: appliance, to: 'on' });
    }
    await settle(real);
    await check(model, real, world.startedFrom);
  }

  toString(): string {
    return `${this.#what}(${this.#pick})`;
  }
}

const MACHINES = ['erp-web', 'shop-db', 'files'] as const;

describe('the engine against a naive model', () => {
  for (const [index, name] of MACHINES.entries()) {
    it(`keeps its rules for ${name} through random verbs, faults and restarts`, async function () {
      this.timeout(30 * 60_000);
      const wanted = Math.ceil(COMMANDS / MACHINES.length);
      const model: Model = { contents: new Map(), succeeded: new Map(), commands: 0 };
      let seed = 1 + index * 1_000_000;
      while (model.commands < wanted) {
        const verbs = fc.tuple(
          fc.nat(VERBS.length - 1),
          fc.nat(20),
          fc.option(fc.integer({ min: 1, max: 120 }), { freq: 3, nil: undefined }),
        );
        const commands = fc.commands(
          [
            verbs.map(([verb, pick, crash]) => new VerbCommand(verb, pick, crash)),
            fc.tuple(fc.nat(HAPPENINGS.length - 1), fc.nat(20)).map(([what, pick]) => new HappeningCommand(what, pick)),
          ],
          { maxCommands: PER_RUN, size: 'max' },
        );
        await fc.assert(
          fc.asyncProperty(commands, async (run) => {
            await using world = await World.create({ seed, diskBytes: 262_144, writesPerSecond: 10 });
            await world.protect([name]);
            const real: Real = { world, name, id: await world.itemId(name), burned: false };
            model.contents.clear();
            await fc.asyncModelRun(() => ({ model, real }), run);
          }),
          { numRuns: 1, seed, endOnFailure: process.env['MODEL_SHRINK'] === undefined },
        );
        seed += 1;
      }
      const done = [...model.succeeded].map(([operation, times]) => `${operation} ${times}`).sort();
      process.stdout.write(`      ${name}: ${model.commands} commands; ended well: ${done.join(', ')}\n`);
      expect(model.commands).to.be.at.least(wanted);
      if (wanted >= 1_000)
        expect([...model.succeeded.keys()]).to.include.members([
          'sync',
          'resync',
          'test',
          'cleanup',
          'planned',
          'unplanned',
          'cancel',
          'commit',
          'reprotect',
        ]);
    });
  }
});
