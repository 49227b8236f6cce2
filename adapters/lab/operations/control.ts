import { once } from 'node:events';
import { type DiskId, DrError, type ForkId, type Machine } from '../../../core/contract/index.ts';
import { build } from '../build.ts';
import { check } from '../checker.ts';
import { compare } from '../compare.ts';
import type { GuestDisk } from '../database.ts';
import { bootFirst, type Estate, missing } from '../estate.ts';
import type { Faults } from '../faults.ts';
import { applyImage, exportImage, importImage } from '../images.ts';
import type { EstateStatus, MachineStatus, StateRef, StateReport } from '../port.ts';
import { diskIdOf, relabelHvMachine } from '../powershell/equipment.ts';
import type { MachineRecord } from '../records.ts';
import { isAppliance } from '../two-live.ts';
import type { Volume } from '../volume.ts';
import { cloneOf, forkOf, replicaOf } from '../vsphere/tags.ts';
import { isVm } from '../vsphere/vms.ts';
import { baseOf } from './disk.ts';
import { type Handlers, nothing } from './handlers.ts';
import { switchOn } from './inventory.ts';
import { addDisk, growDisk, removeDisk } from './target.ts';

/** What only a lab can do: look behind the guests' backs, and break things. */
export const control = (
  faults: Faults,
  cutConnections: (endpoint?: string) => void,
): Omit<
  Handlers<'lab'>,
  'lab.vcenter' | 'lab.setVcenter' | 'lab.powershell' | 'lab.setHost' | 'lab.setReplicaServer' | 'lab.setReplication' | 'lab.migrate'
