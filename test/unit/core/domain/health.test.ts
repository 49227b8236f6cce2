import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { healthOf, lagOf } from '../../../../core/domain/health.ts';
import type { Item } from '../../../../core/domain/item.ts';
import { DEFAULT_POLICY } from '../../../../core/domain/policy.ts';

const NOW = Date.parse('2026-01-01T01:00:00Z');
const iso = (ms: number): string => new Date(ms).toISOString();
const item = (state: Partial<Item['state']> = {}, more: Partial<Item> = {}): Item =>
  ({
    name: 'web',
    state: {
      protection: 'Protected',
      sync: { is: 'Delta' },
      test: 'None',
      active: { site: 'a' },
      direction: { from: 'a', to: 'b' },
      ...state,
    },
    ...more,
  }) as Item;
const facts = (lagMs: number) => ({
  lag: { ms: lagMs, causes: [{ cause: 'waiting' as const, ms: lagMs }] },
  policy: DEFAULT_POLICY,
  backlogPoints: 0,
  suspectPoints: 0,
  damagedPoints: 0,
  nowMs: NOW,
});
const proven = { lastTest: { at: iso(NOW - 1_000), point: 'p', pointAgeMs: 0, rtoMs: 1, booted: true, evidence: '' } };

describe('lag', () => {
  it('attributes every millisecond to a named cause (promise 9)', () => {
    fc.assert(
      fc.property(
        fc.nat(3_600_000),
        fc.nat(600_000),
        fc.nat(600_000),
        fc.option(fc.nat(600_000), { nil: undefined }),
        (age, making, reading, running) => {
          const takenAt = NOW - age;
          const point = {
            id: 'p',
            takenAt: iso(takenAt),
            sealedAt: iso(Math.min(NOW, takenAt + making)),
            applied: true,
            timings: { readMs: reading },
          };
          const lag = lagOf(item(), point, running === undefined ? undefined : iso(NOW - running), NOW);

          expect(lag.ms).to.equal(age);
          expect(lag.causes.reduce((sum, cause) => sum + cause.ms, 0)).to.equal(age);
        },
      ),
    );
  });

  it('names the pause or the reason of a stall for the time that nothing ran', () => {
    const point = { id: 'p', takenAt: iso(NOW - 60_000), sealedAt: iso(NOW - 59_000), applied: true, timings: { readMs: 500 } };

    expect(lagOf(item({ sync: { is: 'Paused' } }), point, undefined, NOW).causes.at(-1)?.cause).to.equal('paused');
    expect(lagOf(item({ sync: { is: 'Stalled', reason: 'JOURNAL_FULL' } }), point, undefined, NOW).causes.at(-1)).to.include({
      cause: 'stalled',
      because: 'JOURNAL_FULL',
    });
  });
});

describe('health', () => {
  it('is normal for a proven machine within its RPO', () => {
    expect(healthOf(item({}, proven), facts(1_000))).to.deep.equal({
      level: 'Normal',
      reasons: [],
      rpoViolation: false,
      proofExpired: false,
    });
  });

  it('gives each reason a next action', () => {
    const troubled = [
      item({ active: 'both' }),
      item({ active: 'neither' }),
      item({ sync: { is: 'Stalled', reason: 'x' } }),
      item({ protection: 'FailedOver' }),
      item({ protection: 'CommittingFailed' }),
      item({ test: 'CleanupFailed' }),
    ];
    for (const machine of troubled) {
      const { level, reasons } = healthOf(machine, facts(1_000_000));
      expect(level).to.not.equal('Normal');
      for (const reason of reasons) expect(reason.hint.length, reason.code).to.be.greaterThan(10);
    }
  });

  it('tells an operator whose machine runs nowhere what is possible in that state', () => {
    const hintOf = (more: Parameters<typeof item>[0]) =>
      healthOf(item({ active: 'neither', ...more }), facts(1_000)).reasons.find(({ code }) => code === 'no-copy-runs')?.hint;

    expect(hintOf({ protection: 'Protected' })).to.include('resolve --keep a');
    expect(hintOf({ protection: 'FailingOverFailed' })).to.include('cancel');
  });

  it('counts a proof that is too old, or that did not boot, as none', () => {
    const old = { lastTest: { ...proven.lastTest, at: iso(NOW - 91 * 86_400_000) } };
    const failed = { lastTest: { ...proven.lastTest, booted: false } };

    for (const more of [old, failed, {}]) expect(healthOf(item({}, more), facts(1_000)).proofExpired).to.equal(true);
  });

  it('flags a lag above the RPO as critical and names its largest cause', () => {
    const health = healthOf(item({}, proven), facts(301_000));

    expect(health).to.include({ level: 'Critical', rpoViolation: true });
    expect(health.reasons[0]?.message).to.contain('waiting');
  });
});
