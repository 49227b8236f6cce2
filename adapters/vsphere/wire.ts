// HTTPS to a vCenter or ESXi host, by undici. There is no way to switch the check of the certificate off: an authority or a pin, nothing else.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
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
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `the file of authorities ${path} cannot be read`, { context: { key: 'caFile', path }, cause });
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
      const target = url.startsWith('/') ? `${this.#origin}${url}` : url;
      const answer = await request(target, {
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
        body: readBody(answer.body, this.#origin, signal),
      };
    } catch (error) {
      signal?.throwIfAborted();
      throw translate(error, this.#origin);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #connector({ pin, caFile }: VsphereConfig): buildConnector.connector {
    const wanted = pin === undefined ? undefined : normalPin(pin);
    const connect = buildConnector({
      timeout: CONNECT_MS,
      // A resumed session has no certificate that a pin could be compared with.
      maxCachedSessions: 0,
      ...(caFile === undefined ? {} : { ca: readAuthorities(caFile) }),
      ...(wanted === undefined ? {} : { rejectUnauthorized: false }),
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
          return callback(untrusted(this.#origin, sha256.toString('hex'), wanted.toString('hex')), null);
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

async function* readBody(body: AsyncIterable<Buffer>, origin: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    signal?.throwIfAborted();
    throw translate(error, origin);
  }
}

/** The fingerprint in the error is what `endpoint trust` shows and stores. */
const untrusted = (origin: string, actual: string, expected?: string): DrError =>
  new DrError(
    'CERTIFICATE_UNTRUSTED',
    expected === undefined
      ? `the certificate of ${origin} is not signed by an authority that is trusted here`
      : `the certificate of ${origin} has changed: its SHA-256 is ${colons(actual)}`,
    {
      hint: 'compare the fingerprint with the one that the server shows at its console, then run endpoint trust',
      context: { ...(actual === '' ? {} : { actual }), ...(expected === undefined ? {} : { expected }) },
    },
  );

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
  if (/^(UNSPECIFIED|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT)/.test(code)) {
    const why =
      code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? 'is made out to another name' : code === 'CERT_HAS_EXPIRED' ? 'has expired' : undefined;
    if (why === undefined) return untrusted(origin, '');
    return new DrError('CERTIFICATE_UNTRUSTED', `the certificate of ${origin} ${why}`, cause);
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

/** SHA-256 of the certificate that the server shows, whoever signed it: for a person to compare, never to trust by itself. */
export const readFingerprint = async (address: string, signal?: AbortSignal): Promise<string> => {
  const url = new URL(originOf(address));
  const connect = buildConnector({ timeout: CONNECT_MS, maxCachedSessions: 0, rejectUnauthorized: false });
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    signal?.throwIfAborted();
    connect({ hostname: url.hostname, host: url.host, protocol: 'https:', port: url.port || '443' }, (error, made) =>
      error || !made ? reject(translate(error, url.origin)) : resolve(made as TLSSocket),
    );
  });
  try {
    return createHash('sha256').update(socket.getPeerCertificate().raw).digest('hex');
  } finally {
    socket.destroy();
  }
};
