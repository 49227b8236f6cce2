import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { VirtualDevice } from '../../../../adapters/vsphere/port.ts';
import type { DiskId, DiskSpec, MachineSpec, NicId, NicSpec } from '../../../../core/contract/index.ts';
import {
  cableTo,
  cardAddition,
  controllerChanges,
  diskAddition,
  keepsAddress,
  memoryMB,
  placeDisks,
  spareNetwork,
} from '../../../../plugins/vmware/devices.ts';
import { callOf, errorOf, MIB, madeUp } from './ground.ts';

const diskSpec = (id: string, bus: DiskSpec['bus'], slot: string, boot = false): DiskSpec => ({
  id: id as DiskId,
  sizeBytes: MIB,
  bus,
  slot,
  boot,
  logicalSectorBytes: 512,
  physicalSectorBytes: 512,
});

const machineSpec = (disks: readonly DiskSpec[], more: Partial<MachineSpec> = {}): MachineSpec => ({
  firmware: 'bios',
  cpuCount: 1,
  memoryBytes: 512 * MIB,
  guest: { family: 'linux' },
  disks,
  nics: [],
  ...more,
});

const vmware = (controllers: Readonly<Record<string, string>>) => ({ vendor: { vmware: { controllers } } });
const many = (count: number, bus: DiskSpec['bus'] = 'scsi') =>
  Array.from({ length: count }, (_, index) => diskSpec(`disk-${index}`, bus, `${index}`, index === 0));
const slots = (spec: MachineSpec, taken?: ReadonlySet<string>) => placeDisks(spec, taken).map(({ slot }) => slot);

describe('where disks of a replica hang', () => {
  it('is where they hung in a source of VMware, gaps and all', () => {
    const disks = [diskSpec('a', 'scsi', 'scsi0:3', true), diskSpec('b', 'nvme', 'nvme1:2'), diskSpec('c', 'ide', 'ide1:0')];
    const spec = machineSpec(
      disks,
      vmware({ scsi0: 'ParaVirtualSCSIController', nvme1: 'VirtualNVMEController', ide1: 'VirtualIDEController' }),
    );

    expect(slots(spec)).to.deep.equal(['scsi0:3', 'nvme1:2', 'ide1:0']);
  });

  it('is one after the other for sources of other kinds, the boot disk first', () => {
    const disks = [diskSpec('data', 'scsi', '0:0'), diskSpec('system', 'scsi', '0:1', true), diskSpec('log', 'virtio', 'vdc')];

    const placed = placeDisks(machineSpec(disks));

    expect(placed.map(({ spec, slot }) => `${spec.id} ${slot}`)).to.deep.equal(['system scsi0:0', 'data scsi0:1', 'log scsi0:2']);
  });

  for (const [bus, first] of [
    ['scsi', 'scsi0:0'],
    ['virtio', 'scsi0:0'],
    ['sata', 'sata0:0'],
    ['nvme', 'nvme0:0'],
    ['ide', 'ide0:0'],
  ] as const) {
    it(`begins at ${first} for the bus ${bus}`, () => {
      expect(slots(machineSpec([diskSpec('a', bus, 'whatever', true)]))).to.deep.equal([first]);
    });
  }

  it('has room for 60 disks on SCSI, and never takes unit 7, which is the controller itself', () => {
    const placed = placeDisks(machineSpec(many(60)));

    expect(new Set(placed.map(({ slot }) => slot)).size).to.equal(60);
    expect(placed.map(({ unitNumber }) => unitNumber)).not.to.include(7);
    expect(new Set(placed.map(({ controller }) => controller))).to.deep.equal(new Set(['scsi0', 'scsi1', 'scsi2', 'scsi3']));
  });

  it('refuses the 61st with the reason, in place of two disks at one place', () => {
    expect(() => placeDisks(machineSpec(many(61)))).to.throw(/no place for 61 disks: 60 on SCSI/);
  });

  it('goes on to SCSI where a bus holds no more', () => {
    expect(slots(machineSpec(many(6, 'ide')))).to.deep.equal(['ide0:0', 'ide0:1', 'ide1:0', 'ide1:1', 'scsi0:0', 'scsi0:1']);
  });

  it('never is where something hangs already, and no two disks share a place', () => {
    const anySlot = fc
      .tuple(fc.constantFrom('scsi', 'sata', 'nvme', 'ide'), fc.nat(1), fc.nat(3))
      .map(([kind, bus, unit]) => `${kind}${bus}:${unit}`);
    const anyDisk = fc.tuple(fc.constantFrom('scsi', 'sata', 'nvme', 'ide', 'virtio'), anySlot, fc.boolean());
    const known = Object.fromEntries(['scsi0', 'scsi1', 'sata0', 'nvme0', 'ide0'].map((name) => [name, 'x']));
    fc.assert(
      fc.property(fc.array(anyDisk, { maxLength: 20 }), fc.array(anySlot, { maxLength: 12 }), fc.boolean(), (rows, taken, isVmware) => {
        const disks = rows.map(([bus, slot, boot], index) => diskSpec(`${index}`, bus as DiskSpec['bus'], slot, boot));
        const placed = placeDisks(machineSpec(disks, isVmware ? vmware(known) : {}), new Set(taken));

        expect(placed.map(({ spec }) => spec.id).sort()).to.deep.equal(disks.map(({ id }) => id).sort());
        expect(new Set([...placed.map(({ slot }) => slot), ...taken]).size).to.equal(placed.length + new Set(taken).size);
        for (const { slot, controller, unitNumber } of placed) expect(slot).to.equal(`${controller}:${unitNumber}`);
      }),
    );
  });
});

