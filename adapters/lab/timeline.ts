import { DrError } from '../../core/contract/index.ts';

/**
 * The estate's time. `real`: the system's. `manual`: moves only by advance(). `jump`: manual, and whenever somebody waits
 * and nothing else runs, time jumps to the end of the earliest wait, so that nothing ever takes real time. "Nothing runs" means that the event loop
 * has turned IDLE_TURNS times without a call to the estate: work that waits for real files or processes is not seen, so give such tests `manual`.
 */
export type ClockMode = 'real' | 'manual' | 'jump';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  /** Somebody waits for it: in jump mode time goes on by itself until it is due. */
  readonly awaited: boolean;
}

const LONGEST_STEP_MS = 25;
/** Of a long wait the guests work through the end only: a month must not take an hour to simulate. */
const BUSY_MS = 10_000;
/** Enough for an engine in memory to get from one call to the next: a deadline that sleeps beside the work must not come first. */
const IDLE_TURNS = 50;

export class Timeline {
  readonly mode: ClockMode;
  #nowMs: number;
  #order = 0;
  #events: Event[] = [];
  #ticker: ReturnType<typeof setInterval> | undefined;
  #pump: ReturnType<typeof setImmediate> | undefined;
  #idleTurns = 0;
  #holds = 0;
  readonly #onElapsed: (elapsedMs: number) => void;

  /** `onElapsed` is told of each step of time, never longer than 25 ms unless the process itself stood still. */
  constructor(mode: ClockMode, startMs: number, onElapsed: (elapsedMs: number) => void) {
    this.mode = mode;
    this.#nowMs = mode === 'real' ? Date.now() : startMs;
    this.#onElapsed = onElapsed;
  }

  now(): number {
    return this.mode === 'real' ? Date.now() : this.#nowMs;
  }

  /** Real mode: begins to drive the guests. */
  start(): void {
    if (this.mode !== 'real' || this.#ticker) return;
    this.#ticker = setInterval(() => this.#runUntil(Date.now()), LONGEST_STEP_MS);
    this.#ticker.unref();
  }

  stop(): void {
    clearInterval(this.#ticker);
    clearImmediate(this.#pump);
    this.#ticker = undefined;
    this.#pump = undefined;
    this.#events = [];
  }

  /** Somebody is at work: time does not jump yet. */
  noteActivity(): void {
    this.#idleTurns = 0;
  }

  /** Somebody is at work whom the event loop does not show, a process of ours: time does not jump until the function that comes back is called, once. */
  hold(): () => void {
    this.#holds++;
    return () => {
      this.#holds--;
      this.#idleTurns = 0;
      this.#pumpLater();
    };
  }

  /** Runs something later; returns a function that calls it off. */
  schedule(afterMs: number, run: () => void, awaited = false): () => void {
    const event: Event = { atMs: this.now() + afterMs, order: this.#order++, run, awaited };
    this.#events.push(event);
    this.#events.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    if (awaited) this.#pumpLater();
    return () => {
      this.#events = this.#events.filter((other) => other !== event);
    };
  }

  /** Rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        callOff();
        reject(signal?.reason);
      };
      const callOff = this.schedule(
        ms,
        () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        true,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Moves a manual clock on; guests and delays run on the way. */
  advance(ms: number): void {
    if (this.mode === 'real') throw new DrError('STATE_CONFLICT', 'the estate runs in real time: its clock cannot be moved');
    this.#runUntil(this.#nowMs + ms);
  }

  /** Runs what is due already. */
  settle(): void {
    this.#runUntil(this.now());
  }

  #runUntil(untilMs: number): void {
    for (;;) {
      const next = this.#events[0];
      const stopAt = next && next.atMs <= untilMs ? Math.max(next.atMs, this.#nowMs) : untilMs;
      if (this.mode !== 'real') this.#nowMs = Math.max(this.#nowMs, stopAt - BUSY_MS);
      while (this.#nowMs < stopAt) {
        const step = this.mode === 'real' ? stopAt - this.#nowMs : Math.min(LONGEST_STEP_MS, stopAt - this.#nowMs);
        this.#nowMs += step;
        this.#onElapsed(step);
      }
      if (!next || next.atMs > untilMs) return;
      this.#events.shift();
      next.run();
    }
  }

  #pumpLater(): void {
    if (this.mode !== 'jump' || this.#pump || this.#holds > 0) return;
    this.#pump = setImmediate(() => {
      this.#pump = undefined;
      if (this.#holds > 0) return;
      const awaited = this.#events.find((event) => event.awaited);
      if (!awaited) return;
      if (++this.#idleTurns < IDLE_TURNS) return this.#pumpLater();
      this.#idleTurns = 0;
      this.#runUntil(Math.max(awaited.atMs, this.#nowMs));
      if (this.#events.some((event) => event.awaited)) this.#pumpLater();
    });
  }
}
