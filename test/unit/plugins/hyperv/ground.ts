// What the tests of the hyperv plugin's parts stand on: the plugin over simulated hosts. Each session is a process of its own, which can be killed between two steps.

import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, FaultRule, MachineSeed } from '../../../../adapters/lab/port.ts';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import type { HvRecord } from '../../../../adapters/lab/powershell/model.ts';
import type { OpenPowerShell, PowerShell, PsRow, Step, StepResult } from '../../../../adapters/powershell/port.ts';
import {
  type Call,
  type DiskId,
  DrError,
  type Fork,
  type ForkRequest,
  type Machine,
  type MachineId,
  type Placed,
  type Plugin,
  type PointRequest,
  type Session,
  type SnapshotSource,
} from '../../../../core/contract/index.ts';
import { createHypervPlugin } from '../../../../plugins/hyperv/index.ts';
import { callOf } from '../../../support/calls.ts';

export { callOf, codesOf, epoch } from '../../../support/calls.ts';
export { errorOf } from '../../../support/errors.ts';

export const MIB = 2 ** 20;
export const OWNER = 'installation-1';
const PASSWORD = 'correct-horse-battery';

export const disk = (sizeBytes = MIB): MachineSeed['disks'][number] => ({ sizeBytes, contentBytes: sizeBytes / 4 });
export const WEB: MachineSeed = { name: 'web', disks: [disk(), disk()], writesPerSecond: 0 };

interface GroundOptions {
  readonly machines?: readonly MachineSeed[];
  readonly kind?: 'host' | 'cluster' | 'vmm';
  readonly endpoint?: Partial<EndpointSpec>;
}

interface Seen {
  readonly host: string;
  readonly step: Step;
}

/** What is about to run on a host; who throws keeps it from running. */
type Hook = (request: Seen & { readonly steps: readonly Step[] }) => void | Promise<void>;
/** Rows as a host gives them, as they shall be seen. */
type Rewrite = (row: PsRow, step: Step) => PsRow;

/** The process that sessions of one installation live in: it has one plugin. */
interface Process {
  isGone: boolean;
  plugin?: Plugin;
}

/** Where a work is cut off: after which of the steps that change something, and how. */
export interface Cut {
  readonly after: number;
  readonly how: 'killed' | 'aborted' | 'lost';
}

const GONE = new Error('the process is gone');
const changes = ({ cmdlet }: Step): boolean => !cmdlet.startsWith('Get-');

export class Ground implements AsyncDisposable {
  readonly estate: InProcessEstate;
  /** Steps as they were sent. */
  readonly seen: Seen[] = [];
  /** No host has an agent. */
  noAgents = false;
  readonly #config: Readonly<Record<string, unknown>>;
  readonly #sessions: Session[] = [];
  /** By owner. */
  readonly #processes = new Map<string, Process>();
  readonly #hooks = new Set<Hook>();
  readonly #rewrites = new Set<Rewrite>();
  #cut: (Cut & { readonly abort: AbortController; count: number; process?: Process }) | undefined;

  private constructor(estate: InProcessEstate, config: Readonly<Record<string, unknown>>) {
    this.estate = estate;
    this.#config = config;
  }

  static async create({ machines = [WEB], kind = 'host', endpoint }: GroundOptions = {}): Promise<Ground> {
    const spec: EndpointSpec = {
      name: 'endpoint',
      profile: 'hyperv',
      username: 'kit',
      password: PASSWORD,
      networks: ['production', 'backup'],
      storage: [{ name: 'store', capacityBytes: 4096 * MIB }],
      ...(kind === 'host' ? {} : { hosts: ['hv-1', 'hv-2'], hyperv: { kind } }),
      machines,
      ...endpoint,
    };
    const estate = createEstate({ spec: { sites: [{ name: 'site', endpoints: [spec] }] } });
    return new Ground(estate, { address: 'endpoint', kind, transport: 'local', username: 'kit', password: PASSWORD });
  }

