import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CASES, PARAGRAPHS } from '../../../../core/conformance/index.ts';

const PAGE = join(import.meta.dirname, '..', '..', '..', '..', 'docs', 'integrator', 'contract.md');

/** As renderers of Markdown make anchors of headings. */
const anchor = (heading: string): string => heading.toLowerCase().replaceAll(' ', '-');

interface Promised {
  readonly id: string;
  readonly promise: string;
  readonly under: string;
}

const promisesOf = (page: string): Promised[] => {
  let under = '';
  return page.split('\n').flatMap((line): Promised[] => {
    if (line.startsWith('## ')) under = anchor(line.slice(3));
    const [, id, promise] = /^- \*\*([A-Z]{3}-\d{3})\*\* (.*)$/.exec(line) ?? [];
    return id !== undefined && promise !== undefined ? [{ id, promise, under }] : [];
  });
};

describe('the page of the contract', () => {
  it('has each case once, in its words, in the paragraph that reports point to', async () => {
    const promised = promisesOf(await readFile(PAGE, 'utf8'));

    const expected = CASES.map(({ id, promise }) => ({ id, promise, under: PARAGRAPHS[id.slice(0, 3)] }));

    const byId = (left: { readonly id: string }, right: { readonly id: string }) => left.id.localeCompare(right.id);
    expect(promised.sort(byId)).to.deep.equal(expected.sort(byId));
  });

  it('cites no case that does not exist', async () => {
    const cited = (await readFile(PAGE, 'utf8')).match(/\b[A-Z]{3}-\d{3}\b/g) ?? [];

    const ids = new Set(CASES.map((one) => one.id));
    expect(cited.filter((id) => id !== 'SHA-256' && !ids.has(id))).to.deep.equal([]);
  });

  it('states every promise as an obligation', () => {
    const vague = CASES.filter(({ promise }) => !/\bMUST\b/.test(promise)).map((one) => one.id);

    expect(vague).to.deep.equal([]);
  });
});
