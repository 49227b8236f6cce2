import type { Clock } from '../ports/runtime.ts';

export interface Deadline {
  atMs: number;
  readonly expire: () => void;
}

/** Many deadlines, one sleeper: a call that ends in time costs two set operations and no timer of its own. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #armed = new Set<Deadline>();
  #sleeper: AbortController | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  arm(deadline: Deadline): void {
    this.#armed.add(deadline);
    if (deadline.atMs < this.#wakeAtMs) this.#sleepUntil(deadline.atMs);
  }

  disarm(deadline: Deadline): void {
    if (this.#armed.delete(deadline) && this.#armed.size === 0) this.#stopSleeping();
  }

  #stopSleeping(): void {
    this.#sleeper?.abort(AWAKE);
    this.#sleeper = undefined;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
  }

  #sleepUntil(atMs: number): void {
    this.#stopSleeping();
    const sleeper = new AbortController();
    this.#sleeper = sleeper;
    this.#wakeAtMs = atMs;
    // The only rejection is that of our own abort.
    this.#clock.sleep(Math.min(atMs - this.#clock.now(), MAX_SLEEP_MS), sleeper.signal).then(
      () => {
        if (this.#sleeper === sleeper) this.#wake();
      },
      () => {},
    );
  }

  #wake(): void {
    this.#stopSleeping();
    const nowMs = this.#clock.now();
    for (const deadline of this.#armed) {
      if (deadline.atMs > nowMs) continue;
      this.#armed.delete(deadline);
      deadline.expire();
    }
    let nextMs = Number.POSITIVE_INFINITY;
    for (const deadline of this.#armed) nextMs = Math.min(nextMs, deadline.atMs);
    if (nextMs !== Number.POSITIVE_INFINITY) this.#sleepUntil(nextMs);
  }
}

/** Given to abort(): without a reason each abort would build an error with a stack. */
const AWAKE = 'awake';

/** setTimeout takes 31 bits; a later deadline is slept for in pieces. */
const MAX_SLEEP_MS = 2 ** 31 - 1;
