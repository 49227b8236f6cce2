import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { Extent } from '../../../../core/contract/index.ts';
import { clip, intersect, normalise, overlaps, roundOut, split, subtract, totalBytes, union } from '../../../../core/domain/extents.ts';

const SIZE = 200;
const anyExtents = fc.array(fc.record({ offset: fc.nat(SIZE - 20), length: fc.nat(20) }), { maxLength: 12 });
const aSet = anyExtents.map(normalise);

type Bitmap = readonly boolean[];
const bitmap = (extents: Iterable<Extent>): Bitmap => {
  const list = Array.from(extents);
  return Array.from({ length: SIZE }, (_, at) => list.some((extent) => at >= extent.offset && at < extent.offset + extent.length));
};
const zip = (a: Bitmap, b: Bitmap, rule: (a: boolean, b: boolean) => boolean): Bitmap => a.map((bit, at) => rule(bit, b[at]!));

const expectSet = (extents: readonly Extent[], expected: Bitmap): void => {
  expect(bitmap(extents)).to.deep.equal(expected);
  for (const [index, extent] of extents.entries()) {
    expect(extent.length).to.be.greaterThan(0);
    const before = extents[index - 1];
    if (before) expect(before.offset + before.length).to.be.lessThan(extent.offset);
  }
};

describe('extents', () => {
  it('normalises any list to the ascending, disjoint ranges of the same bytes', () => {
    fc.assert(fc.property(anyExtents, (list) => expectSet(normalise(list), bitmap(list))));
  });

  it('unites, intersects and subtracts as a bitmap does', () => {
    fc.assert(
      fc.property(aSet, aSet, (a, b) => {
        expectSet(
          union(a, b),
          zip(bitmap(a), bitmap(b), (x, y) => x || y),
        );
        expectSet(
          intersect(a, b),
          zip(bitmap(a), bitmap(b), (x, y) => x && y),
        );
        expectSet(
          subtract(a, b),
          zip(bitmap(a), bitmap(b), (x, y) => x && !y),
        );
      }),
    );
  });

  it('rounds out to whole units that are touched, and no others', () => {
    fc.assert(
      fc.property(aSet, fc.integer({ min: 1, max: 16 }), (set, unit) => {
        const before = bitmap(set);
        const expected = before.map((_, at) =>
          before.slice(Math.floor(at / unit) * unit, (Math.floor(at / unit) + 1) * unit).some(Boolean),
        );
        expectSet(clip(roundOut(set, unit), 0, SIZE), expected);
      }),
    );
  });

  it('clips to a window', () => {
    fc.assert(
      fc.property(aSet, fc.nat(SIZE), fc.nat(SIZE), (set, from, to) =>
        expectSet(
          clip(set, from, to),
          bitmap(set).map((bit, at) => bit && at >= from && at < to),
        ),
      ),
    );
  });

  it('splits into pieces that are small enough and hold the same bytes once', () => {
    fc.assert(
      fc.property(aSet, fc.integer({ min: 1, max: 30 }), (set, maxBytes) => {
        const pieces = Array.from(split(set, maxBytes));

        expect(bitmap(pieces)).to.deep.equal(bitmap(set));
        expect(totalBytes(pieces)).to.equal(totalBytes(set));
        expect(pieces.every((piece) => piece.length > 0 && piece.length <= maxBytes)).to.equal(true);
      }),
    );
  });

  it('answers whether a range shares a byte with a set', () => {
    fc.assert(
      fc.property(aSet, fc.nat(SIZE), fc.nat(30), (set, offset, length) => {
        expect(overlaps(set)(offset, length)).to.equal(intersect(set, normalise([{ offset, length }])).length > 0);
      }),
    );
  });
});
