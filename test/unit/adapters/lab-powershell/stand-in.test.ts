import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createLabAgent } from '../../../../adapters/lab/powershell/agent.ts';
import { createOpenPowerShell } from '../../../../adapters/powershell/open.ts';
import type { PowerShell } from '../../../../adapters/powershell/port.ts';
import { DrError } from '../../../../core/contract/index.ts';
import { LabProcess, temporary } from '../lab/lab-process.ts';
import { codeOf, HostBench, hostSpec, step } from './bench.ts';

const SPEC = { sites: [{ name: 'site-a', endpoints: [hostSpec()] }] };

const openReal = createOpenPowerShell({
  openSsh: () => {
    throw new DrError('INTERNAL', 'no session of these tests goes by ssh');
  },
});

class LabBench implements AsyncDisposable {
  readonly lab: LabProcess;
  readonly executable: string;
  readonly #directory: Disposable;
  readonly #shells: PowerShell[] = [];

  constructor(lab: LabProcess, executable: string, directory: Disposable) {
    this.lab = lab;
    this.executable = executable;
    this.#directory = directory;
  }

  static async start(): Promise<LabBench> {
    const directory = temporary();
    const estate = join(directory.path, 'estate.json');
    writeFileSync(estate, JSON.stringify(SPEC));
    const lab = await LabProcess.start(directory.path, '--estate', estate, '--seed', '7');
    const { executable } = await (await lab.connect()).call('lab.powershell', { endpoint: 'hv-a' });
    return new LabBench(lab, executable!, directory);
  }

  async open(host = 'hv-a', password = 'secret'): Promise<PowerShell> {
    const shell = await openReal({ host, transport: { kind: 'local', executable: this.executable, username: 'warmsite', password } });
    this.#shells.push(shell);
    return shell;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const shell of this.#shells) await shell[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}

describe('what stands in for PowerShell in the lab', () => {
  it('answers as the hosts do in process, past the noise of a host', async () => {
    await using bench = await LabBench.start();
    await using direct = await HostBench.open();
    const shell = await bench.open();
    const steps = [
      step('Get-VM', {}, [
        'Name',
        'State',
        'MemoryStartup',
        'OperationalStatus',
        'HardDrives.Path',
        'NetworkAdapters.MacAddress',
        'ParentSnapshotId',
      ]),
      step('Get-VMHardDiskDrive', { VM: { $step: 0 } }, ['Path', 'ControllerType']),
      step('Get-VHD', { Path: { $step: 1, $property: 'Path' } }, ['Size', 'VhdType', 'ParentPath', 'DiskIdentifier']),
      step('Get-Volume', {}, ['DriveLetter', 'FileSystemLabel', 'Size']),
      step('Start-VM', { VM: { $step: 0 } }),
    ];

    expect(await shell.run(steps)).to.deep.equal(await direct.run(...steps));
    expect(statSync(bench.executable).mode & 0o777).to.equal(0o700);
  });

  it('lets in who has the password, to hosts that there are', async () => {
    await using bench = await LabBench.start();

    expect(await codeOf(bench.open('hv-a', 'guess'))).to.equal('AUTH_REJECTED');
    expect(await codeOf(bench.open('elsewhere'))).to.equal('CONNECTION_REFUSED');
  });

  it('ends when its session is cut, and the next request has another', async () => {
    await using bench = await LabBench.start();
    const control = await bench.lab.connect();
    const shell = await bench.open();
    await control.call('lab.addFault', { rule: { method: 'ps.Set-VM', nth: 1, act: { cut: 'after' } } });

    const lost = await codeOf(shell.run([step('Get-VM'), step('Set-VM', { VM: { $step: 0 }, Notes: 'done all the same' })]));
    const [row] = (await shell.run([step('Get-VM', {}, ['Notes'])]))[0]!.rows;
    await control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { stall: true } } });
    const late = await codeOf(shell.run([step('Get-VM')], { deadlineMs: 200 }));

    expect([lost, row, late]).to.deep.equal(['CONNECTION_LOST', { Notes: 'done all the same' }, 'TIMED_OUT']);
    expect((await shell.run([step('Get-VM')]))[0]!.count).to.equal(1);
  });

  it('ends with the lab, whose orderly restart knows everything again', async () => {
    using directory = temporary();
    writeFileSync(join(directory.path, 'estate.json'), JSON.stringify(SPEC));
    const args = ['--estate', join(directory.path, 'estate.json')];
    const first = await LabProcess.start(directory.path, ...args);
    const { executable } = await (await first.connect()).call('lab.powershell', { endpoint: 'hv-a' });
    const target = { host: 'hv-a', transport: { kind: 'local' as const, executable, username: 'warmsite', password: 'secret' } };
    const shell = await openReal(target);
    await shell.run([
      step('Get-VM'),
      step('Set-VM', { VM: { $step: 0 }, Notes: 'kept' }),
      step('Checkpoint-VM', { VM: { $step: 0 }, SnapshotName: 'kept' }),
    ]);
    const before = (await shell.run([step('Get-VM'), step('Get-VMHardDiskDrive', { VM: { $step: 0 } }, ['Path'])]))[1]!.rows;

    await first.end('SIGTERM');
    const dead = await codeOf(shell.run([step('Get-VM')]));
    await using second = await LabProcess.start(directory.path, ...args);
    await second.connect();
    const [vm, drives, snapshots] = await shell.run([
      step('Get-VM', {}, ['Notes']),
      step('Get-VMHardDiskDrive', { VM: { $step: 0 } }, ['Path']),
      step('Get-VMSnapshot', { VM: { $step: 0 } }, ['Name']),
    ]);
    await shell[Symbol.asyncDispose]();

    expect(dead).to.match(/^CONNECTION_(LOST|REFUSED)$/);
    expect([vm!.rows, drives!.rows, snapshots!.rows]).to.deep.equal([[{ Notes: 'kept' }], before, [{ Name: 'kept' }]]);
  });

  it('ends when its input does, and does nothing with a line that is none of ours', async () => {
    await using bench = await LabBench.start();
    const child = spawn(bench.executable, ['-NoLogo', '-NoExit', '-NoProfile', '-Command', '-'], { stdio: 'pipe' });
    let said = '';
    let complained = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    child.stderr.on('data', (chunk) => {
      complained += chunk;
    });

    child.stdin.end('Remove-VM *\nImport-DrAllowList x\n\n');
    const [code] = await once(child, 'close');

    expect(code).to.equal(0);
    expect(said).to.contain('\u001b').and.not.contain('DRX1');
    expect(complained).to.contain('Remove-VM');
  });

  it('has devices of its hosts beside it, over the socket', async () => {
    await using bench = await LabBench.start();
    const shell = await bench.open();
    await shell.run([
      step('New-VHD', { Path: 'D:\\a.vhdx', SizeBytes: 2 ** 20, Dynamic: true }),
      step('Mount-VHD', { Path: 'D:\\a.vhdx' }),
    ]);
    await using agent = createLabAgent(await bench.lab.connect(), 'hv-a');
    await using device = await agent.openDevice('\\\\.\\PhysicalDrive1', { forWriting: true });
    const data = Buffer.alloc(4096, 'x');

    await device.write(0, data);
    await device.flush();
    const read = Buffer.alloc(4096);
    await device.read(0, read);

    expect(read.equals(data)).to.equal(true);
  });
});
