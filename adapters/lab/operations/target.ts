import {
  type DiskId,
  type DiskSpec,
  DrError,
  type Finding,
  type MachineSpec,
  type NicId,
  type NicSpec,
  type PlaceId,
} from '../../../core/contract/index.ts';
import { type Estate, missing } from '../estate.ts';
import { newMachine } from '../new-machine.ts';
import type { PlacedInfo, ReplicaArgs } from '../port.ts';
import type { EndpointRecord, MachineRecord } from '../records.ts';
import { type Handlers, nothing } from './handlers.ts';

export const target: Handlers<'target'> = {
  'target.createReplica': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    if (!estate.profileOf(args).createsMachines) throw notHere('makes no machines', endpoint);
    const made = [...estate.machines.values()].find(
      (machine) =>
        machine.endpoint === args.endpoint && machine.replica?.owner === args.owner && machine.replica.operationId === args.operationId,
    );
    return placed(estate, made ?? createReplica(estate, endpoint, args), findingsFor(args.spec));
  },

  'target.adoptReplica': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    estate.assertFence(machine, args.fence);
    if (machine.power === 'on') {
      throw new DrError('STATE_CONFLICT', `machine ${machine.id} is running and cannot become a replica`, {
        hint: 'shut the machine down first',
        context: { machine: machine.id },
      });
    }
    if (machine.replica && machine.replica.owner !== args.owner) {
      throw new DrError('PERMISSION_DENIED', `machine ${machine.id} is a replica of another installation`, {
        context: { machine: machine.id },
      });
    }
    const { disks, findings } = matchDisks(estate, machine, args.spec);
    const nics: Record<string, NicId> = {};
    for (const [index, nic] of args.spec.nics.entries()) {
      const own = machine.spec.nics.find((other) => other.id === nic.id) ?? machine.spec.nics[index];
      if (own) nics[nic.id] = own.id;
    }
    machine.replica = {
      owner: args.owner,
      adopted: machine.replica?.adopted ?? true,
      ...(machine.replica?.operationId === undefined ? {} : { operationId: machine.replica.operationId }),
      disks,
      nics,
    };
    machine.autostart = false;
    estate.touch(machine);
    return placed(estate, machine, findings);
  },

  'target.reshapeReplica': ({ estate }, args) => {
    const machine = ownReplica(estate, args);
    estate.assertFence(machine, args.fence);
    assertNoForks(estate, machine);
    const { disks, findings } = matchDisks(estate, machine, args.spec, machine.replica!.disks);
    // What the source has no more stays until its last point is gone: older points are still forked by it.
    machine.replica!.disks = { ...machine.replica!.disks, ...disks };
    estate.touch(machine);
    return { ...placed(estate, machine, findings), disks };
  },

  'target.deleteReplicaDisk': ({ estate }, args) => {
    const machine = ownReplica(estate, args);
    estate.assertFence(machine, args.fence);
    assertNoForks(estate, machine);
    machine.replica!.disks = Object.fromEntries(Object.entries(machine.replica!.disks).filter(([, to]) => to !== args.disk));
    if (machine.volumes[args.disk] !== undefined) removeDisk(estate, machine, args.disk);
    return nothing;
  },

  'target.deleteReplica': ({ estate }, args) => {
    const machine = estate.machines.get(args.machine);
    if (!machine || machine.endpoint !== args.endpoint) return nothing;
    if (!estate.profileOf(args).createsMachines) throw notHere('deletes no machines', estate.endpoint(args.endpoint));
    ownReplica(estate, args);
    estate.assertFence(machine, args.fence);
    if (machine.power === 'on') {
      throw new DrError('STATE_CONFLICT', `replica ${machine.id} is running`, {
        hint: 'power it off first',
        context: { machine: machine.id },
      });
    }
    assertNoForks(estate, machine);
    estate.removeMachine(machine);
    return nothing;
  },
};

const notHere = (what: string, endpoint: EndpointRecord): DrError =>
  new DrError('CAPABILITY_MISSING', `endpoint ${endpoint.name} ${what}`, { context: { endpoint: endpoint.name } });

