import { DrError } from '../../core/contract/errors.ts';
import type { BlockRequestOptions } from '../block/port.ts';
import type { Answer, Connection, SendOptions } from './connection.ts';
import type { AgentDevice, AgentDigest, AgentOptions } from './port.ts';
import { Room } from './room.ts';
import {
  DIGEST_BYTES,
  isCount,
  MOST_DIGESTED_BYTES,
  MOST_DIGESTS,
  MOST_IN_FLIGHT,
  MOST_REQUEST_BYTES,
  type Opened,
  type Request,
} from './wire.ts';

/** For one piece of a read or write, from when it is sent on. Sixteen of them fit into it on a line of 1 Mbit/s. */
const PIECE_DEADLINE_MS = 180_000;

/** Requests for digests that are under way: one is read there while another is computed and a third is on its way. */
const DIGESTS_AHEAD = 3;

type Ask = Omit<Request, 'id' | 'device'>;

/**
 * A device at the agent. Offsets and lengths are checked here as well as there.
 * A write whose answer was lost (CONNECTION_LOST) or late (TIMED_OUT) may have taken effect, in whole or in part, or may still do so until the agent has
 * given the device back; who opens the device again finds it at rest.
 */
export class RemoteDevice implements AgentDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  readonly #connection: Connection;
  readonly #device: number;
  readonly #forWriting: boolean;
  readonly #room: Room;
  #closed: Promise<void> | undefined;

  constructor(connection: Connection, path: string, forWriting: boolean, opened: Opened) {
    this.#connection = connection;
    this.#device = opened.device;
    this.#forWriting = forWriting;
    this.#room = new Room(opened.maxInFlight);
    this.path = path;
    this.sizeBytes = opened.sizeBytes;
    this.logicalSectorBytes = opened.logicalSectorBytes;
    this.maxRequestBytes = opened.maxRequestBytes;
    this.maxInFlight = opened.maxInFlight;
  }

  async read(offset: number, into: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('read', offset, into.length);
    for (let at = 0; at < into.length; at += this.maxRequestBytes) {
      const length = Math.min(this.maxRequestBytes, into.length - at);
      const { tail } = await this.#request({ method: 'read', offset: offset + at, length }, { signal });
      if (tail.length !== length) throw this.#connection.reject(`answers a read of ${length} bytes with ${tail.length}`);
      into.set(tail, at);
    }
  }

  async write(offset: number, data: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('write', offset, data.length);
    for (let at = 0; at < data.length; at += this.maxRequestBytes) {
      const tail = data.subarray(at, at + this.maxRequestBytes);
      await this.#request({ method: 'write', offset: offset + at }, { signal, tail });
    }
  }

  async writeZeroes(offset: number, length: number, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('writeZeroes', offset, length);
    for (let at = 0; at < length; at += this.maxRequestBytes) {
      const piece = Math.min(this.maxRequestBytes, length - at);
      await this.#request({ method: 'writeZeroes', offset: offset + at, length: piece }, { signal });
    }
  }

  async flush({ signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('flush', 0, 0);
    await this.#request({ method: 'flush' }, { signal });
  }

  async *digests(blockBytes: number, from: number, { signal, deadlineMs }: AgentOptions = {}): AsyncGenerator<AgentDigest> {
    this.#check('digests', from, this.sizeBytes - from);
    if (!isCount(blockBytes) || blockBytes === 0 || blockBytes % this.logicalSectorBytes !== 0 || blockBytes > MOST_DIGESTED_BYTES) {
      throw new DrError('INTERNAL', `blocks of ${blockBytes} bytes are not in sectors of ${this.logicalSectorBytes} bytes of ${this.path}`);
    }
    const stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const most = Math.min(MOST_DIGESTS, Math.max(1, Math.floor(MOST_DIGESTED_BYTES / blockBytes)));
    const ask = (offset: number, count: number): Promise<Answer> => {
      const asked = this.#request({ method: 'digests', offset, blockBytes, count }, { signal: either, deadlineMs });
      // Told to whoever gets to it; a consumer that has gone gets to none.
      asked.catch(() => undefined);
      return asked;
    };
    const ahead: { readonly offset: number; readonly count: number; readonly asked: Promise<Answer> }[] = [];
    try {
      for (let next = from; next < this.sizeBytes || ahead.length > 0; ) {
        while (ahead.length < DIGESTS_AHEAD && next < this.sizeBytes) {
          const count = Math.min(most, Math.ceil((this.sizeBytes - next) / blockBytes));
          ahead.push({ offset: next, count, asked: ask(next, count) });
          next += count * blockBytes;
        }
        const { offset, count, asked } = ahead.shift()!;
        const { tail } = await asked;
        if (tail.length !== count * DIGEST_BYTES) throw this.#connection.reject(`answers ${count} digests with ${tail.length} bytes`);
        for (let index = 0; index < count; index++) {
          signal?.throwIfAborted();
          yield { offset: offset + index * blockBytes, sha256: tail.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES) };
        }
      }
    } finally {
      stop.abort(new DrError('ABORTED', 'nobody wants the digests any more'));
    }
  }

  /** Resolves when the agent has done all that it was asked for and closed the device; at once when the wire is gone, for then the agent does so by itself. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.#connection.send({ method: 'close', device: this.#device }).answer;
    } catch (error) {
      if (!this.#connection.lost.aborted) throw error;
    }
  }

  async #request(ask: Ask, options: SendOptions): Promise<Answer> {
    await this.#room.take(options.signal);
    const { answer, over } = this.#connection.send({ ...ask, device: this.#device }, { deadlineMs: PIECE_DEADLINE_MS, ...options });
    void over.then(() => this.#room.give());
    return answer;
  }

  #check(what: Request['method'], offset: number, length: number): void {
    const context = { offset, length, sizeBytes: this.sizeBytes, path: this.path };
    if (this.#closed) throw new DrError('INTERNAL', `${what} on ${this.path} after it was closed`, { context });
    const whole = [offset, length].every((value) => isCount(value) && value % this.logicalSectorBytes === 0);
    if (!whole || offset + length > this.sizeBytes) {
      const message = `${what} of ${length} bytes at ${offset} is not in sectors of ${this.logicalSectorBytes} bytes of ${this.path}`;
      throw new DrError('INTERNAL', message, { context });
    }
    const changes = what === 'write' || what === 'writeZeroes';
    if (changes && !this.#forWriting) throw new DrError('INTERNAL', `${what} on ${this.path}, which was opened for reading`, { context });
  }
}

/** Undefined where an agent of ours would not answer so. Larger bounds than ours are brought down to them. */
export const openedFrom = (result: Readonly<Record<string, unknown>>): Opened | undefined => {
  const { device, sizeBytes, logicalSectorBytes: sector, maxRequestBytes, maxInFlight } = result;
  if (![device, sizeBytes, sector, maxRequestBytes, maxInFlight].every(isCount)) return undefined;
  const opened = { device, sizeBytes, logicalSectorBytes: sector, maxRequestBytes, maxInFlight } as Opened;
  const isPower = opened.logicalSectorBytes >= 512 && Number.isInteger(Math.log2(opened.logicalSectorBytes));
  const isPossible = opened.maxRequestBytes >= opened.logicalSectorBytes && opened.maxRequestBytes % opened.logicalSectorBytes === 0;
  if (!isPower || !isPossible || opened.maxInFlight === 0 || opened.logicalSectorBytes > MOST_REQUEST_BYTES) return undefined;
  return {
    ...opened,
    maxRequestBytes: Math.min(opened.maxRequestBytes, MOST_REQUEST_BYTES),
    maxInFlight: Math.min(opened.maxInFlight, MOST_IN_FLIGHT),
  };
};
