import type { Readable, Writable } from 'node:stream';
import { asDrError, DrError } from '../../core/contract/errors.ts';
import { encodeFrame, type Frame, FrameReader } from './frames.ts';
import type { AgentInfo, AgentOptions } from './port.ts';
import {
  agreeOn,
  CLIENT_SILENCE_MS,
  errorFrom,
  type FromClient,
  fieldsOf,
  GREETING,
  isCount,
  PING_MS,
  PROTOCOL,
  plain,
  type Request,
  SESSION_LIMITS,
  STRANGER_LIMITS,
} from './wire.ts';
import { DEADLINE_MS, within } from './within.ts';

/** Bytes to an agent and from it. */
export interface Wire {
  /** Of the other end, for messages. */
  readonly name: string;
  readonly input: Readable;
  readonly output: Writable;
  /** Whatever else may tell that the other end has gone. */
  readonly ended?: Promise<unknown> | undefined;
}

export interface Answer {
  readonly result: Readonly<Record<string, unknown>>;
  readonly tail: Uint8Array;
}

export interface Sent {
  /** Settles with the answer, the signal, the deadline or the end of the wire. */
  readonly answer: Promise<Answer>;
  /** Resolves once the agent has answered, or the wire is gone: the request takes no place there any more. */
  readonly over: Promise<void>;
}

export interface SendOptions extends AgentOptions {
  readonly tail?: Uint8Array;
  /** What to do with an answer that comes when nobody waits for it any more. */
  readonly onLate?: (answer: Answer) => void;
}

interface Pending {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export interface ConnectionTimes {
  readonly silenceMs?: number;
  readonly pingMs?: number;
}

/** How long an agent may take to give its devices back and end, once it was told to. */
const FAREWELL_MS = 30_000;

/** One session with an agent. Whatever ends it, everything that waits is told. */
export class Connection {
  readonly name: string;
  readonly #wire: Wire;
  readonly #frames = new FrameReader(STRANGER_LIMITS);
  readonly #pending = new Map<number, Pending>();
  readonly #lost = new AbortController();
  readonly #greeted = Promise.withResolvers<AgentInfo>();
  readonly #closed: Promise<unknown>;
  readonly #pinging: NodeJS.Timeout;
  readonly #silence: NodeJS.Timeout;
  #info: AgentInfo | undefined;
  #count = 0;

