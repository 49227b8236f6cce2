// A snapshot source: one tagged VM snapshot at a time, changed block tracking (CBT) against the change ids that it was taken for.
import { isFault, type MoRef, type VirtualDevice, type VirtualMachineSnapshotInfo } from '../../adapters/vsphere/port.ts';
import {
  type Baseline,
  type Call,
  type DiskId,
  DrError,
  type Extent,
  type Finding,
  isDrError,
  type MachineId,
  type PointRequest,
  type Snapshot,
  type SnapshotId,
  type SnapshotSource,
} from '../../core/contract/index.ts';
import { extentPages } from '../../core/plugin-kit/index.ts';
import { backingOf, type DiskDevice, disksOf, SPEC_PATHS, toSpec } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { allSnapshots, consolidate, countSnapshots, removeSnapshot, snapshotsOf, type TaggedSnapshot } from './snapshots.ts';
import { CYCLE_NAME, extraOptions, readExtra, type SnapshotTag, TRACKING } from './tags.ts';
import { isGone, type Props, type Vcenter, vmRef } from './vcenter.ts';

/** Areas in use instead of changes since an id (vSphere API reference, QueryChangedDiskAreas). */
const IN_USE = '*';
const SEPARATOR = '+';
/** As the vSphere API calls the task. */
const SNAPSHOTTING = 'VirtualMachine.createSnapshot';

export const sourceOf = (vcenter: Vcenter, paths: DataPaths): SnapshotSource => {
  const find = (id: SnapshotId, disk: DiskId, call: Call) => findDisk(vcenter, id, disk, call);
  return {
    kind: 'snapshot',
    enableTracking: (id, call) => enableTracking(vcenter, id, call),
    disableTracking: (id, call) => disableTracking(vcenter, id, call),
    createSnapshot: (ids, want, call) => createSnapshot({ vcenter, paths }, ids, want, call),
    listSnapshots: (call) => listSnapshots(vcenter, call),
    releaseSnapshot: async (id, _outcome, call) => {
      // A change id is a place in a sequence: nothing has to be kept or given up with a snapshot.
      for (const ref of partsOf(id)) await release(vcenter, paths, ref, call);
      call.signal.throwIfAborted();
    },
    changedExtents: async function* (of, disk, from, call) {
      const found = await find(of, disk, call);
      const since = found.tag.since?.[disk];
      assertKnown(disk, since, backingOf(found.disk.device).changeId);
      yield* areas(vcenter, found, { changeId: since, from }, call);
    },
    allocatedExtents: async function* (of, disk, from, call) {
      const found = await find(of, disk, call);
      const { sizeBytes } = found.disk;
      let at = from;
      try {
        assertTracked(found.disk);
        for await (const extent of areas(vcenter, found, { changeId: IN_USE, from }, call)) {
          at = extent.offset + extent.length;
          yield extent;
        }
      } catch (error) {
        call.signal.throwIfAborted();
        // Only VMFS, and a tracker that was enabled without snapshots, can tell what is in use: the whole rest is read instead.
        if (!isDrError(error, 'TRACKING_LOST')) throw error;
        call.log.info('the areas in use cannot be told: the whole disk is read', { disk });
        if (at < sizeBytes) yield { offset: at, length: sizeBytes - at };
      }
    },
    openReader: async (of, disk, call) => {
      const found = await find(of, disk, call);
      return paths.read.openRead({ machine: found.machine, disk: found.disk, snapshot: found.ref.value }, call);
    },
    keepBaselines: async (id, _keep, call) => {
      await vcenter.props(vmRef(id), ['name'], call);
    },
  };
};

const partsOf = (id: SnapshotId): MoRef[] => id.split(SEPARATOR).map((value) => ({ type: 'VirtualMachineSnapshot', value }));

// ---- tracking --------------------------------------------------------------------------------------------------------

