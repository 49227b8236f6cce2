// Properties of what machines run on: cluster, pools, hosts, networks, datastores.
import type { AboutInfo, HostRuntimeInfo, MoRef } from '../../vsphere/port.ts';
import {
  browserOf,
  CLUSTER,
  DATASTORE_FOLDER,
  escapeName,
  findPlace,
  HOST_FOLDER,
  HOST_SYSTEMS,
  hostSystem,
  NETWORK_FOLDER,
  ROOT_POOL,
  sameRef,
} from './objects.ts';
import { type At, hostRefOf, hostsOfNetwork, machineRef, machinesOf, poolOf, refsOf } from './placement.ts';
import { ABOUT } from './service.ts';

export type Values = Readonly<Record<string, () => unknown>>;

/** What every entity has; the lists are empty because nobody here sets permissions, tags or alarms. */
export const entityValues = (name: () => string, parent: () => MoRef | undefined): Values => ({
  name: () => escapeName(name()),
  parent,
  overallStatus: () => 'green',
  configStatus: () => 'green',
  effectiveRole: () => [-1],
  alarmActionsEnabled: () => true,
  ...Object.fromEntries(
    ['value', 'availableField', 'customValue', 'configIssue', 'permission', 'disabledMethod'].map((empty) => [empty, () => []]),
  ),
  ...Object.fromEntries(['recentTask', 'declaredAlarmState', 'triggeredAlarmState', 'tag'].map((empty) => [empty, () => []])),
});

const GIB = 2 ** 30;
const HOST = { cores: 32, mhz: 2600, memoryBytes: 512 * GIB } as const;

export const clusterValues = (at: At): Values => {
  const hosts = refsOf(at.endpoint, 'host');
  return {
    ...entityValues(
      () => `${at.endpoint.name}-cluster`,
      () => HOST_FOLDER,
    ),
    resourcePool: () => ROOT_POOL,
    host: () => hosts,
    datastore: () => refsOf(at.endpoint, 'storage'),
    network: () => refsOf(at.endpoint, 'network'),
    summary: () => ({
      totalCpu: hosts.length * HOST.cores * HOST.mhz,
      totalMemory: hosts.length * HOST.memoryBytes,
      numCpuCores: hosts.length * HOST.cores,
      numCpuThreads: hosts.length * HOST.cores * 2,
      effectiveCpu: hosts.length * HOST.cores * HOST.mhz,
      effectiveMemory: (hosts.length * HOST.memoryBytes) / 2 ** 20,
      numHosts: hosts.length,
      numEffectiveHosts: hosts.length,
      overallStatus: 'green',
    }),
  };
};

export const poolValues = (at: At, on: MoRef): Values => {
  const isRoot = sameRef(on, ROOT_POOL);
  return {
    ...entityValues(
      () => (isRoot ? 'Resources' : (findPlace(at.endpoint, on)?.name ?? '')),
      () => (isRoot ? CLUSTER : ROOT_POOL),
    ),
    owner: () => CLUSTER,
    resourcePool: () => (isRoot ? refsOf(at.endpoint, 'pool') : []),
    vm: () =>
      machinesOf(at)
        .filter((machine) => sameRef(poolOf(at.endpoint, machine), on))
        .map(machineRef),
  };
};

export const hostValues = (at: At, on: MoRef): Values => {
  const name = () => findPlace(at.endpoint, on)?.name ?? '';
  const runtime = (): HostRuntimeInfo => ({
    connectionState: 'connected',
    powerState: 'poweredOn',
    inMaintenanceMode: false,
    inQuarantineMode: false,
  });
  const product: AboutInfo = {
    ...ABOUT,
    name: 'VMware ESXi',
    fullName: 'VMware ESXi 8.0.3 build-24022510 (simulated)',
    build: '24022510',
    productLineId: 'embeddedEsx',
    apiType: 'HostAgent',
    osType: 'vmnix-x86',
  };
  return {
    ...entityValues(name, () => CLUSTER),
    runtime,
    summary: () => ({
      host: on,
      runtime: runtime(),
      config: { name: name(), port: 443, product, vmotionEnabled: true, faultToleranceEnabled: false },
      hardware: hardwareOf(on),
      quickStats: {},
      overallStatus: 'green',
      rebootRequired: false,
    }),
    configManager: () =>
      Object.fromEntries(Object.keys(HOST_SYSTEMS).map((system) => [system, hostSystem(system as keyof typeof HOST_SYSTEMS, on)])),
    vm: () =>
      machinesOf(at)
        .filter((machine) => hostRefOf(at.endpoint, machine)?.value === on.value)
        .map(machineRef),
    datastore: () => refsOf(at.endpoint, 'storage'),
    network: () =>
      refsOf(at.endpoint, 'network').filter((network) => hostsOfNetwork(at.endpoint, network).some((host) => sameRef(host, on))),
  };
};

const hardwareOf = (host: MoRef): object => ({
  vendor: 'Warmsite',
  model: 'Simulated host',
  uuid: `00000000-0000-4000-8000-${host.value.replace(/\D/g, '').padStart(12, '0')}`,
  memorySize: HOST.memoryBytes,
  cpuModel: 'Simulated CPU',
  cpuMhz: HOST.mhz,
  numCpuPkgs: 2,
  numCpuCores: HOST.cores,
  numCpuThreads: HOST.cores * 2,
  numNics: 4,
  numHBAs: 2,
});

export const networkValues = (at: At, on: MoRef): Values => {
  const name = () => findPlace(at.endpoint, on)?.name ?? '';
  return {
    ...entityValues(name, () => NETWORK_FOLDER),
    summary: () => ({ network: on, name: escapeName(name()), accessible: true, ipPoolName: '' }),
    host: () => hostsOfNetwork(at.endpoint, on),
    vm: () =>
      machinesOf(at)
        .filter(({ spec }) => spec.nics.some(({ network }) => network === on.value))
        .map(machineRef),
  };
};

export const datastoreValues = (at: At, on: MoRef): Values => {
  const { estate, endpoint } = at;
  const place = findPlace(endpoint, on);
  const name = place?.name ?? '';
  const url = `ds:///vmfs/volumes/${on.value}/`;
  const freeSpace = () => (place ? estate.freeBytes(endpoint, place.id) : 0);
  const most = 62 * 2 ** 40;
  return {
    ...entityValues(
      () => name,
      () => DATASTORE_FOLDER,
    ),
    summary: () => ({
      datastore: on,
      name: escapeName(name),
      url,
      capacity: place?.capacityBytes ?? 0,
      freeSpace: freeSpace(),
      accessible: true,
      multipleHostAccess: refsOf(endpoint, 'host').length > 1,
      type: 'VMFS',
      maintenanceMode: 'normal',
    }),
    info: () => ({
      name: escapeName(name),
      url,
      freeSpace: freeSpace(),
      maxFileSize: most,
      maxVirtualDiskCapacity: most,
      maxMemoryFileSize: most,
    }),
    host: () => refsOf(endpoint, 'host').map((key) => ({ key, mountInfo: { accessMode: 'readWrite', mounted: true, accessible: true } })),
    vm: () =>
      machinesOf(at)
        .filter(({ spec }) => spec.disks.some(({ storage }) => storage === on.value))
        .map(machineRef),
    browser: () => browserOf(on),
    capability: () => ({
      directoryHierarchySupported: true,
      rawDiskMappingsSupported: true,
      perFileThinProvisioningSupported: true,
      storageIORMSupported: false,
      nativeSnapshotSupported: false,
    }),
  };
};
