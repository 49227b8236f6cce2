import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  bindConformance,
  CASES,
  ConformanceRun,
  formatReport,
  LEVELS,
  NEEDS,
  runConformance,
  selectCases,
} from '../../../../core/conformance/index.ts';
import { DrError } from '../../../../core/contract/index.ts';
import { memorySubject } from './memory-subject.ts';
import { alter, broken, rewrite, sessions } from './variant.ts';

const leaking = broken('a released snapshot stays', [], () => ({ snapshots: { releaseSnapshot: () => async () => undefined } }));

describe('the kit', () => {
  it('gives every case an id of its own, a level and known needs', () => {
    const ids = CASES.map((one) => one.id);

    expect(new Set(ids).size).to.equal(ids.length);
    for (const { id, level, needs } of CASES) {
      expect(id).to.match(/^[A-Z]{3}-\d{3}$/);
      expect(LEVELS).to.include(level);
      for (const need of needs) expect(NEEDS).to.have.property(need);
    }
  });

  it('selects cases by level and by the beginning of their ids, in order of their levels', () => {
    const selected = selectCases({ levels: [2, 4], only: ['CHG', 'RDR-001'] });

    expect(selected.map((one) => one.level)).to.deep.equal(selected.map((one) => one.level).sort());
    expect(new Set(selected.map((one) => one.id.slice(0, 3)))).to.deep.equal(new Set(['CHG', 'RDR']));
    expect(selectCases({ levels: [0], only: ['CHG'] })).to.deep.equal([]);
  });

  it('does not connect for level 0', async () => {
    await using good = await memorySubject('hyperv');
    let connected = 0;
    const subject = sessions(good, (session) => {
      connected += 1;
      return session;
    });

    await runConformance(subject, { levels: [0], only: ['MAN-001', 'MAN-002', 'MAN-003'] });

    expect(connected).to.equal(0);
  });

  it('fails the first case and skips the others when no session can be opened', async () => {
    await using good = await memorySubject('hyperv');
    const { subject } = good;

    const { results, passed } = await runConformance({ ...subject, config: { ...subject.config, password: 'wrong' } }, { levels: [1] });

    expect(results.map(({ outcome }) => outcome)).to.deep.equal(['failed', ...results.slice(1).map(() => 'skipped')]);
    expect(passed).to.equal(false);
  });

  it('fails a case that hangs, names the call and goes on', async () => {
    await using good = await memorySubject('hyperv');
    const stuck = sessions(good, (session) => alter(session, { session: { check: () => () => new Promise(() => undefined) } }));

    const { results } = await runConformance({ ...stuck, scale: { ...stuck.scale, caseTimeoutMs: 50 } }, { only: ['SES-003', 'INV-001'] });

    const [hung, next] = results;
    expect(hung).to.include({ outcome: 'failed', seen: 'did not end within 50 ms, waiting for session.check()' });
    expect(next).to.include({ outcome: 'passed' });
  });

  it('tells what is left behind, once at the case that left it and again at the end', async () => {
    await using good = await memorySubject('hyperv');

    const report = await runConformance(leaking.breaks(good), { only: ['SNP-001', 'RDR-001'] });

    const seen = report.results.map((result) => (result.outcome === 'failed' ? result.seen : result.outcome));
    expect(seen[0]).to.match(/left behind: snapshot/);
    expect(seen[1]).to.match(/left behind: snapshot/);
    expect(seen[1]?.match(/left behind/g)).to.have.length(1);
    expect(report.leftBehind).to.have.length(2);
    expect(report.passed).to.equal(false);
  });

  it('removes what an earlier run, killed, has left', async () => {
    await using good = await memorySubject('hyperv');
    await runConformance(leaking.breaks(good), { only: ['SNP-001'] });

    const report = await runConformance(good.subject, { only: ['SNP-001'] });

    expect(report).to.deep.include({ passed: true, leftBehind: [] });
  });

  it('cleans up after a case that failed half-way, its forks and running replicas too', async () => {
    await using good = await memorySubject('hyperv');
    const subject = sessions(good, (session) =>
      alter(session, {
        forks: {
          openDisk: () => async () => {
            throw new DrError('FILE_LOCKED', 'the disk is locked');
          },
        },
      }),
    );

    const report = await runConformance(subject, { only: ['FRK-003', 'FRK-007'] });

    expect(report.results.map(({ outcome }) => outcome)).to.deep.equal(['failed', 'failed']);
    expect(report.leftBehind).to.deep.equal([]);
    expect(await good.subject.lab?.leftovers('warmsite-conformance')).to.deep.equal([]);
  });

  it('fails whichever case sees an error that is not of the contract', async () => {
    await using good = await memorySubject('hyperv');
    const subject = sessions(good, (session) => ({
      ...session,
      power: rewrite(session.power!, {
        set: (set) => async (id, to, call) => {
          await set(id, to, call).catch((error: unknown) => {
            throw error instanceof DrError && error.code === 'NOT_FOUND' ? new DrError('NOT_FOUND', 'No such machine.') : error;
          });
        },
      }),
    }));

    const { results } = await runConformance(subject, { only: ['PWR-006'] });

    expect(results[0]).to.include({ outcome: 'failed' });
    expect(results[0]).to.have.property('seen').that.contains('ends in a full stop');
  });

  it('runs one case alone as it runs it among all', async () => {
    await using good = await memorySubject('kvm');
    const run = new ConformanceRun(good.subject);

    for (const one of selectCases({ only: ['CHG-006'] })) expect(await run.case(one)).to.include({ outcome: 'passed' });

    expect(await run.finish()).to.deep.equal([]);
  });
});

