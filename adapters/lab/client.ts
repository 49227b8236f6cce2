import { connect, type Socket } from 'node:net';
import { DrError, type ErrorRecord, fromErrorRecord } from '../../core/contract/index.ts';
import { encodeFrame, FrameReader } from '../agent/frames.ts';
import { FRAME_LIMITS, splitData } from './messages.ts';
import type { EstateArgs, EstateMethod, EstatePort, EstateResult } from './port.ts';

interface Pending {
  readonly method: string;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

type Answer = { readonly id: number; readonly tail: boolean } & ({ readonly result: object } | { readonly error: ErrorRecord });

/** Opens one connection to a lab that runs as a process of its own. CONNECTION_REFUSED when nobody listens there. */
export const connectLab = (path: string): Promise<EstatePort> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    const onError = (cause: Error) =>
      reject(
        new DrError('CONNECTION_REFUSED', `no lab answers at ${path}`, { hint: 'start the lab with lab up', context: { path }, cause }),
      );
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('error', onError);
      resolve(new SocketPort(socket));
    });
  });

class SocketPort implements EstatePort {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #frames = new FrameReader(FRAME_LIMITS);
  #count = 0;
  #closed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    // The close that follows tells whoever waits.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#end());
  }

  call<M extends EstateMethod>(method: M, args: EstateArgs<M>, options: { readonly signal?: AbortSignal } = {}): Promise<EstateResult<M>> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(signal.reason);
      if (this.#closed) return reject(lost(method));
      const id = ++this.#count;
      const onAbort = () => {
        this.#pending.delete(id);
        this.#send({ cancel: id });
        reject(signal?.reason);
      };
      const settled = () => signal?.removeEventListener('abort', onAbort);
      this.#pending.set(id, {
        method,
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      const { rest, data } = splitData(args);
      this.#send({ id, method, args: rest, tail: data !== undefined }, data);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.destroy();
    await closed;
  }

  #send(header: object, tail?: Uint8Array): void {
    this.#socket.cork();
    for (const piece of encodeFrame(header, tail)) this.#socket.write(piece);
    this.#socket.uncork();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const { header, tail } of this.#frames.push(chunk)) this.#answer(header as Answer, tail);
    } catch {
      this.#socket.destroy();
    }
  }

  #answer(answer: Answer, tail: Uint8Array): void {
    const pending = this.#pending.get(answer.id);
    if (!pending) return;
    this.#pending.delete(answer.id);
    if ('error' in answer) pending.reject(fromErrorRecord(answer.error));
    else pending.resolve((answer.tail ? { ...answer.result, data: tail } : answer.result) as never);
  }

  #end(): void {
    this.#closed = true;
    for (const { method, reject } of this.#pending.values()) reject(lost(method));
    this.#pending.clear();
  }
}

const lost = (method: string): DrError =>
  new DrError('CONNECTION_LOST', `the connection to the lab was lost during ${method}`, { context: { method } });
