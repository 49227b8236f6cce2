import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { type RetainedPoint, selectForPruning } from '../../../../core/domain/retention.ts';

const HOUR = 3_600_000;
const T0 = Date.parse('2026-03-01T00:00:00Z');
const point = (seq: number, hours: number, more: Partial<RetainedPoint> = {}): RetainedPoint => ({
  id: `p${seq}`,
  seq,
  takenAt: new Date(T0 + hours * HOUR).toISOString(),
  pinned: false,
  verified: false,
  kind: 'delta',
  ...more,
});
const LIVE = { frozen: false };

describe('retention', () => {
  it('removes what is beyond the number of points, oldest first', () => {
    const points = [point(1, 0), point(2, 1), point(3, 2), point(4, 3)];

    expect(selectForPruning(points, { points: 2, hours: 24 }, LIVE)).to.deep.equal(['p1', 'p2']);
  });

  it('removes what is older than the hours, counted from the newest point and not from any clock', () => {
    const points = [point(1, 0), point(2, 10), point(3, 20)];

    expect(selectForPruning(points, { points: 100, hours: 12 }, LIVE)).to.deep.equal(['p1']);
  });

  it('orders by sequence, so a source clock that was set back does not make the newest point old', () => {
    const points = [point(1, 50), point(2, 51), point(3, 0)];

    expect(selectForPruning(points, { points: 2, hours: 12 }, LIVE)).to.deep.equal(['p1']);
  });

  it('keeps pinned points and the newest verified one', () => {
    const points = [
      point(1, 0, { pinned: true }),
      point(2, 1, { verified: true }),
      point(3, 2, { verified: true }),
      point(4, 3),
      point(5, 4),
    ];

    expect(selectForPruning(points, { points: 1, hours: 1 }, LIVE)).to.deep.equal(['p2', 'p4']);
  });

  it('does not take a divergent point for the verified one', () => {
    const points = [point(1, 0, { verified: true }), point(2, 1, { verified: true, kind: 'divergent' }), point(3, 2)];

    expect(selectForPruning(points, { points: 1, hours: 1 }, LIVE)).to.deep.equal(['p2']);
  });

  it('removes nothing while it is frozen', () => {
    expect(selectForPruning([point(1, 0), point(2, 99)], { points: 1, hours: 1 }, { frozen: true })).to.deep.equal([]);
  });

  it('never removes the newest point, a pinned one, or the last verified one', () => {
    const points = fc.array(fc.record({ hours: fc.integer({ min: -99, max: 99 }), pinned: fc.boolean(), verified: fc.boolean() }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(points, fc.nat(5), fc.nat(50), (list, count, hours) => {
        const all = list.map(({ hours: at, ...rest }, seq) => point(seq, at, rest));

        const removed = new Set(selectForPruning(all, { points: count, hours }, LIVE));

        const kept = all.filter(({ id }) => !removed.has(id));
        expect(kept).to.include(all.at(-1));
        expect(all.filter(({ pinned }) => pinned).every(({ id }) => !removed.has(id))).to.equal(true);
        expect(kept.some(({ verified }) => verified)).to.equal(all.some(({ verified }) => verified));
      }),
    );
  });
});
