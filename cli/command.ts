// What a command is, as data: program, help, completion and the reference are all made from it.
import type { ExitCode } from '../core/contract/index.ts';
import type { Cli } from './cli.ts';

export const GROUPS = ['Set up', 'Protect', 'Recover', 'Watch', 'Run'] as const;
export type CommandGroup = (typeof GROUPS)[number];

export interface OptionSpec {
  /** As commander takes it: `-f, --file <path>`, `--wait`, `--no-wait`. */
  readonly flags: string;
  readonly about: string;
  readonly choices?: readonly string[];
  readonly kind?: 'integer' | 'number' | 'list';
  readonly required?: true;
}

export type OptionValue = string | number | boolean | readonly string[] | undefined;
export type Options = Readonly<Record<string, OptionValue>>;

export interface Invocation {
  /** Positional arguments in their order, a variadic one flattened. */
  readonly args: readonly string[];
  readonly options: Options;
}

export interface CommandSpec {
  /** The verb; absent when the noun itself is the command. */
  readonly name?: string;
  /** As commander takes them: `<name>`, `[target]`, `<machines...>`. */
  readonly args?: string;
  readonly about: string;
  readonly options?: readonly OptionSpec[];
  readonly examples: readonly string[];
  run(cli: Cli, invocation: Invocation): Promise<ExitCode | void>;
}

/** A noun of the command line; its module is loaded when it is used. */
export interface Noun {
  readonly name: string;
  readonly group: CommandGroup;
  readonly about: string;
  readonly load: () => Promise<{ readonly commands: readonly CommandSpec[] }>;
}

export const textOption = (options: Options, name: string): string | undefined => {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
};

export const numberOption = (options: Options, name: string): number | undefined => {
  const value = options[name];
  return typeof value === 'number' ? value : undefined;
};

/** Only what was given: operations take absent keys, not undefined ones. */
export const given = (options: Options, ...names: readonly string[]): Record<string, OptionValue> =>
  Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));
