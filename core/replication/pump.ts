// Moves changed ranges from a source to a sink: aligned, cut to blocks, several reads in flight, zero blocks recognised, reopened after a lost connection.
import { DrError, type Extent, isDrError } from '../contract/index.ts';
import type { DiskSource } from '../journal/disk-io.ts';

export const BLOCK_BYTES = 1024 * 1024;
export const REOPEN_ATTEMPTS = 5;
const ZEROES = Buffer.alloc(BLOCK_BYTES);

export interface Sink {
  /** `data` may be reused once the promise has resolved. */
  data(offset: number, data: Uint8Array): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
}

export interface OpenSource extends DiskSource, AsyncDisposable {}

export interface PumpRequest {
  /** Ranges from a byte offset on, ascending and disjoint. */
  extents(from: number): AsyncIterable<Extent> | Iterable<Extent>;
  open(): Promise<OpenSource>;
  readonly sink: Sink;
  readonly signal: AbortSignal;
  /** Everything before `fromOffset` has been moved already. */
  readonly fromOffset?: number;
  /** Bytes read from the source so far, and the offset before which everything has reached the sink. */
  onProgress?(readBytes: number, movedUpTo: number): void;
}

export interface PumpReport {
  readonly readBytes: number;
  readonly zeroBytes: number;
}

/** Buffers for all pumps of the process: what one gives back the next one takes. */
class BufferPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#free.length < 64) this.#free.push(buffer);
  }
}

export const buffers = new BufferPool();

export const isZero = (data: Uint8Array): boolean => ZEROES.subarray(0, data.length).equals(data);

/** Rounds ranges out to the alignment, joins what then overlaps, leaves out what is before `from`, and cuts to at most `maxBytes`. */
export async function* pieces(
  extents: AsyncIterable<Extent> | Iterable<Extent>,
  disk: Pick<DiskSource, 'sizeBytes' | 'alignmentBytes'>,
  maxBytes: number,
  from = 0,
): AsyncGenerator<Extent> {
  let doneTo = from - (from % disk.alignmentBytes);
  const step = Math.max(disk.alignmentBytes, maxBytes - (maxBytes % disk.alignmentBytes));
  for await (const { offset, length, zero } of extents) {
    const start = Math.max(doneTo, offset - (offset % disk.alignmentBytes));
    const end = Math.min(disk.sizeBytes, Math.ceil((offset + length) / disk.alignmentBytes) * disk.alignmentBytes);
    // A range known to be zero may only be trusted where rounding has not added neighbours.
    if (zero && offset >= doneTo && offset % disk.alignmentBytes === 0 && length % disk.alignmentBytes === 0) {
      yield { offset, length, zero };
      doneTo = offset + length;
      continue;
    }
    for (let at = start; at < end; at += step) yield { offset: at, length: Math.min(step, end - at) };
    doneTo = Math.max(doneTo, end);
  }
}

/** Resolves when every range has reached the sink. T8: after a lost connection it goes on from the last offset that has. */
export const pump = async (request: PumpRequest): Promise<PumpReport> => {
  let movedUpTo = request.fromOffset ?? 0;
  let attempts = 0;
  let readBytes = 0;
  let zeroBytes = 0;
  for (;;) {
    const before = movedUpTo;
    const flight = new Flight(movedUpTo);
    try {
      await using source = await request.open();
      const block = Math.min(BLOCK_BYTES, source.maxRequestBytes);
      for await (const piece of pieces(request.extents(movedUpTo), source, block, movedUpTo)) {
        request.signal.throwIfAborted();
        await flight.room(source.maxInFlight);
        flight.add(piece.offset, async () => {
          if (piece.zero) {
            await request.sink.zero(piece.offset, piece.length);
            zeroBytes += piece.length;
          } else {
            zeroBytes += await movePiece(source, piece, request.sink);
            readBytes += piece.length;
          }
          movedUpTo = Math.max(movedUpTo, flight.lowWater());
          request.onProgress?.(readBytes, movedUpTo);
        });
      }
      await flight.all();
      return { readBytes, zeroBytes };
    } catch (error) {
      await flight.settle();
      movedUpTo = Math.max(movedUpTo, flight.lowWater());
      request.signal.throwIfAborted();
      attempts = movedUpTo > before ? 1 : attempts + 1;
      if (!isPassing(error) || attempts >= REOPEN_ATTEMPTS) throw error;
    }
  }
};

/** Another attempt may succeed. */
export const isPassing = (error: unknown): boolean => isDrError(error) && (error.retry === 'reconnect' || error.retry === 'backoff');

const movePiece = async (source: DiskSource, piece: Extent, sink: Sink): Promise<number> => {
  const buffer = buffers.take();
  const data = buffer.subarray(0, piece.length);
  // A read that failed may still write into its buffer later (abort, time-out): only one that ended well gives it back.
  await source.read(piece.offset, data);
  const zero = isZero(data);
  if (zero) await sink.zero(piece.offset, piece.length);
  else await sink.data(piece.offset, data);
  buffers.give(buffer);
  return zero ? piece.length : 0;
};

/** Pieces under way, and the offset below which none is. */
class Flight {
  readonly #pending = new Map<number, Promise<void>>();
  #next: number;
  #failed: number | undefined;
  #error: unknown;

  constructor(from: number) {
    this.#next = from;
  }

  lowWater(): number {
    let low = this.#failed ?? this.#next;
    for (const offset of this.#pending.keys()) low = Math.min(low, offset);
    return low;
  }

  async room(limit: number): Promise<void> {
    while (this.#pending.size >= Math.max(1, limit)) await Promise.race(this.#pending.values());
    if (this.#failed !== undefined) throw this.#error;
  }

  add(offset: number, work: () => Promise<void>): void {
    this.#next = Math.max(this.#next, offset);
    const run = async () => {
      try {
        await work();
      } catch (error) {
        if (this.#failed === undefined || offset < this.#failed) {
          this.#failed = offset;
          this.#error = error;
        }
      } finally {
        this.#pending.delete(offset);
      }
    };
    // Entered before it runs: work that ends at once still finds itself pending.
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pending.set(offset, promise);
    void run().then(resolve, resolve);
  }

  async all(): Promise<void> {
    await this.settle();
    if (this.#failed !== undefined) throw this.#error;
  }

  async settle(): Promise<void> {
    await Promise.all(this.#pending.values());
  }
}

export const assertSameSize = (what: string, expected: number, actual: number): void => {
  if (expected === actual) return;
  throw new DrError('DISK_CHANGED', `${what} has ${actual} bytes, expected ${expected}`, { context: { expected, actual } });
};
