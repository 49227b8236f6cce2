// The plugin over two simulated hosts, or a host and a cluster, that may replicate to each other.
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, MachineSeed } from '../../../../adapters/lab/port.ts';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import type { ReplicaServerRecord } from '../../../../adapters/lab/powershell/replica/model.ts';
import type { Step } from '../../../../adapters/powershell/port.ts';
import {
  type Call,
  DrError,
  type MachineId,
  type NativePair,
  type NativePeer,
  type NativeSettings,
  type NativeStatus,
  type Plugin,
  type Session,
} from '../../../../core/contract/index.ts';
import { createHypervPlugin } from '../../../../plugins/hyperv/index.ts';
import { callOf } from '../../../support/calls.ts';
import { KIT_ACCOUNT } from '../../../support/kit-estate.ts';

const MIB = 2 ** 20;

const QUIET: MachineSeed = { name: 'web', writesPerSecond: 0, disks: [{ sizeBytes: MIB, contentBytes: MIB / 4 }] };

export const SETTINGS: NativeSettings = {
  frequencySeconds: 30,
  points: 4,
  applicationConsistentHours: 0,
  compression: true,
  authentication: 'kerberos',
};

export type End = 'source' | 'replica';
const NAMES = { source: 'endpoint', replica: 'other' } as const;

interface PairOptions {
  readonly kind?: 'host' | 'cluster' | 'vmm';
  readonly machines?: readonly MachineSeed[];
}

export class NativeGround implements AsyncDisposable {
  readonly estate: InProcessEstate;
  readonly plugin: Plugin;
  readonly kind: 'host' | 'cluster' | 'vmm';
  readonly requests: { readonly host: string; readonly steps: readonly Step[] }[] = [];
  readonly sessions = new Map<End, Session>();

  private constructor(estate: InProcessEstate, kind: 'host' | 'cluster' | 'vmm') {
    this.estate = estate;
    this.kind = kind;
    this.plugin = createHypervPlugin({
      openPowerShell: async (target, options) => {
        if (target.host === 'nowhere') throw new DrError('CONNECTION_REFUSED', 'no host answers at nowhere');
        const shell = await estate.openPowerShell(target, options);
        return {
          host: shell.host,
          run: (steps, how) => {
            this.requests.push({ host: shell.host, steps });
            return shell.run(steps, how);
          },
          [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
        };
      },
      openAgent: async ({ host }) => createLabAgent(estate.open(), host),
      time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
    });
  }

  /** `kind`: of the receiving end. */
  static async open({ kind = 'host', machines = [QUIET] }: PairOptions = {}): Promise<NativeGround> {
    const endpoint = (name: string, more: Partial<EndpointSpec>): EndpointSpec => ({
      ...{ name, profile: 'hyperv', ...KIT_ACCOUNT },
      networks: ['production', 'test'],
      storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
      ...more,
    });
    const hosts = kind === 'host' ? {} : { hosts: ['node-1', 'node-2'] };
    const estate = createEstate({
      spec: {
        sites: [
          { name: 'site-a', endpoints: [endpoint('endpoint', { machines })] },
          { name: 'site-b', endpoints: [endpoint('other', { ...hosts, hyperv: { kind } })] },
        ],
      },
    });
    const ground = new NativeGround(estate, kind);
    for (const end of ['source', 'replica'] as const) await ground.connect(end);
    return ground;
  }

  config(end: End): Readonly<Record<string, unknown>> {
    return { address: NAMES[end], kind: end === 'source' ? 'host' : this.kind, transport: 'local', ...KIT_ACCOUNT };
  }

  async connect(end: End): Promise<Session> {
    const session = await this.plugin.connect(this.config(end), { ownerId: 'owner', scratchDir: '.' }, callOf());
    this.sessions.set(end, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
    await this.estate[Symbol.asyncDispose]();
  }

  get id(): MachineId {
    return [...this.estate.estate.machines.values()].find(({ name, endpoint }) => name === 'web' && endpoint === 'endpoint')!.id;
  }

  session(end: End): Session {
    return this.sessions.get(end)!;
  }

  pair(end: End): NativePair {
    return this.session(end).nativePair!;
  }

  async peer(end: End = 'replica', settings: Partial<NativeSettings> = {}): Promise<NativePeer> {
    const { address, port } = await this.pair(end).listener(callOf());
    return { address, port, settings: { ...SETTINGS, ...settings } };
  }

  async status(end: End): Promise<NativeStatus> {
    const [status] = await Array.fromAsync(this.pair(end).observe([this.id], callOf()));
    return status!;
  }

  pass(ms: number): Promise<unknown> {
    return this.estate.control.call('lab.advance', { ms });
  }

  setServer(end: End, settings: Partial<ReplicaServerRecord>): Promise<unknown> {
    return this.estate.control.call('lab.setReplicaServer', { endpoint: NAMES[end], settings });
  }

  async replicating(settings: Partial<NativeSettings> = {}, call: Call = callOf()): Promise<void> {
    await this.pair('source').enable(this.id, await this.peer('replica', settings), call);
    await this.pair('source').seed(this.id, { by: 'network' }, call);
    await this.pass(60_000);
  }

  cmdlets(from = 0): string[] {
    return this.requests.slice(from).flatMap(({ steps }) => steps.map(({ cmdlet }) => cmdlet));
  }
}
