import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef, VirtualMachineConfigInfo } from '../../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import type { DiskId, MachineId } from '../../../../../core/contract/index.ts';
import { addController, addDisk, type Disk, failure, VcenterBench, vcenterSpec } from './vcenter-bench.ts';

const MIB = 2 ** 20;
const VM_FOLDER: MoRef = { type: 'Folder', value: 'group-v3' };
const ROOT_POOL: MoRef = { type: 'ResourcePool', value: 'resgroup-0' };

const create = async (bench: VcenterBench, name: string): Promise<MoRef> => {
  const config = {
    name,
    files: { vmPathName: '[ds-1]' },
    deviceChange: [addController(-1), addDisk({ controllerKey: -1, key: -2, createBytes: MIB })],
  };
  return (await bench.run('CreateVM_Task', VM_FOLDER, { config, pool: ROOT_POOL })) as MoRef;
};

const files = async (bench: VcenterBench, datastore: string, folder: string): Promise<string[]> => {
  const browser = { type: 'HostDatastoreBrowser', value: `datastoreBrowser-${bench.place(datastore).value}` };
  const found = (await bench.run('SearchDatastore_Task', browser, { datastorePath: `[${datastore}] ${folder}` })) as {
    file?: { path: string }[];
  };
  return (found.file ?? []).map(({ path }) => path).sort();
};