> => ({
  'lab.build': ({ estate }, args) => {
    build(estate, args.spec);
    return nothing;
  },
  'lab.status': ({ estate }) => status(estate),
  'lab.machine': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    return { status: machineStatus(estate, machine), spec: machine.spec };
  },
  'lab.find': ({ estate }, args) => ({
    machines: [...estate.machines.values()]
      .filter((machine) => machine.name === args.name && (args.endpoint === undefined || machine.endpoint === args.endpoint))
      .map((machine) => machineStatus(estate, machine)),
  }),
  'lab.inspect': ({ estate }, args) => inspect(estate, args.of),
  'lab.compare': ({ estate }, args) => compare(estate, args.machine),
  'lab.truth': ({ estate }, args) => ({
    truths: estate.truths.filter(
      (truth) =>
        (args.snapshot === undefined || truth.snapshot === args.snapshot) &&
        (args.operationId === undefined || truth.operationId === args.operationId),
    ),
  }),

  'lab.powerCut': ({ estate }, args) => {
    const hit = (machine: MachineRecord) => {
      if ('machine' in args) return machine.id === args.machine;
      if ('endpoint' in args) return machine.endpoint === args.endpoint;
      return estate.endpoint(machine.endpoint).site === args.site;
    };
    const machines = [...estate.machines.values()].filter(hit);
    if (machines.length === 0 && 'machine' in args) missing('machine', args.machine);
    for (const machine of machines) estate.powerOff(machine, true);
    if (!('machine' in args))
      for (const { name, site } of estate.endpoints.values())
        if ('endpoint' in args ? name === args.endpoint : site === args.site) estate.changed.emit('powerCut', name);
    return nothing;
  },
  'lab.burnSite': ({ estate }, args) => {
    const site = estate.sites.get(args.site) ?? missing('site', args.site);
    site.burned = true;
    for (const machine of machinesOf(estate, args.site)) estate.powerOff(machine, true);
    for (const { name, site: at } of estate.endpoints.values()) if (at === args.site) estate.changed.emit('powerCut', name);
    estate.revision++;
    estate.changed.emit('unreachable', args.site);
    return nothing;
  },
  'lab.restoreSite': ({ estate }, args) => {
    const site = estate.sites.get(args.site) ?? missing('site', args.site);
    site.burned = false;
    estate.revision++;
    if (args.autostart === false) return nothing;
    for (const machine of machinesOf(estate, args.site)) if (machine.autostart && machine.ranAtPowerCut) estate.powerOn(machine);
    return nothing;
  },
  'lab.setLink': ({ estate }, args) => {
    const site = estate.sites.get(args.site) ?? missing('site', args.site);
    const wasSilent = site.linkCut === 'silent';
    site.linkCut = !args.up && (args.silent === true ? 'silent' : true);
    estate.revision++;
    // Who has waited that long is told when the other side hears of it again and knows it no more.
    if (site.linkCut === true || (wasSilent && args.up)) estate.changed.emit('unreachable', args.site);
    return nothing;
  },

  'lab.fill': ({ estate }, args) => {
    const endpoint = estate.endpoint(args.endpoint);
    for (const place of endpoint.places) {
      if (place.kind !== 'storage') continue;
      place.foreignBytes = 0;
      if (args.freeBytes !== undefined) place.foreignBytes = Math.max(0, estate.freeBytes(endpoint, place.id) - args.freeBytes);
    }
    estate.revision++;
    return nothing;
  },
  'lab.cutConnections': (_, args) => {
    cutConnections(args.endpoint);
    return nothing;
  },
  'lab.resetTracker': ({ estate }, args) => {
    estate.resetTrackers(estate.machine(args.machine), args.disk);
    estate.revision++;
    return nothing;
  },
  'lab.addDisk': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    const like = machine.spec.disks.at(-1) ?? missing('disk', args.machine);
    const made = estate.newDiskId();
    const disk = machine.hv ? diskIdOf(machine, made) : made;
    addDisk(estate, machine, { ...like, id: disk, sizeBytes: args.sizeBytes, boot: false, slot: `0:${machine.spec.disks.length}` });
    return { disk };
  },
  'lab.removeDisk': ({ estate }, args) => {
    removeDisk(estate, estate.machine(args.machine), args.disk);
    return nothing;
  },
  'lab.growDisk': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    if (args.sizeBytes < estate.live(machine, args.disk).sizeBytes) {
      throw new DrError('STATE_CONFLICT', `disk ${args.disk} cannot shrink`, { context: { disk: args.disk } });
    }
    growDisk(estate, machine, args.disk, args.sizeBytes);
    return nothing;
  },
  'lab.rename': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    machine.name = args.name;
    estate.touch(machine);
    return nothing;
  },
  'lab.setLabels': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    machine.labels = { ...args.labels };
    relabelHvMachine(estate, machine);
    estate.touch(machine);
    return nothing;
  },
  'lab.write': async ({ estate, signal }, args) => {
    while (estate.freezes.has(args.machine)) await once(estate.changed, 'thaw', signal ? { signal } : {});
    const machine = estate.machine(args.machine);
    assertInside(estate.live(machine, args.disk), args.offset, args.data.length);
    estate.write(machine, args.disk, args.offset, args.data);
    return nothing;
  },
  'lab.read': ({ estate }, args) => {
    const volume = estate.live(estate.machine(args.machine), args.disk);
    assertInside(volume, args.offset, args.length);
    const data = new Uint8Array(args.length);
    volume.read(args.offset, data);
    return { data };
  },
  'lab.importDisk': (context, args) => importImage(context, context.estate.machine(args.machine), args.disk, args.path),
  'lab.applyDisk': (context, args) => applyImage(context, context.estate.machine(args.machine), args.disk, args.path),
  'lab.exportDisk': ({ estate }, args) => exportImage(volumesOf(estate, args.of).get(args.disk) ?? missing('disk', args.disk), args.path),

  'lab.setWorkload': ({ estate }, args) => {
    const chosen = args.machine === undefined ? [...estate.machines.values()] : [estate.machine(args.machine)];
    for (const machine of chosen) {
      machine.paused = args.paused ?? machine.paused;
      machine.writesPerSecond = args.writesPerSecond ?? machine.writesPerSecond;
    }
    estate.revision++;
    return nothing;
  },
  'lab.setGuest': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    machine.refusesShutdown = args.refusesShutdown ?? machine.refusesShutdown;
    machine.bootDelayMs = args.bootDelayMs ?? machine.bootDelayMs;
    machine.shutdownDelayMs = args.shutdownDelayMs ?? machine.shutdownDelayMs;
    estate.touch(machine);
    return nothing;
  },
  'lab.power': ({ estate }, args) => {
    const machine = estate.machine(args.machine);
    if (args.to === 'on') switchOn(estate, machine);
    else estate.powerOff(machine);
    return nothing;
  },
  'lab.advance': ({ estate }, args) => {
    estate.timeline.advance(args.ms);
    return { now: estate.now() };
  },

  'lab.addFault': (_, args) => ({ id: faults.add(args.rule) }),
  'lab.clearFaults': (_, args) => {
    faults.clear(args.id);
    return nothing;
  },
  'lab.faults': () => ({ faults: faults.list() }),
});

const assertInside = ({ sizeBytes }: Volume, offset: number, length: number): void => {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= sizeBytes) return;
  throw new DrError('USAGE', `${length} bytes at ${offset} do not lie on a disk of ${sizeBytes} bytes`, {
    context: { offset, length, sizeBytes },
  });
};

const machinesOf = (estate: Estate, site: string): MachineRecord[] =>
  [...estate.machines.values()].filter((machine) => estate.endpoint(machine.endpoint).site === site);

const machineStatus = (estate: Estate, machine: MachineRecord): MachineStatus => {
  const guest = estate.guests.get(machine.id);
  return {
    machine: machine.id,
    endpoint: machine.endpoint,
    site: estate.endpoint(machine.endpoint).site,
    name: machine.name,
    role: roleOf(machine),
    power: machine.power,
    guestUp: guest !== undefined,
    frozen: estate.freezes.has(machine.id),
    ...(machine.bootFailure === undefined ? {} : { bootFailure: machine.bootFailure }),
    ...(guest?.identity === undefined ? {} : { identity: guest.identity }),
    transactions: guest?.transactions ?? 0,
    writes: guest?.writes ?? 0,
    paused: machine.paused,
    writesPerSecond: machine.writesPerSecond,
    tracked: machine.tracked,
  };
};

