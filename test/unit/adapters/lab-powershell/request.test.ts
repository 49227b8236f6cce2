import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Step } from '../../../../adapters/powershell/port.ts';
import { codeOf, errorOf, HostBench, hostSpec, MIB, step } from './bench.ts';

const TWO = hostSpec([
  { name: 'shop-db', disks: [{ sizeBytes: MIB }, { sizeBytes: MIB }] },
  { name: 'shop-web', disks: [{ sizeBytes: MIB }] },
]);

describe('a request on a simulated host', () => {
  it('gives the objects of a step to a later one: one as itself, several as a list, one property of each', async () => {
    await using bench = await HostBench.open(TWO);

    const [vms, drives, vhds] = await bench.run(
      step('Get-VM', {}, ['Name']),
      step('Get-VMHardDiskDrive', { VM: { $step: 0 } }, ['VMId']),
      step('Get-VHD', { Path: { $step: 1, $property: 'Path' } }, ['Attached']),
    );
    const one = await bench.run(step('Get-VM', { Id: bench.id() }), step('Get-VMHardDiskDrive', { VM: { $step: 0 } }));

    expect([vms!.count, drives!.count, vhds!.count, one[1]!.count]).to.deep.equal([2, 3, 3, 2]);
    expect(vms!.rows.map((row) => row['Name'])).to.deep.equal(['shop-db', 'shop-web']);
    expect(one[1]!.rows, 'nothing comes back unless asked for').to.deep.equal([]);
  });

  it('chooses among the objects of a step by a property, in any case', async () => {
    await using bench = await HostBench.open(TWO);
    const path = await bench.drivePath(1);

    const [, , removed] = await bench.run(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMHardDiskDrive', { VM: { $step: 0 } }),
      step('Remove-VMHardDiskDrive', { VMHardDiskDrive: { $step: 1, $where: { property: 'Path', is: path.toUpperCase() } } }),
    );

    expect(removed!.errors).to.deep.equal([]);
    expect((await bench.onVm('Get-VMHardDiskDrive')).count).to.equal(1);
  });

  it('does not run a step about the objects of one that found none, and finds nothing by it', async () => {
    await using bench = await HostBench.open(TWO);

    const results = await bench.run(
      step('Get-VM', { Id: bench.id() }),
      step('Get-VMSnapshot', { VM: { $step: 0 } }),
      step('Remove-VMSnapshot', { VMSnapshot: { $step: 1 } }),
    );

    expect(results.map(({ count }) => count)).to.deep.equal([1, 0, 0]);
  });

  it('brings values back with their types, paths through objects and lists, and objects as their text', async () => {
    await using bench = await HostBench.open(TWO);
    await bench.lab.clock.sleep(1500);

    const [row] = await bench.rows(
      step('Get-VM', { Id: bench.id() }, [
        'Id',
        'state',
        'MemoryStartup',
        'Uptime',
        'CreationTime',
        'Generation',
        'IsClustered',
        'OperationalStatus',
        'HardDrives.ControllerLocation',
        'HardDrives',
        'ParentSnapshotId',
        'FromTheFuture?',
      ]),
    );

    expect(row).to.deep.include({
      Id: bench.id(),
      state: { name: 'Running', value: 2 },
      MemoryStartup: 2 ** 31,
      CreationTime: '2026-01-01T00:00:00.000Z',
      Generation: 2,
      IsClustered: false,
      OperationalStatus: [{ name: 'Ok', value: 2 }],
      'HardDrives.ControllerLocation': [0, 1],
      ParentSnapshotId: null,
      FromTheFuture: null,
    });
    expect(row!['Uptime']).to.be.a('number').and.be.greaterThan(1499);
    expect((row!['HardDrives'] as string[])[0]).to.match(/^HardDiskDrive \(VMName = 'shop-db'\)/);
  });

  it('refuses what is not on the list, by cmdlet, parameter, value, class and method', async () => {
    await using bench = await HostBench.open(TWO);
    const cases: readonly Step[][] = [
      [step('Get-Process' as never)],
      [step('Get-VM', { Name: '*' })],
      [step('Remove-Item', { LiteralPath: 'D:\\something.txt' })],
      [step('Get-CimInstance', { Namespace: 'root/cimv2', ClassName: 'Msvm_ComputerSystem' })],
      [step('Get-CimInstance', { Namespace: 'root/virtualization/v2', ClassName: 'Win32_Process' })],
      [step('Get-CimInstance', { Namespace: 'root/virtualization/v2', ClassName: 'Msvm_ComputerSystem', Filter: "Name='x' OR 1=1" })],
      [
        step('Get-CimInstance', { Namespace: 'root/virtualization/v2', ClassName: 'Msvm_VirtualSystemManagementService' }),
        step('Invoke-CimMethod', { InputObject: { $step: 0 }, MethodName: 'DestroySystem', Arguments: {} }),
      ],
    ];

    for (const steps of cases) {
      const { code, error } = await errorOf(bench.run(...steps));
      expect([code, error!.fqid, error!.category], JSON.stringify(steps)).to.deep.equal([
        'PROTOCOL_ERROR',
        'Warmsite.NotAllowed',
        'PermissionDenied',
      ]);
    }
  });

  it('fails on a property that an object lacks, unless it is optional', async () => {
    await using bench = await HostBench.open(TWO);

    const { error } = await errorOf(bench.run(step('Get-VM', {}, ['Name', 'Colour'])));

    expect(error).to.deep.include({ step: 0, fqid: 'Warmsite.NoProperty' });
  });

  it('ends at the first step that fails and says which, after what came before has taken effect', async () => {
    await using bench = await HostBench.open(TWO);

    const { error } = await errorOf(
      bench.run(
        step('Get-VM', { Id: bench.id() }),
        step('Set-VM', { VM: { $step: 0 }, Notes: 'before' }),
        step('Get-VM', { Id: '00000000-0000-4000-8000-000000000000' }),
        step('Set-VM', { VM: { $step: 0 }, Notes: 'after' }),
      ),
    );

    expect(error).to.deep.include({ step: 2, fqid: 'InvalidParameter,Microsoft.HyperV.PowerShell.Commands.GetVM' });
    expect(await bench.vm('Notes')).to.equal('before');
  });

  it('collects errors about single objects beside what was found, but not what ends the cmdlet', async () => {
    await using bench = await HostBench.open(TWO);
    const gone = '00000000-0000-4000-8000-000000000000';

    const [result] = await bench.run({ ...step('Get-VHD', { VMId: [bench.id(), gone] }, ['Path']), collect: true });
    const wrong = await codeOf(bench.run({ ...step('Get-VHD', { VMId: 'nobody' }), collect: true }));

    expect(result!.count).to.equal(2);
    expect(result!.errors).to.have.lengthOf(1);
    expect(result!.errors[0]).to.deep.include({ step: 0, target: gone });
    expect(wrong).to.equal('PROTOCOL_ERROR');
  });

  it('only warns of a start of what runs and of a stop of what is off', async () => {
    await using bench = await HostBench.open(TWO);

    const started = await bench.onVm('Start-VM');
    await bench.onVm('Stop-VM', { TurnOff: true });
    const stopped = await bench.onVm('Stop-VM', { TurnOff: true });

    expect(started.warnings).to.have.lengthOf(1);
    expect(stopped.warnings).to.have.lengthOf(1);
  });
});

