import type { Call, Epoch } from '../contract/index.ts';
import type { Runtime } from '../ports/runtime.ts';

export interface CallOptions {
  /** Of the step that makes the call: a retried creating call finds what it made before. A new one when left out. */
  readonly operationId?: string;
  readonly signal?: AbortSignal;
  readonly fence?: Epoch;
  /** Milliseconds for the whole call, waiting and retries included. Left out: the deadline of the method's class holds alone. */
  readonly deadlineMs?: number;
}

const NEVER = new AbortController().signal;

export const createCall = (runtime: Runtime, options: CallOptions = {}): Call => ({
  signal: options.signal ?? NEVER,
  deadlineMs: options.deadlineMs ?? Number.POSITIVE_INFINITY,
  log: runtime.log,
  operationId: options.operationId ?? runtime.newId('op'),
  ...(options.fence === undefined ? {} : { fence: options.fence }),
});
