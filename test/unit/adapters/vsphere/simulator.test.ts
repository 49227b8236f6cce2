// What our plugin does to a vCenter, call by call, at one that we did not write.
import { expect } from 'chai';
import {
  isFault,
  type MoRef,
  typed,
  type UpdateSet,
  type UserSession,
  type VimArgs,
  type VirtualDiskFlatVer2BackingInfo,
  type VirtualMachineSnapshotInfo,
  type VsphereClient,
} from '../../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../../adapters/vsphere/vim25/client.ts';
import { openWire } from '../../../../adapters/vsphere/wire.ts';
import { type Drsim, requireDrsim, startDrsim } from '../../../support/drsim.ts';
import { errorOf } from '../../../support/errors.ts';
import { addCard, addDisk, throughView, Vim } from '../../../support/vim.ts';

const MIB = 2 ** 20;

const fileOf = (disk: { readonly backing?: unknown }): string => (disk.backing as VirtualDiskFlatVer2BackingInfo).fileName;

const reIp: VimArgs<'CustomizeVM_Task'>['spec'] = {
  identity: typed('CustomizationLinuxPrep', { hostName: typed('CustomizationFixedName', { name: 'dr-host' }), domain: 'example.org' }),
  globalIPSettings: { dnsServerList: ['10.0.0.53'] },
  nicSettingMap: [
    {
      adapter: { ip: typed('CustomizationFixedIp', { ipAddress: '10.9.8.7' }), subnetMask: '255.255.255.0', gateway: ['10.9.8.1'] },
    },
  ],
};

