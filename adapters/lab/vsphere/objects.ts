// Which managed object stands for which place of the estate.
import type { MoRef } from '../../vsphere/port.ts';
import type { EndpointRecord, PlaceRecord } from '../records.ts';
import { VimFaultError } from './model.ts';

export const SERVICE_INSTANCE: MoRef = { type: 'ServiceInstance', value: 'ServiceInstance' };
export const ROOT_FOLDER: MoRef = { type: 'Folder', value: 'group-d1' };
export const DATACENTER: MoRef = { type: 'Datacenter', value: 'datacenter-2' };
export const VM_FOLDER: MoRef = { type: 'Folder', value: 'group-v3' };
export const HOST_FOLDER: MoRef = { type: 'Folder', value: 'group-h4' };
export const DATASTORE_FOLDER: MoRef = { type: 'Folder', value: 'group-s5' };
export const NETWORK_FOLDER: MoRef = { type: 'Folder', value: 'group-n6' };
export const CLUSTER: MoRef = { type: 'ClusterComputeResource', value: 'domain-c7' };
/** No place gets the number 0. */
export const ROOT_POOL: MoRef = { type: 'ResourcePool', value: 'resgroup-0' };

const TYPES: Readonly<Record<PlaceRecord['kind'], string>> = {
  network: 'Network',
  storage: 'Datastore',
  host: 'HostSystem',
  pool: 'ResourcePool',
  folder: 'Folder',
};

/** Of a host, a datastore, a network, a pool or a folder. Its value is the place's id. */
export const refOf = (place: PlaceRecord): MoRef => ({ type: TYPES[place.kind], value: place.id });

export const findPlace = (endpoint: EndpointRecord, ref: MoRef): PlaceRecord | undefined =>
  endpoint.places.find((place) => place.id === ref.value && TYPES[place.kind] === ref.type);

/** Throws ManagedObjectNotFound. */
export const placeOf = (endpoint: EndpointRecord, ref: MoRef): PlaceRecord => findPlace(endpoint, ref) ?? notFound(ref);

export const notFound = (obj: MoRef): never => {
  throw new VimFaultError(
    'ManagedObjectNotFound',
    `The object 'vim.${obj.type}:${obj.value}' has already been deleted or has not been completely created`,
    { obj },
  );
};

export const sameRef = (left: MoRef, right: MoRef): boolean => left.value === right.value && left.type === right.type;

/** As vCenter writes a name into its inventory. */
export const escapeName = (name: string): string => {
  let out = '';
  for (const character of name) {
    const code = character.codePointAt(0) ?? 0;
    out += code < 0x20 || '%/\\'.includes(character) ? `%${code.toString(16).padStart(2, '0')}` : character;
  }
  return out;
};

/** What hangs on a host: `networkSystem-1005` is that of `host-1005`. */
export const HOST_SYSTEMS = {
  networkSystem: 'HostNetworkSystem',
  datastoreSystem: 'HostDatastoreSystem',
  autoStartManager: 'HostAutoStartManager',
} as const;

export const hostSystem = (system: keyof typeof HOST_SYSTEMS, host: MoRef): MoRef => ({
  type: HOST_SYSTEMS[system],
  value: `${system}-${host.value.slice('host-'.length)}`,
});

/** The host that a HostNetworkSystem, HostDatastoreSystem or HostAutoStartManager belongs to. Throws ManagedObjectNotFound. */
export const hostOf = (endpoint: EndpointRecord, system: MoRef): PlaceRecord => {
  const host = endpoint.places.find((place) => {
    if (place.kind !== 'host') return false;
    return Object.keys(HOST_SYSTEMS).some((name) => sameRef(hostSystem(name as keyof typeof HOST_SYSTEMS, refOf(place)), system));
  });
  return host ?? notFound(system);
};

export const browserOf = (datastore: MoRef): MoRef => ({ type: 'HostDatastoreBrowser', value: `datastoreBrowser-${datastore.value}` });
