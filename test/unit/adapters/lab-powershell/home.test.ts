import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Dispatcher } from '../../../../adapters/lab/dispatch.ts';
import { LabHome } from '../../../../adapters/lab/home.ts';
import { type InProcessEstate, serveInProcess } from '../../../../adapters/lab/in-process.ts';
import { temporary } from '../lab/lab-process.ts';
import { codeOf, HostBench, hostSpec, MIB, step } from './bench.ts';
import { Wmi } from './wmi.ts';

const SPEC = { sites: [{ name: 'site-a', endpoints: [hostSpec([{ name: 'shop-db', workload: 'none', disks: [{ sizeBytes: MIB }] }])] }] };

interface Opened extends AsyncDisposable {
  readonly home: LabHome;
  readonly bench: HostBench;
}

const open = async (directory: string): Promise<Opened> => {
  const home = LabHome.open({ directory, seed: 7, spec: () => SPEC, clock: 'jump', say: () => undefined });
  const lab: InProcessEstate = serveInProcess(new Dispatcher(home.estate, 1));
  const bench = new HostBench(lab, await HostBench.connect(lab, 'hv-a'));
  return { home, bench, [Symbol.asyncDispose]: () => bench.shell[Symbol.asyncDispose]() };
};

describe('simulated hosts in a directory', () => {
  it('know checkpoints, points, switches and mounts again after an orderly end, and go on merging', async () => {
    using directory = temporary();
    const first = await open(directory.path);
    const wmi = new Wmi(first.bench);
    await wmi.convert(await wmi.checkpoint());
    const [limit] = await wmi.trackingIds();
    await first.bench.lab.clock.sleep(1000);
    await first.bench.onVm('Checkpoint-VM', { SnapshotName: 'kept' });
    await first.bench.run(
      step('New-VMSwitch', { Name: 'isolated', SwitchType: 'Private' }),
      step('New-VHD', { Path: 'D:\\a.vhdx', SizeBytes: MIB, Dynamic: true }),
      step('Mount-VHD', { Path: 'D:\\a.vhdx', NoDriveLetter: true }),
      step('Get-VM', { Id: first.bench.id() }),
      step('Get-VMSnapshot', { VM: { $step: 3 } }),
      step('Remove-VMSnapshot', { VMSnapshot: { $step: 4 } }),
    );
    const merging = await first.bench.drivePath();
    first.home.close();

    await using second = await open(directory.path);
    const again = new Wmi(second.bench);
    await second.bench.lab.clock.sleep(3000);
    const [path] = await again.frozen(await again.checkpoint());

    expect(merging).to.match(/\.avhdx$/);
    expect(path).to.equal('D:\\shop-db\\Virtual Hard Disks\\disk-0.vhdx');
    expect(await codeOf(again.changes(path!, limit!, MIB))).to.equal('none');
    expect(await second.bench.rows(step('Get-VMSwitch', {}, ['Name']))).to.have.lengthOf(3);
    expect(await second.bench.rows(step('Get-VHD', { Path: 'D:\\a.vhdx' }, ['DiskNumber']))).to.deep.equal([{ DiskNumber: 1 }]);
    second.home.close();
  });

  it('have lost their power after a kill: nothing is mounted, and what was tracked is known to nobody', async () => {
    using directory = temporary();
    const first = await open(directory.path);
    const wmi = new Wmi(first.bench);
    await wmi.convert(await wmi.checkpoint());
    const [limit] = await wmi.trackingIds();
    await first.bench.run(
      step('New-VHD', { Path: 'D:\\a.vhdx', SizeBytes: MIB, Dynamic: true }),
      step('Mount-VHD', { Path: 'D:\\a.vhdx' }),
    );
    first.home.save(false);

    await using second = await open(directory.path);
    const again = new Wmi(second.bench);
    await second.bench.lab.clock.sleep(3000);
    const [path] = await again.frozen(await again.checkpoint());

    expect(await second.bench.rows(step('Get-VHD', { Path: 'D:\\a.vhdx' }, ['Attached']))).to.deep.equal([{ Attached: false }]);
    expect(await codeOf(again.changes(path!, limit!, MIB))).to.equal('TRACKING_LOST');
    second.home.close();
  });

  it('are made for a directory that an earlier release has written', async () => {
    using directory = temporary();
    const first = await open(directory.path);
    first.home.close();
    const path = join(directory.path, 'lab.json');
    const state = JSON.parse(readFileSync(path, 'utf8'));
    for (const endpoint of state.endpoints) {
      delete endpoint.hyperv;
      endpoint.places.find((place: { kind: string }) => place.kind === 'host').name = 'hv-a-host-1';
    }
    for (const machine of state.machines) {
      delete machine.hv;
      machine.labels = { app: 'shop' };
    }
    writeFileSync(path, JSON.stringify(state));

    await using second = await open(directory.path);

    expect(await second.bench.rows(step('Get-VM', {}, ['Name', 'Notes', 'ComputerName']))).to.deep.equal([
      { Name: 'shop-db', Notes: 'labels: app=shop', ComputerName: 'hv-a-host-1' },
    ]);
    expect(await second.bench.drivePath()).to.match(/^D:\\shop-db\\/);
    await using named = await second.bench.at('hv-a-host-1');
    expect((await named.run([step('Get-VM')]))[0]!.count).to.equal(1);
    second.home.close();
  });
});
