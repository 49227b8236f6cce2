// Severe operations want the name of what they act on, typed by a person or given with --confirm.
import { DrError } from '../core/contract/index.ts';
import { type Cli, usage } from './cli.ts';
import { type OptionSpec, type Options, textOption } from './command.ts';
import { visible } from './output/text.ts';

export const CONFIRM_OPTION: OptionSpec = { flags: '--confirm <name>', about: 'confirm by the name, instead of typing it at the prompt' };
export const DRY_RUN_OPTION: OptionSpec = { flags: '--dry-run', about: 'print the steps and what is missing; change nothing' };

export interface Severe {
  /** What is done, as a sentence: `Planned failover of erp`. */
  readonly does: string;
  /** The name to type. */
  readonly target: string;
  readonly lines: readonly string[];
  /** What cannot be undone. */
  readonly final: string;
  /** The next step where nobody can type; repeating the command with --confirm unless told. */
  readonly hint?: string;
}

/** CONFIRMATION_NEEDED unless the name is given; a wrong name is an error of its own, so that a script's typo does not look like a missing flag. */
export const confirm = async (cli: Cli, severe: Severe, options: Options): Promise<void> => {
  const given = textOption(options, 'confirm');
  const { target } = severe;
  if (given !== undefined && given === target) return;
  if (given !== undefined)
    throw usage(
      `--confirm ${JSON.stringify(given)} is not the name of what this acts on`,
      severe.hint ?? `repeat the command with --confirm ${shellWord(target)}`,
    );
  const needed = new DrError('CONFIRMATION_NEEDED', `${severe.does}: ${severe.final}`, {
    hint: severe.hint ?? `repeat the command with --confirm ${shellWord(target)}`,
    context: { name: target },
  });
  if (!cli.at.inIsTerminal || !cli.at.screen.errIsTerminal) throw needed;
  cli.print.say([severe.does, ...severe.lines.map((line) => `  ${line}`), `  ${severe.final}`].join('\n'));
  const typed = await cli.at.ask(`Type ${visible(target)} to go on: `).catch((error: unknown) => {
    throw cli.signal.aborted ? cli.signal.reason : error;
  });
  if (typed.trim() !== target) throw needed;
};

/** One word for a POSIX shell. */
export const shellWord = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${visible(text).replaceAll("'", `'\\''`)}'`);
