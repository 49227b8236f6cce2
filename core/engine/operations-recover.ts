// Protect and recover: each becomes a job of durable steps, and an audit record.
import { z } from 'zod';
import { DATA_PATH, DrError, type Finding } from '../contract/index.ts';
import { type Item, machinesOfItems } from '../domain/item.ts';
import { assertAllowed, type Operation as ItemOperation, isGoalOf, refusalOf } from '../domain/operations.ts';
import { planProtection } from '../failover/protect.ts';
import { factsOf } from '../replication/changes.ts';
import { callFor, emit, openEndpoint } from '../replication/core.ts';
import { replicatorOf } from '../replication/replicators.ts';
import { listItems } from '../state/items.ts';
import { getPolicy, getSite } from '../state/records.ts';
import { findMachines } from './inventory.ts';
import { defineOperation, type Workbench } from './operation.ts';
import { type JobStarted, protectInput, startJob } from './start.ts';
import { NATIVE_COMMIT, NATIVE_PROTECT, stepsOf } from './steps.ts';
import { resolveTarget, type Target } from './targets.ts';

const name = z.string().min(1).max(300);
const selector = z.string().min(1).default('latest');
const targeted = { target: name, dryRun: z.boolean().default(false) };

/** What a dry run answers: what each member would do, and what is in the way. */
export interface DryRun {
  readonly dryRun: true;
  readonly verb: string;
  readonly target: string;
  readonly members: readonly {
    readonly name: string;
    readonly allowed: boolean;
    readonly reason?: string;
    readonly way?: string;
    readonly point?: string;
    readonly takenAt?: string;
    readonly notes?: readonly string[];
    /** Of the machine that would be protected. */
    readonly disks?: { readonly count: number; readonly sizeBytes: number };
    readonly findings?: readonly Finding[];
  }[];
  readonly steps: readonly string[];
  /** How the endpoints would read and write: findings with the code DATA_PATH. */
  readonly dataPaths?: readonly (Finding & { readonly endpoint: string })[];
}

/**
 * The members that the verb concerns. Of a group or plan those that are already where it leads are left out (a failover that ended partly
 * is run again for the rest); any other member in a wrong state refuses the whole, before a job exists.
 */
const concerned = async (bench: Workbench, target: Target, operation: ItemOperation): Promise<Target> => {
  if (target.items.length === 0)
    throw new DrError('STATE_CONFLICT', `${target.kind} ${target.name} has no members`, {
      context: { name: target.name },
      hint: 'protect machines into the group first',
    });
  const there = target.items.filter((item) => isGoalOf(operation, item));
  const left = there.length < target.items.length ? target.items.filter((item) => !there.includes(item)) : target.items;
  for (const item of left) assertAllowed(operation, item, await factsOf(bench.core.store.db, item));
  const ids = new Set(left.map((item) => item.id));
  return {
    ...target,
    items: left,
    waves: target.waves.map((wave) => ({ ...wave, items: wave.items.filter((id) => ids.has(id)) })).filter((wave) => wave.items.length > 0),
  };
};

const dryRun = async (
  bench: Workbench,
  target: Target,
  operation: ItemOperation,
  steps: readonly string[],
  choose?: string,
): Promise<DryRun> => {
  const members = await Promise.all(
    target.items.map(async (item): Promise<DryRun['members'][number]> => {
      const refusal = refusalOf(operation, item, await factsOf(bench.core.store.db, item));
      const point = choose && !refusal ? await replicatorOf(item).selectPoint(bench.core, item, choose) : undefined;
      return {
        name: item.name,
        allowed: !refusal,
        ...(refusal ?? {}),
        ...(point ? { point: point.point, takenAt: point.takenAt } : {}),
        ...(operation === 'commit' && item.method === 'native' ? { notes: [NATIVE_COMMIT] } : {}),
      };
    }),
  );
  return { dryRun: true, verb: operation, target: target.name, members, steps };
};

/** As each endpoint tells by its check, before anything moves. */
const dataPathsOf = async (
  bench: Workbench,
  endpoints: readonly string[],
  signal: AbortSignal,
): Promise<NonNullable<DryRun['dataPaths']>> => {
  const lists = await Promise.all(
    [...new Set(endpoints)].map(async (endpoint) => {
      const session = await openEndpoint(bench.core, endpoint);
      const findings = await session.check(callFor(bench.core, `check/${endpoint}`, signal));
      return findings.filter(({ code }) => code === DATA_PATH).map((finding) => ({ endpoint, ...finding }));
    }),
  );
  return lists.flat();
};

