import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef } from '../../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import type { DiskId, MachineId } from '../../../../../core/contract/index.ts';
import { failure, VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const MIB = 2 ** 20;
const HOSTILE = 'a/b\\c%d<&>"';

const openBench = () =>
  VcenterBench.open(
    vcenterSpec(
      [
        { name: 'shop-db', disks: [{ sizeBytes: MIB }], workload: 'none', labels: { folder: 'prod' } },
        { name: HOSTILE, disks: [{ sizeBytes: MIB }], workload: 'none', power: 'off' },
      ],
      { pools: ['gold'], folders: ['dc-a/vm/prod/tier-1', 'dc-a/vm/100%\\'], networks: ['production', 'a/b'] },
    ),
  );

const pathOf = async (bench: VcenterBench, on: MoRef): Promise<string[]> => {
  const parent = await bench.read<MoRef | undefined>(on, 'parent');
  return [...(parent ? await pathOf(bench, parent) : []), await bench.read<string>(on, 'name')];
};

describe('the inventory of a simulated vCenter', () => {
  it('puts machines into the folders of the description, under one datacenter', async () => {
    await using bench = await openBench();

    expect(await pathOf(bench, bench.vm('shop-db'))).to.deep.equal(['Datacenters', 'dc-a', 'vm', 'prod', 'shop-db']);
    expect(await pathOf(bench, bench.place('tier-1'))).to.deep.equal(['Datacenters', 'dc-a', 'vm', 'prod', 'tier-1']);
    expect(await pathOf(bench, bench.vm(HOSTILE))).to.deep.equal(['Datacenters', 'dc-a', 'vm', 'a%2fb%5cc%25d<&>"']);
  });

  it('writes names as a vCenter does, so that a path has one meaning', async () => {
    await using bench = await openBench();

    expect(await bench.read(bench.place('100%\\'), 'name')).to.equal('100%25%5c');
    expect(await bench.read(bench.place('a/b'), 'name')).to.equal('a%2fb');
    expect(await bench.read(bench.place('a/b'), 'summary.name')).to.equal('a%2fb');
  });

  it('leads from each host, datastore, network and pool to what is on it, and back', async () => {
    await using bench = await openBench();
    const machine = bench.vm('shop-db');
    const [host] = await bench.read<MoRef[]>({ type: 'ClusterComputeResource', value: 'domain-c7' }, 'host');

    const at = await Promise.all(
      [bench.place('ds-1'), bench.place('production'), { type: 'ResourcePool', value: 'resgroup-0' }, host!].map((on) =>
        bench.read<MoRef[]>(on, 'vm'),
      ),
    );

    expect(at.map((list) => list.some(({ value }) => value === machine.value))).to.deep.equal([true, true, true, true]);
    expect(await bench.read(host!, 'runtime.connectionState')).to.equal('connected');
    const manager = await bench.read<{ networkSystem: MoRef; datastoreSystem: MoRef; autoStartManager: MoRef }>(host!, 'configManager');
    expect([manager.networkSystem.type, manager.datastoreSystem.type, manager.autoStartManager.type]).to.deep.equal([
      'HostNetworkSystem',
      'HostDatastoreSystem',
      'HostAutoStartManager',
    ]);
    expect(await bench.read<MoRef[]>({ type: 'ResourcePool', value: 'resgroup-0' }, 'resourcePool')).to.deep.equal([bench.place('gold')]);
  });

  it('gives a datastore’s room in bytes, as longs, and less of it when a disk has been written', async () => {
    await using bench = await openBench();
    const store = bench.place('ds-1');
    const before = await bench.read<{ capacity: number; freeSpace: number; accessible: boolean }>(store, 'summary');
    const { spec } = await bench.lab.control.call('lab.machine', { machine: bench.vm('shop-db').value as MachineId });

    await bench.lab.control.call('lab.write', {
      machine: bench.vm('shop-db').value as MachineId,
      disk: spec.disks[0]!.id as DiskId,
      offset: 0,
      data: new Uint8Array(131_072).fill(1),
    });

    expect(before).to.include({ capacity: 256 * MIB, accessible: true });
    expect(await bench.read<number>(store, 'summary.freeSpace')).to.be.at.most(before.freeSpace - 131_072);
  });

  it('finds machines by either of their uuids and by their path', async () => {
    await using bench = await openBench();
    const machine = bench.vm('shop-db');
    const { uuid, instanceUuid } = await bench.config(machine);
    const index = bench.client.content.searchIndex!;

    expect(await bench.call('FindByUuid', index, { uuid: uuid.toUpperCase(), vmSearch: true })).to.deep.equal(machine);
    expect(await bench.call('FindAllByUuid', index, { uuid: instanceUuid!, vmSearch: true, instanceUuid: true })).to.deep.equal([machine]);
    expect(await bench.call('FindAllByUuid', index, { uuid: instanceUuid!, vmSearch: true })).to.deep.equal([]);
    expect(await bench.call('FindByUuid', index, { uuid: 'none', vmSearch: true })).to.equal(undefined);
    expect(await bench.call('FindByInventoryPath', index, { inventoryPath: 'dc-a/vm/prod/shop-db' })).to.deep.equal(machine);
    expect(await bench.call('FindByInventoryPath', index, { inventoryPath: 'dc-a/vm/shop-db' })).to.equal(undefined);
  });

  it('shows in a view what is below its container, of the types that were asked for', async () => {
    await using bench = await openBench();
    const { viewManager, propertyCollector } = bench.client.content;
    const names = async (container: MoRef, type: string[], recursive: boolean) => {
      const view = await bench.call('CreateContainerView', viewManager!, { container, type, recursive });
      const selectSet = [typed('TraversalSpec', { type: 'ContainerView', path: 'view', skip: false })];
      const spec = { propSet: [{ type: 'ManagedEntity', pathSet: ['name'] }], objectSet: [{ obj: view, skip: true, selectSet }] };
      const found = await bench.call('RetrievePropertiesEx', propertyCollector, { specSet: [spec], options: {} });
      return (found?.objects ?? []).map(({ propSet }) => propSet![0]!.val);
    };
    const root = bench.client.content.rootFolder;

    expect(await names(root, ['HostSystem', 'ClusterComputeResource'], true)).to.have.members(['vcenter-a-cluster', 'esx-1', 'esx-2']);
    expect(await names(bench.place('prod'), [], true)).to.have.members(['tier-1', 'shop-db']);
    expect(await names(root, ['VirtualMachine'], false)).to.deep.equal([]);
    expect(await names(root, ['VirtualMachine'], true)).to.have.length(3);
  });

  it('makes folders, each name once', async () => {
    await using bench = await openBench();
    const made = await bench.call('CreateFolder', bench.place('prod'), { name: 'new' });

    expect(await pathOf(bench, made)).to.deep.equal(['Datacenters', 'dc-a', 'vm', 'prod', 'new']);
    expect(await failure(bench.call('CreateFolder', bench.place('prod'), { name: 'new' }))).to.match(/^DuplicateName /);
    expect(await failure(bench.call('CreateFolder', { type: 'Folder', value: 'group-h4' }, { name: 'new' }))).to.match(/^NotSupported /);
  });

  it('is found by the name of its endpoint', async () => {
    await using bench = await openBench();

    expect(await failure(bench.lab.control.call('lab.vcenter', { endpoint: 'none' }))).to.contain('no endpoint');
    expect(await bench.lab.control.call('lab.vcenter', { endpoint: 'vcenter-a' })).to.deep.equal({
      address: 'vcenter-a',
      username: 'warmsite',
      appliance: bench.appliance.value,
    });
  });
});
