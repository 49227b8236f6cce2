import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { Tracker } from '../../../../adapters/lab/tracker.ts';
import { type Baseline, isDrError } from '../../../../core/contract/index.ts';

const GRANULE = 4096;
const SIZE = 64 * GRANULE;

const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('write' as const), fc.nat({ max: 63 }), fc.integer({ min: 1, max: 3 })) },
  { weight: 2, arbitrary: fc.tuple(fc.constant('mark' as const), fc.constant(0), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('keep' as const), fc.nat({ max: 7 }), fc.nat({ max: 7 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('forget' as const), fc.nat({ max: 7 }), fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('reopen' as const), fc.constant(0), fc.constant(0)) },
);

const isLost = (run: () => unknown): boolean => {
  try {
    run();
    return false;
  } catch (error) {
    return isDrError(error, 'TRACKING_LOST');
  }
};

describe('a change tracker', () => {
  for (const exact of [true, false]) {
    it(`with ${exact ? 'baselines of their own' : 'one sequence'} reports every write between two baselines or says that it cannot`, () => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          let tracker = new Tracker('disk', 'incarnation', GRANULE, exact);
          const marks: { baseline: Baseline; writes: Set<number> }[] = [];
          for (const [what, a, b] of steps) {
            if (what === 'write') {
              const length = Math.min(b, 64 - a);
              tracker.record(a * GRANULE, length * GRANULE);
              for (const mark of marks) for (let granule = a; granule < a + length; granule++) mark.writes.add(granule);
            } else if (what === 'mark') marks.push({ baseline: tracker.mark('us'), writes: new Set() });
            else if (what === 'keep')
              tracker.keep(
                'us',
                [marks[a], marks[b]].flatMap((mark) => (mark ? [mark.baseline] : [])),
              );
            else if (what === 'forget') {
              const mark = marks[a];
              if (mark) tracker.forget(mark.baseline);
            } else {
              const saved = JSON.parse(JSON.stringify(tracker.save()));
              tracker = new Tracker('disk', 'other', GRANULE, exact);
              tracker.load(saved);
            }
          }

          for (const { baseline, writes } of marks) {
            if (!tracker.knows(baseline)) {
              expect(isLost(() => tracker.changed(baseline, undefined, SIZE))).to.equal(true);
              continue;
            }
            const extents = tracker.changed(baseline, undefined, SIZE);
            const reported = new Set(
              extents.flatMap(({ offset, length }) => Array.from({ length: length / GRANULE }, (_, i) => offset / GRANULE + i)),
            );
            expect([...writes].filter((granule) => !reported.has(granule))).to.deep.equal([]);
            for (const [index, extent] of extents.entries()) {
              const before = extents[index - 1];
              if (before) expect(extent.offset).to.be.greaterThan(before.offset + before.length);
            }
          }
        }),
      );
    });
  }

  it('reports nothing that was written after the end it is asked for', () => {
    const tracker = new Tracker('disk', 'incarnation', GRANULE, true);
    const from = tracker.mark('us');
    tracker.record(0, 512);
    const to = tracker.mark('us');
    tracker.record(10 * GRANULE, 512);

    expect(tracker.changed(from, to, SIZE)).to.deep.equal([{ offset: 0, length: GRANULE }]);
  });

  it('knows no baseline of another disk, another incarnation, a future or a forgery', () => {
    const tracker = new Tracker('disk', 'incarnation', GRANULE, true);
    const baseline = tracker.mark('us');

    for (const foreign of [
      '',
      'x',
      baseline.replace('disk', 'disc'),
      `${baseline}0`,
      baseline.replace(/1$/, '0'),
      baseline.replace(/1$/, '01'),
    ]) {
      expect(
        isLost(() => tracker.changed(foreign as Baseline, undefined, SIZE)),
        foreign,
      ).to.equal(true);
    }
    tracker.reset('next');
    tracker.mark('us');
    expect(isLost(() => tracker.changed(baseline, undefined, SIZE))).to.equal(true);
  });

  it('leaves the baselines of other owners alone', () => {
    const tracker = new Tracker('disk', 'incarnation', GRANULE, true);
    const theirs = tracker.mark('them');
    const ours = tracker.mark('us');
    tracker.keep('us', []);

    expect(tracker.knows(theirs)).to.equal(true);
    expect(tracker.knows(ours)).to.equal(false);
  });
});
