// What is opened once and used by all.

/** One for each key, made when it is first asked for. It is on nobody's account: who stops waiting for it takes it from nobody else. */
export class Shared<T extends AsyncDisposable> implements AsyncDisposable {
  readonly #made = new Map<string, Promise<T>>();
  readonly #stop = new AbortController();

  /** One that could not be made is tried again by the next who asks. */
  get(key: string, make: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const made = this.#made.get(key) ?? make(this.#stop.signal);
    if (this.#made.get(key) !== made) {
      this.#made.set(key, made);
      made.catch(() => this.forget(key, made));
    }
    return raced(made, signal);
  }

  forget(key: string, made: Promise<T>): void {
    if (this.#made.get(key) === made) this.#made.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#made.values()];
    this.#made.clear();
    this.#stop.abort(new Error('the session is closed'));
    for (const one of await Promise.allSettled(all)) if (one.status === 'fulfilled') await one.value[Symbol.asyncDispose]();
  }
}

const raced = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
