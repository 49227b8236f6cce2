// What every client does alike: one session, its log-in, deadlines, faults, files. How a call becomes an envelope is the dialect's.
import { DrError } from '../../core/contract/index.ts';
import { localizedFault, toError } from './faults.ts';
import type {
  CallOptions,
  TransferAnswer,
  TransferRequest,
  VimArgs,
  VimMethod,
  VimResult,
  VsphereClient,
  VsphereConfig,
  Wire,
} from './port.ts';
import { type Decoded, SoapReader, type VimFault } from './vim25/decode.ts';
import type { AboutInfo, MoRef, RetrieveResult, ServiceContent } from './vim25/types.ts';

const SERVICE_INSTANCE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
const CALL_MS = 60_000;
/** A vCenter forgets an idle session after 30 minutes by default. */
const KEEP_ALIVE_MS = 5 * 60_000;
const LOGOUT_MS = 5_000;
/** The longest that a timer of Node can wait. */
const MOST_MS = 2 ** 31 - 1;
/** Everything that is said here exists since this version. Servers keep all earlier ones. */
const API_VERSION = '6.7';

export interface Saying {
  readonly method: VimMethod;
  readonly on: MoRef;
  readonly args: object;
  readonly signal: AbortSignal;
}

/** Gives an envelope to the server and reads the answer. `keep` gets the answer's text as well, piece by piece. */
export type Post = (envelope: string, keep?: (text: string) => void) => Promise<Decoded>;

export interface Dialect extends AsyncDisposable {
  /** Makes the envelope of one call, posts it at most once, and ends with what `post` gave. */
  say(saying: Saying, post: Post): Promise<Decoded>;
}

