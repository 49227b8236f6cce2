import { expect } from 'chai';
import { describe, it } from 'mocha';
import { runPage } from './transcript.ts';

describe('the page on Hyper-V without VMM', () => {
  it('works command by command, and compares the disks at each move', async function () {
    this.timeout(300_000);

    const { commands } = await runPage('docs/operator/hyperv-to-hyperv.md');

    expect(commands.filter((command) => /^warmsite (failover planned .*--wait|failback|lab compare)/.test(command))).to.have.length(7);
  });
});
