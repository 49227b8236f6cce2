/**
 * One after the other for each key: a machine takes one reconfiguration at a time.
 *
 * ```ts
 * const turns = new Turns();
 * rename: (id, name, call) => turns.take(id, () => client.rename(id, name, call.signal)),
 * ```
 */
export class Turns {
  readonly #tails = new Map<string, Promise<unknown>>();

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const tail = mine.catch(() => undefined);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return mine;
  }
}
