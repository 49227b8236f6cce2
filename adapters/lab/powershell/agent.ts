// An agent on a simulated host: the same devices in process and over the lab's socket, as whatever has a port sees them.
import { isDrError } from '../../../core/contract/index.ts';
import type { Agent, AgentDevice, AgentDigest, AgentOptions } from '../../agent/port.ts';
import type { BlockRequestOptions } from '../../block/port.ts';
import type { EstatePort } from '../port.ts';

const MOST_BYTES = 1 << 20;
const MOST_IN_FLIGHT = 16;
const DIGESTS_PER_CALL = 256;

/** Over a connection of its own, which ends with the agent. */
export const createLabAgent = (port: EstatePort, host: string): Agent => new LabAgent(port, host);

class LabAgent implements Agent {
  readonly info: Agent['info'];
  readonly #port: EstatePort;
  readonly #host: string;
  readonly #lost = new AbortController();

  constructor(port: EstatePort, host: string) {
    this.#port = port;
    this.#host = host;
    this.info = { version: 'lab', protocol: 1, platform: 'windows', hostname: host };
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async openDevice(path: string, { forWriting, signal }: AgentOptions & { readonly forWriting: boolean }): Promise<AgentDevice> {
    const at = { host: this.#host };
    const { handle, sizeBytes, logicalSectorBytes } = await this.#watched(
      this.#port.call('agent.open', { ...at, path, forWriting }, optionsOf(signal)),
    );
    const watch = <T>(call: Promise<T>) => this.#watched(call);
    return new LabDevice({ port: this.#port, at: { ...at, handle }, path, watch }, { sizeBytes, logicalSectorBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#port[Symbol.asyncDispose]();
  }

  async #watched<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (isDrError(error, 'CONNECTION_LOST')) this.#lost.abort(error);
      throw error;
    }
  }
}

interface Place {
  readonly port: EstatePort;
  readonly at: { readonly host: string; readonly handle: number };
  readonly path: string;
  readonly watch: <T>(call: Promise<T>) => Promise<T>;
}

const optionsOf = (signal: AbortSignal | undefined) => (signal ? { signal } : {});

class LabDevice implements AgentDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly maxRequestBytes = MOST_BYTES;
  readonly maxInFlight = MOST_IN_FLIGHT;
  readonly #place: Place;

  constructor(place: Place, { sizeBytes, logicalSectorBytes }: Pick<AgentDevice, 'sizeBytes' | 'logicalSectorBytes'>) {
    this.path = place.path;
    this.sizeBytes = sizeBytes;
    this.logicalSectorBytes = logicalSectorBytes;
    this.#place = place;
  }

  async read(offset: number, into: Uint8Array, options: BlockRequestOptions = {}): Promise<void> {
    const { port, at, watch } = this.#place;
    for (const piece of pieces(into.length)) {
      const { data } = await watch(port.call('agent.read', { ...at, offset: offset + piece.at, length: piece.length }, options));
      options.signal?.throwIfAborted();
      into.set(data, piece.at);
    }
  }

  async write(offset: number, data: Uint8Array, options: BlockRequestOptions = {}): Promise<void> {
    const { port, at, watch } = this.#place;
    for (const piece of pieces(data.length)) {
      const part = data.subarray(piece.at, piece.at + piece.length);
      await watch(port.call('agent.write', { ...at, offset: offset + piece.at, data: part }, options));
    }
  }

  async writeZeroes(offset: number, length: number, options: BlockRequestOptions = {}): Promise<void> {
    const { port, at, watch } = this.#place;
    await watch(port.call('agent.writeZeroes', { ...at, offset, length }, options));
  }

  async flush(options: BlockRequestOptions = {}): Promise<void> {
    const { port, at, watch } = this.#place;
    await watch(port.call('agent.flush', at, options));
  }

  async *digests(blockBytes: number, from: number, { signal }: AgentOptions = {}): AsyncGenerator<AgentDigest> {
    const { port, at, watch } = this.#place;
    for (let offset = from; offset < this.sizeBytes; offset += DIGESTS_PER_CALL * blockBytes) {
      const asked = { ...at, blockBytes, offset, count: DIGESTS_PER_CALL };
      const { data } = await watch(port.call('agent.digests', asked, optionsOf(signal)));
      for (let index = 0; index * 32 < data.length; index++)
        yield { offset: offset + index * blockBytes, sha256: data.subarray(index * 32, index * 32 + 32) };
    }
  }

  /** The session may be over, and with it the device. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { port, at } = this.#place;
    await port.call('agent.close', at).catch(() => undefined);
  }
}

const pieces = (length: number): { at: number; length: number }[] =>
  Array.from({ length: Math.ceil(length / MOST_BYTES) }, (_, index) => ({
    at: index * MOST_BYTES,
    length: Math.min(MOST_BYTES, length - index * MOST_BYTES),
  }));