describe('parameters on a simulated host', () => {
  const cases: readonly (readonly [what: string, step: Step, fqid: string])[] = [
    [
      'no set of parameters has both',
      step('Get-VHD', { Path: 'D:\\a.vhdx', VMId: '00000000-0000-4000-8000-000000000000' }),
      'AmbiguousParameterSet',
    ],
    ['a mandatory one is missing', step('New-VHD', { SizeBytes: { $type: 'uint64', value: '1048576' } }), 'MissingMandatoryParameter'],
    ['a value is outside of the accepted ones', step('New-VM', { Name: 'a', Generation: 3 }), 'ParameterArgumentValidationError'],
    ['text for a number', step('New-VHD', { Path: 'D:\\a.vhdx', SizeBytes: '1048576', Dynamic: true }), 'CannotConvertArgumentNoMessage'],
    ['a number that the type has not', step('Set-Disk', { Number: -1, IsOffline: true }), 'CannotConvertArgumentNoMessage'],
    ['text for a truth', step('Set-Disk', { Number: 1, IsOffline: '$true' }), 'CannotConvertArgumentNoMessage'],
    ['a name for an object', step('Start-VM', { VM: 'shop-db' }), 'CannotConvertArgumentNoMessage'],
    ['no GUID', step('Get-VM', { Id: '*' }), 'CannotConvertArgumentNoMessage'],
    ['null', step('New-VM', { Name: null }), 'ParameterArgumentValidationErrorNullNotAllowed'],
    ['a list for one', step('New-VM', { Name: ['a', 'b'] }), 'CannotConvertArgumentNoMessage'],
    ['a member that the enumeration has not', step('New-VMSwitch', { Name: 'a', SwitchType: 'Public' }), 'CannotConvertArgumentNoMessage'],
  ];

  for (const [what, bad, fqid] of cases) {
    it(`are refused: ${what}`, async () => {
      await using bench = await HostBench.open();

      const { error } = await errorOf(bench.run(bad));

      expect(error!.fqid.split(',')[0]).to.equal(fqid);
      expect(error!.type).to.match(/^System\.Management\.Automation\.ParameterBinding(Validation)?Exception$/);
    });
  }

  it('are refused: an object of another class', async () => {
    await using bench = await HostBench.open();

    const { error } = await errorOf(
      bench.run(step('Get-VM', { Id: bench.id() }), step('Remove-VMHardDiskDrive', { VMHardDiskDrive: { $step: 0 } })),
    );

    expect(error).to.deep.include({ step: 1 });
    expect(error!.fqid).to.equal('CannotConvertArgumentNoMessage,Microsoft.HyperV.PowerShell.Commands.RemoveVMHardDiskDrive');
  });

  it('take numbers with their type, members in any case, and one for a list', async () => {
    await using bench = await HostBench.open();

    const made = await bench.run(
      step(
        'New-VM',
        { Name: 'a', Generation: { $type: 'int64', value: 2 }, MemoryStartupBytes: { $type: 'int64', value: '1073741824' }, Path: 'D:\\' },
        ['Generation'],
      ),
      step('Set-VM', { VM: { $step: 0 }, AutomaticStopAction: 'shutdown' }),
      step('Get-VM', { Id: { $step: 0, $property: 'Id' } }, ['AutomaticStopAction', 'MemoryStartup']),
    );

    expect(made[0]!.rows[0]).to.deep.equal({ Generation: 2 });
    expect(made[2]!.rows[0]).to.deep.equal({ AutomaticStopAction: { name: 'ShutDown', value: 4 }, MemoryStartup: 2 ** 30 });
  });
});
