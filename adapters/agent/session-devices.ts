import { createHash } from 'node:crypto';
import { DrError } from '../../core/contract/errors.ts';
import type { BlockDevice } from '../block/port.ts';
import type { OpenForSession } from './devices.ts';
import {
  DIGEST_BYTES,
  isCount,
  MOST_DEVICES,
  MOST_DIGESTED_BYTES,
  MOST_DIGESTS,
  MOST_IN_FLIGHT,
  MOST_REQUEST_BYTES,
  type Opened,
  type Request,
} from './wire.ts';

export interface Answer {
  readonly result: object;
  readonly tail?: Uint8Array;
}

interface Held {
  readonly device: BlockDevice;
  inFlight: number;
}

/** The devices of one session, and the methods on them. It trusts nothing that a client sends. */
export class SessionDevices implements AsyncDisposable {
  readonly #open: OpenForSession;
  readonly #held = new Map<number, Held>();
  /** Under way, so that they are given back too when the session ends meanwhile. */
  readonly #opening = new Set<Promise<unknown>>();
  #count = 0;

  constructor(open: OpenForSession) {
    this.#open = open;
  }

  async call(request: Request, tail: Uint8Array, signal: AbortSignal): Promise<Answer> {
    if (request.method === 'open') return { result: await this.#openOne(request, signal) };
    const held = this.#held.get(request.device ?? 0);
    if (!held) throw new DrError('PROTOCOL_ERROR', `the session has no device ${request.device}`);
    if (request.method === 'close') return this.#close(request.device!, held);
    if (held.inFlight >= MOST_IN_FLIGHT) throw new DrError('PROTOCOL_ERROR', `more than ${MOST_IN_FLIGHT} requests of one device at once`);
    held.inFlight++;
    try {
      return await perform(held.device, request, tail, signal);
    } finally {
      held.inFlight--;
    }
  }

  /** Resolves when the kernel has done what it was asked for, and all is given back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#opening);
    const held = [...this.#held.values()];
    this.#held.clear();
    const closings = await Promise.allSettled(held.map(({ device }) => device[Symbol.asyncDispose]()));
    const failed = closings.find((closing) => closing.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #openOne({ path, forWriting }: Request, signal: AbortSignal): Promise<Opened> {
    if (typeof path !== 'string' || typeof forWriting !== 'boolean') throw new DrError('PROTOCOL_ERROR', 'open takes a path and a purpose');
    if (this.#held.size + this.#opening.size >= MOST_DEVICES) {
      throw new DrError('HOST_BUSY', `the session has ${MOST_DEVICES} devices open, and may have no more`, {
        hint: 'close a device first',
      });
    }
    const opening = this.#hold(path, forWriting);
    this.#opening.add(opening);
    const number = await opening.finally(() => this.#opening.delete(opening));
    const held = this.#held.get(number);
    // Nobody waits for it any more, so nobody would close it.
    if (signal.aborted && held) await this.#close(number, held);
    signal.throwIfAborted();
    const { sizeBytes, logicalSectorBytes } = held!.device;
    return { device: number, sizeBytes, logicalSectorBytes, maxRequestBytes: MOST_REQUEST_BYTES, maxInFlight: MOST_IN_FLIGHT };
  }

  async #hold(path: string, forWriting: boolean): Promise<number> {
    const device = await this.#open(path, forWriting);
    const number = ++this.#count;
    this.#held.set(number, { device, inFlight: 0 });
    return number;
  }

  async #close(number: number, { device }: Held): Promise<Answer> {
    this.#held.delete(number);
    await device[Symbol.asyncDispose]();
    return { result: {} };
  }
}

const perform = async (device: BlockDevice, request: Request, tail: Uint8Array, signal: AbortSignal): Promise<Answer> => {
  const { method, offset = 0, length = 0 } = request;
  if (!isCount(offset) || !isCount(length) || length > MOST_REQUEST_BYTES) {
    throw new DrError('PROTOCOL_ERROR', `a ${method} of ${length} bytes at ${offset} is more than one request may ask for`);
  }
  switch (method) {
    case 'read': {
      const into = new Uint8Array(length);
      await device.read(offset, into, { signal });
      return { result: {}, tail: into };
    }
    case 'write':
      await device.write(offset, tail, { signal });
      return { result: {} };
    case 'writeZeroes':
      await device.writeZeroes(offset, length, { signal });
      return { result: {} };
    case 'flush':
      await device.flush({ signal });
      return { result: {} };
    default:
      return { result: {}, tail: await digest(device, request, signal) };
  }
};

/** One after the other: a client that wants reading and computing to overlap has several requests under way. */
const digest = async (
  device: BlockDevice,
  { offset = 0, blockBytes = 0, count = 0 }: Request,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  const possible = isCount(blockBytes) && blockBytes > 0 && isCount(count) && count > 0 && count <= MOST_DIGESTS;
  if (!possible || blockBytes > MOST_DIGESTED_BYTES || (count > 1 && count * blockBytes > MOST_DIGESTED_BYTES)) {
    throw new DrError('PROTOCOL_ERROR', `${count} digests of blocks of ${blockBytes} bytes are more than one request may ask for`);
  }
  if (blockBytes % device.logicalSectorBytes !== 0 || offset + (count - 1) * blockBytes >= device.sizeBytes) {
    throw new DrError('PROTOCOL_ERROR', `${count} blocks of ${blockBytes} bytes from ${offset} on are not in sectors of the device`);
  }
  const digests = new Uint8Array(count * DIGEST_BYTES);
  const buffer = new Uint8Array(Math.min(blockBytes, MOST_REQUEST_BYTES));
  for (let index = 0; index < count; index++) {
    const hash = createHash('sha256');
    const end = Math.min(offset + (index + 1) * blockBytes, device.sizeBytes);
    for (let at = offset + index * blockBytes; at < end; at += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, end - at));
      await device.read(at, piece, { signal });
      hash.update(piece);
    }
    digests.set(hash.digest(), index * DIGEST_BYTES);
  }
  return digests;
};