/** Takes wire and dialect over: both end with the client, or at once when it cannot be opened. */
export const openSession = async (wire: Wire, dialect: Dialect, config: VsphereConfig, options: CallOptions): Promise<VsphereClient> => {
  const session = new Session(wire, dialect, config);
  try {
    await session.open(options);
    return session;
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
};

class Session implements VsphereClient {
  readonly #wire: Wire;
  readonly #dialect: Dialect;
  readonly #config: VsphereConfig;
  #content: ServiceContent | undefined;
  #version = API_VERSION;
  #cookie = '';
  #sessionKey = '';
  /** Rises with each log-in: whoever was refused under an older one need not log in again. */
  #logins = 0;
  #loggingIn: Promise<void> | undefined;
  #keepAlive: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  constructor(wire: Wire, dialect: Dialect, config: VsphereConfig) {
    this.#wire = wire;
    this.#dialect = dialect;
    this.#config = config;
  }

  get about(): AboutInfo {
    return this.content.about;
  }

  get content(): ServiceContent {
    if (!this.#content) throw new DrError('INTERNAL', 'the client is not open');
    return this.#content;
  }

  get sessionKey(): string {
    return this.#sessionKey;
  }

  get thumbprintSha1(): string {
    return this.#wire.thumbprintSha1;
  }

  async open(options: CallOptions): Promise<void> {
    using limit = this.#limit('the log-in', options);
    this.#content = await this.#send('RetrieveServiceContent', SERVICE_INSTANCE, {}, limit.signal);
    const { apiVersion } = this.#content.about;
    if (compareVersions(apiVersion, API_VERSION) < 0) this.#version = apiVersion;
    await this.#login(limit.signal);
    this.#keepAlive = keepAlive(new WeakRef(this));
  }

  async call<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, options: CallOptions = {}): Promise<VimResult<M>> {
    this.#assertOpen(method);
    using limit = this.#limit(method, options);
    const logins = this.#logins;
    try {
      return await this.#send(method, on, args, limit.signal);
    } catch (error) {
      if (!isNotAuthenticated(error) || this.#closed) throw error;
      await this.#loginAgain(logins, limit.signal);
      return await this.#send(method, on, args, limit.signal);
    }
  }

  async transfer(request: TransferRequest, options: CallOptions = {}): Promise<TransferAnswer> {
    this.#assertOpen(request.method);
    // Only the caller knows how long its file takes.
    const limit = this.#limit(`${request.method} ${pathOf(request.url)}`, { deadlineMs: MOST_MS, ...options });
    try {
      const logins = this.#logins;
      const answer = await this.#transfer(request, limit.signal);
      if (answer.status !== 401 || this.#closed) return until(answer, limit);
      await drain(answer);
      await this.#loginAgain(logins, limit.signal);
      return until(await this.#transfer(request, limit.signal), limit);
    } catch (error) {
      limit[Symbol.dispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#keepAlive);
    // Whoever is gone cannot be told; its session ends by itself.
    if (this.#cookie !== '' && this.#content?.sessionManager) {
      using limit = this.#limit('Logout', { deadlineMs: LOGOUT_MS });
      await this.#send('Logout', this.#content.sessionManager, {}, limit.signal).catch(() => undefined);
    }
    await this.#dialect[Symbol.asyncDispose]();
    await this.#wire[Symbol.asyncDispose]();
  }

  #assertOpen(method: string): void {
    if (this.#closed) throw new DrError('CONNECTION_LOST', `the session at ${this.#config.address} is closed`, { context: { method } });
  }

  #limit(method: string, { signal, deadlineMs = CALL_MS }: CallOptions): Limit {
    const late = () =>
      new DrError('TIMED_OUT', `${this.#config.address} has not answered ${method} within ${deadlineMs} ms`, {
        context: { method, deadlineMs },
      });
    return new Limit(signal, deadlineMs, late);
  }

  #transfer({ headers, ...request }: TransferRequest, signal: AbortSignal): Promise<TransferAnswer> {
    return this.#wire.send({ ...request, headers: { ...headers, cookie: this.#cookie }, signal });
  }

  /** One log-in for all that were refused at the same time. It has its own time: it must not end with the first caller's. */
  async #loginAgain(logins: number, signal: AbortSignal): Promise<void> {
    if (this.#logins !== logins) return;
    this.#loggingIn ??= this.#loginWithin(CALL_MS).finally(() => {
      this.#loggingIn = undefined;
    });
    await abortable(this.#loggingIn, signal);
  }

  async #loginWithin(deadlineMs: number): Promise<void> {
    using limit = this.#limit('Login', { deadlineMs });
    await this.#login(limit.signal);
  }

  async #login(signal: AbortSignal): Promise<void> {
    const { sessionManager } = this.content;
    if (!sessionManager) throw new DrError('PROTOCOL_ERROR', `${this.#config.address} has no session manager`);
    const { username: userName, password } = this.#config;
    const session = await this.#send('Login', sessionManager, { userName, password }, signal);
    this.#sessionKey = session.key;
    this.#logins++;
  }

  async #send<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, signal: AbortSignal): Promise<VimResult<M>> {
    signal.throwIfAborted();
    const said = this.#dialect.say({ method, on, args, signal }, (envelope, keep) => this.#post(method, envelope, signal, keep));
    const decoded = await abortable(said, signal);
    if ('fault' in decoded) throw this.#faultError(decoded.fault, method, on);
    const fault = method === 'RetrievePropertiesEx' ? endedSession(decoded.result) : undefined;
    if (fault) throw this.#faultError(fault, method, on);
    return decoded.result as VimResult<M>;
  }

  async #post(method: string, body: string, signal: AbortSignal, keep?: (text: string) => void): Promise<Decoded> {
    const headers = {
      'content-type': 'text/xml; charset=utf-8',
      soapaction: `"urn:vim25/${this.#version}"`,
      'user-agent': this.#config.userAgent ?? 'Warmsite',
      ...(this.#cookie ? { cookie: this.#cookie } : {}),
    };
    const answer = await this.#wire.send({ method: 'POST', url: '/sdk', headers, body, signal });
    this.#keepCookie(answer.setCookies);
    return await this.#read(method, answer, keep);
  }

  async #read(method: string, answer: TransferAnswer, keep: ((text: string) => void) | undefined): Promise<Decoded> {
    const { status, headers } = answer;
    const isXml = (headers['content-type'] ?? 'text/xml').includes('xml');
    if (!(status === 200 || status === 500) || !isXml) {
      const start = (await drain(answer)).slice(0, 200);
      const context = { method, actual: status };
      if ([502, 503, 504].includes(status))
        throw new DrError('HOST_BUSY', `${this.#config.address} answers ${status}: it is starting or overloaded`, { context });
      throw new DrError('PROTOCOL_ERROR', `${this.#config.address} answers ${method} with HTTP ${status} ${JSON.stringify(start)}`, {
        hint: 'check that the address is that of a vCenter or ESXi host',
        context,
      });
    }
    const reader = new SoapReader(method);
    const decoder = new TextDecoder('utf-8');
    const take = (text: string) => {
      reader.push(text);
      keep?.(text);
    };
    for await (const chunk of answer.body) take(decoder.decode(chunk, { stream: true }));
    take(decoder.decode());
    return reader.end();
  }

  #keepCookie(setCookies: readonly string[]): void {
    const own = setCookies.map((cookie) => cookie.split(';', 1)[0] ?? '').find((cookie) => cookie.startsWith('vmware_soap_session='));
    if (own !== undefined) this.#cookie = own;
  }

  #faultError(fault: VimFault, method: string, on: MoRef): DrError {
    const subject =
      on.type === 'VirtualMachine' ? { machine: on.value } : on.type === 'VirtualMachineSnapshot' ? { snapshot: on.value } : {};
    return toError(fault, `${method} on ${on.type} ${on.value} failed`, { method, ...subject });
  }
}

