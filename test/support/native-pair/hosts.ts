// Hosts that replicate by themselves, in small: states, points and roles as Hyper-V Replica has them, content as a number that grows.
import { DrError, type MachineId, type NativePoint, type NativeSettings, type NativeStatus } from '../../../core/contract/index.ts';

export type Power = 'on' | 'off';

export interface Point extends NativePoint {
  readonly content: number;
}

export interface Nic {
  readonly id: string;
  network: string;
}

/** One machine at one host. `content` stands for all of its disks: a later state has a higher number. */
export interface HostMachine {
  readonly id: MachineId;
  readonly name: string;
  power: Power;
  bootedAt: number;
  content: number;
  readonly nics: Nic[];
  role: NativeStatus['role'];
  state: string;
  health: NativeStatus['health'];
  because?: string;
  peer?: string;
  settings?: NativeSettings;
  replicatedAt?: number;
  points: Point[];
  testMachine?: MachineId;
  /** What cancel goes back to. */
  before?: { readonly content: number; readonly replicatedAt: number | undefined };
  planned: boolean;
  copiedAt?: number;
}

const POINT_EVERY_MS = 3_600_000;
export const COPY_MS = 60_000;

/** A step is being carried out: nothing else is taken until it is done. */
const AT_WORK: readonly string[] = ['RecoveryInProgress', 'FailbackInProgress'];

const refuse = (what: string, machine: HostMachine, vendorCode: string): never => {
  throw new DrError(
    'STATE_CONFLICT',
    `${what} is not possible: ${machine.name} is ${machine.role} in state ${machine.state}, power ${machine.power}`,
    {
      context: { machine: machine.id, state: machine.state, vendorCode },
    },
  );
};

export class Host {
  readonly name: string;
  readonly machines = new Map<MachineId, HostMachine>();
  readonly fences = new Map<MachineId, { readonly item: string; readonly epoch: number; readonly holder: string }>();
  readonly testNetworks = new Map<string, string>();
  down = false;

  constructor(name: string) {
    this.name = name;
  }
}

/** All hosts, their clock, and who keeps count of what must never be. */
export class Hosts {
  readonly now: () => number;
  readonly #hosts = new Map<string, Host>();
  /** Two copies of a machine in production at once. */
  readonly violations: string[] = [];
  /** Steps that a host has really carried out, in order. */
  readonly acts: string[] = [];
  copyMs = COPY_MS;
  linkDown = false;
  #serial = 0;

