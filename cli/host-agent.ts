// The agent on a Hyper-V host: started there over SSH for each session, or a service that listens.
import { openAgent } from '../adapters/agent/client.ts';
import type { Agent } from '../adapters/agent/port.ts';
import { openSsh } from '../adapters/ssh/client.ts';
import { DrError } from '../core/contract/index.ts';
import type { AgentWay } from '../plugins/hyperv/index.ts';

/** Where the agent's installation puts it (docs/operator/agent.md). */
const COMMAND = '"C:\\Program Files\\Warmsite\\node.exe" "C:\\Program Files\\Warmsite\\warmsite-agent.mjs" --stdio';

interface Options {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
}

export const openHostAgent = (way: AgentWay, options: Options): Promise<Agent> => {
  const [, port] = /^tls:(\d{1,5})$/.exec(way.agent) ?? [];
  if (port !== undefined) return overTls(way, port, options);
  if (way.agent === 'ssh') return overSsh(way, options);
  throw new DrError('CONFIG_INVALID', `${JSON.stringify(way.agent)} is no way to an agent`, {
    hint: 'write ssh, or tls:PORT',
    context: { key: 'agent' },
  });
};

const overTls = async ({ host, certificateFile, keyFile, caFile }: AgentWay, port: string, options: Options): Promise<Agent> => {
  if (certificateFile === undefined || keyFile === undefined || caFile === undefined)
    throw new DrError('CONFIG_INVALID', 'an agent that listens wants certificates on both sides', {
      hint: 'set the keys agentCertificate, agentKey and agentCa of the endpoint',
      context: { key: 'agentCertificate' },
    });
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return openAgent({ kind: 'tls', address, certificateFile, keyFile, caFile }, options);
};

/** A connection of its own: what ends one of the two leaves the other. */
const overSsh = async ({ host, transport }: AgentWay, options: Options): Promise<Agent> => {
  if (transport.kind !== 'ssh')
    throw new DrError('CONFIG_INVALID', 'an agent over SSH wants the transport ssh', {
      hint: 'set the key agent of the endpoint to tls:PORT',
      context: { key: 'agent' },
    });
  const { username, password, keyFile, passphrase, agent, pin, knownHosts } = transport;
  const client = await openSsh({ address: host, username, password, keyFile, passphrase, agent, pin, knownHosts }, options);
  try {
    const { stdin, stdout, stderr, ended } = await client.exec(COMMAND, options);
    stderr.resume();
    const opened = await openAgent({ kind: 'channel', stdin, stdout, ended }, options);
    return {
      info: opened.info,
      lost: opened.lost,
      openDevice: (path, how) => opened.openDevice(path, how),
      [Symbol.asyncDispose]: async () => {
        await opened[Symbol.asyncDispose]();
        await client[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
};