  #plugin(process: Process): Plugin {
    const { estate } = this;
    const openPowerShell: OpenPowerShell = async (target, options) => this.#watched(await estate.openPowerShell(target, options), process);
    return createHypervPlugin({
      openPowerShell,
      openAgent: async ({ host }) => {
        if (this.noAgents) throw new DrError('CONNECTION_REFUSED', `no agent answers on ${host}`);
        return createLabAgent(estate.open(), host);
      },
      time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
    });
  }

  /** After a kill it is another one. */
  #processOf(ownerId: string): Process {
    const there = this.#processes.get(ownerId);
    if (there && !there.isGone) return there;
    const process: Process = { isGone: false };
    process.plugin = this.#plugin(process);
    this.#processes.set(ownerId, process);
    return process;
  }

  async connect(ownerId = OWNER, config: Readonly<Record<string, unknown>> = {}): Promise<Session> {
    const session = await this.#processOf(ownerId).plugin!.connect({ ...this.#config, ...config }, { ownerId, scratchDir: '.' }, callOf());
    this.#sessions.push(session);
    return session;
  }

  async machine(session: Session, name: string): Promise<Machine> {
    for await (const machine of session.inventory.listMachines({}, callOf())) if (machine.name === name) return machine;
    throw new DrError('NOT_FOUND', `no machine is called ${name}`);
  }

  // ---- the estate as it is -----------------------------------------------------------------------------------------------

  hv(id: MachineId): HvRecord {
    return this.estate.estate.machine(id).hv!;
  }

  host(name?: string) {
    const { hosts } = this.estate.estate.endpoint('endpoint').hyperv!;
    return hosts.find((one) => one.name === name) ?? hosts[0]!;
  }

  files(): string[] {
    return Object.values(this.estate.estate.endpoint('endpoint').hyperv!.files).map(({ path }) => path);
  }

  mounts(): string[] {
    return this.estate.estate.endpoint('endpoint').hyperv!.hosts.flatMap(({ mounts }) => mounts.map(({ file }) => file));
  }

  async leftovers(): Promise<string[]> {
    const { leftovers } = await this.estate.control.call('lab.status', {});
    return leftovers.map(({ kind, id }) => `${kind} ${id}`);
  }

  async firstByte(machine: MachineId, of: DiskId): Promise<number> {
    return (await this.estate.control.call('lab.read', { machine, disk: of, offset: 0, length: 1 })).data[0]!;
  }

  /** As the guest would. */
  async write(machine: MachineId, of: DiskId, offset: number, data: Uint8Array): Promise<void> {
    await this.estate.control.call('lab.write', { machine, disk: of, offset, data });
  }

  fault(rule: FaultRule): Promise<unknown> {
    return this.estate.control.call('lab.addFault', { rule });
  }

  /** As somebody at the host would, past the plugin. */
  async byHand(steps: readonly Step[], host = 'endpoint'): Promise<readonly StepResult[]> {
    const transport = { kind: 'local', username: 'kit', password: PASSWORD } as const;
    await using shell = await this.estate.openPowerShell({ host, transport });
    return await shell.run(steps);
  }

  // ---- what is sent ------------------------------------------------------------------------------------------------------

  cmdlets(from = 0): string[] {
    return this.seen.slice(from).map(({ step }) => step.cmdlet);
  }

  before(hook: Hook): Disposable {
    this.#hooks.add(hook);
    return { [Symbol.dispose]: () => void this.#hooks.delete(hook) };
  }

  rewrite(rewrite: Rewrite): Disposable {
    this.#rewrites.add(rewrite);
    return { [Symbol.dispose]: () => void this.#rewrites.delete(rewrite) };
  }

  /** Runs the work and cuts it off; tells whether it came so far. */
  async cutOff(cut: Cut, work: (more: Partial<Call>) => Promise<unknown>): Promise<boolean> {
    const abort = new AbortController();
    const state = { ...cut, abort, count: 0 };
    this.#cut = state;
    try {
      await work({ signal: abort.signal });
      return false;
    } catch (error) {
      if (state.count < cut.after) throw error;
      return true;
    } finally {
      this.#cut = undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await Promise.resolve(session[Symbol.asyncDispose]()).catch(() => undefined);
    await this.estate[Symbol.asyncDispose]();
  }

  #watched(shell: PowerShell, process: Process): PowerShell {
    return {
      host: shell.host,
      run: async (steps, options) => {
        if (process.isGone) throw GONE;
        for (const hook of this.#hooks) for (const step of steps) await hook({ host: shell.host, step, steps });
        this.seen.push(...steps.map((step) => ({ host: shell.host, step })));
        const cut = this.#cutIn(steps);
        if (cut !== undefined) return await this.#cutRun(shell, { steps: steps.slice(0, cut + 1), process }, options);
        const results = await shell.run(steps, options);
        return results.map((result, at) => ({ ...result, rows: result.rows.map((row) => this.#seenAs(row, steps[at]!)) }));
      },
      [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
    };
  }

  /** The step after which the work ends, when it is one of these. */
  #cutIn(steps: readonly Step[]): number | undefined {
    const cut = this.#cut;
    if (!cut || cut.count >= cut.after) return undefined;
    const at = steps.findIndex((step) => changes(step) && ++cut.count === cut.after);
    return at < 0 ? undefined : at;
  }

  async #cutRun(
    shell: PowerShell,
    { steps, process }: { readonly steps: readonly Step[]; readonly process: Process },
    options: Parameters<PowerShell['run']>[1],
  ): Promise<never> {
    const { how, abort } = this.#cut!;
    await shell.run(steps, options).catch(() => undefined);
    if (how === 'killed') {
      process.isGone = true;
      throw GONE;
    }
    if (how === 'lost') throw new DrError('CONNECTION_LOST', 'the answer is lost');
    abort.abort(new Error('called off'));
    throw abort.signal.reason;
  }

  #seenAs(row: PsRow, step: Step): PsRow {
    let seen = row;
    for (const rewrite of this.#rewrites) seen = rewrite(seen, step);
    return seen;
  }
}

export const snapshotSource = (session: Session): SnapshotSource => {
  if (session.source?.kind !== 'snapshot') throw new Error('the session has no snapshot source');
  return session.source;
};

export const forks = ({ target }: Session) => target!.forks!;

export const crash = (since: PointRequest['since'] = new Map()): PointRequest => ({ consistency: 'crash', orElse: 'crash', since });

/** A replica of `web`, beside it. */
export interface Made extends AsyncDisposable {
  readonly ground: Ground;
  readonly session: Session;
  readonly source: Machine;
  readonly placed: Placed;
  readonly replica: MachineId;
}

export const made = async (options: GroundOptions = {}): Promise<Made> => {
  const ground = await Ground.create(options);
  const session = await ground.connect();
  const source = await ground.machine(session, 'web');
  const placed = await session.target!.createReplica!(source.spec, { name: 'copy', nics: new Map() }, callOf());
  const replica = placed.machine.id;
  return { ground, session, source, placed, replica, [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose]() };
};

interface ForkOptions extends Partial<ForkRequest> {
  readonly call?: Partial<Call>;
}

export const forkOf = (
  { session, source, replica }: Pick<Made, 'session' | 'source' | 'replica'>,
  { call, ...as }: ForkOptions = {},
): Promise<Fork> => {
  const request = { mode: 'overlay', purpose: 'failover', name: 'running', newGenerationId: true, nics: new Map() } as const;
  return forks(session).create(replica, { ...request, spec: source.spec, ...as }, callOf(call));
};

export const HOWS = ['killed', 'aborted', 'lost'] as const;

interface Sweep<T extends { readonly ground: Ground; readonly session: Session }> {
  readonly start: () => Promise<T & AsyncDisposable>;
  /** Done again with the same operation after it was cut off, by another process where the first was killed. */
  readonly work: (one: T, session: Session, more: Partial<Call>) => Promise<unknown>;
  readonly check: (one: T, session: Session, cut: string) => Promise<void>;
}

/** Cuts the work off after each of its steps that changes something, in each way, and does it again. Gives the number of those steps. */
export const cutAtEach = async <T extends { readonly ground: Ground; readonly session: Session }>({
  start,
  work,
  check,
}: Sweep<T>): Promise<number> => {
  let most = 0;
  for (const how of HOWS) {
    for (let after = 1; ; after++) {
      await using one = await start();
      const isCut = await one.ground.cutOff({ after, how }, (more) => work(one, one.session, more));
      const session = how === 'killed' && isCut ? await one.ground.connect() : one.session;
      if (isCut) await work(one, session, {});
      await check(one, session, `${how} after ${after}`);
      most = Math.max(most, after - 1);
      if (!isCut) break;
    }
  }
  return most;
};
