import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { DiskId } from '../../../../core/contract/index.ts';
import { codeOf, HostBench, hostSpec, MIB, OWNER, step } from './bench.ts';
import { Wmi } from './wmi.ts';

const TWO_DISKS = hostSpec([
  {
    name: 'shop-db',
    writesPerSecond: 400,
    disks: [
      { sizeBytes: MIB, contentBytes: 131_072 },
      { sizeBytes: MIB, contentBytes: 131_072 },
    ],
  },
]);

const marked = (operation: string): string => `of people\nwarmsite: ${JSON.stringify({ owner: OWNER, cycle: { operation } })}`;

const digests = async (bench: HostBench, of: object): Promise<string[]> =>
  (await bench.lab.control.call('lab.inspect', { of: of as never })).digests.map(({ digest }) => digest);

describe('checkpoints of a simulated host', () => {
  it('freeze all disks at one instant, as the truth of that instant says, while the guest goes on', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const wmi = new Wmi(bench);
    await bench.onVm('Set-VM', { Notes: marked('cycle-1') });
    await bench.lab.clock.sleep(1000);

    const checkpoint = await wmi.checkpoint();
    await bench.lab.clock.sleep(3000);

    const { truths } = await bench.lab.control.call('lab.truth', { operationId: 'cycle-1' });
    const { leftovers } = await bench.lab.control.call('lab.status', {});
    const { verdict } = await bench.lab.control.call('lab.inspect', { of: { snapshot: checkpoint as never } });
    expect(await digests(bench, { snapshot: checkpoint })).to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
    expect(await digests(bench, { machine: bench.id() })).not.to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
    expect(leftovers).to.deep.equal([{ owner: OWNER, kind: 'snapshot', id: checkpoint }]);
    expect(verdict.consistent).to.equal(true);
  });

  it('put name_GUID.avhdx over the frozen file, with the same identity, and merge it back while the machine runs', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const before = await bench.drivePath();
    const vhd = async (path: string) =>
      (await bench.rows(step('Get-VHD', { Path: path }, ['VhdType', 'ParentPath', 'DiskIdentifier'])))[0]!;
    const identity = (await vhd(before))['DiskIdentifier'];

    await bench.onVm('Checkpoint-VM', { SnapshotName: 'by hand' });
    const live = await bench.drivePath();
    const [taken] = (await bench.onVm('Get-VMSnapshot', {}, ['Name', 'SnapshotType'])).rows;

    expect(live).to.match(/^D:\\shop-db\\Virtual Hard Disks\\disk-0_[0-9A-F-]{36}\.avhdx$/);
    expect(await vhd(live)).to.deep.equal({ VhdType: { name: 'Differencing', value: 4 }, ParentPath: before, DiskIdentifier: identity });
    expect(taken).to.deep.equal({ Name: 'by hand', SnapshotType: { name: 'Standard', value: 0 } });
    await bench.lab.clock.sleep(1000);
    await bench.run(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMSnapshot', { VM: { $step: 0 } }),
      step('Remove-VMSnapshot', { VMSnapshot: { $step: 1 } }),
    );
    expect(await bench.vm('OperationalStatus')).to.deep.include({ name: 'MergingDisks', value: 32772 });
    expect((await bench.onVm('Get-VMSnapshot')).count).to.equal(0);
    await bench.lab.clock.sleep(2000);
    expect(await bench.vm('OperationalStatus')).to.deep.equal([{ name: 'Ok', value: 2 }]);
    expect(await bench.drivePath()).to.equal(before);
    expect(await codeOf(bench.run(step('Get-VHD', { Path: live })))).to.equal('NOT_FOUND');
    expect((await bench.lab.control.call('lab.inspect', { of: { machine: bench.id() } })).verdict.consistent).to.equal(true);
  });

  it('keep what was written when they go, in whichever order', async () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      await using bench = await HostBench.open(TWO_DISKS);
      const names = ['a', 'b', 'c'];
      for (const SnapshotName of names) {
        await bench.onVm('Checkpoint-VM', { SnapshotName });
        await bench.lab.clock.sleep(300);
      }
      for (const at of order) {
        await bench.run(
          step('Get-VM', { Id: bench.id() }),
          step('Get-VMSnapshot', { VM: { $step: 0 } }),
          step('Remove-VMSnapshot', { VMSnapshot: { $step: 1, $where: { property: 'Name', is: names[at]! } } }),
        );
        await bench.lab.clock.sleep(1000);
        expect(
          (await bench.lab.control.call('lab.inspect', { of: { machine: bench.id() } })).verdict.problems,
          String(order),
        ).to.deep.equal([]);
      }
      expect(await bench.drivePath()).to.equal('D:\\shop-db\\Virtual Hard Disks\\disk-0.vhdx');
      expect(Object.keys(bench.lab.estate.endpoint('hv-a').hyperv!.files)).to.have.lengthOf(2);
    }
  });

  it('go back with disks, configuration and notes, with another generation id and nothing that the tracker knew', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const wmi = new Wmi(bench);
    const machine = bench.lab.estate.machine(bench.id());
    await wmi.convert(await wmi.checkpoint());
    const [limit] = await wmi.trackingIds();
    await bench.onVm('Set-VM', { Notes: 'then' });
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'then' });
    const digest = await digests(bench, { machine: bench.id() });
    const { generation } = machine;
    await bench.lab.clock.sleep(1000);
    await bench.onVm('Set-VM', { Notes: 'now' });

    await bench.run(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMSnapshot', { VM: { $step: 0 } }),
      step('Restore-VMSnapshot', { VMSnapshot: { $step: 1 } }),
    );

    expect(await bench.vm('Notes')).to.equal('then');
    expect(await bench.vm('State')).to.deep.equal({ name: 'Off', value: 3 });
    expect(await digests(bench, { machine: bench.id() })).to.deep.equal(digest);
    expect(machine.generation).to.equal(generation + 1);
    expect(await codeOf(wmi.changes(await bench.drivePath(), limit!, MIB))).to.equal('TRACKING_LOST');
  });

  it('ask the guest for an application consistent one, and say so when nobody answers', async () => {
    await using bench = await HostBench.open(hostSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }], workload: 'none' }]));
    const wmi = new Wmi(bench);

    const job = await wmi.ended(await wmi.create(1));
    await bench.onVm('Set-VM', { CheckpointType: 'ProductionOnly' });

    expect([job.state, job.errorCode]).to.deep.equal([10, 32775]);
    expect((await bench.onVm('Get-VMSnapshot')).count).to.equal(0);
    expect(await codeOf(bench.onVm('Checkpoint-VM'))).to.equal('STATE_CONFLICT');
    expect((await wmi.ended(await wmi.create(2))).state).to.equal(7);
  });

  it('are refused while the type of checkpoints is disabled, and beyond fifty', async () => {
    await using bench = await HostBench.open();
    await bench.onVm('Stop-VM');
    for (let n = 0; n < 50; n++) await bench.onVm('Checkpoint-VM', { SnapshotName: `${n}` });

    expect(await codeOf(bench.onVm('Checkpoint-VM'))).to.equal('SNAPSHOT_LIMIT_REACHED');
    await bench.onVm('Set-VM', { CheckpointType: 'Disabled' });
    expect(await codeOf(bench.onVm('Checkpoint-VM'))).to.equal('STATE_CONFLICT');
  });

  it('wait with the merge for whoever reads the file, and forever where a rule asks for that', async () => {
    await using bench = await HostBench.open();
    const base = await bench.drivePath();
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'a' });
    await bench.run(step('Mount-VHD', { Path: base, ReadOnly: true, NoDriveLetter: true }));
    const remove = () =>
      bench.run(
        step('Get-VM', { Id: bench.id() }),
        step('Get-VMSnapshot', { VM: { $step: 0 } }),
        step('Remove-VMSnapshot', { VMSnapshot: { $step: 1 } }),
      );

    await remove();
    await bench.lab.clock.sleep(5000);
    const held = await bench.drivePath();
    await bench.run(step('Dismount-VHD', { Path: base }));
    await bench.lab.clock.sleep(2000);
    const merged = await bench.drivePath();
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'b' });
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Remove-VMSnapshot', nth: 1, act: { mergeStalls: true } } });
    await remove();
    await bench.lab.clock.sleep(60 * 60_000);
    const stalled = await bench.vm('OperationalStatus');
    await bench.onVm('Stop-VM', { TurnOff: true });
    await bench.lab.clock.sleep(2000);

    expect(held).to.match(/\.avhdx$/);
    expect(merged).to.equal(base);
    expect(stalled).to.deep.include({ name: 'MergingDisks', value: 32772 });
    expect(await bench.drivePath(), 'a machine that is off is merged at last').to.equal(base);
  });

  it('are not merged into a file that something else stands on', async () => {
    await using bench = await HostBench.open();
    const base = await bench.drivePath();
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'a' });
    await bench.run(step('New-VHD', { Path: 'D:\\child.vhdx', ParentPath: base, Differencing: true }));
    const { estate } = bench.lab;
    const child = () => estate.layer(estate.endpoint('hv-a').hyperv!.files['d:\\child.vhdx']!.layer).volume.digest();
    const before = child();
    await bench.write(estate.machine(bench.id()).spec.disks[0]!.id, 512 * 1024, 4096);

    await bench.run(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMSnapshot', { VM: { $step: 0 } }),
      step('Remove-VMSnapshot', { VMSnapshot: { $step: 1 } }),
    );
    await bench.lab.clock.sleep(5000);

    expect(child()).to.equal(before);
    expect(await bench.drivePath()).to.match(/\.avhdx$/);
  });

  it('show the live disk, or disks of different instants, only where a rule asks for the lie', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const wmi = new Wmi(bench);
    for (const lie of ['tornSnapshot', 'liveCopy'] as const) {
      await bench.onVm('Set-VM', { Notes: marked(lie) });
      await bench.lab.control.call('lab.addFault', {
        rule: { method: 'ps.Msvm_VirtualSystemSnapshotService.CreateSnapshot', nth: 1, act: { lie } },
      });

      const checkpoint = await wmi.checkpoint();
      await bench.lab.clock.sleep(500);

      const { truths } = await bench.lab.control.call('lab.truth', { operationId: lie });
      expect(await digests(bench, { snapshot: checkpoint }), lie).not.to.deep.equal(truths[0]!.digests.map(({ digest }) => digest));
      await wmi.ended(await wmi.onSnapshot(checkpoint, 'DestroySnapshot'));
      await bench.lab.clock.sleep(1000);
    }
  });

  it('survive a power cut with what they hold', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const wmi = new Wmi(bench);
    await bench.onVm('Set-VM', { Notes: marked('cut') });
    const checkpoint = await wmi.checkpoint();
    const before = await digests(bench, { snapshot: checkpoint });
    await bench.lab.clock.sleep(500);

    await bench.lab.control.call('lab.powerCut', { machine: bench.id() });
    await bench.onVm('Start-VM');
    await bench.lab.clock.sleep(1000);

    expect(await digests(bench, { snapshot: checkpoint })).to.deep.equal(before);
    const first = bench.lab.estate.machine(bench.id()).spec.disks[0]!.id satisfies DiskId;
    expect(bench.lab.estate.live(bench.lab.estate.machine(bench.id()), first).sizeBytes).to.equal(MIB);
  });
});
