import type { z } from 'zod';
import type { Jobs } from '../flow/flow.ts';
import type { Registry } from '../host/registry.ts';
import type { Core } from '../replication/core.ts';
import type { Planner } from '../replication/planner.ts';

/** What an operation works with. */
export interface Workbench {
  readonly core: Core;
  readonly jobs: Jobs;
  readonly registry: Registry;
  /** Present while this engine replicates by itself (serve, drill). */
  readonly planner: () => Planner | undefined;
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

export const defineOperation = <I extends z.ZodType, O>(operation: Operation<I, O>): Operation<I, O> => operation;
