// Devices and peers that do what no real one does on demand.
import { type Duplex, duplexPair } from 'node:stream';
import { encodeFrame, FrameReader } from '../../../../adapters/agent/frames.ts';
import type { BlockDevice, BlockRequestOptions } from '../../../../adapters/block/port.ts';
import { MiB } from './agents.ts';

/** A device whose calls are counted, and end when the test lets them. */
export class GatedDevice implements BlockDevice {
  readonly path = '/dev/gated';
  readonly sizeBytes: number;
  readonly logicalSectorBytes = 512;
  readonly maxRequestBytes = MiB;
  readonly maxInFlight = 4;
  readonly calls: string[] = [];
  readonly written: Uint8Array[] = [];
  reads = 0;
  closed = 0;
  isOpen: boolean;
  /** Reads before it pass in any case. */
  passBelow = 0;
  #gate = Promise.withResolvers<void>();

  constructor(sizeBytes: number = 64 * MiB, isOpen = false) {
    this.sizeBytes = sizeBytes;
    this.isOpen = isOpen;
  }

  letPass(): void {
    this.isOpen = true;
    this.#gate.resolve();
  }

  async read(offset: number, _: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.reads++;
    if (offset < this.passBelow) return;
    await this.#pass(`read ${offset}`, signal);
  }

  async write(offset: number, data: Uint8Array, { signal }: BlockRequestOptions = {}): Promise<void> {
    this.written.push(data);
    await this.#pass(`write ${offset}`, signal);
  }

  async writeZeroes(offset: number, _: number, { signal }: BlockRequestOptions = {}): Promise<void> {
    await this.#pass(`zero ${offset}`, signal);
  }

  async flush({ signal }: BlockRequestOptions = {}): Promise<void> {
    await this.#pass('flush', signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.closed++;
    return Promise.resolve();
  }

  async #pass(what: string, signal: AbortSignal | undefined): Promise<void> {
    this.calls.push(what);
    if (this.isOpen) return;
    const { promise, reject } = Promise.withResolvers<never>();
    signal?.addEventListener('abort', () => {
      this.calls.push(`${what} aborted`);
      reject(signal.reason);
    });
    await Promise.race([this.#gate.promise, promise]);
  }
}

export interface Heard {
  readonly header: Record<string, unknown>;
  readonly tail: Uint8Array;
}

/** The other end of a wire, in the hands of a test. */
export class Peer {
  readonly heard: Heard[] = [];
  readonly wire: Duplex;
  readonly #frames = new FrameReader({ headerBytes: 1 << 24, tailBytes: 1 << 24 });

  constructor(wire: Duplex) {
    this.wire = wire;
    wire.on('error', () => undefined);
    wire.on('data', (chunk: Buffer) => this.heard.push(...(this.#frames.push(chunk) as Heard[])));
  }

  say(header: object, tail?: Uint8Array): void {
    for (const piece of encodeFrame(header, tail)) this.wire.write(piece);
  }
}

/** An agent that answers as `answer` says, or not at all; and the wire to it. */
export const fakeAgent = (answer: (heard: Heard, peer: Peer) => object | undefined): { readonly wire: Duplex; readonly peer: Peer } => {
  const [wire, there] = duplexPair();
  wire.on('error', () => undefined);
  const peer = new Peer(there);
  let seen = 0;
  there.on('data', () => {
    for (const heard of peer.heard.slice(seen)) {
      seen++;
      const said = answer(heard, peer);
      if (said) peer.say(said);
    }
  });
  return { wire, peer };
};

export const HELLO = { hello: 'warmsite-agent', protocol: 1, version: '9.9', platform: 'linux', hostname: 'there' } as const;

export const OPENED = { device: 1, sizeBytes: 4 * MiB, logicalSectorBytes: 512, maxRequestBytes: MiB, maxInFlight: 16 } as const;
