// One session: a process that answers one request at a time. Its end, or silence beyond the deadline, is a failure; nothing else ends a request but our own line.
import { DrError, type Log } from '../../core/contract/index.ts';
import type { Step } from './port.ts';
import type { PsProcess } from './process.ts';
import { type Reply, readReply } from './values.ts';

const BASE64 = /^[A-Za-z0-9+/=]+$/;
const REPLY = /^DRX1 (\d+) ([A-Za-z0-9+/=]+)$/;
const CLOSE_MS = 2_000;
const MOST_COMPLAINT_CHARACTERS = 500;
/** Several times what 1,000 machines take. */
const MOST_REPLY_CHARACTERS = 128 << 20;

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
}

interface Waiting {
  readonly id: number;
  resolve(reply: Reply): void;
  reject(reason: unknown): void;
}

export class Session {
  readonly #host: string;
  readonly #process: PsProcess;
  readonly #log: Log | undefined;
  #complaint = '';
  #waiting: Waiting | undefined;
  #line: string[] = [];
  #lineLength = 0;
  #count = 0;
  #end: DrError | undefined;

  constructor(host: string, process: PsProcess, log?: Log) {
    this.#host = host;
    this.#process = process;
    this.#log = log;
    process.stdout.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = text.trim().slice(0, MOST_COMPLAINT_CHARACTERS);
      this.#log?.debug('the host says', { host, text: this.#complaint });
    });
    void process.ended.then((how) => {
      const why = this.#complaint === '' ? '' : `: ${this.#complaint}`;
      this.#ended(new DrError('CONNECTION_LOST', `the PowerShell session at ${host} ${how}${why}`, this.#context));
    });
  }

  get alive(): boolean {
    return this.#end === undefined;
  }

  /** A line of ours that answers nothing. */
  send(line: string): void {
    if (this.alive) this.#process.stdin.write(`${line}\n`);
  }

  request(steps: readonly Step[], options: RequestOptions): Promise<Reply> {
    return this.#ask('Invoke-DrRequest', { steps }, options);
  }

  /** Lets the requests that follow run on another host. */
  connect(to: object, options: RequestOptions): Promise<Reply> {
    return this.#ask('Connect-DrHost', to, options);
  }

  /** It is dead from now on, and whoever waits on it is told why. */
  kill(reason: DrError): void {
    this.#ended(reason);
    this.#process.kill();
  }

  /** Lets it end by itself, and helps when it does not. */
  close(): void {
    this.#end ??= new DrError('CONNECTION_LOST', `the session at ${this.#host} is closed`, this.#context);
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill(), CLOSE_MS);
    void this.#process.ended.then(() => clearTimeout(timer));
  }

  get ended(): Promise<string> {
    return this.#process.ended;
  }

  get #context() {
    return { context: { name: this.#host } };
  }

  async #ask(command: string, content: object, { signal, deadlineMs }: RequestOptions): Promise<Reply> {
    signal?.throwIfAborted();
    if (this.#end) throw this.#end;
    const id = ++this.#count;
    const text = Buffer.from(JSON.stringify({ id, ...content })).toString('base64');
    // It is base64 that was just made: this is the one place where data meets a command line, so it is held to what it must be.
    if (!BASE64.test(text)) throw new DrError('INTERNAL', 'a request is not in base64');
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting = { id, resolve, reject };
    const timer = setTimeout(() => this.#giveUp(deadlineMs), deadlineMs);
    const onAbort = () => this.kill(signal?.reason instanceof DrError ? signal.reason : new DrError('ABORTED', 'the request was given up'));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#process.stdin.write(`${command} '${text}'\n`);
      return await promise;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Nothing can stop a cmdlet that hangs: the session goes, and what the host had begun goes on there. */
  #giveUp(deadlineMs: number): void {
    this.kill(
      new DrError('TIMED_OUT', `${this.#host} gave no answer within ${deadlineMs} ms`, { context: { name: this.#host, deadlineMs } }),
    );
  }

  #receive(text: string): void {
    let from = 0;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', from)) {
      this.#line.push(text.slice(from, at));
      from = at + 1;
      const line = this.#line.length === 1 ? this.#line[0]! : this.#line.join('');
      this.#line = [];
      this.#lineLength = 0;
      this.#take(line.endsWith('\r') ? line.slice(0, -1) : line);
    }
    if (from < text.length) this.#line.push(text.slice(from));
    this.#lineLength += text.length - from;
    if (this.#lineLength > MOST_REPLY_CHARACTERS)
      this.kill(new DrError('PROTOCOL_ERROR', `${this.#host} sends a line without end`, this.#context));
  }

  #take(line: string): void {
    const [, id, text] = REPLY.exec(line) ?? [];
    if (id === undefined || text === undefined) {
      if (line.trim() !== '') this.#log?.debug('the host says', { host: this.#host, text: line.slice(0, 500) });
      return;
    }
    const waiting = this.#waiting;
    if (waiting?.id !== Number(id)) return;
    this.#waiting = undefined;
    try {
      waiting.resolve(readReply(text));
    } catch (error) {
      waiting.reject(error);
    }
  }

  #ended(reason: DrError): void {
    this.#end ??= reason;
    this.#waiting?.reject(this.#end);
    this.#waiting = undefined;
  }
}