const idsOf = (target: Target) => target.items.map((item) => item.id);

/** Verbs on members of a target, all of one shape. */
const itemVerb = <S extends z.ZodRawShape>(
  operationName: string,
  operation: ItemOperation,
  summary: string,
  severe: boolean,
  extra: S,
  input: (target: Target, given: Record<string, unknown>) => object,
  choose?: (given: Record<string, unknown>) => string | undefined,
) =>
  defineOperation({
    name: operationName,
    kind: 'job',
    ...(severe ? { severe: true as const } : {}),
    summary,
    input: z.strictObject({ ...targeted, ...extra }),
    run: async (bench, raw, caller): Promise<JobStarted | DryRun> => {
      const given = raw as Record<string, unknown> & { target: string; dryRun: boolean };
      const target = await resolveTarget(bench.core.store.db, given.target);
      const point = choose?.(given);
      if (given.dryRun) return dryRun(bench, target, operation, stepsOf(operation, target), point);
      const members = await concerned(bench, target, operation);
      if (point && point !== 'latest') for (const item of members.items) await replicatorOf(item).selectPoint(bench.core, item, point);
      return startJob(bench, caller, operation, target.name, input(members, given));
    },
  });

const isFailedOrFree = (item: Item | undefined): boolean => item === undefined || item.state.protection === 'EnablingFailed';

const selectorOf = (given: Record<string, unknown>) => given['point'] as string;

