// Watch: machines, groups, points, status, jobs, events, audit; and the housekeeping of a home.
import { z } from 'zod';
import { DrError, type Finding, isDrError } from '../contract/index.ts';
import { OPERATIONS, refusalOf } from '../domain/operations.ts';
import { inspectStaleSources } from '../failover/resolve.ts';
import { factsOf } from '../replication/changes.ts';
import { callFor, nowIso, openEndpoint } from '../replication/core.ts';
import { reconcilePoints, releaseCycles, settleCycles, sweepOrphans } from '../replication/reconcile.ts';
import { listAudit, listEvents, recordAudit, verifyAudit } from '../state/events.ts';
import { findItemBySource, listItems } from '../state/items.ts';
import { getJob, listJobs, listSteps } from '../state/jobs.ts';
import { findPoint, listPoints } from '../state/points.ts';
import { getGroup, listGroups } from '../state/records.ts';
import { findMachines, listAllMachines } from './inventory.ts';
import { defineOperation } from './operation.ts';
import { viewItems, viewStatus } from './status.ts';
import { resolveTarget } from './targets.ts';

const nothing = z.strictObject({});
const name = z.string().min(1).max(300);

export interface Assessment {
  readonly endpoint: string;
  readonly id: string;
  readonly name: string;
  readonly verdict: 'ready' | 'after a fix' | 'no' | 'protected';
  readonly findings: readonly Finding[];
}

const keptByHosts = (operation: string, name: string): DrError =>
  new DrError('CAPABILITY_MISSING', `${operation} of ${name} is not possible: its points are kept by its replica host`, {
    context: { name, operation, kind: 'native' },
    hint: 'set in the policy how many points the hosts keep; prove one with failover test --point',
  });

