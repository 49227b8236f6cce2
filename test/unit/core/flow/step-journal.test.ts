import { expect } from 'chai';
import { describe, it } from 'mocha';
import { DrError, isDrError } from '../../../../core/contract/index.ts';
import type { Jobs, Verb } from '../../../../core/flow/flow.ts';
import { createStepJournal } from '../../../../core/flow/step-journal.ts';
import { openStore, type Store } from '../../../../core/state/database.ts';
import { listSteps } from '../../../../core/state/jobs.ts';
import { getMeta, putMeta } from '../../../../core/state/records.ts';
import type { ManualClock } from '../../../support/manual-clock.ts';
import { createTestRuntime } from '../../../support/runtime.ts';

const HOURS = { resumeWithinMs: 3_600_000 };

interface Bench {
  readonly store: Store;
  readonly clock: ManualClock;
  /** A new engine over the same store. */
  engine(): Jobs;
}

const createBench = async (): Promise<Bench> => {
  const store = await openStore(':memory:');
  const runtime = createTestRuntime();
  return { store, clock: runtime.clock, engine: () => createStepJournal(store, runtime) };
};

const request = (verb: string, input: unknown = {}) => ({ verb, target: 'a', input, actor: 'tester' });

describe('durable jobs', () => {
  it('run their steps once each and record their results', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    const ran: string[] = [];
    jobs.define({
      name: 'add',
      run: async (flow) => {
        const one = await flow.step('one', async () => ran.push('one'));
        const two = await flow.step('two', async () => one + ran.push('two') - 1);
        return { result: two };
      },
    });

    const job = await jobs.settled(await jobs.start(request('add')));

    expect(job).to.include({ state: 'Succeeded', result: 2 });
    expect(ran).to.deep.equal(['one', 'two']);
    expect((await listSteps(bench.store.db, job.id)).map((step) => [step.name, step.state, step.attempts])).to.deep.equal([
      ['one', 'Done', 1],
      ['two', 'Done', 1],
    ]);
  });

  it('go on after a kill in any step: what was recorded is not done again, the step under way is, with the same operation id', async () => {
    const names = ['a', 'b', 'c', 'd'];
    for (const killedIn of names) {
      const bench = await createBench();
      const done: string[] = [];
      const operationIds: string[] = [];
      const verb = (hangs: boolean): Verb<unknown, string> => ({
        name: 'letters',
        run: async (flow) => {
          for (const name of names) {
            await flow.step(name, async ({ operationId, signal }) => {
              if (name === killedIn) operationIds.push(operationId);
              if (hangs && name === killedIn)
                await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
              done.push(name);
            });
          }
          return { result: done.join('') };
        },
      });
      const first = bench.engine();
      first.define(verb(true));
      const id = await first.start(request('letters'));
      await bench.clock.advance(1);
      await first.stop();

      const second = bench.engine();
      second.define(verb(false));
      const resumed = await second.resumeInterrupted(HOURS);
      const job = await second.settled(id);

      expect(resumed).to.deep.equal([id]);
      expect(job).to.include({ state: 'Succeeded', result: 'abcd' });
      expect(operationIds).to.deep.equal([`${id}/${killedIn}`, `${id}/${killedIn}`]);
    }
  });

  it('commit a step and its state change together, or neither', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    jobs.define({
      name: 'write',
      run: async (flow) => {
        await flow.step('write', async () => 'x', {
          commit: async (tx, result) => {
            await putMeta(tx, 'written', result);
            throw new DrError('STATE_CONFLICT', 'the rows do not fit');
          },
        });
        return { result: null };
      },
    });

    const job = await jobs.settled(await jobs.start(request('write')));

    expect(job.state).to.equal('Failed');
    expect(job.error).to.include({ code: 'STATE_CONFLICT' });
    expect(await getMeta(bench.store.db, 'written')).to.equal(undefined);
  });

  it('start once when told twice with the same id', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    let runs = 0;
    jobs.define({ name: 'once', run: async (flow) => ({ result: await flow.step('count', async () => ++runs) }) });

    await Promise.all([jobs.start({ ...request('once'), id: 'job-1' }), jobs.start({ ...request('once'), id: 'job-1' })]);
    await jobs.settled('job-1');

    expect(runs).to.equal(1);
  });

  it('hear a signal that came before the wait, one that comes during it, and time out without one', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    jobs.define({
      name: 'wait',
      run: async (flow) => {
        await flow.step('before', async () => null);
        return {
          result: [
            await flow.waitFor('early', 1_000),
            await flow.waitFor('late', 1_000),
            (await flow.waitFor('never', 1_000)) ?? 'timed out',
          ],
        };
      },
    });
    const id = await jobs.start(request('wait'));
    await jobs.signal(id, 'early', 1);
    await bench.clock.advance(1);
    await jobs.signal(id, 'late', 2);
    await bench.clock.advance(1_001);

    expect((await jobs.settled(id)).result).to.deep.equal([1, 2, 'timed out']);
  });

  it('stop at the next step when cancelled, and compensate with steps of their own', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    const log: string[] = [];
    const entered = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    jobs.define({
      name: 'long',
      run: async (flow) => {
        await flow.step('one', async () => {
          entered.resolve();
          await go.promise;
          log.push('one');
        });
        await flow.step('two', async () => log.push('two'));
        return { result: null };
      },
      failed: async (flow) => {
        await flow.step('take back', async () => log.push('back'));
      },
    });
    const id = await jobs.start(request('long'));
    await entered.promise;
    await jobs.cancel(id);
    go.resolve();

    expect((await jobs.settled(id)).state).to.equal('Cancelled');
    expect(log).to.deep.equal(['one', 'back']);
  });

  it('refuse a cancel past the point of no return', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    const passed = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    jobs.define({
      name: 'commit',
      run: async (flow) => {
        await flow.pointOfNoReturn();
        await flow.step('rest', async () => {
          passed.resolve();
          await go.promise;
        });
        return { result: 'done' };
      },
    });
    const id = await jobs.start(request('commit'));
    await passed.promise;

    const refusal = await jobs.cancel(id).catch((error: unknown) => error);
    go.resolve();

    expect(isDrError(refusal, 'OPERATION_NOT_ALLOWED')).to.equal(true);
    expect((await jobs.settled(id)).state).to.equal('Succeeded');
  });

  it('wait for a person when they are taken up too late', async () => {
    const bench = await createBench();
    const hang = (): Verb<unknown, null> => ({
      name: 'old',
      run: async (flow) => ({
        result: await flow.step(
          'hang',
          ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ),
      }),
    });
    const first = bench.engine();
    first.define(hang());
    const id = await first.start(request('old'));
    await bench.clock.advance(1);
    await first.stop();
    await bench.clock.advance(2 * 3_600_000);

    const second = bench.engine();
    second.define({ name: 'old', run: async (flow) => ({ result: await flow.step('hang', async () => 'went on') }) });
    const resumed = await second.resumeInterrupted(HOURS);
    const waiting = await second.settled(id);
    await second.signal(id, 'go-on', {});
    const ended = await second.settled(id);

    expect(resumed).to.deep.equal([]);
    expect(waiting).to.include({ state: 'Interrupted', waitingFor: 'go-on' });
    expect(ended).to.include({ state: 'Succeeded', result: 'went on' });
  });

  it('leave jobs of verbs that this release does not know as they are', async () => {
    const bench = await createBench();
    const first = bench.engine();
    first.define({
      name: 'gone',
      run: async (flow) => ({
        result: await flow.step(
          'hang',
          ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        ),
      }),
    });
    const id = await first.start(request('gone'));
    await bench.clock.advance(1);
    await first.stop();

    const second = bench.engine();

    expect(await second.resumeInterrupted(HOURS)).to.deep.equal([]);
    expect((await second.settled(id)).state).to.equal('Running');
  });

  it('retry a failed job as a new one with the same input', async () => {
    const bench = await createBench();
    const jobs = bench.engine();
    let good = false;
    jobs.define<{ n: number }, number>({
      name: 'flaky',
      run: async (flow, input) => ({
        result: await flow.step('try', async () => {
          if (!good) throw new DrError('HOST_BUSY', 'the host is busy');
          return input.n;
        }),
      }),
    });
    const failed = await jobs.settled(await jobs.start(request('flaky', { n: 7 })));
    good = true;
    const again = await jobs.settled(await jobs.retry(failed.id, 'tester'));

    expect(failed.state).to.equal('Failed');
    expect(again).to.include({ state: 'Succeeded', result: 7 });
    expect(again.id).to.not.equal(failed.id);
  });
});
