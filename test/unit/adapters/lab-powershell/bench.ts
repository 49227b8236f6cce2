import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, MachineSeed } from '../../../../adapters/lab/port.ts';
import type { Cmdlet } from '../../../../adapters/powershell/allowed.ts';
import type { Argument, PowerShell, PsError, PsRow, PsValue, Step, StepResult } from '../../../../adapters/powershell/port.ts';
import { type DiskId, DrError, type MachineId } from '../../../../core/contract/index.ts';

export const MIB = 2 ** 20;
export const OWNER = 'owner-1';

const SEED: MachineSeed = { name: 'shop-db', disks: [{ sizeBytes: MIB, contentBytes: 131_072 }] };

export const hostSpec = (machines: readonly MachineSeed[] = [SEED], more: Partial<EndpointSpec> = {}): EndpointSpec => ({
  name: 'hv-a',
  profile: 'hyperv',
  username: 'warmsite',
  password: 'secret',
  networks: ['production', 'management'],
  storage: [
    { name: 'data', capacityBytes: 256 * MIB },
    { name: 'more', capacityBytes: 256 * MIB },
  ],
  machines,
  ...more,
});

export const step = (cmdlet: Cmdlet, params: Readonly<Record<string, Argument>> = {}, select?: readonly string[]): Step => ({
  cmdlet,
  params,
  ...(select ? { select } : {}),
});

/** What the host said; a failure of a test that got none. */
export const errorOf = (promise: Promise<unknown>): Promise<{ code: string; error: PsError | undefined }> =>
  promise.then(
    () => ({ code: 'none', error: undefined }),
    (error: unknown) => {
      if (!(error instanceof DrError)) throw error;
      return { code: error.code, error: error.cause as PsError | undefined };
    },
  );

export const codeOf = (promise: Promise<unknown>): Promise<string> => errorOf(promise).then(({ code }) => code);

/** A simulated host, spoken to in process. */
export class HostBench implements AsyncDisposable {
  readonly lab: InProcessEstate;
  readonly shell: PowerShell;

  constructor(lab: InProcessEstate, shell: PowerShell) {
    this.lab = lab;
    this.shell = shell;
  }

  static async open(spec: EndpointSpec = hostSpec(), target = spec.name): Promise<HostBench> {
    const lab = createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [spec] }] }, seed: 7 });
    return new HostBench(lab, await HostBench.connect(lab, target));
  }

  static connect(lab: InProcessEstate, host: string): Promise<PowerShell> {
    return lab.openPowerShell({ host, transport: { kind: 'local', username: 'warmsite', password: 'secret' } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shell[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }

  at(host: string): Promise<PowerShell> {
    return HostBench.connect(this.lab, host);
  }

  id(name = 'shop-db'): MachineId {
    const machine = [...this.lab.estate.machines.values()].find((one) => one.name === name);
    if (!machine) throw new Error(`no machine ${name}`);
    return machine.id;
  }

  run(...steps: Step[]): Promise<readonly StepResult[]> {
    return this.shell.run(steps);
  }

  async rows(...steps: Step[]): Promise<readonly PsRow[]> {
    return (await this.shell.run(steps)).at(-1)!.rows;
  }

  /** A cmdlet about the machine that Get-VM gives. */
  async onVm(
    cmdlet: Cmdlet,
    params: Readonly<Record<string, Argument>> = {},
    select?: readonly string[],
    id = this.id(),
  ): Promise<StepResult> {
    return (await this.run(step('Get-VM', { Id: id }), step(cmdlet, { VM: { $step: 0 }, ...params }, select))).at(-1)!;
  }

  async vm(property: string, id = this.id()): Promise<PsValue> {
    return (await this.rows(step('Get-VM', { Id: id }, [property])))[0]![property]!;
  }

  async drivePath(index = 0, id = this.id()): Promise<string> {
    return String((await this.onVm('Get-VMHardDiskDrive', {}, ['Path'], id)).rows[index]!['Path']);
  }

  write(disk: string, offset: number, length: number, id = this.id()): Promise<unknown> {
    return this.lab.control.call('lab.write', { machine: id, disk: disk as DiskId, offset, data: Buffer.alloc(length, `${offset}`) });
  }
}
