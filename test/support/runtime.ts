import type { Log } from '../../core/contract/index.ts';
import { type Clock, idFrom, type Runtime } from '../../core/ports/runtime.ts';
import { createManualClock } from './manual-clock.ts';

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn';
  readonly message: string;
  readonly fields: object;
}

export interface CollectingLog extends Log {
  readonly entries: readonly LogEntry[];
}

export const createCollectingLog = (): CollectingLog => {
  const entries: LogEntry[] = [];
  const add =
    (level: LogEntry['level']) =>
    (message: string, fields: object = {}): void => {
      entries.push({ level, message, fields });
    };
  return { entries, debug: add('debug'), info: add('info'), warn: add('warn') };
};

export interface TestRuntime extends Runtime {
  readonly log: CollectingLog;
  /** Of the same seed as the ids. */
  random(): number;
}

/** Ids and random numbers depend on the seed and the clock alone; the clock is a manual one unless given. */
export const createTestRuntime = <C extends Clock = ReturnType<typeof createManualClock>>(
  options: { readonly seed?: number; readonly clock?: C } = {},
): TestRuntime & { readonly clock: C } => {
  const clock = options.clock ?? (createManualClock() as unknown as C);
  const random = seededRandom(options.seed ?? 1);
  const bytes = (): Uint8Array => Uint8Array.from({ length: 10 }, () => Math.floor(random() * 256));
  return { clock, random, log: createCollectingLog(), newId: (prefix) => idFrom(prefix, clock.now(), bytes()) };
};