  constructor(wire: Wire, { silenceMs = CLIENT_SILENCE_MS, pingMs = PING_MS }: ConnectionTimes = {}) {
    this.#wire = wire;
    this.name = wire.name;
    const { input, output, ended } = wire;
    this.#greeted.promise.catch(() => undefined);
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    input.on('data', (chunk: Buffer) => this.#receive(chunk));
    for (const event of ['end', 'close'] as const) {
      input.once(event, () => {
        this.#lose(this.#gone('closed the connection'));
        closed.resolve();
      });
    }
    output.once('close', () => this.#lose(this.#gone('closed the connection')));
    for (const stream of [input, output]) stream.on('error', (cause) => this.#lose(this.#gone('broke the connection', cause)));
    ended?.then(
      () => this.#lose(this.#gone('ended')),
      (cause: unknown) => this.#lose(this.#gone('ended', cause)),
    );
    // Neither keeps a program alive that has nothing else to do.
    this.#pinging = setInterval(() => this.#transmit({ ping: true }), pingMs).unref();
    this.#silence = setTimeout(() => this.#lose(this.#gone(`has been silent for ${silenceMs} ms`)), silenceMs).unref();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Says hello; what is no agent gives PROTOCOL_ERROR, or TIMED_OUT when it says nothing. */
  async greet(version: string, options: AgentOptions): Promise<AgentInfo> {
    this.#write({ hello: GREETING, protocol: PROTOCOL, version });
    return within(this.#greeted.promise, options, `the agent at ${this.name} did not say hello`);
  }

  send(request: Omit<Request, 'id'>, { tail, signal, deadlineMs = DEADLINE_MS, onLate }: SendOptions = {}): Sent {
    const over = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<Answer>();
    if (this.lost.aborted || signal?.aborted) {
      answered.reject(this.lost.aborted ? this.lost.reason : signal?.reason);
      over.resolve();
      return { answer: answered.promise, over: over.promise };
    }
    const id = ++this.#count;
    let isLate = false;
    this.#pending.set(id, {
      resolve: (answer) => {
        over.resolve();
        if (isLate) onLate?.(answer);
        answered.resolve(answer);
      },
      reject: (error) => {
        over.resolve();
        answered.reject(error);
      },
    });
    // The caller may change its bytes as soon as it is told of an abort, while these still wait to be sent.
    this.#write({ id, ...request }, tail && new Uint8Array(tail));
    const answer = within(answered.promise, { signal, deadlineMs }, `${request.method} at ${this.name} had no answer`);
    answer.catch(() => {
      if (!this.#pending.has(id)) return;
      isLate = true;
      this.#transmit({ cancel: id });
    });
    return { answer, over: over.promise };
  }

  /** Ends the session: resolves when the agent has given its devices back and hung up, or does not within 30 s. */
  async close(): Promise<void> {
    this.#lose(new DrError('CONNECTION_LOST', `the connection to the agent at ${this.name} was closed here`));
    const { input, output, ended } = this.#wire;
    const tooLong = Promise.withResolvers<void>();
    const timer = setTimeout(() => tooLong.resolve(), FAREWELL_MS);
    if (!output.destroyed) output.end();
    await Promise.race([Promise.all([this.#closed, ended]), tooLong.promise]).catch(() => undefined);
    clearTimeout(timer);
    input.destroy();
    output.destroy();
  }

  /** For an answer that is none: the session ends, and the call with this error. */
  reject(message: string): DrError {
    const error = new DrError('PROTOCOL_ERROR', `the agent at ${this.name} ${message}`);
    this.#distrust(error);
    return error;
  }

  #gone(what: string, cause?: unknown): DrError {
    const message = `the agent at ${this.name} ${what}`;
    if (this.#info) return new DrError('CONNECTION_LOST', message, { cause });
    return new DrError('CONNECTION_LOST', `${message} before it said hello`, {
      hint: 'check that the agent and a Node 24 are on the host, and what the agent printed there',
      cause,
    });
  }

  #lose(error: DrError): void {
    if (this.lost.aborted) return;
    clearInterval(this.#pinging);
    clearTimeout(this.#silence);
    this.#greeted.reject(error);
    this.#lost.abort(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }

  /** The other end says what none of ours would: nothing it says later can be trusted either. */
  #distrust(error: DrError): void {
    this.#lose(error);
    this.#wire.input.destroy();
    this.#wire.output.destroy();
  }

  #receive(chunk: Uint8Array): void {
    if (this.lost.aborted) return;
    this.#silence.refresh();
    try {
      for (const frame of this.#frames.push(chunk)) this.#take(frame);
    } catch (error) {
      this.#distrust(asDrError(error));
    }
  }

  #take({ header, tail }: Frame): void {
    const fields = fieldsOf(header);
    if (!this.#info) this.#meet(fields);
    else if (!('pong' in fields)) this.#answer(fields, tail);
  }

  #answer({ id, error, result }: Readonly<Record<string, unknown>>, tail: Uint8Array): void {
    const pending = isCount(id) ? this.#pending.get(id) : undefined;
    if (!pending) throw new DrError('PROTOCOL_ERROR', `the agent at ${this.name} answers what was not asked`);
    // What cannot be read ends the session, which tells this caller too: so it is taken off only then.
    const answer = error === undefined ? { result: fieldsOf(result), tail } : errorFrom(error);
    this.#pending.delete(id as number);
    if (answer instanceof DrError) pending.reject(answer);
    else pending.resolve(answer);
  }

  #meet(fields: Readonly<Record<string, unknown>>): void {
    // It refuses us before anything else, for what our certificate is.
    if ('error' in fields) throw errorFrom(fields['error']);
    const protocol = agreeOn(fields, `what answers at ${this.name}`);
    const { platform, version, hostname } = fields;
    if (platform !== 'linux' && platform !== 'windows') throw new DrError('PROTOCOL_ERROR', `the agent at ${this.name} names no platform`);
    this.#info = { protocol, platform, version: plain(version, 64), hostname: plain(hostname, 255) };
    this.#frames.limits = SESSION_LIMITS;
    this.#greeted.resolve(this.#info);
  }

  /** Nothing but a hello goes to a stranger. */
  #transmit(message: FromClient): void {
    if (this.#info && !this.lost.aborted) this.#write(message);
  }

  #write(header: object, tail?: Uint8Array): void {
    const { output } = this.#wire;
    if (output.destroyed) return;
    output.cork();
    for (const piece of encodeFrame(header, tail)) output.write(piece);
    output.uncork();
  }
}