describe('the report', () => {
  it('says of a failed case what was promised, seen, likely and called, where, and how to run it alone', async () => {
    await using good = await memorySubject('hyperv');
    const subject = sessions(good, (session) =>
      alter(session, {
        snapshots: {
          openReader: () => async () => {
            throw new DrError('HOST_BUSY', 'no slot for a reader is free');
          },
        },
      }),
    );

    const report = await runConformance(subject, { only: ['RDR-006', 'STR-001', 'STR-002'] });

    const lines = formatReport(report, { plugin: './my-plugin' })
      .replace(/\d+\.\d s/, '0.0 s')
      .split('\n');
    expect(lines[0]).to.equal('RDR-006 failed: a read past the end is refused');
    expect(lines[1]).to.match(/^ {2}promise {7}read MUST reject/);
    expect(lines[2]).to.match(/^ {2}seen {10}source\.openReader\(.*\) failed with HOST_BUSY: no slot for a reader is free \(hint: wait/);
    expect(lines[3]).to.match(/^ {2}likely cause {2}the answer is padded with zeros/);
    expect(lines[4]).to.match(/^ {2}at {12}.*kit\.test\.ts:\d+$/);
    expect(lines[5]).to.match(/^ {2}last calls/);
    expect(lines).to.include('  contract      docs/integrator/contract.md#reading-disks');
    expect(lines).to.include('  alone         warmsite plugin check ./my-plugin --only RDR-006');
    expect(lines).to.include('  the session is no streaming source: STR-001 STR-002');
    expect(lines).to.include('nothing is left behind');
    expect(lines).to.include('0 passed, 1 failed, 2 not proven, 0.0 s');
  });
});

describe('the binding to a test runner', () => {
  it('makes one test per case, which passes, fails or is skipped as the case does', async () => {
    const good = await memorySubject('hyperv');
    const tests = new Map<string, (this: { skip(): unknown }) => Promise<void>>();
    const ends: (() => Promise<void>)[] = [];
    const runner = {
      describe: (_: string, body: () => void) => body(),
      it: (title: string, body: (this: { skip(): unknown }) => Promise<void>) => tests.set(title.slice(0, 7), body),
      after: (body: () => Promise<void>) => ends.push(body),
    };
    const outcomeOf = async (id: string) => {
      let skipped = false;
      const context = { skip: () => (skipped = true) };
      const error = await tests
        .get(id)
        ?.call(context)
        .then(
          () => undefined,
          (reason: unknown) => String(reason),
        );
      return skipped ? 'skipped' : (error ?? 'passed');
    };

    bindConformance('binds', async () => leaking.breaks(good), runner, { only: ['SES-001', 'SNP-004', 'STR-001'] });
    const outcomes = [await outcomeOf('SES-001'), await outcomeOf('STR-001'), await outcomeOf('SNP-004')];
    const end = await ends[0]?.().then(
      () => 'clean',
      (error: unknown) => String(error),
    );
    await good[Symbol.asyncDispose]();

    expect(outcomes.slice(0, 2)).to.deep.equal(['passed', 'skipped']);
    expect(outcomes[2]).to.match(/still listed.*\npromise: .*\nlikely cause: /);
    expect(end).to.match(/left behind: snapshot/);
  });
});
