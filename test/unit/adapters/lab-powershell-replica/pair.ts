// Two hosts that replicate to each other, at two sites, spoken to in process.
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, MachineSeed } from '../../../../adapters/lab/port.ts';
import { vmAt } from '../../../../adapters/lab/powershell/fabric.ts';
import type { Hv } from '../../../../adapters/lab/powershell/model.ts';
import { atOf } from '../../../../adapters/lab/powershell/nodes.ts';
import type { ReplicationRecord } from '../../../../adapters/lab/powershell/replica/model.ts';
import type { ClockMode } from '../../../../adapters/lab/timeline.ts';
import type { Cmdlet } from '../../../../adapters/powershell/allowed.ts';
import type { Argument, PowerShell, PsEnum, PsRow, Step, StepResult } from '../../../../adapters/powershell/port.ts';
import type { MachineId } from '../../../../core/contract/index.ts';
import { HostBench, hostSpec, MIB, step } from '../lab-powershell/bench.ts';

export { codeOf, errorOf, hostSpec, MIB, step } from '../lab-powershell/bench.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

export type Side = 'hv-a' | 'hv-b';
type Params = Readonly<Record<string, Argument>>;

const QUIET: MachineSeed = {
  name: 'shop-db',
  writesPerSecond: 0,
  disks: [
    { sizeBytes: MIB, contentBytes: 131_072 },
    { sizeBytes: MIB, contentBytes: 131_072 },
  ],
};

const siteOf = (name: Side, machines: readonly MachineSeed[], more: Partial<EndpointSpec>) => ({
  name: name === 'hv-a' ? 'site-a' : 'site-b',
  endpoints: [hostSpec(machines, { name, ...more })],
});

interface PairOptions {
  readonly machines?: readonly MachineSeed[];
  readonly clock?: ClockMode;
  readonly target?: Partial<EndpointSpec>;
}

export class Pair implements AsyncDisposable {
  readonly lab: InProcessEstate;
  readonly #shells: Record<Side, PowerShell>;

  constructor(lab: InProcessEstate, shells: Record<Side, PowerShell>) {
    this.lab = lab;
    this.#shells = shells;
  }

  static async open({ machines = [QUIET], clock = 'manual', target = {} }: PairOptions = {}): Promise<Pair> {
    const spec = { sites: [siteOf('hv-a', machines, {}), siteOf('hv-b', [], target)] };
    return Pair.over(createEstate({ spec, clock, seed: 11 }));
  }