describe('a vCenter that we did not write', () => {
  before(async function () {
    await requireDrsim(this);
  });

  describe('with three machines', () => {
    let vcenter: Drsim;
    let client: VsphereClient;
    let vim: Vim;
    let vm: MoRef;
    let neighbour: MoRef;
    let vmFolder: MoRef;

    before(async () => {
      vcenter = await startDrsim({ vms: 3, hosts: 1 });
    });
    after(async () => {
      await vcenter[Symbol.asyncDispose]();
    });

    beforeEach(async () => {
      client = await openVim25(openWire, vcenter.config);
      vim = new Vim(client);
      vmFolder = (await vim.list('Datacenter', 'vmFolder'))[0]!['vmFolder'] as MoRef;
      [vm, neighbour] = (await vim.list('VirtualMachine', 'name')).map(({ obj }) => obj) as [MoRef, MoRef];
    });
    afterEach(async () => {
      await client[Symbol.asyncDispose]();
    });

    const create = async (config: Partial<VimArgs<'CreateVM_Task'>['config']>): Promise<MoRef> => {
      const { resourcePool } = await vim.get(vm, 'resourcePool');
      const whole = { guestId: 'debian10_64Guest', files: { vmPathName: '[LocalDS_0]' }, numCPUs: 2, memoryMB: 1024, ...config };
      return (await vim.task('CreateVM_Task', vmFolder, { pool: resourcePool as MoRef, config: whole })) as MoRef;
    };
    const controller = typed('ParaVirtualSCSIController', { key: -1, busNumber: 0, sharedBus: 'noSharing' });
    const newMachine = (name: string): Promise<MoRef> =>
      create({
        name,
        deviceChange: [
          { operation: 'add', device: controller },
          addDisk({ controllerKey: -1, unitNumber: 0, capacityBytes: 4 * MIB }),
          addCard('VM Network', '00:50:56:00:00:01'),
        ],
      });

    it('powers a machine off and on, and names the state that stands in the way', async () => {
      await vim.task('PowerOffVM_Task', vm, {});
      const twice = await errorOf(vim.task('PowerOffVM_Task', vm, {}));
      const guest = await errorOf(client.call('ShutdownGuest', vm, {}));
      await vim.task('PowerOnVM_Task', vm, {});

      for (const error of [twice, guest]) {
        expect(error.code).to.equal('STATE_CONFLICT');
        expect(error.context.vendorCode).to.equal('InvalidPowerState');
        expect(error.message).to.include('poweredOff');
      }
      expect(await vim.get(vm, 'runtime.powerState')).to.deep.equal({ 'runtime.powerState': 'poweredOn' });
    });

    it('creates a machine with controller, disks and card in one request, and reads back what it wrote', async () => {
      const name = 'a%25b%2fc%5cd & <x> "q" 日本';
      const uuid = '6000c290-1111-2222-3333-444455556666';

      const made = await create({
        name,
        firmware: 'efi',
        annotation: 'two\nlines & <more>',
        extraConfig: [typed('OptionValue', { key: 'warmsite.epoch', value: '{"epoch":1}' })],
        deviceChange: [
          { operation: 'add', device: controller },
          addDisk({ controllerKey: -1, unitNumber: 0, capacityBytes: 64 * MIB, uuid }),
          addDisk({ controllerKey: -1, unitNumber: 1, capacityBytes: 3 * 2 ** 40 }),
          addCard('VM Network', '00:50:56:00:00:02'),
        ],
      });

      const read = await vim.get(made, 'name', 'config.annotation', 'config.firmware', 'config.extraConfig');
      expect(read).to.include({ name, 'config.annotation': 'two\nlines & <more>', 'config.firmware': 'efi' });
      expect(read['config.extraConfig']).to.deep.include({ $type: 'OptionValue', key: 'warmsite.epoch', value: '{"epoch":1}' });
      const disks = await vim.disks(made);
      expect(disks.map(({ capacityInBytes }) => capacityInBytes)).to.deep.equal([64 * MIB, 3 * 2 ** 40]);
      expect(disks[0]).to.have.nested.property('backing.uuid', uuid);
      expect((await vim.cards(made)).map(({ macAddress }) => macAddress)).to.deep.equal(['00:50:56:00:00:02']);
      await vim.task('Destroy_Task', made, {});
      expect((await errorOf(client.call('PowerOnVM_Task', made, {}))).code).to.equal('NOT_FOUND');
    });

    it('adds, grows, lends, takes back and deletes a disk', async () => {
      const made = await newMachine('disks');
      const [controllerKey = 0] = await vim.controllerKeys(made);
      const [hot = 0] = await vim.controllerKeys(neighbour);

      await vim.change(made, addDisk({ controllerKey, unitNumber: 1, capacityBytes: 2 * MIB, uuid: 'of-the-disk' }));
      const added = (await vim.disks(made))[1]!;
      const grown = { ...added, capacityInKB: 4096, capacityInBytes: 4 * MIB };
      await vim.change(made, { operation: 'edit', device: grown });
      expect((await vim.disks(made))[1]).to.include({ capacityInBytes: 4 * MIB });

      const file = fileOf(added);
      const lend = addDisk({ controllerKey: hot, unitNumber: 5, capacityBytes: 4 * MIB, file, diskMode: 'independent_persistent' });
      await vim.change(neighbour, lend);
      const lent = (await vim.disks(neighbour)).find((disk) => fileOf(disk) === file)!;
      expect(lent.backing).to.include({ diskMode: 'independent_persistent' });
      await vim.change(neighbour, { operation: 'remove', device: lent });
      expect((await vim.disks(neighbour)).map(fileOf)).not.to.include(file);

      await vim.change(made, { operation: 'remove', fileOperation: 'destroy', device: grown });
      const gone = await errorOf(vim.change(neighbour, lend));
      expect(gone.code).to.equal('NOT_FOUND');
      expect(gone.context.vendorCode).to.equal('FileNotFound');
    });

    it('refuses two disks in one slot', async () => {
      const made = await newMachine('slots');
      const [controllerKey = 0] = await vim.controllerKeys(made);

      const error = await errorOf(vim.change(made, addDisk({ controllerKey, unitNumber: 0, capacityBytes: MIB })));

      expect(isFault(error, 'InvalidDeviceSpec')).to.equal(true);
    });

    it('moves a card to a port group on a switch without uplinks, and takes both away again', async () => {
      const made = await newMachine('cards');
      const [host] = await vim.list('HostSystem', 'configManager');
      const { networkSystem } = host!['configManager'] as { readonly networkSystem: MoRef };
      const name = 'ws-01234567-89abcdef';

      await client.call('AddVirtualSwitch', networkSystem, { vswitchName: name, spec: { numPorts: 128 } });
      await client.call('AddPortGroup', networkSystem, { portgrp: { name, vlanId: 0, vswitchName: name, policy: {} } });
      const twice = await errorOf(client.call('AddVirtualSwitch', networkSystem, { vswitchName: name, spec: { numPorts: 128 } }));
      const [card] = await vim.cards(made);
      const backing = typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: name });
      await vim.change(made, { operation: 'edit', device: { ...card!, backing } });

      expect(twice.code).to.equal('STATE_CONFLICT');
      const [network] = (await vim.list('Network', 'name')).filter((row) => row['name'] === name);
      expect((await vim.get(made, 'network'))['network']).to.deep.equal([network!.obj]);
      await vim.change(made, { operation: 'remove', device: (await vim.cards(made))[0]! });
      expect(await vim.cards(made)).to.deep.equal([]);
      await client.call('RemovePortGroup', networkSystem, { pgName: name });
      await client.call('RemoveVirtualSwitch', networkSystem, { vswitchName: name });
      expect((await vim.list('Network', 'name')).map((row) => row['name'])).not.to.include(name);
      expect((await errorOf(client.call('RemovePortGroup', networkSystem, { pgName: name }))).code).to.equal('NOT_FOUND');
    });

    it('gives a machine its new address at the next power-on', async () => {
      const made = await newMachine('addresses');

      await vim.task('CustomizeVM_Task', made, { spec: reIp });
      const pending = await errorOf(vim.task('CustomizeVM_Task', made, { spec: reIp }));
      await vim.task('PowerOnVM_Task', made, {});
      const running = await errorOf(vim.task('CustomizeVM_Task', made, { spec: reIp }));

      expect(isFault(pending, 'CustomizationFault')).to.equal(true);
      expect(isFault(running, 'InvalidPowerState')).to.equal(true);
      expect(await vim.get(made, 'guest.ipAddress', 'guest.hostName')).to.deep.equal({
        'guest.ipAddress': '10.9.8.7',
        'guest.hostName': 'dr-host',
      });
    });

    it('clones a machine and renames it', async () => {
      const made = await newMachine('original');

      const clone = (await vim.task('CloneVM_Task', made, {
        folder: vmFolder,
        name: 'copy',
        spec: { location: {}, powerOn: false, template: false },
      })) as MoRef;
      await vim.task('Rename_Task', clone, { newName: 'renamed & <b>' });

      expect(await vim.get(clone, 'name', 'runtime.powerState')).to.deep.equal({
        name: 'renamed & <b>',
        'runtime.powerState': 'poweredOff',
      });
      expect((await vim.disks(clone)).map(({ capacityInBytes }) => capacityInBytes)).to.deep.equal([4 * MIB]);
    });

    it('finds a machine by its uuid, and who switched it', async () => {
      const { 'config.uuid': uuid } = await vim.get(vm, 'config.uuid');
      const filter = { entity: { entity: vm, recursion: 'self' }, eventTypeId: ['VmPoweredOffEvent'] } as const;
      const before = await client.call('QueryEvents', client.content.eventManager!, { filter });

      await vim.task('PowerOffVM_Task', vm, {});

      const found = await client.call('FindByUuid', client.content.searchIndex!, { uuid: uuid as string, vmSearch: true });
      const after = await client.call('QueryEvents', client.content.eventManager!, { filter });
      await vim.task('PowerOnVM_Task', vm, {});
      expect(found).to.deep.equal(vm);
      expect(after.length).to.equal(before.length + 1);
      expect(after.at(-1)).to.include({ $type: 'VmPoweredOffEvent', userName: vcenter.username });
    });

    it('takes snapshots, shows them as a tree, and removes them', async () => {
      const made = await newMachine('snapshots');
      const description = '{"warmsite":1,"owner":"o&1"}';
      const take = (name: string) => vim.task('CreateSnapshot_Task', made, { name, description, memory: false, quiesce: true });

      const first = (await take('one')) as MoRef;
      const second = (await take('two')) as MoRef;

      const { snapshot } = (await vim.get(made, 'snapshot')) as { readonly snapshot: VirtualMachineSnapshotInfo };
      const [root] = snapshot.rootSnapshotList!;
      expect(snapshot.currentSnapshot).to.deep.equal(second);
      expect(root).to.include({ name: 'one', description, quiesced: true });
      expect(root!.childSnapshotList!.map((child) => child.snapshot)).to.deep.equal([second]);
      for (const one of [second, first]) await vim.task('RemoveSnapshot_Task', one, { removeChildren: false, consolidate: true });
      expect(await vim.get(made, 'snapshot')).to.deep.equal({});
      expect((await errorOf(vim.task('RemoveSnapshot_Task', first, { removeChildren: false }))).code).to.equal('NOT_FOUND');
    });

    it('tells of a change while somebody waits, and of nothing else', async () => {
      const collector = await client.call('CreatePropertyCollector', client.content.propertyCollector, {});
      const { viewManager, rootFolder } = client.content;
      const view = await client.call('CreateContainerView', viewManager!, {
        container: rootFolder,
        type: ['VirtualMachine'],
        recursive: true,
      });
      const propSet = [{ type: 'VirtualMachine', pathSet: ['runtime.powerState'] }];
      await client.call('CreateFilter', collector, { partialUpdates: false, spec: { propSet, objectSet: [throughView(view)] } });
      const wait = (version: string): Promise<UpdateSet> =>
        client.call('WaitForUpdatesEx', collector, { version, options: { maxWaitSeconds: 10 } });
      const { version, filterSet } = await wait('');

      const waiting = wait(version);
      await vim.reconfigure(vm, { annotation: 'no filter asks for it' });
      await vim.task('PowerOffVM_Task', vm, {});
      const heard = await waiting;
      let ended = false;
      const cancelled = errorOf(wait(heard.version)).finally(() => {
        ended = true;
      });
      // Whichever of the two calls arrives first.
      while (!ended) await client.call('CancelWaitForUpdates', collector, {});

      expect(filterSet![0]!.objectSet!.every(({ kind }) => kind === 'enter')).to.equal(true);
      const changes = heard.filterSet!.flatMap(({ objectSet = [] }) => objectSet);
      expect(changes).to.deep.equal([
        { kind: 'modify', obj: vm, changeSet: [{ name: 'runtime.powerState', op: 'assign', val: 'poweredOff' }] },
      ]);
      expect((await cancelled).context.vendorCode).to.equal('RequestCanceled');
      await client.call('DestroyPropertyCollector', collector, {});
      await vim.task('PowerOnVM_Task', vm, {});
    });

    it('goes on after a call of which it dropped the connection', async () => {
      const made = await newMachine('dropped');

      // The simulator panics over a network that it does not know.
      const error = await errorOf(vim.change(made, addCard('there is no such network', '00:50:56:00:00:03')));

      expect(error.code).to.equal('CONNECTION_LOST');
      expect(await vim.get(made, 'name')).to.deep.equal({ name: 'dropped' });
    });
  });

  it('shows 1,000 machines with all their devices', async function () {
    this.timeout(60_000);
    await using vcenter = await startDrsim({ vms: 1000 });
    await using client = await openVim25(openWire, vcenter.config);

    const rows = await new Vim(client).list('VirtualMachine', 'name', 'config.hardware.device', 'runtime.powerState');

    expect(rows).to.have.length(1000);
    expect(new Set(rows.map((row) => row['name'])).size).to.equal(1000);
    expect(rows.every((row) => (row['config.hardware.device'] as unknown[]).length > 10)).to.equal(true);
  });

  it('is logged in to again once it has forgotten an idle session, once for all who ask at the same time', async () => {
    await using vcenter = await startDrsim({ vms: 1, sessionIdleMs: 500 });
    await using witness = await openVim25(openWire, vcenter.config);
    await using client = await openVim25(openWire, vcenter.config);
    const sessions = async () =>
      ((await new Vim(witness).get(witness.content.sessionManager!, 'sessionList'))['sessionList'] as UserSession[]).map(({ key }) => key);
    const before = client.sessionKey;
    while ((await sessions()).includes(before));

    const rows = await Promise.all(Array.from({ length: 20 }, () => new Vim(client).list('Datacenter', 'name')));

    expect(rows.every(([row]) => row?.['name'] === 'DC0')).to.equal(true);
    expect(await sessions()).to.have.members([witness.sessionKey, client.sessionKey]);
    expect(client.sessionKey).not.to.equal(before);
  });
});
