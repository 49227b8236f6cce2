// node-vsphere-soap behind the port. It makes the envelopes and takes the answers; what it reads out of them is not used: it gives numbers
// as text where a type stands by itself, and a list of one as no list. Our decoder reads the same bytes, so both clients answer alike.
import { Worker } from 'node:worker_threads';
import { DrError } from '../../../core/contract/index.ts';
import type { CallOptions, OpenWire, VsphereClient, VsphereConfig } from '../port.ts';
import { type Dialect, openSession, type Post, type Saying } from '../session.ts';
import type { Decoded } from '../vim25/decode.ts';
import { encodeRequest } from '../vim25/encode.ts';
import type { FromWorker, ToWorker } from './messages.ts';

export const openNodeVsphereSoap = async (openWire: OpenWire, config: VsphereConfig, options: CallOptions = {}): Promise<VsphereClient> =>
  await openSession(openWire(config), new PackageDialect(), config, options);

interface Call {
  readonly method: string;
  readonly post: Post;
  readonly end: (error: unknown, decoded?: Decoded) => void;
  /** From its first envelope on: a second one would do the same work twice. */
  posted: boolean;
  /** True while the wire has it, not the worker. */
  onWire: boolean;
  decoded: Decoded | undefined;
}

class PackageDialect implements Dialect {
  #worker: Worker | undefined;
  readonly #calls = new Map<number, Call>();
  #lastId = 0;

  async say({ method, on, args, signal }: Saying, post: Post): Promise<Decoded> {
    // The package puts what the schema does not have on the wire as well; here it is refused as by our own client.
    encodeRequest(method, on, args);
    const worker = this.#worker ?? this.#start();
    const id = ++this.#lastId;
    const ended = Promise.withResolvers<Decoded>();
    const end: Call['end'] = (error, decoded) => (decoded ? ended.resolve(decoded) : ended.reject(error));
    const call: Call = { method, post, end, posted: false, onWire: false, decoded: undefined };
    const onAbort = () => this.#giveUp(worker, call, signal.reason);
    this.#calls.set(id, call);
    worker.ref();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      send(worker, { kind: 'call', id, method, on, args });
      return await ended.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#calls.delete(id);
      if (this.#calls.size === 0) worker.unref();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  /** Nothing of our environment goes in: neither secrets nor switches of Node. */
  #start(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      name: 'node-vsphere-soap',
      env: {},
      execArgv: [],
    });
    worker.on('message', (message: FromWorker) => void this.#hear(worker, message));
    worker.on('error', (error) => this.#bury(worker, error));
    worker.on('exit', () => this.#bury(worker));
    this.#worker = worker;
    return worker;
  }

  async #hear(worker: Worker, message: FromWorker): Promise<void> {
    const { id } = message;
    const call = this.#calls.get(id);
    if (message.kind === 'envelope') send(worker, { kind: 'answer', id, text: call ? await this.#carry(call, message.text) : undefined });
    else if (message.kind === 'done') call?.end(failed(call.method), call.decoded);
    else call?.end(failed(call.method));
  }

  /** The answer for the package to read; undefined for what it should not see: faults, of which it would print and throw, and broken ones. */
  async #carry(call: Call, envelope: string): Promise<string | undefined> {
    if (call.posted) return undefined;
    call.posted = true;
    call.onWire = true;
    const parts: string[] = [];
    try {
      const decoded = await call.post(envelope, (text) => parts.push(text));
      if ('fault' in decoded) {
        call.end(undefined, decoded);
        return undefined;
      }
      call.decoded = decoded;
      return parts.join('');
    } catch (error) {
      call.end(error);
      return undefined;
    } finally {
      call.onWire = false;
    }
  }

  /** A worker that has had a call for all its time hangs: its other calls would wait in vain. */
  #giveUp(worker: Worker, call: Call, reason: unknown): void {
    call.end(reason);
    if (reason instanceof DrError && reason.code === 'TIMED_OUT' && !call.onWire) this.#bury(worker);
  }

  /** Its calls end, and the next one begins with a new worker. */
  #bury(worker: Worker, cause?: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { method, end } of this.#calls.values()) end(lost(method, cause));
    void worker.terminate();
  }
}

const send = (worker: Worker, message: ToWorker): void => worker.postMessage(message);

const lost = (method: string, cause?: unknown): DrError =>
  new DrError('CONNECTION_LOST', `the worker of node-vsphere-soap has ended during ${method}`, { context: { method }, cause });

/** Without its words: they are the whole answer, and that of a log-in opens the session. */
const failed = (method: string): DrError =>
  new DrError('PROTOCOL_ERROR', `node-vsphere-soap has failed on ${method}`, {
    hint: 'choose the client vim25 for this endpoint',
    context: { method },
  });
