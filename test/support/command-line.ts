// The command line without a process: the same code from the arguments to the exit code, with streams that are kept.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Surroundings } from '../../cli/cli.ts';
import { run } from '../../cli/run.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandLineOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** What a person types at the prompts, in order. With it there is a terminal. */
  readonly typed?: readonly string[];
  readonly input?: string;
  readonly columns?: number;
  readonly signal?: AbortSignal;
}

/** A home that ends with the test. */
export class CommandLine implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'ws-cli-'));
  readonly home = join(this.folder, 'home');

  async run(args: readonly string[], options: CommandLineOptions = {}): Promise<Ran> {
    let out = '';
    let err = '';
    const typed = [...(options.typed ?? [])];
    const terminal = options.typed !== undefined;
    const at: Surroundings = {
      screen: {
        out: (text) => {
          out += text;
        },
        err: (text) => {
          err += text;
        },
        outIsTerminal: terminal,
        errIsTerminal: terminal,
        columns: options.columns ?? 120,
        color: false,
      },
      env: { HOME: this.folder, WARMSITE_HOME: this.home, ...options.env },
      folder: options.folder ?? this.folder,
      inIsTerminal: terminal,
      ask: async (question) => {
        err += question;
        return typed.shift() ?? '';
      },
      readInput: async () => options.input ?? '',
      signal: options.signal ?? new AbortController().signal,
    };
    const code = await run(args, at);
    return { code, out, err };
  }

  /** The answer as a program reads it. */
  async json<T>(args: readonly string[], options: CommandLineOptions = {}): Promise<T> {
    const { out } = await this.run([...args, '-o', 'json'], options);
    return JSON.parse(out) as T;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