/** The caller's signal and a deadline in one, whose reason is an error that says what was waited for. */
class Limit implements Disposable {
  readonly signal: AbortSignal;
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(signal: AbortSignal | undefined, deadlineMs: number, late: () => DrError) {
    const own = new AbortController();
    this.#timer = setTimeout(() => own.abort(late()), Math.min(deadlineMs, MOST_MS));
    this.#timer.unref();
    this.signal = signal ? AbortSignal.any([signal, own.signal]) : own.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Held weakly: its own timer must not keep a session for whom nobody asks any more. */
const keepAlive = (session: WeakRef<Session>): ReturnType<typeof setInterval> => {
  const timer = setInterval(() => {
    const there = session.deref();
    if (there) void there.call('CurrentTime', SERVICE_INSTANCE, {}).catch(() => undefined);
    else clearInterval(timer);
  }, KEEP_ALIVE_MS);
  return timer.unref();
};

const isNotAuthenticated = (error: unknown): boolean => error instanceof DrError && error.context.vendorCode === 'NotAuthenticated';

/** Whoever has no session (any more) is still answered, with nothing but this fault beside each property: the method itself is open to everybody. */
const endedSession = (result: unknown): VimFault | undefined => {
  // A simulator answers a question about nothing with a result that holds nothing.
  const { objects = [] } = (result ?? {}) as Partial<RetrieveResult>;
  for (const { missingSet = [] } of objects) {
    const fault = missingSet.map((missing) => localizedFault(missing.fault)).find(({ $type }) => $type === 'NotAuthenticated');
    if (fault) return fault;
  }
  return undefined;
};

/** Without the query: a lease's URL may carry a ticket there. */
const pathOf = (url: string): string => url.split('?', 1)[0] ?? '';

/** The answer with its deadline kept until the body's end. */
const until = (answer: TransferAnswer, limit: Limit): TransferAnswer => {
  const inner = answer.body[Symbol.asyncIterator]();
  const end = async <T>(work: Promise<IteratorResult<T>>): Promise<IteratorResult<T>> => {
    try {
      const step = await work;
      if (step.done) limit[Symbol.dispose]();
      return step;
    } catch (error) {
      limit[Symbol.dispose]();
      throw error;
    }
  };
  const gone: IteratorResult<Uint8Array> = { done: true, value: undefined };
  const iterator: AsyncIterableIterator<Uint8Array> = {
    next: () => end(inner.next()),
    return: () => end(inner.return?.() ?? Promise.resolve(gone)),
    [Symbol.asyncIterator]: () => iterator,
  };
  return { ...answer, body: iterator };
};

const drain = async ({ body }: TransferAnswer): Promise<string> => {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    if (length < 4096) parts.push(part);
    length += part.length;
  }
  return Buffer.concat(parts).toString();
};

const abortable = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) {
      work.catch(() => undefined);
      return onAbort();
    }
    signal.addEventListener('abort', onAbort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });

/** Numbers between dots: '8.0.3.0' is newer than '6.7'. */
const compareVersions = (left: string, right: string): number => {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number));
  for (let at = 0; at < Math.max(a!.length, b!.length); at++) {
    const difference = (a![at] ?? 0) - (b![at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
};
