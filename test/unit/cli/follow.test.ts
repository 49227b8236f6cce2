import { expect } from 'chai';
import { describe, it } from 'mocha';
import { exitOf } from '../../../cli/follow.ts';
import type { JobRecord } from '../../../core/flow/flow.ts';

const job = (more: Partial<JobRecord>): JobRecord => ({
  id: 'job-1',
  verb: 'test',
  target: 'erp',
  state: 'Succeeded',
  actor: 'cli:me',
  createdAt: '2026-01-01T00:00:00.000Z',
  ...more,
});
const failed = (code: string): Partial<JobRecord> => ({ state: 'Failed', error: { code, message: 'no', hint: 'do' } });

describe('the exit code of a job', () => {
  const cases: readonly (readonly [string, Partial<JobRecord>, number])[] = [
    ['one that succeeded', { state: 'Succeeded' }, 0],
    ['one of whose members some failed', { state: 'Partial' }, 3],
    ['one that waits for a person', { state: 'Waiting', waitingFor: 'go-on' }, 9],
    ['one that was interrupted long ago and waits for a person', { state: 'Interrupted', waitingFor: 'go-on' }, 9],
    ['one that was interrupted', { state: 'Interrupted' }, 130],
    ['one that was cancelled', { state: 'Cancelled' }, 130],
    ['one that failed because something was not reachable', failed('CONNECTION_LOST'), 7],
    ['one that failed because the state forbids it', failed('FENCED'), 5],
    ['one that failed with a code of a later release', failed('SOMETHING_NEW'), 1],
  ];
  for (const [what, more, code] of cases) {
    it(`is ${code} for ${what}`, () => {
      expect(exitOf(job(more))).to.equal(code);
    });
  }
});
