import type { Extent } from '../contract/index.ts';

export interface ExtentBounds {
  /** Ranges before are left out, one across it is cut. */
  readonly from: number;
  readonly sizeBytes: number;
  /** Data ranges with no more than this between them become one: over-reporting is allowed, and few large reads are faster. 0 unless told. */
  readonly gapBytes?: number;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

const union = (ranges: readonly Range[], gapBytes: number): Range[] => {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end + gapBytes) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
};

/** Both sorted and disjoint. */
const subtract = (ranges: readonly Range[], holes: readonly Range[]): Range[] => {
  const rest: Range[] = [];
  let index = 0;
  for (const range of ranges) {
    let { start } = range;
    while (holes[index] !== undefined && holes[index]!.end <= start) index++;
    for (let at = index; holes[at] !== undefined && holes[at]!.start < range.end; at++) {
      const hole = holes[at]!;
      if (hole.start > start) rest.push({ start, end: hole.start });
      start = Math.max(start, hole.end);
    }
    if (start < range.end) rest.push({ start, end: range.end });
  }
  return rest;
};

/**
 * A vendor's ranges as the contract wants them: ascending, disjoint, in bounds, neighbours joined. Where a range is given both as zero and as data it is data.
 *
 * ```ts
 * async *changedExtents(of, disk, from, call) {
 *   const areas = await client.queryChangedAreas(of, disk, from);
 *   yield* orderedExtents(areas.map(({ start, length }) => ({ offset: start, length })), { from, sizeBytes });
 * }
 * ```
 */
export const orderedExtents = (ranges: Iterable<Extent>, { from, sizeBytes, gapBytes = 0 }: ExtentBounds): Extent[] => {
  const data: Range[] = [];
  const zero: Range[] = [];
  for (const range of ranges) {
    const start = Math.max(range.offset, from);
    const end = Math.min(range.offset + range.length, sizeBytes);
    if (start < end) (range.zero ? zero : data).push({ start, end });
  }
  const dataRanges = union(data, gapBytes);
  const zeroRanges = subtract(union(zero, 0), dataRanges);
  return [
    ...dataRanges.map(({ start, end }): Extent => ({ offset: start, length: end - start })),
    ...zeroRanges.map(({ start, end }): Extent => ({ offset: start, length: end - start, zero: true })),
  ].sort((a, b) => a.offset - b.offset);
};
