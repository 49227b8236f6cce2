// Runs a page of the documentation as its reader would, from top to bottom, in a home of its own.
import { expect } from 'chai';
import { LabSession } from '../support/lab-process.ts';
import { codeBlocks, readPage, sessionOf } from './page.ts';

export interface Run {
  /** As they were typed. */
  readonly commands: readonly string[];
  /** What the reader took from the own screen, by what the page shows in its place. */
  readonly values: ReadonlyMap<string, string>;
}

/** A line with a name and one value. */
const pairOf = (line: string): readonly [string, string] | undefined => {
  const [name, value, ...more] = line.trim().split(/\s+/);
  return name !== undefined && value !== undefined && more.length === 0 ? [name, value] : undefined;
};

/** A reader types what is on the own screen: the values that were printed, by those that the page has in their place. */
const readOff = (output: readonly string[], printed: readonly string[]): Map<string, string> => {
  const seen = new Map(printed.flatMap((line) => [pairOf(line)].filter((pair) => pair !== undefined)));
  return new Map(
    output.flatMap((line) => {
      const [name = '', value = ''] = pairOf(line) ?? [];
      const real = seen.get(name);
      return real === undefined ? [] : [[value, real] as const];
    }),
  );
};

const typed = (text: string, values: ReadonlyMap<string, string>): string =>
  [...values].reduce((line, [shown, real]) => line.replaceAll(shown, real), text);

/** As a shell takes it, for what the pages use: words, single quotes, and the one variable. */
const wordsOf = (command: string, home: string): string[] =>
  (command.match(/'[^']*'|\S+/g) ?? []).map((word) =>
    word.startsWith("'") ? word.slice(1, -1) : word.replaceAll(/\$WARMSITE_HOME\b/g, home),
  );

/** Times, sizes, ids, figures and folders differ from run to run, and which machine of several is the worst; the rest of a line does not. */
const shape = (line: string): string =>
  line
    .replaceAll(/\b(job|pt)-[0-9a-z]{20}\b/g, '$1-ID')
    .replaceAll(/\bit-[0-9a-z]{20}-\d+@\S+?(?=,|\s|$)/g, 'pt-ID')
    .replaceAll(/\/\S+/g, 'PATH')
    .replaceAll(/\d+:\d+:\d+/g, 'TIME')
    .replaceAll(/\d+(\.\d+)? (ms|s|min|B|KiB|MiB|GiB)\b/g, 'N')
    .replaceAll(/(worst lag N) \(\S+, RPO N\)/g, '$1 (ONE, RPO N)')
    .replaceAll(/cli:\S+/g, 'WHO')
    .replaceAll(/\b\d+(\.\d+)?\b/g, 'N')
    .replaceAll(/\s+/g, ' ')
    .trim();

/**
 * Types each command of the blocks `console` and expects its exit code and each line that the page shows of its answer. A note after the
 * word `console` says how: `engine` starts a process that goes on, `values` has values that the reader takes from the own screen, and
 * `exits N` expects another code than 0.
 */
export const runPage = async (path: string): Promise<Run> => {
  await using session = new LabSession();
  const values = new Map<string, string>();
  const commands: string[] = [];
  for (const block of codeBlocks(readPage(path)).filter(({ language }) => language === 'console')) {
    const expected = /^exits (\d+)$/.exec(block.note)?.[1] ?? '0';
    for (const { command, output } of sessionOf(block)) {
      const [program, ...args] = wordsOf(typed(command, values), session.home);
      expect(program, command).to.equal('warmsite');
      commands.push(command);
      if (block.note === 'engine') {
        await session.start(...args).said('ready: engine of');
        continue;
      }
      const ended = await session.run(...args);
      expect(String(ended.code), `${command}\n${ended.out}${ended.err}`).to.equal(expected);
      const lines = `${ended.out}\n${ended.err}`.split('\n');
      if (block.note === 'values') for (const [shown, real] of readOff(output, lines)) values.set(shown, real);
      const printed = lines.map(shape);
      for (const line of output) expect(printed, `${command}\n${ended.out}${ended.err}`).to.include(shape(typed(line, values)));
    }
  }
  return { commands, values };
};
