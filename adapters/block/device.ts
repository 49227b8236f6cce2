import type { FileHandle } from 'node:fs/promises';
import { DrError, type DrErrorOptions, type ErrorCode } from '../../core/contract/errors.ts';
import type { BlockDevice, BlockRequestOptions } from './port.ts';
import { Slots } from './slots.ts';

export const MAX_REQUEST_BYTES: number = 1 << 20;

/** The pool of threads that Node does file I/O with has four; more at once would only wait there, before the engine's own files. */
const MAX_IN_FLIGHT = 4;

export interface Geometry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
}

type Change = 'read' | 'write' | 'writeZeroes' | 'flush';

/** An open disk. All I/O goes through slots, in pieces of at most one slot. */
export class OpenDevice implements BlockDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly maxRequestBytes = MAX_REQUEST_BYTES;
  readonly maxInFlight = MAX_IN_FLIGHT;
  readonly #file: FileHandle;
  readonly #forWriting: boolean;
  readonly #slots = new Slots(MAX_IN_FLIGHT, MAX_REQUEST_BYTES);
  /** What the kernel has been asked to do and has not done yet. */
  readonly #running = new Set<Promise<unknown>>();
  /** Writes among them that nobody waits for any more. */
  readonly #abandoned = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(file: FileHandle, { path, sizeBytes, logicalSectorBytes }: Geometry, forWriting: boolean) {
    this.#file = file;
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.logicalSectorBytes = logicalSectorBytes;
    this.#forWriting = forWriting;
  }

  async read(offset: number, into: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('read', offset, into.length);
    for (let at = 0; at < into.length; at += MAX_REQUEST_BYTES) {
      const bytes = Math.min(MAX_REQUEST_BYTES, into.length - at);
      const slot = await this.#slots.take(signal);
      await this.#run('read', { offset: offset + at, length: bytes }, signal, slot, async () => {
        await this.#readAll(slot.subarray(0, bytes), offset + at);
        if (!signal?.aborted) into.set(slot.subarray(0, bytes), at);
      });
    }
  }

  async write(offset: number, data: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('write', offset, data.length);
    for (let at = 0; at < data.length; at += MAX_REQUEST_BYTES) {
      const piece = data.subarray(at, at + MAX_REQUEST_BYTES);
      await this.#write('write', offset + at, piece.length, signal, (slot) => slot.set(piece));
    }
  }

  async writeZeroes(offset: number, length: number, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.#check('writeZeroes', offset, length);
    for (let at = 0; at < length; at += MAX_REQUEST_BYTES) {
      const bytes = Math.min(MAX_REQUEST_BYTES, length - at);
      await this.#write('writeZeroes', offset + at, bytes, signal, (slot) => slot.fill(0, 0, bytes));
    }
  }

  /** Direct I/O passes the kernel's cache, but not the disk's: this empties both. */
  async flush({ signal }: BlockRequestOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#check('flush', 0, 0);
    await this.#run('flush', {}, signal, undefined, () => this.#file.sync());
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#running);
    await this.#file.close();
  }

  async #write(
    what: Change,
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
    fill: (slot: Uint8Array) => void,
  ): Promise<void> {
    const slot = await this.#slots.take(signal);
    fill(slot);
    await this.#run(what, { offset, length }, signal, slot, async () => {
      // An older write that was given up must not land on top of this one.
      await Promise.allSettled(this.#abandoned);
      signal?.throwIfAborted();
      await this.#writeAll(slot.subarray(0, length), offset);
    });
  }

  /** The kernel cannot be told to stop: an aborted call returns at once, and what it began ends by itself and then gives its slot back. */
  async #run(
    what: Change,
    range: NonNullable<DrErrorOptions['context']>,
    signal: AbortSignal | undefined,
    slot: Uint8Array | undefined,
    work: () => Promise<void>,
  ): Promise<void> {
    const running = work().finally(() => {
      this.#running.delete(running);
      this.#abandoned.delete(running);
      if (slot) this.#slots.give(slot);
    });
    this.#running.add(running);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => {
      if (what !== 'read') this.#abandoned.add(running);
      reject(signal?.reason);
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([running, aborted]);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw deviceError(error, `${what} on ${this.path}`, { ...range, path: this.path });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #readAll(into: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const { bytesRead } = await this.#file.read(into, at, into.length - at, offset + at);
      if (bytesRead === 0) throw gone(`${this.path} ends before ${offset + into.length}, at ${offset + at}`);
      at += bytesRead;
    }
  }

  async #writeAll(data: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < data.length; ) {
      const { bytesWritten } = await this.#file.write(data, at, data.length - at, offset + at);
      if (bytesWritten === 0) throw gone(`${this.path} takes no bytes at ${offset + at}`);
      at += bytesWritten;
    }
  }

  #check(what: Change, offset: number, length: number): void {
    const context = { offset, length, sizeBytes: this.sizeBytes, path: this.path };
    const whole = [offset, length].every((value) => Number.isSafeInteger(value) && value >= 0 && value % this.logicalSectorBytes === 0);
    if (this.#closed) throw new DrError('INTERNAL', `${what} on ${this.path} after it was closed`, { context });
    if (!whole || offset + length > this.sizeBytes) {
      const message = `${what} of ${length} bytes at ${offset} is not in sectors of ${this.logicalSectorBytes} bytes of ${this.path}`;
      throw new DrError('INTERNAL', message, { context });
    }
    const changes = what === 'write' || what === 'writeZeroes';
    if (changes && !this.#forWriting) throw new DrError('INTERNAL', `${what} on ${this.path}, which was opened for reading`, { context });
  }
}

const gone = (message: string): DrError => new DrError('CONNECTION_LOST', message, { hint: GONE_HINT });

const GONE_HINT = 'check that the disk is still attached to this machine, and that its datastore works';

/** EIO and its like: a disk that was detached or lost its storage. Only a new attachment helps, hence CONNECTION_LOST. */
const CODES: Readonly<Record<string, readonly [code: ErrorCode, hint?: string]>> = {
  EBUSY: [
    'FILE_LOCKED',
    'unmount the disk, and keep LVM and multipath from taking the disks of other machines (filters in lvm.conf, multipath.conf)',
  ],
  EACCES: ['PERMISSION_DENIED', 'run warmsite as root or in the group disk, and attach the disk writable'],
  EPERM: ['PERMISSION_DENIED', 'run warmsite as root or in the group disk, and attach the disk writable'],
  EROFS: ['PERMISSION_DENIED', 'attach the disk writable'],
  ENOSPC: ['TARGET_FULL'],
  EIO: ['CONNECTION_LOST', GONE_HINT],
  ENXIO: ['CONNECTION_LOST', GONE_HINT],
  ENODEV: ['CONNECTION_LOST', GONE_HINT],
  EREMOTEIO: ['CONNECTION_LOST', GONE_HINT],
  ETIMEDOUT: ['CONNECTION_LOST', GONE_HINT],
};

export const deviceError = (error: unknown, what: string, context: NonNullable<DrErrorOptions['context']>): DrError => {
  if (error instanceof DrError) return error;
  const vendorCode = (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
  const [code, hint] = CODES[vendorCode] ?? ['INTERNAL'];
  return new DrError(code, `${what} failed with ${vendorCode}`, {
    cause: error,
    context: { ...context, vendorCode },
    ...(hint === undefined ? {} : { hint }),
  });
};
