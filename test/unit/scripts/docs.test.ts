import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CATALOG } from '../../../cli/catalog.ts';
import { ERRORS } from '../../../core/contract/index.ts';
import { findStale, renderReferences } from '../../../scripts/docs.ts';

describe('generated references', () => {
  it('are what the program would write today', async () => {
    expect(await findStale()).to.deep.equal([]);
  });

  it('name every noun and every error code', async () => {
    const references = await renderReferences();

    for (const { name } of CATALOG) expect(references.get('docs/reference/cli.md')).to.include(`### ${name}\n`);
    for (const code of Object.keys(ERRORS)) expect(references.get('docs/reference/errors.md')).to.include(`| \`${code}\` |`);
  });
});
