// Accepting who an endpoint is. Nothing is ever accepted by itself: a person compares a fingerprint and says so, at the prompt or with --pin.
import { DrError, type ErrorCode, isDrError } from '../core/contract/index.ts';
import { normalPin, pinText, seenIdentity } from '../core/host/pin.ts';
import type { Cli } from './cli.ts';
import { type OptionSpec, type Options, textOption } from './command.ts';
import { shellWord } from './confirm.ts';

export const PIN_OPTION: OptionSpec = {
  flags: '--pin <sha256>',
  about: 'accept the certificate or host key of this fingerprint, compared before with what the server shows at its console',
};

export const COMPARE =
  'Compare it with what the server shows at its own console. Whoever has this key gets the credential of the endpoint.';

/** What is shown to be compared. */
export const identityLines = (
  refusal: { readonly code: ErrorCode; readonly message: string; readonly actual: string },
  before?: string,
) => [
  refusal.message,
  `shown now        ${pinText(refusal.actual, refusal.code)}`,
  ...(before === undefined ? [] : [`accepted before  ${pinText(before, refusal.code)}`]),
];

/** The command line that would be typed again, for another shell than this. */
export const commandLine = (cli: Cli, words: readonly string[]): string =>
  ['warmsite', ...words, ...(cli.settings.home.from === 'flag' ? ['--home', cli.home] : [])].map(shellWord).join(' ');

/**
 * Tries with the pin that was given, as one of the settings too; when the endpoint is refused for who it is and none was given, a person
 * may accept what it shows, and it is tried again with exactly that. `again`: the words of the command.
 */
export const withIdentity = async <T>(
  cli: Cli,
  {
    options,
    settings,
    again,
  }: { readonly options: Options; readonly settings: Readonly<Record<string, unknown>>; readonly again: readonly string[] },
  attempt: (pin: string | undefined) => Promise<T>,
): Promise<T> => {
  const given = textOption(options, 'pin');
  try {
    return await attempt(given);
  } catch (error) {
    const actual = seenIdentity(error);
    if (actual === undefined || !isDrError(error)) throw error;
    const expected = normalPin(String(error.context.expected ?? ''));
    const stated =
      given !== undefined || Object.values(settings).some((value) => expected !== undefined && normalPin(String(value)) === expected);
    if (stated) throw error;
    const refusal = { code: error.code, message: error.message, actual };
    if (cli.at.inIsTerminal && cli.at.screen.errIsTerminal) {
      cli.print.say([...identityLines(refusal, expected), COMPARE].join('\n'));
      const typed = await cli.at.ask('Type yes to accept it: ').catch((failure: unknown) => {
        throw cli.signal.aborted ? cli.signal.reason : failure;
      });
      if (typed.trim() === 'yes') return attempt(actual);
    }
    const shown = pinText(actual, error.code);
    throw new DrError(error.code, error.message, {
      hint: `compare ${shown} with what the server shows at its console, then run ${commandLine(cli, [...again, '--pin', actual])}`,
      context: error.context,
      cause: error.cause,
    });
  }
};
