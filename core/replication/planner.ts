// Decides which group's cycle starts next: whoever would miss its deadline first, within the limits of the endpoints.
import { asDrError, type DrError, isDrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { ProtectionGroup, ReplicationPolicy } from '../domain/policy.ts';
import { listItems } from '../state/items.ts';
import { listNewestPoints } from '../state/points.ts';
import { listGroups, listPolicies } from '../state/records.ts';
import { Applies } from './applies.ts';
import { type Core, emit, unattended } from './core.ts';
import { runCycle } from './cycle.ts';
import { DarkEndpoints } from './dark.ts';
import { NativeObserver } from './native/observer.ts';
import { pauseAfterMs } from './retry.ts';

const TICK_MS = 1_000;
const MAX_CYCLES = 8;
const MAX_CYCLES_PER_ENDPOINT = 4;
/** Beside the others: they wait for what may never answer. */
const MAX_DARK_CYCLES = 4;

/** One group in one direction: what a cycle takes together. */
interface Unit {
  readonly key: string;
  readonly group: ProtectionGroup;
  readonly policy: ReplicationPolicy;
  readonly items: readonly Item[];
}

export interface Due extends Unit {
  /** Time left until the RPO is broken, less twice the expected duration: negative means that it is late already. */
  readonly slackMs: number;
}

export interface PlannerState {
  readonly lastStartMs: ReadonlyMap<string, number>;
  readonly expectedMs: ReadonlyMap<string, number>;
  readonly notBeforeMs: ReadonlyMap<string, number>;
  readonly newestMs: ReadonlyMap<string, number>;
  readonly running: ReadonlySet<string>;
}

/** Hosts that replicate by themselves are looked at, not asked for cycles. */
const replicates = (item: Item): boolean =>
  item.method !== 'native' &&
  ((item.state.protection === 'Protected' && item.state.sync.is !== 'Paused' && item.state.sync.is !== 'None') ||
    (item.state.protection === 'InitialReplication' && item.state.sync.is === 'Stalled'));

/** Members of a group that may go together: same direction, and first copies apart from deltas. */
export const unitsOf = (groups: readonly ProtectionGroup[], policies: readonly ReplicationPolicy[], items: readonly Item[]): Unit[] => {
  const byGroup = Map.groupBy(items.filter(replicates), (item) => item.groupId);
  return groups.flatMap((group) => {
    const policy = policies.find((candidate) => candidate.name === group.policy) ?? policies[0];
    if (!policy) return [];
    const parts = Map.groupBy(byGroup.get(group.id) ?? [], (item) => `${group.id} ${item.state.direction.to} ${item.state.protection}`);
    return [...parts].map(([key, members]) => ({ key, group, policy, items: members }));
  });
};

/** Pure: what may start now, most urgent first. */
export const dueUnits = (units: readonly Unit[], state: PlannerState, nowMs: number): Due[] => {
  const due = units.flatMap((unit): Due[] => {
    if (state.running.has(unit.key) || nowMs < (state.notBeforeMs.get(unit.key) ?? 0)) return [];
    const last = state.lastStartMs.get(unit.key);
    if (last !== undefined && nowMs < last + unit.policy.intervalSeconds * 1_000) return [];
    const oldest = Math.min(...unit.items.map((item) => state.newestMs.get(item.id) ?? 0));
    return [{ ...unit, slackMs: oldest + unit.policy.rpoSeconds * 1_000 - nowMs - 2 * (state.expectedMs.get(unit.key) ?? 0) }];
  });
  return due.sort((a, b) => a.slackMs - b.slackMs);
};

interface Running {
  readonly done: Promise<void>;
  readonly endpoints: readonly string[];
  readonly isDark: boolean;
}

export interface PlannerHooks {
  /** Standing rules: asked at each look, they begin what is due by themselves. */
  readonly rules: { look(): void; idle(): Promise<void> };
  /** A test failover whose apply backlog has reached the policy's limit ends (V8). */
  endTest(item: Item): Promise<void>;
  /** Stale sources are looked at again and again (F4); cycles whose endpoints did not answer are released. */
  readonly housekeeping: { look(): void; idle(): Promise<void> };
}

export class Planner {
  readonly #core: Core;
  readonly #hooks: PlannerHooks;
  readonly #observer: NativeObserver;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Running>();
  readonly #dark: DarkEndpoints;
  readonly #applies: Applies;
  readonly #endpointsOf = new Map<string, readonly string[]>();
  readonly #expectedMs = new Map<string, number>();
  readonly #notBeforeMs = new Map<string, number>();
  readonly #lastStartMs = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #late = new Set<string>();
  readonly #warned = new Set<string>();
  #loop: Promise<void> | undefined;
  cycles = 0;

  constructor(core: Core, hooks: PlannerHooks) {
    this.#core = core;
    this.#hooks = hooks;
    this.#observer = new NativeObserver(core);
    this.#applies = new Applies(core, this.#stopping.signal);
    this.#dark = new DarkEndpoints(core, (endpoint) => this.#onBack(endpoint));
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the planner is stopping'));
    await this.#loop?.catch(() => {});
    await Promise.allSettled([...this.#running.values()].map((entry) => entry.done));
    await this.#observer.stop();
    await this.#dark.idle();
    await this.#applies.idle();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.tick();
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.#core.runtime.log.warn('planner tick failed', { error: asDrError(error).message });
      }
      await this.#core.runtime.clock.sleep(TICK_MS, this.#stopping.signal).catch(() => {});
    }
  }

  /** One look at everything; starts what is due and within the limits. */
  async tick(): Promise<void> {
    const { db } = this.#core.store;
    const nowMs = this.#core.runtime.clock.now();
    const [groups, policies, items, newest] = [
      await listGroups(db),
      await listPolicies(db),
      await listItems(db),
      await listNewestPoints(db),
    ];
    const newestMs = new Map(newest.map((point) => [point.itemId as string, Date.parse(point.takenAt)]));
    this.#observer.look(items);
    await this.#noteLateness(groups, policies, items, newestMs, nowMs);
    await this.#limitTests(groups, policies, items);
    this.#hooks.rules.look();
    this.#hooks.housekeeping.look();
    this.#dark.look(items, this.#stopping.signal);
    const units = unitsOf(groups, policies, items);
    const state = {
      lastStartMs: this.#lastStartMs,
      expectedMs: this.#expectedMs,
      notBeforeMs: this.#notBeforeMs,
      newestMs,
      running: new Set(this.#running.keys()),
    };
    for (const unit of dueUnits(units, state, nowMs)) {
      const endpoints = [...new Set(unit.items.map((item) => item.source.endpoint))];
      const isDark = endpoints.some((endpoint) => this.#dark.has(endpoint));
      const beside = [...this.#running.values()].filter((entry) => entry.isDark === isDark);
      if (beside.length >= (isDark ? MAX_DARK_CYCLES : MAX_CYCLES)) continue;
      if (endpoints.some((endpoint) => this.#cyclesAt(endpoint) >= MAX_CYCLES_PER_ENDPOINT)) continue;
      if (this.#core.locks.isHeld(`group ${unit.group.id}`)) continue;
      this.#lastStartMs.set(unit.key, nowMs);
      const done = unattended(this.#core, `cycle of ${unit.group.name}`, this.#cycle(unit)).finally(() => this.#running.delete(unit.key));
      this.#endpointsOf.set(unit.key, endpoints);
      this.#running.set(unit.key, { done, endpoints, isDark });
    }
  }

  /** Resolves when no cycle that this planner started is under way, no look at hosts, no work of rules and no housekeeping. */
  async idle(): Promise<void> {
    await this.#hooks.housekeeping.idle();
    await this.#hooks.rules.idle();
    await this.#observer.idle();
    await this.#dark.idle();
    while (this.#running.size > 0) await Promise.allSettled([...this.#running.values()].map((entry) => entry.done));
    await this.#applies.idle();
  }

  #cyclesAt(endpoint: string): number {
    return [...this.#running.values()].filter((entry) => entry.endpoints.includes(endpoint)).length;
  }

  async #cycle(unit: Due): Promise<void> {
    const { runtime } = this.#core;
    const signal = this.#stopping.signal;
    const started = runtime.clock.now();
    try {
      const report = await runCycle(this.#core, {
        group: unit.group,
        items: unit.items.map((item) => item.id),
        kind: 'regular',
        cycleId: runtime.newId('cy'),
        signal,
      });
      this.cycles += 1;
      const before = this.#expectedMs.get(unit.key);
      const took = runtime.clock.now() - started;
      this.#expectedMs.set(unit.key, before === undefined ? took : Math.round(before * 0.7 + took * 0.3));
      this.#noteOutcome(unit.key, [...report.failures.values()].every(gaveWay));
      this.#dark.note(unit.items, report.failures);
      for (const item of unit.items) if (report.points.has(item.id)) this.#apply(item, unit);
    } catch (error) {
      if (signal.aborted) return;
      this.#noteOutcome(unit.key, gaveWay(error));
      const { code, message, hint } = asDrError(error);
      await emit(this.#core, {
        kind: 'cycle.failed',
        level: code === 'ABORTED' ? 'info' : 'warning',
        subject: unit.group.name,
        message: `cycle of ${unit.group.name} failed: ${message}`,
        data: { code, hint },
      });
      if (!isDrError(error)) throw error;
    }
  }

  #apply(item: Item, { policy, key }: Unit): void {
    // Where nothing fits any more, new points would only make it worse.
    const onFailure = (error: DrError) => isDrError(error, 'JOURNAL_FULL', 'TARGET_FULL') && this.#noteOutcome(key, false);
    this.#applies.begin(item, { policy, onFailure });
  }

  /** All that waits for it is due: nobody sits out a pause that its silence had earned. */
  #onBack(endpoint: string): void {
    for (const [key, endpoints] of this.#endpointsOf) if (endpoints.includes(endpoint)) this.#noteOutcome(key, true);
  }

  /** A failing group is tried again after a growing pause, or at its interval when that is longer. */
  #noteOutcome(key: string, good: boolean): void {
    if (good) {
      this.#failures.delete(key);
      this.#notBeforeMs.delete(key);
      return;
    }
    const count = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, count);
    this.#notBeforeMs.set(key, this.#core.runtime.clock.now() + pauseAfterMs(count));
  }

  /** A journal that cannot be read is told elsewhere. */
  async #backlogOf(item: Item): Promise<number> {
    try {
      return (await this.#core.journals.journal(item.state.direction.to, item.id)).pending().length;
    } catch (error) {
      if (!isDrError(error)) throw error;
      return 0;
    }
  }

  async #noteLateness(
    groups: readonly ProtectionGroup[],
    policies: readonly ReplicationPolicy[],
    items: readonly Item[],
    newestMs: ReadonlyMap<string, number>,
    nowMs: number,
  ): Promise<void> {
    for (const item of items) {
      const newest = newestMs.get(item.id);
      const policy = policyOf(groups, policies, item);
      const late =
        item.state.protection === 'Protected' && newest !== undefined && policy !== undefined && nowMs - newest > policy.rpoSeconds * 1_000;
      if (late === this.#late.has(item.id)) continue;
      if (late) this.#late.add(item.id);
      else this.#late.delete(item.id);
      await emit(this.#core, {
        kind: late ? 'rpo.violated' : 'rpo.restored',
        level: late ? 'critical' : 'info',
        subject: item.name,
        message: late ? `the newest point is older than the RPO of ${policy?.rpoSeconds} s` : 'lag is within the RPO again',
      });
    }
  }

  async #limitTests(groups: readonly ProtectionGroup[], policies: readonly ReplicationPolicy[], items: readonly Item[]): Promise<void> {
    for (const item of items) {
      if (item.method === 'native' || item.state.test !== 'Running' || item.testFork?.mode !== 'overlay') {
        this.#warned.delete(item.id);
        continue;
      }
      const limit = policyOf(groups, policies, item)?.testBacklogPoints ?? Number.POSITIVE_INFINITY;
      const backlog = await this.#backlogOf(item);
      if (backlog >= limit) await this.#hooks.endTest(item);
      else if (backlog >= limit * 0.8 && !this.#warned.has(item.id)) {
        this.#warned.add(item.id);
        await emit(this.#core, {
          kind: 'test.backlog',
          level: 'warning',
          subject: item.name,
          message: `${backlog} points wait for the end of the test failover; it is ended at ${limit}`,
        });
      }
    }
  }
}

/** The cycle stood in the way of a verb: no failure of the group. */
const gaveWay = (error: unknown): boolean => isDrError(error, 'ABORTED', 'STATE_CONFLICT', 'OPERATION_NOT_ALLOWED');

const policyOf = (
  groups: readonly ProtectionGroup[],
  policies: readonly ReplicationPolicy[],
  item: Item,
): ReplicationPolicy | undefined => {
  const group = groups.find((candidate) => candidate.id === item.groupId);
  return policies.find((candidate) => candidate.name === group?.policy);
};