describe('the life of machines in a simulated vCenter', () => {
  it('destroys a machine that is off, with its files and its snapshots', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.snapshot(vm, { operationId: 'a' });
    const layers = bench.lab.estate.layers.size;

    expect(await failure(bench.run('Destroy_Task', vm, {}))).to.match(/InvalidPowerState/);
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.run('Destroy_Task', vm, {});

    expect(bench.lab.estate.layers.size).to.equal(layers - 2);
    expect(await failure(files(bench, 'ds-1', 'shop-db'))).to.match(/FileNotFound/);
    expect(await failure(bench.read(vm, 'name'))).to.match(/ManagedObjectNotFound/);
    expect((await bench.lab.control.call('lab.status', {})).leftovers).to.deep.equal([]);
  });

  it('destroys with a machine the disk of another that is attached to it', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.attach(disk!.backing.fileName, 'independent_persistent');
    await bench.run('PowerOffVM_Task', bench.appliance, {});

    await bench.run('Destroy_Task', bench.appliance, {});

    expect(await failure(bench.run('PowerOnVM_Task', vm, {}))).to.match(/FileNotFound/);
    await bench.lab.control.call('lab.power', { machine: vm.value as MachineId, to: 'on' });
    await bench.lab.clock.sleep(1000);
    expect((await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId })).status.bootFailure).to.match(/empty/);
  });

  it('takes a machine out of the inventory and in again as it was, under another reference', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.reconfigure(vm, { annotation: 'kept', extraConfig: [{ key: 'k', value: 'v' }] });
    const path = (await bench.config(vm)).files.vmPathName!;
    const before = await bench.digests({ machine: vm.value });
    const register = () => bench.run('RegisterVM_Task', VM_FOLDER, { path, asTemplate: false, pool: ROOT_POOL });

    expect(await failure(register())).to.match(/AlreadyExists/);
    await bench.call('UnregisterVM', vm, {});
    expect(await failure(bench.read(vm, 'name'))).to.match(/ManagedObjectNotFound/);
    const back = (await register()) as MoRef;

    expect(back.value).not.to.equal(vm.value);
    expect(await bench.digests({ machine: back.value })).to.deep.equal(before);
    expect(await bench.config(back)).to.include({ annotation: 'kept', name: 'shop-db' });
    await bench.run('PowerOnVM_Task', back, {});
    expect(
      await failure(bench.run('RegisterVM_Task', VM_FOLDER, { path: '[ds-1] none/none.vmx', asTemplate: false, pool: ROOT_POOL })),
    ).to.match(/FileNotFound/);
  });

  it('knows one name once in a folder, also when a machine is renamed', async () => {
    await using bench = await VcenterBench.open();
    await create(bench, 'one');
    const two = await create(bench, 'two');

    expect(await failure(create(bench, 'one'))).to.match(/DuplicateName/);
    expect(await failure(bench.run('Rename_Task', two, { newName: 'one' }))).to.match(/DuplicateName/);
    await bench.run('Rename_Task', two, { newName: '"; Remove-VM *' });
    expect(await bench.read(two, 'name')).to.equal('"; Remove-VM *');
  });

  it('clones a running machine, or one of its snapshots, with new identities and the same extra configuration', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.reconfigure(vm, { extraConfig: [{ key: 'warmsite.owner', value: 'owner-1' }] });
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    await bench.lab.clock.sleep(1000);

    const spec = { location: { datastore: bench.place('ds-2') }, template: false, powerOn: false, snapshot };
    const clone = (await bench.run('CloneVM_Task', vm, { folder: VM_FOLDER, name: 'clone', spec })) as MoRef;

    expect(await bench.digests({ machine: clone.value })).to.deep.equal(await bench.digests({ snapshot: snapshot.value }));
    const [own, theirs] = [(await bench.disks(clone))[0]!, (await bench.disks(vm))[0]!];
    expect(own.backing.uuid).not.to.equal(theirs.backing.uuid);
    expect(own.backing.fileName).to.equal('[ds-2] clone/clone.vmdk');
    const config = await bench.config(clone);
    expect(config).to.include({ changeTrackingEnabled: false });
    expect(config.extraConfig?.[0]).to.include({ key: 'warmsite.owner', value: 'owner-1' });
    expect(config.uuid).not.to.equal((await bench.config(vm)).uuid);
    await bench.reconfigure(clone, { extraConfig: [{ key: 'warmsite.fork', value: '{"replica":"vm-1"}' }] });
    const { leftovers, machines } = await bench.lab.control.call('lab.status', {});
    expect(leftovers).to.deep.include({ owner: 'owner-1', kind: 'fork', id: `${clone.value}/clone` });
    expect(machines.find(({ machine }) => machine === clone.value)?.role).to.equal('fork');
  });

  it('moves a running machine with its snapshots to another datastore, and the tracker begins anew', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.reconfigure(vm, { changeTrackingEnabled: true });
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const used = () => ['ds-1', 'ds-2'].map((name) => bench.lab.estate.usedBytes.get(bench.place(name).value as never) ?? 0);
    const [before] = used();
    await bench.call('RetrieveServiceContent', { type: 'ServiceInstance', value: 'ServiceInstance' }, {});
    const frozen = await bench.digests({ snapshot: snapshot.value });
    const { changeId } = (await bench.disks(vm))[0]!.backing;

    await bench.run('RelocateVM_Task', vm, { spec: { datastore: bench.place('ds-2') } });

    const [disk] = await bench.disks(vm);
    expect(disk!.backing.fileName).to.match(/^\[ds-2\] shop-db\/shop-db-000001\.vmdk$/);
    expect(disk!.backing.parent?.fileName).to.equal('[ds-2] shop-db/shop-db.vmdk');
    expect(disk!.backing.datastore).to.deep.equal(bench.place('ds-2'));
    expect((await bench.config(vm)).files.vmPathName).to.equal('[ds-2] shop-db/shop-db.vmx');
    const config = await bench.read<VirtualMachineConfigInfo>(snapshot, 'config');
    expect((config.hardware.device!.find((one) => one.$type === 'VirtualDisk') as Disk).backing.fileName).to.equal(
      '[ds-2] shop-db/shop-db.vmdk',
    );
    expect(await bench.digests({ snapshot: snapshot.value })).to.deep.equal(frozen);
    expect(used()[0]).to.be.lessThan(before!);
    await bench.removeSnapshot(snapshot);
    await bench.removeSnapshot(await bench.snapshot(vm, { operationId: 'b' }));
    expect((await bench.disks(vm))[0]!.backing.changeId!.split('/')[0]).not.to.equal(changeId!.split('/')[0]);
  });

  it('starts machines by themselves when the autostart of their host says so', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const { value } = bench.place('esx-1');
    const manager = { type: 'HostAutoStartManager', value: `autoStartManager-${value.slice('host-'.length)}` };
    const info = (startAction: string) => ({
      spec: {
        powerInfo: [
          {
            key: vm,
            startOrder: -1,
            startDelay: -1,
            waitForHeartbeat: 'systemDefault' as const,
            startAction,
            stopDelay: -1,
            stopAction: 'systemDefault',
          },
        ],
      },
    });
    const autostart = () => bench.lab.estate.machines.get(vm.value as MachineId)!.autostart;

    await bench.call('ReconfigureAutostart', manager, info('none'));
    expect(autostart()).to.equal(false);
    await bench.call('ReconfigureAutostart', manager, info('powerOn'));
    expect(autostart()).to.equal(true);
  });
});

