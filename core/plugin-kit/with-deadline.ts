import { type Call, DrError } from '../contract/index.ts';
import { inWords, realTime, type Time } from './time.ts';

/**
 * Gives a part of a call its own, shorter time. The work gets a call whose signal aborts at the end of that time as well; if it does not stop by itself,
 * what it answers later is dropped. Rejects with TIMED_OUT naming `what`, or with the reason of the call's own signal.
 *
 * ```ts
 * const version = await withDeadline(call, 5_000, 'the version of the host', (short) => client.getVersion(short.signal));
 * ```
 */
export const withDeadline = async <T>(
  call: Call,
  deadlineMs: number,
  what: string,
  work: (call: Call) => Promise<T>,
  time: Time = realTime,
): Promise<T> => {
  call.signal.throwIfAborted();
  const shorterMs = Math.min(deadlineMs, call.deadlineMs);
  const stop = new AbortController();
  const finished = new AbortController();
  const relay = (): void => stop.abort(call.signal.reason);
  call.signal.addEventListener('abort', relay, { once: true });
  const stopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason), { once: true });
  });
  const timer = Number.isFinite(shorterMs) ? time.sleep(shorterMs, finished.signal) : undefined;
  timer?.then(
    () => stop.abort(new DrError('TIMED_OUT', `${what} took longer than ${inWords(shorterMs)}`, { context: { deadlineMs: shorterMs } })),
    () => {},
  );
  try {
    return await Promise.race([work({ ...call, signal: stop.signal, deadlineMs: shorterMs }), stopped]);
  } finally {
    call.signal.removeEventListener('abort', relay);
    finished.abort();
  }
};
