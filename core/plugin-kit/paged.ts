import { type Call, DrError } from '../contract/index.ts';

export interface Page<T, Cursor> {
  readonly items: readonly T[];
  /** Of the page after this one; absent on the last. */
  readonly next?: Cursor | undefined;
}

/**
 * The elements of a list that the vendor gives in pages; the next page is asked for when its first element is. Empty pages are no end.
 * Throws PROTOCOL_ERROR when a page names itself as the next one, which would never end.
 *
 * ```ts
 * listMachines: (query, call) => paged(call, (cursor?: string) => client.listVms({ cursor, limit: 100 })),
 * ```
 */
export async function* paged<T, Cursor = string>(
  call: Call,
  getPage: (cursor: Cursor | undefined) => Promise<Page<T, Cursor>>,
): AsyncGenerator<T, void> {
  let cursor: Cursor | undefined;
  do {
    call.signal.throwIfAborted();
    const page: Page<T, Cursor> = await getPage(cursor);
    for (const item of page.items) {
      call.signal.throwIfAborted();
      yield item;
    }
    if (page.next !== undefined && page.next === cursor) {
      throw new DrError('PROTOCOL_ERROR', `the page at ${String(cursor)} of a list names itself as the next one`);
    }
    cursor = page.next;
  } while (cursor !== undefined);
}
