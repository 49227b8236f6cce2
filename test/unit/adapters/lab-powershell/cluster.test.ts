import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { PowerShell } from '../../../../adapters/powershell/port.ts';
import { codeOf, HostBench, hostSpec, MIB, step } from './bench.ts';
import { Wmi } from './wmi.ts';

const CLUSTER = hostSpec([{ name: 'shop-db', writesPerSecond: 200, disks: [{ sizeBytes: MIB }] }], {
  name: 'clu-a',
  hosts: ['node-1', 'node-2'],
});
const VMM = hostSpec([{ name: 'shop-db', disks: [{ sizeBytes: MIB }], labels: { cloud: 'gold', app: 'shop' } }], {
  name: 'vmm-a',
  hosts: ['node-1', 'node-2'],
  pools: ['silver'],
});

const ids = async (shell: PowerShell): Promise<unknown[]> =>
  (await shell.run([step('Get-VM', {}, ['Id'])]))[0]!.rows.map((row) => row['Id']);

describe('a simulated failover cluster', () => {
  it('answers by its own name on one node, and shows nodes, groups and shared volumes', async () => {
    await using bench = await HostBench.open(CLUSTER);

    const [cluster, nodes, groups, resources, volumes] = await bench.run(
      step('Get-Cluster', {}, ['Name']),
      step('Get-ClusterNode', {}, ['Name', 'State']),
      step('Get-ClusterGroup', {}, ['Name', 'GroupType', 'OwnerNode', 'State']),
      step('Get-ClusterResource', {}, ['Name', 'ResourceType', 'OwnerGroup.Name']),
      step('Get-ClusterSharedVolume', {}, [
        'Name',
        'State',
        'OwnerNode.Name',
        'SharedVolumeInfo.FriendlyVolumeName',
        'SharedVolumeInfo.Partition.Size',
      ]),
    );

    expect(cluster!.rows).to.deep.equal([{ Name: 'clu-a' }]);
    expect(nodes!.rows.map((row) => [row['Name'], (row['State'] as { name: string }).name])).to.deep.equal([
      ['node-1', 'Up'],
      ['node-2', 'Up'],
    ]);
    expect(groups!.rows.at(-1)).to.deep.equal({
      Name: 'shop-db',
      GroupType: { name: 'VirtualMachine', value: 111 },
      OwnerNode: 'node-1',
      State: { name: 'Online', value: 0 },
    });
    expect(resources!.rows[0]).to.deep.equal({
      Name: 'Virtual Machine shop-db',
      ResourceType: 'Virtual Machine',
      'OwnerGroup.Name': 'shop-db',
    });
    expect(volumes!.rows[0]).to.deep.equal({
      Name: 'data',
      State: { name: 'Online', value: 2 },
      'OwnerNode.Name': 'node-1',
      'SharedVolumeInfo.FriendlyVolumeName': ['C:\\ClusterStorage\\data'],
      'SharedVolumeInfo.Partition.Size': [256 * MIB],
    });
    expect((await bench.run(step('Get-Volume')))[0]!.count, 'what all nodes share is no volume of one').to.equal(0);
    expect(await bench.drivePath()).to.equal('C:\\ClusterStorage\\data\\shop-db\\Virtual Hard Disks\\disk-0.vhdx');
  });

  it('has a machine on one node; the other knows neither its id nor its disk', async () => {
    await using bench = await HostBench.open(CLUSTER);
    await using other = await bench.at('node-2');
    const path = await bench.drivePath();

    expect(await ids(bench.shell)).to.deep.equal([bench.id()]);
    expect(await ids(other)).to.deep.equal([]);
    expect(await codeOf(other.run([step('Get-VM', { Id: bench.id() })]))).to.equal('NOT_FOUND');
    expect(await codeOf(other.run([step('Get-VHD', { Path: path })]))).to.equal('FILE_LOCKED');
    await bench.onVm('Stop-VM', { TurnOff: true });
    await bench.lab.clock.sleep(500);
    expect(await codeOf(other.run([step('Get-VHD', { Path: path })]))).to.equal('none');
  });

  it('moves a running machine to another node, which takes time and loses neither guest nor tracking', async () => {
    await using bench = await HostBench.open(CLUSTER);
    const wmi = new Wmi(bench);
    await wmi.convert(await wmi.checkpoint());
    const [limit] = await wmi.trackingIds();
    const beforeMs = bench.lab.clock.now();

    await bench.lab.control.call('lab.migrate', { machine: bench.id() });

    const there = new HostBench(bench.lab, await bench.at('node-2'));
    const moved = new Wmi(there, bench.id());
    expect(bench.lab.clock.now() - beforeMs).to.be.greaterThan(400);
    expect(await ids(there.shell)).to.deep.equal([bench.id()]);
    expect(await codeOf(bench.run(step('Get-VM', { Id: bench.id() })))).to.equal('NOT_FOUND');
    expect(bench.lab.estate.guests.has(bench.id())).to.equal(true);
    expect((await there.onVm('Get-VMNetworkAdapter', {}, ['Connected'])).rows).to.deep.equal([{ Connected: true }]);
    expect(await moved.points()).to.have.lengthOf(1);
    const [path] = await moved.frozen(await moved.checkpoint());
    expect(await codeOf(moved.changes(path!, limit!, MIB))).to.equal('none');
  });

  it('moves a machine under a call where a rule asks for it, before or after', async () => {
    await using bench = await HostBench.open(CLUSTER);
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { moves: 'before' } } });

    const missed = await codeOf(bench.run(step('Get-VM', { Id: bench.id() })));
    await using other = await bench.at('node-2');
    await bench.lab.control.call('lab.addFault', { rule: { method: 'ps.Get-VM', nth: 1, act: { moves: 'after' } } });
    const [found] = await other.run([step('Get-VM', { Id: bench.id() }, ['Id'])]);

    expect([missed, found!.count]).to.deep.equal(['NOT_FOUND', 1]);
    expect(await codeOf(bench.run(step('Get-VM', { Id: bench.id() })))).to.equal('none');
  });

  it('starts clustered machines of a node that goes down on another, and cuts its sessions', async () => {
    await using bench = await HostBench.open(CLUSTER);
    await using first = await bench.at('node-1');
    await using second = await bench.at('node-2');
    await first.run([step('Get-VM')]);

    await bench.lab.control.call('lab.setHost', { endpoint: 'clu-a', host: 'node-1', up: false });
    const lost = await codeOf(first.run([step('Get-VM')]));
    const early = await ids(second);
    await bench.lab.clock.sleep(5000);

    expect(lost).to.equal('CONNECTION_REFUSED');
    expect(early).to.deep.equal([]);
    expect(await ids(second)).to.deep.equal([bench.id()]);
    expect(bench.lab.estate.guests.has(bench.id())).to.equal(true);
    const nodes = await second.run([step('Get-ClusterNode', {}, ['State'])]);
    expect(nodes[0]!.rows.map((row) => (row['State'] as { name: string }).name)).to.deep.equal(['Down', 'Up']);
    await using named = await bench.at('clu-a');
    expect(await ids(named), 'the cluster answers by another node').to.deep.equal([bench.id()]);
    await bench.lab.control.call('lab.setHost', { endpoint: 'clu-a', host: 'node-1', up: true });
    expect(await ids(first)).to.deep.equal([]);
  });

  it('leaves a machine without a role on its node, until the node is back', async () => {
    await using bench = await HostBench.open(CLUSTER);
    await bench.run(step('Remove-ClusterGroup', { VMId: bench.id(), RemoveResources: true, Force: true }));
    expect(await bench.vm('IsClustered')).to.equal(false);

    await bench.lab.control.call('lab.setHost', { endpoint: 'clu-a', host: 'node-1', up: false });
    await bench.lab.clock.sleep(5000);
    const power = bench.lab.estate.machine(bench.id()).power;
    await bench.lab.control.call('lab.setHost', { endpoint: 'clu-a', host: 'node-1', up: true });

    expect([power, bench.lab.estate.machine(bench.id()).power]).to.deep.equal(['off', 'on']);
    expect(await codeOf(bench.run(step('Remove-ClusterGroup', { VMId: bench.id() })))).to.equal('NOT_FOUND');
    await bench.run(step('Add-ClusterVirtualMachineRole', { VMId: bench.id() }));
    expect(await codeOf(bench.run(step('Add-ClusterVirtualMachineRole', { VMId: bench.id() })))).to.equal('STATE_CONFLICT');
  });
});

