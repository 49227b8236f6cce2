// ssh-agent on this machine. Not the agent of adapters/agent, which is a program of ours on a host.
import { existsSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { BaseAgent, OpenSSHAgent, ParsedKey, SignCallback, SigningRequestOptions } from 'ssh2';
import { DrError } from '../../core/contract/errors.ts';
import type { Ssh2 } from './credentials.ts';
import { isSha1, sha1Refused } from './sha1.ts';

/** Where OpenSSH for Windows listens. PuTTY's Pageant is asked where it is not there. */
const WINDOWS_PIPE = '\\\\.\\pipe\\openssh-ssh-agent';

export interface AgentKeys extends Disposable {
  readonly agent: BaseAgent;
}

/** Disposing of it closes the sockets on which the agent has not answered. */
export const openAgent = (ssh2: Ssh2): AgentKeys => {
  const path = process.env['SSH_AUTH_SOCK'] || (process.platform === 'win32' ? windowsAgent() : undefined);
  if (path === undefined) throw noAgent('SSH_AUTH_SOCK is not set');
  const agent = ssh2.createAgent(path) as OpenSSHAgent;
  const sockets = new Set<Duplex>();
  refuseSha1(agent);
  watchSockets(agent, sockets);
  return {
    agent,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
};

export const noAgent = (why: string): DrError =>
  new DrError('CONFIG_INVALID', `there is no SSH agent: ${why}`, {
    hint: 'start ssh-agent and add the key, or give a key file',
    context: { key: 'agent' },
  });

const windowsAgent = (): string => (existsSync(WINDOWS_PIPE) ? WINDOWS_PIPE : 'pageant');

const refuseSha1 = (agent: OpenSSHAgent): void => {
  const sign = agent.sign.bind(agent);
  // Of the two ways to call it ssh2 itself uses this one.
  const signSafely = (key: ParsedKey, data: Buffer, options: SigningRequestOptions, done: SignCallback): boolean => {
    if (!isSha1(options.hash)) return sign(key, data, options, done);
    done(sha1Refused());
    return true;
  };
  agent.sign = signSafely as typeof agent.sign;
};

const watchSockets = (agent: OpenSSHAgent, sockets: Set<Duplex>): void => {
  const getStream = agent.getStream.bind(agent);
  agent.getStream = (done) =>
    getStream((error, socket) => {
      if (socket) sockets.add(socket.once('close', () => sockets.delete(socket)));
      done(error, socket);
    });
};
