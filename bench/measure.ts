import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'us' | 's' | 'MB/s' | 'MiB';
  /** The same unit, of whatever the benchmark compares with. */
  readonly peer?: number;
  /** value / peer */
  readonly ratio?: number;
}

export interface Scale {
  /** Small inputs, one round: shows that the benchmark runs, its figures mean nothing. */
  readonly quick: boolean;
}

export interface Benchmark {
  readonly name: string;
  /** What is measured, and against what. */
  readonly about: string;
  run(scale: Scale): Promise<Figure[]>;
}

const round = (value: number): number => Number(value.toPrecision(4));

export const figure = (name: string, value: number, unit: Figure['unit'], peer?: number): Figure => ({
  name,
  value: round(value),
  unit,
  ...(peer === undefined ? {} : { peer: round(peer), ratio: round(value / peer) }),
});

/** The median of `rounds` measurements, after one that does not count. */
export const median = async (rounds: number, measure: (round: number) => Promise<number>): Promise<number> => {
  await measure(0);
  const values: number[] = [];
  for (let round = 1; round <= rounds; round++) values.push(await measure(round));
  values.sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? Number.NaN;
};

export const timedMs = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};

export const megabytesPerSecond = (bytes: number, ms: number): number => bytes / 1e6 / (ms / 1_000);

export const temporaryFolder = (): Disposable & { readonly path: string } => {
  const path = mkdtempSync(join(tmpdir(), 'ws-bench-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
};

/** Runs this Node on a program to its end. */
export const runNode = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<void> => {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`);
};