describe('controllers of a replica', () => {
  const typesFor = (spec: MachineSpec, wanted: readonly string[], there = new Map<string, number>()) => {
    const { changes, keys } = controllerChanges(spec, wanted, there);
    return { types: changes.map(({ device }) => device.$type), keys, changes };
  };

  it('are those of the source', () => {
    const { types } = typesFor(machineSpec([], vmware({ scsi0: 'VirtualBusLogicController' })), ['scsi0']);

    expect(types).to.deep.equal(['VirtualBusLogicController']);
  });

  it('are of a kind for which the guest has a driver in the box', () => {
    expect(typesFor(machineSpec([], { guest: { family: 'windows' } }), ['scsi0']).types).to.deep.equal(['VirtualLsiLogicSASController']);
    expect(typesFor(machineSpec([]), ['scsi0', 'sata0', 'nvme0']).types).to.deep.equal([
      'VirtualNVMEController',
      'VirtualAHCIController',
      'ParaVirtualSCSIController',
    ]);
  });

  it('are added once each, with keys of the same request that their disks name, and not where they are', () => {
    const { types, keys, changes } = typesFor(machineSpec([]), ['scsi0', 'scsi1', 'scsi0', 'ide0'], new Map([['scsi1', 1001]]));

    expect(types).to.have.length(1);
    expect(keys.get('scsi1')).to.equal(1001);
    expect(keys.get('ide0')).to.equal(200);
    expect(keys.get('scsi0')).to.equal(changes[0]!.device.key).and.to.be.lessThan(0);
  });

  it('carry disks of the whole size, also where it is no multiple of a kilobyte', () => {
    const [placed] = placeDisks(machineSpec([{ ...diskSpec('a', 'scsi', 'x', true), sizeBytes: MIB + 512 }]));
    const { device } = diskAddition(placed!, -100, '[store] a/disk-0.vmdk', -200) as { device: VirtualDevice & Record<string, unknown> };

    expect(device['capacityInKB']).to.equal(1025);
    expect(device['capacityInBytes']).to.equal(MIB + 512);
  });
});

describe('memory of a replica', () => {
  it('comes in steps of 4 MiB, and is never less than the source has', () => {
    for (const [bytes, expected] of [
      [512 * MIB, 512],
      [1026 * MIB, 1028],
      [MIB, 4],
      [2 ** 31 + 1, 2052],
    ] as const)
      expect(memoryMB(machineSpec([], { memoryBytes: bytes }))).to.equal(expected);
  });
});

