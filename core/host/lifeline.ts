interface FanOut {
  readonly waiting: Set<() => void>;
  readonly listener: () => void;
}

const fanOuts = new WeakMap<AbortSignal, FanOut>();

/**
 * Calls back once when the signal aborts; returns what takes it back. One listener per signal however many wait,
 * because an event target removes a listener by walking its list: ten thousand calls under one job's signal would be quadratic.
 * For the signal of a single call a plain listener is cheaper.
 */
export const onAbort = (signal: AbortSignal, run: () => void): (() => void) => {
  let fanOut = fanOuts.get(signal);
  if (fanOut === undefined) {
    const waiting = new Set<() => void>();
    const listener = (): void => {
      for (const each of waiting) {
        waiting.delete(each);
        each();
      }
    };
    fanOut = { waiting, listener };
    fanOuts.set(signal, fanOut);
  }
  const { waiting, listener } = fanOut;
  if (waiting.size === 0) signal.addEventListener('abort', listener, { once: true });
  waiting.add(run);
  return () => {
    // A listener that stays would keep a composite signal alive for ever.
    if (waiting.delete(run) && waiting.size === 0) signal.removeEventListener('abort', listener);
  };
};

/** Holds the waits on one session or handle, and ends them all when it ends, whatever the plugin does. */
export class Lifeline {
  readonly #waits = new Set<(reason: unknown) => void>();
  #endedBy: unknown;

  /** The reason once it has ended. */
  get endedBy(): unknown {
    return this.#endedBy;
  }

  end(reason: unknown): void {
    this.#endedBy ??= reason;
    for (const stop of this.#waits) stop(this.#endedBy);
  }

  /** As the work settles, or rejects at once when the signal aborts or the lifeline ends. An answer after that goes to `late` only. */
  race<T>(work: PromiseLike<T>, signal: AbortSignal | undefined, late?: (answer: T) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      let open = true;
      const stop = (reason: unknown): void => {
        if (open) {
          leave();
          reject(reason);
        }
      };
      const onSignal = (): void => stop(signal?.reason);
      const leave = (): void => {
        open = false;
        signal?.removeEventListener('abort', onSignal);
        this.#waits.delete(stop);
      };
      this.#waits.add(stop);
      signal?.addEventListener('abort', onSignal, { once: true });
      work.then(
        (answer) => {
          if (open) {
            leave();
            resolve(answer);
          } else late?.(answer);
        },
        (error: unknown) => stop(error),
      );
      if (signal?.aborted) stop(signal.reason);
      else if (this.#endedBy !== undefined) stop(this.#endedBy);
    });
  }
}