const roleOf = (machine: MachineRecord): MachineStatus['role'] => {
  if (machine.fork !== undefined || (isVm(machine) && (forkOf(machine) ?? cloneOf(machine)))) return 'fork';
  const replicated = machine.hv?.replication?.mode === 'Replica';
  return machine.replica || replicated || (isVm(machine) && replicaOf(machine)) ? 'replica' : 'machine';
};

const status = (estate: Estate): EstateStatus => {
  const machines = [...estate.machines.values()].filter((machine) => !isAppliance(machine));
  const leftovers: EstateStatus['leftovers'][number][] = [];
  for (const { owner, info, kind } of estate.snapshots.values()) {
    // A fork of vSphere is known by its machine and the snapshot that it stands on.
    if (kind === 'fork') leftovers.push({ owner, kind, id: `${info.machines[0]}/${info.id}` });
    else leftovers.push({ owner, kind: 'snapshot', id: info.id });
  }
  for (const { owner, id, state } of estate.forks.values()) if (state !== 'promoted') leftovers.push({ owner, kind: 'fork', id });
  for (const { id, replica } of machines) if (replica && !replica.adopted) leftovers.push({ owner: replica.owner, kind: 'replica', id });
  for (const machine of machines.filter(isVm)) {
    const replica = replicaOf(machine);
    const clone = cloneOf(machine);
    if (clone) leftovers.push({ owner: clone.owner, kind: 'fork', id: `${machine.id}/clone` });
    else if (replica && !replica.adopted) leftovers.push({ owner: replica.owner, kind: 'replica', id: machine.id });
  }
  for (const { places } of estate.endpoints.values()) {
    for (const { id, isolated } of places) if (isolated) leftovers.push({ owner: isolated.owner, kind: 'testNetwork', id });
  }
  return {
    now: estate.now(),
    sites: [...estate.sites.values()].map((site) => ({ ...site })),
    endpoints: [...estate.endpoints.values()].map(({ name, site, profile }) => ({
      name,
      site,
      profile,
      machines: machines.filter((machine) => machine.endpoint === name).length,
    })),
    machines: machines.map((machine) => machineStatus(estate, machine)),
    violations: [...estate.violations],
    leftovers,
  };
};

/** The layers of a state by disk, the boot disk first. */
const volumesOf = (estate: Estate, of: StateRef): Map<DiskId, Volume> => {
  if ('snapshot' in of) {
    const record = estate.snapshots.get(of.snapshot) ?? missing('snapshot', of.snapshot);
    const machine = of.machine ?? record.info.machines[0]!;
    const boots = bootFirst(record.info.specs[machine] ?? missing('machine', machine));
    return new Map(boots.map((disk) => [disk.id, estate.layer(record.volumes[disk.id] ?? missing('disk', disk.id)).volume]));
  }
  if ('replica' in of) {
    const machine = estate.machine(of.replica);
    const under = isVm(machine) ? forkOf(machine) : undefined;
    if (under) return new Map(under.disks.map(({ disk, layer }) => [disk, estate.layer(layer).volume]));
    const fork = machine.fork === undefined ? undefined : estate.forks.get(machine.fork);
    return new Map(bootFirst(fork?.before?.spec ?? machine.spec).map((disk) => [disk.id, baseOf(estate, machine, disk.id).volume]));
  }
  const machine = estate.machine('fork' in of ? machineOfFork(estate, of.fork) : of.machine);
  return new Map(bootFirst(machine.spec).map((disk) => [disk.id, estate.live(machine, disk.id)]));
};

const machineOfFork = (estate: Estate, id: ForkId): Machine['id'] => {
  const [machine, under] = id.split('/');
  const vm = estate.machines.get(machine as Machine['id']);
  if (vm && isVm(vm) && (under === 'clone' ? cloneOf(vm) : forkOf(vm)?.id === under)) return vm.id;
  return (estate.forks.get(id) ?? missing('fork', id)).machine;
};

const inspect = (estate: Estate, of: StateRef): StateReport => {
  const volumes = volumesOf(estate, of);
  const disks = [...volumes.values()].map(
    (volume): GuestDisk => ({ sizeBytes: volume.sizeBytes, read: (offset, into) => volume.read(offset, into), write: refuseWrite }),
  );
  return {
    verdict: check(disks),
    digests: [...volumes].map(([disk, volume]) => ({ disk, sizeBytes: volume.sizeBytes, digest: volume.digest() })),
  };
};

const refuseWrite = (): never => {
  throw new Error('a state that is inspected is never written');
};
