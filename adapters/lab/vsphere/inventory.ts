// The tree of managed objects of one endpoint, computed from the estate's places and machines whenever it is asked for.
import type { MoRef } from '../../vsphere/port.ts';
import { fieldDefinitions } from './custom-fields.ts';
import { clusterValues, datastoreValues, entityValues, hostValues, networkValues, poolValues, type Values } from './infrastructure.ts';
import type { PropertySource } from './model.ts';
import {
  browserOf,
  CLUSTER,
  DATACENTER,
  DATASTORE_FOLDER,
  findPlace,
  HOST_FOLDER,
  HOST_SYSTEMS,
  hostSystem,
  NETWORK_FOLDER,
  ROOT_FOLDER,
  ROOT_POOL,
  refOf,
  sameRef,
  VM_FOLDER,
} from './objects.ts';
import {
  type At,
  datacenterPlaces,
  findMachine,
  folderOf,
  folderRef,
  foldersIn,
  machineRef,
  machinesOf,
  poolOf,
  refsOf,
} from './placement.ts';

const FIXED_FOLDERS: Readonly<Record<string, { readonly name: string; readonly parent?: MoRef; readonly childType: readonly string[] }>> = {
  [ROOT_FOLDER.value]: { name: 'Datacenters', childType: ['Folder', 'Datacenter'] },
  [VM_FOLDER.value]: { name: 'vm', parent: DATACENTER, childType: ['Folder', 'VirtualMachine', 'VirtualApp'] },
  [HOST_FOLDER.value]: { name: 'host', parent: DATACENTER, childType: ['Folder', 'ComputeResource'] },
  [DATASTORE_FOLDER.value]: { name: 'datastore', parent: DATACENTER, childType: ['Folder', 'Datastore', 'StoragePod'] },
  [NETWORK_FOLDER.value]: { name: 'network', parent: DATACENTER, childType: ['Folder', 'Network', 'DistributedVirtualSwitch'] },
};

/** Objects directly in a folder. */
const childrenOf = (at: At, folder: MoRef): MoRef[] => {
  const { endpoint } = at;
  if (sameRef(folder, ROOT_FOLDER)) return [DATACENTER];
  if (sameRef(folder, HOST_FOLDER)) return [CLUSTER];
  if (sameRef(folder, DATASTORE_FOLDER)) return refsOf(endpoint, 'storage');
  if (sameRef(folder, NETWORK_FOLDER)) return refsOf(endpoint, 'network');
  const machines = machinesOf(at).filter((machine) => sameRef(folderOf(endpoint, machine), folder));
  return [...foldersIn(endpoint, folder), ...machines.map(machineRef)];
};

const MANAGERS = [
  ...['ServiceInstance', 'ViewManager', 'SessionManager', 'AuthorizationManager', 'EventManager', 'TaskManager'],
  ...['SearchIndex', 'FileManager', 'CustomFieldsManager'],
];

/** Objects of the inventory and the managers; what belongs to a session, tasks and leases are looked up elsewhere. */
export const exists = (at: At, on: MoRef): boolean => {
  if (on.type === 'VirtualMachine') return findMachine(at, on) !== undefined;
  if (on.type === 'VirtualMachineSnapshot') return machinesOf(at).some(({ vm }) => vm?.snapshots.some(({ id }) => id === on.value));
  if (MANAGERS.includes(on.type)) return on.value === on.type;
  if (on.type === 'VirtualDiskManager') return on.value === 'virtualDiskManager';
  if (on.type === 'Folder' && Object.hasOwn(FIXED_FOLDERS, on.value)) return true;
  if ([DATACENTER, CLUSTER, ROOT_POOL].some((fixed) => sameRef(fixed, on))) return true;
  const { endpoint } = at;
  if (on.type === 'HostDatastoreBrowser') return refsOf(endpoint, 'storage').some((store) => sameRef(browserOf(store), on));
  const system = Object.entries(HOST_SYSTEMS).find(([, type]) => type === on.type)?.[0] as keyof typeof HOST_SYSTEMS | undefined;
  if (system) return refsOf(endpoint, 'host').some((host) => sameRef(hostSystem(system, host), on));
  const place = findPlace(endpoint, on);
  return place !== undefined && sameRef(place.kind === 'folder' ? folderRef(endpoint, place) : refOf(place), on);
};

