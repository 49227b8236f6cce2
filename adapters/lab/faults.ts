import { DrError, ERRORS } from '../../core/contract/index.ts';
import { type FaultAct, type FaultRule, LIES } from './model.ts';
import type { Random } from './random.ts';

interface Armed {
  readonly rule: FaultRule & { readonly id: string };
  matched: number;
  acted: number;
}

/** Rules that make calls fail, wait, drop, lose power or lie. */
export class Faults {
  readonly #armed = new Map<string, Armed>();
  #count = 0;

  add(rule: FaultRule): string {
    assertRule(rule);
    const id = rule.id ?? `fault-${++this.#count}`;
    this.#armed.set(id, { rule: { ...rule, id }, matched: 0, acted: 0 });
    return id;
  }

  clear(id?: string): void {
    if (id === undefined) this.#armed.clear();
    else this.#armed.delete(id);
  }

  list(): (FaultRule & { id: string; matched: number; acted: number })[] {
    return [...this.#armed.values()].map(({ rule, matched, acted }) => ({ ...rule, matched, acted }));
  }

  /** What the rules do to this call, in the order in which they were added. */
  match(method: string, args: object, random: Random): FaultAct[] {
    if (this.#armed.size === 0) return [];
    const machines = new Set(machinesIn(args));
    const acts: FaultAct[] = [];
    for (const armed of this.#armed.values()) {
      const { rule } = armed;
      if (!methodMatches(rule.method, method)) continue;
      if (rule.endpoint !== undefined && rule.endpoint !== (args as { endpoint?: string }).endpoint) continue;
      if (rule.machine !== undefined && !machines.has(rule.machine)) continue;
      armed.matched++;
      if (armed.acted >= (rule.times ?? (rule.nth === undefined ? Number.POSITIVE_INFINITY : 1))) continue;
      if (rule.nth !== undefined && armed.matched < rule.nth) continue;
      if (rule.probability !== undefined && random.fraction() >= rule.probability) continue;
      armed.acted++;
      acts.push(rule.act);
    }
    return acts;
  }
}

const methodMatches = (pattern: string, method: string): boolean =>
  pattern.endsWith('*') ? method.startsWith(pattern.slice(0, -1)) : pattern === method;

/** The machines that a call names; a snapshot or a fork does not count as one. A block device counts as its appliance's. */
const machinesIn = (args: object): string[] => {
  const { machine, machines, replica, appliance, of } = args as Record<'machine' | 'replica' | 'appliance', string | undefined> & {
    machines?: string[];
    of?: object;
  };
  return [machine, replica, appliance, ...(machines ?? []), ...(of ? machinesIn(of) : [])].filter((id) => id !== undefined);
};

const isHypervAct = (act: FaultAct): boolean =>
  ('vmmsStopsMs' in act && act.vmmsStopsMs >= 0) ||
  ('job' in act && [10, 32_768].includes(act.job.state)) ||
  ('mergeStalls' in act && act.mergeStalls) ||
  ('moves' in act && ['before', 'after'].includes(act.moves));

const assertRule = ({ act, method }: FaultRule): void => {
  const known =
    ('error' in act && act.error in ERRORS) ||
    ('vimFault' in act && method.startsWith('vim.')) ||
    ('stall' in act && act.stall) ||
    ('delayMs' in act && act.delayMs >= 0) ||
    ('cut' in act && ['before', 'after'].includes(act.cut)) ||
    ('crash' in act && ['before', 'after'].includes(act.crash)) ||
    ('lie' in act && LIES.includes(act.lie)) ||
    (method.startsWith('ps.') && isHypervAct(act));
  if (known && !method.startsWith('lab.')) return;
  throw new DrError('CONFIG_INVALID', `the fault for ${method} does nothing that the lab knows`, { context: { method } });
};
