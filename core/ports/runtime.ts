// Two implementations: the system's own (here) and the lab's manual clock with a seeded source (test/support, sweeps, model test).
import { randomBytes } from 'node:crypto';
import type { Log } from '../contract/index.ts';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Runtime {
  readonly clock: Clock;
  /** A new unique id, sortable by time: `<prefix>-<time><random>`, 20 lower-case base-32 characters after the prefix. */
  newId(prefix: string): string;
  readonly log: Log;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const encode32 = (value: number, width: number): string => {
  let text = '';
  for (let rest = value; text.length < width; rest = Math.floor(rest / 32)) text = ALPHABET[rest % 32] + text;
  return text;
};

export const idFrom = (prefix: string, nowMs: number, random: Uint8Array): string =>
  `${prefix}-${encode32(Math.floor(nowMs), 10)}${Array.from(random.subarray(0, 10), (byte) => ALPHABET[byte % 32]).join('')}`;

export const newSystemId = (prefix: string): string => idFrom(prefix, Date.now(), randomBytes(10));

export const isoTime = (ms: number): string => new Date(ms).toISOString();
