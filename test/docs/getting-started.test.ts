import { expect } from 'chai';
import { describe, it } from 'mocha';
import { LabSession } from '../support/lab-process.ts';
import { codeBlocks, readPage, sessionOf } from './page.ts';

const PAGE = 'docs/operator/getting-started.md';

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

/** As a shell takes it, for what the page uses: words, single quotes, and the one variable. */
const wordsOf = (command: string, home: string): string[] =>
  (command.match(/'[^']*'|\S+/g) ?? []).map((word) =>
    word.startsWith("'") ? word.slice(1, -1) : word.replaceAll(/\$WARMSITE_HOME\b/g, home),
  );

/** Times, sizes, ids, figures and folders differ from run to run; the rest of a line does not. */
const shape = (line: string): string =>
  line
    .replaceAll(/\b(job|pt)-[0-9a-z]{20}\b/g, '$1-ID')
    .replaceAll(/\/\S+/g, 'PATH')
    .replaceAll(/\d+:\d+:\d+/g, 'TIME')
    .replaceAll(/\d+(\.\d+)? (ms|s|min|B|KiB|MiB|GiB)\b/g, 'N')
    .replaceAll(/\((erp|shop)-db, /g, '(ONE, ')
    .replaceAll(/cli:\S+/g, 'WHO')
    .replaceAll(/\b\d+(\.\d+)?\b/g, 'N')
    .replaceAll(/\s+/g, ' ')
    .trim();

describe('the page of the first ten minutes', () => {
  it('works command by command, and shows what is really printed', async function () {
    this.timeout(300_000);
    await using session = new LabSession();
    const values = new Map<string, string>();
    let commands = 0;

    for (const block of codeBlocks(readPage(PAGE)).filter(({ language }) => language === 'console')) {
      const expected = /^exits (\d+)$/.exec(block.note)?.[1] ?? '0';
      for (const { command, output } of sessionOf(block)) {
        const [program, ...args] = wordsOf(typed(command, values), session.home);
        expect(program, command).to.equal('warmsite');
        commands += 1;
        if (block.note === 'engine') {
          await session.start(...args).said('ready: engine of');
          continue;
        }
        const ended = await session.run(...args);
        expect(String(ended.code), `${command}\n${ended.err}`).to.equal(expected);
        const lines = `${ended.out}\n${ended.err}`.split('\n');
        if (block.note === 'values') for (const [shown, real] of readOff(output, lines)) values.set(shown, real);
        const printed = lines.map(shape);
        for (const line of output) expect(printed, `${command}\n${ended.out}${ended.err}`).to.include(shape(typed(line, values)));
      }
    }
    expect([...values.keys()]).to.have.length(2);
    expect(commands).to.be.greaterThan(20);
  });
});
