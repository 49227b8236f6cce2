import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createManualClock } from '../../support/manual-clock.ts';
import { createTestRuntime } from '../../support/runtime.ts';

describe('the manual clock', () => {
  it('wakes sleepers by due time, and equal times in the order of going to sleep', async () => {
    const clock = createManualClock(1000);
    const woken: string[] = [];
    const sleeps = (
      [
        ['late', 30],
        ['first', 10],
        ['second', 10],
      ] as const
    ).map(async ([name, ms]) => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.now()}`);
    });

    expect(clock.pending).to.deep.equal([1010, 1010, 1030]);
    await clock.advance(100);
    await Promise.all(sleeps);

    expect(woken).to.deep.equal(['first@1010', 'second@1010', 'late@1030']);
    expect(clock.now()).to.equal(1100);
  });

  it('wakes within one advance whoever goes to sleep again in it', async () => {
    const clock = createManualClock(0);
    const beats: number[] = [];
    const beat = (async () => {
      for (let index = 0; index < 3; index++) {
        await clock.sleep(10);
        beats.push(clock.now());
      }
    })();

    await clock.advance(30);
    await beat;

    expect(beats).to.deep.equal([10, 20, 30]);
  });

  it('forgets a sleeper whose signal aborts, and rejects with the reason', async () => {
    const clock = createManualClock(0);
    const controller = new AbortController();
    const asleep = clock.sleep(10, controller.signal).catch((reason: unknown) => reason);

    controller.abort('enough');

    expect(await asleep).to.equal('enough');
    expect(clock.pending).to.deep.equal([]);
  });

  it('runs from sleeper to sleeper until a promise settles, and says so when only something else can settle it', async () => {
    const clock = createManualClock(0);
    const work = clock.sleep(3_600_000).then(() => 'done');

    expect(await clock.runUntil(work)).to.equal('done');
    expect(clock.now()).to.equal(3_600_000);

    const stuck = await clock.runUntil(new Promise<never>(() => {})).catch((error: Error) => error.message);
    expect(stuck).to.match(/nobody sleeps/);
  });
});

describe('the test runtime', () => {
  it('gives the same ids for the same seed and time, and others for another seed', () => {
    const idsOf = (seed: number): string[] => {
      const runtime = createTestRuntime({ seed });
      return [runtime.newId('job'), runtime.newId('job')];
    };

    expect(idsOf(7)).to.deep.equal(idsOf(7));
    expect(idsOf(7)[0]).to.match(/^job-[0-9a-z]{20}$/);
    expect(new Set([...idsOf(7), ...idsOf(8)]).size).to.equal(4);
  });
});
