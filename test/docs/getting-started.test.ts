import { expect } from 'chai';
import { describe, it } from 'mocha';
import { runPage } from './transcript.ts';

describe('the page of the first ten minutes', () => {
  it('works command by command, and shows what is really printed', async function () {
    this.timeout(300_000);

    const { commands, values } = await runPage('docs/operator/getting-started.md');

    expect([...values.keys()]).to.have.length(2);
    expect(commands.length).to.be.greaterThan(20);
  });
});
