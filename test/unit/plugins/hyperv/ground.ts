// What the tests of the hyperv plugin's parts stand on: the plugin over simulated hosts, with the steps that it sends seen.

import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, FaultRule, MachineSeed } from '../../../../adapters/lab/port.ts';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import type { PowerShell, Step } from '../../../../adapters/powershell/port.ts';
import { DrError, type Machine, type Plugin, type Session, type SnapshotSource } from '../../../../core/contract/index.ts';
import { createHypervPlugin } from '../../../../plugins/hyperv/index.ts';
import { callOf } from '../../../support/calls.ts';

export { callOf, codesOf, epoch } from '../../../support/calls.ts';
export { errorOf } from '../../../support/errors.ts';

const MIB = 2 ** 20;
export const OWNER = 'installation-1';
const PASSWORD = 'correct-horse-battery';

export const disk = (sizeBytes = MIB): MachineSeed['disks'][number] => ({ sizeBytes, contentBytes: sizeBytes / 4 });

interface GroundOptions {
  readonly machines?: readonly MachineSeed[];
  readonly endpoint?: Partial<EndpointSpec>;
  /** Of the endpoint's configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface Seen {
  readonly host: string;
  readonly step: Step;
}

export class Ground implements AsyncDisposable {
  readonly estate: InProcessEstate;
  readonly plugin: Plugin;
  readonly config: Readonly<Record<string, unknown>>;
  /** Steps as they were sent. */
  readonly seen: Seen[] = [];
  readonly #sessions: Session[] = [];

  private constructor(estate: InProcessEstate, config: Readonly<Record<string, unknown>>) {
    this.estate = estate;
    this.config = config;
    this.plugin = createHypervPlugin({
      openPowerShell: async (target, options) => this.#watched(await estate.openPowerShell(target, options)),
      openAgent: async ({ host }) => createLabAgent(estate.open(), host),
      time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
    });
  }

  static async create({ machines, endpoint, config }: GroundOptions = {}): Promise<Ground> {
    const spec: EndpointSpec = {
      name: 'endpoint',
      profile: 'hyperv',
      username: 'kit',
      password: PASSWORD,
      networks: ['production', 'backup'],
      storage: [{ name: 'store', capacityBytes: 4096 * MIB }],
      machines: machines ?? [{ name: 'web', disks: [disk(), disk()], writesPerSecond: 0 }],
      ...endpoint,
    };
    const estate = createEstate({ spec: { sites: [{ name: 'site', endpoints: [spec] }] } });
    return new Ground(estate, { address: 'endpoint', transport: 'local', username: 'kit', password: PASSWORD, ...config });
  }

  async connect(config: Readonly<Record<string, unknown>> = {}, ownerId = OWNER): Promise<Session> {
    const session = await this.plugin.connect({ ...this.config, ...config }, { ownerId, scratchDir: '.' }, callOf());
    this.#sessions.push(session);
    return session;
  }

  async machine(session: Session, name: string): Promise<Machine> {
    for await (const machine of session.inventory.listMachines({}, callOf())) if (machine.name === name) return machine;
    throw new DrError('NOT_FOUND', `no machine is called ${name}`);
  }

  fault(rule: FaultRule): Promise<unknown> {
    return this.estate.control.call('lab.addFault', { rule });
  }

  cmdlets(from = 0): string[] {
    return this.seen.slice(from).map(({ step }) => step.cmdlet);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await this.estate[Symbol.asyncDispose]();
  }

  #watched(shell: PowerShell): PowerShell {
    return {
      host: shell.host,
      run: (steps, options) => {
        this.seen.push(...steps.map((step) => ({ host: shell.host, step })));
        return shell.run(steps, options);
      },
      [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
    };
  }
}

export const snapshotSource = (session: Session): SnapshotSource => {
  if (session.source?.kind !== 'snapshot') throw new Error('the session has no snapshot source');
  return session.source;
};
