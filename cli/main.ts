// The process: its streams and signals around one command line.
import { constants } from 'node:os';
import { DrError } from '../core/contract/index.ts';
import type { Surroundings } from './cli.ts';
import { run } from './run.ts';

/** A launcher passes a signal on that the terminal has sent already: twice within this time is once. */
const SAME_SIGNAL_MS = 500;

const processSurroundings = (): Surroundings => {
  const { stdout, stderr, stdin, env } = process;
  // A reader that has seen enough (`| head`) closes its end: that is no error.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
    throw error;
  });
  const color = stdout.isTTY === true && stderr.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const interrupted = new AbortController();
  let firstAt = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted.signal.aborted && Date.now() - firstAt > SAME_SIGNAL_MS) process.exit(128 + constants.signals[signal]);
      firstAt ||= Date.now();
      interrupted.abort(new DrError('ABORTED', 'interrupted', { hint: 'run warmsite job list to see what is left to go on with' }));
    });
  }
  return {
    screen: {
      out: (text) => void stdout.write(text),
      err: (text) => void stderr.write(text),
      outIsTerminal: stdout.isTTY === true,
      errIsTerminal: stderr.isTTY === true,
      get columns() {
        return (stdout.isTTY ? stdout.columns : stderr.columns) || 80;
      },
      color,
    },
    env,
    folder: process.cwd(),
    inIsTerminal: stdin.isTTY === true,
    ask: (question) => ask(question, interrupted.signal),
    readInput: async () => {
      const parts: Buffer[] = [];
      for await (const part of stdin) parts.push(part as Buffer);
      return Buffer.concat(parts).toString();
    },
    signal: interrupted.signal,
  };
};

const ask = async (question: string, signal: AbortSignal): Promise<string> => {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal });
  } finally {
    lines.close();
  }
};

process.exitCode = await run(process.argv.slice(2), processSurroundings());
