// Asks the hosts of native pairs again and again: one call for all machines of an endpoint, spread over time, less often while it does not answer.
import { DrError, isDrError, type MachineId, type NativeStatus } from '../../contract/index.ts';
import type { Item } from '../../domain/item.ts';
import { type Core, callFor } from '../core.ts';
import { type End, noteSighting, pairAt, type Sighting } from './look.ts';

const EVERY_MS = 20_000;
const MAX_BACKOFF_MS = 600_000;
const SIDE_BY_SIDE = 4;

/** What of an endpoint is asked for: the ends of items that are there. */
export interface Round {
  readonly endpoint: string;
  readonly ends: readonly { readonly item: Item['id']; readonly end: End; readonly machine: MachineId }[];
}

export const roundsOf = (items: readonly Item[]): Round[] => {
  const ends = items
    .filter((item) => item.native !== undefined)
    .flatMap((item) => [
      { endpoint: item.source.endpoint, item: item.id, end: 'source' as const, machine: item.source.machine },
      ...(item.replica ? [{ endpoint: item.replica.endpoint, item: item.id, end: 'replica' as const, machine: item.replica.machine }] : []),
    ]);
  return [...Map.groupBy(ends, ({ endpoint }) => endpoint)].map(([endpoint, members]) => ({ endpoint, ends: members }));
};

/** Endpoints that were added together are not asked together for ever: between 80 and 120 % of the interval, by name. */
const spread = (endpoint: string): number =>
  0.8 + ([...endpoint].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 997, 7) % 41) / 100;

export const pauseMs = (endpoint: string, failures: number): number =>
  Math.min(Math.round(EVERY_MS * spread(endpoint)) * 2 ** Math.min(failures, 16), MAX_BACKOFF_MS);

export class NativeObserver {
  readonly #core: Core;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #dueAtMs = new Map<string, number>();
  readonly #failures = new Map<string, number>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Begins what is due; waits for nothing. */
  look(items: readonly Item[]): void {
    const nowMs = this.#core.runtime.clock.now();
    for (const round of roundsOf(items)) {
      const { endpoint } = round;
      if (this.#running.size >= SIDE_BY_SIDE) return;
      if (this.#running.has(endpoint) || nowMs < (this.#dueAtMs.get(endpoint) ?? 0)) continue;
      const done = this.#ask(round)
        .catch((error: unknown) => {
          if (!this.#stopping.signal.aborted)
            this.#core.runtime.log.warn('hosts could not be looked at', { endpoint, error: String(error) });
        })
        .finally(() => this.#running.delete(endpoint));
      this.#running.set(endpoint, done);
    }
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values());
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DrError('ABORTED', 'the planner is stopping'));
    await this.idle();
  }

  async #ask({ endpoint, ends }: Round): Promise<void> {
    const sightings = await this.#sightings(endpoint, [...new Set(ends.map(({ machine }) => machine))]);
    const failures = sightings instanceof DrError ? (this.#failures.get(endpoint) ?? 0) + 1 : 0;
    this.#failures.set(endpoint, failures);
    this.#dueAtMs.set(endpoint, this.#core.runtime.clock.now() + pauseMs(endpoint, failures));
    for (const { item, end, machine } of ends) {
      const sighting: Sighting =
        sightings instanceof DrError ? { unreachable: `${sightings.code}: ${sightings.message}` } : { status: sightings.get(machine) };
      await this.#core.store.transaction((tx) => noteSighting(tx, this.#core, item, end, sighting, endpoint));
    }
  }

  async #sightings(endpoint: string, machines: readonly MachineId[]): Promise<ReadonlyMap<MachineId, NativeStatus> | DrError> {
    const { signal } = this.#stopping;
    try {
      const pair = await pairAt(this.#core, endpoint);
      const statuses = await Array.fromAsync(pair.observe(machines, callFor(this.#core, `observe/${endpoint}`, signal)));
      return new Map(statuses.map((status) => [status.machine, status]));
    } catch (error) {
      if (!isDrError(error) || signal.aborted) throw error;
      return error;
    }
  }
}
