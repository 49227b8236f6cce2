import {
  type Call,
  type DiskId,
  DrError,
  type Epoch,
  type FenceStore,
  type Fork,
  type ForkRequest,
  type Forks,
  type HostContext,
  type ItemId,
  type Log,
  type Machine,
  type MachineId,
  type MachineSpec,
  type NativePair,
  type Network,
  type NicId,
  type Placed,
  type PointRequest,
  type Power,
  type ReplicaDisk,
  type ReplicaRequest,
  type Session,
  type Snapshot,
  type SnapshotSource,
  type StreamingSource,
  type Target,
} from '../contract/index.ts';
import { refusal } from './probe.ts';
import type { Recorder } from './recorder.ts';
import type { ConformanceLab, Scale, Scratch, Subject, SubjectPair } from './subject.ts';

const CALL_DEADLINE_MS = 60_000;
const POLL_MS = 1000;

/** Thrown to end a case that cannot prove anything here. */
export class Skip extends Error {}

export interface CallOptions {
  readonly operationId?: string;
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
  readonly fence?: Epoch;
}

export interface Replica {
  readonly id: MachineId;
  /** As asked for: its disk ids are the keys of `placed.disks`. */
  readonly spec: MachineSpec;
  readonly placed: Placed;
  /** The replica's own disk ids, in the order of the spec. */
  readonly disks: readonly DiskId[];
}

interface Parts {
  readonly subject: Subject;
  readonly scale: Scale;
  readonly host: HostContext;
  readonly recorder: Recorder;
  readonly log: Log;
  /** Unique to this run and case. */
  readonly name: string;
  /** Aborts when the case's time is over. */
  readonly signal: AbortSignal;
  readonly session?: Session;
  /** The shared session is about to lose its connection. */
  readonly onCut: () => void;
}

