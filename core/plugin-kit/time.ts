/** The time that a helper waits by. Left out it is the real one; tests, and plugins over a simulated estate, give theirs. */
export interface Time {
  now(): number;
  /** Rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** setTimeout takes 31 bits. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

export const realTime: Time = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(
        () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
        Math.min(ms, MAX_SLEEP_MS),
      );
      signal.addEventListener('abort', onAbort, { once: true });
    }),
};

export const inWords = (ms: number): string => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);
