import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { MoRef } from '../../../../adapters/vsphere/port.ts';
import { familyOf, isPlugged, powerOf, toMachine, toSpec } from '../../../../plugins/vmware/machine.ts';

type Device = Readonly<Record<string, unknown>>;
const controller = ($type: string, key: number, busNumber = 0): Device => ({ $type, key, busNumber });
const disk = (key: number, controllerKey: number, unitNumber: number, more: Device = {}): Device => ({
  $type: 'VirtualDisk',
  key,
  controllerKey,
  unitNumber,
  capacityInKB: 1024,
  backing: { uuid: `uuid-${key}`, fileName: `[store] web/${key}.vmdk`, datastore: { type: 'Datastore', value: 'datastore-12' } },
  ...more,
});
const card = (
  key: number,
  backing: object,
  connectable: object | undefined = { startConnected: true, connected: true },
  $type = 'VirtualVmxnet3',
): Device => ({
  $type,
  key,
  backing,
  ...(connectable === undefined ? {} : { connectable }),
  macAddress: `00:50:56:00:00:${key % 100}`,
});
const of = (devices: readonly Device[], more: Device = {}) =>
  toSpec('vm-101', { 'config.hardware.device': devices, 'config.guestId': 'debian12_64Guest', ...more });

const NETWORK: MoRef = { type: 'Network', value: 'network-3' };