/** What a case works with. Everything that it opens or makes here is closed and removed after it. */
export class Context {
  readonly subject: Subject;
  readonly scale: Scale;
  readonly host: HostContext;
  readonly #parts: Parts;
  readonly #sessions: Session[] = [];
  #serial = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.subject = parts.subject;
    this.scale = parts.scale;
    this.host = parts.host;
  }

  // What is missing is kept from a case by its needs; these say so where a case has forgotten one.

  get session(): Session {
    return this.#parts.session ?? absent('session');
  }
  get lab(): ConformanceLab {
    return this.subject.lab ?? absent('lab');
  }
  get scratch(): Scratch {
    return this.subject.scratch ?? absent('scratch');
  }
  get power(): Power {
    return this.session.power ?? absent('power');
  }
  get snapshots(): SnapshotSource {
    const { source } = this.session;
    return source?.kind === 'snapshot' ? source : absent('snapshot source');
  }
  get streaming(): StreamingSource {
    const { source } = this.session;
    return source?.kind === 'streaming' ? source : absent('streaming source');
  }
  get target(): Target {
    return this.session.target ?? absent('target');
  }
  get forks(): Forks {
    return this.target.forks ?? absent('forks');
  }
  get network(): Network {
    return this.session.network ?? absent('network');
  }
  get nativePair(): NativePair {
    return this.session.nativePair ?? absent('native pair');
  }
  get pair(): SubjectPair {
    return this.subject.pair ?? absent('second endpoint');
  }
  get fence(): FenceStore {
    return this.session.fence ?? absent('fence');
  }

  skip(reason: string): never {
    throw new Skip(reason);
  }

  /** A new operation unless one is given. */
  readonly call = (options: CallOptions = {}): Call => {
    this.#serial += 1;
    return {
      signal: options.signal ?? this.#parts.signal,
      deadlineMs: options.deadlineMs ?? CALL_DEADLINE_MS,
      log: this.#parts.log,
      operationId: options.operationId ?? `${this.#parts.name}/${this.#serial}`,
      ...(options.fence && { fence: options.fence }),
    };
  };

  /** A call whose signal the case can abort. */
  readonly abortable = (options: CallOptions = {}): { readonly call: Call; abort(): void } => {
    const controller = new AbortController();
    const call = this.call({ ...options, signal: AbortSignal.any([controller.signal, this.#parts.signal]) });
    return { call, abort: () => controller.abort(new DrError('ABORTED', `aborted by ${this.#parts.name}`)) };
  };

  /** With the epoch that the machine's fence store knows, else with the first one. */
  async fenced(machine?: MachineId, options: CallOptions = {}): Promise<Call> {
    const known = machine && this.session.fence ? await this.session.fence.read(machine, this.call()) : undefined;
    return this.call({ ...options, fence: known ?? this.epoch(1) });
  }

  /** For many calls that write to one machine. */
  async writing(machine: MachineId): Promise<(options?: CallOptions) => Call> {
    const { fence } = await this.fenced(machine);
    return (options) => this.call({ ...options, ...(fence && { fence }) });
  }

  epoch(epoch: number, holder = 'conformance'): Epoch {
    return { item: 'conformance' as ItemId, epoch, holder };
  }

  /** Time for the plugin to end by itself, with the estate's clock running. */
  drive<T>(pending: PromiseLike<T>): Promise<T> {
    return this.#parts.recorder.drive(pending);
  }

  /** Another value that must not come out of the plugin. */
  watchSecret(value: string): void {
    this.#parts.recorder.watch(value);
  }

  /** A session beside the shared one, closed after the case. */
  async connect(host: Partial<HostContext> = {}, config = this.subject.config): Promise<Session> {
    const call = this.call();
    try {
      const opened = await this.drive(this.subject.plugin.connect(config, { ...this.host, ...host }, call));
      const session = this.#parts.recorder.wrap(opened);
      this.#sessions.push(session);
      return session;
    } catch (error) {
      this.#parts.recorder.inspectError('connect', error, call);
      throw error;
    }
  }

  /** Every session is dead after: the case must connect anew. */
  async cutConnections(): Promise<void> {
    this.#parts.onCut();
    await this.lab.cutConnections();
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.reverse()) await refusal(() => session[Symbol.asyncDispose]());
  }

  /** A scratch machine as it is now. `want` powers it on or off first where that is possible. */
  async machine(index = 0, want?: 'on' | 'off'): Promise<Machine> {
    const id = this.scratch.machines[index] ?? absent('scratch machine');
    const machine = await this.session.inventory.getMachine(id, this.call());
    if (!want || machine.power === want || !this.session.capabilities.power.includes(want)) return machine;
    await this.power.set(id, want, await this.fenced(id));
    return this.session.inventory.getMachine(id, this.call());
  }

  /** Scratch machine 0, on, and its guest answering: only then does it hear a request to shut down. */
  async guest(): Promise<Machine> {
    const { lab } = this.subject;
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      const machine = await this.machine(0, 'on');
      if (machine.guestName !== undefined) return machine;
      if (waitedMs >= this.scale.bootMs) return this.skip(`the guest of ${machine.id} does not answer`);
      await (lab ? lab.advance(POLL_MS) : new Promise((resolve) => setTimeout(resolve, POLL_MS)));
    }
  }

  pointRequest(since: PointRequest['since'] = new Map()): PointRequest {
    return { consistency: 'crash', orElse: 'crash', since };
  }

  snapshot(machines: readonly MachineId[], since?: PointRequest['since'], from: SnapshotSource = this.snapshots): Promise<Snapshot> {
    return from.createSnapshot(machines, this.pointRequest(since), this.call());
  }

  /** Two disks and one NIC, in ids that no endpoint has. */
  spec(disks = 2): MachineSpec {
    return {
      firmware: 'bios',
      cpuCount: 1,
      memoryBytes: 512 * 1024 * 1024,
      guest: { family: 'linux' },
      disks: Array.from({ length: disks }, (_, index) => ({
        id: `asked-disk-${index}` as DiskId,
        sizeBytes: this.scale.diskBytes,
        bus: 'scsi',
        slot: `0:${index}`,
        boot: index === 0,
        logicalSectorBytes: 512,
        physicalSectorBytes: 512,
      })),
      nics: [{ id: 'asked-nic-0' as NicId }],
    };
  }

  replicaRequest(name = `${this.#parts.name} replica`): ReplicaRequest {
    const { storage, folder, host } = this.scratch;
    return {
      name,
      ...(storage && { storage }),
      ...(folder && { folder }),
      ...(host && { host }),
      nics: new Map([['asked-nic-0' as NicId, 'disconnected']]),
    };
  }

  /** A new replica, or the machine to adopt where the target only adopts. */
  async replica(spec = this.spec()): Promise<Replica> {
    const { target } = this;
    if (target.createReplica) {
      const placed = await target.createReplica(spec, this.replicaRequest(), await this.fenced());
      return asReplica(spec, placed);
    }
    const id = this.scratch.adopt ?? absent('machine to adopt');
    const found = await this.session.inventory.getMachine(id, this.call());
    if (found.power === 'on') await this.session.power?.set(id, 'off', await this.fenced(id));
    return asReplica(found.spec, await target.adoptReplica(id, found.spec, await this.fenced(id)));
  }

  async openReplicaDisk(replica: Replica, index = 0): Promise<ReplicaDisk> {
    const disk = replica.disks[index] ?? absent('replica disk');
    return this.target.openReplicaDisk(replica.id, disk, await this.fenced(replica.id));
  }

  /** Of all disks of the replica as it is. */
  async fork(replica: Replica, mode: 'overlay' | 'clone' = this.forks.modes[0] ?? 'overlay', options: CallOptions = {}): Promise<Fork> {
    return this.forks.create(replica.id, this.forkRequest(replica, mode), await this.fenced(replica.id, options));
  }

  forkRequest(replica: Replica, mode: 'overlay' | 'clone', purpose: 'test' | 'failover' = 'failover'): ForkRequest {
    const nics = new Map(replica.spec.nics.map((nic): [NicId, 'disconnected'] => [nic.id, 'disconnected']));
    return { mode, purpose, name: `${this.#parts.name} fork`, spec: replica.spec, newGenerationId: true, nics };
  }

  /** A disk of the fork by its place in the replica's definition. */
  async openForkDisk(replica: Replica, fork: Fork, index = 0): Promise<ReplicaDisk> {
    const asked = replica.spec.disks[index] ?? absent('replica disk');
    const disk = fork.disks.get(asked.id) ?? absent(`disk of the fork for ${asked.id}`);
    return this.forks.openDisk(fork.id, disk, await this.fenced(replica.id));
  }
}

const asReplica = (spec: MachineSpec, placed: Placed): Replica => ({
  id: placed.machine.id,
  spec,
  placed,
  disks: spec.disks.map((disk) => placed.disks.get(disk.id) ?? absent(`replica of disk ${disk.id}`)),
});

const absent = (what: string): never => {
  throw new Error(`there is no ${what} here`);
};