const folderValues = (at: At, on: MoRef): Values => {
  const fixed = FIXED_FOLDERS[on.value];
  const place = findPlace(at.endpoint, on);
  const { datacenter } = datacenterPlaces(at.endpoint);
  const parent = () => {
    if (fixed) return fixed.parent;
    const above = at.endpoint.places.find(({ id }) => id === place?.parent);
    return folderRef(at.endpoint, above === datacenter ? undefined : above);
  };
  return {
    ...entityValues(() => fixed?.name ?? place?.name ?? '', parent),
    childType: () => fixed?.childType ?? FIXED_FOLDERS[VM_FOLDER.value]?.childType,
    childEntity: () => childrenOf(at, on),
  };
};

const datacenterValues = (at: At): Values => ({
  ...entityValues(
    () => datacenterPlaces(at.endpoint).datacenter?.name ?? 'Datacenter',
    () => ROOT_FOLDER,
  ),
  vmFolder: () => VM_FOLDER,
  hostFolder: () => HOST_FOLDER,
  datastoreFolder: () => DATASTORE_FOLDER,
  networkFolder: () => NETWORK_FOLDER,
  datastore: () => refsOf(at.endpoint, 'storage'),
  network: () => refsOf(at.endpoint, 'network'),
});

/** What a machine's own source leaves to the inventory. */
const machineValues = (at: At, on: MoRef): Values => {
  const machine = findMachine(at, on);
  if (!machine) return {};
  return {
    ...entityValues(
      () => machine.name,
      () => folderOf(at.endpoint, machine),
    ),
    resourcePool: () => poolOf(at.endpoint, machine),
  };
};

const valuesOf = (at: At, on: MoRef): Values => {
  if (on.type === 'Folder') return folderValues(at, on);
  if (on.type === 'Datacenter') return datacenterValues(at);
  if (on.type === 'ClusterComputeResource') return clusterValues(at);
  if (on.type === 'ResourcePool') return poolValues(at, on);
  if (on.type === 'HostSystem') return hostValues(at, on);
  if (on.type === 'Network') return networkValues(at, on);
  if (on.type === 'Datastore') return datastoreValues(at, on);
  if (on.type === 'VirtualMachine') return machineValues(at, on);
  if (on.type === 'HostDatastoreBrowser')
    return { datastore: () => refsOf(at.endpoint, 'storage').filter((store) => sameRef(browserOf(store), on)) };
  if (on.type === 'CustomFieldsManager') return { field: () => fieldDefinitions(at) };
  if (on.type === 'HostDatastoreSystem') return { datastore: () => refsOf(at.endpoint, 'storage') };
  return {};
};

export const inventoryProperty: PropertySource = (at, on, property) => {
  if (property === 'self') return on;
  const values = valuesOf(at, on);
  return Object.hasOwn(values, property) ? values[property]!() : undefined;
};

/** Every object below a container that a view may show, parents first. */
export const descendants = (at: At, container: MoRef, recursive: boolean): MoRef[] => {
  const below = (on: MoRef): MoRef[] => {
    const value = (property: string) => (inventoryProperty(at, on, property) ?? []) as MoRef | MoRef[];
    if (on.type === 'Folder') return childrenOf(at, on);
    if (on.type === 'Datacenter') return [VM_FOLDER, HOST_FOLDER, DATASTORE_FOLDER, NETWORK_FOLDER];
    if (on.type === 'ClusterComputeResource') return [...refsOf(at.endpoint, 'host'), ROOT_POOL];
    if (on.type === 'ResourcePool') return [value('resourcePool'), value('vm')].flat();
    return on.type === 'HostSystem' ? [value('vm')].flat() : [];
  };
  const found = new Map<string, MoRef>();
  const visit = (on: MoRef): void => {
    for (const child of below(on)) {
      if (found.has(child.value)) continue;
      found.set(child.value, child);
      if (recursive) visit(child);
    }
  };
  visit(container);
  return [...found.values()];
};

export const findByUuid = (at: At, uuid: string, instance: boolean): MoRef[] =>
  machinesOf(at)
    .filter(({ vm }) => (instance ? vm?.instanceUuid : vm?.uuid)?.toLowerCase() === uuid.toLowerCase())
    .map(machineRef);

/** `dc-a/vm/production/shop-db`, each part as the inventory writes it. */
export const findByPath = (at: At, path: string): MoRef | undefined => {
  let on: MoRef | undefined = ROOT_FOLDER;
  for (const part of path.split('/').filter((one) => one !== '')) {
    const children: MoRef[] = on ? descendants(at, on, false) : [];
    on = children.find((child) => nameOf(at, child) === part);
  }
  return on;
};

export const nameOf = (at: At, on: MoRef): string | undefined => inventoryProperty(at, on, 'name') as string | undefined;