export const recoverOperations = [
  defineOperation({
    name: 'protect',
    kind: 'job',
    summary: 'Protects machines: tracking, replica, first copy',
    input: z.strictObject({
      machines: z.array(name).default([]),
      label: z.string().optional(),
      endpoint: name.optional(),
      group: name.optional(),
      policy: name.default('default'),
      to: name,
      target: name.optional(),
      seed: name.optional(),
      dryRun: z.boolean().default(false),
    }),
    run: async (bench, input, caller) => {
      const { core } = bench;
      await getPolicy(core.store.db, input.policy);
      await getSite(core.store.db, input.to);
      const all = await findMachines(
        bench,
        {
          names: input.machines,
          ...(input.label ? { label: input.label } : {}),
          ...(input.endpoint ? { endpoint: input.endpoint } : {}),
          notAt: input.to,
        },
        caller.signal,
      );
      if (all.length === 0) {
        throw new DrError('NOT_FOUND', input.label ? `no machine carries the label ${input.label}` : 'no machine to protect was named', {
          context: { kind: 'machine' },
          hint: 'run machine list to see machines and their labels',
        });
      }
      // A label stands for those that carry it and are not taken care of yet; who names a machine means that one.
      const taken = machinesOfItems(input.machines.length > 0 ? [] : await listItems(core.store.db));
      const found = all.filter(({ endpoint, machine }) => isFailedOrFree(taken.get(`${endpoint}/${machine.id}`)));
      if (found.length === 0)
        throw new DrError('ALREADY_PROTECTED', `all ${all.length} machines with the label ${input.label} are protected already`, {
          context: { kind: 'machine' },
        });
      if (input.seed && found.length > 1)
        throw new DrError('USAGE', 'a seed is one machine: protect one machine with it', { hint: 'repeat the command for each machine' });
      const protect = await protectInput(bench, found, input);
      const { machines, group } = protect;
      const plans = await Promise.all(machines.map((_, index) => planProtection(core, protect, index, caller.signal)));
      if (input.dryRun) {
        const answer: DryRun = {
          dryRun: true,
          verb: 'protect',
          target: group.name,
          members: plans.map((plan) => {
            const blocking = plan.findings.find((finding) => finding.level === 'blocks');
            const { disks } = plan.machine.spec;
            return {
              name: plan.machine.name,
              allowed: !blocking,
              ...(blocking ? { reason: blocking.message, way: blocking.hint } : {}),
              notes: [`replica at ${plan.target}`],
              disks: { count: disks.length, sizeBytes: disks.reduce((sum, disk) => sum + disk.sizeBytes, 0) },
              findings: plan.findings.filter(({ code }) => plan.method !== 'native' || code !== DATA_PATH),
            };
          }),
          steps: plans.every((plan) => plan.method === 'native')
            ? NATIVE_PROTECT
            : [
                'enable change tracking',
                input.seed ? 'adopt the seed as the replica' : 'create the replica, powered off',
                input.seed ? 'compare both sides, send what differs' : 'copy its disks, empty areas left out',
                'seal the first recovery point',
              ],
          dataPaths: await dataPathsOf(
            bench,
            // Under native replication no byte passes here.
            plans.flatMap(({ method, target }, index) => (method === 'native' ? [] : [machines[index]?.endpoint ?? '', target])),
            caller.signal,
          ),
        };
        return answer;
      }
      return startJob(bench, caller, 'protect', group.name, protect);
    },
  }),
  itemVerb(
    'unprotect',
    'unprotect',
    'Ends protection; possible from every state',
    true,
    { keepReplica: z.boolean().default(false) },
    (target, given) => ({ items: idsOf(target), keepReplica: given['keepReplica'] }),
  ),
  itemVerb('sync.now', 'sync', 'One cycle now', false, {}, (target) => ({ items: idsOf(target) })),
  itemVerb('sync.resync', 'resync', 'Compares both sides and sends what differs', true, {}, (target) => ({ items: idsOf(target) })),
  itemVerb('sync.verify', 'verify', 'Compares source and replica at one point', false, {}, (target) => ({ items: idsOf(target) })),
  ...(['pause', 'resume'] as const).map((operation) =>
    defineOperation({
      name: `sync.${operation}`,
      kind: 'change',
      summary: operation === 'pause' ? 'Pauses replication; points stay' : 'Resumes replication',
      input: z.strictObject({ target: name }),
      run: async (bench, input, caller) => {
        const target = await resolveTarget(bench.core.store.db, input.target);
        await concerned(bench, target, operation);
        for (const item of target.items) {
          const doing = { operationId: bench.core.runtime.newId(operation), signal: caller.signal };
          await replicatorOf(item).setPaused(bench.core, item, operation === 'pause', doing);
          await emit(bench.core, {
            kind: `sync.${operation}d`,
            level: operation === 'pause' ? 'warning' : 'info',
            subject: item.name,
            message: `replication ${operation}d by ${caller.actor}`,
          });
        }
        return { target: target.name, members: target.items.map((item) => item.name) };
      },
    }),
  ),
  itemVerb(
    'failover.test',
    'test',
    'Starts copies in isolated networks; production and replication go on',
    false,
    { point: selector, copy: z.boolean().default(false) },
    (target, given) => ({ waves: target.waves, selector: given['point'], copy: given['copy'] }),
    selectorOf,
  ),
  itemVerb('failover.cleanup', 'cleanup', 'Ends a test failover', false, {}, (target) => ({
    items: target.items.filter((item) => item.state.test !== 'None').map((item) => item.id),
  })),
  itemVerb('failover.planned', 'planned', 'Shuts the source down and starts the replica with nothing lost', true, {}, (target) => ({
    waves: target.waves,
    kind: 'planned',
    selector: 'latest',
  })),
  itemVerb(
    'failover.unplanned',
    'unplanned',
    'Starts the replica although the source may be lost',
    true,
    { point: selector, sourceIs: z.enum(['off', 'unreachable', 'running']).optional() },
    (target, given) => ({
      waves: target.waves,
      kind: 'unplanned',
      selector: given['point'],
      ...(given['sourceIs'] ? { sourceIs: given['sourceIs'] } : {}),
    }),
    selectorOf,
  ),
  itemVerb(
    'failover.change-point',
    'change-point',
    'Another recovery point, before commit',
    true,
    { point: z.string().min(1) },
    (target, given) => ({ items: idsOf(target), selector: given['point'] }),
    selectorOf,
  ),
  itemVerb(
    'failover.cancel',
    'cancel',
    'Back to the source; what the copy wrote is lost',
    true,
    { startSource: z.boolean().default(true) },
    (target, given) => ({ items: idsOf(target), startSource: given['startSource'] }),
  ),
  itemVerb('failover.commit', 'commit', 'Makes the failover final', true, { reprotect: z.boolean().default(true) }, (target, given) => ({
    items: idsOf(target),
    reprotect: given['reprotect'],
  })),
  itemVerb('reprotect', 'reprotect', 'Replicates in the reverse direction', true, {}, (target) => ({ items: idsOf(target) })),
  itemVerb('failback', 'failback', 'Planned failover back, commit and re-protect in one', true, {}, (target) => ({
    waves: target.waves,
    kind: 'planned',
    selector: 'latest',
  })),
  itemVerb('release', 'release', 'Leaves the failed-over machine where it runs, unprotected', true, {}, (target) => ({
    items: idsOf(target),
  })),
  itemVerb('resolve', 'resolve', 'Decides which of two copies stays', true, { keep: name }, (target, given) => ({
    items: idsOf(target),
    keep: given['keep'],
  })),
];
