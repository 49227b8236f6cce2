import { connect, type Socket } from 'node:net';
import { asDrError, DrError, isDrError } from '../../core/contract/errors.ts';
import { Feed } from './feed.ts';
import { handshake, type Negotiated } from './handshake.ts';
import type { NbdAddress, NbdExport, NbdExtent, NbdRequestOptions, OpenNbd, OpenNbdOptions } from './port.ts';
import { type CommandName, encodeRequest, type Parser, protocolError } from './protocol.ts';
import { replies } from './replies.ts';
import { Requests } from './requests.ts';

const DEFAULTS = { deadlineMs: 30_000, maxInFlight: 16, silenceMs: 120_000 } as const;

/** What the socket is read into, piece by piece; nothing stays in it. */
const RECEIVE_BYTES = 256 << 10;

/** A request for extents spans at most this much: its answer stays small even where every block differs from its neighbour. */
const STATUS_BYTES = 1 << 30;

const ZERO_BYTES = 1 << 20;

/** How long disposing waits for answers that are still owed: an aborted write may be among them. */
const OWED_MS = 30_000;

/** How long it then waits for the server to close. */
const FAREWELL_MS = 5000;

type Explain = NonNullable<OpenNbdOptions['explain']>;

/** Opens one export over one connection. Rejects with a DrError, or with the signal's reason; then nothing is left open. */
export const openNbd: OpenNbd = async (where, options) => {
  const { signal, forWriting, deadlineMs = DEFAULTS.deadlineMs, explain = (error: DrError) => Promise.resolve(error) } = options;
  signal.throwIfAborted();
  const connection = new Connection(where, options);
  try {
    const agreed = await connection.ready(signal, deadlineMs);
    signal.throwIfAborted();
    if (forWriting && agreed.readOnly)
      throw new DrError('PERMISSION_DENIED', `the NBD server at ${connection.name} gives its export read-only`);
    if (forWriting && !agreed.canFlush)
      throw new DrError('CAPABILITY_MISSING', `the NBD server at ${connection.name} cannot flush what is written`);
    return new Export(connection, agreed, options, explain);
  } catch (error) {
    await connection.destroy();
    throw isDrError(error) && !signal.aborted ? await explain(error) : error;
  }
};

/** The socket with its parser. Whatever ends it, everything that waits is told. */
class Connection {
  readonly name: string;
  readonly socket: Socket;
  readonly requests: Requests;
  readonly closed: Promise<void>;
  readonly #negotiated = Promise.withResolvers<Negotiated>();
  #cause: DrError | undefined;

