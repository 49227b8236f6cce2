// Algebra on sets of bytes. Every function gives ascending, disjoint ranges that do not touch; all but `normalise` expect such ranges too.
import type { Extent } from '../contract/index.ts';

const endOf = (extent: Extent): number => extent.offset + extent.length;

/** Sorts, drops what is empty, joins what overlaps or touches. Hints like `zero` are dropped: the result is a set of bytes. */
export const normalise = (extents: Iterable<Extent>): Extent[] => {
  const sorted = Array.from(extents).filter((extent) => extent.length > 0);
  sorted.sort((a, b) => a.offset - b.offset);
  const result: { offset: number; length: number }[] = [];
  for (const { offset, length } of sorted) {
    const last = result.at(-1);
    if (last && offset <= endOf(last)) last.length = Math.max(last.length, offset + length - last.offset);
    else result.push({ offset, length });
  }
  return result;
};

export const union = (...sets: readonly (readonly Extent[])[]): Extent[] => normalise(sets.flat());

export const intersect = (a: readonly Extent[], b: readonly Extent[]): Extent[] => {
  const result: Extent[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const left = a[i];
    const right = b[j];
    if (!left || !right) return result;
    const start = Math.max(left.offset, right.offset);
    const end = Math.min(endOf(left), endOf(right));
    if (start < end) result.push({ offset: start, length: end - start });
    if (endOf(left) <= endOf(right)) i++;
    else j++;
  }
};

/** What is in `a` and not in `b`. */
export const subtract = (a: readonly Extent[], b: readonly Extent[]): Extent[] => {
  const result: Extent[] = [];
  let first = 0;
  for (const extent of a) {
    let from = extent.offset;
    const end = endOf(extent);
    while (first < b.length && endOf(b[first]!) <= from) first++;
    for (let at = first; at < b.length && b[at]!.offset < end; at++) {
      const hole = b[at]!;
      if (hole.offset > from) result.push({ offset: from, length: hole.offset - from });
      from = Math.max(from, endOf(hole));
    }
    if (from < end) result.push({ offset: from, length: end - from });
  }
  return result;
};

/** The smallest set of whole units of `to` bytes that holds all of it. */
export const roundOut = (extents: readonly Extent[], to: number): Extent[] =>
  normalise(
    extents.map((extent) => {
      const offset = Math.floor(extent.offset / to) * to;
      return { offset, length: Math.ceil(endOf(extent) / to) * to - offset };
    }),
  );

/** What lies in [from, to). */
export const clip = (extents: readonly Extent[], from: number, to: number): Extent[] =>
  to > from ? intersect(extents, [{ offset: from, length: to - from }]) : [];

/** The same bytes in pieces of at most `maxBytes`: the one result whose ranges may touch. */
export function* split(extents: Iterable<Extent>, maxBytes: number): Generator<Extent> {
  for (const extent of extents) {
    const end = endOf(extent);
    for (let at = extent.offset; at < end; at += maxBytes) yield { offset: at, length: Math.min(maxBytes, end - at) };
  }
}

export const totalBytes = (extents: Iterable<Extent>): number => {
  let total = 0;
  for (const { length } of extents) total += length;
  return total;
};

/** A test whether a range shares a byte with the set; each question takes logarithmic time. */
export const overlaps = (extents: readonly Extent[]): ((offset: number, length: number) => boolean) => {
  return (offset, length) => {
    if (length <= 0) return false;
    let low = 0;
    let high = extents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(extents[middle]!) <= offset) low = middle + 1;
      else high = middle;
    }
    const candidate = extents[low];
    return candidate !== undefined && candidate.offset < offset + length;
  };
};
