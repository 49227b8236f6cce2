// Standing rules: finds the machines that they ask for and that nobody protects yet, and protects them, a few at a time.
import { DrError, isDrError } from '../contract/index.ts';
import { type Item, machinesOfItems } from '../domain/item.ts';
import type { ProtectionRule, RuleWait } from '../domain/policy.ts';
import { planProtection } from '../failover/protect.ts';
import { nowIso } from '../replication/core.ts';
import type { Db } from '../state/database.ts';
import { recordEvent } from '../state/events.ts';
import { findItemBySource, listItems } from '../state/items.ts';
import { findGroup } from '../state/records.ts';
import { findRule, listRules, putSeen } from '../state/rules.ts';
import { type FoundMachine, listAllMachines } from './inventory.ts';
import type { Workbench } from './operation.ts';
import { protectInput, startJob } from './start.ts';

const LOOK_EVERY_MS = 300_000;
/** First copies that rules have begun and that are under way: the others wait, cycles go on. */
const SIDE_BY_SIDE = 4;
const BLOCKED_AGAIN_MS = 600_000;
const FAILED_AGAIN_MS = 3_600_000;

export interface RuleLine {
  readonly endpoint: string;
  readonly id: string;
  readonly name: string;
  /** `left out`: somebody has ended its protection since the rule was made. */
  readonly verdict: 'protected' | 'failed' | 'new' | 'left out';
}

/** Machines of one rule that go in one job. */
interface Unit {
  readonly rule: ProtectionRule;
  readonly machines: readonly FoundMachine[];
}

interface Looked {
  readonly lines: readonly (RuleLine & { readonly found: FoundMachine })[];
  readonly unreachable: readonly { readonly endpoint: string; readonly because: string; readonly hint: string }[];
}

const keyOf = ({ endpoint, machine }: FoundMachine): string => `${endpoint}/${machine.id}`;

const verdictOf = (rule: ProtectionRule, found: FoundMachine, item: Item | undefined): RuleLine['verdict'] => {
  if (item) return item.state.protection === 'EnablingFailed' ? 'failed' : 'protected';
  const except = rule.except.some(({ endpoint, machine }) => endpoint === found.endpoint && machine === found.machine.id);
  return except ? 'left out' : 'new';
};

/** What carries the label now, outside the recovery site. */
export const lookForRule = async (bench: Workbench, rule: ProtectionRule, signal: AbortSignal): Promise<Looked> => {
  const { label, endpoint, to: notAt } = rule;
  const { machines, unreachable } = await listAllMachines(bench, { label, notAt, ...(endpoint ? { endpoint } : {}) }, signal);
  const known = machinesOfItems(await listItems(bench.core.store.db));
  const lines = machines.map((found) => ({
    endpoint: found.endpoint,
    id: found.machine.id as string,
    name: found.machine.name,
    verdict: verdictOf(rule, found, known.get(keyOf(found))),
    found,
  }));
  return { lines, unreachable };
};

/** The group that a machine goes to, or why it cannot join now. */
const groupFor = async (db: Db, rule: ProtectionRule, { site, machine }: FoundMachine): Promise<string> => {
  if (!rule.group) {
    const { name } = machine;
    return (await findGroup(db, name)) ? `${name.slice(0, 200)} (${machine.id})` : name;
  }
  const group = await findGroup(db, rule.group);
  if (!group) return rule.group;
  const away = (await listItems(db, group.id)).find(
    ({ state }) =>
      state.direction.to !== rule.to || !['Enabling', 'EnablingFailed', 'InitialReplication', 'Protected'].includes(state.protection),
  );
  if (away || group.fromSite !== site) {
    const because = away ? `its member ${away.name} is ${away.state.protection}` : `it is of machines at ${group.fromSite}`;
    throw new DrError('STATE_CONFLICT', `group ${group.name} takes nobody in: ${because}`, {
      context: { group: group.name },
      hint: away ? `bring the group back to replicating to ${rule.to}` : 'make a rule with another group for this site',
    });
  }
  return group.name;
};

