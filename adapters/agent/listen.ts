import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { asDrError, DrError, toErrorRecord } from '../../core/contract/errors.ts';
import { encodeFrame } from './frames.ts';
import { type ServeAgentOptions, serveAgent } from './server.ts';

export interface ListenOptions extends Pick<ServeAgentOptions, 'open' | 'info'> {
  readonly host: string;
  readonly port: number;
  /** All PEM. */
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Of the authority whose clients are let in. */
  readonly ca: Buffer;
  /** SHA-256 in lower-case hex: of these clients only the one with this certificate. */
  readonly clientSha256?: string | undefined;
  readonly log: (line: string) => void;
}

export interface AgentListener extends AsyncDisposable {
  readonly port: number;
}

const HANDSHAKE_MS = 30_000;

/** More than the engines of two sites and whoever looks after them need. */
const MOST_SESSIONS = 16;

/** How long a client that is refused may take to hear why. */
const REFUSAL_MS = 5000;

/** Serves clients over TLS 1.3. Disposing ends all sessions and resolves when their devices are given back. */
export const listen = async (options: ListenOptions): Promise<AgentListener> => {
  const { host, port, certificate, key, ca, log } = options;
  const stop = new AbortController();
  const sockets = new Set<Socket>();
  const sessions = new Set<Promise<void>>();
  const server = createServer({
    cert: certificate,
    key,
    ca,
    minVersion: 'TLSv1.3',
    requestCert: true,
    // Nobody is let in by this: refusalOf() decides, and then the client hears why. OpenSSL would only hang up.
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS,
  });
  server.maxConnections = MOST_SESSIONS;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', (error, socket) => log(`${socket.remoteAddress}: no TLS: ${error.message}`));
  server.on('secureConnection', (socket) => {
    const refusal = refusalOf(socket, options.clientSha256);
    if (refusal) return refuse(socket, refusal, log);
    const session = serveOne(socket, options, stop.signal).finally(() => sessions.delete(session));
    sessions.add(session);
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `cannot listen at ${host}:${port}: ${(cause as NodeJS.ErrnoException).code}`, {
      hint: 'choose an address of this host and a port that is free',
      cause,
    });
  }
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      stop.abort(new DrError('ABORTED', 'the agent ends'));
      await Promise.all(sessions);
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};

const serveOne = async (socket: TLSSocket, { open, info, log }: ListenOptions, signal: AbortSignal): Promise<void> => {
  const peer = `${socket.remoteAddress}:${socket.remotePort}`;
  socket.setNoDelay(true);
  log(`${peer}: session begins`);
  try {
    await serveAgent({ input: socket, output: socket, open, info, signal });
    log(`${peer}: session ended`);
  } catch (error) {
    const { code, message } = asDrError(error);
    log(`${peer}: session ended: ${code}: ${message}`);
  }
};

const refusalOf = (socket: TLSSocket, clientSha256: string | undefined): DrError | undefined => {
  const hint = 'give the client the certificate and key that the authority of the agent has signed for it';
  if (!socket.authorized) {
    const why = socket.getPeerX509Certificate() ? (socket.authorizationError as unknown as string) : 'it shows none';
    return new DrError('AUTH_REJECTED', `the agent does not accept the certificate of the client: ${String(why)}`, { hint });
  }
  const seen = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase();
  if (clientSha256 === undefined || seen === clientSha256) return undefined;
  return new DrError('AUTH_REJECTED', 'the agent is for another client than this one', { hint, context: { actual: seen ?? 'none' } });
};

/** Nothing that it sends is looked at. */
const refuse = (socket: TLSSocket, refusal: DrError, log: (line: string) => void): void => {
  log(`${socket.remoteAddress}:${socket.remotePort}: refused: ${refusal.message}`);
  socket.on('error', () => undefined);
  socket.setTimeout(REFUSAL_MS, () => socket.destroy());
  // Ended with its answer unread, it would be reset, and the client would not hear why.
  socket.resume();
  for (const piece of encodeFrame({ error: toErrorRecord(refusal) })) socket.write(piece);
  socket.end();
};
