import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { ENDED, type JobRecord } from '../../core/flow/flow.ts';
import { World } from '../support/world.ts';

describe('a failover that waits for a machine', () => {
  it('says which one, and what was seen of it', async () => {
    await using world = await World.create();
    await world.protect(['erp-web']);
    const said = new Set<string>();

    const { job: id } = (await world.engine.call('failover.planned', { target: 'erp-web' })) as { job: string };
    for (;;) {
      const job = (await world.engine.call('job.show', { id })) as JobRecord;
      if (job.progress) said.add(job.progress.text);
      if (ENDED.includes(job.state)) break;
      await turn();
    }

    expect([...said]).to.include.members([
      'erp-web is shutting down at vmm-a',
      'erp-web is starting at vmm-b: powered on, but the guest did not answer',
    ]);
  });
});
