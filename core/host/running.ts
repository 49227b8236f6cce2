import { type Call, type DeadlineClass, DrError, type ErrorCode, type Method } from '../contract/index.ts';
import type { Clock } from '../ports/runtime.ts';
import type { Deadline, Deadlines } from './deadlines.ts';
import { onAbort } from './lifeline.ts';
import type { Redactor } from './secret.ts';

/** One call as it went, for measuring and for finding what hangs. It holds names and numbers only. */
export interface TraceRecord {
  readonly endpoint: string;
  readonly plugin: string;
  /** `facet.method`. */
  readonly method: string;
  readonly operationId: string;
  readonly startedAtMs: number;
  /** Until the answer; for a stream until its end, the time of its consumer included. */
  readonly ms: number;
  /** Spent waiting for a free place at the endpoint. */
  readonly waitedMs: number;
  readonly attempts: number;
  /** `stopped`: a stream that its consumer left early. */
  readonly outcome: 'ok' | 'stopped' | ErrorCode;
}

/** Where a call goes, and what bounds its time there. */
export interface Destination {
  readonly endpoint: string;
  readonly plugin: string;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly deadlineMs: Readonly<Record<DeadlineClass, number>>;
}

/** A watch is silent for as long as nothing changes. */
const SILENT = 'inventory.watch';

const inWords = (ms: number): string => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

/**
 * One call under way: its own signal, and its deadline. The caller's own limit holds from the start on; that of the method's class
 * from when the plugin is asked, retries included, so that a queue of our own making times nothing out.
 */
export class Running implements Deadline {
  atMs = Number.POSITIVE_INFINITY;
  attempts = 0;
  waitedMs = 0;
  readonly path: string;
  readonly method: Method;
  readonly call: Call;
  readonly startedAtMs: number;
  readonly #to: Destination;
  readonly #controller = new AbortController();
  readonly #unlisten: () => void;
  #limitMs = Number.POSITIVE_INFINITY;
  #working = false;
  #expired = false;

  constructor(to: Destination, path: string, method: Method, call: Call) {
    this.#to = to;
    this.path = path;
    this.method = method;
    this.call = call;
    this.startedAtMs = to.clock.now();
    this.#unlisten = onAbort(call.signal, () => this.stop(call.signal.reason));
    if (call.signal.aborted) this.stop(call.signal.reason);
    else this.rest();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It was our deadline that stopped it, and the plugin that was waited for. */
  get hung(): boolean {
    return this.#expired && this.#working;
  }

  /** The plugin is asked. */
  work(): void {
    if (this.#working) return;
    this.#working = true;
    const classMs = this.path === SILENT ? Number.POSITIVE_INFINITY : this.#to.deadlineMs[this.method.deadline];
    const atMs = this.#to.clock.now() + classMs;
    if (atMs < this.atMs) this.#until(atMs, classMs);
  }

  /** Nobody is asked: it waits for a place, or the consumer of a stream is at work. */
  rest(): void {
    this.#working = false;
    this.#until(this.startedAtMs + this.call.deadlineMs, this.call.deadlineMs);
  }

  stop(reason: unknown): void {
    this.#controller.abort(reason);
  }

  expire(): void {
    this.#expired = true;
    const { endpoint, plugin } = this.#to;
    const what = this.#working ? 'did not answer' : 'found no free place';
    this.stop(
      new DrError('TIMED_OUT', `${this.path} on endpoint ${endpoint} ${what} within ${inWords(this.#limitMs)}`, {
        context: { endpoint, plugin, method: this.path, deadlineMs: this.#limitMs },
      }),
    );
  }

  /** What the plugin gets: a signal that also aborts at the deadline, what is left of the time, and a log that masks secrets. */
  callFor(redactor: Redactor): Call {
    const { deadlineMs: _whole, log, ...rest } = this.call;
    return { ...rest, signal: this.signal, deadlineMs: this.atMs - this.#to.clock.now(), log: redactor.log(log) };
  }

  end(): void {
    this.#unlisten();
    this.#to.deadlines.disarm(this);
  }

  record(outcome: TraceRecord['outcome']): TraceRecord {
    const { endpoint, plugin, clock } = this.#to;
    const { path: method, startedAtMs, waitedMs, attempts } = this;
    return {
      endpoint,
      plugin,
      method,
      operationId: this.call.operationId,
      startedAtMs,
      ms: clock.now() - startedAtMs,
      waitedMs,
      attempts,
      outcome,
    };
  }

  #until(atMs: number, limitMs: number): void {
    this.#limitMs = limitMs;
    if (atMs === this.atMs) return;
    this.#to.deadlines.disarm(this);
    this.atMs = atMs;
    if (atMs !== Number.POSITIVE_INFINITY) this.#to.deadlines.arm(this);
  }
}