export const ownReplica = (
  estate: Estate,
  at: { readonly endpoint: string; readonly owner: string; readonly machine: MachineRecord['id'] },
): MachineRecord => {
  const machine = estate.machine(at.machine, at.endpoint);
  if (machine.replica?.owner === at.owner) return machine;
  throw new DrError('PERMISSION_DENIED', `machine ${machine.id} is no replica of this installation`, { context: { machine: machine.id } });
};

export const assertNoForks = (estate: Estate, machine: MachineRecord): void => {
  const [fork] = estate.forksOf(machine.id);
  if (!fork) return;
  throw new DrError('STATE_CONFLICT', `the fork ${fork.id} runs on replica ${machine.id}`, {
    hint: 'discard or promote the fork first',
    context: { machine: machine.id, fork: fork.id },
  });
};

const placed = (estate: Estate, machine: MachineRecord, findings: readonly Finding[]): PlacedInfo => ({
  machine: estate.describe(machine),
  disks: machine.replica!.disks,
  nics: machine.replica!.nics,
  findings,
});

const findingsFor = (spec: MachineSpec): Finding[] =>
  spec.tpm
    ? [
        {
          code: 'TPM_IS_NEW',
          level: 'warning',
          message: 'a TPM does not follow a disk copy',
          hint: 'have the recovery key of the guest at hand',
        },
      ]
    : [];

const createReplica = (estate: Estate, endpoint: EndpointRecord, args: ReplicaArgs): MachineRecord => {
  const disks: Record<string, DiskId> = {};
  const storage = storageFor(estate, endpoint, args.storage);
  assertFits(
    estate,
    endpoint,
    storage,
    args.spec.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0),
  );
  const { bus } = estate.profileOf(args);
  const diskSpecs = args.spec.disks.map((disk): DiskSpec => {
    disks[disk.id] = estate.newDiskId();
    return { ...disk, id: disks[disk.id]!, bus, storage };
  });
  const { nics, specs } = connectNics(estate, endpoint, args.spec, args.nics);
  const machine = newMachine(estate, endpoint, args.name, { ...args.spec, disks: diskSpecs, nics: specs });
  for (const [index, nic] of args.spec.nics.entries()) nics[nic.id] = machine.spec.nics[index]!.id;
  machine.replica = { owner: args.owner, operationId: args.operationId, adopted: false, disks, nics };
  if (args.host !== undefined) machine.host = estate.place(endpoint, args.host, 'host').id;
  if (args.folder !== undefined) machine.labels['folder'] = estate.place(endpoint, args.folder, 'folder').name;
  return machine;
};

/** Network cards of a copy: new ids, the places that were asked for, and nothing connected that was not named. */
export const connectNics = (
  estate: Estate,
  endpoint: EndpointRecord,
  spec: MachineSpec,
  places: Readonly<Record<string, PlaceId | 'disconnected'>>,
): { nics: Record<string, NicId>; specs: NicSpec[] } => {
  const nics: Record<string, NicId> = {};
  const specs = spec.nics.map(({ network: _, ...nic }): NicSpec => {
    nics[nic.id] = estate.newNicId();
    const to = places[nic.id] ?? 'disconnected';
    const network = to === 'disconnected' ? {} : { network: estate.place(endpoint, to, 'network').id };
    return { ...nic, id: nics[nic.id]!, ...network };
  });
  return { nics, specs };
};

const storageFor = (estate: Estate, endpoint: EndpointRecord, asked: PlaceId | undefined): PlaceId => {
  if (asked !== undefined) return estate.place(endpoint, asked, 'storage').id;
  return endpoint.places.find((place) => place.kind === 'storage')?.id ?? missing('storage', endpoint.name);
};

const assertFits = (estate: Estate, endpoint: EndpointRecord, storage: PlaceId, needBytes: number): void => {
  const freeBytes = estate.freeBytes(endpoint, storage);
  if (needBytes <= freeBytes) return;
  throw new DrError('TARGET_FULL', `storage ${storage} has ${freeBytes} bytes left, the disks need ${needBytes}`, {
    context: { place: storage, needBytes, freeBytes },
  });
};

