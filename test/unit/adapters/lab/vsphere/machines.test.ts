import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef } from '../../../../../adapters/vsphere/port.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import type { MachineId } from '../../../../../core/contract/index.ts';
import { addController, addDisk, failure, OWNER, VcenterBench } from './vcenter-bench.ts';

const MIB = 2 ** 20;

describe('machines of a simulated vCenter', () => {
  it('creates a machine with controller, disks and card in one spec, by negative keys', async () => {
    await using bench = await VcenterBench.open();
    const card = typed('VirtualVmxnet3', {
      key: -9,
      backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: '', network: bench.place('production') }),
      connectable: { startConnected: true, allowGuestControl: true, connected: false },
    });

    const made = (await bench.run(
      'CreateVM_Task',
      { type: 'Folder', value: 'group-v3' },
      {
        config: {
          name: 'replica%2f1',
          guestId: 'windows2019srv_64Guest',
          firmware: 'efi',
          numCPUs: 4,
          memoryMB: 1024,
          files: { vmPathName: '[ds-2]' },
          bootOptions: { efiSecureBootEnabled: true },
          extraConfig: [{ key: 'warmsite.owner', value: 'owner-1' }],
          deviceChange: [
            addDisk({ controllerKey: -1, createBytes: MIB, unitNumber: 6 }),
            addDisk({ controllerKey: -1, createBytes: 2 * MIB }),
            addController(-1),
            { operation: 'add', device: card },
          ],
        },
        pool: { type: 'ResourcePool', value: 'resgroup-0' },
      },
    )) as MoRef;
    const config = await bench.config(made);
    const { spec } = await bench.lab.control.call('lab.machine', { machine: made.value as MachineId });

    expect(await bench.read(made, 'name')).to.equal('replica%2f1');
    expect(config).to.include({ firmware: 'efi', changeTrackingEnabled: false });
    expect(config.hardware).to.include({ numCPU: 4, memoryMB: 1024 });
    expect(config.files.vmPathName).to.equal('[ds-2] replica%2f1/replica%2f1.vmx');
    const disks = await bench.disks(made);
    expect(disks.map(({ unitNumber, controllerKey, capacityInBytes }) => [controllerKey, unitNumber, capacityInBytes])).to.deep.equal([
      [1000, 6, MIB],
      [1000, 0, 2 * MIB],
    ]);
    expect(disks.map(({ backing }) => backing.fileName)).to.deep.equal([
      '[ds-2] replica%2f1/replica%2f1.vmdk',
      '[ds-2] replica%2f1/replica%2f1_1.vmdk',
    ]);
    expect(spec).to.deep.include({ firmware: 'uefi', secureBoot: true, cpuCount: 4, memoryBytes: 1024 * MIB });
    expect(spec.disks.map(({ id }) => id)).to.deep.equal(disks.map(({ backing }) => backing.uuid));
    expect(spec.nics).to.have.length(1);
    expect(spec.nics[0]).to.include({ id: `${made.value}/4000`, network: bench.place('production').value });
  });

  it('gives every machine of the estate its devices, and keeps them equal to what the lab changes', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const machine = vm.value as MachineId;
    const { spec } = await bench.lab.control.call('lab.machine', { machine });
    const version = (await bench.config(vm)).changeVersion;

    expect((await bench.disks(vm)).map(({ key, backing }) => [key, backing.uuid, backing.fileName])).to.deep.equal([
      [2000, spec.disks[0]!.id, '[ds-1] shop-db/shop-db.vmdk'],
    ]);
    expect((await bench.devices(vm, 'VirtualVmxnet3')).map(({ key }) => `${machine}/${key}`)).to.deep.equal(spec.nics.map(({ id }) => id));
    for (const type of [
      'ParaVirtualSCSIController',
      'VirtualIDEController',
      'VirtualPS2Controller',
      'VirtualMachineVideoCard',
      'VirtualMachineVMCIDevice',
    ]) {
      expect(await bench.devices(vm, type), type).not.to.have.length(0);
    }

    const { disk } = await bench.lab.control.call('lab.addDisk', { machine, sizeBytes: 2 * MIB });
    await bench.lab.control.call('lab.growDisk', { machine, disk: spec.disks[0]!.id, sizeBytes: 3 * MIB });
    await bench.lab.control.call('lab.rename', { machine, name: 'a/b' });
    expect((await bench.disks(vm)).map(({ backing, capacityInBytes }) => [backing.uuid, capacityInBytes])).to.deep.equal([
      [spec.disks[0]!.id, 3 * MIB],
      [disk, 2 * MIB],
    ]);
    expect(await bench.read(vm, 'name')).to.equal('a%2fb');
    expect((await bench.config(vm)).changeVersion).not.to.equal(version);

    await bench.lab.control.call('lab.removeDisk', { machine, disk });
    expect(await bench.disks(vm)).to.have.length(1);
  });

  it('takes a change by its version once, and knows each key of the extra configuration by its value', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const { changeVersion } = await bench.config(vm);

    await bench.reconfigure(vm, { changeVersion, annotation: 'a note', extraConfig: [{ key: 'warmsite.epoch', value: '{"epoch":1}' }] });
    expect(await failure(bench.reconfigure(vm, { changeVersion, annotation: 'another' }))).to.match(/ConcurrentAccess/);
    expect((await bench.config(vm)).annotation).to.equal('a note');
    await bench.reconfigure(vm, { deviceChange: [addDisk({ createBytes: MIB })] });
    expect((await bench.config(vm)).extraConfig).to.deep.equal(
      [{ $type: undefined, key: 'warmsite.epoch', value: '{"epoch":1}' }].map(({ key, value }) => ({ key, value })),
    );
    await bench.reconfigure(vm, { extraConfig: [{ key: 'warmsite.epoch', value: '' }] });
    expect((await bench.config(vm)).extraConfig ?? []).to.deep.equal([]);
  });

  it('refuses what a machine cannot have, and then nothing has changed', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const before = await bench.config(vm);
    const [disk] = await bench.disks(vm);
    const refused: [string, Parameters<VcenterBench['reconfigure']>[1], RegExp][] = [
      ['a unit that is taken', { deviceChange: [addDisk({ createBytes: MIB, unitNumber: 0 })] }, /InvalidDeviceSpec/],
      ['the unit of the controller itself', { deviceChange: [addDisk({ createBytes: MIB, unitNumber: 7 })] }, /InvalidDeviceSpec/],
      ['a controller that is not there', { deviceChange: [addDisk({ createBytes: MIB, controllerKey: 1003 })] }, /InvalidDeviceSpec/],
      ['a file that is not there', { deviceChange: [addDisk({ path: '[ds-1] none/none.vmdk' })] }, /FileNotFound/],
      [
        'a smaller disk',
        { deviceChange: [{ operation: 'edit', device: { ...disk!, capacityInKB: 512, capacityInBytes: 524_288 } as never }] },
        /InvalidDeviceSpec/,
      ],
      ['other processors while it runs', { numCPUs: 8 }, /InvalidPowerState/],
      [
        'one good and one bad device',
        { deviceChange: [addDisk({ createBytes: MIB }), addDisk({ createBytes: MIB, unitNumber: 0 })] },
        /InvalidDeviceSpec/,
      ],
    ];

    for (const [what, spec, fault] of refused) expect(await failure(bench.reconfigure(vm, spec)), what).to.match(fault);
    expect((await bench.config(vm)).hardware).to.deep.equal(before.hardware);
  });

  it('grows a disk, but none that has a snapshot', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const grow = async (bytes: number) => {
      const [disk] = await bench.disks(vm);
      return bench.reconfigure(vm, { deviceChange: [{ operation: 'edit', device: { ...disk!, capacityInKB: bytes / 1024 } as never }] });
    };

    await grow(2 * MIB);
    expect((await bench.disks(vm))[0]!.capacityInBytes).to.equal(2 * MIB);
    const snapshot = await bench.snapshot(vm);
    expect(await failure(grow(3 * MIB))).to.match(/InvalidDeviceSpec/);
    await bench.removeSnapshot(snapshot);
    await grow(3 * MIB);
    const { spec } = await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId });
    expect(spec.disks[0]!.sizeBytes).to.equal(3 * MIB);
  });

  it('moves a card to another network, and the estate sees whether it reaches it', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const nic = async () => (await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId })).spec.nics[0]!.network;
    const edit = async (more: object) => {
      const [card] = await bench.devices(vm, 'VirtualVmxnet3');
      return bench.reconfigure(vm, { deviceChange: [{ operation: 'edit', device: { ...card!, ...more } as never }] });
    };

    await edit({
      backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: 'management', network: bench.place('management') }),
    });
    expect(await nic()).to.equal(bench.place('management').value);
    await edit({ connectable: { startConnected: false, allowGuestControl: true, connected: false } });
    expect(await nic()).to.equal(undefined);
    await edit({ connectable: { startConnected: true, allowGuestControl: true, connected: false } });
    expect(await nic()).to.equal(bench.place('management').value);
  });
});