  constructor(now: () => number, names: readonly string[]) {
    this.now = now;
    for (const name of names) this.#hosts.set(name, new Host(name));
  }

  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (!host) throw new DrError('CONNECTION_REFUSED', `there is no host ${name}`);
    return host;
  }

  add(host: string, name: string): HostMachine {
    const id = `vm-${name}` as MachineId;
    const machine: HostMachine = {
      id,
      name,
      power: 'on',
      bootedAt: this.now(),
      content: 1,
      nics: [{ id: `nic-${name}`, network: 'production' }],
      role: 'none',
      state: 'Disabled',
      health: 'NotApplicable',
      points: [],
      planned: false,
    };
    this.host(host).machines.set(id, machine);
    return machine;
  }

  machine(host: string, id: string): HostMachine {
    const machine = this.host(host).machines.get(id as MachineId);
    if (!machine) throw new DrError('NOT_FOUND', `${host} has no machine ${id}`, { context: { machine: id, kind: 'machine' } });
    this.#catchUp(machine, host);
    return machine;
  }

  /** The guest writes. */
  write(host: string, name: string): number {
    const machine = this.machine(host, `vm-${name}`);
    if (machine.power === 'on') machine.content += 1;
    return machine.content;
  }

  setPower(host: string, id: string, to: Power): void {
    const machine = this.machine(host, id);
    if (machine.power === to) return;
    if (to === 'on' && machine.role === 'replica' && !['FailedOver', 'FailedOverWaitingCompletion'].includes(machine.state))
      refuse('power on', machine, '32768');
    machine.power = to;
    if (to !== 'on') return;
    machine.bootedAt = this.now();
    for (const other of this.#hosts.values()) {
      const twin = other.name === host ? undefined : other.machines.get(machine.id);
      if (twin?.power === 'on') this.violations.push(`${machine.name} was started at ${host} while it runs at ${other.name}`);
    }
  }

  peerOf(machine: HostMachine): HostMachine | undefined {
    return machine.peer === undefined ? undefined : this.#hosts.get(machine.peer)?.machines.get(machine.id);
  }

  #reaches(from: string, machine: HostMachine): boolean {
    return !this.linkDown && !this.host(from).down && machine.peer !== undefined && !this.host(machine.peer).down;
  }

  /** What has happened by itself since somebody last looked. */
  #catchUp(machine: HostMachine, at: string): void {
    const source = machine.role === 'source' ? machine : machine.role === 'replica' ? this.peerOf(machine) : undefined;
    const replica = source && this.peerOf(source);
    const home = machine.role === 'source' ? at : (machine.peer ?? '');
    if (!source || !replica || source.role !== 'source' || replica.role !== 'replica') return;
    if (source.copiedAt !== undefined && this.now() >= source.copiedAt && this.#reaches(home, source)) {
      delete source.copiedAt;
      source.state = 'Replicating';
      replica.state = 'Replicating';
      this.send(source, replica);
    }
    const idle = source.state !== 'Replicating' || !['Replicating', 'FiredrillInProgress'].includes(replica.state);
    if (idle || !this.#reaches(home, source)) return;
    const every = (source.settings?.frequencySeconds ?? 300) * 1_000;
    if (this.now() - (replica.replicatedAt ?? 0) >= every) this.send(source, replica);
  }

  send(source: HostMachine, replica: HostMachine): void {
    const newestPoint = replica.points.at(-1);
    const keep = source.settings?.points ?? 0;
    if (keep > 0 && replica.replicatedAt !== undefined && (!newestPoint || this.now() - Date.parse(newestPoint.at) >= POINT_EVERY_MS)) {
      this.#serial += 1;
      const at = new Date(replica.replicatedAt).toISOString();
      replica.points = [
        ...replica.points,
        { id: `point-${this.#serial}`, at, consistency: 'crash' as const, content: replica.content },
      ].slice(-keep);
    }
    replica.content = source.content;
    replica.replicatedAt = this.now();
    for (const side of [source, replica]) side.health = 'Normal';
  }

  // ---- what a host is told -----------------------------------------------------------------------------------------------

  enable(host: string, id: string, peer: string, settings: NativeSettings): void {
    const machine = this.machine(host, id);
    if (machine.role === 'source' && machine.peer === peer) return;
    if (machine.role !== 'none') refuse('enable', machine, '32784');
    const other = this.host(peer);
    if (other.down || this.linkDown) throw new DrError('CONNECTION_LOST', `${host} cannot reach ${peer}`);
    const known = other.machines.get(machine.id);
    if (known && known.role !== 'none') refuse('enable', known, '32784');
    const replica: HostMachine = known ?? {
      ...machine,
      power: 'off',
      content: 0,
      nics: machine.nics.map((nic) => ({ id: nic.id, network: 'disconnected' })),
      points: [],
    };
    Object.assign(machine, { role: 'source', state: 'ReadyForInitialReplication', health: 'Normal', peer, settings });
    Object.assign(replica, { role: 'replica', state: 'ReadyForInitialReplication', health: 'Normal', peer: host, settings });
    other.machines.set(machine.id, replica);
    this.acts.push(`enable ${host}`);
  }

  remove(host: string, id: string): void {
    const machine = this.host(host).machines.get(id as MachineId);
    if (!machine || machine.role === 'none') return;
    Object.assign(machine, { role: 'none', state: 'Disabled', health: 'NotApplicable', points: [], planned: false });
    delete machine.peer;
    delete machine.replicatedAt;
    delete machine.copiedAt;
    this.acts.push(`remove ${host}`);
  }

  seed(host: string, id: string): void {
    const machine = this.machine(host, id);
    if (machine.copiedAt !== undefined || machine.state === 'Replicating') return;
    if (machine.state !== 'ReadyForInitialReplication') refuse('seed', machine, '32785');
    const replica = this.peerOf(machine);
    machine.state = 'InitialReplicationInProgress';
    if (replica) replica.state = 'InitialReplicationInProgress';
    machine.copiedAt = this.now() + this.copyMs;
    this.acts.push(`seed ${host}`);
  }

  allowed(machine: HostMachine): NativeStatus['allowed'] {
    const { role, state, power } = machine;
    if (role === 'source') {
      if (state === 'Replicating') return power === 'off' ? ['prepare', 'pause', 'resync'] : ['pause', 'resync'];
      if (state === 'PreparedForFailover') return ['cancel'];
      if (state === 'Suspended') return ['resume'];
      return ['WaitingForStartResynchronize', 'ReadyForInitialReplication'].includes(state)
        ? ['resync']
        : state === 'Error'
          ? ['resume', 'resync']
          : [];
    }
    if (role !== 'replica') return [];
    if (machine.testMachine) return ['endTest'];
    if (state === 'FailedOverWaitingCompletion') return ['cancel', 'commit', ...(machine.planned ? (['reverse'] as const) : [])];
    if (state === 'FailedOver') return ['reverse'];
    return machine.replicatedAt === undefined || AT_WORK.includes(state) ? [] : ['failover', 'test'];
  }

  statusOf(host: string, id: string): NativeStatus | undefined {
    if (!this.host(host).machines.has(id as MachineId)) return undefined;
    const machine = this.machine(host, id);
    const { role, state, health, because, replicatedAt, points, testMachine } = machine;
    return {
      machine: machine.id,
      role,
      vendorState: state,
      health,
      ...(because === undefined ? {} : { because }),
      ...(role === 'replica' && replicatedAt !== undefined ? { replicatedAt: new Date(replicatedAt).toISOString() } : {}),
      points: role === 'replica' ? points.map(({ id: point, at, consistency }) => ({ id: point, at, consistency })) : [],
      ...(testMachine === undefined ? {} : { testMachine }),
      allowed: this.allowed(machine),
    };
  }
}