describe('files of a simulated vCenter', () => {
  it('makes, extends, attaches and deletes virtual disks, in folders that are there', async () => {
    await using bench = await VcenterBench.open();
    const manager = bench.client.content.virtualDiskManager!;
    const spec = typed('FileBackedVirtualDiskSpec', { diskType: 'thin', adapterType: 'lsiLogic', capacityKb: 1024 });
    const name = '[ds-2] own/data.vmdk';

    expect(await failure(bench.run('CreateVirtualDisk_Task', manager, { name, spec }))).to.match(/FileNotFound/);
    await bench.call('MakeDirectory', bench.client.content.fileManager!, { name: '[ds-2] own' });
    expect(await failure(bench.call('MakeDirectory', bench.client.content.fileManager!, { name: '[ds-2] own' }))).to.match(
      /FileAlreadyExists/,
    );
    await bench.run('CreateVirtualDisk_Task', manager, { name, spec });
    expect(await failure(bench.run('CreateVirtualDisk_Task', manager, { name, spec }))).to.match(/FileAlreadyExists/);
    await bench.run('ExtendVirtualDisk_Task', manager, { name, newCapacityKb: 2048 });
    await bench.attach(name, 'independent_persistent');
    expect((await bench.disks(bench.appliance)).at(-1)).to.include({ capacityInBytes: 2 * MIB });
    expect(await failure(bench.run('DeleteVirtualDisk_Task', manager, { name }))).to.match(/FileLocked/);
    await bench.detach((await bench.disks(bench.appliance)).at(-1)!.backing.uuid!);
    expect(await files(bench, 'ds-2', 'own')).to.deep.equal(['data.vmdk']);
    await bench.run('DeleteVirtualDisk_Task', manager, { name });
    expect(await files(bench, 'ds-2', 'own')).to.deep.equal([]);
    await bench.run('DeleteDatastoreFile_Task', bench.client.content.fileManager!, { name: '[ds-2] own' });
    expect(await failure(files(bench, 'ds-2', 'own'))).to.match(/FileNotFound/);
  });

  it('gives the content of a disk over HTTP by ranges, but none of a chain that a running machine has open', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const [disk] = await bench.disks(vm);
    const url = '/folder/shop-db/shop-db-flat.vmdk?dcPath=dc-a&dsName=ds-1';
    const get = async (headers: Record<string, string> = {}, method: 'GET' | 'HEAD' = 'GET') => {
      const answer = await bench.client.transfer({ method, url, headers });
      const parts: Uint8Array[] = [];
      for await (const part of answer.body) parts.push(part);
      return { status: answer.status, headers: answer.headers, data: Buffer.concat(parts) };
    };

    expect((await get()).status).to.equal(500);
    await bench.run('PowerOffVM_Task', vm, {});
    const { data } = await bench.lab.control.call('lab.read', {
      machine: vm.value as MachineId,
      disk: disk!.backing.uuid as DiskId,
      offset: 0,
      length: MIB,
    });

    const whole = await get();
    expect([whole.status, Buffer.compare(whole.data, data)]).to.deep.equal([200, 0]);
    const part = await get({ range: 'bytes=65536-131071' });
    expect([part.status, part.headers['content-range']]).to.deep.equal([206, `bytes 65536-131071/${MIB}`]);
    expect(Buffer.compare(part.data, Buffer.from(data.subarray(65_536, 131_072)))).to.equal(0);
    expect((await get({ range: `bytes=${MIB}-` })).status).to.equal(416);
    expect((await get({}, 'HEAD')).headers['content-length']).to.equal(String(MIB));
    const put = await bench.client.transfer({ method: 'PUT', url, body: new Uint8Array(MIB).fill(7) });
    expect(put.status).to.equal(201);
    expect((await get({ range: 'bytes=0-511' })).data.every((byte) => byte === 7)).to.equal(true);
  });

  it('carries whole disks out of a snapshot and into a new machine by a lease, which ends without progress', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const urlOf = async (lease: MoRef) =>
      new URL((await bench.read<{ deviceUrl: { url: string }[] }>(lease, 'info')).deviceUrl[0]!.url.replace('*', 'vcenter-a'));

    const out = await bench.call('ExportSnapshot', snapshot, {});
    const parts: Uint8Array[] = [];
    for await (const part of (await bench.client.transfer({ method: 'GET', url: (await urlOf(out)).pathname })).body) parts.push(part);
    await bench.call('HttpNfcLeaseProgress', out, { percent: 100 });
    await bench.call('HttpNfcLeaseComplete', out, {});
    expect(await bench.read(out, 'state')).to.equal('done');

    const configSpec = {
      name: 'imported',
      files: { vmPathName: '[ds-2]' },
      deviceChange: [addController(-1), addDisk({ controllerKey: -1, key: -2, createBytes: MIB })],
    };
    const load = () => bench.call('ImportVApp', ROOT_POOL, { spec: typed('VirtualMachineImportSpec', { configSpec }), folder: VM_FOLDER });
    const into = await load();
    await bench.client.transfer({ method: 'PUT', url: (await urlOf(into)).pathname, body: Buffer.concat(parts) });
    await bench.call('HttpNfcLeaseComplete', into, {});
    expect(await bench.digests({ machine: bench.vm('imported').value })).to.deep.equal(await bench.digests({ snapshot: snapshot.value }));

    await bench.run('Destroy_Task', bench.vm('imported'), {});
    const late = await load();
    await bench.lab.clock.sleep(200_000);
    await bench.call('HttpNfcLeaseProgress', late, { percent: 1 });
    await bench.lab.clock.sleep(200_000);
    expect(await bench.read(late, 'state')).to.equal('ready');
    await bench.lab.clock.sleep(200_000);
    expect(await bench.read(late, 'state')).to.equal('error');
    expect(await failure(bench.call('HttpNfcLeaseProgress', late, { percent: 2 }))).to.match(/Timedout/);
    expect([...bench.lab.estate.machines.values()].map(({ name }) => name)).not.to.include('imported');
  });
});

