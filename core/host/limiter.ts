interface Waiter {
  readonly enter: () => void;
  gone: boolean;
}

/** At most `limit` holders at a time; who comes later waits in the order of coming. */
export class Limiter {
  readonly #limit: number;
  #active = 0;
  #queue: Waiter[] = [];
  #head = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Without waiting: false when there is no room. */
  tryEnter(): boolean {
    if (this.#active >= this.#limit) return false;
    this.#active++;
    return true;
  }

  /** Rejects with the signal's reason when it aborts before there is room: then nothing is held. */
  enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.tryEnter()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        gone: false,
        enter: () => {
          signal.removeEventListener('abort', onSignal);
          resolve();
        },
      };
      const onSignal = (): void => {
        waiter.gone = true;
        reject(signal.reason);
      };
      signal.addEventListener('abort', onSignal, { once: true });
      this.#queue.push(waiter);
    });
  }

  /** The place goes straight to who has waited longest, so that no newcomer slips in between. */
  leave(): void {
    const next = this.#takeNext();
    if (next === undefined) this.#active--;
    else next.enter();
  }

  #takeNext(): Waiter | undefined {
    let next: Waiter | undefined;
    do next = this.#queue[this.#head++];
    while (next?.gone);
    if (next === undefined || this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return next;
  }
}
