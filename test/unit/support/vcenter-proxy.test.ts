import { expect } from 'chai';
import type { MoRef, VirtualDisk, VirtualDiskFlatVer2BackingInfo, VsphereClient } from '../../../adapters/vsphere/port.ts';
import { typed } from '../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../adapters/vsphere/vim25/client.ts';
import { openWire } from '../../../adapters/vsphere/wire.ts';
import type { DiskId, MachineId, SnapshotId } from '../../../core/contract/index.ts';
import { requireDrsim } from '../../support/drsim.ts';
import { errorOf } from '../../support/errors.ts';
import { type ProxiedVcenter, startProxiedVcenter } from '../../support/vcenter-proxy/one.ts';
import { addCard, addDisk, throughView, Vim } from '../../support/vim.ts';

const MIB = 2 ** 20;

const backingOf = (disk: VirtualDisk | undefined): VirtualDiskFlatVer2BackingInfo => disk?.backing as VirtualDiskFlatVer2BackingInfo;

describe('a vCenter that we did not write, with contents', () => {
  let vcenter: ProxiedVcenter;
  let client: VsphereClient;
  let vim: Vim;
  let vm: MoRef;
  let id: MachineId;
  let disk: DiskId;

  before(async function () {
    await requireDrsim(this);
  });
  beforeEach(async () => {
    vcenter = await startProxiedVcenter();
    client = await openVim25(vcenter.openWire, { ...vcenter.config, userAgent: 'Warmsite (owner-1)' });
    vim = new Vim(client);
    id = vcenter.machines[0]!;
    vm = { type: 'VirtualMachine', value: id };
    disk = backingOf((await vim.disks(vm))[0]).uuid as DiskId;
    await vcenter.lab.call('lab.setWorkload', { paused: true });
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await vcenter[Symbol.asyncDispose]();
  });

  const take = async (of = vm, kind = 'cycle'): Promise<MoRef> => {
    const description = JSON.stringify({ warmsite: 1, owner: 'owner-1', operationId: 'op-1', kind });
    return (await vim.task('CreateSnapshot_Task', of, { name: 'warmsite', description, memory: false, quiesce: false })) as MoRef;
  };
  const release = (snapshot: MoRef) => vim.task('RemoveSnapshot_Task', snapshot, { removeChildren: false, consolidate: true });
  const diskIn = async (snapshot: MoRef): Promise<VirtualDisk> => (await vim.disks(snapshot))[0]!;
  const write = (offset: number, text: string) => vcenter.lab.call('lab.write', { machine: id, disk, offset, data: Buffer.from(text) });
  const appliance = (): MoRef => ({ type: 'VirtualMachine', value: vcenter.appliance });
  const attach = async (file: string, diskMode: string): Promise<void> => {
    const controllerKey = (await vim.controllerKeys(appliance())).at(-1)!;
    await vim.change(appliance(), addDisk({ controllerKey, unitNumber: 0, capacityBytes: MIB, file, diskMode }));
  };
  const createReplica = async (): Promise<MoRef> => {
    const [[pool], [datacenter]] = [await vim.list('ResourcePool', 'name'), await vim.list('Datacenter', 'vmFolder')];
    const config = {
      name: 'replica',
      guestId: 'debian10_64Guest',
      files: { vmPathName: '[LocalDS_1]' },
      extraConfig: [typed('OptionValue', { key: 'warmsite.owner', value: 'owner-1' })],
      deviceChange: [
        { operation: 'add' as const, device: typed('ParaVirtualSCSIController', { key: -1, busNumber: 0, sharedBus: 'noSharing' }) },
        addDisk({ controllerKey: -1, unitNumber: 0, capacityBytes: MIB }),
        addCard('production', '00:50:56:00:00:01'),
      ],
    };
    return (await vim.task('CreateVM_Task', datacenter!['vmFolder'] as MoRef, { pool: pool!.obj, config })) as MoRef;
  };

  it('shows the machines of the simulator with what it lacks', async () => {
    const [own] = await vim.disks(vm);

    expect(own).to.include({ capacityInBytes: MIB });
    expect(backingOf(own).uuid).to.match(/^[0-9a-f-]{36}$/);
    expect(await vim.get(vm, 'name', 'capability.changeTrackingSupported', 'guest.toolsRunningStatus')).to.deep.equal({
      name: 'app-01',
      'capability.changeTrackingSupported': true,
      'guest.toolsRunningStatus': 'guestToolsRunning',
    });
    expect((await vim.list('Network', 'host'))[0]!['host']).to.have.length(2);
  });

  it('is reached over HTTPS too, by its fingerprint', async () => {
    await using other = await openVim25(openWire, vcenter.config);
    const stranger = await errorOf(openVim25(openWire, { ...vcenter.config, password: 'wrong' }));
    const forged = await errorOf(openVim25(openWire, { ...vcenter.config, pin: 'ab'.repeat(32) }));

    expect(await new Vim(other).disks(vm)).to.deep.equal(await vim.disks(vm));
    expect([stranger.code, forged.code]).to.deep.equal(['AUTH_REJECTED', 'CERTIFICATE_UNTRUSTED']);
  });

  it('holds what a disk had at the snapshot, and tells what has changed since the one before', async () => {
    await vim.reconfigure(vm, { changeTrackingEnabled: true });
    await release(await take());
    const first = await take();
    const { changeId } = backingOf(await diskIn(first));
    await release(first);
    await write(512 * 1024, 'before the snapshot');
    const second = await take();
    const held = await vcenter.lab.call('lab.inspect', { of: { snapshot: second.value as SnapshotId } });
    await write(768 * 1024, 'after the snapshot');

    const frozen = await diskIn(second);
    const areas: { start: number; length: number }[] = [];
    for (let startOffset = 0; startOffset < MIB; ) {
      const args = { snapshot: second, deviceKey: frozen.key, startOffset, changeId: changeId! };
      const page = await client.call('QueryChangedDiskAreas', vm, args);
      areas.push(...(page.changedArea ?? []));
      startOffset = page.startOffset + page.length;
    }

    const touches = (offset: number) => areas.some(({ start, length }) => start <= offset && offset < start + length);
    expect(touches(512 * 1024)).to.equal(true);
    expect(touches(768 * 1024)).to.equal(false);
    const later = await vcenter.lab.call('lab.inspect', { of: { snapshot: second.value as SnapshotId } });
    expect(later.digests).to.deep.equal(held.digests);
    expect((await vim.get(second, 'vm'))['vm']).to.deep.equal(vm);
  });

  it('lends the file under a snapshot to the appliance, and not the one that the machine writes to', async () => {
    const live = backingOf((await vim.disks(vm))[0]).fileName;
    const locked = await errorOf(attach(live, 'independent_nonpersistent'));
    const snapshot = await take();

    await attach(backingOf(await diskIn(snapshot)).fileName, 'independent_nonpersistent');

    expect(locked.code).to.equal('FILE_LOCKED');
    expect((await vim.disks(appliance())).map((one) => backingOf(one).uuid)).to.include(disk);
    await vim.change(appliance(), { operation: 'remove', device: (await vim.disks(appliance())).at(-1)! });
    await release(snapshot);
    expect(await vim.get(vm, 'snapshot', 'runtime.consolidationNeeded')).to.deep.equal({ 'runtime.consolidationNeeded': false });
  });

  it('says that a merge waits for a file which somebody holds, and merges it later', async () => {
    const snapshot = await take();
    await attach(backingOf(await diskIn(snapshot)).fileName, 'independent_nonpersistent');

    await vim.task('RemoveSnapshot_Task', snapshot, { removeChildren: false }).catch(() => undefined);
    const waiting = await vim.get(vm, 'runtime.consolidationNeeded');
    await vim.change(appliance(), { operation: 'remove', device: (await vim.disks(appliance())).at(-1)! });
    await vim.task('ConsolidateVMDisks_Task', vm, {});

    expect(waiting).to.deep.equal({ 'runtime.consolidationNeeded': true });
    expect(await vim.get(vm, 'runtime.consolidationNeeded')).to.deep.equal({ 'runtime.consolidationNeeded': false });
  });

  it('lends what the second of two snapshots holds, of which the simulator has no file', async () => {
    const [first, second] = [await take(), await take()];
    const file = backingOf(await diskIn(second)).fileName;

    await attach(file, 'independent_nonpersistent');

    expect(file).to.match(/-000001\.vmdk$/);
    expect((await vim.disks(appliance())).map((one) => backingOf(one).fileName)).to.include(file);
    await vim.change(appliance(), { operation: 'remove', device: (await vim.disks(appliance())).at(-1)! });
    for (const one of [second, first]) await release(one);
    expect(backingOf((await vim.disks(vm))[0]).fileName).to.match(/app-01\.vmdk$/);
  });

  it('starts a fork of a replica, and a revert brings disk, notes and options back', async () => {
    const replica = await createReplica();
    const machine = replica.value as MachineId;
    const target = backingOf((await vim.disks(replica))[0]).uuid as DiskId;
    await vcenter.lab.call('lab.write', { machine, disk: target, offset: 0, data: Buffer.from('of the replica') });
    const fork = await take(replica, 'fork');
    await vim.reconfigure(replica, {
      annotation: 'a test',
      extraConfig: [typed('OptionValue', { key: 'warmsite.owner', value: 'other' })],
    });
    await vcenter.lab.call('lab.write', { machine, disk: target, offset: 0, data: Buffer.from('of the fork ..') });
    await vim.task('PowerOnVM_Task', replica, {});
    await vim.task('PowerOffVM_Task', replica, {});

    await vim.task('RevertToSnapshot_Task', fork, { suppressPowerOn: true });
    await release(fork);

    const { data } = await vcenter.lab.call('lab.read', { machine, disk: target, offset: 0, length: 14 });
    expect(Buffer.from(data).toString()).to.equal('of the replica');
    expect(await vim.get(replica, 'config.annotation', 'config.extraConfig')).to.deep.equal({
      'config.annotation': '',
      'config.extraConfig': [{ key: 'warmsite.owner', value: 'owner-1' }],
    });
    await vim.task('Destroy_Task', replica, {});
    expect((await errorOf(vim.get(replica, 'name'))).code).to.equal('NOT_FOUND');
  });

  it('gives the content of a disk as a file while nobody runs on it, and to nobody without a session', async () => {
    const { fileName } = backingOf((await vim.disks(vm))[0]);
    const [, datastore = '', path = ''] = /^\[(.*)\] (.*)\.vmdk$/.exec(fileName)!;
    const url = `/folder/${path}-flat.vmdk?dcPath=DC0&dsName=${datastore}`;
    const headers = { range: 'bytes=4096-4099' };
    await write(4096, 'here');
    const running = await client.transfer({ method: 'GET', url, headers });
    await vim.task('PowerOffVM_Task', vm, {});

    const off = await client.transfer({ method: 'GET', url, headers });
    await using wire = vcenter.openWire(vcenter.config);
    const stranger = await wire.send({ method: 'GET', url, headers });

    expect([running.status, off.status, stranger.status]).to.deep.equal([500, 206, 401]);
    expect(Buffer.concat(await Array.fromAsync(off.body)).toString()).to.equal('here');
  });

  it('has a test network on every host, and in production none of its machines', async () => {
    const hosts = (await vim.list('HostSystem', 'configManager')).map(({ obj, configManager }) => ({
      ...(configManager as { readonly networkSystem: MoRef }),
      value: obj.value,
    }));
    const replica = await createReplica();
    const { 'runtime.host': host } = await vim.get(replica, 'runtime.host');
    const name = 'ws-01234567-89abcdef';

    for (const { networkSystem } of hosts) {
      await client.call('AddVirtualSwitch', networkSystem, { vswitchName: name, spec: { numPorts: 128 } });
      await client.call('AddPortGroup', networkSystem, { portgrp: { name, vlanId: 0, vswitchName: name, policy: {} } });
    }
    const backing = typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: name });
    await vim.change(replica, { operation: 'edit', device: { ...(await vim.cards(replica))[0]!, backing } });

    const [network] = (await vim.list('Network', 'name', 'host')).filter((row) => row['name'] === name);
    expect(network!['host']).to.have.length(2);
    expect((await vim.get(replica, 'network'))['network']).to.deep.equal([network!.obj]);
    const { networkSystem } = hosts.find(({ value }) => value === (host as MoRef).value)!;
    const used = await errorOf(client.call('RemovePortGroup', networkSystem, { pgName: name }));
    await vim.task('Destroy_Task', replica, {});
    for (const { networkSystem: system } of hosts) {
      await client.call('RemovePortGroup', system, { pgName: name });
      await client.call('RemoveVirtualSwitch', system, { vswitchName: name });
    }
    expect(used.context.vendorCode).to.equal('ResourceInUse');
    expect((await vim.list('Network', 'name')).map((row) => row['name'])).to.have.members(['production', 'VM Network']);
  });

  it('tells a watcher of a machine that lost its power, and lets it be started again', async () => {
    const { propertyCollector, viewManager, rootFolder } = client.content;
    const view = await client.call('CreateContainerView', viewManager!, {
      container: rootFolder,
      type: ['VirtualMachine'],
      recursive: true,
    });
    const spec = { propSet: [{ type: 'VirtualMachine', pathSet: ['runtime.powerState'] }], objectSet: [throughView(view)] };
    await client.call('CreateFilter', propertyCollector, { partialUpdates: false, spec });
    const { version } = await client.call('WaitForUpdatesEx', propertyCollector, { version: '', options: { maxWaitSeconds: 10 } });

    const waiting = client.call('WaitForUpdatesEx', propertyCollector, { version, options: { maxWaitSeconds: 10 } });
    await vcenter.lab.call('lab.powerCut', { machine: id });
    const heard = await waiting;
    await vim.task('PowerOnVM_Task', vm, {});

    const [update] = heard.filterSet!.flatMap(({ objectSet = [] }) => objectSet);
    expect(update).to.deep.equal({
      kind: 'modify',
      obj: vm,
      changeSet: [{ name: 'runtime.powerState', op: 'assign', val: 'poweredOff' }],
    });
    expect(await vim.get(vm, 'runtime.powerState')).to.deep.equal({ 'runtime.powerState': 'poweredOn' });
  });

  it('makes pages, each once', async () => {
    const { propertyCollector, viewManager, rootFolder } = client.content;
    const view = await client.call('CreateContainerView', viewManager!, {
      container: rootFolder,
      type: ['VirtualMachine'],
      recursive: true,
    });
    const specSet = [{ propSet: [{ type: 'VirtualMachine', pathSet: ['name'] }], objectSet: [throughView(view)] }];

    const first = await client.call('RetrievePropertiesEx', propertyCollector, { specSet, options: { maxObjects: 2 } });
    const second = await client.call('ContinueRetrievePropertiesEx', propertyCollector, { token: first.token! });
    const again = await errorOf(client.call('ContinueRetrievePropertiesEx', propertyCollector, { token: first.token! }));

    expect([...first.objects, ...second.objects].map(({ obj }) => obj.value)).to.have.members([...vcenter.machines, vcenter.appliance]);
    expect([first.objects.length, second.objects.length, second.token]).to.deep.equal([2, 1, undefined]);
    expect(again.context.vendorCode).to.equal('InvalidArgument');
  });

  it('refuses a change that was made for another state of the machine', async () => {
    const { 'config.changeVersion': changeVersion } = await vim.get(vm, 'config.changeVersion');
    await vim.reconfigure(vm, { annotation: 'first', changeVersion: changeVersion as string });

    const late = await errorOf(vim.reconfigure(vm, { annotation: 'second', changeVersion: changeVersion as string }));

    expect(late.context.vendorCode).to.equal('ConcurrentAccess');
    expect(await vim.get(vm, 'config.annotation')).to.deep.equal({ 'config.annotation': 'first' });
  });

  it('does what the rules of the lab ask, and is not there when its site is not', async () => {
    await vcenter.lab.call('lab.addFault', {
      rule: { method: 'vim.CreateSnapshot_Task', act: { vimFault: 'TooManySnapshotLevels', inTask: true }, times: 1 },
    });

    const refused = await errorOf(take());
    await vcenter.lab.call('lab.setLink', { site: 'site', up: false });
    const away = await errorOf(vim.get(vm, 'name'));
    await vcenter.lab.call('lab.setLink', { site: 'site', up: true });

    expect(refused.code).to.equal('SNAPSHOT_LIMIT_REACHED');
    expect(away.code).to.equal('CONNECTION_REFUSED');
    expect(await vim.get(vm, 'snapshot')).to.deep.equal({});
  });

  it('changes nothing for a client that has not logged in', async () => {
    await client.call('Logout', client.content.sessionManager!, {});
    const body = `<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><PowerOffVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">${id}</_this></PowerOffVM_Task></e:Body></e:Envelope>`;
    await using wire = vcenter.openWire(vcenter.config);

    const answer = await wire.send({ method: 'POST', url: '/sdk', headers: {}, body });

    expect(answer.status).to.equal(500);
    const { machines } = await vcenter.lab.call('lab.status', {});
    expect(machines.find(({ machine }) => machine === id)!.power).to.equal('on');
  });
});
