// Makes a commander program of the catalog. Only the noun that is used has its module loaded.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { DrError, EXIT, type ExitCode } from '../core/contract/index.ts';
import { CATALOG } from './catalog.ts';
import { type CommandSpec, GROUPS, type Invocation, type OptionSpec, type Options } from './command.ts';
import { FORMATS, type Screen } from './output/print.ts';

export type Execute = (spec: CommandSpec, invocation: Invocation) => Promise<ExitCode | void>;

export interface ProgramOptions {
  readonly version: string;
  readonly execute: Execute;
  readonly screen: Pick<Screen, 'out' | 'err'>;
}

export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { flags: '-o, --output <format>', about: 'form of the answer', choices: FORMATS },
  { flags: '--home <dir>', about: 'where the state is kept (default: $WARMSITE_HOME, else per XDG)' },
  { flags: '--debug', about: 'log to stderr too, and show where an error comes from' },
];

/** The name that a shell would show for the command, as in the help. */
export const commandName = (noun: string, spec: Pick<CommandSpec, 'name'>): string => `warmsite ${noun}${spec.name ? ` ${spec.name}` : ''}`;

/** `loaded`: nouns with their commands; the others are listed by name only. */
export const buildProgram = (loaded: ReadonlyMap<string, readonly CommandSpec[]>, options: ProgramOptions): Command => {
  const program = new Command('warmsite');
  program
    .description('Disaster recovery for mixed estates: replicates machines to a second site and brings them up there')
    .usage('<noun> <verb> [options]')
    .version(options.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, helpWidth: 100, sortSubcommands: false })
    .configureOutput({ writeOut: options.screen.out, writeErr: options.screen.err, outputError: () => undefined })
    .addHelpText('after', '\nExamples:\n  warmsite lab drill\n  warmsite status\n  warmsite failover test erp --help');
  for (const spec of GLOBAL_OPTIONS) program.addOption(toOption(spec));
  for (const group of GROUPS) {
    program.commandsGroup(`${group}:`);
    for (const noun of CATALOG.filter((candidate) => candidate.group === group)) {
      const command = program.command(noun.name).description(noun.about).helpCommand(false);
      const commands = loaded.get(noun.name) ?? [];
      for (const spec of commands) addCommand(command, spec, options);
      if (commands.some((spec) => spec.name !== undefined))
        command.addHelpText('after', examplesText(commands.flatMap((spec) => spec.examples.slice(0, 1))));
    }
  }
  return program;
};

const addCommand = (parent: Command, spec: CommandSpec, { execute }: ProgramOptions): void => {
  const command = (spec.name?.split(' ') ?? []).reduce(
    (above, name) => above.commands.find((known) => known.name() === name) ?? above.command(name).helpCommand(false),
    parent,
  );
  command.description(spec.about);
  if (spec.args) command.arguments(spec.args);
  for (const option of spec.options ?? []) command.addOption(toOption(option));
  command.addHelpText('after', examplesText(spec.examples));
  command.allowExcessArguments(false);
  command.action(async (...all: unknown[]) => {
    const given = all
      .slice(0, -2)
      .flat()
      .filter((arg): arg is string => typeof arg === 'string');
    const code = await execute(spec, { args: given, options: command.opts<Options>() });
    if (code !== undefined) throw new ExitWith(code);
  });
};

const examplesText = (examples: readonly string[]): string => `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`;

/** Not an error: the command is done and says how. */
class ExitWith extends Error {
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

const toNumber =
  (integer: boolean) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < 0 || (integer && !Number.isInteger(value)))
      throw new InvalidArgumentError(integer ? 'a whole number is needed' : 'a number is needed');
    return value;
  };

const toOption = (spec: OptionSpec): Option => {
  const option = new Option(spec.flags, spec.about);
  if (spec.choices) option.choices([...spec.choices]);
  if (spec.kind === 'integer' || spec.kind === 'number') option.argParser(toNumber(spec.kind === 'integer'));
  if (spec.kind === 'list') option.argParser((text: string, before: string[] = []) => [...before, text]);
  if (spec.required) option.makeOptionMandatory();
  // `--no-x` is absent unless it is given, so that a command can tell "not said" from "yes".
  if (option.negate) option.default(undefined);
  return option;
};

/** The exit code that a thrown value stands for. What commander refuses becomes USAGE, with its suggestion as the next step. */
export const exitOfCommander = (error: unknown, args: readonly string[]): ExitCode => {
  if (error instanceof ExitWith) return error.exitCode;
  if (!(error instanceof CommanderError)) throw error;
  if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version') return EXIT.done;
  // A noun without a verb: its help is shown on stderr.
  if (error.code === 'commander.help') return EXIT.usage;
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const meant = suggestion?.match(/Did you mean (.*)\?\)/)?.[1];
  const noun = CATALOG.find((candidate) => args.includes(candidate.name));
  const help = `run warmsite ${noun ? `${noun.name} ` : ''}--help to see what it takes`;
  throw new DrError('USAGE', message, { hint: meant ? `did you mean ${meant}?` : help });
};