describe('switches of a simulated vCenter', () => {
  const name = 'ws-0b3b97fa-11111111';
  const policy = {};

  it('make a test network of the owner out of a switch without uplinks, once for all hosts', async () => {
    await using bench = await VcenterBench.open(vcenterSpec());
    const hosts = ['esx-1', 'esx-2'].map((host) => ({
      type: 'HostNetworkSystem',
      value: `networkSystem-${bench.place(host).value.slice('host-'.length)}`,
    }));
    const owner = (await import('node:crypto')).hash('sha256', 'owner-1', 'hex').slice(0, 8);
    const own = name.replace('0b3b97fa', owner);
    for (const host of hosts) {
      await bench.call('AddVirtualSwitch', host, { vswitchName: own, spec: { numPorts: 8 } });
      await bench.call('AddPortGroup', host, { portgrp: { name: own, vlanId: 0, vswitchName: own, policy } });
    }
    expect(await failure(bench.call('AddVirtualSwitch', hosts[0]!, { vswitchName: own }))).to.match(/AlreadyExists/);

    const network = bench.place(own);
    const { leftovers } = await bench.lab.control.call('lab.status', {});
    expect(leftovers).to.deep.equal([{ owner: 'owner-1', kind: 'testNetwork', id: network.value }]);
    expect(await bench.read<MoRef[]>(network, 'host')).to.have.length(2);

    const vm = bench.vm('shop-db');
    const [card] = await bench.devices(vm, 'VirtualVmxnet3');
    const move = (to: string) =>
      bench.reconfigure(vm, {
        deviceChange: [
          {
            operation: 'edit',
            device: {
              ...card!,
              backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: to, network: bench.place(to) }),
            } as never,
          },
        ],
      });
    await move(own);
    expect(await failure(bench.call('RemovePortGroup', hosts[0]!, { pgName: own }))).to.match(/ResourceInUse/);
    await move('production');
    for (const host of hosts) {
      await bench.call('RemovePortGroup', host, { pgName: own });
      await bench.call('RemoveVirtualSwitch', host, { vswitchName: own });
    }
    expect(bench.lab.estate.endpoint('vcenter-a').places.map((place) => place.name)).not.to.include(own);
  });

  it('mount a share as a datastore, on which all areas of a disk count as in use', async () => {
    await using bench = await VcenterBench.open();
    const system = { type: 'HostDatastoreSystem', value: `datastoreSystem-${bench.place('esx-1').value.slice('host-'.length)}` };
    const share = { remoteHost: '10.0.0.9', remotePath: '/export', localPath: 'share', accessMode: 'readWrite' };

    const datastore = await bench.call('CreateNasDatastore', system, { spec: share });
    expect(await failure(bench.call('CreateNasDatastore', system, { spec: share }))).to.match(/DuplicateName/);
    const vm = bench.vm('shop-db');
    await bench.run('RelocateVM_Task', vm, { spec: { datastore } });
    await bench.reconfigure(vm, { changeTrackingEnabled: true });
    const snapshot = await bench.snapshot(vm, { operationId: 'a' });
    const [disk] = await bench.disks(vm);
    const areas = await bench.changedAreas(vm, { snapshot, deviceKey: disk!.key, changeId: '*', capacityBytes: MIB });
    expect(areas.reduce((sum, { length }) => sum + length, 0)).to.equal(MIB);
    expect(await failure(bench.call('RemoveDatastore', system, { datastore }))).to.match(/ResourceInUse/);
  });
});
