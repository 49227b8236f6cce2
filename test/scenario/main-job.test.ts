import { expect } from 'chai';
import { describe, it } from 'mocha';
import { World } from '../support/world.ts';

describe('the main job', () => {
  it('protects, tests, fails over, commits, re-protects and fails back a Hyper-V machine', async () => {
    await using world = await World.create();
    await world.protect(['erp-web']);
    expect((await world.item('erp-web')).state.protection).to.equal('Protected');
  });
});
