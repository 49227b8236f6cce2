// What is looked after again and again, and at a start. Kinds of work do not wait for each other: an endpoint that never answers holds up one of them at most.
import { asDrError } from '../contract/index.ts';
import { inspectStaleSources } from '../failover/resolve.ts';
import type { Core } from '../replication/core.ts';
import { releaseCycles, settleCycles, sweepOrphans } from '../replication/reconcile.ts';

const EVERY_MS = 60_000;
const SWEEP_EVERY_MS = 600_000;
/** How long a start waits for endpoints: what answers is looked after before interrupted jobs go on, and a dark site keeps nobody from failing over. */
const START_WAIT_MS = 3_000;

interface Chore {
  readonly name: string;
  readonly everyMs: number;
  readonly work: (signal: AbortSignal) => Promise<unknown>;
}

export class Housekeeping {
  readonly #core: Core;
  readonly #signal: AbortSignal;
  readonly #chores: readonly Chore[];
  readonly #first: readonly Chore[];
  readonly #begunMs = new Map<Chore, number>();
  readonly #running = new Map<Chore, Promise<void>>();

  constructor(core: Core, signal: AbortSignal, writeConfigs: () => Promise<void>) {
    this.#core = core;
    this.#signal = signal;
    // F4: a stale source is looked for until it is seen off.
    this.#first = [
      { name: 'stale sources', everyMs: EVERY_MS, work: (ends) => inspectStaleSources(core, ends) },
      { name: 'cycles', everyMs: EVERY_MS, work: (ends) => this.#endCycles(ends) },
    ];
    this.#chores = [
      ...this.#first,
      { name: 'orphans', everyMs: SWEEP_EVERY_MS, work: (ends) => sweepOrphans(core, ends) },
      { name: 'configurations', everyMs: EVERY_MS, work: writeConfigs },
      { name: 'idle sessions', everyMs: EVERY_MS, work: async () => core.host.sweepIdle() },
    ];
  }

  /** What comes before anything else after a start (F4, T2). */
  async start(): Promise<void> {
    await settleCycles(this.#core);
    const { clock } = this.#core.runtime;
    const done = new AbortController();
    this.#begin(this.#first);
    const late = clock.sleep(START_WAIT_MS, AbortSignal.any([done.signal, this.#signal])).catch(() => undefined);
    await Promise.race([this.idle(), late]);
    done.abort();
  }

  /** Begins what is due and not under way. */
  look(): void {
    this.#begin(this.#chores);
  }

  #begin(chores: readonly Chore[]): void {
    const nowMs = this.#core.runtime.clock.now();
    for (const chore of chores) {
      if (this.#running.has(chore) || nowMs - (this.#begunMs.get(chore) ?? Number.NEGATIVE_INFINITY) < chore.everyMs) continue;
      this.#begunMs.set(chore, nowMs);
      const done = this.#do(chore).finally(() => this.#running.delete(chore));
      this.#running.set(chore, done);
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  async #endCycles(signal: AbortSignal): Promise<void> {
    await settleCycles(this.#core);
    await releaseCycles(this.#core, signal);
  }

  async #do({ name, work }: Chore): Promise<void> {
    try {
      await work(this.#signal);
    } catch (error) {
      if (!this.#signal.aborted) this.#core.runtime.log.warn('housekeeping failed', { what: name, error: asDrError(error).message });
    }
  }
}
