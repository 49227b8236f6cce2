import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DrError } from '../../core/contract/index.ts';
import { brokenInvariants, replicaDiffers } from '../support/rules.ts';
import { World } from '../support/world.ts';

/** The journal has room for a redo, but none for the undo before its apply. */
const fillBeforeApply = async (world: World, name: string): Promise<void> => {
  const item = await world.item(name);
  const journal = await world.engine.core.journals.journal(item.state.direction.to, item.id);
  const { faults } = world;
  faults.onEnter = (call) => {
    if (journal.pending().length > 0 && call === 'files.open')
      faults.failAt = { call: faults.calls, error: () => new DrError('JOURNAL_FULL', 'no space left') };
  };
  await world.run('sync.now', { target: name });
  faults.onEnter = undefined;
  expect(journal.pending()).to.have.length(1);
};

describe('a cycle whose tracker is lost while a sealed point waits for its apply', () => {
  for (const name of ['erp-web', 'shop-web']) {
    it(`compares with that point, not with the one before it: ${name}`, async () => {
      await using world = await World.create({ seed: 3, writesPerSecond: 0 });
      await world.protect([name]);
      const { source, disks } = await world.item(name);
      const { machine } = source;
      const write = (fill: number) =>
        world.lab.control.call('lab.write', {
          machine,
          disk: disks[0]!.sourceDisk,
          offset: 131_072,
          data: new Uint8Array(4096).fill(fill),
        });
      await write(1);
      await world.do('sync.now', { target: name });
      await write(2);
      await fillBeforeApply(world, name);
      // The replica, which has not seen the second write, reads as the source again.
      await write(1);
      await world.lab.control.call('lab.resetTracker', { machine });

      await world.do('sync.now', { target: name });

      expect(await replicaDiffers(world, name)).to.equal(undefined);
      expect(await brokenInvariants(world)).to.deep.equal([]);
    });
  }
});
