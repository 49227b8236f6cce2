// One disk, or one journal on it, is no reason for the engine to end: the other machines are protected by it too.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { File } from '../../core/ports/files.ts';
import { ioError } from '../support/memory-files.ts';
import { replicating, seconds } from '../support/replicating.ts';
import { World } from '../support/world.ts';

describe('a disk that fails under one call', function () {
  this.timeout(60_000);

  for (const call of ['file.write', 'file.sync', 'file.read', 'files.open', 'files.rename']) {
    it(`costs a cycle at most, and ends nothing else: ${call}`, async () => {
      const { world, planner } = await replicating(['erp-web', 'shop-web']);
      await using _ = world;
      world.faults.onEnter = (name) => {
        if (name !== call) return;
        world.faults.onEnter = undefined;
        world.faults.failAt = { call: world.faults.calls, error: ioError };
      };

      // Tried again after a minute.
      await seconds(world, 90);
      const later = world.lab.clock.now();
      await seconds(world, 20);
      await planner.stop();

      expect(world.faults.failAt?.call).to.be.a('number');
      for (const name of ['erp-web', 'shop-web']) {
        const points = (await world.engine.call('point.list', { target: name })) as { takenAt: string }[];
        expect(Math.max(...points.map(({ takenAt }) => Date.parse(takenAt))), name).to.be.above(later);
      }
    });
  }
});

const contentOf = async (file: File): Promise<Uint8Array> => {
  const content = new Uint8Array(await file.sizeBytes());
  await file.read(0, content);
  await file.close();
  return content;
};

describe('a journal that cannot be read', () => {
  it('keeps no engine from starting, and no other machine from failing over', async () => {
    await using world = await World.create();
    for (const name of ['erp-web', 'shop-web']) await world.protect([name]);
    const [mixedUp, sound] = await Promise.all(
      ['erp-web', 'shop-web'].map(async (name) => `/home/sites/site-b/journal/${await world.itemId(name)}`),
    );
    for (const name of await world.files.list(sound ?? '')) {
      const content = await contentOf(await world.files.open(`${sound}/${name}`, 'read'));
      const copy = await world.files.open(`${mixedUp}/${name}`, 'create');
      await copy.write(0, content);
      await copy.sync();
      await copy.close();
    }
    await world.files.syncDirectory(mixedUp ?? '');

    await world.crashAndRestart();

    const events = (await world.engine.call('event.list', { limit: 1_000 })) as { kind: string; level: string; subject: string }[];
    expect(events.find(({ kind }) => kind === 'journal.unreadable')).to.deep.include({ level: 'critical', subject: 'erp-web' });
    const bad = await world.run('failover.unplanned', { target: 'erp-web', sourceIs: 'off' });
    expect(bad.error).to.deep.include({ code: 'JOURNAL_CORRUPT' });
    await world.do('failover.unplanned', { target: 'shop-web', sourceIs: 'off' });
    expect((await world.item('shop-web')).state.protection).to.equal('CommitPending');
  });
});
