// An NBD server that is as wrong, late or short as a test wants. The handshake is right unless told; each request goes to the test.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { openNbd } from '../../../../adapters/nbd/client.ts';
import type { NbdExport, OpenNbdOptions } from '../../../../adapters/nbd/port.ts';
import type { Folder } from './servers.ts';

export interface Asked {
  readonly command: number;
  readonly handle: bigint;
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
}

export interface Script {
  readonly structured?: boolean;
  readonly sizeBytes?: bigint;
  /** [minimum, preferred, maximum] */
  readonly blockSizes?: readonly [number, number, number];
  /** Instead of the greeting. */
  readonly greeting?: Buffer;
  /** Instead of the answer to an option of this number. */
  readonly options?: Readonly<Record<number, Buffer>>;
  onRequest?(asked: Asked, peer: Peer): void;
}

export interface Peer {
  readonly socket: Socket;
  send(...parts: readonly Buffer[]): void;
}

export const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

export const u64 = (value: bigint | number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};

export const simpleReply = (handle: bigint, errno = 0): Buffer => Buffer.concat([u32(0x67446698), u32(errno), u64(handle)]);

export const chunk = (handle: bigint, type: number, payload: Buffer, { done = true, bytes = payload.length } = {}): Buffer =>
  Buffer.concat([u32(0x668e33ef), u16(done ? 1 : 0), u16(type), u64(handle), u32(bytes), payload]);

export const dataChunk = (handle: bigint, offset: number, data: Buffer, done = true): Buffer =>
  chunk(handle, 1, Buffer.concat([u64(offset), data]), { done });

export const optionReply = (option: number, kind: number, data: Buffer = Buffer.alloc(0), bytes: number = data.length): Buffer =>
  Buffer.concat([u64(0x3e889045565a9n), u32(option), u32(kind), u32(bytes), data]);

export const GREETING = Buffer.concat([u64(0x4e42444d41474943n), u64(0x49484156454f5054n), u16(3)]);

export class FakeServer implements AsyncDisposable {
  readonly path: string;
  readonly requests: Asked[] = [];
  readonly #script: Script;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, script: Script) {
    this.path = path;
    this.#script = script;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => void this.#serve(socket));
  }

  static async start(folder: Folder, script: Script): Promise<FakeServer> {
    const server = new FakeServer(folder.fresh('fake'), script);
    server.#server.listen(server.path);
    await once(server.#server, 'listening');
    return server;
  }

  open(options: Partial<OpenNbdOptions> = {}): Promise<NbdExport> {
    return openNbd({ socketPath: this.path }, { forWriting: true, signal: new AbortController().signal, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    const take = reader(socket);
    const peer: Peer = { socket, send: (...parts) => void socket.write(Buffer.concat(parts)) };
    try {
      await this.#shakeHands(take, peer);
      for (;;) {
        const header = await take(28);
        const command = header.readUInt16BE(6);
        const length = header.readUInt32BE(24);
        const data = command === 1 ? await take(length) : Buffer.alloc(0);
        const asked = { command, handle: header.readBigUInt64BE(8), offset: Number(header.readBigUInt64BE(16)), length, data };
        this.requests.push(asked);
        if (command === 2) return void socket.end();
        this.#script.onRequest?.(asked, peer);
      }
    } catch {
      socket.end();
    }
  }

  async #shakeHands(take: (bytes: number) => Promise<Buffer>, { send }: Peer): Promise<void> {
    const { structured = true, sizeBytes = 1n << 20n, blockSizes, greeting = GREETING, options = {} } = this.#script;
    send(greeting);
    await take(4);
    for (;;) {
      const header = await take(16);
      const option = header.readUInt32BE(8);
      await take(header.readUInt32BE(12));
      if (options[option]) send(options[option]);
      else if (option === 8) send(optionReply(8, structured ? 1 : 0x80000001));
      else if (option === 10) send(optionReply(10, 4, Buffer.concat([u32(7), Buffer.from('base:allocation')])), optionReply(10, 1));
      else if (option === 7) {
        // Flags: has flags, flush, write zeroes.
        send(optionReply(7, 3, Buffer.concat([u16(0), u64(sizeBytes), u16(1 | 4 | 64)])));
        if (blockSizes) send(optionReply(7, 3, Buffer.concat([u16(3), ...blockSizes.map(u32)])));
        send(optionReply(7, 1));
        return;
      }
    }
  }
}

const reader = (socket: Socket): ((bytes: number) => Promise<Buffer>) => {
  let buffer = Buffer.alloc(0);
  const chunks = socket[Symbol.asyncIterator]();
  return async (bytes) => {
    while (buffer.length < bytes) {
      const { done, value } = await chunks.next();
      if (done) throw new Error('the client closed');
      buffer = Buffer.concat([buffer, value as Buffer]);
    }
    const taken = buffer.subarray(0, bytes);
    buffer = buffer.subarray(bytes);
    return taken;
  };
};