describe('power in a simulated vCenter', () => {
  it('never comes to a machine whose site has burned since the call', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    await bench.run('PowerOffVM_Task', vm, {});

    await bench.call('PowerOnVM_Task', vm, {});
    await bench.lab.control.call('lab.burnSite', { site: 'site-a' });
    await bench.lab.clock.sleep(5000);

    expect((await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId })).status.power).to.equal('off');
  });

  it('does not come to cards that the lab has isolated', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const port = bench.lab.open();
    await port.call('session.open', { endpoint: 'vcenter-a', owner: OWNER, username: 'warmsite', password: 'secret' });

    await port.call('fence.isolate', { endpoint: 'vcenter-a', owner: OWNER, machine: vm.value as MachineId });
    expect((await bench.devices(vm, 'VirtualVmxnet3'))[0]!.connectable).to.include({ startConnected: false, connected: false });
    await bench.run('PowerOnVM_Task', vm, {});
    expect((await bench.devices(vm, 'VirtualVmxnet3'))[0]!.connectable).to.include({ connected: false });
    const { spec } = await bench.lab.control.call('lab.machine', { machine: vm.value as MachineId });
    expect(spec.nics[0]!.network).to.equal(undefined);
  });

  it('goes on and off with the faults of the wrong state, and tells when it booted and who is up', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');

    expect(await failure(bench.run('PowerOnVM_Task', vm, {}))).to.match(/InvalidPowerState/);
    expect(await bench.read<object>(vm, 'guest')).to.include({ hostName: 'shop-db', toolsRunningStatus: 'guestToolsRunning' });
    await bench.run('PowerOffVM_Task', vm, {});
    expect(await failure(bench.run('PowerOffVM_Task', vm, {}))).to.match(/InvalidPowerState/);
    expect(await bench.read<object>(vm, 'runtime'))
      .to.include({ powerState: 'poweredOff' })
      .and.not.have.property('bootTime');
    await bench.run('PowerOnVM_Task', vm, {});
    expect(await failure(bench.call('ShutdownGuest', vm, {}))).to.match(/ToolsUnavailable/);
    await bench.lab.clock.sleep(1000);
    expect(await bench.read<object>(vm, 'runtime')).to.have.property('bootTime');
    await bench.call('ShutdownGuest', vm, {});
    await bench.lab.clock.sleep(1000);
    expect(await bench.read<object>(vm, 'runtime.powerState')).to.equal('poweredOff');
  });

  it('does one thing at a time to a machine', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');

    const first = bench.run('PowerOffVM_Task', vm, {});
    const second = await failure(bench.call('CreateSnapshot_Task', vm, { name: 's', memory: false, quiesce: false }));

    expect(second).to.match(/TaskInProgress/);
    await first;
    await bench.snapshot(vm);
  });

  it('gives a guest its addresses at the next start, and says so when it cannot', async () => {
    await using bench = await VcenterBench.open();
    const vm = bench.vm('shop-db');
    const spec = {
      identity: typed('CustomizationLinuxPrep', { hostName: typed('CustomizationFixedName', { name: 'shop-db' }), domain: 'example.org' }),
      globalIPSettings: {},
      nicSettingMap: [{ adapter: { ip: typed('CustomizationFixedIp', { ipAddress: '10.9.0.1' }), subnetMask: '255.255.255.0' } }],
    };

    expect(await failure(bench.run('CustomizeVM_Task', vm, { spec }))).to.match(/InvalidPowerState/);
    await bench.run('PowerOffVM_Task', vm, {});
    await bench.run('CustomizeVM_Task', vm, { spec });
    await bench.run('PowerOnVM_Task', vm, {});
    await bench.lab.clock.sleep(1000);
    expect(await bench.read(vm, 'guest.ipAddress')).to.equal('10.9.0.1');
    expect(await failure(bench.call('CheckCustomizationSpec', vm, { spec: { ...spec, nicSettingMap: [] } }))).to.match(
      /NicSettingMismatch/,
    );
    expect(await failure(bench.call('CheckCustomizationSpec', bench.appliance, { spec }))).not.to.equal('none');
  });
});
