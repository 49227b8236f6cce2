import { type Baseline, type DiskId, DrError, type MachineId, type SnapshotId } from '../../../core/contract/index.ts';
import { check } from '../checker.ts';
import { bootFirst, type Estate, missing } from '../estate.ts';
import type { DiskDigest, SnapshotArgs, SnapshotInfo } from '../port.ts';
import type { MachineRecord, SnapshotRecord } from '../records.ts';
import type { Volume } from '../volume.ts';
import { type Context, extentPage, type Handlers, nothing, pageOf } from './handlers.ts';

/** Writes that a guest makes between two machines of one request where the hypervisor cannot stop both. */
const WRITES_BETWEEN_MACHINES = 1;
const SKEW_MS = 5;
/** Enough for a transaction to reach one disk only. */
export const WRITES_WHEN_TORN = 9;

export const source: Handlers<'source'> = {
  'source.enableTracking': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    const already = machine.tracked;
    estate.enableTracking(machine);
    estate.touch(machine);
    if (already) return { findings: [] };
    const message = 'changes are tracked from the first snapshot on';
    return {
      findings: [{ code: 'TRACKING_FROM_NEXT_SNAPSHOT', level: 'info', message, hint: 'nothing to do: the first copy reads everything' }],
    };
  },

  'source.disableTracking': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    estate.disableTracking(machine);
    estate.touch(machine);
    return nothing;
  },

  'source.createSnapshot': (context, args) => {
    const made = [...context.estate.snapshots.values()].find(
      (record) => record.owner === args.owner && record.endpoint === args.endpoint && record.info.operationId === args.operationId,
    );
    return { snapshot: (made ?? takeSnapshot(context, args)).info };
  },

  'source.listSnapshots': ({ estate }, args) => {
    const ours = [...estate.snapshots.values()].filter((record) => record.endpoint === args.endpoint && record.owner === args.owner);
    const { items, next } = pageOf(ours, args);
    return { snapshots: items.map((record) => record.info), ...(next === undefined ? {} : { next }) };
  },

  'source.releaseSnapshot': ({ estate }, args) => {
    const record = estate.snapshots.get(args.snapshot);
    if (!record || record.endpoint !== args.endpoint || record.owner !== args.owner) return nothing;
    if (args.outcome === 'abandoned') {
      for (const disk of record.info.disks) if (disk.baseline !== undefined) estate.trackers.get(disk.disk)?.forget(disk.baseline);
    }
    estate.removeSnapshot(record);
    return nothing;
  },

  'source.changedExtents': ({ estate, lies }, args) => {
    const record = snapshotAt(estate, args.snapshot, args);
    const disk = diskOf(record, args.disk);
    const since = estate.profileOf(record).sinceAtSnapshot ? record.since[args.disk] : args.since;
    const tracker = estate.trackers.get(args.disk);
    if (since === undefined || !tracker) {
      const why = since === undefined ? 'no baseline was given' : 'its changes are not tracked';
      throw new DrError('TRACKING_LOST', `what changed on disk ${args.disk} cannot be told: ${why}`, { context: { disk: args.disk } });
    }
    const lying = lies.has('resetBaseline') && !tracker.knows(since);
    const changed = lying ? tracker.changedSinceReset(disk.sizeBytes) : tracker.changed(since, disk.baseline, disk.sizeBytes);
    return extentPage(lies.has('skipDirtyRange') ? changed.slice(0, -1) : changed, args.from, args.limit);
  },

  'source.allocatedExtents': ({ estate }, args) => {
    const record = snapshotAt(estate, args.snapshot, args);
    diskOf(record, args.disk);
    return extentPage(volumeOf(estate, record, args.disk).allocated(args.from), args.from, args.limit);
  },

  'source.keepBaselines': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    for (const disk of machine.spec.disks) estate.trackers.get(disk.id)?.keep(args.owner, args.keep[disk.id] ?? []);
    estate.revision++;
    return nothing;
  },
};

export const snapshotAt = (estate: Estate, id: SnapshotId, at: { readonly endpoint: string; readonly owner: string }): SnapshotRecord => {
  const record = estate.snapshots.get(id);
  if (record && record.endpoint === at.endpoint && record.owner === at.owner) return record;
  throw new DrError('SNAPSHOT_GONE', `snapshot ${id} does not exist any more`, { context: { snapshot: id } });
};

export const diskOf = (record: SnapshotRecord, disk: DiskId): SnapshotInfo['disks'][number] =>
  record.info.disks.find((other) => other.disk === disk) ?? missing('disk', disk);

export const volumeOf = (estate: Estate, record: SnapshotRecord, disk: DiskId): Volume => {
  const name = record.volumes[disk];
  return name === undefined ? missing('disk', disk) : estate.layer(name).volume;
};

