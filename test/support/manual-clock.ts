import type { Clock } from '../../core/ports/runtime.ts';

export interface ManualClock extends Clock {
  /** Due times of whoever sleeps, earliest first; equal times in the order of their going to sleep. */
  readonly pending: readonly number[];
  /** Moves time and wakes sleepers one by one in the order of `pending`; each runs until it waits again before the next wakes. */
  advance(ms: number): Promise<void>;
  /** Jumps from sleeper to sleeper until the promise settles, and gives its outcome. Throws when nobody sleeps and it is still open. */
  runUntil<T>(promise: Promise<T>): Promise<T>;
}

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** Everything that can go on without time passing has gone on after: a macrotask comes when the microtasks are done. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const createManualClock = (startMs = Date.parse('2026-01-01T00:00:00Z')): ManualClock => {
  let nowMs = startMs;
  const sleepers: Sleeper[] = [];

  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        sleepers.splice(sleepers.indexOf(sleeper), 1);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        dueMs: nowMs + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const later = sleepers.findIndex((other) => other.dueMs > sleeper.dueMs);
      sleepers.splice(later === -1 ? sleepers.length : later, 0, sleeper);
      signal?.addEventListener('abort', onAbort, { once: true });
    });

  const wakeFirst = async (): Promise<void> => {
    const first = sleepers.shift()!;
    nowMs = Math.max(nowMs, first.dueMs);
    first.wake();
    await settle();
  };

  return {
    now: () => nowMs,
    sleep,
    get pending() {
      return sleepers.map((sleeper) => sleeper.dueMs);
    },
    advance: async (ms) => {
      const untilMs = nowMs + ms;
      await settle();
      while (sleepers[0] !== undefined && sleepers[0].dueMs <= untilMs) await wakeFirst();
      nowMs = untilMs;
    },
    runUntil: async (promise) => {
      let open = true;
      const closed = (): void => {
        open = false;
      };
      promise.then(closed, closed);
      await settle();
      while (open) {
        if (sleepers[0] === undefined)
          throw new Error('the promise is still open and nobody sleeps: it waits for something else than time');
        await wakeFirst();
      }
      return promise;
    },
  };
};