/** Another product may need what was enabled before us, or by it. */
const disableTracking = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const { 'config.extraConfig': extra } = await vcenter.props(vmRef(id), ['config.extraConfig'], call);
  if (readExtra(extra).get(TRACKING) !== vcenter.ownerId) return;
  // Of a cycle that was called off: who lets the machine go then finds its snapshot.
  await vcenter.awaitUnderWay(id, SNAPSHOTTING, call);
  const spec = { changeTrackingEnabled: false, extraConfig: extraOptions({ [TRACKING]: '' }) };
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec }, call);
};

/**
 * Enabled under a snapshot it would give wrong answers without a word (since 6.5), so that is refused. On a running machine it takes effect
 * at the next stun: a snapshot is taken and removed for that, and every disk must then have a change id.
 */
const enableTracking = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<readonly Finding[]> => {
  const vm = vmRef(id);
  await endStuns(vcenter, id, call);
  const props = await vcenter.props(vm, ['config.changeTrackingEnabled', 'config.hardware.device', 'runtime.powerState', 'snapshot'], call);
  if (props['config.changeTrackingEnabled'] === true && untracked(id, props).length === 0) return [];
  if (props['config.changeTrackingEnabled'] !== true) {
    assertNoSnapshots(id, props);
    const spec = { changeTrackingEnabled: true, extraConfig: extraOptions({ [TRACKING]: vcenter.ownerId }) };
    await vcenter.task('ReconfigVM_Task', vm, { spec }, call);
  }
  if (props['runtime.powerState'] !== 'poweredOn') return [];
  await stun(vcenter, id, call);
  const still = untracked(id, await vcenter.props(vm, ['config.hardware.device'], call));
  return still.map(({ slot }) => ({
    code: 'TRACKING_NEEDS_POWER_CYCLE',
    level: 'warning',
    message: `changes of disk ${slot} are not tracked yet`,
    hint: 'power the machine off and on: until then each cycle compares the disk',
  }));
};

/** Whosever they are: ours, left by a cycle that was killed, are no better. */
const assertNoSnapshots = (id: MachineId, props: Props): void => {
  const count = countSnapshots(props['snapshot'] as VirtualMachineSnapshotInfo | undefined);
  if (count === 0) return;
  throw new DrError(
    'STATE_CONFLICT',
    `change tracking of machine ${id} cannot be enabled while it has snapshots (${count}): it would report wrongly`,
    {
      hint: 'remove the snapshots of the machine first; doctor --sweep removes those that this installation has left',
      context: { machine: id },
    },
  );
};

const assertTracked = ({ id, device }: DiskDevice): void => {
  if (backingOf(device).changeId === undefined)
    throw new DrError('TRACKING_LOST', `changes of disk ${id} are not tracked`, { context: { disk: id } });
};

const untracked = (id: MachineId, props: Props): DiskDevice[] =>
  disksOf(id, (props['config.hardware.device'] ?? []) as readonly VirtualDevice[]).filter(
    ({ device }) => backingOf(device).changeId === undefined,
  );

const stun = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const tag: SnapshotTag = { warmsite: 1, owner: vcenter.ownerId, operationId: call.operationId, kind: 'cycle', stun: true };
  await removeSnapshot(vcenter, { machine: id, ref: await take(vcenter, id, tag, false, call) }, call);
};

/** Those of calls that were killed, which the server may have finished since: the next cycle would take one for the snapshot of another. */
const endStuns = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  for (const { ref, tag } of await snapshotsOf(vcenter, id, 'cycle', call))
    if (tag.stun) await removeSnapshot(vcenter, { machine: id, ref }, call);
};

/** An id of another tracker, or none, cannot be the beginning of a delta, whatever the server would answer. */
const assertKnown = (disk: DiskId, since: string | undefined, now: string | undefined): void => {
  const why = whyUnknown(since, now);
  if (why !== undefined) throw new DrError('TRACKING_LOST', `what changed on disk ${disk} cannot be told: ${why}`, { context: { disk } });
};

/** A change id is `tracker/position`, and positions only grow: one that is behind is of a machine that was set back to a snapshot. */
const whyUnknown = (since: string | undefined, now: string | undefined): string | undefined => {
  if (since === undefined) return 'no baseline was given';
  if (now === undefined) return 'its changes are not tracked';
  const [[tracker, position], [trackerNow, positionNow]] = [partsOfChangeId(since), partsOfChangeId(now)];
  if (tracker !== trackerNow) return 'its tracker has begun anew';
  return Number(positionNow) < Number(position) ? 'the machine was set back to a state before the baseline' : undefined;
};

