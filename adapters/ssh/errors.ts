// What the failures of sockets and of ssh2 1.17 mean. ssh2 has no codes of its own: it gives a level, a number of the protocol, or a sentence.
import { DrError, type DrErrorOptions } from '../../core/contract/errors.ts';

/** SSH_OPEN_ADMINISTRATIVELY_PROHIBITED and SSH_OPEN_CONNECT_FAILED of RFC 4254, 5.1. */
const PROHIBITED = 1;
const CONNECT_FAILED = 2;

/** SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE of RFC 4253, 11.1. OpenSSH sends another number and this sentence. */
const NO_MORE_METHODS = 14;
const TOO_MANY_ATTEMPTS = /too many authentication failures/i;

export interface SshFailure extends Error {
  readonly level?: string;
  /** Of the socket, or the number of a disconnect message. */
  readonly code?: string | number;
  /** Of a channel that was not opened. */
  readonly reason?: number | string;
}

/** `where` is how the hop is called, here as in every message. */
export const lostError = (where: string, why: string, cause?: unknown): DrError =>
  new DrError('CONNECTION_LOST', `the connection to ${where} was lost: ${why}`, { ...(cause !== undefined && { cause }) });

export const socketError = (where: string, error: SshFailure): DrError => {
  const code = String(error.code ?? '');
  const options: DrErrorOptions = { cause: error, context: { vendorCode: code } };
  if (code === 'ETIMEDOUT') return new DrError('TIMED_OUT', `${where} did not answer (${code})`, options);
  if (code === 'EACCES' || code === 'EPERM') return new DrError('PERMISSION_DENIED', `${where} may not be reached (${code})`, options);
  if (code === 'ECONNRESET') return lostError(where, code, error);
  return new DrError('CONNECTION_REFUSED', `${where} cannot be reached (${code || error.message})`, options);
};

/** Before the connection stands. */
export const handshakeError = (where: string, username: string, error: SshFailure): DrError => {
  if (error.level === 'client-socket') return lostError(where, String(error.code ?? error.message), error);
  if (error.code === NO_MORE_METHODS || (typeof error.code === 'number' && TOO_MANY_ATTEMPTS.test(error.message))) {
    return new DrError('AUTH_REJECTED', `${where} takes no more attempts of user ${username}`, {
      hint: 'give the key file that belongs to the account: an agent with many keys uses the attempts up',
      context: { name: username },
      cause: error,
    });
  }
  if (typeof error.code === 'number') return lostError(where, `the server says ${JSON.stringify(error.message)}`, error);
  if (/: no matching /i.test(error.message)) {
    return new DrError('PROTOCOL_ERROR', `${where} offers no safe algorithms (${error.message})`, {
      hint: 'update the SSH server, or enable modern algorithms in its configuration',
      cause: error,
    });
  }
  if (/^connection lost before handshake/i.test(error.message))
    return lostError(where, 'it was closed before the server said who it is', error);
  return new DrError('PROTOCOL_ERROR', `${where} does not speak SSH as it should (${error.message})`, { cause: error });
};

/** After it. */
export const brokenError = (where: string, error: SshFailure): DrError =>
  lostError(where, typeof error.code === 'number' ? `the server says ${JSON.stringify(error.message)}` : error.message, error);

/** OpenSSH answers so when MaxSessions is reached; RFC 4254 has a reason of its own for it, which others use. */
export const sessionRefused = (where: string, error: SshFailure): DrError =>
  new DrError('HOST_BUSY', `${where} opens no more sessions on this connection (${error.message})`, {
    hint: 'raise MaxSessions in the configuration of the SSH server, or lower the load of the endpoint',
    cause: error,
  });

export const forwardRefused = (jump: string, address: string, error: SshFailure): DrError => {
  if (error.reason === PROHIBITED) {
    return new DrError('PERMISSION_DENIED', `${jump} does not forward to ${address}`, {
      hint: 'allow TCP forwarding for the account on the jump host',
      cause: error,
    });
  }
  if (error.reason === CONNECT_FAILED)
    return new DrError('CONNECTION_REFUSED', `${jump} cannot reach ${address} (${error.message})`, { cause: error });
  return new DrError('HOST_BUSY', `${jump} does not open a connection to ${address} (${error.message})`, { cause: error });
};
