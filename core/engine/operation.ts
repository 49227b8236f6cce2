import { z } from 'zod';
import type { Jobs } from '../flow/flow.ts';
import type { Registry } from '../host/registry.ts';
import { type Core, nowIso } from '../replication/core.ts';
import type { Planner } from '../replication/planner.ts';
import { type AuditInput, recordAudit } from '../state/events.ts';
import type { Rules } from './rules.ts';

/** What an operation works with. */
export interface Workbench {
  readonly core: Core;
  readonly jobs: Jobs;
  readonly registry: Registry;
  /** Present while this engine replicates by itself (serve, drill). */
  readonly planner: () => Planner | undefined;
  readonly rules: Rules;
  /** Journals newer than the store were found (F5): until `reconcile` only reads are allowed. */
  readonly readOnlyBecause: () => Promise<string | undefined>;
}

export interface Caller {
  readonly actor: string;
  readonly reason?: string;
  readonly signal: AbortSignal;
}

/**
 * `read`: changes nothing. `change`: done when it returns. `job`: returns `{ job }` at once, the work goes on as durable steps.
 * A severe one needs the name of its target typed again.
 */
export interface Operation<I extends z.ZodType = z.ZodType, O = unknown> {
  readonly name: string;
  readonly kind: 'read' | 'change' | 'job';
  readonly severe?: true;
  readonly summary: string;
  readonly input: I;
  run(bench: Workbench, input: z.infer<I>, caller: Caller): Promise<O>;
}

export const nothing = z.strictObject({});
export const name = z.string().min(1).max(300);
/** Ids are parts of paths and of commands. */
export const id = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'use lower-case letters, digits, dots, hyphens and underscores, at most 63');

/** Who does it and when, to be recorded in the transaction that does it. */
export const auditOf = (bench: Workbench, caller: Caller, entry: Pick<AuditInput, 'action' | 'target' | 'data'>): AuditInput => ({
  at: nowIso(bench.core),
  actor: caller.actor,
  ...(caller.reason ? { reason: caller.reason } : {}),
  ...entry,
});

export const audit = (bench: Workbench, caller: Caller, action: string, target: string, data?: AuditInput['data']): Promise<void> =>
  bench.core.store.transaction((tx) => recordAudit(tx, auditOf(bench, caller, { action, target, ...(data ? { data } : {}) })));

export const defineOperation = <I extends z.ZodType, O>(operation: Operation<I, O>): Operation<I, O> => operation;