const partsOfChangeId = (id: string): [string | undefined, string | undefined] => {
  const [tracker, position] = id.split('/', 2);
  return [tracker?.trim(), position];
};

/**
 * Page by page to the end of the disk as the snapshot has it; an empty page is not the end. What a page says of places beyond its own end
 * is kept until its place comes: the contract's order is ascending, the server's need not be.
 */
const areas = (
  vcenter: Vcenter,
  { machine, ref, disk }: FoundDisk,
  { changeId, from }: { readonly changeId: string | undefined; readonly from: number },
  call: Call,
): AsyncGenerator<Extent> =>
  extentPages(call, { from, sizeBytes: disk.sizeBytes }, async (at) => {
    const args = { snapshot: ref, deviceKey: disk.device.key, startOffset: at, changeId: changeId ?? IN_USE };
    const info = await vcenter.call('QueryChangedDiskAreas', vmRef(machine), args, call).catch((error: unknown) => {
      call.signal.throwIfAborted();
      throw lostOr(error, disk.id);
    });
    const next = Number(info.startOffset) + Number(info.length);
    if (!(Number(info.startOffset) <= at && next > at)) {
      // What lies between, or where the next page would begin, is not known, and a guess could leave changes out.
      throw new DrError('TRACKING_LOST', `the server's answer about disk ${disk.id} does not go on from ${at}`, {
        context: { disk: disk.id, offset: at },
      });
    }
    return { next, ranges: (info.changedArea ?? []).map(({ start, length }) => ({ offset: Number(start), length: Number(length) })) };
  });

/** The server's ways to say that it does not know: an unknown id, a tracker without a file, a method that is not there. */
const lostOr = (error: unknown, disk: DiskId): unknown => {
  if (isFault(error, 'ManagedObjectNotFound')) return error;
  if (!isFault(error, 'FileFault', 'InvalidArgument', 'NotFound', 'MethodNotFound', 'NotSupported')) return error;
  return new DrError('TRACKING_LOST', `what changed on disk ${disk} cannot be told: the server does not know the baseline`, {
    context: { disk },
    cause: error,
  });
};

// ---- snapshots -------------------------------------------------------------------------------------------------------

/** One machine after the other: vSphere holds no two at one instant. */
interface Ground {
  readonly vcenter: Vcenter;
  readonly paths: DataPaths;
}

const createSnapshot = async (ground: Ground, ids: readonly MachineId[], want: PointRequest, call: Call): Promise<Snapshot> => {
  const { vcenter } = ground;
  const machines = [...new Set(ids)];
  const there: TaggedSnapshot[] = [];
  for (const id of machines) {
    await vcenter.awaitUnderWay(id, SNAPSHOTTING, call);
    await endStuns(vcenter, id, call);
    there.push(...(await snapshotsOf(vcenter, id, 'cycle', call)));
  }
  const parts: TaggedSnapshot[] = there.filter(({ tag }) => tag.operationId === call.operationId);
  const other = there.find(({ tag }) => tag.operationId !== call.operationId);
  if (other && parts.length === 0) {
    throw new DrError(
      'SNAPSHOT_LIMIT_REACHED',
      `machine ${other.machine} has the snapshot ${other.ref.value} of this installation already`,
      {
        hint: 'let the cycle that it belongs to end, or run doctor --sweep',
        context: { machine: other.machine, snapshot: other.ref.value },
      },
    );
  }
  try {
    for (const id of machines)
      if (!parts.some(({ machine }) => machine === id)) parts.push(await snapshotOne(ground, id, { ...want, machines }, call));
  } catch (error) {
    // All or none; what an abort or a second failure has left is found by its operation.
    for (const { machine, ref } of call.signal.aborted ? [] : parts)
      await removeSnapshot(vcenter, { machine, ref }, call).catch(() => undefined);
    throw error;
  }
  return describe(
    vcenter,
    machines.map((id) => parts.find(({ machine }) => machine === id)!),
    call,
  );
};

