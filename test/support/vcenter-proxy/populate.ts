// What a simulator is given before anybody looks: networks, machines without disks, the appliance.
import type { MachineSeed } from '../../../adapters/lab/port.ts';
import { escapeName } from '../../../adapters/lab/vsphere/objects.ts';
import { type MoRef, typed, type VimArgs, type VirtualDeviceConfigSpec } from '../../../adapters/vsphere/port.ts';
import { addCard, addDisk, type Vim } from '../vim.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const APPLIANCE = 'warmsite-appliance';
/** Of a simulator of 2020. */
const GUEST_IDS = { windows: 'windows9Server64Guest', linux: 'debian10_64Guest', other: 'otherGuest64' } as const;

type ConfigSpec = VimArgs<'CreateVM_Task'>['config'];

/** Port groups on the switch with uplinks, at the first host: the simulator knows a network once. */
export const createNetworks = async (own: Vim, names: readonly string[]): Promise<void> => {
  const [host] = await own.list('HostSystem', 'configManager');
  const { networkSystem } = host!['configManager'] as { readonly networkSystem: MoRef };
  for (const name of names)
    await own.client.call('AddPortGroup', networkSystem, { portgrp: { name, vlanId: 0, vswitchName: 'vSwitch0', policy: {} } });
};

const create = async (own: Vim, config: Omit<ConfigSpec, 'files'>): Promise<MoRef> => {
  const [pool] = await own.list('ResourcePool', 'name');
  const [datacenter] = await own.list('Datacenter', 'vmFolder');
  const whole = { ...config, files: { vmPathName: '[LocalDS_0]' } };
  return (await own.task('CreateVM_Task', datacenter!['vmFolder'] as MoRef, { pool: pool!.obj, config: whole })) as MoRef;
};

const scsi = (busNumber: number): VirtualDeviceConfigSpec => ({
  operation: 'add',
  device: typed('ParaVirtualSCSIController', { key: -1 - busNumber, busNumber, sharedBus: 'noSharing' }),
});

/** Its disks come from the model. */
export const createMachine = (
  own: Vim,
  { name, family = 'linux', firmware, cpuCount, memoryBytes, nics = 1 }: MachineSeed,
): Promise<MoRef> =>
  create(own, {
    name: escapeName(name),
    guestId: GUEST_IDS[family],
    firmware: firmware === 'bios' ? 'bios' : 'efi',
    numCPUs: cpuCount ?? 2,
    memoryMB: (memoryBytes ?? 2 * GIB) / MIB,
    deviceChange: [scsi(0), ...Array.from({ length: nics }, (_, index) => addCard('VM Network', `00:50:56:00:01:${10 + index}`))],
  });

/** The machine in which the data mover runs: four controllers, and a disk to start from. */
export const createAppliance = (own: Vim): Promise<MoRef> =>
  create(own, {
    name: APPLIANCE,
    guestId: GUEST_IDS.linux,
    deviceChange: [scsi(0), scsi(1), scsi(2), scsi(3), addDisk({ controllerKey: -1, unitNumber: 0, capacityBytes: MIB })],
  });
