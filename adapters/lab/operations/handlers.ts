import type { Extent } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EstateArgs, EstateMethod, EstateResult, Lie } from '../port.ts';

export interface Context {
  readonly estate: Estate;
  /** What the faults ask this call to lie about. */
  readonly lies: ReadonlySet<Lie>;
  readonly signal?: AbortSignal | undefined;
}

/** One function for each method of a facet. What is synchronous here is one instant of the estate. */
export type Handlers<Facet extends string> = {
  readonly [M in Extract<EstateMethod, `${Facet}.${string}`>]: (
    context: Context,
    args: EstateArgs<M>,
  ) => EstateResult<M> | Promise<EstateResult<M>>;
};

const PAGE = 256;

/** Cuts a list into pages; the cursor is the place in the list, which is in the order of creation. */
export const pageOf = <T>(
  all: readonly T[],
  { cursor, limit = PAGE }: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
): { items: T[]; next?: string } => {
  const from = cursor === undefined ? 0 : Number(cursor);
  const items = all.slice(from, from + limit);
  return from + limit < all.length ? { items, next: String(from + limit) } : { items };
};

/** Extents from a byte offset on, clipped to it, a page at a time. */
export const extentPage = (all: Iterable<Extent>, from: number, limit = PAGE): { extents: Extent[]; next?: number } => {
  const extents: Extent[] = [];
  for (const extent of all) {
    const end = extent.offset + extent.length;
    if (end <= from) continue;
    const offset = Math.max(from, extent.offset);
    if (extents.length === limit) return { extents, next: offset };
    extents.push({ offset, length: end - offset });
  }
  return { extents };
};

export const nothing = {} as const;
export const mapOf = <K extends string, V>(record: Readonly<Record<string, V>>): [K, V][] => Object.entries(record) as [K, V][];
