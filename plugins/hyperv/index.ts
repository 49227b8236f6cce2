// The plugin for Hyper-V: hosts, failover clusters, and hosts under System Center VMM. How hosts and their agents are reached is injected.
import type { Agent } from '../../adapters/agent/port.ts';
import type { OpenPowerShell, Transport } from '../../adapters/powershell/port.ts';
import {
  type Call,
  type Capabilities,
  type ConfigField,
  DrError,
  definePlugin,
  type HostContext,
  type Plugin,
  type Session,
  WEAKEST_CAPABILITIES,
} from '../../core/contract/index.ts';
import { realTime, type Time } from '../../core/plugin-kit/index.ts';
import { check } from './check.ts';
import { Disks } from './disks.ts';
import { Fabric, type FabricKind } from './fabric.ts';
import { epochsAt, fenceFacet } from './fence.ts';
import { inventoryOf } from './inventory.ts';
import { nativePairOf } from './native.ts';
import { networkFacet } from './network.ts';
import { powerFacet } from './power.ts';
import { sourceOf } from './source.ts';
import { targetOf } from './target.ts';
import { UnderWay } from './under-way.ts';

/** An agent on a host: over the way of the PowerShell sessions, or as a service with certificates. */
export interface AgentWay {
  readonly host: string;
  /** `ssh`, `tls:PORT`, or what an embedding program knows. */
  readonly agent: string;
  readonly transport: Transport;
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly caFile?: string | undefined;
}

export interface HypervTools {
  readonly openPowerShell: OpenPowerShell;
  readonly openAgent: (way: AgentWay, options: { readonly signal: AbortSignal; readonly deadlineMs: number }) => Promise<Agent>;
  /** Left out: the system's. */
  readonly time?: Time;
}

type Tools = HypervTools & { readonly underWay: UnderWay };

const CONFIG: readonly ConfigField[] = [
  { name: 'address', type: 'string', required: true, help: 'name of the host, of the cluster, or of the VMM server' },
  { name: 'kind', type: 'choice', choices: ['host', 'cluster', 'vmm'], default: 'host', help: 'what the address is' },
  { name: 'domain', type: 'string', help: 'DNS domain of hosts that a cluster names without one' },
  {
    name: 'transport',
    type: 'choice',
    choices: ['ssh', 'winrm', 'local'],
    default: 'ssh',
    help: 'how commands reach the hosts; winrm and local need Windows here',
  },
  { name: 'username', type: 'string', help: 'account on the hosts' },
  { name: 'password', type: 'secret', help: 'password of the account, where no key is used' },
  { name: 'keyFile', type: 'string', help: 'private key for SSH' },
  { name: 'passphrase', type: 'secret', help: 'passphrase of the private key' },
  { name: 'sshAgent', type: 'boolean', help: 'use the keys of the SSH agent' },
  { name: 'pin', type: 'pin', help: 'SHA-256 of the host key at the address; set by endpoint trust' },
  { name: 'knownHosts', type: 'string', help: 'known_hosts file with the keys of all hosts, as a cluster needs it' },
  { name: 'jump', type: 'string', help: 'user@host that SSH goes through' },
  { name: 'executable', type: 'string', help: 'the PowerShell to start' },
  { name: 'configurationName', type: 'string', help: 'JEA endpoint for WinRM' },
  { name: 'certificateThumbprint', type: 'string', help: 'certificate for WinRM instead of an account' },
  { name: 'agent', type: 'string', default: 'ssh', help: 'how the agent on a host is reached: ssh, or tls:PORT' },
  { name: 'agentCertificate', type: 'string', help: 'PEM file of our certificate for the agents' },
  { name: 'agentKey', type: 'string', help: 'PEM file of its key' },
  { name: 'agentCa', type: 'string', help: 'PEM file of the authority that signs the agents’ certificates' },
];

