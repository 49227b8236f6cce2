import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openVim25 } from '../../adapters/vsphere/vim25/client.ts';
import { ENDED } from '../../core/flow/flow.ts';
import { listJobs } from '../../core/state/jobs.ts';
import { replicaDiffers } from '../support/rules.ts';
import { Vim } from '../support/vim.ts';
import { World } from '../support/world.ts';

/** The engine dies right after the so many-th flush of what it has copied; whether there was one. */
const dieAfterFlush = async (world: World, name: string, flush: number): Promise<boolean> => {
  let seen = 0;
  world.faults.onEnter = (call) => {
    if (!/\.flush$/.test(call)) return;
    seen += 1;
    if (seen === flush) world.faults.crashAt = world.faults.calls + 3;
  };
  const { crashed } = await world.untilCrash(world.run('protect', { machines: [name], to: 'site-b' }));
  return crashed;
};

const removeSnapshots = async (world: World, name: string): Promise<void> => {
  await using client = await openVim25(world.lab.openWire, { address: 'vcenter-a', username: 'warmsite', password: 'warmsite' });
  const vim = new Vim(client);
  const { machine } = await world.machine(name, 'vcenter-a');
  const { snapshot: info } = await vim.get({ type: 'VirtualMachine', value: machine }, 'snapshot');
  for (const { snapshot } of (info as { rootSnapshotList?: { snapshot: never }[] } | undefined)?.rootSnapshotList ?? [])
    await vim.task('RemoveSnapshot_Task', snapshot, { removeChildren: true, consolidate: true });
};

describe('a first copy whose engine was killed', () => {
  for (const { name, what, meanwhile } of [
    { name: 'files', what: 'of a stream, which does not begin where it was', meanwhile: async () => {} },
    { name: 'shop-db', what: 'of a snapshot that somebody has removed meanwhile', meanwhile: removeSnapshots },
    { name: 'shop-db', what: 'of a snapshot that is still there', meanwhile: async () => {} },
  ]) {
    it(`holds in the end what the source held, ${what}`, async function () {
      this.timeout(120_000);
      let killed = 0;
      for (let flush = 1; flush < 50; flush++) {
        await using world = await World.create({ seed: 5, writesPerSecond: 60 });
        if (!(await dieAfterFlush(world, name, flush))) break;
        killed += 1;
        await meanwhile(world, name);
        await world.advance(3_000);

        await world.crashAndRestart();
        for (const job of await listJobs(world.store.db)) if (!ENDED.includes(job.state)) await world.engine.settled(job.id);
        // What the first copy has missed, no delta brings.
        await world.run('sync.now', { target: name });
        for (let second = 0; second < 5; second++) {
          await world.advance(1_000);
          await world.engine.sweep();
        }

        expect((await world.item(name)).state.protection).to.equal('Protected');
        expect(await replicaDiffers(world, name), `killed after flush ${flush}`).to.equal(undefined);
      }
      expect(killed).to.be.greaterThan(1);
    });
  }
});
