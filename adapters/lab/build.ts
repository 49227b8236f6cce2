import type { DiskSpec, MachineSpec, NicSpec, PlaceId } from '../../core/contract/index.ts';
import { DrError } from '../../core/contract/index.ts';
import { SMALLEST_DISK_BYTES } from './database.ts';
import type { Estate } from './estate.ts';
import { installGuest } from './guest.ts';
import { firstPlace, newMachine } from './new-machine.ts';
import type { EndpointSpec, EstateSpec, MachineSeed } from './port.ts';
import { equipHyperv, settleSeed } from './powershell/equipment.ts';
import { PROFILES } from './profiles.ts';
import type { EndpointRecord, PlaceRecord } from './records.ts';
import { addAppliance, equipVcenter } from './vsphere/appliance.ts';

const GIB = 2 ** 30;

/** As a vCenter calls its objects: the id of a place is the value of its reference. */
const VCENTER_PREFIXES = { network: 'network', storage: 'datastore', host: 'host', folder: 'group-v', pool: 'resgroup' } as const;

/** Makes what the description says. Machines that are on are up at once: an estate begins in the middle of its day. */
export const build = (estate: Estate, spec: EstateSpec): void => {
  assertSpec(spec);
  for (const site of spec.sites) {
    if (!estate.sites.has(site.name)) estate.sites.set(site.name, { name: site.name, burned: false, linkCut: false });
    for (const endpoint of site.endpoints) buildEndpoint(estate, site.name, endpoint);
  }
  for (const { name } of spec.sites.flatMap((site) => site.endpoints)) addAppliance(estate, estate.endpoint(name));
  estate.timeline.settle();
  estate.revision++;
};

/** A description may come from a file. */
const assertSpec = (spec: EstateSpec): void => {
  const bad = (message: string) => new DrError('CONFIG_INVALID', message, { hint: 'correct the description of the estate' });
  if (!Array.isArray(spec?.sites) || spec.sites.some((site) => typeof site.name !== 'string' || !Array.isArray(site.endpoints))) {
    throw bad('the estate is not described as sites with endpoints');
  }
  for (const endpoint of spec.sites.flatMap((site) => site.endpoints)) {
    if (!(endpoint.profile in PROFILES)) throw bad(`endpoint ${endpoint.name} has the profile ${endpoint.profile}, which there is not`);
    if (!Array.isArray(endpoint.networks) || !Array.isArray(endpoint.storage))
      throw bad(`endpoint ${endpoint.name} lacks networks or storage`);
    for (const machine of endpoint.machines ?? []) {
      const smallest = machine.workload === 'none' ? 512 : SMALLEST_DISK_BYTES;
      const fits = (disk: { readonly sizeBytes: number }) => disk.sizeBytes >= smallest && disk.sizeBytes % 512 === 0;
      if (!Array.isArray(machine.disks) || machine.disks.length === 0 || !machine.disks.every(fits)) {
        throw bad(`machine ${machine.name} needs disks of ${smallest} bytes or more, in whole sectors`);
      }
    }
  }
};

const buildEndpoint = (estate: Estate, site: string, spec: EndpointSpec): void => {
  if (estate.endpoints.has(spec.name))
    throw new DrError('CONFIG_INVALID', `two endpoints are called ${spec.name}`, { context: { endpoint: spec.name } });
  const endpoint: EndpointRecord = {
    name: spec.name,
    site,
    profile: spec.profile,
    ...(spec.username === undefined ? {} : { username: spec.username }),
    ...(spec.password === undefined ? {} : { password: spec.password }),
    places: [],
    fences: {},
  };
  estate.endpoints.set(spec.name, endpoint);
  const add = (kind: PlaceRecord['kind'], name: string, more: Partial<PlaceRecord> = {}): PlaceRecord => {
    const prefix = spec.profile === 'vmware' ? VCENTER_PREFIXES[kind] : kind;
    const place = { id: estate.nextId(prefix) as PlaceId, kind, name, ...more };
    endpoint.places.push(place);
    return place;
  };
  for (const name of spec.networks) add('network', name);
  for (const { name, capacityBytes } of spec.storage) add('storage', name, { capacityBytes });
  for (const name of spec.hosts ?? [onlyHost(spec)]) add('host', name);
  for (const name of spec.pools ?? []) add('pool', name);
  for (const path of spec.folders ?? []) addFolders(path, add, endpoint);
  equipVcenter(estate, endpoint);
  equipHyperv(estate, endpoint, spec.hyperv?.kind);
  for (const machine of spec.machines ?? []) buildMachine(estate, endpoint, machine);
};

