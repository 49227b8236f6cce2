import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, errorOf, HostBench, hostSpec, MIB, step } from './bench.ts';

const TWO_DISKS = hostSpec([{ name: 'shop-db', firmware: 'bios', disks: [{ sizeBytes: MIB, contentBytes: 131_072 }, { sizeBytes: MIB }] }]);

const made = async (bench: HostBench, generation: 1 | 2, name = 'new'): Promise<string> => {
  const [result] = await bench.run(step('New-VM', { Name: name, Generation: generation, NoVHD: true, Path: 'D:\\made' }, ['Id']));
  return String(result!.rows[0]!['Id']);
};

describe('machines of a simulated host', () => {
  it('are known by their ids alone: names are not unique, and an id of nobody is an error', async () => {
    await using bench = await HostBench.open();

    const first = await made(bench, 2, 'twin');
    await bench.onVm('Rename-VM', { NewName: 'twin' }, undefined, first as never);
    const names = await bench.rows(step('Get-VM', {}, ['Name']));
    await bench.onVm('Rename-VM', { NewName: 'twin' });

    expect(names).to.have.lengthOf(2);
    expect((await bench.rows(step('Get-VM', {}, ['Name']))).map((row) => row['Name'])).to.deep.equal(['twin', 'twin']);
    expect(await codeOf(bench.run(step('Get-VM', { Id: '00000000-0000-4000-8000-000000000000' })))).to.equal('NOT_FOUND');
  });

  it('come with a network card, and with a DVD drive on generation 1', async () => {
    await using bench = await HostBench.open();

    for (const [generation, dvds] of [
      [1, 1],
      [2, 0],
    ] as const) {
      const id = (await made(bench, generation, `gen-${generation}`)) as never;
      expect((await bench.onVm('Get-VMNetworkAdapter', {}, undefined, id)).count).to.equal(1);
      expect((await bench.onVm('Get-VMDvdDrive', {}, undefined, id)).count).to.equal(dvds);
    }
  });

  it('are made in a folder of their name, which Windows must take', async () => {
    await using bench = await HostBench.open();

    const { error } = await errorOf(bench.run(step('New-VM', { Name: 'a/b', Generation: 2, Path: 'D:\\made' })));
    await made(bench, 2, 'ok');

    expect(error!.innerHresult).to.equal(0x8007007b | 0);
    expect(await codeOf(bench.run(step('New-VHD', { Path: 'D:\\nowhere\\a.vhdx', SizeBytes: MIB, Dynamic: true })))).to.equal('NOT_FOUND');
    expect(await codeOf(bench.run(step('New-VHD', { Path: 'D:\\MADE\\ok\\a.vhdx', SizeBytes: MIB, Dynamic: true })))).to.equal('none');
    expect(await codeOf(bench.run(step('New-VM', { Name: 'b', Generation: 2, Path: 'Q:\\made' })))).to.equal('NOT_FOUND');
  });

  it('boot generation 1 from IDE, generation 2 from SCSI and from what their firmware is told', async () => {
    await using bench = await HostBench.open();
    const id = (await made(bench, 2)) as never;
    for (const name of ['a', 'b']) {
      await bench.run(step('New-VHD', { Path: `D:\\made\\new\\${name}.vhdx`, SizeBytes: MIB, Dynamic: true }));
      await bench.onVm('Add-VMHardDiskDrive', { ControllerType: 'SCSI', Path: `D:\\made\\new\\${name}.vhdx` }, undefined, id);
    }
    const boots = () => bench.lab.estate.machine(id).spec.disks.map(({ boot }) => boot);
    const before = boots();

    await bench.run(
      step('Get-VM', { Id: id }),
      step('Get-VMHardDiskDrive', { VM: { $step: 0 } }),
      step('Set-VMFirmware', {
        VM: { $step: 0 },
        FirstBootDevice: { $step: 1, $where: { property: 'Path', is: 'd:\\made\\new\\b.vhdx' } },
        EnableSecureBoot: 'Off',
      }),
    );
    const [firmware] = (await bench.onVm('Get-VMFirmware', {}, ['SecureBoot', 'BootOrder.Device.Path?'], id)).rows;
    const first = (await made(bench, 1, 'old')) as never;

    expect([before, boots()]).to.deep.equal([
      [true, false],
      [false, true],
    ]);
    expect(firmware!['SecureBoot']).to.deep.equal({ name: 'Off', value: 1 });
    expect((firmware!['BootOrder.Device.Path'] as string[])[0]).to.equal('D:\\made\\new\\b.vhdx');
    expect(await codeOf(bench.onVm('Get-VMFirmware', {}, undefined, first))).to.not.equal('none');
    await bench.run(step('New-VHD', { Path: 'D:\\made\\old\\ide.vhdx', SizeBytes: MIB, Dynamic: true }));
    expect(
      await codeOf(bench.onVm('Add-VMHardDiskDrive', { ControllerType: 'IDE', Path: 'D:\\made\\old\\ide.vhdx' }, undefined, id)),
    ).to.not.equal('none');
    await bench.onVm('Add-VMHardDiskDrive', { ControllerType: 'IDE', Path: 'D:\\made\\old\\ide.vhdx' }, undefined, first);
    expect(bench.lab.estate.machine(first).spec.disks[0]).to.deep.include({ bus: 'ide', boot: true });
  });

  it('take no change of memory, processors or firmware while they run', async () => {
    await using bench = await HostBench.open();

    for (const [cmdlet, params] of [
      ['Set-VMMemory', { StartupBytes: 2 ** 30 }],
      ['Set-VMProcessor', { Count: 4 }],
      ['Set-VMFirmware', { EnableSecureBoot: 'Off' }],
    ] as const)
      expect(await codeOf(bench.onVm(cmdlet, params)), cmdlet).to.equal('STATE_CONFLICT');
    await bench.onVm('Stop-VM');
    await bench.lab.clock.sleep(1000);
    await bench.onVm('Set-VMProcessor', { Count: 4 });

    expect(await bench.vm('ProcessorCount')).to.equal(4);
    expect(
      await codeOf(bench.onVm('Set-VMMemory', { DynamicMemoryEnabled: true, StartupBytes: 2 ** 30, MinimumBytes: 2 ** 31 })),
    ).to.not.equal('none');
  });

  it('leave their disks behind when they are removed, and are not removed while they run', async () => {
    await using bench = await HostBench.open(TWO_DISKS);
    const path = await bench.drivePath();
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'before' });
    await bench.lab.clock.sleep(500);

    expect(await codeOf(bench.onVm('Remove-VM', { Force: true }))).to.equal('STATE_CONFLICT');
    await bench.onVm('Stop-VM', { TurnOff: true });
    const digest = bench.lab.estate
      .live(bench.lab.estate.machine(bench.id()), bench.lab.estate.machine(bench.id()).spec.disks[0]!.id)
      .digest();
    await bench.onVm('Remove-VM', { Force: true });

    const [vhd] = await bench.rows(step('Get-VHD', { Path: path }, ['Size', 'Attached', 'ParentPath']));
    expect(vhd, 'without its checkpoints').to.deep.equal({ Size: MIB, Attached: false, ParentPath: '' });
    const layer = bench.lab.estate.endpoint('hv-a').hyperv!.files[path.toLowerCase()]!.layer;
    expect(bench.lab.estate.layer(layer).volume.digest()).to.equal(digest);
    await bench.run(step('Remove-Item', { LiteralPath: path }));
    expect(await codeOf(bench.run(step('Get-VHD', { Path: path })))).to.equal('NOT_FOUND');
    expect((await bench.run(step('Get-VM')))[0]!.count).to.equal(0);
  });

  it('shut down through the guest; without one or against its will that is an error, and the power stays on', async () => {
    await using bench = await HostBench.open(hostSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }], refusesShutdown: true }]));

    expect(await codeOf(bench.onVm('Stop-VM'))).to.equal('STATE_CONFLICT');
    expect(await bench.vm('State')).to.deep.equal({ name: 'Running', value: 2 });
    const beforeMs = bench.lab.clock.now();
    await bench.shell.run([step('Get-VM', { Id: bench.id() }), step('Stop-VM', { VM: { $step: 0 }, Force: true })], {
      deadlineMs: 600_000,
    });

    expect(bench.lab.clock.now() - beforeMs, 'the guest had its five minutes').to.be.greaterThan(299_000);
    expect(await bench.vm('State')).to.deep.equal({ name: 'Off', value: 3 });
  });

  it('go down once they are asked, though the session that has asked is gone', async () => {
    await using bench = await HostBench.open();
    const steps = [step('Get-VM', { Id: bench.id() }), step('Stop-VM', { VM: { $step: 0 } })];

    const late = await codeOf(bench.shell.run(steps, { deadlineMs: 50 }));
    const early = bench.lab.estate.machine(bench.id()).power;
    await bench.lab.clock.sleep(1000);

    expect([late, early, bench.lab.estate.machine(bench.id()).power]).to.deep.equal(['TIMED_OUT', 'on', 'off']);
  });

  it('may be off before their files are closed', async () => {
    await using bench = await HostBench.open();
    const path = await bench.drivePath();

    await bench.onVm('Stop-VM', { TurnOff: true });
    const mount = step('Mount-VHD', { Path: path, NoDriveLetter: true });

    expect(await bench.vm('State')).to.deep.equal({ name: 'Off', value: 3 });
    expect(await codeOf(bench.run(mount))).to.equal('FILE_LOCKED');
    await bench.lab.clock.sleep(500);
    expect(await codeOf(bench.run(mount))).to.equal('none');
  });

  it('do not start where a disk is open elsewhere, has children, or is not there', async () => {
    await using bench = await HostBench.open();
    await bench.onVm('Stop-VM');
    await bench.lab.clock.sleep(500);
    const path = await bench.drivePath();

    await bench.run(step('Mount-VHD', { Path: path, ReadOnly: true, NoDriveLetter: true }));
    expect(await codeOf(bench.onVm('Start-VM'))).to.equal('FILE_LOCKED');
    await bench.run(step('Dismount-VHD', { Path: path }));
    await bench.run(step('New-VHD', { Path: 'D:\\child.vhdx', ParentPath: path, Differencing: true }));
    expect(await codeOf(bench.onVm('Start-VM'))).to.equal('FILE_LOCKED');
    await bench.run(step('Remove-Item', { LiteralPath: 'D:\\child.vhdx' }));
    expect(await codeOf(bench.onVm('Start-VM'))).to.equal('none');
    await bench.onVm('Stop-VM', { TurnOff: true });
    await bench.lab.clock.sleep(500);
    await bench.run(step('Remove-Item', { LiteralPath: path }));
    expect(await codeOf(bench.onVm('Start-VM'))).to.equal('NOT_FOUND');
  });

  it('give a card its address at the first start, and connect it by switch', async () => {
    await using bench = await HostBench.open();
    const id = (await made(bench, 2)) as never;
    const cards = () => bench.onVm('Get-VMNetworkAdapter', {}, ['MacAddress', 'SwitchName', 'Connected', 'DynamicMacAddressEnabled'], id);
    const [blank] = (await cards()).rows;

    await bench.onVm('Start-VM', {}, undefined, id);
    await bench.run(
      step('Get-VM', { Id: id }),
      step('Get-VMNetworkAdapter', { VM: { $step: 0 } }),
      step('Get-VMSwitch'),
      step('Connect-VMNetworkAdapter', {
        VMNetworkAdapter: { $step: 1 },
        VMSwitch: { $step: 2, $where: { property: 'Name', is: 'management' } },
      }),
    );
    const [connected] = (await cards()).rows;

    expect(blank).to.deep.equal({ MacAddress: '000000000000', SwitchName: null, Connected: false, DynamicMacAddressEnabled: true });
    expect(connected).to.deep.include({ SwitchName: 'management', Connected: true });
    expect(connected!['MacAddress']).to.match(/^00155D[0-9A-F]{6}$/);
    const network = bench.lab.estate.endpoint('hv-a').places.find(({ name }) => name === 'management')!.id;
    expect(bench.lab.estate.machine(id).spec.nics[0]!.network).to.equal(network);
  });

  it('set the VLAN of a card, one mode at a time', async () => {
    await using bench = await HostBench.open();
    const vlan = (params: object) =>
      bench.run(
        step('Get-VM', { Id: bench.id() }),
        step('Get-VMNetworkAdapter', { VM: { $step: 0 } }),
        step('Set-VMNetworkAdapterVlan', { VMNetworkAdapter: { $step: 1 }, ...params }),
      );

    await vlan({ Access: true, VlanId: 42 });
    const [row] = await bench.rows(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMNetworkAdapter', { VM: { $step: 0 } }),
      step('Get-VMNetworkAdapterVlan', { VMNetworkAdapter: { $step: 1 } }, ['OperationMode', 'AccessVlanId']),
    );

    expect(row).to.deep.equal({ OperationMode: { name: 'Access', value: 1 }, AccessVlanId: 42 });
    expect(await codeOf(vlan({ Access: true, Untagged: true, VlanId: 1 }))).to.not.equal('none');
    expect(await codeOf(vlan({ Access: true, VlanId: 5000 }))).to.not.equal('none');
  });

  it('are the same after a change behind the back of the host', async () => {
    await using bench = await HostBench.open();
    const machine = bench.id();

    const { disk } = await bench.lab.control.call('lab.addDisk', { machine, sizeBytes: 2 * MIB });
    const sizes = async () => (await bench.rows(step('Get-VHD', { VMId: machine }, ['Size']))).map((row) => row['Size']);
    const added = await sizes();
    await bench.lab.control.call('lab.growDisk', { machine, disk, sizeBytes: 4 * MIB });
    const grown = await sizes();
    await bench.lab.control.call('lab.removeDisk', { machine, disk });

    expect([added, grown, await sizes()]).to.deep.equal([[MIB, 2 * MIB], [MIB, 4 * MIB], [MIB]]);
  });
});