  static async over(lab: InProcessEstate): Promise<Pair> {
    return new Pair(lab, { 'hv-a': await HostBench.connect(lab, 'hv-a'), 'hv-b': await HostBench.connect(lab, 'hv-b') });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const shell of Object.values(this.#shells)) await shell[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }

  /** After a wire was cut. */
  async reconnect(side: Side): Promise<void> {
    this.#shells[side] = await HostBench.connect(this.lab, side);
  }

  get id(): MachineId {
    const [first] = [...this.lab.estate.machines.values()].filter(({ endpoint, name }) => endpoint === 'hv-a' && name === 'shop-db');
    return first!.id;
  }

  find(side: Side, id: string = this.id): Hv | undefined {
    return vmAt(atOf(this.lab.estate, this.lab.estate.endpoint(side)), id);
  }

  machine(side: Side, id: string = this.id): Hv {
    const found = this.find(side, id);
    if (!found) throw new Error(`no machine ${id} at ${side}`);
    return found;
  }

  end(side: Side): ReplicationRecord | undefined {
    return this.find(side)?.hv.replication;
  }

  states(): [string, string] {
    return [this.end('hv-a')?.state ?? 'none', this.end('hv-b')?.state ?? 'none'];
  }

  run(side: Side, ...steps: Step[]): Promise<readonly StepResult[]> {
    return this.#settled(this.#shells[side].run(steps));
  }

  /** A cmdlet about the machine. */
  async on(side: Side, cmdlet: Cmdlet, params: Params = {}, select?: readonly string[], id: string = this.id): Promise<StepResult> {
    return (await this.run(side, step('Get-VM', { Id: id }), step(cmdlet, { VM: { $step: 0 }, ...params }, select))).at(-1)!;
  }

  /** With a recovery point, by its place among them. */
  async onPoint(side: Side, index: number, params: Params = {}, cmdlet: Cmdlet = 'Start-VMFailover'): Promise<StepResult> {
    const id = (await this.points(side)).at(index)!['Id'] as string;
    const steps = [step('Get-VMSnapshot', { Id: id }), step(cmdlet, { VMRecoverySnapshot: { $step: 0 }, ...params }, ['Id'])];
    return (
      await this.run(side, ...(params['AsTest'] ? steps : [steps[0]!, step(cmdlet, { VMRecoverySnapshot: { $step: 0 }, ...params })]))
    ).at(-1)!;
  }

  async points(side: Side = 'hv-b'): Promise<readonly PsRow[]> {
    return (await this.on(side, 'Get-VMSnapshot', {}, ['Id', 'SnapshotType', 'CreationTime', 'Name'])).rows;
  }

  async read(side: Side, cmdlet: 'Get-VMReplication' | 'Measure-VMReplication', ...select: string[]): Promise<PsRow> {
    return (await this.on(side, cmdlet, {}, select)).rows[0]!;
  }

  async health(side: Side): Promise<string> {
    return ((await this.read(side, 'Get-VMReplication', 'ReplicationHealth'))['ReplicationHealth'] as PsEnum).name;
  }

  enable(params: Params = {}): Promise<StepResult> {
    return this.on('hv-a', 'Enable-VMReplication', {
      ReplicaServerName: 'hv-b',
      ReplicaServerPort: 80,
      AuthenticationType: 'Kerberos',
      ...params,
    });
  }

  /** Enabled, first copy done, cycles running. */
  async replicating(params: Params = {}): Promise<void> {
    await this.enable(params);
    await this.on('hv-a', 'Start-VMInitialReplication');
    await this.pass(MINUTE);
  }

  async shutDown(side: Side): Promise<void> {
    await this.on(side, 'Stop-VM', { TurnOff: true, Force: true });
    await this.pass(1000);
  }

  /** Off, prepared, failed over. */
  async planned(): Promise<void> {
    await this.shutDown('hv-a');
    await this.on('hv-a', 'Start-VMFailover', { Prepare: true });
    await this.on('hv-b', 'Start-VMFailover');
  }

  async pass(ms: number): Promise<void> {
    if (this.lab.estate.timeline.mode === 'manual') this.lab.estate.timeline.advance(ms);
    else await this.lab.clock.sleep(ms);
    await new Promise(setImmediate);
  }

  async write(side: Side, fill: number, { offset = 8192, length = 4096, disk = 0 } = {}): Promise<void> {
    const machine = this.machine(side);
    const id = machine.spec.disks[disk]!.id;
    await this.lab.control.call('lab.write', { machine: machine.id, disk: id, offset, data: Buffer.alloc(length, fill) });
  }

  byte(side: Side, offset = 8192, disk = 0): number {
    const machine = this.machine(side);
    const into = new Uint8Array(1);
    this.lab.estate.live(machine, machine.spec.disks[disk]!.id).read(offset, into);
    return into[0]!;
  }

  digests(side: Side, id?: string): string[] {
    const machine = this.machine(side, id);
    return machine.spec.disks.map((disk) => this.lab.estate.live(machine, disk.id).digest());
  }

  /** What the source had at the newest instant on record up to this one. */
  truthAt(ms: number): string[] {
    const truths = this.lab.estate.truths.filter(({ takenAt, operationId }) => operationId.startsWith('hvr:') && Date.parse(takenAt) <= ms);
    return truths.at(-1)!.digests.map(({ digest }) => digest);
  }

  async setLink(up: boolean): Promise<void> {
    await this.lab.control.call('lab.setLink', { site: 'site-b', up });
    if (up) await this.reconnect('hv-b');
  }

  /** On a manual clock nobody but the test moves time on while a call waits. */
  async #settled<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const end = () => {
      done = true;
    };
    work.then(end, end);
    while (!done) {
      await new Promise(setImmediate);
      if (!done && this.lab.estate.timeline.mode === 'manual') this.lab.estate.timeline.advance(50);
    }
    return work;
  }
}
