import type { MachineId, MachineSpec } from '../../core/contract/index.ts';
import type { Estate } from './estate.ts';
import { equipHvMachine } from './powershell/equipment.ts';
import type { EndpointRecord, MachineRecord, PlaceRecord } from './records.ts';
import { equipMachine } from './vsphere/equipment.ts';

export const firstPlace = (endpoint: EndpointRecord, kind: PlaceRecord['kind']): PlaceRecord | undefined =>
  endpoint.places.find((place) => place.kind === kind && !place.isolated);

/** An empty machine that is off; its disks are new layers. */
export const newMachine = (estate: Estate, endpoint: EndpointRecord, name: string, spec: MachineSpec): MachineRecord => {
  const machine = bareMachine(estate, endpoint, name, spec);
  for (const disk of spec.disks) machine.volumes[disk.id] = estate.createLayer(disk.sizeBytes, disk.storage!).name;
  if (endpoint.profile === 'vmware') equipMachine(estate, endpoint, machine);
  if (endpoint.profile === 'hyperv') equipHvMachine(estate, endpoint, machine);
  return estate.addMachine(machine);
};

/** Not yet in the estate, and without its disks. */
export const bareMachine = (estate: Estate, endpoint: EndpointRecord, name: string, spec: MachineSpec): MachineRecord => {
  const host = firstPlace(endpoint, 'host')?.id;
  return {
    id: estate.newMachineId(endpoint) as MachineId,
    endpoint: endpoint.name,
    name,
    spec,
    labels: {},
    ...(host === undefined ? {} : { host }),
    power: 'off',
    autostart: false,
    writesPerSecond: 40,
    paused: false,
    bootDelayMs: 300,
    shutdownDelayMs: 200,
    refusesShutdown: false,
    generation: 1,
    tracked: false,
    volumes: {},
  };
};
