// Where the estate's places and machines stand among a vCenter's objects.
import type { MoRef } from '../../vsphere/port.ts';
import type { EndpointRecord, MachineRecord, PlaceRecord } from '../records.ts';
import type { PropertySource } from './model.ts';
import { DATACENTER, findPlace, ROOT_POOL, refOf, sameRef, VM_FOLDER } from './objects.ts';

export type At = Parameters<PropertySource>[0];

/** The folder places that stand for the datacenter and for its folder of machines: the first path that goes through a `vm`. */
export const datacenterPlaces = (endpoint: EndpointRecord): { datacenter?: PlaceRecord; vm?: PlaceRecord } => {
  const folders = endpoint.places.filter(({ kind }) => kind === 'folder');
  const vm = folders.find(
    ({ name, parent }) => name === 'vm' && folders.some((above) => above.id === parent && above.parent === undefined),
  );
  const datacenter = vm && folders.find(({ id }) => id === vm.parent);
  return vm && datacenter ? { datacenter, vm } : {};
};

/** The object that a folder's place is; the one that is given to no place is the root folder of machines. */
export const folderRef = (endpoint: EndpointRecord, place: PlaceRecord | undefined): MoRef => {
  const { datacenter, vm } = datacenterPlaces(endpoint);
  if (!place || place === vm) return VM_FOLDER;
  return place === datacenter ? DATACENTER : refOf(place);
};

export const foldersIn = (endpoint: EndpointRecord, folder: MoRef): MoRef[] => {
  const { datacenter, vm } = datacenterPlaces(endpoint);
  const above = (place: PlaceRecord) => {
    const parent = endpoint.places.find(({ id }) => id === place.parent);
    return !parent || parent === datacenter ? VM_FOLDER : folderRef(endpoint, parent);
  };
  return endpoint.places
    .filter((place) => place.kind === 'folder' && place !== datacenter && place !== vm && sameRef(above(place), folder))
    .map(refOf);
};

/** Where a machine says that it is; else the folder that its label names, as estates are described; else the root folder of machines. */
export const folderOf = (endpoint: EndpointRecord, machine: MachineRecord): MoRef => {
  const own = machine.vm?.folder;
  const place = endpoint.places.find(
    ({ kind, id, name }) => kind === 'folder' && (own === undefined ? name === machine.labels['folder'] : id === own),
  );
  return folderRef(endpoint, place);
};

export const poolOf = (endpoint: EndpointRecord, machine: MachineRecord): MoRef => {
  const place = endpoint.places.find(({ kind, id }) => kind === 'pool' && id === machine.vm?.pool);
  return place ? refOf(place) : ROOT_POOL;
};

export const machineRef = (machine: MachineRecord): MoRef => ({ type: 'VirtualMachine', value: machine.id });

export const machinesOf = ({ estate, endpoint }: At): MachineRecord[] =>
  [...estate.machines.values()].filter((machine) => machine.endpoint === endpoint.name);

export const findMachine = ({ estate, endpoint }: At, on: MoRef): MachineRecord | undefined => {
  const machine = on.type === 'VirtualMachine' ? estate.machines.get(on.value as MachineRecord['id']) : undefined;
  return machine?.endpoint === endpoint.name ? machine : undefined;
};

export const refsOf = (endpoint: EndpointRecord, kind: PlaceRecord['kind']): MoRef[] =>
  endpoint.places.filter((place) => place.kind === kind).map(refOf);

/** The estate's machines run on a host that is a place of it; one that names none runs on the first. */
export const hostRefOf = (endpoint: EndpointRecord, machine: MachineRecord): MoRef | undefined => {
  const hosts = endpoint.places.filter(({ kind }) => kind === 'host');
  const host = hosts.find(({ id }) => id === machine.host) ?? hosts[0];
  return host && refOf(host);
};

/** Those that have a port group of its name. */
export const hostsOfNetwork = (endpoint: EndpointRecord, network: MoRef): MoRef[] => {
  const name = findPlace(endpoint, network)?.name;
  const having = new Set(endpoint.vsphere?.portGroups.filter((group) => group.name === name).map(({ host }) => host));
  return endpoint.places.filter(({ kind, id }) => kind === 'host' && having.has(id)).map(refOf);
};
