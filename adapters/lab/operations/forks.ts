import { type DiskId, type DiskSpec, DrError, type Finding, type ForkId, type MachineId } from '../../../core/contract/index.ts';
import { type Estate, missing } from '../estate.ts';
import type { ForkArgs, ForkInfo } from '../port.ts';
import type { ForkRecord, MachineRecord } from '../records.ts';
import { type Context, type Handlers, mapOf, nothing, pageOf } from './handlers.ts';
import { assertNoForks, connectNics, ownReplica } from './target.ts';

const MERGE_MS = 20;

export const forks: Handlers<'forks'> = {
  'forks.create': ({ estate }, args) => {
    const made = [...estate.forks.values()].find(
      (fork) =>
        fork.endpoint === args.endpoint && fork.owner === args.owner && fork.operationId === args.operationId && fork.state !== 'promoted',
    );
    return describe(estate, made ?? create(estate, args));
  },

  'forks.promote': async (context, args) => {
    const { estate } = context;
    const fork = estate.fork(args.fork, args);
    if (fork.state !== 'promoted') {
      estate.assertFence(estate.machine(fork.replica), args.fence);
      await promote(context, fork);
    }
    return { machine: estate.describe(estate.machine(fork.machine)) };
  },

  'forks.discard': ({ estate }, args) => {
    const fork = estate.forks.get(args.fork);
    if (!fork || fork.endpoint !== args.endpoint || fork.owner !== args.owner) return nothing;
    if (fork.state !== 'ready') {
      throw new DrError('STATE_CONFLICT', `fork ${fork.id} is being promoted and cannot be discarded`, {
        hint: 'let the promotion end',
        context: { fork: fork.id },
      });
    }
    estate.assertFence(estate.machine(fork.replica), args.fence);
    discard(estate, fork);
    return nothing;
  },

  'forks.list': ({ estate }, args) => {
    const ours = [...estate.forks.values()].filter(
      (fork) => fork.endpoint === args.endpoint && fork.owner === args.owner && fork.state !== 'promoted',
    );
    const { items, next } = pageOf(ours, args);
    return { forks: items.map((fork) => describe(estate, fork)), ...(next === undefined ? {} : { next }) };
  },
};

const describe = (estate: Estate, fork: ForkRecord): ForkInfo => ({
  id: fork.id,
  replica: fork.replica,
  purpose: fork.purpose,
  operationId: fork.operationId,
  machine: estate.describe(estate.machine(fork.machine)),
  disks: fork.disks,
  nics: fork.nics,
  findings: fork.findings,
});

const create = (estate: Estate, args: ForkArgs): ForkRecord => {
  const replica = ownReplica(estate, { ...args, machine: args.replica });
  estate.assertFence(replica, args.fence);
  if (replica.power === 'on') {
    throw new DrError('STATE_CONFLICT', `replica ${replica.id} is running and cannot be forked`, { context: { machine: replica.id } });
  }
  const onReplica = estate.profileOf(args).forks === 'replica' && args.mode === 'overlay';
  if (onReplica) assertNoForks(estate, replica);
  const { pairs, findings } = pairDisks(replica, args);
  const id = estate.nextId('fork') as ForkId;
  const { nics, specs } = connectNics(estate, estate.endpoint(args.endpoint), args.spec, args.nics);
  const disks: Record<string, DiskId> = {};
  const base: ForkRecord['base'] = {};
  const volumes: Record<DiskId, string> = {};
  const diskSpecs = pairs.map(({ want, have }): DiskSpec => {
    const forkDisk = onReplica ? have.id : estate.newDiskId();
    disks[want.id] = forkDisk;
    const below = estate.live(replica, have.id);
    below.sync();
    estate.caches.get(have.id)?.flush();
    base[forkDisk] = { disk: have.id, volume: below.name };
    const layer = estate.createLayer(have.sizeBytes, have.storage!, args.mode === 'overlay' ? below : undefined);
    if (args.mode === 'clone') below.copyTo(layer);
    volumes[forkDisk] = layer.name;
    return { ...have, id: forkDisk, boot: want.boot };
  });
  const before = { name: replica.name, spec: replica.spec };
  const spec = { ...args.spec, disks: diskSpecs, nics: specs };
  const machine = onReplica ? replica : secondMachine(estate, replica, args);
  machine.name = args.name;
  machine.spec = spec;
  machine.volumes = onReplica ? { ...machine.volumes, ...volumes } : volumes;
  machine.fork = id;
  if (args.newGenerationId) machine.generation++;
  if (machine.tracked || replica.tracked) estate.enableTracking(machine);
  const fork: ForkRecord = {
    id,
    endpoint: args.endpoint,
    owner: args.owner,
    operationId: args.operationId,
    replica: replica.id,
    machine: machine.id,
    mode: args.mode,
    purpose: args.purpose,
    disks,
    nics,
    findings,
    base,
    ...(onReplica ? { before } : {}),
    state: 'ready',
  };
  estate.forks.set(id, fork);
  carryFence(estate, replica, machine);
  estate.touch(machine);
  return fork;
};

