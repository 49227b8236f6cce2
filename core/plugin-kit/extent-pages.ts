import type { Call, Extent } from '../contract/index.ts';
import { orderedExtents } from './ordered-extents.ts';

export interface ExtentPage {
  /** Where the next page begins; it must be beyond the beginning of this one, or the reader would never end. */
  readonly next: number;
  /** Sorted or not. What reaches beyond the page's own end counts to the pages after it. */
  readonly ranges: readonly Extent[];
}

/**
 * A vendor's ranges that come a page at a time, from a byte offset to the end of the disk. A page without ranges is no end.
 *
 * ```ts
 * changedExtents: (of, disk, from, call) => extentPages(call, { from, sizeBytes }, async (at) => {
 *   const page = await client.queryChanges(of, disk, at);
 *   return { next: page.start + page.length, ranges: page.areas };
 * }),
 * ```
 */
export async function* extentPages(
  call: Call,
  { from, sizeBytes }: { readonly from: number; readonly sizeBytes: number },
  getPage: (at: number) => Promise<ExtentPage>,
): AsyncGenerator<Extent, void> {
  let beyond: Extent[] = [];
  for (let at = from; at < sizeBytes; ) {
    const { next, ranges } = await getPage(at);
    const known = [...beyond, ...ranges];
    for (const extent of orderedExtents(known, { from: at, sizeBytes: Math.min(next, sizeBytes) })) {
      call.signal.throwIfAborted();
      yield extent;
    }
    beyond = known.filter(({ offset, length }) => offset + length > next);
    at = next;
  }
  call.signal.throwIfAborted();
}
