import { expect } from 'chai';
import { describe, it } from 'mocha';
import { readConfig, readResources } from '../../../cli/documents.ts';
import { DrError } from '../../../core/contract/index.ts';

const refusal = (text: string): DrError => {
  try {
    readResources(text, 'estate.yaml');
  } catch (error) {
    if (error instanceof DrError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

const HEAD = 'apiVersion: warmsite/v1\n';

describe('YAML documents', () => {
  it('are read in their order, with defaults filled in', () => {
    const text = `${HEAD}kind: Site\nmetadata: {name: site-a}\n---\n${HEAD}kind: Policy\nmetadata: {name: gold}\nspec: {rpoSeconds: 60}\n`;

    const documents = readResources(text, 'estate.yaml').map((document) => document.value);

    expect(documents.map(({ kind, metadata }) => [kind, metadata.name])).to.deep.equal([
      ['Site', 'site-a'],
      ['Policy', 'gold'],
    ]);
    expect(documents[1]?.spec).to.include({ rpoSeconds: 60, orElse: 'crash' });
  });

  const wrong: readonly (readonly [string, string, number, number, string])[] = [
    ['a wrong type', `${HEAD}kind: Policy\nmetadata: {name: gold}\nspec:\n  rpoSeconds: sixty\n`, 5, 15, 'spec.rpoSeconds'],
    ['an unknown key', `${HEAD}kind: Policy\nmetadata: {name: gold}\nspec:\n  rpo: 60\n`, 5, 3, 'spec.rpo'],
    ['a missing key', `${HEAD}kind: Endpoint\nmetadata: {name: e1}\nspec:\n  site: site-a\n  config: {}\n`, 5, 3, 'spec.plugin'],
    ['an unknown kind', `${HEAD}kind: Sites\nmetadata: {name: x}\n`, 2, 7, 'kind'],
    ['a name that is no id', `${HEAD}kind: Site\nmetadata:\n  name: ../../x\n`, 4, 9, 'metadata.name'],
    [
      'an unknown step of a plan',
      `${HEAD}kind: Plan\nmetadata: {name: p}\nspec:\n  steps:\n    - boot: [a]\n    - wait: 5\n`,
      7,
      7,
      'spec.steps[1].wait',
    ],
    ['a wrong version', 'apiVersion: warmsite/v9\nkind: Site\nmetadata: {name: x}\n', 1, 13, 'apiVersion'],
    [
      'a fault in the second document',
      `${HEAD}kind: Site\nmetadata: {name: a}\n---\n${HEAD}kind: Site\nmetadata: {name: 5}\n`,
      7,
      18,
      'metadata.name',
    ],
  ];
  for (const [what, text, line, column, key] of wrong) {
    it(`refuse ${what} with line, column and key`, () => {
      const error = refusal(text);

      expect(error.code).to.equal('CONFIG_INVALID');
      expect(error.context).to.include({ path: 'estate.yaml', line, column, key });
      expect(error.message).to.match(new RegExp(`^estate\\.yaml:${line}:${column}: `));
    });
  }

  it('refuse what is no YAML with line and column', () => {
    expect(refusal('kind: Site\n  metadata: [\n').context).to.include({ line: 1, column: 7 });
  });

  it('refuse a file without a document, and aliases that would grow without bound', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((key, index) => `${key}: &${key} [${Array(9).fill(`*${'abcdefg'[index]}`).join(',')}]`)
      .join('\n')}\n`;

    expect(refusal('# nothing\n').message).to.equal('estate.yaml has no document');
    expect(refusal(bomb).code).to.equal('CONFIG_INVALID');
  });

  it('hold settings of the kind Config', () => {
    expect(readConfig(`${HEAD}kind: Config\nspec: {output: json, home: ./state}\n`, 'warmsite.yaml')).to.deep.equal({
      output: 'json',
      home: './state',
    });
    expect(() => readConfig(`${HEAD}kind: Config\nspec: {outptu: json}\n`, 'warmsite.yaml')).to.throw(/warmsite\.yaml:3:8: spec\.outptu/);
  });
});
