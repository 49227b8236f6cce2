import { readFile } from 'node:fs/promises';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { DrError, type ErrorCode } from '../../core/contract/errors.ts';
import type { AgentOptions, AgentTarget } from './port.ts';
import { within } from './within.ts';

type TlsTarget = Extract<AgentTarget, { readonly kind: 'tls' }>;

/** `HOST:PORT`, with an IPv6 address in brackets. Undefined when it is none. */
export const parseAddress = (address: string): { readonly host: string; readonly port: number } | undefined => {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(digits);
  const host = bracketed ?? plain;
  return host === undefined || !(port <= 65_535) ? undefined : { host, port };
};

/** A file that a setting names. */
export const readPem = async (path: string): Promise<Buffer> => {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `cannot read ${path}`, { context: { path }, cause });
  }
};

/** TLS 1.3, in which both sides have shown certificates; the agent's is for the host that was dialled. Nothing was said yet. */
export const dial = async (target: TlsTarget, options: AgentOptions): Promise<TLSSocket> => {
  const { address, certificateFile, keyFile, caFile } = target;
  const where = parseAddress(address);
  if (!where) throw new DrError('CONFIG_INVALID', `${address} is no address of an agent`, { hint: 'write it as HOST:PORT' });
  const [cert, key, ca] = await Promise.all([readPem(certificateFile), readPem(keyFile), readPem(caFile)]);
  options.signal?.throwIfAborted();
  const socket = connecting({ ...where, cert, key, ca, minVersion: 'TLSv1.3' }, address);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('secureConnect', resolve);
  socket.once('error', (cause) => reject(dialError(cause, address)));
  socket.once('close', () => reject(new DrError('CONNECTION_LOST', `the agent at ${address} closed the connection`)));
  try {
    await within(promise, options, `the agent at ${address} did not take the connection`);
    socket.setNoDelay(true);
    return socket;
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  }
};

const connecting = (options: ConnectionOptions, address: string): TLSSocket => {
  try {
    return connect(options);
  } catch (cause) {
    throw new DrError('CONFIG_INVALID', `the certificate or key for the agent at ${address} is not usable`, { cause });
  }
};

const CODES: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: 'CONNECTION_REFUSED',
  ENOTFOUND: 'CONNECTION_REFUSED',
  EAI_AGAIN: 'CONNECTION_REFUSED',
  EHOSTUNREACH: 'CONNECTION_REFUSED',
  ENETUNREACH: 'CONNECTION_REFUSED',
  ECONNRESET: 'CONNECTION_LOST',
  EPIPE: 'CONNECTION_LOST',
  ETIMEDOUT: 'TIMED_OUT',
};

/** What is left are OpenSSL's own: a certificate it does not trust, or a peer that speaks no TLS 1.3. */
const dialError = (cause: NodeJS.ErrnoException, address: string): DrError => {
  const vendorCode = cause.code ?? 'unknown';
  const speaksNoTls = vendorCode.startsWith('ERR_SSL_') || vendorCode === 'EPROTO';
  const code = CODES[vendorCode] ?? (speaksNoTls ? 'PROTOCOL_ERROR' : 'CERTIFICATE_UNTRUSTED');
  const hint =
    code === 'CERTIFICATE_UNTRUSTED'
      ? { hint: 'check that the agent shows a certificate for this address that the given authority has signed' }
      : {};
  return new DrError(code, `no connection to the agent at ${address}: ${vendorCode}`, { cause, context: { vendorCode }, ...hint });
};