describe('a simulated VMM server', () => {
  it('is a directory over its hosts: clouds, custom properties and where machines are', async () => {
    await using bench = await HostBench.open(VMM);
    const connect = step('Get-SCVMMServer', { ComputerName: 'localhost' });

    const [, clouds, hosts, vms] = await bench.run(
      connect,
      step('Get-SCCloud', {}, ['Name']),
      step('Get-SCVMHost', {}, ['Name', 'OverallState', 'VirtualizationPlatform', 'HostCluster']),
      step('Get-SCVirtualMachine', { All: true }, ['Name', 'VMId', 'HostName', 'Cloud.Name', 'CustomProperty', 'StatusString']),
    );

    expect(clouds!.rows.map((row) => row['Name'])).to.deep.equal(['silver', 'gold']);
    expect(hosts!.rows[0]).to.deep.equal({
      Name: 'node-1',
      OverallState: { name: 'OK', value: 0 },
      VirtualizationPlatform: { name: 'HyperV', value: 2 },
      HostCluster: 'vmm-a-cluster',
    });
    expect(vms!.rows).to.deep.equal([
      {
        Name: 'shop-db',
        VMId: bench.id().toUpperCase(),
        HostName: 'node-1',
        'Cloud.Name': 'gold',
        CustomProperty: { app: 'shop' },
        StatusString: 'Running',
      },
    ]);
  });

  it('has other cmdlets than a host has, and needs a connection in each session', async () => {
    await using bench = await HostBench.open(VMM);
    await using host = await bench.at('node-1');

    expect(await codeOf(bench.run(step('Get-VM')))).to.equal('PROTOCOL_ERROR');
    expect(await codeOf(host.run([step('Get-SCCloud')]))).to.equal('PROTOCOL_ERROR');
    expect(await codeOf(bench.run(step('Get-SCCloud')))).to.equal('STATE_CONFLICT');
    expect(await codeOf(bench.run(step('Get-SCVMMServer', { ComputerName: 'elsewhere' })))).to.not.equal('none');
    expect(await ids(host)).to.deep.equal([bench.id()]);
  });

  it('sees a move, a new name and a new machine some time later, or when it is told to look', async () => {
    await using bench = await HostBench.open(VMM);
    const look = async () =>
      (
        await bench.rows(
          step('Get-SCVMMServer', { ComputerName: 'vmm-a' }),
          step('Get-SCVirtualMachine', { All: true }, ['Name', 'HostName']),
        )
      ).map((row) => [row['Name'], row['HostName']]);
    await look();
    await bench.lab.control.call('lab.migrate', { machine: bench.id() });
    await bench.lab.control.call('lab.rename', { machine: bench.id(), name: 'shop-db-2' });

    const stale = await look();
    await bench.run(
      step('Get-SCVMMServer', { ComputerName: 'localhost' }),
      step('Get-SCVirtualMachine', { All: true }),
      step('Read-SCVirtualMachine', { VM: { $step: 1 }, Force: true }),
    );
    const told = await look();
    await using host = await bench.at('node-1');
    await host.run([step('New-VM', { Name: 'new', Generation: 2 })]);
    const before = await look();
    await bench.lab.clock.sleep(121_000);

    expect([stale, told, before]).to.deep.equal([[['shop-db', 'node-1']], [['shop-db-2', 'node-2']], [['shop-db-2', 'node-2']]]);
    expect(await look()).to.have.lengthOf(2);
  });
});

