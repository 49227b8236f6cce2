import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, HostBench, MIB, step } from './bench.ts';

const SHAPE = ['VhdFormat', 'VhdType', 'Size', 'LogicalSectorSize', 'PhysicalSectorSize', 'BlockSize', 'ParentPath'];

const identity = async (bench: HostBench, path: string) =>
  (await bench.rows(step('Get-VHD', { Path: path }, ['DiskIdentifier'])))[0]!['DiskIdentifier'];

describe('virtual disks of a simulated host', () => {
  it('are made dynamic or differencing, with the sectors they are told', async () => {
    await using bench = await HostBench.open();
    const uint = (value: number) => ({ $type: 'uint32' as const, value });

    await bench.run(
      step('New-VHD', {
        Path: 'D:\\a.vhdx',
        SizeBytes: MIB,
        Dynamic: true,
        LogicalSectorSizeBytes: uint(4096),
        PhysicalSectorSizeBytes: uint(4096),
      }),
      step('New-VHD', { Path: 'D:\\b.vhdx', ParentPath: 'd:\\A.VHDX', Differencing: true }),
    );

    const rows = await bench.rows(step('Get-VHD', { Path: ['D:\\a.vhdx', 'D:/b.vhdx'] }, SHAPE));
    const shared = {
      VhdFormat: { name: 'VHDX', value: 3 },
      Size: MIB,
      LogicalSectorSize: 4096,
      PhysicalSectorSize: 4096,
      BlockSize: 32 * MIB,
    };
    expect(rows).to.deep.equal([
      { ...shared, VhdType: { name: 'Dynamic', value: 3 }, ParentPath: '' },
      { ...shared, VhdType: { name: 'Differencing', value: 4 }, ParentPath: 'D:\\a.vhdx' },
    ]);
  });

  it('are there once, have a known extension, and lie where there is storage', async () => {
    await using bench = await HostBench.open();
    const make = (Path: string) => codeOf(bench.run(step('New-VHD', { Path, SizeBytes: MIB, Dynamic: true })));

    expect(await make('D:\\a.vhdx')).to.equal('none');
    expect(await make('d:\\A.VHDX')).to.equal('STATE_CONFLICT');
    expect(await make('D:\\a.img')).to.not.equal('none');
    expect(await make('X:\\a.vhdx')).to.equal('NOT_FOUND');
    expect(await make('D:\\a?.vhdx')).to.not.equal('none');
    expect(await codeOf(bench.run(step('Get-VHD', { Path: 'D:\\none.vhdx' })))).to.equal('NOT_FOUND');
  });

  it('have the identity of their parent or original, until it is reset', async () => {
    await using bench = await HostBench.open();
    await bench.run(
      step('New-VHD', { Path: 'D:\\a.vhdx', SizeBytes: MIB, Dynamic: true }),
      step('New-VHD', { Path: 'D:\\child.vhdx', ParentPath: 'D:\\a.vhdx', Differencing: true }),
      step('Convert-VHD', { Path: 'D:\\a.vhdx', DestinationPath: 'D:\\copy.vhdx', VHDType: 'Dynamic' }),
    );
    const own = await identity(bench, 'D:\\a.vhdx');

    const before = [await identity(bench, 'D:\\child.vhdx'), await identity(bench, 'D:\\copy.vhdx')];
    await bench.run(step('Set-VHD', { Path: 'D:\\copy.vhdx', ResetDiskIdentifier: true, Force: true }));

    expect(before).to.deep.equal([own, own]);
    expect(await identity(bench, 'D:\\copy.vhdx'))
      .to.match(/^[0-9A-F-]{36}$/)
      .and.not.equal(own);
    expect(await identity(bench, 'D:\\child.vhdx')).to.equal(own);
  });

  it('of a running machine grow, but not while something stands on them, and none shrinks', async () => {
    await using bench = await HostBench.open();
    const path = await bench.drivePath();
    const resize = (bytes: number, of = path) => codeOf(bench.run(step('Resize-VHD', { Path: of, SizeBytes: bytes })));

    expect(await resize(2 * MIB)).to.equal('none');
    expect(bench.lab.estate.machine(bench.id()).spec.disks[0]!.sizeBytes).to.equal(2 * MIB);
    expect(await resize(MIB)).to.not.equal('none');
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'a' });
    expect(await resize(4 * MIB)).to.equal('FILE_LOCKED');
  });

  it('cannot be converted, reset or removed while a machine runs on them', async () => {
    await using bench = await HostBench.open();
    const path = await bench.drivePath();

    expect(await codeOf(bench.run(step('Convert-VHD', { Path: path, DestinationPath: 'D:\\c.vhdx' })))).to.equal('FILE_LOCKED');
    expect(await codeOf(bench.run(step('Set-VHD', { Path: path, ResetDiskIdentifier: true, Force: true })))).to.equal('FILE_LOCKED');
    expect(await codeOf(bench.run(step('Remove-Item', { LiteralPath: path })))).to.equal('FILE_LOCKED');
  });

  it('keep the running machine from writing below a machine that runs on their child', async () => {
    await using bench = await HostBench.open();
    await bench.onVm('Stop-VM');
    await bench.lab.clock.sleep(500);
    const path = await bench.drivePath();
    const [fork] = await bench.run(
      step('New-VM', { Name: 'fork', Generation: 2, NoVHD: true, Path: 'D:\\forks' }, ['Id']),
      step('New-VHD', { Path: 'D:\\forks\\fork\\child.vhdx', ParentPath: path, Differencing: true }),
      step('Add-VMHardDiskDrive', {
        VM: { $step: 0 },
        ControllerType: 'SCSI',
        ControllerNumber: 0,
        ControllerLocation: 3,
        Path: 'D:\\forks\\fork\\child.vhdx',
      }),
      step('Start-VM', { VM: { $step: 0 } }),
    );
    const id = fork!.rows[0]!['Id'] as never;
    await bench.lab.clock.sleep(1000);

    expect(await codeOf(bench.onVm('Start-VM'))).to.equal('FILE_LOCKED');
    expect(await codeOf(bench.run(step('Mount-VHD', { Path: path, NoDriveLetter: true })))).to.equal('FILE_LOCKED');
    expect(bench.lab.estate.guests.get(id)?.identity, 'it is a copy of the machine below').to.be.a('string');
    expect((await bench.onVm('Get-VMHardDiskDrive', {}, ['ControllerNumber', 'ControllerLocation'], id)).rows).to.deep.equal([
      { ControllerNumber: 0, ControllerLocation: 3 },
    ]);
  });
});