export const watchOperations = [
  defineOperation({
    name: 'machine.list',
    kind: 'read',
    summary: 'Machines of all endpoints',
    input: z.strictObject({ endpoint: name.optional(), label: z.string().optional() }),
    run: async (bench, input, { signal }) => {
      const { machines, unreachable } = await listAllMachines(
        bench,
        { ...(input.endpoint ? { endpoint: input.endpoint } : {}), ...(input.label ? { label: input.label } : {}) },
        signal,
      );
      const items = new Map(
        (await listItems(bench.core.store.db)).flatMap((item) => [
          [`${item.source.endpoint}\n${item.source.machine}`, { method: item.method, protection: item.state.protection as string }],
          [`${item.replica?.endpoint}\n${item.replica?.machine}`, { method: item.method, protection: 'replica' }],
        ]),
      );
      return {
        machines: machines.map(({ endpoint, site, machine }) => ({
          id: machine.id,
          name: machine.name,
          endpoint,
          site,
          power: machine.power,
          disks: machine.spec.disks.length,
          sizeBytes: machine.spec.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0),
          guest: machine.spec.guest.detail ?? machine.spec.guest.family,
          labels: machine.labels,
          protection: items.get(`${endpoint}\n${machine.id}`)?.protection ?? '-',
          // Hosts that replicate by our order are nobody else's.
          ...(machine.protectedElsewhere && items.get(`${endpoint}\n${machine.id}`)?.method !== 'native'
            ? { protectedElsewhere: machine.protectedElsewhere }
            : {}),
        })),
        unreachable,
      };
    },
  }),
  defineOperation({
    name: 'machine.show',
    kind: 'read',
    summary: 'One machine as its hypervisor shows it',
    input: z.strictObject({ name }),
    run: async (bench, input, { signal }) => (await findMachines(bench, { names: [input.name] }, signal))[0],
  }),
  defineOperation({
    name: 'machine.assess',
    kind: 'read',
    summary: 'Which machines can be protected, and what the others lack; nothing is changed',
    input: z.strictObject({ endpoint: name.optional(), label: z.string().optional() }),
    run: async (bench, input, { signal }) => {
      const { machines, unreachable } = await listAllMachines(
        bench,
        { ...(input.endpoint ? { endpoint: input.endpoint } : {}), ...(input.label ? { label: input.label } : {}) },
        signal,
      );
      const assessments = await Promise.all(
        machines.map(async ({ endpoint, machine }): Promise<Assessment> => {
          const base = { endpoint, id: machine.id as string, name: machine.name };
          if (await findItemBySource(bench.core.store.db, endpoint, machine.id)) return { ...base, verdict: 'protected', findings: [] };
          try {
            const session = await openEndpoint(bench.core, endpoint);
            const findings = await session.inventory.checkProtectable(
              machine.id,
              'source',
              callFor(bench.core, `assess/${machine.id}`, signal),
            );
            const verdict = findings.some((finding) => finding.level === 'blocks')
              ? 'no'
              : findings.some((finding) => finding.level === 'warning')
                ? 'after a fix'
                : 'ready';
            return { ...base, verdict, findings };
          } catch (error) {
            if (!isDrError(error) || signal.aborted) throw error;
            return { ...base, verdict: 'no', findings: [{ code: error.code, level: 'blocks', message: error.message, hint: error.hint }] };
          }
        }),
      );
      return { machines: assessments, unreachable };
    },
  }),
  defineOperation({
    name: 'group.list',
    kind: 'read',
    summary: 'Protection groups',
    input: nothing,
    run: async ({ core }) => {
      const items = await listItems(core.store.db);
      return (await listGroups(core.store.db)).map((group) => {
        const members = items.filter((item) => item.groupId === group.id);
        const states = [...new Set(members.map((item) => item.state.protection))];
        const directions = [...new Set(members.map(({ state: { direction } }) => `${direction.from} -> ${direction.to}`))].sort();
        return { ...group, members: members.map((item) => item.name), state: states.length === 1 ? states[0] : 'Partial', directions };
      });
    },
  }),
  defineOperation({
    name: 'group.show',
    kind: 'read',
    summary: 'One protection group with its members',
    input: z.strictObject({ name }),
    run: async ({ core }, input) => {
      const group = await getGroup(core.store.db, input.name);
      return { ...group, items: (await viewItems(core)).filter((item) => item.group === group.name) };
    },
  }),
  defineOperation({
    name: 'status',
    kind: 'read',
    summary: 'What can be recovered now, and what needs a person',
    input: nothing,
    run: async (bench) => viewStatus(bench.core, bench.planner() !== undefined),
  }),
  defineOperation({
    name: 'explain',
    kind: 'read',
    summary: 'The state of a machine in words: each operation, allowed or why not, and where its lag comes from',
    input: z.strictObject({ target: name }),
    run: async ({ core }, input) => {
      const target = await resolveTarget(core.store.db, input.target);
      const views = await viewItems(core);
      return Promise.all(
        target.items.map(async (item) => {
          const facts = await factsOf(core.store.db, item);
          return {
            ...(views.find((view) => view.id === item.id) ?? { id: item.id, name: item.name }),
            operations: OPERATIONS.map((operation) => ({ operation, ...(refusalOf(operation, item, facts) ?? { allowed: true }) })),
            epoch: item.epoch,
          };
        }),
      );
    },
  }),
  defineOperation({
    name: 'point.list',
    kind: 'read',
    summary: 'Recovery points, oldest first',
    input: z.strictObject({ target: name }),
    run: async ({ core }, input) => {
      const target = await resolveTarget(core.store.db, input.target);
      const lists = await Promise.all(
        target.items.map(async (item) => {
          const marks = await core.journals.marks(item.state.direction.to);
          return (await listPoints(core.store.db, item.id)).map((point) => ({
            ...point,
            machine: item.name,
            pinned: marks.isPinned(point.id),
            tags: marks.tagsOf(point.id),
            ...(marks.isSuspect(point.id) ? { suspect: true } : {}),
            ...(marks.isDamaged(point.id) ? { damaged: true } : {}),
          }));
        }),
      );
      return lists.flat();
    },
  }),
  defineOperation({
    name: 'point.show',
    kind: 'read',
    summary: 'One recovery point as its seal has it',
    input: z.strictObject({ id: name }),
    run: async ({ core }, input) => {
      const known = await findPoint(core.store.db, input.id);
      if (!known)
        throw new DrError('NOT_FOUND', `there is no recovery point ${JSON.stringify(input.id)}`, {
          context: { kind: 'point', point: input.id },
          hint: 'run point list MACHINE',
        });
      if (known.kind === 'native') return known;
      const journal = await core.journals.journal(known.site, known.itemId);
      return journal.points.find((point) => point.point === input.id) ?? known;
    },
  }),
  ...(['tag', 'pin', 'unpin'] as const).map((verb) =>
    defineOperation({
      name: `point.${verb}`,
      kind: 'change',
      summary: {
        tag: 'Names a recovery point',
        pin: 'Keeps a recovery point whatever the retention says',
        unpin: 'Gives a pinned recovery point back to retention',
      }[verb],
      input: z.strictObject({ id: name, tag: z.string().min(1).max(100).optional() }),
      run: async ({ core }, input, caller) => {
        const known = await findPoint(core.store.db, input.id);
        if (!known)
          throw new DrError('NOT_FOUND', `there is no recovery point ${JSON.stringify(input.id)}`, {
            context: { kind: 'point', point: input.id },
            hint: 'run point list MACHINE',
          });
        if (known.kind === 'native') throw keptByHosts(`point ${verb}`, input.id);
        const marks = await core.journals.marks(known.site);
        if (verb === 'tag') {
          if (!input.tag) throw new DrError('USAGE', 'a tag has no name', { hint: 'give the name after the point' });
          await marks.tag(input.id, input.tag);
        } else if (verb === 'pin') await marks.pin(input.id);
        else await marks.unpin(input.id);
        await core.store.transaction((tx) =>
          recordAudit(tx, { at: nowIso(core), actor: caller.actor, action: `point.${verb}`, target: input.id }),
        );
        return { id: input.id };
      },
    }),
  ),
  defineOperation({
    name: 'point.verify',
    kind: 'read',
    summary: 'Reads the journal and proves its chain, seals and data',
    input: z.strictObject({ target: name }),
    run: async ({ core }, input) => {
      const target = await resolveTarget(core.store.db, input.target);
      return Promise.all(
        target.items.map(async (item) => {
          if (item.method === 'native') throw keptByHosts('point verify', item.name);
          const journal = await core.journals.journal(item.state.direction.to, item.id);
          const verdict = await journal.verify();
          const marks = await core.journals.marks(item.state.direction.to);
          for (const point of verdict.damaged) if (!marks.isDamaged(point)) await marks.markDamaged(point, 'verification of the journal');
          return { machine: item.name, points: journal.points.length, ...verdict };
        }),
      );
    },
  }),
  defineOperation({
    name: 'job.list',
    kind: 'read',
    summary: 'Jobs, newest first',
    input: z.strictObject({ limit: z.number().int().min(1).max(1_000).default(50) }),
    run: async ({ core }, input) => listJobs(core.store.db, input),
  }),
  defineOperation({
    name: 'job.show',
    kind: 'read',
    summary: 'One job with its steps',
    input: z.strictObject({ id: name }),
    run: async ({ core }, input) => ({ ...(await getJob(core.store.db, input.id)), steps: await listSteps(core.store.db, input.id) }),
  }),
  defineOperation({
    name: 'job.cancel',
    kind: 'change',
    summary: 'Cancels a job at its next step and undoes what it did',
    input: z.strictObject({ id: name }),
    run: async ({ core, jobs }, input, caller) => {
      await jobs.cancel(input.id);
      await core.store.transaction((tx) =>
        recordAudit(tx, { at: nowIso(core), actor: caller.actor, action: 'job.cancel', target: input.id }),
      );
      return { job: input.id };
    },
  }),
  defineOperation({
    name: 'job.retry',
    kind: 'job',
    summary: 'Runs a failed job again',
    input: z.strictObject({ id: name }),
    run: async ({ jobs }, input, caller) => ({ job: await jobs.retry(input.id, caller.actor) }),
  }),
  defineOperation({
    name: 'job.go-on',
    kind: 'job',
    summary: 'Lets an interrupted job that waits for a person go on',
    input: z.strictObject({ id: name }),
    run: async ({ jobs }, input, caller) => {
      await jobs.signal(input.id, 'go-on', { actor: caller.actor });
      return { job: input.id };
    },
  }),
  defineOperation({
    name: 'event.list',
    kind: 'read',
    summary: 'Events, oldest first',
    input: z.strictObject({ afterSeq: z.number().int().min(0).optional(), limit: z.number().int().min(1).max(10_000).default(100) }),
    run: async ({ core }, input) =>
      listEvents(core.store.db, { limit: input.limit, ...(input.afterSeq === undefined ? {} : { afterSeq: input.afterSeq }) }),
  }),
  defineOperation({
    name: 'audit.list',
    kind: 'read',
    summary: 'Who did what, and why',
    input: nothing,
    run: async ({ core }) => listAudit(core.store.db),
  }),
  defineOperation({
    name: 'audit.verify',
    kind: 'read',
    summary: 'Proves that no audit record was changed or removed',
    input: nothing,
    run: async ({ core }) => {
      const result = await verifyAudit(core.store.db);
      if (result.brokenAt !== undefined)
        throw new DrError('CHECK_FAILED', `the audit chain is broken at record ${result.brokenAt}`, {
          hint: 'compare the store with a backup: records were changed or removed outside of warmsite',
        });
      return result;
    },
  }),
  defineOperation({
    name: 'reconcile',
    kind: 'change',
    severe: true,
    summary: 'Accepts journals that are newer than the state store (after the store came back from a backup)',
    input: nothing,
    run: async ({ core }, _input, caller) => {
      await reconcilePoints(core, { accept: true });
      await core.store.transaction((tx) =>
        recordAudit(tx, {
          at: nowIso(core),
          actor: caller.actor,
          action: 'reconcile',
          target: 'home',
          ...(caller.reason ? { reason: caller.reason } : {}),
        }),
      );
      return { accepted: true };
    },
  }),
  defineOperation({
    name: 'sweep',
    kind: 'change',
    summary: 'Removes what ended jobs and cycles left at endpoints',
    input: nothing,
    run: async ({ core }, _input, { signal }) => {
      await settleCycles(core);
      await releaseCycles(core, signal);
      const stale = await inspectStaleSources(core, signal);
      return { ...(await sweepOrphans(core, signal)), stale };
    },
  }),
];