export class Rules {
  readonly #workbench: () => Workbench;
  readonly #settled: (job: string) => Promise<unknown>;
  readonly #stopping = new AbortController();
  readonly #jobs = new Set<string>();
  readonly #notBeforeMs = new Map<string, number>();
  #queue: Unit[] = [];
  #lookAtMs = Number.NEGATIVE_INFINITY;
  #work: Promise<void> | undefined;

  /** `settled`: resolves when that job has ended. */
  constructor(workbench: () => Workbench, settled: (job: string) => Promise<unknown>) {
    this.#workbench = workbench;
    this.#settled = settled;
  }

  get #bench(): Workbench {
    return this.#workbench();
  }

  /** Begins what is due; waits for nothing. */
  look(): void {
    const due = this.#bench.core.runtime.clock.now() >= this.#lookAtMs || (this.#queue.length > 0 && this.#jobs.size < SIDE_BY_SIDE);
    if (this.#work || !due || this.#stopping.signal.aborted) return;
    this.#work = this.#run()
      .catch((error: unknown) => {
        if (!this.#stopping.signal.aborted) this.#bench.core.runtime.log.warn('rules could not be looked at', { error: String(error) });
      })
      .finally(() => {
        this.#work = undefined;
      });
  }

  /** With the next look everything is tried again: an operator has changed something. */
  soon(): void {
    this.#lookAtMs = Number.NEGATIVE_INFINITY;
    this.#notBeforeMs.clear();
  }

  /** Resolves when what the last look has begun is done, its jobs included. */
  async idle(): Promise<void> {
    while (this.#work || this.#jobs.size > 0) await Promise.all([this.#work, ...[...this.#jobs].map((job) => this.#settled(job))]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DrError('ABORTED', 'the engine is stopping'));
    await this.#work;
  }

  async #run(): Promise<void> {
    const { clock } = this.#bench.core.runtime;
    if (clock.now() >= this.#lookAtMs) {
      this.#lookAtMs = clock.now() + LOOK_EVERY_MS;
      this.#queue = [];
      for (const { rule } of await listRules(this.#bench.core.store.db)) this.#queue.push(...(await this.#unitsOf(rule)));
    }
    while (this.#jobs.size < SIDE_BY_SIDE && !this.#stopping.signal.aborted) {
      const unit = this.#queue.shift();
      if (!unit) return;
      await this.#take(unit);
    }
  }

  async #unitsOf(rule: ProtectionRule): Promise<Unit[]> {
    const { lines, unreachable } = await lookForRule(this.#bench, rule, this.#stopping.signal);
    const dark = new Set(unreachable.map(({ endpoint }) => endpoint));
    const fresh = new Set(lines.filter(({ verdict }) => verdict === 'new').map(({ found }) => keyOf(found)));
    await this.#note(rule.name, (waiting) => [
      ...waiting.filter(({ machine, endpoint }) => machine !== undefined && (dark.has(endpoint) || fresh.has(`${endpoint}/${machine}`))),
      ...unreachable.map(({ endpoint, because, hint }) => ({
        name: endpoint,
        endpoint,
        because: `it could not be looked at: ${because}`,
        hint,
      })),
    ]);
    const nowMs = this.#bench.core.runtime.clock.now();
    const due = lines
      .filter(({ verdict }) => verdict === 'new' || verdict === 'failed')
      .map(({ found }) => found)
      .filter((found) => this.#isDue(found, nowMs));
    if (!rule.group) return due.map((found) => ({ rule, machines: [found] }));
    return due.length > 0 ? [{ rule, machines: due }] : [];
  }

  #isDue(found: FoundMachine, nowMs: number): boolean {
    return nowMs >= (this.#notBeforeMs.get(keyOf(found)) ?? 0);
  }

  async #take({ rule, machines }: Unit): Promise<void> {
    const { db } = this.#bench.core.store;
    const now = await findRule(db, rule.name);
    // Changed since: the next look goes by what it says now.
    if (!now || JSON.stringify(now.rule) !== JSON.stringify(rule)) return;
    const ready: FoundMachine[] = [];
    const nowMs = this.#bench.core.runtime.clock.now();
    // Another rule may have taken it since this one looked.
    for (const found of machines.filter((machine) => this.#isDue(machine, nowMs))) {
      const obstacle = await this.#obstacle(rule, found);
      this.#notBeforeMs.set(keyOf(found), nowMs + (obstacle ? BLOCKED_AGAIN_MS : FAILED_AGAIN_MS));
      if (!obstacle) ready.push(found);
      await this.#note(rule.name, (waiting) => [
        ...waiting.filter(({ endpoint, machine }) => `${endpoint}/${machine}` !== keyOf(found)),
        ...(obstacle ? [{ machine: found.machine.id, name: found.machine.name, endpoint: found.endpoint, ...obstacle }] : []),
      ]);
    }
    const [first] = ready;
    if (first) await this.#start(rule, first, ready);
  }

  async #start(rule: ProtectionRule, first: FoundMachine, ready: readonly FoundMachine[]): Promise<void> {
    const input = await this.#input(rule, first, ready);
    const { signal } = this.#stopping;
    const caller = { actor: `rule:${rule.name}`, reason: `it carries the label ${rule.label}`, signal };
    const { job } = await startJob(this.#bench, caller, 'protect', input.group.name, input);
    this.#jobs.add(job);
    void this.#settled(job)
      .catch((error: unknown) => this.#bench.core.runtime.log.warn('a job of a rule was lost sight of', { job, error: String(error) }))
      .finally(() => this.#jobs.delete(job));
  }

  async #input(rule: ProtectionRule, first: FoundMachine, machines: readonly FoundMachine[]) {
    const { db } = this.#bench.core.store;
    const failed = await findItemBySource(db, first.endpoint, first.machine.id);
    const group = failed && !rule.group ? undefined : await groupFor(db, rule, first);
    return protectInput(this.#bench, machines, { policy: rule.policy, to: rule.to, target: rule.target, group });
  }

  /** Nobody is at hand to answer for a warning: what an operator would be asked about waits for one. */
  async #obstacle(rule: ProtectionRule, found: FoundMachine): Promise<Pick<RuleWait, 'because' | 'hint'> | undefined> {
    const { core } = this.#bench;
    try {
      const input = await this.#input(rule, found, [found]);
      const known = await findItemBySource(core.store.db, found.endpoint, found.machine.id);
      // What the attempt before has made stands in the way until the job takes it back.
      if (known?.state.protection === 'EnablingFailed') return undefined;
      const { findings } = await planProtection(core, input, 0, this.#stopping.signal);
      const finding = findings.find(({ level, code }) => level === 'blocks' || code === 'protected-elsewhere');
      return finding && { because: finding.message, hint: finding.hint };
    } catch (error) {
      if (!isDrError(error) || this.#stopping.signal.aborted) throw error;
      return { because: error.message, hint: error.hint };
    }
  }

  /** What waits is kept for status, and told once for each reason. */
  #note(name: string, change: (waiting: readonly RuleWait[]) => readonly RuleWait[]): Promise<void> {
    const { core } = this.#bench;
    return core.store.transaction(async (tx) => {
      const before = (await findRule(tx, name))?.seen?.waiting ?? [];
      const waiting = change(before);
      const at = nowIso(core);
      await putSeen(tx, name, { at, waiting });
      const told = new Set(before.map((wait) => JSON.stringify(wait)));
      for (const wait of waiting.filter((entry) => !told.has(JSON.stringify(entry))))
        await recordEvent(tx, {
          at,
          kind: 'rule.waits',
          level: 'warning',
          subject: wait.name,
          message: `rule ${name} cannot protect ${wait.name}: ${wait.because}`,
          data: { rule: name, endpoint: wait.endpoint, hint: wait.hint },
        });
    });
  }
}
