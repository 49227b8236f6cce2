import { type DiskReader, DrError, type Facet, type Log, METHODS, type Method, type Pass } from '../contract/index.ts';
import type { Connection, Live } from './connection.ts';
import type { GuardedPassDisk } from './guard.ts';
import { Lifeline } from './lifeline.ts';
import { Limiter } from './limiter.ts';
import { type Destination, Running, type TraceRecord } from './running.ts';
import { type AnyFunction, facetOf, type HandleFacet, handleOf, mapHandle, type SessionFacet } from './shape.ts';

export interface RetryOptions {
  /** The first one included. */
  readonly attempts: number;
  /** The first pause; each later one is twice as long, up to `maxMs`. */
  readonly baseMs: number;
  readonly maxMs: number;
}

export interface PipelineOptions extends Destination {
  readonly connection: Connection;
  readonly log: Log;
  readonly maxCalls: number;
  readonly maxDataCalls: number;
  readonly retry: RetryOptions;
  /** In [0, 1): spreads the pauses of many callers. */
  readonly random: () => number;
  readonly trace: ((record: TraceRecord) => void) | undefined;
}

type Args = readonly unknown[];
type Ask = (live: Live, running: Running) => unknown;
type Outcome = TraceRecord['outcome'];

interface Opening {
  readonly opener: AbortSignal;
  readonly closed: () => void;
}

interface Opened {
  readonly live: Live;
  readonly iterator: AsyncIterator<unknown>;
  readonly first: IteratorResult<unknown>;
}

const functionOf = (of: object, name: string): AnyFunction | undefined => (of as Record<string, AnyFunction | undefined>)[name];

const outcomeOf = (error: unknown, running: Running): Outcome => {
  if (error instanceof DrError) return error.code;
  return running.signal.aborted ? 'ABORTED' : 'INTERNAL';
};

/** Whoever was called off does not wait for a reader of a machine that may be what is gone. It goes on closing. */
const unlessAborted = (closing: Promise<void>, opener: AbortSignal): Promise<void> =>
  new Lifeline().race(closing, opener).catch((error: unknown) => {
    if (!opener.aborted) throw error;
  });

