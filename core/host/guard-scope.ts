import {
  type Call,
  CONTEXT_KEYS,
  DrError,
  type DrErrorOptions,
  ERRORS,
  type ErrorContext,
  type Manifest,
  type Method,
} from '../contract/index.ts';
import type { DiskSizes, ElementCheck, Facts, Fail } from './answers.ts';
import { Lifeline } from './lifeline.ts';
import type { Redactor } from './secret.ts';

/** Who is guarded, and what is known of its endpoint from earlier sessions. */
export interface Guarded {
  readonly endpoint: string;
  readonly manifest: Manifest;
  readonly redactor: Redactor;
  readonly sizes: DiskSizes;
}

const knownContext = (context: unknown): ErrorContext =>
  Object.fromEntries(
    Object.entries(context ?? {}).filter(
      ([key, value]) => (CONTEXT_KEYS as readonly string[]).includes(key) && ['string', 'number', 'boolean'].includes(typeof value),
    ),
  );

/** By its name and code: a plugin that brought its own copy of the contract throws a DrError of another class. */
const isContractError = (error: unknown): error is DrError =>
  error instanceof Error && error.name === 'DrError' && Object.hasOwn(ERRORS, String((error as { code?: unknown }).code));

/** What a plugin threw, as a DrError that names endpoint, plugin and method and holds no secret. Anything but a DrError becomes INTERNAL, with it as the cause. */
export const explainError = ({ endpoint, manifest, redactor }: Guarded, method: string, error: unknown): DrError => {
  const known = isContractError(error);
  const context = { plugin: manifest.id, endpoint, method, ...(known ? knownContext(error.context) : {}) };
  const cause = redactor.cause(known ? error.cause : error);
  const options: DrErrorOptions = { context: redactor.context(context), ...(cause === undefined ? {} : { cause }) };
  if (known) return new DrError(error.code, redactor.text(error.message), { ...options, hint: redactor.text(String(error.hint)) });
  const said = error instanceof Error ? error.message || error.name : String(error);
  return new DrError('INTERNAL', redactor.text(`plugin ${manifest.id}: ${method} failed on endpoint ${endpoint}: ${said}`), options);
};

/** A plugin may also throw before it gives a promise. */
const attempt = async <T>(start: () => T): Promise<Awaited<T>> => await start();

/** What the calls of one guarded session, or of one handle of it, share. */
export class GuardScope {
  readonly of: Guarded;
  readonly facts: Facts;
  readonly lifeline = new Lifeline();
  /** Closes the handles and streams that are open: a session that ends leaves none behind. */
  readonly open = new Set<() => unknown>();

  constructor(of: Guarded, facts: Facts) {
    this.of = of;
    this.facts = facts;
  }

  failing(method: string): Fail {
    const { endpoint, manifest, redactor } = this.of;
    return (problem) => {
      throw new DrError('CONTRACT_VIOLATED', redactor.text(`plugin ${manifest.id}: ${method} ${problem}`), {
        context: { plugin: manifest.id, endpoint, method },
      });
    };
  }

  /** A check that stumbles over an answer of another shape altogether says the same as one that fails. */
  inspect(fail: Fail, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof DrError) throw error;
      fail(`gave an answer of the wrong shape: ${String(error)}`);
    }
  }

  /** Refuses before the plugin is called: without a call or a needed epoch, after an abort, after the end. */
  admit(method: Method, call: Call | undefined, fail: Fail): void {
    if (call?.signal === undefined) fail('was called without a call as its last argument');
    if (call.signal.aborted) throw call.signal.reason;
    if (this.lifeline.endedBy !== undefined) throw this.lifeline.endedBy;
    if (method.fenced && call.fence === undefined) fail('was called without a fencing epoch');
  }

  /** As the plugin answers, its errors explained; once the signal aborts, rejects with its reason, and an answer goes to `late` only. */
  run<T>(path: string, signal: AbortSignal | undefined, start: () => T, late?: (answer: Awaited<T>) => void): Promise<Awaited<T>> {
    const work = attempt(start).catch((error: unknown) => {
      throw explainError(this.of, path, error);
    });
    return this.lifeline.race(work, signal, late);
  }

  /** Runs to its end what closes something: this is for after the lifeline has ended. */
  finish(path: string, start: () => unknown): Promise<unknown> {
    return attempt(start).catch((error: unknown) => {
      throw explainError(this.of, path, error);
    });
  }

  /**
   * The plugin's stream with each element checked. It is opened at the first next(), and its return() is called exactly once when it is left early:
   * by the consumer, by a failed check, by an abort or by the end of the session.
   */
  async *stream<E>(
    path: string,
    signal: AbortSignal,
    start: () => AsyncIterable<E>,
    check: ElementCheck<E> | undefined,
  ): AsyncGenerator<E, void> {
    const fail = this.failing(path);
    let iterator: AsyncIterator<E> | undefined;
    let over = false;
    let threw = false;
    const leave = (): unknown => {
      if (over) return undefined;
      over = true;
      return iterator?.return?.();
    };
    const next = async (): Promise<IteratorResult<E>> => {
      iterator ??= iteratorOf(start(), fail);
      try {
        return await iterator.next();
      } catch (error) {
        // A stream that threw is closed already.
        over = true;
        throw error;
      }
    };
    this.open.add(leave);
    try {
      for (;;) {
        const step = await this.run(path, signal, next);
        if (step.done === true) {
          over = true;
          this.inspect(fail, () => check?.end?.());
          return;
        }
        this.inspect(fail, () => check?.element(step.value));
        yield step.value;
      }
    } catch (error) {
      threw = true;
      throw error;
    } finally {
      this.open.delete(leave);
      // After a failure nobody waits for a plugin that may hang; a consumer that stops waits, since leaving may thaw a guest.
      if (threw) attempt(leave).catch(() => {});
      else if (!over) await this.run(path, signal, leave);
    }
  }
}

const iteratorOf = <E>(stream: AsyncIterable<E>, fail: Fail): AsyncIterator<E> =>
  typeof stream?.[Symbol.asyncIterator] === 'function' ? stream[Symbol.asyncIterator]() : fail('gave no stream');