/**
 * Which disk here is which of the definition: by what is known, by id, by slot, by order. Grows what is too small and adds what is missing
 * where the endpoint can make disks; else says so.
 */
const matchDisks = (
  estate: Estate,
  machine: MachineRecord,
  spec: MachineSpec,
  known: Readonly<Record<string, DiskId>> = {},
): { disks: Record<string, DiskId>; findings: Finding[] } => {
  const { createsMachines, bus } = estate.profileOf(machine);
  const endpoint = estate.endpoint(machine.endpoint);
  const disks: Record<string, DiskId> = {};
  const findings: Finding[] = [];
  const free = new Map(machine.spec.disks.map((disk) => [disk.id, disk]));
  const rules: ((want: DiskSpec, have: DiskSpec) => boolean)[] = [
    (want, have) => known[want.id] === have.id,
    (want, have) => want.id === have.id,
    (want, have) => known[want.id] === undefined && want.slot === have.slot && want.boot === have.boot,
    (want) => known[want.id] === undefined,
  ];
  for (const matches of rules) {
    for (const want of spec.disks) {
      if (disks[want.id] !== undefined) continue;
      const have = [...free.values()].find((candidate) => matches(want, candidate));
      if (!have || (Object.keys(known).length > 0 && known[want.id] === undefined && Object.values(known).includes(have.id))) continue;
      disks[want.id] = have.id;
      free.delete(have.id);
    }
  }
  for (const want of spec.disks) {
    const have = machine.spec.disks.find((disk) => disk.id === disks[want.id]);
    if (have && have.sizeBytes >= want.sizeBytes) continue;
    if (!createsMachines) {
      delete disks[want.id];
      const message = have ? `disk ${have.id} is smaller than the source's` : `there is no disk for ${want.id}`;
      findings.push({ code: 'DISK_DOES_NOT_FIT', level: 'blocks', message, hint: 'give the server a disk of the size of the source' });
    } else if (have) {
      assertFits(estate, endpoint, have.storage!, want.sizeBytes - have.sizeBytes);
      growDisk(estate, machine, have.id, want.sizeBytes);
    } else {
      const storage = machine.spec.disks[0]?.storage ?? storageFor(estate, endpoint, undefined);
      assertFits(estate, endpoint, storage, want.sizeBytes);
      const id = estate.newDiskId();
      disks[want.id] = id;
      addDisk(estate, machine, { ...want, id, bus, storage });
    }
  }
  return { disks, findings };
};

export const growDisk = (estate: Estate, machine: MachineRecord, id: DiskId, sizeBytes: number): void => {
  estate.live(machine, id).grow(sizeBytes);
  machine.spec = { ...machine.spec, disks: machine.spec.disks.map((disk) => (disk.id === id ? { ...disk, sizeBytes } : disk)) };
  estate.touch(machine);
};

export const addDisk = (estate: Estate, machine: MachineRecord, disk: DiskSpec): void => {
  machine.volumes[disk.id] = estate.createLayer(disk.sizeBytes, disk.storage!).name;
  machine.spec = { ...machine.spec, disks: [...machine.spec.disks, disk] };
  if (machine.tracked) estate.enableTracking(machine);
  estate.touch(machine);
};

/** Snapshots that show the disk go with it, but those of a vCenter: these keep the files that they have frozen. */
export const removeDisk = (estate: Estate, machine: MachineRecord, id: DiskId): void => {
  const name = machine.volumes[id] ?? missing('disk', id);
  for (const snapshot of [...estate.snapshots.values()]) {
    if (snapshot.volumes[id] !== undefined && snapshot.kind === undefined) estate.removeSnapshot(snapshot);
  }
  machine.spec = { ...machine.spec, disks: machine.spec.disks.filter((disk) => disk.id !== id) };
  delete machine.volumes[id];
  estate.trackers.delete(id);
  estate.caches.delete(id);
  estate.removeLayer(name);
  estate.touch(machine);
};
