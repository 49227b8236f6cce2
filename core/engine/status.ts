// Views over the store for people: status of items, groups, points. Nothing here asks an endpoint.
import { type Health, healthOf, type Lag, lagOf } from '../domain/health.ts';
import { type Active, activeSite, type Item, type ReplicationMethod } from '../domain/item.ts';
import { allowedOperations, type Operation } from '../domain/operations.ts';
import { DEFAULT_POLICY, type RuleWait } from '../domain/policy.ts';
import type { Core } from '../replication/core.ts';
import { listItems } from '../state/items.ts';
import { listJobs } from '../state/jobs.ts';
import { countPoints, listNewestPoints, listOpenCycles } from '../state/points.ts';
import { listGroups, listMappings, listPolicies } from '../state/records.ts';
import { listRules } from '../state/rules.ts';
import { selectForMarks } from './marks-view.ts';

export interface ItemView {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly method: ReplicationMethod;
  /** Native: what each host said last, by the vendor's name, and whether it still answers. */
  readonly hosts?: { readonly source?: string; readonly replica?: string };
  readonly source: string;
  readonly replica?: string;
  readonly protection: string;
  readonly phase?: string;
  readonly sync: string;
  readonly syncReason?: string;
  readonly test: string;
  readonly active: string;
  readonly direction: string;
  readonly health: Health;
  readonly lag: Lag;
  readonly rpoSeconds: number;
  readonly points: number;
  readonly newestPoint?: { readonly id: string; readonly takenAt: string; readonly applied: boolean };
  /** A sealed, undamaged point exists and it is known where it would start. */
  readonly recoverable: boolean;
  readonly lastTest?: Item['lastTest'];
  readonly allowed: readonly Operation[];
}

export interface StatusView {
  readonly sentence: string;
  readonly items: readonly ItemView[];
  /** What standing rules ask for and could not be protected when they last looked. */
  readonly waits: readonly (RuleWait & { readonly rule: string })[];
  readonly jobs: readonly {
    readonly id: string;
    readonly verb: string;
    readonly target: string;
    readonly state: string;
    readonly waitingFor?: string;
  }[];
}

const hostsOf = (seen: NonNullable<NonNullable<Item['native']>['seen']>): NonNullable<ItemView['hosts']> =>
  Object.fromEntries(
    Object.entries(seen).map(([end, { state, health, at, unreachable }]) => [
      end,
      `${state} (${health})${unreachable ? `, not seen since ${at}` : ''}`,
    ]),
  );

export const activeText = (active: Active): string => activeSite(active) ?? String(active);

export const viewItems = async (core: Core): Promise<ItemView[]> => {
  const { db } = core.store;
  const [groups, policies, items, newest, counts, cycles, mappings] = [
    await listGroups(db),
    await listPolicies(db),
    await listItems(db),
    await listNewestPoints(db),
    await countPoints(db),
    await listOpenCycles(db),
    await listMappings(db),
  ];
  const byItem = new Map(newest.map((point) => [point.itemId as string, point]));
  const marks = await selectForMarks(core, items);
  const nowMs = core.runtime.clock.now();
  return items.map((item): ItemView => {
    const group = groups.find((candidate) => candidate.id === item.groupId);
    const policy = policies.find((candidate) => candidate.name === group?.policy) ?? DEFAULT_POLICY;
    const point = byItem.get(item.id);
    const cycle = cycles.find((open) => open.doc.members.some((member) => member.item === item.id));
    const lag = lagOf(
      item,
      point && { ...point, applied: point.appliedAt !== undefined, timings: point.detail.timings },
      cycle?.startedAt,
      nowMs,
    );
    const { suspect, damaged } = marks.get(item.id) ?? { suspect: 0, damaged: 0 };
    const points = counts.get(item.id) ?? 0;
    const health = healthOf(item, { lag, policy, backlogPoints: 0, suspectPoints: suspect, damagedPoints: damaged, nowMs });
    const mapped = !item.replica || mappings.length === 0 || mappings.some((line) => line.toEndpoint === item.replica?.endpoint);
    return {
      id: item.id,
      name: item.name,
      group: group?.name ?? '',
      method: item.method,
      ...(item.native?.seen ? { hosts: hostsOf(item.native.seen) } : {}),
      source: `${item.source.site}/${item.source.endpoint}`,
      ...(item.replica ? { replica: `${item.replica.site}/${item.replica.endpoint}` } : {}),
      protection: item.state.protection,
      ...(item.state.failover ? { phase: item.state.failover.phase } : {}),
      sync: item.state.sync.is,
      ...(item.state.sync.reason ? { syncReason: item.state.sync.reason } : {}),
      test: item.state.test,
      active: activeText(item.state.active),
      direction: `${item.state.direction.from} -> ${item.state.direction.to}`,
      health,
      lag,
      rpoSeconds: policy.rpoSeconds,
      points,
      ...(point ? { newestPoint: { id: point.id, takenAt: point.takenAt, applied: point.appliedAt !== undefined } } : {}),
      recoverable: points > suspect + damaged && mapped && item.state.protection !== 'FailedOver',
      ...(item.lastTest ? { lastTest: item.lastTest } : {}),
      allowed: allowedOperations(item, {
        hasPoint: points > 0,
        targetForks: item.traits.targetForks,
        plannedPossible: item.traits.plannedPossible,
      }),
    };
  });
};

export const viewStatus = async (core: Core, replicating: boolean): Promise<StatusView> => {
  const items = await viewItems(core);
  const jobs = await listJobs(core.store.db, { states: ['Queued', 'Running', 'Waiting', 'Interrupted'] });
  return {
    sentence: sentenceOf(items, replicating),
    items,
    waits: (await listRules(core.store.db)).flatMap(({ rule, seen }) =>
      (seen?.waiting ?? []).map((wait) => ({ rule: rule.name, ...wait })),
    ),
    jobs: jobs.map(({ id, verb, target, state, waitingFor }) => ({ id, verb, target, state, ...(waitingFor ? { waitingFor } : {}) })),
  };
};

export const durationText = (ms: number): string => {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
};

const sentenceOf = (items: readonly ItemView[], replicating: boolean): string => {
  if (items.length === 0) return 'Nothing is protected yet: run machine assess, then protect.';
  const recoverable = items.filter((item) => item.recoverable).length;
  const worst = items
    .filter((item) => item.protection === 'Protected' && item.lag.ms !== undefined)
    .sort((a, b) => (b.lag.ms ?? 0) - (a.lag.ms ?? 0))[0];
  const lag = worst ? `; worst lag ${durationText(worst.lag.ms ?? 0)} (${worst.name}, RPO ${durationText(worst.rpoSeconds * 1_000)})` : '';
  const nobody = replicating ? '' : ' Nobody is replicating: run warmsite serve.';
  return `${recoverable} of ${items.length} machines can be recovered now${lag}.${nobody}`;
};
