// The vCenter of an endpoint, and the machine in it that moves data: the appliance.
import type { DiskId, PlaceId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import { firstPlace, newMachine } from '../new-machine.ts';
import type { EndpointRecord, MachineRecord } from '../records.ts';
import { isAppliance } from '../two-live.ts';
import { scsiController } from './devices.ts';
import { equipMachines } from './equipment.ts';

const DISK_BYTES = 1 << 20;
const CONTROLLERS = 4;

/** Makes what a vmware endpoint lacks: also of a directory that an earlier release has written. */
export const equipVcenter = (estate: Estate, endpoint: EndpointRecord): void => {
  if (endpoint.profile !== 'vmware') return;
  endpoint.vsphere ??= {
    instanceUuid: estate.random.uuid(),
    files: {},
    folders: [],
    missingPrivileges: [],
    switches: placesOf(endpoint, 'host').map((host) => ({ host, name: 'vSwitch0', uplinks: ['vmnic0'] })),
    portGroups: placesOf(endpoint, 'host').flatMap((host) =>
      endpoint.places
        .filter((place) => place.kind === 'network')
        .map(({ name, isolated }) => ({ host, name, vswitch: isolated ? 'isolated' : 'vSwitch0', vlanId: 0 })),
    ),
    leases: [],
  };
  equipMachines(estate, endpoint);
};

const placesOf = (endpoint: EndpointRecord, kind: 'host'): PlaceId[] =>
  endpoint.places.filter((place) => place.kind === kind).map((place) => place.id);

/** After the machines of a description, so that these have the same ids with or without it. */
export const addAppliance = (estate: Estate, endpoint: EndpointRecord): void => {
  const storage = firstPlace(endpoint, 'storage')?.id;
  if (endpoint.profile !== 'vmware' || storage === undefined || applianceOf(estate, endpoint)) return;
  const disk = { id: estate.newDiskId(), sizeBytes: DISK_BYTES, bus: 'scsi', slot: '0:0', boot: true } as const;
  const machine = newMachine(estate, endpoint, 'warmsite-appliance', {
    firmware: 'bios',
    cpuCount: 2,
    memoryBytes: 2 ** 31,
    guest: { family: 'linux' },
    disks: [{ ...disk, logicalSectorBytes: 512, physicalSectorBytes: 4096, storage }],
    nics: [],
  });
  machine.labels['warmsite'] = 'appliance';
  machine.autostart = true;
  machine.bootDelayMs = 0;
  machine.vm!.extraConfig['disk.EnableUUID'] = 'TRUE';
  for (let bus = 1; bus < CONTROLLERS; bus++) machine.vm!.devices.push(scsiController(bus));
  estate.write(machine, disk.id as DiskId, 0, Buffer.from('warmsite appliance'));
  estate.powerOn(machine);
};

export const applianceOf = (estate: Estate, endpoint: EndpointRecord): MachineRecord | undefined =>
  [...estate.machines.values()].find((machine) => machine.endpoint === endpoint.name && isAppliance(machine));
