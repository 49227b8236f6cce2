// HTTPS to a vCenter or ESXi host, by undici. There is no way to switch the check of the certificate off: an authority or a pin, nothing else.
import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Agent, buildConnector, request } from 'undici';
import { DrError } from '../../core/contract/index.ts';
import type { OpenWire, VsphereConfig, Wire, WireAnswer, WireRequest } from './port.ts';

const CONNECT_MS = 15_000;
/** vCenter allows far more; ESXi answers 16 well. */
const CONNECTIONS = 16;

export const originOf = (address: string): string => {
  const text = /^https?:\/\//.test(address) ? address : `https://${address}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && url.hostname !== '' && url.username === '' && url.password === '') return url.origin;
  throw new DrError('CONFIG_INVALID', `${JSON.stringify(address)} is no address of a vCenter or ESXi host`, {
    hint: 'write a host name or address, with :port where it is not 443',
    context: { key: 'address' },
  });
};

const normalPin = (pin: string): Buffer => {
  const hex = pin.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return Buffer.from(hex, 'hex');
  throw new DrError('CONFIG_INVALID', 'the pin is no SHA-256 fingerprint', {
    hint: 'write the 64 hex digits that endpoint trust shows',
    context: { key: 'pin' },
  });
};

const readAuthorities = (path: string): string => {
  try {
    const pem = readFileSync(path, 'utf8');
    // OpenSSL says nothing of a file without a certificate, and would then trust nobody.
    new X509Certificate(pem);
    return pem;
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `the file of authorities ${path} cannot be read or holds no certificate`, {
      context: { key: 'caFile', path },
      cause,
    });
  }
};

const colons = (hex: string): string => hex.toUpperCase().match(/../g)?.join(':') ?? '';

export const openWire: OpenWire = (config) => new HttpsWire(config);

class HttpsWire implements Wire {
  readonly #origin: string;
  readonly #agent: Agent;
  #thumbprint = '';

  constructor(config: VsphereConfig) {
    this.#origin = originOf(config.address);
    this.#agent = new Agent({
      connections: CONNECTIONS,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 30_000,
      connect: this.#connector(config),
    });
  }

  get thumbprintSha1(): string {
    return this.#thumbprint;
  }

  async send({ method, url, headers, body, signal }: WireRequest): Promise<WireAnswer> {
    try {
      const answer = await request(this.#target(url), {
        method,
        headers: { ...headers },
        dispatcher: this.#agent,
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
      const { 'set-cookie': cookies = [], ...rest } = answer.headers;
      return {
        status: answer.statusCode,
        headers: Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)])),
        setCookies: Array.isArray(cookies) ? cookies : [cookies],
        body: readable(answer.body, this.#origin, signal),
      };
    } catch (error) {
      signal?.throwIfAborted();
      throw await this.#explain(translate(error, this.#origin), url, signal);
    }
  }

  /** A certificate that was refused before it could be read is looked at once more, so that a person can compare it. Not that of another host. */
  async #explain(error: DrError, url: string, signal: AbortSignal | undefined): Promise<DrError> {
    const own = new URL(url, this.#origin).origin === this.#origin;
    if (error.code !== 'CERTIFICATE_UNTRUSTED' || error.context.actual !== undefined || !own) return error;
    const seen = await readCertificate(this.#origin, signal).catch(() => undefined);
    signal?.throwIfAborted();
    if (seen === undefined) return error;
    const message = `${error.message} (${signerOf(seen)})`;
    return new DrError(error.code, message, { hint: error.hint, context: { actual: sha256Of(seen) }, cause: error.cause });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** The session's cookie goes with it, so never in the clear. */
  #target(url: string): string {
    if (url.startsWith('/')) return `${this.#origin}${url}`;
    if (url.startsWith('https://')) return url;
    throw new DrError('PROTOCOL_ERROR', `${this.#origin} names a file by an address that is not https`, {
      hint: 'switch the transfer of files to https on the server',
    });
  }

  #connector({ pin, caFile }: VsphereConfig): buildConnector.connector {
    const wanted = pin === undefined ? undefined : normalPin(pin);
    const connect = buildConnector({
      timeout: CONNECT_MS,
      // A resumed session has no certificate that a pin could be compared with.
      maxCachedSessions: 0,
      ...(caFile === undefined ? {} : { ca: readAuthorities(caFile) }),
      // Said, not left out: what is left out NODE_TLS_REJECT_UNAUTHORIZED decides.
      rejectUnauthorized: wanted === undefined,
    });
    return (options, callback) =>
      connect(options, (error, socket) => {
        if (error || !socket) return callback(error ?? new Error('no socket'), null);
        const raw = (socket as TLSSocket).getPeerCertificate().raw as Buffer | undefined;
        const sha256 = createHash('sha256')
          .update(raw ?? '')
          .digest();
        if (wanted !== undefined && !timingSafeEqual(wanted, sha256)) {
          socket.destroy();
          return callback(changed(this.#origin, sha256.toString('hex'), wanted.toString('hex')), null);
        }
        this.#thumbprint = colons(
          createHash('sha1')
            .update(raw ?? '')
            .digest('hex'),
        );
        callback(null, socket);
      });
  }
}

