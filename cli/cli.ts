// What every command works with: settings, output, and the way to an engine.
import { userInfo } from 'node:os';
import { DrError, type ExitCode } from '../core/contract/index.ts';
import { type Asked, type Client, needOf, openClient } from './client.ts';
import type { Options } from './command.ts';
import { Printer, parseFormat, type Screen } from './output/print.ts';
import type { Settings } from './settings.ts';

/** The process, or what stands for it in a test. */
export interface Surroundings {
  readonly screen: Screen;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
  readonly inIsTerminal: boolean;
  /** Reads one line that a person types. */
  ask(question: string): Promise<string>;
  readInput(): Promise<string>;
  /** Aborts on Ctrl-C and on SIGTERM. */
  readonly signal: AbortSignal;
}

export class Cli {
  readonly at: Surroundings;
  readonly settings: Settings;
  readonly print: Printer;
  readonly debug: boolean;
  #client: Promise<Client> | undefined;

  constructor(at: Surroundings, settings: Settings, debug: boolean) {
    this.at = at;
    this.settings = settings;
    this.debug = debug;
    this.print = new Printer(at.screen, parseFormat(settings.output.value));
  }

  get home(): string {
    return this.settings.home.value;
  }

  get signal(): AbortSignal {
    return this.at.signal;
  }

  /** The engine for these operations: the first to be asked decides what is opened, so the widest need is named first. */
  async client(operation: string): Promise<Client> {
    this.#client ??= openClient(
      { home: this.home, env: this.at.env, debug: this.debug, say: (line) => this.print.say(line), signal: this.signal },
      needOf(operation),
    );
    const client = await this.#client;
    if (client.engine !== 'store' || needOf(operation) === 'store') return client;
    this.#client = undefined;
    await client[Symbol.asyncDispose]();
    return this.client(operation);
  }

  /** The answer of an operation, as its form says. Errors are DrErrors. */
  async call<T>(operation: string, input: unknown, options: Options = {}): Promise<T> {
    const client = await this.client(operation);
    return (await client.call(operation, input, this.asked(options))) as T;
  }

  asked(options: Options): Asked {
    const reason = options['reason'];
    return { actor: actorName(this.at.env), reason: typeof reason === 'string' ? reason : undefined };
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.[Symbol.asyncDispose]();
  }
}

/** For the audit: who is at the keyboard, also behind sudo. */
const actorName = (env: Readonly<Record<string, string | undefined>>): string => {
  const name = env['SUDO_USER'] || userName();
  return `cli:${name}`;
};

const userName = (): string => {
  try {
    return userInfo().username;
  } catch {
    return 'unknown';
  }
};

export const usage = (message: string, hint: string): DrError => new DrError('USAGE', message, { hint });

export type CommandResult = Promise<ExitCode | void>;