const snapshotOne = async (
  { vcenter, paths }: Ground,
  id: MachineId,
  { consistency, orElse, since, machines }: PointRequest & { readonly machines: readonly MachineId[] },
  call: Call,
): Promise<TaggedSnapshot> => {
  const tag: SnapshotTag = {
    warmsite: 1,
    owner: vcenter.ownerId,
    operationId: call.operationId,
    kind: 'cycle',
    since: Object.fromEntries(since),
    consistency,
    ...(machines.length > 1 ? { machines } : {}),
  };
  // What could not be merged may be held by an attachment of ours whose end went wrong.
  await consolidate(vcenter, id, call, () => paths.read.release(id, call));
  const quiesced = consistency === 'application' ? await tryQuiesced(vcenter, id, { tag, orElse }, call) : { failed: '' };
  const ref =
    'ref' in quiesced
      ? quiesced.ref
      : await take(
          vcenter,
          id,
          { ...tag, consistency: 'crash', ...(quiesced.failed === '' ? {} : { fellBackBecause: quiesced.failed }) },
          false,
          call,
        );
  const made = (await snapshotsOf(vcenter, id, 'cycle', call)).filter((one) => one.tag.operationId === call.operationId);
  const taken = made.find((one) => one.ref.value === ref.value);
  // What a killed call had asked for, and the server has done since.
  if (taken) for (const one of made) if (one !== taken) await removeSnapshot(vcenter, { machine: id, ref: one.ref }, call);
  if (taken) return taken;
  // A server that has shortened or changed the tag: nobody would find this snapshot again, and each cycle would add one.
  await removeSnapshot(vcenter, { machine: id, ref }, call);
  throw new DrError('SNAPSHOT_GONE', `the snapshot of machine ${id} is gone right after it was taken`, { context: { machine: id } });
};

/** The snapshot, or why there is none, in words. */
const tryQuiesced = async (
  vcenter: Vcenter,
  id: MachineId,
  { tag, orElse }: { readonly tag: SnapshotTag; readonly orElse: PointRequest['orElse'] },
  call: Call,
): Promise<{ readonly ref: MoRef } | { readonly failed: string }> => {
  const { 'guest.toolsRunningStatus': tools, 'runtime.powerState': power } = await vcenter.props(
    vmRef(id),
    ['guest.toolsRunningStatus', 'runtime.powerState'],
    call,
  );
  const silent =
    power !== 'poweredOn'
      ? `machine ${id} does not run`
      : tools !== 'guestToolsRunning'
        ? `VMware Tools do not run in machine ${id}`
        : undefined;
  if (silent !== undefined) {
    if (orElse === 'refuse') throw new DrError('CONSISTENCY_UNAVAILABLE', silent, { context: { machine: id } });
    return { failed: silent };
  }
  try {
    return { ref: await take(vcenter, id, tag, true, call) };
  } catch (error) {
    if (orElse === 'refuse' || !isDrError(error, 'QUIESCE_FAILED')) throw error;
    return { failed: error.message };
  }
};

const take = async (vcenter: Vcenter, id: MachineId, tag: SnapshotTag, quiesce: boolean, call: Call): Promise<MoRef> => {
  const args = { name: CYCLE_NAME, description: JSON.stringify(tag), memory: false, quiesce };
  return (await vcenter.task('CreateSnapshot_Task', vmRef(id), args, call)) as MoRef;
};