/** The state of all disks now, as it will be compared with what reaches the other side. */
export const digestsOf = (estate: Estate, machine: MachineRecord): DiskDigest[] =>
  machine.spec.disks.map((disk) => ({ disk: disk.id, sizeBytes: disk.sizeBytes, digest: estate.live(machine, disk.id).digest() }));

export const recordTruth = (estate: Estate, machine: MachineRecord, operationId: string, snapshot?: SnapshotId): void => {
  const sequence = estate.guests.get(machine.id)?.transactions ?? check(estate.guestDisks(machine)).sequence;
  estate.recordTruth({
    operationId,
    ...(snapshot === undefined ? {} : { snapshot }),
    takenAt: estate.now(),
    machine: machine.id,
    digests: digestsOf(estate, machine),
    ...(sequence === undefined ? {} : { sequence }),
  });
};

const takeSnapshot = ({ estate, lies }: Context, args: SnapshotArgs): SnapshotRecord => {
  const machines = [...new Set(args.machines)].map((id) => estate.machine(id, args.endpoint));
  const profile = estate.profileOf(args);
  for (const machine of machines) assertRoom(estate, machine, profile.capabilities.maxSnapshotsPerMachine);
  const application = quiesce(estate, machines, args, profile.capabilities.consistency.includes('application'));

  const id = estate.nextId('snapshot') as SnapshotId;
  const record = {
    endpoint: args.endpoint,
    owner: args.owner,
    volumes: {} as Record<DiskId, string>,
    since: profile.sinceAtSnapshot ? ({ ...args.since } as Record<DiskId, Baseline>) : {},
  };
  const disks: SnapshotInfo['disks'][number][] = [];
  const apart = machines.length > 1 && profile.capabilities.atomicity !== 'group';
  for (const [index, machine] of machines.entries()) {
    if (apart && index > 0) letWrite(estate, machines, WRITES_BETWEEN_MACHINES);
    recordTruth(estate, machine, args.operationId, id);
    for (const [at, disk] of bootFirst(machine.spec).entries()) {
      if (at > 0 && lies.has('tornSnapshot')) letWrite(estate, [machine], WRITES_WHEN_TORN);
      const live = estate.live(machine, disk.id);
      record.volumes[disk.id] = lies.has('liveCopy') ? live.name : estate.snapshotLayer(live).name;
      const baseline = estate.trackers.get(disk.id)?.mark(args.owner);
      disks.push({ disk: disk.id, machine: machine.id, sizeBytes: disk.sizeBytes, ...(baseline === undefined ? {} : { baseline }) });
    }
  }
  const specs = Object.fromEntries(machines.map((machine): [MachineId, MachineRecord['spec']] => [machine.id, machine.spec]));
  const info: SnapshotInfo = {
    id,
    operationId: args.operationId,
    takenAt: estate.now(),
    machines: machines.map((machine) => machine.id),
    atomicity: apart ? { skewedMs: SKEW_MS * (machines.length - 1) } : 'instant',
    notes: args.notes,
    disks,
    specs,
    ...application,
  };
  const whole: SnapshotRecord = { ...record, info };
  estate.snapshots.set(id, whole);
  estate.revision++;
  return whole;
};

const assertRoom = (estate: Estate, machine: MachineRecord, most: number): void => {
  const held = [...estate.snapshots.values()].filter((record) => record.info.machines.includes(machine.id)).length;
  if (held < most) return;
  throw new DrError('SNAPSHOT_LIMIT_REACHED', `machine ${machine.id} has ${held} snapshots, and no more than ${most} are possible`, {
    context: { machine: machine.id },
  });
};

/** What consistency is had; what the request wants and cannot have follows its `orElse`. */
export const quiesce = (
  estate: Estate,
  machines: readonly MachineRecord[],
  want: { readonly consistency: 'crash' | 'application'; readonly orElse?: 'crash' | 'refuse' },
  possible: boolean,
): { consistency: 'crash' | 'application'; fellBackBecause?: string } => {
  if (want.consistency === 'crash') return { consistency: 'crash' };
  const silent = machines.find((machine) => !estate.guests.has(machine.id));
  const why = !possible ? 'this endpoint cannot quiesce a guest' : silent && `no guest answers in machine ${silent.id}`;
  if (why) {
    if (want.orElse === 'refuse') throw new DrError('CONSISTENCY_UNAVAILABLE', why);
    return { consistency: 'crash', fellBackBecause: why };
  }
  for (const machine of machines) estate.guests.get(machine.id)?.finishTransaction(estate.timeline.now());
  return { consistency: 'application' };
};

export const letWrite = (estate: Estate, machines: readonly MachineRecord[], writes: number): void => {
  for (const machine of machines) for (let i = 0; i < writes; i++) estate.guests.get(machine.id)?.write(estate.timeline.now());
};

export const totalBytes = (extents: readonly { readonly length: number }[]): number =>
  extents.reduce((sum, extent) => sum + extent.length, 0);