  constructor(where: NbdAddress, { maxInFlight = DEFAULTS.maxInFlight, silenceMs = DEFAULTS.silenceMs }: OpenNbdOptions) {
    this.name = 'socketPath' in where ? where.socketPath : `${where.host}:${where.port}`;
    const feed = new Feed(this.#conversation(where.exportName ?? ''));
    const onread = {
      buffer: new Uint8Array(RECEIVE_BYTES),
      callback: (count: number, buffer: Uint8Array): boolean => {
        this.#receive(feed, buffer.subarray(0, count));
        return true;
      },
    };
    const address = 'socketPath' in where ? { path: where.socketPath } : { host: where.host, port: where.port, noDelay: true };
    this.socket = connect({ ...address, onread });
    this.requests = new Requests(this.socket, maxInFlight, () => {
      this.#fail(new DrError('CONNECTION_LOST', `the NBD server at ${this.name} takes no more bytes`));
    });
    this.#negotiated.promise.catch(() => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', resolve)).then(() => this.#lose());
    this.socket.on('error', (error) => this.#fail(connectionError(error, this.name)));
    this.socket.setTimeout(silenceMs, () => {
      if (this.requests.pending.size === 0) return;
      this.#fail(new DrError('CONNECTION_LOST', `the NBD server at ${this.name} has been silent for ${silenceMs} ms`));
    });
  }

  /** Settles at the deadline or with the signal at the latest. */
  async ready(signal: AbortSignal, deadlineMs: number): Promise<Negotiated> {
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => {
      reject(new DrError('TIMED_OUT', `the NBD server at ${this.name} was not ready after ${deadlineMs} ms`, { context: { deadlineMs } }));
    }, deadlineMs);
    try {
      return await Promise.race([this.#negotiated.promise, promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** After this no buffer of a caller is read or written any more. */
  async destroy(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  *#conversation(exportName: string): Parser<never> {
    const agreed = yield* handshake({ exportName, name: this.name, send: (bytes) => this.socket.write(bytes) });
    this.#negotiated.resolve(agreed);
    const { requests } = this;
    return yield* replies({ ...agreed, name: this.name, pending: requests.pending, answered: (handle) => requests.answered(handle) });
  }

  #receive(feed: Feed, chunk: Uint8Array): void {
    if (this.#cause) return;
    try {
      feed.push(chunk);
    } catch (error) {
      this.#fail(asDrError(error));
    }
  }

  #fail(cause: DrError): void {
    this.#cause ??= cause;
    this.socket.destroy();
  }

  #lose(): void {
    const error = this.#cause ?? new DrError('CONNECTION_LOST', `the NBD server at ${this.name} closed the connection`);
    this.#negotiated.reject(error);
    this.requests.lose(error);
  }
}

class Export implements NbdExport {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly minimumBlockBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  readonly extents?: (from: number, options?: NbdRequestOptions) => AsyncIterable<NbdExtent>;
  readonly #connection: Connection;
  readonly #agreed: Negotiated;
  readonly #forWriting: boolean;
  readonly #explain: Explain;
  #disposed: Promise<void> | undefined;

  constructor(connection: Connection, agreed: Negotiated, options: OpenNbdOptions, explain: Explain) {
    this.#connection = connection;
    this.#agreed = agreed;
    this.#forWriting = options.forWriting;
    this.#explain = explain;
    this.sizeBytes = agreed.sizeBytes;
    this.readOnly = agreed.readOnly;
    this.minimumBlockBytes = agreed.minimumBlockBytes;
    this.maxRequestBytes = agreed.maxRequestBytes;
    this.maxInFlight = options.maxInFlight ?? DEFAULTS.maxInFlight;
    if (agreed.allocationId !== undefined) this.extents = (from, { signal } = {}) => this.#extents(from, signal);
  }

  async read(offset: number, into: Uint8Array, { signal }: NbdRequestOptions = {}): Promise<void> {
    this.#check('read', offset, into.length);
    for (const { at, end } of pieces(into.length, this.maxRequestBytes)) {
      await this.#send({ command: 'read', offset: offset + at, length: end - at, into: into.subarray(at, end) }, signal);
    }
  }

  async write(offset: number, data: Uint8Array, { signal }: NbdRequestOptions = {}): Promise<void> {
    this.#check('write', offset, data.length);
    for (const { at, end } of pieces(data.length, this.maxRequestBytes)) {
      await this.#send({ command: 'write', offset: offset + at, length: end - at, data: data.subarray(at, end) }, signal);
    }
  }

  async writeZeroes(offset: number, length: number, { signal }: NbdRequestOptions = {}): Promise<void> {
    if (!this.#agreed.canWriteZeroes) return this.#sendZeroes(offset, length, signal);
    this.#check('writeZeroes', offset, length);
    for (const { at, end } of pieces(length, this.maxRequestBytes)) {
      await this.#send({ command: 'writeZeroes', offset: offset + at, length: end - at }, signal);
    }
  }

  async flush({ signal }: NbdRequestOptions = {}): Promise<void> {
    this.#check('flush', 0, 0);
    await this.#send({ command: 'flush', offset: 0, length: 0 }, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    const { requests, socket, closed, name } = this.#connection;
    const owed = setTimeout(() => socket.destroy(), OWED_MS);
    await requests.finish(new DrError('CONNECTION_LOST', `the connection to the NBD server at ${name} was closed here`));
    clearTimeout(owed);
    const farewell = setTimeout(() => socket.destroy(), FAREWELL_MS);
    if (!socket.destroyed) socket.end(encodeRequest({ command: 'disconnect', handle: 0, offset: 0, length: 0 }));
    await closed;
    clearTimeout(farewell);
  }

  async #sendZeroes(offset: number, length: number, signal: AbortSignal | undefined): Promise<void> {
    this.#check('writeZeroes', offset, length);
    const zeroes = new Uint8Array(Math.min(length, ZERO_BYTES, this.maxRequestBytes));
    for (const { at, end } of pieces(length, zeroes.length))
      await this.write(offset + at, zeroes.subarray(0, end - at), { ...(signal && { signal }) });
  }

  /** Widened to whole blocks: servers may be finer than what they said to be. */
  async *#extents(from: number, signal: AbortSignal | undefined): AsyncGenerator<NbdExtent, void> {
    const block = this.minimumBlockBytes;
    let start = from;
    let end = from;
    for (let offset = from - (from % block); offset < this.sizeBytes; ) {
      const length = Math.min(STATUS_BYTES, this.sizeBytes - offset);
      this.#check('blockStatus', offset, length);
      const answer = await this.#send({ command: 'blockStatus', offset, length }, signal);
      for (const extent of answer) {
        const extentEnd = Math.min(Math.ceil((extent.offset + extent.length) / block) * block, this.sizeBytes);
        if (extent.zero || extentEnd <= end) continue;
        const extentStart = extent.offset - (extent.offset % block);
        if (extentStart > end) {
          if (end > start) yield { offset: start, length: end - start };
          start = extentStart;
        }
        end = extentEnd;
      }
      const told = answer.at(-1)!.offset + answer.at(-1)!.length;
      const next = told < this.sizeBytes ? told - (told % block) : this.sizeBytes;
      if (next <= offset) throw protocolError(`the NBD server at ${this.#connection.name} tells extents smaller than a block`);
      offset = next;
    }
    if (end > start) yield { offset: start, length: end - start };
  }

  async #send(request: Parameters<Requests['send']>[0], signal: AbortSignal | undefined): Promise<readonly NbdExtent[]> {
    try {
      return await this.#connection.requests.send(request, signal);
    } catch (error) {
      if (signal?.aborted || !isDrError(error)) throw error;
      throw await this.#explain(error);
    }
  }

  /** A server would refuse these too, but not each one, and not before it has done a part. */
  #check(command: CommandName, offset: number, length: number): void {
    const block = this.minimumBlockBytes;
    const end = offset + length;
    const aligned = offset % block === 0 && (length % block === 0 || end === this.sizeBytes);
    const inside = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0 && end <= this.sizeBytes;
    const context = { offset, length, sizeBytes: this.sizeBytes };
    if (!inside)
      throw new DrError('INTERNAL', `${command} of ${length} bytes at ${offset} is not inside of ${this.#connection.name}`, { context });
    if (!aligned)
      throw new DrError('INTERNAL', `${command} of ${length} bytes at ${offset} is not in blocks of ${block} bytes`, { context });
    const changes = command === 'write' || command === 'writeZeroes';
    if (changes && !this.#forWriting) throw new DrError('INTERNAL', `${command} to ${this.#connection.name}, which was opened for reading`);
  }
}

function* pieces(length: number, most: number): Generator<{ readonly at: number; readonly end: number }> {
  for (let at = 0; at < length; at += most) yield { at, end: Math.min(at + most, length) };
}

const connectionError = (error: Error, name: string): DrError => {
  const { code = '' } = error as NodeJS.ErrnoException;
  const options = { cause: error, context: { vendorCode: code } };
  if (['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code)) {
    return new DrError('CONNECTION_REFUSED', `no NBD server answers at ${name} (${code})`, options);
  }
  if (code === 'EACCES' || code === 'EPERM')
    return new DrError('PERMISSION_DENIED', `the NBD server at ${name} may not be reached (${code})`, options);
  if (code === 'ETIMEDOUT') return new DrError('TIMED_OUT', `the NBD server at ${name} did not answer`, options);
  return new DrError('CONNECTION_LOST', `the connection to the NBD server at ${name} was lost (${code || error.message})`, options);
};
