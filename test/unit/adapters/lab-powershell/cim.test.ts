import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeOf, errorOf, HostBench, hostSpec, MIB, step } from './bench.ts';
import { instances, level, NAMESPACE, Wmi } from './wmi.ts';

const SNAPSHOTS = 'Msvm_VirtualSystemSnapshotService';

describe('services of a simulated host', () => {
  it('start jobs that go through their states, and tell what they made by association alone', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);

    const row = await wmi.call(
      [instances('Msvm_ComputerSystem', `Name='${bench.id()}'`)],
      SNAPSHOTS,
      'CreateSnapshot',
      {
        AffectedSystem: { $step: 0 },
        SnapshotSettings: level(2),
        SnapshotType: { $type: 'uint16', value: 32_768 },
      },
      ['ResultingSnapshot', 'Job.JobState', 'Job.Name'],
    );
    const states = new Set<number>();
    for (let job = await wmi.look(String(row['Job.InstanceID'])); ; job = await wmi.look(String(row['Job.InstanceID']))) {
      states.add(job.state);
      if (job.state === 7) break;
      await bench.lab.clock.sleep(2);
    }

    expect(row).to.deep.include({ ReturnValue: 4096, ResultingSnapshot: null, 'Job.JobState': null, 'Job.Name': null });
    expect([...states]).to.deep.equal([2, 3, 4, 7].filter((state) => states.has(state)));
    expect([...states]).to.include.members([4, 7]);
    const [checkpoint] = (await bench.onVm('Get-VMSnapshot', { SnapshotType: 'Recovery' }, ['Id'])).rows;
    expect((await wmi.look(String(row['Job.InstanceID']))).affected).to.deep.equal([
      `Microsoft:${String(checkpoint!['Id']).toUpperCase()}`,
      'null',
    ]);
  });

  it('forget jobs some time after their end, and all of them with the service', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    const ids = async () => (await bench.rows(instances('Msvm_ConcreteJob', undefined, ['InstanceID']))).length;

    await wmi.ended(await wmi.create());
    const kept = await ids();
    await bench.lab.clock.sleep(6 * 60_000);
    const later = await ids();
    await wmi.create();
    await bench.lab.control.call('lab.setHost', { endpoint: 'hv-a', host: 'hv-a', service: 'stopped' });
    await bench.lab.control.call('lab.setHost', { endpoint: 'hv-a', host: 'hv-a', service: 'running' });

    expect([kept, later, await ids()]).to.deep.equal([1, 0, 0]);
    expect((await bench.onVm('Get-VMSnapshot')).count, 'what the second job would have made').to.equal(1);
  });

  it('end jobs as a rule asks: failed, with warnings, never, or with an error of the lab', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    const method = `ps.${SNAPSHOTS}.CreateSnapshot`;
    const ends: unknown[] = [];
    for (const act of [
      { job: { state: 10 as const, errorCode: 32_768 } },
      { job: { state: 32_768 as const, errorCode: 0 } },
      { error: 'FILE_LOCKED' as const, inTask: true },
    ]) {
      await bench.lab.control.call('lab.addFault', { rule: { method, nth: 1, act } });
      const { state, errorCode } = await wmi.ended(await wmi.create());
      ends.push([state, errorCode, (await bench.onVm('Get-VMSnapshot')).count]);
    }
    await bench.lab.control.call('lab.addFault', { rule: { method, nth: 1, act: { stall: true } } });
    const stalled = await wmi.create();
    await bench.lab.clock.sleep(60 * 60_000);

    expect(ends).to.deep.equal([
      [10, 32_768, 0],
      [32_768, 0, 1],
      [10, 32_774, 1],
    ]);
    expect((await wmi.look(String(stalled['Job.InstanceID']))).state).to.equal(4);
  });

  it('have no job for one that is gone, on another host, or already ended', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    const checkpoint = await wmi.checkpoint();

    const first = await wmi.onSnapshot(checkpoint, 'DestroySnapshot');
    const second = await wmi.onSnapshot(checkpoint, 'DestroySnapshot');
    const ends = [await wmi.ended(first), await wmi.ended(second)].map(({ state, errorCode }) => [state, errorCode]);

    expect(ends, 'told twice').to.deep.equal([
      [7, 0],
      [10, 32_775],
    ]);
    expect(
      (await bench.rows(instances('Msvm_VirtualSystemSettingData', `InstanceID='Microsoft:${checkpoint.toUpperCase()}'`))).length,
    ).to.equal(0);
  });

  it('return a value at once for what is wrong with the parameters', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    await bench.onVm('Checkpoint-VM', { SnapshotName: 'ordinary' });
    const [ordinary] = (await bench.onVm('Get-VMSnapshot', {}, ['Id'])).rows;

    expect((await wmi.create(2, 17))['ReturnValue']).to.equal(4);
    expect((await wmi.create(3 as never))['ReturnValue']).to.equal(4);
    expect((await wmi.onSnapshot(String(ordinary!['Id']), 'ConvertToReferencePoint'))['ReturnValue']).to.equal(6);
  });

  it('take values of the declared types only', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    const ask = (args: object) =>
      errorOf(
        wmi.call([instances('Msvm_ComputerSystem', `Name='${bench.id()}'`)], SNAPSHOTS, 'CreateSnapshot', {
          AffectedSystem: { $step: 0 },
          SnapshotSettings: level(2),
          ...args,
        } as never),
      );

    for (const args of [
      { SnapshotType: 32_768 },
      { SnapshotType: { $type: 'uint64', value: '32768' } },
      { AffectedSystem: 'shop-db' },
      { Colour: 'red' },
    ]) {
      const { error } = await ask(args);
      expect(error!.fqid.split(',')[0], JSON.stringify(args)).to.equal('HRESULT 0x80041005');
    }
  });

  it('are associated as a backup product walks them', async () => {
    await using bench = await HostBench.open();
    const wmi = new Wmi(bench);
    const checkpoint = await wmi.checkpoint();
    const computer = instances('Msvm_ComputerSystem', `Name='${bench.id().toUpperCase()}'`, ['ElementName', 'EnabledState', 'Caption']);
    const walk = async (association: string, type: string, select: readonly string[]) =>
      bench.rows(
        computer,
        step('Get-CimAssociatedInstance', { InputObject: { $step: 0 }, Association: association, ResultClassName: type }, select),
      );

    expect((await bench.rows(computer))[0]).to.deep.equal({ ElementName: 'shop-db', EnabledState: 2, Caption: 'Virtual Machine' });
    expect(
      await walk('Msvm_SnapshotOfVirtualSystem', 'Msvm_VirtualSystemSettingData', ['ConfigurationID', 'VirtualSystemType']),
    ).to.deep.equal([{ ConfigurationID: checkpoint.toUpperCase(), VirtualSystemType: 'Microsoft:Hyper-V:Snapshot:Recovery' }]);
    expect(await walk('Msvm_SettingsDefineState', 'Msvm_VirtualSystemSettingData', ['VirtualSystemType'])).to.deep.equal([
      { VirtualSystemType: 'Microsoft:Hyper-V:System:Realized' },
    ]);
    const disks = await bench.rows(
      computer,
      step('Get-CimAssociatedInstance', { InputObject: { $step: 0 }, Association: 'Msvm_SnapshotOfVirtualSystem' }),
      step('Get-CimAssociatedInstance', { InputObject: { $step: 1 }, ResultClassName: 'Msvm_StorageAllocationSettingData' }, [
        'ResourceType',
        'ResourceSubType',
        'HostResource',
      ]),
    );
    expect(disks).to.deep.equal([
      { ResourceType: 31, ResourceSubType: 'Microsoft:Hyper-V:Virtual Hard Disk', HostResource: await wmi.frozen(checkpoint) },
    ]);
  });

  it('leave of a checkpoint that is converted its tracking ids, in arrays that belong together', async () => {
    await using bench = await HostBench.open(hostSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }, { sizeBytes: MIB }] }]));
    const wmi = new Wmi(bench);

    const point = await wmi.convert(await wmi.checkpoint());

    const [found] = await wmi.points();
    const identities = (await bench.rows(step('Get-VHD', { VMId: bench.id() }, ['DiskIdentifier']))).map((row) => row['DiskIdentifier']);
    expect(found!['InstanceID']).to.equal(point);
    expect(found!['VirtualDiskIdentifiers']).to.deep.equal(identities);
    expect(new Set(found!['ResilientChangeTrackingIdentifiers'] as string[]).size).to.equal(2);
    expect((await bench.onVm('Get-VMSnapshot')).count).to.equal(0);
    await wmi.destroyPoint(point);
    expect(await wmi.points()).to.deep.equal([]);
    expect(await codeOf(wmi.destroyPoint(point)), 'nothing to be about').to.not.equal(undefined);
  });

  it('tell of the guest, and give it addresses that it keeps, once it answers', async () => {
    await using bench = await HostBench.open(hostSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }], addresses: ['10.0.0.5'] }]));
    const wmi = new Wmi(bench);
    const computer = instances('Msvm_ComputerSystem', `Name='${bench.id()}'`);
    const [guest] = await bench.rows(instances('Msvm_GuestNetworkAdapterConfiguration', undefined, ['InstanceID', 'IPAddresses']));
    const kvp = await bench.rows(
      computer,
      step('Get-CimAssociatedInstance', { InputObject: { $step: 0 }, Association: 'Msvm_SystemDevice' }, ['GuestIntrinsicExchangeItems']),
    );
    const configuration = `<INSTANCE CLASSNAME="Msvm_GuestNetworkAdapterConfiguration"><PROPERTY NAME="DHCPEnabled" TYPE="boolean"><VALUE>FALSE</VALUE></PROPERTY><PROPERTY.ARRAY NAME="IPAddresses" TYPE="string"><VALUE.ARRAY><VALUE>10.9.0.5</VALUE><VALUE>fd00::5</VALUE></VALUE.ARRAY></PROPERTY.ARRAY></INSTANCE>`;
    const set = (text: string) =>
      wmi.call([computer], 'Msvm_VirtualSystemManagementService', 'SetGuestNetworkAdapterConfiguration', {
        ComputerSystem: { $step: 0 },
        NetworkConfiguration: [text],
      });

    const done = await wmi.ended(await set(configuration));
    const wrong = await set('<INSTANCE CLASSNAME="Msvm_GuestNetworkAdapterConfiguration"></INSTANCE>');
    await bench.onVm('Stop-VM', { TurnOff: true });
    const silent = await wmi.ended(await set(configuration));
    await bench.onVm('Start-VM');
    await bench.lab.clock.sleep(1000);

    expect(guest!['IPAddresses']).to.deep.equal(['10.0.0.5']);
    expect(String(kvp[0]!['GuestIntrinsicExchangeItems'])).to.contain('FullyQualifiedDomainName').and.to.contain('shop-db');
    expect([done.state, wrong['ReturnValue'], silent.state, silent.errorCode]).to.deep.equal([7, 32_773, 10, 32_775]);
    expect(bench.lab.estate.guests.get(bench.id())!.addresses).to.deep.equal(['10.9.0.5', 'fd00::5']);
  });

  it('are in a namespace of their own, and know no property that their class has not', async () => {
    await using bench = await HostBench.open();

    expect(await codeOf(bench.run(step('Get-CimInstance', { ClassName: 'Msvm_ComputerSystem' })))).to.not.equal('none');
    expect(
      (
        await errorOf(
          bench.run(step('Get-CimInstance', { Namespace: NAMESPACE, ClassName: 'Msvm_ComputerSystem', Filter: "Colour='red'" })),
        )
      ).error!.fqid,
    ).to.contain('0x80041017');
    expect((await errorOf(bench.run(instances('Msvm_ComputerSystem', undefined, ['Colour'])))).error!.fqid).to.equal('Warmsite.NoProperty');
  });
});
