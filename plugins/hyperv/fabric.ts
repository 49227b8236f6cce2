// The hosts behind an endpoint, a session at each of them once it is needed, and on which of them a machine is: that changes without a word.
import type { OpenPowerShell, PowerShell, PsRow, Step, StepResult, Transport } from '../../adapters/powershell/port.ts';
import { type Call, DrError, isDrError, type MachineId } from '../../core/contract/index.ts';
import type { Time } from '../../core/plugin-kit/index.ts';
import { member, text } from './rows.ts';
import { Shared } from './shared.ts';
import type { UnderWay } from './under-way.ts';

export type FabricKind = 'host' | 'cluster' | 'vmm';

export interface FabricOptions {
  readonly kind: FabricKind;
  /** Of the host, of the cluster or one of its nodes, or of the VMM server. */
  readonly address: string;
  /** Appended to names of hosts that have no dot. */
  readonly domain?: string | undefined;
  readonly transport: Transport;
  readonly ownerId: string;
  readonly time: Time;
  readonly underWay: UnderWay;
}

/** A single answer; what takes longer is a job, or is told so. */
const ANSWER_MS = 60_000;
const HOSTS_MS = 30_000;

/** Of Get-VM with an id, as the key of a step. */
export const vmById = (id: MachineId, select?: readonly string[]): Step => ({
  cmdlet: 'Get-VM',
  params: { Id: guidOf(id) },
  ...(select ? { select } : {}),
});

/** What no host gives as an id is not even asked for. */
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const guidOf = (id: MachineId): string => {
  if (GUID.test(id)) return id;
  throw new DrError('NOT_FOUND', `there is no machine ${JSON.stringify(id)}`, { context: { kind: 'machine', name: id } });
};

export class Fabric implements AsyncDisposable {
  readonly kind: FabricKind;
  readonly ownerId: string;
  readonly time: Time;
  readonly underWay: UnderWay;
  readonly #open: OpenPowerShell;
  readonly #options: FabricOptions;
  readonly #sessions = new Shared<PowerShell>();
  readonly #owners = new Map<MachineId, string>();
  #closed = false;
  #hosts: { readonly names: readonly string[]; readonly untilMs: number } | undefined;
  /** Of the endpoint, and not up. */
  #silent: readonly string[] = [];

  constructor(open: OpenPowerShell, options: FabricOptions) {
    this.#open = open;
    this.#options = options;
    this.kind = options.kind;
    this.ownerId = options.ownerId;
    this.time = options.time;
    this.underWay = options.underWay;
  }

  /** The host, cluster or VMM server itself. */
  get center(): string {
    return this.#options.address;
  }

  /** Where disks are on storage that several hosts share. */
  get isShared(): boolean {
    return this.kind !== 'host';
  }

