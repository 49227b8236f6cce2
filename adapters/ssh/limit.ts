import { DrError } from '../../core/contract/errors.ts';
import type { SshOptions } from './port.ts';

const DEFAULT_DEADLINE_MS = 30_000;

/** A deadline and the caller's signal as one signal. Throws the signal's reason when it has aborted before. Dispose of it when the work is over, or its timer stays. */
export class Limit implements Disposable {
  readonly #controller = new AbortController();
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout;

  /** `what` failed in time, such as `the SSH server at db1 did not answer`. */
  constructor({ signal, deadlineMs = DEFAULT_DEADLINE_MS }: SshOptions, what: string) {
    signal?.throwIfAborted();
    const late = (): DrError => new DrError('TIMED_OUT', `${what} within ${deadlineMs} ms`, { context: { deadlineMs } });
    this.#timer = setTimeout(() => this.#controller.abort(late()), deadlineMs);
    signal?.addEventListener('abort', () => this.#controller.abort(signal.reason), { once: true, signal: this.#over.signal });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#over.abort();
  }
}

/** The work's result, unless one of the signals aborts first: then its reason. Leaves no listener. */
export const unlessAborted = async <T>(work: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> => {
  // What comes after the abort is for nobody.
  work.catch(() => undefined);
  const over = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    for (const signal of signals) {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: over.signal });
    }
  });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    over.abort();
  }
};