/** No generator: one that was never begun does not hear of `return()`, and its connection would stay taken. */
const readable = (body: Readable, origin: string, signal: AbortSignal | undefined): AsyncIterableIterator<Uint8Array> => {
  const inner: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  const iterator: AsyncIterableIterator<Uint8Array> = {
    next: async () => {
      try {
        return await inner.next();
      } catch (error) {
        signal?.throwIfAborted();
        throw translate(error, origin);
      }
    },
    return: async () => {
      // What destroying breaks off is nobody's error any more.
      body.on('error', () => undefined);
      body.destroy();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
};

const COMPARE = 'compare the fingerprint with the one that the server shows at its console, then run endpoint trust';

const changed = (origin: string, actual: string, expected: string): DrError =>
  new DrError('CERTIFICATE_UNTRUSTED', `the certificate of ${origin} is not the one that was accepted: its SHA-256 is ${colons(actual)}`, {
    hint: COMPARE,
    context: { actual, expected },
  });

const untrusted = (code: string): string => {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'is made out to another name';
  return code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not signed by an authority that is trusted here';
};

const REFUSED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ECONNABORTED',
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
]);

const translate = (error: unknown, origin: string): DrError => {
  if (error instanceof DrError) return error;
  const { code = '', message = '' } = (error ?? {}) as { readonly code?: string; readonly message?: string };
  const cause = { cause: error };
  if (
    /^(UNSPECIFIED|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|UNABLE_TO_|CERT_|ERR_TLS_CERT)/.test(
      code,
    )
  ) {
    return new DrError('CERTIFICATE_UNTRUSTED', `the certificate of ${origin} ${untrusted(code)}`, { ...cause, hint: COMPARE });
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
    return new DrError('PROTOCOL_ERROR', `${origin} does not speak TLS as it should (${code})`, {
      ...cause,
      hint: 'check address and port',
    });
  }
  if (REFUSED.has(code)) return new DrError('CONNECTION_REFUSED', `${origin} does not answer (${code})`, cause);
  return new DrError('CONNECTION_LOST', `the connection to ${origin} was lost (${code || message})`, cause);
};

const sha256Of = ({ raw }: X509Certificate): string => createHash('sha256').update(raw).digest('hex');

/** The issuer that a certificate names is a claim, and says so; that it signed itself is checked. */
const signerOf = (certificate: X509Certificate): string => {
  if (certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)) return 'it is self-signed';
  return `it names as its signer: ${certificate.issuer.split('\n').join(', ')}`;
};

/** The certificate that the server shows, whoever signed it: for a person to compare, never to trust by itself. */
const readCertificate = async (address: string, signal?: AbortSignal): Promise<X509Certificate> => {
  const url = new URL(originOf(address));
  const connect = buildConnector({ timeout: CONNECT_MS, maxCachedSessions: 0, rejectUnauthorized: false });
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    signal?.throwIfAborted();
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    connect({ hostname: url.hostname, host: url.host, protocol: 'https:', port: url.port || '443' }, (error, made) => {
      if (signal?.aborted) made?.destroy();
      else if (error || !made) reject(translate(error, url.origin));
      else resolve(made as TLSSocket);
    });
  });
  try {
    return new X509Certificate(socket.getPeerCertificate().raw);
  } finally {
    socket.destroy();
  }
};