describe('a machine of vSphere in neutral terms', () => {
  it('has its disks in the order of their places, whatever their order in the answer', () => {
    const devices = [
      disk(2016, 1001, 0),
      disk(3000, 200, 1),
      disk(2001, 1000, 1),
      disk(31_000, 31_000, 0),
      disk(2000, 1000, 0),
      disk(16_000, 15_000, 4),
      controller('VirtualIDEController', 200),
      controller('VirtualAHCIController', 15_000),
      controller('VirtualNVMEController', 31_000),
      controller('ParaVirtualSCSIController', 1000),
      controller('VirtualLsiLogicSASController', 1001, 1),
    ];

    const { disks, vendor } = of(devices);

    expect(disks.map(({ slot, bus }) => `${slot} ${bus}`)).to.deep.equal([
      'ide0:1 ide',
      'nvme0:0 nvme',
      'sata0:4 sata',
      'scsi0:0 scsi',
      'scsi0:1 scsi',
      'scsi1:0 scsi',
    ]);
    expect((vendor!['vmware'] as { controllers: object }).controllers).to.deep.equal({
      ide0: 'VirtualIDEController',
      sata0: 'VirtualAHCIController',
      nvme0: 'VirtualNVMEController',
      scsi0: 'ParaVirtualSCSIController',
      scsi1: 'VirtualLsiLogicSASController',
    });
  });

  it('has 60 disks, each once and in order', () => {
    const controllers = [0, 1, 2, 3].map((bus) => controller('ParaVirtualSCSIController', 1000 + bus, bus));
    const disks = controllers.flatMap((_, bus) =>
      Array.from({ length: 16 }, (_, unit) => unit)
        .filter((unit) => unit !== 7)
        .map((unit) => disk(2000 + bus * 16 + unit, 1000 + bus, unit)),
    );

    const spec = of([...controllers, ...disks.toReversed()]);

    expect(spec.disks.map(({ id }) => id)).to.deep.equal(disks.map(({ key }) => `uuid-${String(key)}`));
  });

  it('knows a disk by its uuid, else by machine and key', () => {
    const devices = [
      controller('ParaVirtualSCSIController', 1000),
      disk(2000, 1000, 0),
      disk(2001, 1000, 1, { backing: { fileName: '[store] b.vmdk' } }),
    ];

    expect(of(devices).disks.map(({ id }) => id)).to.deep.equal(['uuid-2000', 'vm-101/2001']);
  });

  it('boots from the disk that its boot order names first, else from the first', () => {
    const devices = [controller('ParaVirtualSCSIController', 1000), disk(2000, 1000, 0), disk(2001, 1000, 1)];
    const bootOrder = [
      { $type: 'VirtualMachineBootOptionsBootableCdromDevice' },
      { $type: 'VirtualMachineBootOptionsBootableDiskDevice', deviceKey: 2099 },
      { $type: 'VirtualMachineBootOptionsBootableDiskDevice', deviceKey: 2001 },
    ];
    const boots = (more?: Device) =>
      of(devices, more)
        .disks.filter(({ boot }) => boot)
        .map(({ id }) => id);

    expect(boots()).to.deep.equal(['uuid-2000']);
    expect(boots({ 'config.bootOptions': { bootOrder } })).to.deep.equal(['uuid-2001']);
  });

  it('has sizes in bytes, to the byte where the server gives them so', () => {
    const devices = [
      disk(2000, 1000, 0, { capacityInBytes: 1_049_088 }),
      disk(2001, 1000, 1),
      disk(2002, 1000, 2, { capacityInBytes: 2n ** 40n }),
    ];

    expect(of(devices).disks.map(({ sizeBytes }) => sizeBytes)).to.deep.equal([1_049_088, 1_048_576, 2 ** 40]);
  });

  it('names the datastore of each disk, and sectors that are not of 512 bytes', () => {
    const other = { uuid: 'b', fileName: '', datastore: { type: 'Datastore', value: 'datastore-9' } };
    const [first, second] = of([disk(2000, 1000, 0), disk(2001, 1000, 1, { backing: other, virtualDiskFormat: 'native_4k' })]).disks;

    expect([first!.storage, second!.storage]).to.deep.equal(['Datastore:datastore-12', 'Datastore:datastore-9']);
    expect([first!.logicalSectorBytes, second!.logicalSectorBytes]).to.deep.equal([512, 4096]);
  });

  it('has firmware, secure boot and a TPM', () => {
    const spec = of([{ $type: 'VirtualTPM', key: 11_000 }], {
      'config.firmware': 'efi',
      'config.bootOptions': { efiSecureBootEnabled: true },
    });

    expect(spec).to.include({ firmware: 'uefi', secureBoot: true, tpm: true });
    expect(of([])).to.include({ firmware: 'bios' }).and.not.have.any.keys('secureBoot', 'tpm');
  });

  it('has its cards with model, address and network, on standard and on distributed switches', () => {
    const port = { port: { portgroupKey: 'dvportgroup-7', switchUuid: '50 11' } };
    const { nics } = of([card(4001, port, undefined, 'VirtualE1000e'), card(4000, { network: NETWORK, deviceName: 'VM Network' })]);

    expect(nics).to.deep.equal([
      { id: 'vm-101/4000', model: 'vmxnet3', mac: '00:50:56:00:00:0', network: 'Network:network-3' },
      { id: 'vm-101/4001', model: 'e1000e', mac: '00:50:56:00:00:1', network: 'DistributedVirtualPortgroup:dvportgroup-7' },
    ]);
  });

  it('has no network on a card that is pulled now and at the next start', () => {
    const pulled = { startConnected: false, connected: false };

    expect(of([card(4000, { network: NETWORK }, pulled)]).nics[0]).not.to.have.property('network');
    expect(of([card(4000, { network: NETWORK }, { startConnected: false, connected: true })]).nics[0]).to.have.property('network');
  });

  it('is heard through a card on a network that has no place here', () => {
    const opaque = { opaqueNetworkId: 'id-7', opaqueNetworkType: 'nsx.LogicalSwitch' };
    const plugged = (connectable?: object) => isPlugged(card(4000, opaque, connectable) as never);

    expect(plugged()).to.equal(true);
    expect(plugged({ startConnected: true, connected: false })).to.equal(true);
    expect(plugged({ startConnected: false, connected: true })).to.equal(true);
    expect(plugged({ startConnected: false, connected: false })).to.equal(false);
  });

  for (const [guestId, family] of [
    ['windows2019srv_64Guest', 'windows'],
    ['winNetEnterpriseGuest', 'windows'],
    ['debian12_64Guest', 'linux'],
    ['rhel9_64Guest', 'linux'],
    ['otherLinux64Guest', 'linux'],
    ['other5xLinux64Guest', 'linux'],
    ['vmwarePhoton64Guest', 'linux'],
    ['freebsd13_64Guest', 'other'],
    ['darwin21_64Guest', 'other'],
    ['otherGuest64', 'other'],
  ] as const) {
    it(`runs ${family} where the server says ${guestId}`, () => {
      expect(familyOf(guestId)).to.equal(family);
    });
  }

  it('is known to be off only by a host that answers', () => {
    const state = (power: string | undefined, connection?: string) =>
      powerOf({ 'runtime.powerState': power, ...(connection === undefined ? {} : { 'runtime.connectionState': connection }) });

    expect(state('poweredOff', 'connected')).to.equal('off');
    expect(state('poweredOff', 'disconnected')).to.equal('unknown');
    expect(state('poweredOff', 'inaccessible')).to.equal('unknown');
    expect(state('poweredOn')).to.equal('on');
    expect(state(undefined)).to.equal('unknown');
  });

  it('without a configuration, as a host that is gone leaves it, is still a machine with a name', () => {
    const machine = toMachine({ type: 'VirtualMachine', value: 'vm-9' }, { 'runtime.connectionState': 'inaccessible' }, {});

    expect(machine).to.include({ id: 'vm-9', name: 'vm-9', power: 'unknown' });
    expect(machine.spec.disks).to.deep.equal([]);
  });

  it('has names and addresses of the guest only while its tools answer', () => {
    const props = {
      'guest.hostName': 'web',
      'guest.net': [{ ipAddress: ['10.0.0.1', 'fe80::1'] }, { ipAddress: ['10.0.0.1'] }, {}],
      name: 'a%2fb',
    };
    const at = (tools: string) => toMachine({ type: 'VirtualMachine', value: 'vm-9' }, { ...props, 'guest.toolsRunningStatus': tools }, {});

    expect(at('guestToolsRunning')).to.deep.include({ guestName: 'web', addresses: ['10.0.0.1', 'fe80::1'], name: 'a/b' });
    expect(at('guestToolsNotRunning')).to.deep.include({ addresses: [] }).and.not.have.property('guestName');
  });

  for (const [extensionKey, product] of [
    ['com.vmware.vcDr', 'VMware Site Recovery Manager'],
    ['com.vmware.vcHms', 'vSphere Replication'],
    ['com.zerto.zvm', 'Zerto'],
  ] as const) {
    it(`says that ${product} has it`, () => {
      const props = { 'config.managedBy': { extensionKey, type: 'placeholder' } };

      expect(toMachine({ type: 'VirtualMachine', value: 'vm-9' }, props, {}).protectedElsewhere).to.equal(product);
    });
  }
});