/** Whoever was fenced off the replica is fenced off the machine that runs in its place. */
const carryFence = (estate: Estate, from: MachineRecord, to: MachineRecord): void => {
  const { fences } = estate.endpoint(from.endpoint);
  const held = fences[from.id];
  if (held && held.epoch > (fences[to.id]?.epoch ?? 0)) fences[to.id] = held;
};

const secondMachine = (estate: Estate, replica: MachineRecord, args: ForkArgs): MachineRecord => {
  const { replica: _, protectedElsewhere: __, vm: ___, ...like } = replica;
  const id = estate.newMachineId(estate.endpoint(args.endpoint)) as MachineId;
  return estate.addMachine({ ...like, id, labels: { ...replica.labels }, power: 'off', autostart: false, tracked: false, volumes: {} });
};

/** A definition may name disks by the ids of the replica or by those of its source. */
const pairDisks = (replica: MachineRecord, args: ForkArgs): { pairs: { want: DiskSpec; have: DiskSpec }[]; findings: Finding[] } => {
  const findings: Finding[] = [];
  const pairs = args.spec.disks.map((want) => {
    const id = replica.replica!.disks[want.id] ?? want.id;
    const have = replica.spec.disks.find((disk) => disk.id === id) ?? missing('disk', want.id);
    if (have.sizeBytes > want.sizeBytes) {
      const message = `disk ${have.id} has ${have.sizeBytes} bytes, ${want.sizeBytes} at the point`;
      findings.push({ code: 'DISK_IS_LARGER', level: 'info', message, hint: 'nothing to do: the rest of the disk is not used' });
    }
    return { want, have };
  });
  return { pairs, findings };
};

/**
 * One disk after the other, each in one instant, so that a running guest sees no difference. A stop in between leaves some disks merged
 * and the machine whole; promoting again goes on with the rest.
 */
const promote = async ({ estate, signal }: Context, fork: ForkRecord): Promise<void> => {
  const others = estate.forksOf(fork.replica).filter((other) => other.id !== fork.id && other.mode === 'overlay');
  if (fork.mode === 'overlay' && others.length > 0) {
    throw new DrError('STATE_CONFLICT', `replica ${fork.replica} has another fork ${others[0]!.id}`, {
      hint: 'discard the other fork first',
      context: { fork: fork.id },
    });
  }
  fork.state = 'promoting';
  estate.revision++;
  for (const [disk, below] of mapOf<DiskId, ForkRecord['base'][DiskId]>(fork.base)) {
    if (fork.mode === 'clone' || estate.machine(fork.machine).volumes[disk] === below.volume) continue;
    await estate.timeline.sleep(MERGE_MS, signal);
    mergeDisk(estate, fork, disk);
  }
  if (fork.state === 'promoting') settlePromotion(estate, fork);
};

const mergeDisk = (estate: Estate, fork: ForkRecord, disk: DiskId): void => {
  const machine = estate.machine(fork.machine);
  const below = fork.base[disk]!;
  // Another promotion of the same fork may have been quicker.
  if (machine.volumes[disk] === below.volume) return;
  const overlay = estate.live(machine, disk);
  overlay.mergeIntoParent();
  machine.volumes[disk] = below.volume;
  if (fork.machine !== fork.replica) delete estate.machine(fork.replica).volumes[below.disk];
  estate.removeLayer(overlay.name);
  estate.revision++;
};

const settlePromotion = (estate: Estate, fork: ForkRecord): void => {
  const machine = estate.machine(fork.machine);
  if (!estate.profileOf(machine).trackingSurvivesPromotion) estate.resetTrackers(machine);
  carryFence(estate, estate.machine(fork.replica), machine);
  if (fork.machine !== fork.replica) estate.removeMachine(estate.machine(fork.replica));
  else dropDisksBeyond(estate, machine);
  delete machine.replica;
  delete machine.fork;
  fork.state = 'promoted';
  estate.touch(machine);
};

/** Disks of the replica that the promoted definition does not have. */
const dropDisksBeyond = (estate: Estate, machine: MachineRecord): void => {
  for (const [disk, name] of mapOf<DiskId, string>(machine.volumes)) {
    if (machine.spec.disks.some((kept) => kept.id === disk)) continue;
    delete machine.volumes[disk];
    estate.trackers.delete(disk);
    estate.removeLayer(name);
  }
};

const discard = (estate: Estate, fork: ForkRecord): void => {
  const machine = estate.machine(fork.machine);
  estate.powerOff(machine);
  if (!fork.before) estate.removeMachine(machine);
  else {
    for (const snapshot of estate.snapshots.values()) if (snapshot.info.machines.includes(machine.id)) estate.removeSnapshot(snapshot);
    for (const [disk, below] of mapOf<DiskId, ForkRecord['base'][DiskId]>(fork.base)) {
      estate.removeLayer(machine.volumes[disk]!);
      machine.volumes[disk] = below.volume;
    }
    // The content goes back: a tracker that went on would under-report.
    estate.resetTrackers(machine);
    machine.name = fork.before.name;
    machine.spec = fork.before.spec;
    delete machine.fork;
    estate.touch(machine);
  }
  estate.forks.delete(fork.id);
  estate.revision++;
};
