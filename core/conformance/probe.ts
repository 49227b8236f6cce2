// What cases share: consuming streams, comparing ranges and contents, expecting refusals. A failed expectation says what was seen, with numbers.
import assert from 'node:assert/strict';
import { type Call, type DiskReader, DrError, type ErrorCode, type Extent } from '../contract/index.ts';

export const collect = async <T>(stream: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = [];
  for await (const item of stream) list.push(item);
  return list;
};

/** The error that `attempt` rejects with, or undefined when it resolves. */
export const refusal = async (attempt: () => unknown): Promise<unknown> => {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    return error ?? new Error('rejected with nothing');
  }
};

export const describeError = (error: unknown): string =>
  error instanceof DrError ? `${error.code}: ${error.message}` : error instanceof Error ? `${error.name}: ${error.message}` : String(error);

/** `attempt` must reject with one of the codes; with any DrError when none is named. */
export const assertRefused = async (what: string, attempt: () => unknown, ...codes: readonly ErrorCode[]): Promise<DrError> => {
  const error = await refusal(attempt);
  const wanted = codes.length > 0 ? codes.join(' or ') : 'an error of the contract';
  assert.ok(error !== undefined, `${what} succeeded, expected ${wanted}`);
  assert.ok(error instanceof DrError, `${what} rejected with ${describeError(error)}, expected ${wanted}`);
  assert.ok(codes.length === 0 || codes.includes(error.code), `${what} rejected with ${describeError(error)}, expected ${wanted}`);
  return error;
};

/** `attempt` must reject with exactly the reason of the call's signal. */
export const assertAborted = async (what: string, call: Call, attempt: () => unknown): Promise<void> => {
  const error = await refusal(attempt);
  assert.ok(error !== undefined, `${what} went on and succeeded although its signal had aborted`);
  assert.ok(error === call.signal.reason, `${what} rejected with ${describeError(error)}, expected the reason of the signal`);
};

/** Takes elements, aborts before the first, after the first, in the middle and after the last, and expects the next one to reject with the reason. */
export const assertStreamAborts = async <T>(
  what: string,
  open: (call: Call) => AsyncIterable<T>,
  abortable: () => { readonly call: Call; abort(): void },
): Promise<void> => {
  const total = (await collect(open(abortable().call))).length;
  const stops = [...new Set([0, 1, Math.ceil(total / 2), total])].filter((stop) => stop <= total).sort((a, b) => a - b);
  for (const stop of stops) {
    const { call, abort } = abortable();
    const iterator = open(call)[Symbol.asyncIterator]();
    for (let taken = 0; taken < stop; taken += 1) {
      const next = await iterator.next();
      assert.ok(!next.done, `${what} gave ${taken} elements, and ${total} when it was read before`);
    }
    abort();
    await assertAborted(`${what}, aborted after element ${stop} of ${total},`, call, async () => iterator.next());
  }
};

const end = (extent: Extent): number => extent.offset + extent.length;

export const showExtent = (extent: Extent): string => `[${extent.offset}, +${extent.length}${extent.zero ? ', zero' : ''}]`;

export const assertExtents = (what: string, extents: readonly Extent[], sizeBytes: number, from = 0): void => {
  let previous: Extent | undefined;
  for (const extent of extents) {
    const { offset, length } = extent;
    assert.ok(Number.isSafeInteger(offset) && Number.isSafeInteger(length), `${what} gave ${showExtent(extent)}: not whole numbers`);
    assert.ok(length > 0, `${what} gave ${showExtent(extent)}: no length`);
    assert.ok(offset >= from, `${what} gave ${showExtent(extent)} when asked from byte ${from} on`);
    assert.ok(end(extent) <= sizeBytes, `${what} gave ${showExtent(extent)}, past the end of the disk at ${sizeBytes}`);
    if (previous)
      assert.ok(offset >= end(previous), `${what} gave ${showExtent(extent)} after ${showExtent(previous)}: not ascending and disjoint`);
    previous = extent;
  }
};