describe('network cards of a replica', () => {
  for (const [mac, keeps] of [
    ['00:15:5d:01:02:03', true],
    ['00:50:56:3f:ff:ff', true],
    ['00:50:56:00:00:01', true],
    ['00:50:56:40:00:00', false],
    ['00:50:56:A1:00:00', false],
    ['00:0C:29:01:02:03', false],
    ['01:15:5d:01:02:03', false],
    ['00:15:5d:01:02', false],
    [undefined, false],
  ] as const) {
    it(`${keeps ? 'keep' : 'do not ask for'} the address ${mac}`, () => {
      expect(keepsAddress(mac)).to.equal(keeps);
    });
  }

  const nic = (more: Partial<NicSpec> = {}): NicSpec => ({ id: 'nic' as NicId, ...more });
  const added = (one: NicSpec, family: 'windows' | 'linux') =>
    cardAddition(one, machineSpec([], { guest: { family } }), { backing: undefined, connected: true }, -400).device as VirtualDevice &
      Record<string, unknown>;

  it('are of the model that the source has, else of one for which the guest has a driver', () => {
    expect(added(nic({ model: 'e1000' }), 'windows').$type).to.equal('VirtualE1000');
    expect(added(nic({ model: 'synthetic' }), 'windows').$type).to.equal('VirtualE1000e');
    expect(added(nic({ model: 'virtio' }), 'linux').$type).to.equal('VirtualVmxnet3');
  });

  it('say who gave the address', () => {
    expect(added(nic({ mac: '00:15:5d:01:02:03' }), 'linux')).to.include({ addressType: 'manual', macAddress: '00:15:5d:01:02:03' });
    expect(added(nic({ mac: '00:50:56:a1:02:03' }), 'linux'))
      .to.include({ addressType: 'generated' })
      .and.not.have.property('macAddress');
  });

  const vcenter = madeUp({
    'DistributedVirtualPortgroup:dvportgroup-1': { name: 'dvs-DVUplinks-9' },
    'DistributedVirtualPortgroup:dvportgroup-2': {
      name: 'production',
      'config.key': 'dvportgroup-2',
      'config.distributedVirtualSwitch': { type: 'VmwareDistributedVirtualSwitch', value: 'dvs-1' },
    },
    'VmwareDistributedVirtualSwitch:dvs-1': { uuid: '50 11' },
    'OpaqueNetwork:network-o7': { name: 'segment', summary: { opaqueNetworkId: 'id-7', opaqueNetworkType: 'nsx.LogicalSwitch' } },
    'Network:network-3': { name: 'VM Network' },
  });

  for (const [place, expected] of [
    ['Network:network-3', { $type: 'VirtualEthernetCardNetworkBackingInfo', deviceName: 'VM Network' }],
    [
      'OpaqueNetwork:network-o7',
      { $type: 'VirtualEthernetCardOpaqueNetworkBackingInfo', opaqueNetworkId: 'id-7', opaqueNetworkType: 'nsx.LogicalSwitch' },
    ],
  ] as const) {
    it(`hang on ${place} as its kind wants it`, async () => {
      const { backing, connected } = await cableTo(vcenter, place as never, undefined, callOf());

      expect(backing).to.include(expected);
      expect(connected).to.equal(true);
    });
  }

  it('hang on a port group of a distributed switch by its key and the identity of the switch', async () => {
    const { backing } = await cableTo(vcenter, 'DistributedVirtualPortgroup:dvportgroup-2' as never, undefined, callOf());

    expect(backing).to.deep.equal({
      $type: 'VirtualEthernetCardDistributedVirtualPortBackingInfo',
      port: { switchUuid: '50 11', portgroupKey: 'dvportgroup-2' },
    });
  });

  it('without a place name a network that takes cards, never the uplinks of a distributed switch', async () => {
    const uplinks = { type: 'DistributedVirtualPortgroup', value: 'dvportgroup-1' };
    const group = { type: 'DistributedVirtualPortgroup', value: 'dvportgroup-2' };
    const plain = { type: 'Network', value: 'network-3' };

    expect(await spareNetwork(vcenter, [uplinks, group], callOf())).to.deep.equal(group);
    expect(await spareNetwork(vcenter, [uplinks, group, plain], callOf())).to.deep.equal(plain);
    expect(await spareNetwork(vcenter, [uplinks], callOf())).to.equal(undefined);
    expect((await cableTo(vcenter, 'disconnected', plain, callOf())).connected).to.equal(false);
  });

  it('on a network that is gone are refused by its name', async () => {
    const error = await errorOf(cableTo(vcenter, 'Network:network-99' as never, undefined, callOf()));

    expect(error.code).to.equal('NOT_FOUND');
    expect(error.message).to.include('network-99');
  });
});
