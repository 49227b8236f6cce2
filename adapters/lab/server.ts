import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DrError, toErrorRecord } from '../../core/contract/index.ts';
import { encodeFrame, FrameReader } from '../agent/frames.ts';
import type { Dispatcher } from './dispatch.ts';
import type { Connection } from './gate.ts';
import { FRAME_LIMITS, type Request, splitData } from './messages.ts';
import type { EstateMethod } from './port.ts';

export interface LabServer extends AsyncDisposable {
  readonly path: string;
}

/** Only so much fits into a socket's address on Linux. */
const LONGEST_PATH_BYTES = 107;

/** Serves the estate on a Unix socket that only its owner can open. `afterCall` runs before each answer is sent. */
export const serve = async (dispatcher: Dispatcher, path: string, afterCall: () => void): Promise<LabServer> => {
  await assertFree(path);
  rmSync(path, { force: true });
  const peers = new Set<Socket>();
  const server = createServer((socket) => {
    peers.add(socket);
    socket.on('close', () => peers.delete(socket));
    new Peer(socket, dispatcher, afterCall).start();
  });
  await listen(server, path);
  return {
    path,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of peers) socket.destroy();
      }),
  };
};

/** Throws when a lab answers at the path already, or when no socket can be there. */
export const assertFree = async (path: string): Promise<void> => {
  if (Buffer.byteLength(path) > LONGEST_PATH_BYTES) {
    throw new DrError('CONFIG_INVALID', `the path of the socket is longer than ${LONGEST_PATH_BYTES} bytes: ${path}`, {
      hint: 'put the lab into a directory with a shorter path',
      context: { path },
    });
  }
  if (!(await answers(path))) return;
  throw new DrError('STATE_CONFLICT', `another lab runs at ${path}`, { hint: 'end it with lab down', context: { path } });
};

const answers = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const mask = process.umask(0o177);
    server.once('error', reject);
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve();
    });
    process.umask(mask);
  });

/** One client: its calls overlap, and end when it goes. */
class Peer {
  readonly #socket: Socket;
  readonly #dispatcher: Dispatcher;
  readonly #afterCall: () => void;
  readonly #connection: Connection;
  readonly #frames = new FrameReader(FRAME_LIMITS);
  readonly #running = new Map<number, AbortController>();

  constructor(socket: Socket, dispatcher: Dispatcher, afterCall: () => void) {
    this.#socket = socket;
    this.#dispatcher = dispatcher;
    this.#afterCall = afterCall;
    this.#connection = dispatcher.connect(() => socket.destroy());
  }

  start(): void {
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.#dispatcher.disconnect(this.#connection);
      for (const controller of this.#running.values()) controller.abort(new DrError('ABORTED', 'the client has gone'));
    });
  }

  #receive(chunk: Buffer): void {
    try {
      for (const { header, tail } of this.#frames.push(chunk)) this.#take(header as Request, tail);
    } catch {
      this.#socket.destroy();
    }
  }

  #take(request: Request, tail: Uint8Array): void {
    if ('cancel' in request) {
      this.#running.get(request.cancel)?.abort(new DrError('ABORTED', 'the client has cancelled the call'));
      return;
    }
    const controller = new AbortController();
    this.#running.set(request.id, controller);
    const args = request.tail ? { ...request.args, data: tail } : request.args;
    void this.#run(request.id, request.method as EstateMethod, args, controller.signal);
  }

  async #run(id: number, method: EstateMethod, args: object, signal: AbortSignal): Promise<void> {
    try {
      const result = await this.#dispatcher.call(this.#connection, method, args as never, signal).finally(this.#afterCall);
      const { rest, data } = splitData(result);
      this.#send({ id, result: rest, tail: data !== undefined }, data);
    } catch (error) {
      this.#send({ id, error: toErrorRecord(error), tail: false });
    } finally {
      this.#running.delete(id);
    }
  }

  #send(header: object, tail?: Uint8Array): void {
    if (this.#socket.destroyed) return;
    this.#socket.cork();
    for (const piece of encodeFrame(header, tail)) this.#socket.write(piece);
    this.#socket.uncork();
  }
}