/** A host of Hyper-V by itself is its endpoint. */
const onlyHost = ({ name, profile, pools, hyperv }: EndpointSpec): string =>
  profile === 'hyperv' && (hyperv?.kind ?? (pools?.length ? 'vmm' : 'host')) === 'host' ? name : `${name}-host-1`;

const addFolders = (
  path: string,
  add: (kind: 'folder', name: string, more: Partial<PlaceRecord>) => PlaceRecord,
  endpoint: EndpointRecord,
): void => {
  let parent: PlaceRecord | undefined;
  for (const name of path.split('/')) {
    const above = parent?.id;
    parent =
      endpoint.places.find((place) => place.kind === 'folder' && place.name === name && place.parent === above) ??
      add('folder', name, above === undefined ? {} : { parent: above });
  }
};

const buildMachine = (estate: Estate, endpoint: EndpointRecord, seed: MachineSeed): void => {
  const machine = newMachine(estate, endpoint, seed.name, specFor(estate, endpoint, seed));
  Object.assign(machine.labels, seed.labels);
  machine.writesPerSecond = seed.writesPerSecond ?? machine.writesPerSecond;
  machine.bootDelayMs = seed.bootDelayMs ?? machine.bootDelayMs;
  machine.shutdownDelayMs = seed.shutdownDelayMs ?? machine.shutdownDelayMs;
  machine.refusesShutdown = seed.refusesShutdown ?? false;
  machine.autostart = seed.autostart ?? true;
  settleSeed(estate, endpoint, machine);
  if (seed.protectedElsewhere !== undefined) machine.protectedElsewhere = seed.protectedElsewhere;
  if ((seed.workload ?? 'database') === 'database') {
    const contents = seed.disks.map((disk) => disk.contentBytes ?? 0);
    const disks = estate.guestDisks(machine).map((disk, index) => ({ ...disk, contentBytes: contents[index] ?? 0 }));
    const hostname = seed.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
    installGuest(disks, { identity: estate.random.uuid(), hostname, addresses: seed.addresses ?? [] }, estate.random);
  }
  if (seed.power !== 'off') {
    const delay = machine.bootDelayMs;
    machine.bootDelayMs = 0;
    estate.powerOn(machine);
    machine.bootDelayMs = delay;
  }
};

const specFor = (estate: Estate, endpoint: EndpointRecord, seed: MachineSeed): MachineSpec => {
  const profile = PROFILES[endpoint.profile];
  const storage = firstPlace(endpoint, 'storage')?.id;
  const network = firstPlace(endpoint, 'network')?.id;
  if (storage === undefined)
    throw new DrError('CONFIG_INVALID', `endpoint ${endpoint.name} has no storage`, { context: { endpoint: endpoint.name } });
  const disks = seed.disks.map(
    (disk, index): DiskSpec => ({
      id: estate.newDiskId(),
      sizeBytes: disk.sizeBytes,
      bus: profile.bus,
      slot: `0:${index}`,
      boot: index === 0,
      logicalSectorBytes: 512,
      physicalSectorBytes: 4096,
      storage,
    }),
  );
  const nics = Array.from({ length: seed.nics ?? 1 }, (): NicSpec => {
    const mac = [0x02, 0, 0, 0, 0, 0]
      .map((byte, index) => (index === 0 ? byte : estate.random.below(256)).toString(16).padStart(2, '0'))
      .join(':');
    return { id: estate.newNicId(), mac, model: profile.nicModel, ...(network === undefined ? {} : { network }) };
  });
  return {
    firmware: seed.firmware ?? 'uefi',
    cpuCount: seed.cpuCount ?? 2,
    memoryBytes: seed.memoryBytes ?? 2 * GIB,
    guest: { family: seed.family ?? 'linux' },
    disks,
    nics,
  };
};