/** Ascending extents with neighbours joined, clipped to what lies at or after `from`. */
export const merge = (extents: readonly Extent[], from = 0): Extent[] => {
  const joined: { offset: number; length: number }[] = [];
  for (const extent of extents) {
    const offset = Math.max(extent.offset, from);
    if (end(extent) <= offset) continue;
    const last = joined.at(-1);
    if (last && offset <= end(last)) last.length = Math.max(last.length, end(extent) - last.offset);
    else joined.push({ offset, length: end(extent) - offset });
  }
  return joined;
};

export const covers = (extents: readonly Extent[], wanted: Extent): boolean =>
  merge(extents).some((extent) => extent.offset <= wanted.offset && end(extent) >= end(wanted));

/** Whatever offset a stream of ranges is asked from, it gives the same rest. */
export const assertRestarts = async (what: string, sizeBytes: number, open: (from: number) => AsyncIterable<Extent>): Promise<void> => {
  const whole = await collect(open(0));
  assertExtents(what, whole, sizeBytes);
  const first = whole[0];
  const middle = whole[Math.floor(whole.length / 2)];
  const last = whole.at(-1);
  const offsets = new Set([512, Math.floor(sizeBytes / 1024) * 512, sizeBytes]);
  for (const extent of [first, middle, last]) {
    if (extent) for (const offset of [extent.offset, extent.offset + Math.floor(extent.length / 2), end(extent)]) offsets.add(offset);
  }
  for (const from of offsets) {
    const rest = await collect(open(from));
    assertExtents(`${what} from byte ${from}`, rest, sizeBytes, from);
    assert.deepEqual(
      merge(rest),
      merge(whole, from),
      `${what} from byte ${from} gave ${merge(rest).map(showExtent).join(' ') || 'nothing'}, and as part of the whole ${merge(whole, from).map(showExtent).join(' ') || 'nothing'}`,
    );
  }
};

/** Bytes that are never zero and differ by seed and position: what is lost, moved or mixed up shows. */
export const pattern = (seed: number, length: number): Uint8Array => {
  const data = new Uint8Array(length);
  let state = (seed * 2654435761 + 12345) >>> 0;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[index] = 1 + ((state >>> 16) % 255);
  }
  return data;
};

export const sha256 = async (data: Uint8Array): Promise<string> =>
  hex(new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(data))));

export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

export const isZero = (data: Uint8Array): boolean => data.every((byte) => byte === 0);

/** Offset of the first byte that differs, or undefined. */
export const difference = (left: Uint8Array, right: Uint8Array): number | undefined => {
  const length = Math.max(left.length, right.length);
  for (let index = 0; index < length; index += 1) if (left[index] !== right[index]) return index;
  return undefined;
};

export const assertSameBytes = (what: string, seen: Uint8Array, expected: Uint8Array, at = 0): void => {
  const index = difference(seen, expected);
  if (index === undefined) return;
  assert.fail(`${what}: byte ${at + index} is ${seen[index] ?? 'absent'}, expected ${expected[index] ?? 'absent'}`);
};

export interface ReadLimits {
  readonly offset?: number;
  readonly length?: number;
  readonly requestBytes?: number;
}

/** Reads in requests of at most what the reader allows, one after the other. */
export const readRange = async (reader: DiskReader, call: () => Call, limits: ReadLimits = {}): Promise<Uint8Array> => {
  const offset = limits.offset ?? 0;
  const data = new Uint8Array(limits.length ?? reader.sizeBytes - offset);
  const largest = Math.min(reader.maxRequestBytes, 1024 * 1024);
  const request = Math.max(reader.alignmentBytes, limits.requestBytes ?? largest - (largest % reader.alignmentBytes));
  for (let at = 0; at < data.length; at += request)
    await reader.read(offset + at, data.subarray(at, Math.min(data.length, at + request)), call());
  return data;
};

export const isoTime = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/.test(text) && !Number.isNaN(Date.parse(text));
