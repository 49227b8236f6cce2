import { DrError } from '../../core/contract/errors.ts';
import type { AgentOptions } from './port.ts';

export const DEADLINE_MS = 60_000;

/** TIMED_OUT after the deadline; the signal's reason when it comes first. */
export const within = async <T>(promise: Promise<T>, { signal, deadlineMs = DEADLINE_MS }: AgentOptions, what: string): Promise<T> => {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal?.reason);
  const timer = setTimeout(
    () => reject(new DrError('TIMED_OUT', `${what} within ${deadlineMs} ms`, { context: { deadlineMs } })),
    deadlineMs,
  );
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
};