const open = async (stream: unknown, live: Live): Promise<Opened> => {
  const iterator = (stream as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  return { live, iterator, first: await iterator.next() };
};

/**
 * The one way of every call to an endpoint: a place in its lane, the current session, the deadline, retries, and a record of how it went.
 * A stream holds a place only while the plugin works on its next element: a consumer that makes calls between elements cannot block itself.
 */
export class Pipeline {
  readonly #of: PipelineOptions;
  readonly #calls: Limiter;
  readonly #data: Limiter;
  readonly #merges: Limiter;
  readonly #running = new Set<Running>();
  #stoppedBy: DrError | undefined;

  constructor(options: PipelineOptions) {
    this.#of = options;
    this.#calls = new Limiter(options.maxCalls);
    this.#data = new Limiter(options.maxDataCalls);
    // Apart, because merges take hours: a failover must not wait for them.
    this.#merges = new Limiter(options.maxCalls);
  }

  /** A method of the façade. It goes to whatever session is the current one. */
  methodOf(facet: SessionFacet, name: string, method: Method): AnyFunction {
    const path = `${facet}.${name}`;
    const ask = (args: Args, live: Live, running: Running): unknown => {
      const on = facetOf(live.session, facet);
      const run = on === undefined ? undefined : functionOf(on, name);
      if (run === undefined) throw this.#vanished(path);
      return run(...args.with(-1, running.callFor(live.redactor)));
    };
    if (method.shape === 'stream') {
      return (...args) => this.#stream(path, method, args, (running) => this.#openRetrying(running, (live) => ask(args, live, running)));
    }
    if (method.shape === 'call') return (...args) => this.#call(path, method, args, (live, running) => ask(args, live, running));
    const kind = handleOf(facet, name);
    return (...args) =>
      this.#call(path, method, args, async (live, running) => {
        const handle = (await ask(args, live, running)) as DiskReader;
        this.#of.connection.hold(live);
        return this.#wrapHandle(kind, handle, live, { opener: running.call.signal, closed: () => this.#of.connection.leave(live) });
      });
  }

  /** Ends what is under way or waits, at once. */
  stop(reason: DrError): void {
    this.#stoppedBy = reason;
    for (const running of this.#running) running.stop(reason);
  }

  #begin(path: string, method: Method, args: Args): Running {
    if (this.#stoppedBy !== undefined) throw this.#stoppedBy;
    const call = args.at(-1) as Running['call'] | undefined;
    if (call?.signal === undefined) {
      throw new DrError('CONTRACT_VIOLATED', `${path} was called without a call as its last argument`, { context: { method: path } });
    }
    const running = new Running(this.#of, path, method, call);
    this.#running.add(running);
    return running;
  }

  #end(running: Running, outcome: Outcome): void {
    running.end();
    this.#running.delete(running);
    const { trace, log } = this.#of;
    // Blocks of data come by the thousand each second: only those that fail are worth a line.
    const logged = running.method.deadline !== 'data' || (outcome !== 'ok' && outcome !== 'stopped');
    if (!logged && trace === undefined) return;
    const record = running.record(outcome);
    trace?.(record);
    if (logged) log.debug('endpoint call', record);
  }

  async #call(path: string, method: Method, args: Args, ask: Ask): Promise<unknown> {
    const running = this.#begin(path, method, args);
    let outcome: Outcome = 'ok';
    try {
      return await this.#retrying(running, ask);
    } catch (error) {
      outcome = outcomeOf(error, running);
      throw error;
    } finally {
      this.#end(running, outcome);
    }
  }

  async *#stream(path: string, method: Method, args: Args, start: (running: Running) => Promise<Opened>): AsyncGenerator<unknown, void> {
    const running = this.#begin(path, method, args);
    let outcome: Outcome = 'stopped';
    let opened: Opened | undefined;
    try {
      opened = await start(running);
      let step = opened.first;
      while (step.done !== true) {
        running.rest();
        yield path === 'source.capture' ? this.#wrapPass(step.value as Pass, opened.live, running) : step.value;
        const { iterator } = opened;
        step = await this.#placed(running, () => iterator.next());
      }
      outcome = 'ok';
    } catch (error) {
      outcome = outcomeOf(error, running);
      opened?.iterator.return?.().catch(() => {});
      throw error;
    } finally {
      try {
        if (outcome === 'stopped') {
          running.work();
          await opened?.iterator.return?.();
        }
      } finally {
        if (opened !== undefined) this.#of.connection.leave(opened.live);
        this.#end(running, outcome);
      }
    }
  }

  #openRetrying(running: Running, ask: Ask): Promise<Opened> {
    return this.#retrying(running, async (live) => {
      const opened = await open(ask(live, running), live);
      this.#of.connection.hold(live);
      return opened;
    }) as Promise<Opened>;
  }

  async #retrying(running: Running, ask: Ask): Promise<unknown> {
    const { connection } = this.#of;
    for (;;) {
      running.attempts++;
      let used: Live | undefined;
      try {
        return await this.#placed(running, async () => {
          const live = await connection.enter(running.signal);
          used = live;
          try {
            return await ask(live, running);
          } finally {
            connection.leave(live);
          }
        });
      } catch (error) {
        await this.#beforeRetry(running, used, error);
      }
    }
  }

  /** Returns when it is time to try again; throws the error when trying again is no use. */
  async #beforeRetry(running: Running, used: Live | undefined, error: unknown): Promise<void> {
    const { connection, clock, retry } = this.#of;
    const { signal, method, attempts } = running;
    if (signal.aborted) {
      // A question about state that is never answered: the session hangs, and only a new one finds out.
      if (running.hung && method.deadline === 'quick' && used !== undefined) connection.lost(used);
      throw signal.reason;
    }
    const retryClass = error instanceof DrError ? error.retry : 'never';
    if (retryClass === 'reconnect' && used !== undefined) connection.lost(used);
    const helps = (retryClass === 'backoff' || retryClass === 'reconnect') && (method.idempotent || method.creates);
    if (!helps || attempts >= retry.attempts) throw error;
    const atOnce = retryClass === 'reconnect' && used !== undefined && attempts === 1;
    const pauseMs = atOnce ? 0 : this.#pauseMs(error as DrError, attempts);
    if (clock.now() + pauseMs >= running.atMs) throw error;
    if (pauseMs > 0) await clock.sleep(pauseMs, signal);
  }

  #pauseMs(error: DrError, attempts: number): number {
    const { retry, random } = this.#of;
    const wanted = error.context.retryAfterMs;
    if (typeof wanted === 'number' && wanted >= 0) return wanted;
    return Math.min(retry.maxMs, retry.baseMs * 2 ** (attempts - 1)) * (0.5 + random() / 2);
  }

  /** Runs when there is a place in the lane of the method, and under the deadline of its class. */
  async #placed<T>(running: Running, work: () => Promise<T>, own?: Limiter): Promise<T> {
    const lane = this.#laneOf(running.method);
    if (own !== undefined && !own.tryEnter()) await this.#waitFor(own, running);
    try {
      if (!lane.tryEnter()) await this.#waitFor(lane, running);
      try {
        running.work();
        return await work();
      } finally {
        lane.leave();
      }
    } finally {
      own?.leave();
    }
  }

  async #waitFor(limiter: Limiter, running: Running): Promise<void> {
    const fromMs = this.#of.clock.now();
    await limiter.enter(running.signal);
    running.waitedMs += this.#of.clock.now() - fromMs;
  }

  #laneOf({ deadline }: Method): Limiter {
    if (deadline === 'data') return this.#data;
    return deadline === 'merge' ? this.#merges : this.#calls;
  }

  /** Requests on an open handle are not sent again: who reads or writes opens another one and goes on from where it is sure. */
  #wrapHandle<H extends DiskReader>(kind: HandleFacet, handle: H, live: Live, { opener, closed }: Opening): H {
    const own = new Limiter(handle.maxInFlight);
    const wrap = (facet: Facet, name: string, method: Method): AnyFunction => {
      const path = `${facet}.${name}`;
      const run = functionOf(handle, name)!;
      if (method.shape !== 'stream') return (...args) => this.#request(path, method, args, live, own, run);
      return (...args) =>
        this.#stream(path, method, args, (running) => this.#openPlain(running, live, (call) => run(...args.with(-1, call))));
    };
    let closing: Promise<void> | undefined;
    return mapHandle(kind, handle, wrap, () => {
      closing ??= this.#closeHandle(kind, handle).finally(closed);
      return kind === 'reader' ? unlessAborted(closing, opener) : closing;
    });
  }

  async #request(path: string, method: Method, args: Args, live: Live, own: Limiter, run: AnyFunction): Promise<unknown> {
    const running = this.#begin(path, method, args);
    running.attempts = 1;
    let outcome: Outcome = 'ok';
    try {
      return await this.#placed(running, async () => await run(...args.with(-1, running.callFor(live.redactor))), own);
    } catch (error) {
      outcome = outcomeOf(error, running);
      throw error;
    } finally {
      this.#end(running, outcome);
    }
  }

  async #openPlain(running: Running, live: Live, start: (call: Running['call']) => unknown): Promise<Opened> {
    running.attempts = 1;
    const opened = await this.#placed(running, () => open(start(running.callFor(live.redactor)), live));
    this.#of.connection.hold(live);
    return opened;
  }

  /** Never rejects and never hangs: what was written is durable by flush, and an error here would hide the one before it. */
  async #closeHandle(kind: HandleFacet, handle: DiskReader): Promise<void> {
    const { clock, deadlines, deadlineMs, endpoint, log } = this.#of;
    const late = new AbortController();
    const deadline = { atMs: clock.now() + deadlineMs.quick, expire: () => late.abort(new DrError('TIMED_OUT', 'closing takes too long')) };
    deadlines.arm(deadline);
    try {
      await new Lifeline().race(handle[Symbol.asyncDispose](), late.signal);
    } catch (error) {
      log.warn(`a ${kind} did not close cleanly`, { endpoint, error: error instanceof Error ? error.message : String(error) });
    } finally {
      deadlines.disarm(deadline);
    }
  }

  #wrapPass(pass: Pass, live: Live, running: Running): Pass {
    const method = METHODS.source.changedExtents;
    const disks = pass.disks.map((disk: GuardedPassDisk): GuardedPassDisk => {
      const extents = (from: number): AsyncIterable<never> =>
        this.#stream('source.capture.extents', method, [running.call], (own) =>
          this.#openPlain(own, live, (call) => disk.extents(from, call)),
        ) as AsyncIterable<never>;
      return { ...disk, extents, reader: this.#wrapHandle('reader', disk.reader, live, { opener: running.call.signal, closed: () => {} }) };
    });
    return { ...pass, disks };
  }

  #vanished(path: string): DrError {
    const { endpoint, plugin } = this.#of;
    return new DrError('CAPABILITY_MISSING', `endpoint ${endpoint} no longer offers ${path} since its session was opened anew`, {
      hint: 'check the version and the rights of the account at this endpoint',
      context: { endpoint, plugin, method: path },
    });
  }
}
