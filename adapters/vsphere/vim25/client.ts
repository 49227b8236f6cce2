// Our own thin client: envelopes by the schema, answers read as they arrive, one session.
import { DrError } from '../../../core/contract/index.ts';
import { toError } from '../faults.ts';
import type {
  CallOptions,
  OpenWire,
  TransferAnswer,
  TransferRequest,
  VimArgs,
  VimMethod,
  VimResult,
  VsphereClient,
  VsphereConfig,
  Wire,
} from '../port.ts';
import { type Decoded, SoapReader, type VimFault } from './decode.ts';
import { encodeRequest } from './encode.ts';
import type { AboutInfo, MoRef, ServiceContent } from './types.ts';

const SERVICE_INSTANCE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
const CALL_MS = 60_000;
/** A vCenter forgets an idle session after 30 minutes by default. */
const KEEP_ALIVE_MS = 5 * 60_000;
const LOGOUT_MS = 5_000;
/** Everything that is said here exists since this version. Servers keep all earlier ones. */
const API_VERSION = '6.7';

export const openVim25 = async (openWire: OpenWire, config: VsphereConfig, options: CallOptions = {}): Promise<VsphereClient> => {
  const client = new Vim25Client(openWire(config), config);
  try {
    await client.open(options);
    return client;
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
};

class Vim25Client implements VsphereClient {
  readonly #wire: Wire;
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

  constructor(wire: Wire, config: VsphereConfig) {
    this.#wire = wire;
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
    this.#content = await this.#send('RetrieveServiceContent', SERVICE_INSTANCE, {}, options);
    const { apiVersion } = this.#content.about;
    if (compareVersions(apiVersion, API_VERSION) < 0) this.#version = apiVersion;
    await this.#login(options);
    this.#keepAlive = setInterval(() => void this.call('CurrentTime', SERVICE_INSTANCE, {}).catch(() => undefined), KEEP_ALIVE_MS);
    this.#keepAlive.unref();
  }

  async call<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, options: CallOptions = {}): Promise<VimResult<M>> {
    if (this.#closed) throw new DrError('CONNECTION_LOST', `the session at ${this.#config.address} is closed`, { context: { method } });
    const logins = this.#logins;
    try {
      return await this.#send(method, on, args, options);
    } catch (error) {
      if (!isNotAuthenticated(error) || this.#closed) throw error;
      await this.#loginAgain(logins, options);
      return this.#send(method, on, args, options);
    }
  }

  async transfer(request: TransferRequest, options: CallOptions = {}): Promise<TransferAnswer> {
    const logins = this.#logins;
    const answer = await this.#transfer(request, options);
    if (answer.status !== 401 || this.#closed) return answer;
    await drain(answer);
    await this.#loginAgain(logins, options);
    return this.#transfer(request, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#keepAlive);
    // Whoever is gone cannot be told; its session ends by itself.
    if (this.#cookie !== '' && this.#content?.sessionManager)
      await this.#send('Logout', this.#content.sessionManager, {}, { deadlineMs: LOGOUT_MS }).catch(() => undefined);
    await this.#wire[Symbol.asyncDispose]();
  }

  #transfer({ headers, ...request }: TransferRequest, { signal, deadlineMs }: CallOptions): Promise<TransferAnswer> {
    const limit = deadlineMs === undefined ? undefined : AbortSignal.timeout(deadlineMs);
    const both = [signal, limit].filter((one) => one !== undefined);
    return this.#wire.send({
      ...request,
      headers: { ...headers, cookie: this.#cookie },
      ...(both.length > 0 ? { signal: AbortSignal.any(both) } : {}),
    });
  }

  /** One log-in for all that were refused at the same time. Its own time: it must not end with the first caller's. */
  async #loginAgain(logins: number, { signal }: CallOptions): Promise<void> {
    if (this.#logins !== logins) return;
    this.#loggingIn ??= this.#login({}).finally(() => {
      this.#loggingIn = undefined;
    });
    await abortable(this.#loggingIn, signal);
  }

  async #login(options: CallOptions): Promise<void> {
    const { sessionManager } = this.content;
    if (!sessionManager) throw new DrError('PROTOCOL_ERROR', `${this.#config.address} has no session manager`);
    const { username: userName, password } = this.#config;
    const session = await this.#send('Login', sessionManager, { userName, password }, options);
    this.#sessionKey = session.key;
    this.#logins++;
  }

  async #send<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>, options: CallOptions): Promise<VimResult<M>> {
    const { signal, deadlineMs = CALL_MS } = options;
    signal?.throwIfAborted();
    const body = encodeRequest(method, on, args);
    const limit = AbortSignal.timeout(Math.min(deadlineMs, 2 ** 31 - 1));
    const both = signal ? AbortSignal.any([signal, limit]) : limit;
    let decoded: Decoded;
    try {
      const headers = {
        'content-type': 'text/xml; charset=utf-8',
        soapaction: `"urn:vim25/${this.#version}"`,
        'user-agent': this.#config.userAgent ?? 'Warmsite',
        ...(this.#cookie ? { cookie: this.#cookie } : {}),
      };
      const answer = await this.#wire.send({ method: 'POST', url: '/sdk', headers, body, signal: both });
      this.#keepCookie(answer.setCookies);
      decoded = await this.#read(method, answer);
    } catch (error) {
      signal?.throwIfAborted();
      if (!limit.aborted) throw error;
      throw new DrError('TIMED_OUT', `${this.#config.address} has not answered ${method} within ${deadlineMs} ms`, {
        context: { method, deadlineMs },
      });
    }
    if ('fault' in decoded) throw this.#faultError(decoded.fault, method, on);
    return decoded.result as VimResult<M>;
  }

  async #read(method: string, answer: TransferAnswer): Promise<Decoded> {
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
    const text = new TextDecoder('utf-8');
    for await (const chunk of answer.body) reader.push(text.decode(chunk, { stream: true }));
    reader.push(text.decode());
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

const isNotAuthenticated = (error: unknown): boolean => error instanceof DrError && error.context.vendorCode === 'NotAuthenticated';

const drain = async ({ body }: TransferAnswer): Promise<string> => {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    if (length < 4096) parts.push(part);
    length += part.length;
  }
  return Buffer.concat(parts).toString();
};

const abortable = (work: Promise<void>, signal: AbortSignal | undefined): Promise<void> => {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
};

/** Numbers between dots: '8.0.3.0' is newer than '6.7'. */
export const compareVersions = (left: string, right: string): number => {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number));
  for (let at = 0; at < Math.max(a!.length, b!.length); at++) {
    const difference = (a![at] ?? 0) - (b![at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
};
