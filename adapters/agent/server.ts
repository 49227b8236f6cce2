import type { Readable, Writable } from 'node:stream';
import { asDrError, DrError, toErrorRecord } from '../../core/contract/errors.ts';
import type { OpenForSession } from './devices.ts';
import { encodeFrame, type Frame, FrameReader } from './frames.ts';
import type { AgentInfo } from './port.ts';
import { SessionDevices } from './session-devices.ts';
import {
  agreeOn,
  type FromAgent,
  type FromClient,
  fieldsOf,
  GREETING,
  isCount,
  METHODS,
  MOST_DEVICES,
  MOST_IN_FLIGHT,
  type Request,
  SERVER_SILENCE_MS,
  SESSION_LIMITS,
  STRANGER_LIMITS,
} from './wire.ts';

export interface ServeAgentOptions {
  /** A duplex stream is both. They are destroyed when the session ends. */
  readonly input: Readable;
  readonly output: Writable;
  readonly open: OpenForSession;
  readonly info: Pick<AgentInfo, 'version' | 'platform' | 'hostname'>;
  /** Ends the session in order. */
  readonly signal?: AbortSignal | undefined;
  /** Until the client has said hello, 30 s unless told. */
  readonly helloMs?: number;
  /** Without a byte from the client for so long, it counts as gone. A minute unless told. */
  readonly silenceMs?: number;
}

const HELLO_MS = 30_000;

/** With so much not sent yet, nothing more is taken in: a client that does not read its answers waits, and does not fill this host's memory. */
const MOST_UNSENT_BYTES = 4 << 20;

/** Requests that are under way at once, whatever they ask for. */
const MOST_RUNNING: number = MOST_DEVICES * MOST_IN_FLIGHT + MOST_DEVICES;

/**
 * Serves one client. Resolves when the client has closed its side or the signal has come; rejects when it broke the protocol (PROTOCOL_ERROR), never said
 * hello (TIMED_OUT) or has gone (CONNECTION_LOST). Either way its devices are given back by then, and nothing is written to them later.
 */
export const serveAgent = async (options: ServeAgentOptions): Promise<void> => {
  const { input, output, open, signal } = options;
  await using devices = new SessionDevices(open);
  const session = new Session(options, devices);
  const onAbort = () => session.end();
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await session.ended;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    input.destroy();
    output.destroy();
  }
};

class Session {
  readonly #options: ServeAgentOptions;
  readonly #devices: SessionDevices;
  readonly #frames = new FrameReader(STRANGER_LIMITS);
  readonly #running = new Map<number, AbortController>();
  readonly #ended = Promise.withResolvers<void>();
  #isOver = false;
  #timer: NodeJS.Timeout;
  #greeted = false;

  constructor(options: ServeAgentOptions, devices: SessionDevices) {
    this.#options = options;
    this.#devices = devices;
    const { input, output, helloMs = HELLO_MS } = options;
    this.#timer = setTimeout(() => this.end(new DrError('TIMED_OUT', `the client did not say hello within ${helloMs} ms`)), helloMs);
    input.on('data', (chunk: Buffer) => this.#receive(chunk));
    input.once('end', () => this.end());
    for (const stream of [input, output]) {
      stream.on('error', (cause) => this.end(new DrError('CONNECTION_LOST', 'the connection to the client broke', { cause })));
      stream.once('close', () => this.end());
    }
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  end(cause?: DrError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const controller of this.#running.values()) controller.abort(new DrError('ABORTED', 'the session has ended'));
    if (cause) this.#ended.reject(cause);
    else this.#ended.resolve();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#greeted) this.#timer.refresh();
    try {
      for (const frame of this.#frames.push(chunk)) this.#take(frame);
    } catch (error) {
      this.end(asDrError(error));
    }
  }

  #take({ header, tail }: Frame): void {
    if (this.#greeted) this.#obey(messageFrom(header), tail);
    else this.#greet(header);
  }

  #obey(message: FromClient, tail: Uint8Array): void {
    if ('cancel' in message) this.#running.get(message.cancel)?.abort(new DrError('ABORTED', 'the client has cancelled the request'));
    else if ('ping' in message) this.#send({ pong: true });
    else if (!this.#running.has(message.id) && this.#running.size < MOST_RUNNING) void this.#run(message, tail);
    else throw new DrError('PROTOCOL_ERROR', `request ${message.id} is one too many`);
  }

  #greet(header: unknown): void {
    const protocol = agreeOn(fieldsOf(header), 'the client');
    const { info, silenceMs = SERVER_SILENCE_MS } = this.#options;
    this.#greeted = true;
    this.#frames.limits = SESSION_LIMITS;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.end(new DrError('CONNECTION_LOST', `the client has been silent for ${silenceMs} ms`));
    }, silenceMs);
    this.#send({ hello: GREETING, ...info, protocol });
  }

  async #run(request: Request, tail: Uint8Array): Promise<void> {
    const controller = new AbortController();
    this.#running.set(request.id, controller);
    const { id } = request;
    try {
      const { result, tail: data } = await this.#devices.call(request, tail, controller.signal).finally(() => this.#running.delete(id));
      this.#send({ id, result }, data);
    } catch (error) {
      this.#send({ id, error: toErrorRecord(error) });
    }
  }

  #send(message: FromAgent, tail?: Uint8Array): void {
    if (this.#isOver) return;
    const { input, output } = this.#options;
    output.cork();
    for (const piece of encodeFrame(message, tail)) output.write(piece, () => this.#sent());
    output.uncork();
    if (output.writableLength > MOST_UNSENT_BYTES) input.pause();
  }

  /** A client that takes its answers is alive, even while nothing is read from it. */
  #sent(): void {
    if (this.#isOver) return;
    this.#timer.refresh();
    const { input, output } = this.#options;
    if (input.isPaused() && output.writableLength <= MOST_UNSENT_BYTES) input.resume();
  }
}

/** What a method takes is checked where it is carried out. */
const messageFrom = (header: unknown): FromClient => {
  const fields = fieldsOf(header);
  if ('cancel' in fields && isCount(fields['cancel'])) return { cancel: fields['cancel'] };
  if ('ping' in fields) return { ping: true };
  const { id, method } = fields;
  if (!isCount(id) || !(METHODS as readonly unknown[]).includes(method))
    throw new DrError('PROTOCOL_ERROR', 'a request without number or method');
  return fields as unknown as Request;
};
