// Arguments in, exit code out.
import type { Command } from 'commander';
import { asDrError, type DrError, EXIT, type ExitCode, isDrError, toErrorRecord } from '../core/contract/index.ts';
import type { Surroundings } from './cli.ts';
import type { CommandSpec, Invocation } from './command.ts';
import { FORMATS, type Format, Printer, type Screen } from './output/print.ts';
import { readVersion } from './version.ts';

interface GlobalOptions {
  readonly output?: string;
  readonly home?: string;
  readonly debug?: boolean;
}

/** Runs one command line. Never throws, never ends the process. */
export const run = async (args: readonly string[], at: Surroundings): Promise<ExitCode> => {
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
    at.screen.out(`${readVersion()}\n`);
    return EXIT.done;
  }
  let debug = args.includes('--debug');
  try {
    const { CATALOG } = await import('./catalog.ts');
    const noun = CATALOG.find((candidate) => candidate.name === firstWord(args));
    const loaded = new Map<string, readonly CommandSpec[]>(noun ? [[noun.name, (await noun.load()).commands]] : []);
    const { buildProgram } = await import('./program.ts');
    const program = buildProgram(loaded, {
      version: readVersion(),
      screen: at.screen,
      execute: (spec, invocation) => {
        const wanted = program.opts<GlobalOptions>();
        debug = wanted.debug === true;
        return execute(spec, invocation, wanted, at);
      },
    });
    return await parse(program, args);
  } catch (error) {
    // What an interruption broke off says so in many ways: to a person it is one.
    const known = asDrError(at.signal.aborted && !isDrError(error) ? at.signal.reason : error);
    report(known, debug, at.screen, args);
    return known.exitCode;
  }
};

const parse = async (program: Command, args: readonly string[]): Promise<ExitCode> => {
  const { exitOfCommander } = await import('./program.ts');
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.done;
  } catch (error) {
    return exitOfCommander(error, args);
  }
};

const VALUED = ['-o', '--output', '--home'];

/** The first argument that is neither an option nor the value of one that all commands have. */
const firstWord = (args: readonly string[]): string | undefined => {
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? '';
    if (VALUED.includes(arg)) index++;
    else if (!arg.startsWith('-')) return arg;
  }
  return undefined;
};

const execute = async (spec: CommandSpec, invocation: Invocation, wanted: GlobalOptions, at: Surroundings): Promise<ExitCode | void> => {
  const { Cli } = await import('./cli.ts');
  const { loadSettings } = await import('./settings.ts');
  const settings = await loadSettings(wanted, at.env, at.folder);
  const cli = new Cli(at, settings, wanted.debug === true);
  try {
    return await spec.run(cli, invocation);
  } finally {
    await cli.close();
  }
};

const report = (error: DrError, debug: boolean, screen: Screen, args: readonly string[]): void => {
  new Printer(screen, formatOf(args)).error(toErrorRecord(error), debug ? stackOf(error) : undefined);
};

const stackOf = (error: Error): string =>
  error.cause instanceof Error ? `${error.stack ?? ''}\ncaused by ${stackOf(error.cause)}` : (error.stack ?? '');

/** Errors come before settings can be read too: then the arguments tell in which form they are wanted. */
const formatOf = (args: readonly string[]): Format => {
  const at = args.findIndex((arg) => arg === '-o' || arg === '--output');
  const text = at >= 0 ? args[at + 1] : args.find((arg) => /^(-o|--output=)/.test(arg))?.replace(/^(-o|--output=)/, '');
  return FORMATS.find((format) => format === text) ?? 'table';
};
