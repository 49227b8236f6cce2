import { type Call, DrError } from '../contract/index.ts';
import { inWords, realTime, type Time } from './time.ts';

export type TaskState<T> = { readonly done: false } | { readonly done: true; readonly value: T };

export interface PollOptions {
  /** Of the pause after the first look; each later one is half as long again, up to `maxPauseMs`. 250 ms unless told. */
  readonly firstPauseMs?: number;
  /** 5 s unless told. */
  readonly maxPauseMs?: number;
  readonly time?: Time;
}

/**
 * Looks at a task of the vendor until it is done, ever less often. A task that failed makes `look` throw.
 * Rejects with the reason of the call's signal, or with TIMED_OUT naming `what` when the call's time is up: the task itself goes on at the vendor.
 *
 * ```ts
 * const task = await client.removeSnapshot(id);
 * await pollTask(call, `removal of snapshot ${id}`, async () => {
 *   const info = await client.taskInfo(task);
 *   if (info.state === 'error') throw translate(info.error);
 *   return info.state === 'success' ? { done: true, value: info.result } : { done: false };
 * });
 * ```
 */
export const pollTask = async <T>(
  call: Call,
  what: string,
  look: (call: Call) => Promise<TaskState<T>>,
  { firstPauseMs = 250, maxPauseMs = 5_000, time = realTime }: PollOptions = {},
): Promise<T> => {
  const endMs = time.now() + call.deadlineMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(maxPauseMs, pauseMs * 1.5)) {
    call.signal.throwIfAborted();
    const state = await look(call);
    // An answer that comes after the abort is no result any more.
    call.signal.throwIfAborted();
    if (state.done) return state.value;
    const leftMs = endMs - time.now();
    if (leftMs <= 0) {
      throw new DrError('TIMED_OUT', `${what} was not done within ${inWords(call.deadlineMs)}`, {
        context: { deadlineMs: call.deadlineMs },
      });
    }
    await time.sleep(Math.min(pauseMs, leftMs), call.signal);
  }
};