/** A type, not an interface: the host hands over a record of checked values. */
type Config = {
  readonly address: string;
  readonly kind?: FabricKind;
  readonly domain?: string;
  readonly transport?: Transport['kind'];
  readonly username?: string;
  readonly password?: string;
  readonly keyFile?: string;
  readonly passphrase?: string;
  readonly sshAgent?: boolean;
  readonly pin?: string;
  readonly knownHosts?: string;
  readonly jump?: string;
  readonly executable?: string;
  readonly configurationName?: string;
  readonly certificateThumbprint?: string;
  readonly agent?: string;
  readonly agentCertificate?: string;
  readonly agentKey?: string;
  readonly agentCa?: string;
};

const CAPABILITIES: Partial<Capabilities> = {
  tracking: 'native',
  consistency: ['crash', 'application'],
  atomicity: 'machine',
  testNetwork: 'host',
  power: ['on', 'off', 'shutdown'],
  snapshotSurvivesDisconnect: true,
  // One of ours at a time: the next one only when the one before is merged away.
  maxSnapshotsPerMachine: 1,
};

export const createHypervPlugin = (tools: HypervTools): Plugin => {
  const underWay = new UnderWay();
  const plugin = definePlugin<Config>({
    id: 'hyperv',
    displayName: 'Microsoft Hyper-V',
    config: CONFIG,
    capabilities: CAPABILITIES,
    connect: (config, host, call) => connect({ ...tools, underWay }, config, host, call),
  });
  return plugin as unknown as Plugin;
};

const connect = async (tools: Tools, config: Config, host: HostContext, call: Call): Promise<Session> => {
  call.signal.throwIfAborted();
  const transport = transportOf(config);
  const { address, kind = 'host', domain, agent = 'ssh', agentCertificate, agentKey, agentCa } = config;
  const fabric = new Fabric(tools.openPowerShell, {
    ...{ kind, address, domain, transport },
    ownerId: host.ownerId,
    time: tools.time ?? realTime,
    underWay: tools.underWay,
  });
  try {
    await fabric.connect(call);
  } catch (error) {
    await fabric[Symbol.asyncDispose]();
    throw error;
  }
  const files = { certificateFile: agentCertificate, keyFile: agentKey, caFile: agentCa };
  const disks = new Disks(fabric, (on, { signal, deadlineMs }) =>
    tools.openAgent({ host: on, agent, transport, ...files }, { signal, deadlineMs }),
  );
  return assemble(fabric, disks);
};

const transportOf = (config: Config): Transport => {
  const { transport: kind = 'ssh', username, password, executable } = config;
  if (kind === 'local') return { kind, executable, username, password };
  if (kind === 'winrm') {
    const { certificateThumbprint, configurationName } = config;
    return { kind, executable, username, password, certificateThumbprint, configurationName };
  }
  if (username === undefined)
    throw new DrError('CONFIG_INVALID', 'SSH needs the name of an account on the hosts', {
      hint: 'set the key username of the endpoint',
      context: { key: 'username' },
    });
  const { keyFile, passphrase, sshAgent, pin, knownHosts, jump } = config;
  return { kind, username, password, keyFile, passphrase, agent: sshAgent, pin, knownHosts, jump, executable };
};

const assemble = (fabric: Fabric, disks: Disks): Session => {
  const epochs = epochsAt(fabric);
  const ground = { fabric, disks, epochs };
  return {
    capabilities: { ...WEAKEST_CAPABILITIES, ...CAPABILITIES },
    inventory: inventoryOf(fabric),
    power: powerFacet(fabric, disks),
    source: sourceOf(fabric, disks),
    target: targetOf(ground),
    network: networkFacet(ground),
    fence: fenceFacet(fabric, epochs),
    nativePair: nativePairOf({ fabric, epochs }),
    check: (call) => check(fabric, disks, call),
    [Symbol.asyncDispose]: async () => {
      await disks[Symbol.asyncDispose]();
      await fabric[Symbol.asyncDispose]();
    },
  };
};
