// Brings replicas forward behind the cycles: a target that does not answer, or is slow, costs no recovery point.
import { asDrError, type DrError, type ItemId, isDrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { ReplicationPolicy } from '../domain/policy.ts';
import { Limiter } from '../host/limiter.ts';
import { findItem } from '../state/items.ts';
import { type Core, emit, unattended } from './core.ts';
import { applySealed, pruneHistory } from './replica.ts';
import { pauseAfterMs } from './retry.ts';

const MAX_APPLIES_PER_ENDPOINT = 8;

interface Wanted {
  readonly policy: ReplicationPolicy;
  /** Told of every failure. */
  onFailure(error: DrError): void;
}

export class Applies {
  readonly #core: Core;
  readonly #signal: AbortSignal;
  readonly #running = new Map<ItemId, Promise<void>>();
  readonly #places = new Map<string, Limiter>();
  readonly #failed = new Map<ItemId, { readonly count: number; readonly notBeforeMs: number }>();

  constructor(core: Core, signal: AbortSignal) {
    this.#core = core;
    this.#signal = signal;
  }

  /** What is sealed by now, unless it is at it: what comes meanwhile is taken along the next time. */
  begin(item: Item, wanted: Wanted): void {
    const notBeforeMs = this.#failed.get(item.id)?.notBeforeMs ?? 0;
    if (this.#running.has(item.id) || this.#core.runtime.clock.now() < notBeforeMs) return;
    const done = unattended(this.#core, `apply of ${item.name}`, this.#placed(item, wanted)).finally(() => this.#running.delete(item.id));
    this.#running.set(item.id, done);
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  async #placed(item: Item, wanted: Wanted): Promise<void> {
    const endpoint = item.replica?.endpoint ?? '';
    const place = this.#places.get(endpoint) ?? new Limiter(MAX_APPLIES_PER_ENDPOINT);
    this.#places.set(endpoint, place);
    try {
      await place.enter(this.#signal);
    } catch {
      return;
    }
    try {
      await this.#apply(item, wanted);
    } finally {
      place.leave();
    }
  }

  async #apply({ id, name }: Item, { policy, onFailure }: Wanted): Promise<void> {
    try {
      await applySealed(this.#core, id, this.#signal, 'replication');
      await pruneHistory(this.#core, id, policy, this.#signal);
      if (this.#failed.delete(id)) await this.#tell(name, 'apply.resumed', 'info', `points of ${name} are applied again`);
    } catch (error) {
      if (this.#signal.aborted || !(await findItem(this.#core.store.db, id))) return;
      const known = asDrError(error);
      const count = (this.#failed.get(id)?.count ?? 0) + 1;
      this.#failed.set(id, { count, notBeforeMs: this.#core.runtime.clock.now() + pauseAfterMs(count) });
      onFailure(known);
      if (count === 1)
        await this.#tell(name, 'apply.failed', 'warning', `points of ${name} cannot be applied yet: ${known.message}`, known);
      if (!isDrError(error)) throw error;
    }
  }

  #tell(subject: string, kind: string, level: 'info' | 'warning', message: string, error?: DrError): Promise<void> {
    return emit(this.#core, { kind, level, subject, message, ...(error ? { data: { code: error.code, hint: error.hint } } : {}) });
  }
}
