import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { FORMATS, type Format, type ListView, Printer } from '../../../../cli/output/print.ts';

const printed = async (format: Format, work: (printer: Printer) => Promise<void> | void): Promise<{ out: string; err: string }> => {
  const said = { out: '', err: '' };
  const screen = {
    out: (text: string) => {
      said.out += text;
    },
    err: (text: string) => {
      said.err += text;
    },
    outIsTerminal: false,
    errIsTerminal: false,
    columns: 80,
    color: false,
  };
  await work(new Printer(screen, format));
  return said;
};

const view: ListView<{ readonly id: string; readonly name: string }> = {
  kind: 'Site',
  rows: [
    { id: 'site-a', name: 'Frankfurt' },
    { id: 'site-b', name: 'München\u001b[2J' },
  ],
  columns: [
    { title: 'id', value: (site) => site.id },
    { title: 'name', value: (site) => site.name },
  ],
  name: (site) => site.id,
  empty: 'there is no site yet',
};

const GOLDEN: Readonly<Record<Format, string>> = {
  table: 'ID      NAME\nsite-a  Frankfurt\nsite-b  München\\e[2J\n',
  wide: 'ID      NAME\nsite-a  Frankfurt\nsite-b  München\\e[2J\n',
  name: 'site-a\nsite-b\n',
  json: `{
  "apiVersion": "warmsite/v1",
  "kind": "SiteList",
  "items": [
    {
      "id": "site-a",
      "name": "Frankfurt"
    },
    {
      "id": "site-b",
      "name": "München\\u001b[2J"
    }
  ]
}
`,
  jsonl:
    '{"apiVersion":"warmsite/v1","kind":"Site","data":{"id":"site-a","name":"Frankfurt"}}\n' +
    '{"apiVersion":"warmsite/v1","kind":"Site","data":{"id":"site-b","name":"München\\u001b[2J"}}\n',
  yaml: `apiVersion: warmsite/v1
kind: SiteList
items:
  - id: site-a
    name: Frankfurt
  - id: site-b
    name: "München\\e[2J"
`,
};

describe('printed lists', () => {
  for (const format of FORMATS) {
    it(`are the same as ever in the form ${format}`, async () => {
      expect((await printed(format, (printer) => printer.list(view))).out).to.equal(GOLDEN[format]);
    });
  }

  it('tell on stderr that they are empty, so that a pipe gets nothing', async () => {
    const { out, err } = await printed('table', (printer) => printer.list({ ...view, rows: [] }));

    expect(out).to.equal('');
    expect(err).to.equal('there is no site yet\n');
  });

  it('keep a value in YAML that a terminal would act on', async () => {
    const rows = [{ id: 'x', name: 'a\u009b2Jb\u202ec' }];

    const { out } = await printed('yaml', (printer) => printer.list({ ...view, rows }));

    expect(parse(out)).to.deep.include({ items: rows });
    expect(out).not.to.match(/[\u0080-\u009f\u202e]/);
  });
});

describe('printed errors', () => {
  const record = {
    code: 'NOT_FOUND',
    message: 'there is no site "x\n"',
    hint: 'did you mean "site-a"?',
    context: { kind: 'site', name: 'x\n' },
  } as const;

  it('say what failed, on what, and what to do next, one line each', async () => {
    const { out, err } = await printed('table', (printer) => printer.error(record));

    expect(out).to.equal('');
    expect(err).to.equal('error: there is no site "x\\n"\n  what: NOT_FOUND on kind site, name x\\n\n  next: did you mean "site-a"?\n');
  });

  it('are JSON on stdout as well when JSON was asked for, with the exit code', async () => {
    const { out } = await printed('json', (printer) => printer.error(record));

    expect(JSON.parse(out)).to.deep.equal({ apiVersion: 'warmsite/v1', kind: 'Error', data: { ...record, exitCode: 4 } });
  });
});