describe('kinds of Hyper-V endpoints', () => {
  it('follow from hosts and pools, unless they are told', async () => {
    for (const [more, kind, hosts] of [
      [{}, 'host', ['hv-a']],
      [{ hosts: ['n1'] }, 'host', ['n1']],
      [{ hosts: ['n1', 'n2'] }, 'cluster', ['n1', 'n2']],
      [{ hosts: ['n1'], pools: ['gold'] }, 'vmm', ['n1']],
      [{ hosts: ['n1'], hyperv: { kind: 'cluster' as const } }, 'cluster', ['n1']],
      [{ hyperv: { kind: 'vmm' as const } }, 'vmm', ['hv-a-host-1']],
    ] as const) {
      await using bench = await HostBench.open(hostSpec([], more));

      const found = await bench.lab.control.call('lab.powershell', { endpoint: 'hv-a' });

      expect([found.kind, found.hosts, found.address]).to.deep.equal([kind, hosts, 'hv-a']);
    }
    expect(await codeOf(HostBench.open(hostSpec([], { hosts: ['a', 'b'], hyperv: { kind: 'host' } })))).to.equal('CONFIG_INVALID');
  });

  it('keep labels where people do: in a line of the notes, or in VMM', async () => {
    const machines = [{ name: 'shop-db', disks: [{ sizeBytes: MIB }], labels: { app: 'erp', tier: '1' } }];
    await using host = await HostBench.open(hostSpec(machines));
    await using vmm = await HostBench.open(hostSpec(machines, { hosts: ['n1'], pools: ['gold'] }), 'n1');

    expect(await host.vm('Notes')).to.equal('labels: app=erp tier=1');
    expect(await vmm.vm('Notes')).to.equal('');
  });
});
