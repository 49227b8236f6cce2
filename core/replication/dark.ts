// Endpoints that are silent. Whether it is one host or all of it cannot be told; a look now and then finds out when it is back.
import { type DrError, type ItemId, isDrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import { type Core, unattended } from './core.ts';
import { lookAt, patienceMs } from './look.ts';

const LOOK_EVERY_MS = 15_000;
/** Calls of which a deadline that has passed says something of the endpoint, not of a task that takes long. */
const QUESTIONS = ['connect', 'inventory.getMachine'];

export class DarkEndpoints {
  readonly #core: Core;
  readonly #onBack: (endpoint: string) => void;
  /** When each was looked at last. */
  readonly #lookedMs = new Map<string, number>();
  readonly #looks = new Map<string, Promise<void>>();

  constructor(core: Core, onBack: (endpoint: string) => void) {
    this.#core = core;
    this.#onBack = onBack;
  }

  has(endpoint: string): boolean {
    return this.#lookedMs.has(endpoint);
  }

  /** What a cycle of these has heard. */
  note(items: readonly Item[], failures: ReadonlyMap<ItemId, DrError>): void {
    for (const [endpoint, members] of Map.groupBy(items, (item) => item.source.endpoint)) {
      if (!members.every(({ id }) => isUnheard(failures.get(id)))) this.#back(endpoint);
      else if (!this.has(endpoint)) this.#lookedMs.set(endpoint, this.#core.runtime.clock.now());
    }
  }

  /** Begins what is due and not under way. */
  look(items: readonly Item[], signal: AbortSignal): void {
    const nowMs = this.#core.runtime.clock.now();
    for (const [endpoint, lookedMs] of this.#lookedMs) {
      if (this.#looks.has(endpoint) || nowMs - lookedMs < LOOK_EVERY_MS) continue;
      const item = items.find(({ source }) => source.endpoint === endpoint);
      if (!item) this.#lookedMs.delete(endpoint);
      else this.#begin(item, signal);
    }
  }

  async idle(): Promise<void> {
    while (this.#looks.size > 0) await Promise.allSettled(this.#looks.values());
  }

  #begin(item: Item, signal: AbortSignal): void {
    const { endpoint } = item.source;
    const done = unattended(this.#core, `look at ${endpoint}`, this.#lookAt(item, signal)).finally(() => this.#looks.delete(endpoint));
    this.#looks.set(endpoint, done);
  }

  async #lookAt({ source }: Item, signal: AbortSignal): Promise<void> {
    const look = await lookAt(this.#core, source, `dark/${source.endpoint}`, signal, patienceMs(1)).catch((error: unknown) => {
      if (!signal.aborted) throw error;
      return { reachable: false } as const;
    });
    if (look.reachable) this.#back(source.endpoint);
    else if (this.has(source.endpoint)) this.#lookedMs.set(source.endpoint, this.#core.runtime.clock.now());
  }

  #back(endpoint: string): void {
    if (this.#lookedMs.delete(endpoint)) this.#onBack(endpoint);
  }
}

const isUnheard = (error: DrError | undefined): boolean => {
  if (error?.code === 'TIMED_OUT') return QUESTIONS.includes(String(error.context['method']));
  return isDrError(error, 'CONNECTION_REFUSED', 'CONNECTION_LOST');
};