  async run(host: string, steps: readonly Step[], call: Call, deadlineMs = ANSWER_MS): Promise<readonly StepResult[]> {
    call.signal.throwIfAborted();
    if (this.#closed) throw new DrError('CONNECTION_LOST', `the session at ${this.center} is closed`, { context: { name: this.center } });
    try {
      const session = await this.#session(host, call);
      return await session.run(steps, { signal: call.signal, deadlineMs: Math.min(deadlineMs, call.deadlineMs) });
    } catch (error) {
      // The cluster may have noticed by now.
      if (isDrError(error, 'CONNECTION_REFUSED')) this.#hosts = undefined;
      throw error;
    }
  }

  /** On whichever host answers: what all of them would say. */
  async onAny<T>(work: (host: string) => Promise<T>, call: Call): Promise<T> {
    let failure: unknown;
    for (const host of await this.hosts(call)) {
      try {
        return await work(host);
      } catch (error) {
        if (!isDrError(error, 'CONNECTION_REFUSED', 'CONNECTION_LOST')) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  /** Rows of the last step. */
  async rows(host: string, steps: readonly Step[], call: Call, deadlineMs?: number): Promise<readonly PsRow[]> {
    return (await this.run(host, steps, call, deadlineMs)).at(-1)?.rows ?? [];
  }

  /** Names of the hosts that are up, looked up again after a while. */
  async hosts(call: Call): Promise<readonly string[]> {
    if (this.kind === 'host') return [this.center];
    if (this.#hosts && this.time.now() < this.#hosts.untilMs) return this.#hosts.names;
    const names = this.kind === 'cluster' ? await this.#nodes(call) : await this.#managed(call);
    if (names.length === 0)
      throw new DrError('CONNECTION_REFUSED', `no host of ${this.center} is up`, { context: { name: this.center, kind: 'host' } });
    this.#hosts = { names, untilMs: this.time.now() + HOSTS_MS };
    return names;
  }

  /** Hosts whose machines nobody sees. */
  get silent(): readonly string[] {
    return this.#silent;
  }

  /** Inventory has seen it there. */
  note(id: MachineId, host: string): void {
    this.#owners.set(id, host);
  }

  /** Throws NOT_FOUND once every host has said that it does not know the machine; a host that is down or does not answer may have it. */
  async ownerOf(id: MachineId, call: Call): Promise<string> {
    const known = this.#owners.get(id);
    if (known !== undefined && (await this.#has(known, id, call))) return known;
    const hosts = (await this.hosts(call)).filter((host) => host !== known);
    const answers = await Promise.allSettled(hosts.map((host) => this.#has(host, id, call)));
    call.signal.throwIfAborted();
    const at = answers.findIndex((answer) => answer.status === 'fulfilled' && answer.value);
    if (at >= 0) {
      this.#owners.set(id, hosts[at]!);
      return hosts[at]!;
    }
    const silent = answers.find((answer) => answer.status === 'rejected');
    if (silent) throw silent.reason;
    const [down] = this.#silent;
    if (down !== undefined)
      throw new DrError('CONNECTION_REFUSED', `machine ${id} is on no host of ${this.center} that is up, and ${down} is down`, {
        hint: 'bring the host back, or evict it from the cluster when it is gone for good',
        context: { kind: 'machine', machine: id, name: down },
      });
    throw new DrError('NOT_FOUND', `there is no machine ${JSON.stringify(id)} at ${this.center}`, {
      context: { kind: 'machine', machine: id, name: this.center },
    });
  }

  /** Runs steps that begin with the machine on the host that has it. One that moved in between is looked for once more. */
  async onOwner(id: MachineId, steps: readonly Step[], call: Call, deadlineMs?: number): Promise<readonly StepResult[]> {
    return this.withOwner(id, (host) => this.run(host, steps, call, deadlineMs), call);
  }

  /** `work` may be done twice: its first step must be the one that misses the machine. */
  async withOwner<T>(id: MachineId, work: (host: string) => Promise<T>, call: Call): Promise<T> {
    guidOf(id);
    const known = this.#owners.get(id);
    if (known === undefined) return work(await this.ownerOf(id, call));
    try {
      return await work(known);
    } catch (error) {
      if (!isMissing(error) && !isDrError(error, 'CONNECTION_REFUSED', 'CONNECTION_LOST')) throw error;
      // Not there, or the host is gone and its machines are on another by now. What was lost in mid-call is the caller's to judge.
      if (isDrError(error, 'CONNECTION_LOST')) throw error;
      this.#owners.delete(id);
      const now = await this.ownerOf(id, call);
      if (now === known) throw error;
      return work(now);
    }
  }

  /** Work on a host that was found to have the machine. What it misses because the machine has moved in between is no loss of anything. */
  async held<T>({ id, host }: { readonly id: MachineId; readonly host: string }, work: () => Promise<T>, call: Call): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isDrError(error, 'NOT_FOUND', 'SNAPSHOT_GONE', 'FILE_LOCKED') || call.signal.aborted) throw error;
      const now = await this.ownerOf(id, call).catch(() => host);
      if (now === host) throw error;
      throw new DrError('MACHINE_MOVED', `machine ${id} has moved from ${host} to ${now}`, {
        context: { machine: id, name: now },
        cause: error,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#sessions[Symbol.asyncDispose]();
  }

  /** Also tells whether the endpoint's own address answers. */
  async connect(call: Call): Promise<void> {
    await this.#session(this.center, call);
  }

  async #has(host: string, id: MachineId, call: Call): Promise<boolean> {
    try {
      await this.run(host, [vmById(id)], call);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  #session(host: string, call: Call): Promise<PowerShell> {
    const { transport } = this.#options;
    const deadlineMs = Math.min(call.deadlineMs, ANSWER_MS);
    const open = (signal: AbortSignal) =>
      this.#open({ host, transport: host === this.center ? transport : withoutPin(transport) }, { signal, deadlineMs, log: call.log });
    return this.#sessions.get(host, open, call.signal);
  }

  async #nodes(call: Call): Promise<string[]> {
    const rows = await this.rows(this.center, [{ cmdlet: 'Get-ClusterNode', params: {}, select: ['Name', 'State'] }], call);
    // A paused node takes no new machines, but those that are there run on.
    return this.#upOf(rows, (row) => ['Up', 'Paused'].includes(member(row, 'State')));
  }

  async #managed(call: Call): Promise<string[]> {
    const steps: Step[] = [
      { cmdlet: 'Get-SCVMMServer', params: { ComputerName: 'localhost' } },
      { cmdlet: 'Get-SCVMHost', params: {}, select: ['Name', 'OverallState', 'VirtualizationPlatform'] },
    ];
    const rows = await this.rows(this.center, steps, call);
    const hosts = rows.filter((row) => member(row, 'VirtualizationPlatform') === 'HyperV');
    return this.#upOf(hosts, (row) => member(row, 'OverallState') !== 'NotResponding');
  }

  #upOf(rows: readonly PsRow[], isUp: (row: PsRow) => boolean): string[] {
    const named = (some: readonly PsRow[]) => some.map((row) => this.#full(text(row, 'Name')));
    this.#silent = named(rows.filter((row) => !isUp(row)));
    return named(rows.filter(isUp));
  }

  #full(name: string): string {
    const { domain } = this.#options;
    return domain === undefined || name.includes('.') ? name : `${name}.${domain}`;
  }
}

/** Get-VM says so of an id that is not on this host, and we of one that is on none. */
export const isMissing = (error: unknown): boolean =>
  isDrError(error, 'NOT_FOUND') && (error.context.method === 'Get-VM' || error.context.kind === 'machine');

/** A pin is of one host's key: the others are known by the file. */
const withoutPin = (transport: Transport): Transport => (transport.kind === 'ssh' ? { ...transport, pin: undefined } : transport);
