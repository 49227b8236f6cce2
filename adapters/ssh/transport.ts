// What the SSH protocol runs over: a socket of ours, or a channel through the jump host.
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import type { SshAddress } from './address.ts';
import { forwardRefused, type SshFailure, socketError } from './errors.ts';
import { unlessAborted } from './limit.ts';

export const connectSocket = async ({ host, port }: SshAddress, where: string, signal: AbortSignal): Promise<Duplex> => {
  signal.throwIfAborted();
  const socket = connect({ host, port, noDelay: true });
  const connected = new Promise<void>((done, fail) => {
    socket.once('connect', done).once('error', (error) => fail(socketError(where, error)));
  });
  try {
    await unlessAborted(connected, signal);
    return socket;
  } catch (error) {
    // One error may still come, with nobody to hear it.
    socket.on('error', () => undefined).destroy();
    throw error;
  }
};

/** `lost`: of the connection to the jump host, which goes with a channel that comes too late. */
export const connectThrough = async (
  jump: { readonly client: Client; readonly where: string; readonly lost: AbortSignal },
  { host, port, name }: SshAddress,
  signal: AbortSignal,
): Promise<Duplex> => {
  jump.lost.throwIfAborted();
  const opened = new Promise<Duplex>((done, fail) => {
    jump.client.forwardOut('127.0.0.1', 0, host, port, (error, channel) => {
      if (error) fail(forwardRefused(jump.where, name, error as SshFailure));
      else done(channel);
    });
  });
  return await unlessAborted(opened, signal, jump.lost);
};