/** From the snapshots' own configurations: those of the live machines may be others by now. */
const describe = async (vcenter: Vcenter, parts: readonly TaggedSnapshot[], call: Call): Promise<Snapshot> => {
  const configs = await Promise.all(
    parts.map(async (part) => ({ part, props: await vcenter.props(part.ref, ['vm', ...CONFIG_PATHS], call) })),
  );
  const taken = parts.map(({ createdAt }) => Date.parse(createdAt));
  const skewedMs = Math.max(...taken) - Math.min(...taken);
  const [{ tag, createdAt }] = parts as [TaggedSnapshot];
  const fellBack = parts.find((part) => part.tag.fellBackBecause !== undefined)?.tag.fellBackBecause;
  return {
    id: parts.map(({ ref }) => ref.value).join(SEPARATOR) as SnapshotId,
    machines: parts.map(({ machine }) => machine),
    takenAt: createdAt,
    operationId: tag.operationId,
    atomicity: parts.length > 1 ? { skewedMs } : 'instant',
    consistency: parts.every((part) => part.tag.consistency === 'application') ? 'application' : 'crash',
    ...(fellBack === undefined ? {} : { fellBackBecause: fellBack }),
    disks: configs.flatMap(({ part, props }) =>
      disksIn(part.machine, props).map(({ id, sizeBytes, device }) => {
        const { changeId } = backingOf(device);
        return { disk: id, machine: part.machine, sizeBytes, ...(changeId === undefined ? {} : { baseline: changeId as Baseline }) };
      }),
    ),
    specs: new Map(configs.map(({ part, props }) => [part.machine, toSpec(part.machine, props)])),
  };
};

const CONFIG_PATHS = SPEC_PATHS.filter((path) => path.startsWith('config.'));
const disksIn = (machine: MachineId, props: Props): DiskDevice[] =>
  disksOf(machine, (props['config.hardware.device'] ?? []) as readonly VirtualDevice[]);

async function* listSnapshots(vcenter: Vcenter, call: Call): AsyncGenerator<Snapshot> {
  const byOperation = new Map<string, TaggedSnapshot[]>();
  for await (const one of allSnapshots(vcenter, 'cycle', call)) {
    byOperation.set(one.tag.operationId, [...(byOperation.get(one.tag.operationId) ?? []), one]);
  }
  for (const parts of byOperation.values()) {
    call.signal.throwIfAborted();
    const order = parts[0]?.tag.machines ?? [];
    const sorted = parts.sort((a, b) => order.indexOf(a.machine) - order.indexOf(b.machine));
    const found = await describe(vcenter, sorted, call).catch((error: unknown) => {
      if (!isGone(error)) throw error;
      return undefined;
    });
    if (found) yield found;
  }
  call.signal.throwIfAborted();
}

const release = async (vcenter: Vcenter, paths: DataPaths, ref: MoRef, call: Call): Promise<void> => {
  let machine: MachineId;
  try {
    machine = ((await vcenter.props(ref, ['vm'], call))['vm'] as MoRef).value as MachineId;
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  const [ours] = (await snapshotsOf(vcenter, machine, 'cycle', call)).filter((one) => one.ref.value === ref.value);
  if (!ours) return;
  // A file that is still attached somewhere cannot be merged.
  await paths.read.release(machine, call);
  await removeSnapshot(vcenter, { machine, ref }, call);
};

interface FoundDisk {
  readonly machine: MachineId;
  readonly ref: MoRef;
  readonly tag: SnapshotTag;
  readonly disk: DiskDevice;
}

/** SNAPSHOT_GONE when nothing is left of it, NOT_FOUND for a disk that it does not have. */
const findDisk = async (vcenter: Vcenter, id: SnapshotId, disk: DiskId, call: Call): Promise<FoundDisk> => {
  for (const ref of partsOf(id)) {
    try {
      const props = await vcenter.props(ref, ['vm', 'config.hardware.device'], call);
      const machine = (props['vm'] as MoRef).value as MachineId;
      const found = disksIn(machine, props).find((one) => one.id === disk);
      if (!found) continue;
      const [tagged] = (await snapshotsOf(vcenter, machine, 'cycle', call)).filter((one) => one.ref.value === ref.value);
      if (tagged) return { machine, ref, tag: tagged.tag, disk: found };
    } catch (error) {
      if (!isGone(error)) throw error;
      throw new DrError('SNAPSHOT_GONE', `snapshot ${id} does not exist any more`, { context: { snapshot: id }, cause: error });
    }
  }
  throw new DrError('NOT_FOUND', `snapshot ${id} has no disk ${disk}`, { context: { kind: 'disk', disk, snapshot: id } });
};
