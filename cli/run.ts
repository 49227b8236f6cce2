// Arguments in, exit code out.
import { asDrError, type DrError, EXIT, type ExitCode, toErrorRecord } from '../core/contract/index.ts';
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
  const { CATALOG } = await import('./catalog.ts');
  const { buildProgram, CommanderError, ExitWith, fromCommander } = await import('./program.ts');
  const loaded = new Map<string, readonly CommandSpec[]>();
  const noun = CATALOG.find((candidate) => args.includes(candidate.name) && candidate.name === firstWord(args));
  if (noun) loaded.set(noun.name, (await noun.load()).commands);
  let wanted: GlobalOptions = {};
  const program = buildProgram(loaded, {
    version: readVersion(),
    out: at.screen.out,
    execute: (spec, invocation) => {
      wanted = program.opts<GlobalOptions>();
      return execute(spec, invocation, wanted, at);
    },
  });
  try {
    if (args.length === 0 || (noun && args.length === 1 && !isWhole(loaded.get(noun.name)))) {
      (noun ? program.commands.find((command) => command.name() === noun.name) : program)?.outputHelp();
      return EXIT.usage;
    }
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.done;
  } catch (error) {
    if (error instanceof ExitWith) return error.exitCode;
    const known = error instanceof CommanderError ? fromCommander(error, noun ? `warmsite ${noun.name}` : 'warmsite') : asDrError(error);
    if (!known) return EXIT.done;
    report(known, wanted.debug ?? args.includes('--debug'), at.screen, args);
    return known.exitCode;
  }
};

/** The noun is itself the command, so no verb follows. */
const isWhole = (commands: readonly CommandSpec[] | undefined): boolean => commands?.length === 1 && commands[0]?.name === undefined;

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
