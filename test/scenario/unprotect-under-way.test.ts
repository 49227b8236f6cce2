// Protection ends in the middle of everything: nothing is left at the machine, and nothing goes on for it.
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { JobRecord } from '../../core/engine.ts';
import { replicating, seconds } from '../support/replicating.ts';
import type { World } from '../support/world.ts';

const eventsOf = async (world: World): Promise<{ kind: string; level: string; subject: string; message: string }[]> =>
  (await world.engine.call('event.list', { limit: 1_000 })) as { kind: string; level: string; subject: string; message: string }[];

interface Moment {
  readonly when: string;
  readonly at: RegExp;
  /** Also of a machine that is read as a stream. */
  readonly streams?: boolean;
}

const MOMENTS: readonly Moment[] = [
  { when: 'its snapshot is taken', at: /CreateSnapshot/, streams: false },
  { when: 'its disks are read', at: /read$/ },
  { when: 'its journal is written', at: /^file\.write/ },
  { when: 'a point is sealed', at: /^files\.rename/ },
  { when: 'a point is applied', at: /(agent|device|disk)\.write$/ },
];

describe('unprotect', function () {
  this.timeout(60_000);

  for (const name of ['erp-web', 'shop-web', 'files']) {
    for (const { when, at, streams = true } of MOMENTS) {
      if (name === 'files' && !streams) continue;
      it(`of ${name} while ${when} leaves nothing behind and nothing that goes on`, async () => {
        const { world, planner } = await replicating([name, 'erp-db']);
        await using _ = world;
        const job = new Promise<JobRecord>((resolve, reject) => {
          world.faults.onEnter = (call) => {
            if (!at.test(call)) return;
            world.faults.onEnter = undefined;
            world.run('unprotect', { target: name }).then(resolve, reject);
          };
        });

        await seconds(world, 30);

        expect((await job).result).to.deep.equal({ leftBehind: [] });
        const ended = world.lab.clock.now();
        await seconds(world, 20);
        const points = (await world.engine.call('point.list', { target: 'erp-db' })) as { takenAt: string }[];
        expect(Math.max(...points.map(({ takenAt }) => Date.parse(takenAt)))).to.be.above(ended);
        await world.engine.call('sync.pause', { target: 'erp-db' });
        await seconds(world, 10);
        await planner.stop();
        const left = (await world.status()).leftovers.filter(({ kind }) => kind !== 'replica').map(({ kind }) => kind);
        expect(left).to.deep.equal([]);
        const warnings = (await eventsOf(world)).filter(({ kind, level }) => /failed/.test(kind) && level !== 'info');
        expect(warnings).to.deep.equal([]);
      });
    }
  }
});
