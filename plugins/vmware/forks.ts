// Forks. `overlay`: the replica itself on top of a VM snapshot; promote merges the snapshot, discard reverts to it. `clone`: a machine of its own.
import { isFault, type MoRef } from '../../adapters/vsphere/port.ts';
import {
  type Call,
  type DiskId,
  DrError,
  type Finding,
  type Fork,
  type ForkId,
  type ForkRequest,
  type Forks,
  type Machine,
  type MachineId,
  type MachineSpec,
  type ReplicaDisk,
} from '../../core/contract/index.ts';
import { assertEpoch, type Epochs } from '../../core/plugin-kit/index.ts';
import { dropFiles, filesBeyond, vmFolderAbove } from './fork-files.ts';
import { assertHas, rename, shape } from './fork-shape.ts';
import { MACHINE_PATHS, powerOf, toMachine } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { toVcenter } from './names.ts';
import { powerOff } from './power.ts';
import { assertNoForks, clearedTags, lookAt, ownReplica, placedAs, type Replica } from './replica.ts';
import { allSnapshots, consolidate, removeSnapshot, snapshotsOf, type TaggedSnapshot } from './snapshots.ts';
import {
  cloneTag,
  DROP,
  EPOCH,
  epochOf,
  extraOptions,
  FORK,
  FORK_NAME,
  OWNER,
  operationUuid,
  PROMOTED,
  REPLICA,
  readExtra,
  type SnapshotTag,
} from './tags.ts';
import { isGone, type Vcenter, vmRef } from './vcenter.ts';
import { openWritable } from './writable.ts';

const CLONE = 'clone';
/** As the vSphere API calls the task. */
const CLONING = 'VirtualMachine.clone';

interface Ground {
  readonly vcenter: Vcenter;
  readonly paths: DataPaths;
  readonly epochs: Epochs;
}

export const forksOf = (vcenter: Vcenter, paths: DataPaths, epochs: Epochs): Forks => {
  const ground = { vcenter, paths, epochs };
  return {
    // A lone host does not clone.
    modes: vcenter.client.about.apiType === 'HostAgent' ? ['overlay'] : ['overlay', CLONE],
    create: (replica, as, call) => (as.mode === CLONE ? createClone(ground, replica, as, call) : createOverlay(ground, replica, as, call)),
    openDisk: (id, disk, call) => openDisk(ground, id, disk, call),
    promote: (id, call) => promote(ground, id, call),
    discard: (id, call) => discard(ground, id, call),
    list: (call) => list(vcenter, call),
  };
};

const overlayId = (machine: string, snapshot: string): ForkId => `${machine}/${snapshot}` as ForkId;
const cloneId = (machine: string): ForkId => `${machine}/${CLONE}` as ForkId;
const partsOf = (id: ForkId): { readonly machine: MachineId; readonly snapshot: string } => {
  const slash = id.indexOf('/');
  return { machine: id.slice(0, slash < 0 ? undefined : slash) as MachineId, snapshot: slash < 0 ? '' : id.slice(slash + 1) };
};

const releaseAll = async ({ paths }: Ground, machine: MachineId, call: Call): Promise<void> => {
  for (const mover of paths.all) await mover.release(machine, call);
};

// ---- creating --------------------------------------------------------------------------------------------------------

const createOverlay = async (ground: Ground, id: MachineId, as: ForkRequest, call: Call): Promise<Fork> => {
  const { vcenter } = ground;
  const replica = await ownReplica(vcenter, id, call);
  const there = await snapshotsOf(vcenter, id, 'fork', call);
  let snapshot = there.find(({ tag }) => tag.operationId === call.operationId);
  if (!snapshot) {
    const [other] = there;
    if (other) throw occupied(id, overlayId(id, other.ref.value));
    assertHas(replica, as.spec);
    assertOff(replica, 'is running and cannot be forked');
    await releaseAll(ground, id, call);
    await consolidate(vcenter, id, call);
    const tag: SnapshotTag = {
      warmsite: 1,
      owner: vcenter.ownerId,
      operationId: call.operationId,
      kind: 'fork',
      purpose: as.purpose,
      name: String(replica.props['name'] ?? ''),
    };
    await vcenter.task(
      'CreateSnapshot_Task',
      vmRef(id),
      { name: FORK_NAME, description: JSON.stringify(tag), memory: false, quiesce: false },
      call,
    );
    snapshot = (await snapshotsOf(vcenter, id, 'fork', call)).find((one) => one.tag.operationId === call.operationId);
    if (!snapshot)
      throw new DrError('SNAPSHOT_GONE', `the snapshot of replica ${id} is gone right after it was taken`, { context: { machine: id } });
  }
  const forkId = overlayId(id, snapshot.ref.value);
  if (replica.extra.get(FORK) !== forkId) {
    await rename(vcenter, id, toVcenter(as.name), call);
    // As it is now, on its snapshot.
    await shape(vcenter, await lookAt(vcenter, id, call), { ...as, mark: { [FORK]: forkId }, ownsFiles: false }, call);
  }
  await dropFiles(vcenter, id, call);
  return describe(vcenter, { forkId, machine: id, replica: id, purpose: as.purpose, operationId: call.operationId, spec: as.spec }, call);
};

const occupied = (id: MachineId, fork: ForkId): DrError =>
  new DrError('STATE_CONFLICT', `replica ${id} has the fork ${fork} already`, {
    hint: 'discard or promote the fork first',
    context: { machine: id, fork },
  });

const assertOff = ({ id, props }: Replica, what: string): void => {
  if (powerOf(props) !== 'off') throw new DrError('STATE_CONFLICT', `replica ${id} ${what}`, { context: { machine: id } });
};

const createClone = async (ground: Ground, id: MachineId, as: ForkRequest, call: Call): Promise<Fork> => {
  const { vcenter } = ground;
  const replica = await ownReplica(vcenter, id, call);
  const instanceUuid = operationUuid(vcenter.ownerId, call.operationId);
  const { searchIndex } = vcenter.client.content;
  const find = async () =>
    searchIndex
      ? ((await vcenter.call('FindByUuid', searchIndex, { uuid: instanceUuid, vmSearch: true, instanceUuid: true }, call)) as
          | MoRef
          | undefined)
      : undefined;
  let made = await find();
  if (!made) {
    // A large replica takes longer than one call: the attempt before may still be at it, and a second clone would be nobody's.
    await vcenter.awaitUnderWay(id, CLONING, call);
    made = await find();
  }
  if (!made) {
    assertHas(replica, as.spec);
    assertOff(replica, 'is running and cannot be cloned');
    await releaseAll(ground, id, call);
    const folder = (replica.props['parent'] as MoRef | undefined) ?? (await vmFolderAbove(vcenter, id, call));
    const extraConfig = extraOptions({
      [REPLICA]: '',
      [FORK]: JSON.stringify({ replica: id, purpose: as.purpose, operationId: call.operationId }),
    });
    const spec = { location: {}, powerOn: false, template: false, config: { instanceUuid, extraConfig } };
    for (const name of [toVcenter(as.name), toVcenter(as.name, ` (${instanceUuid.slice(0, 8)})`)]) {
      try {
        made = (await vcenter.task('CloneVM_Task', vmRef(id), { folder, name, spec }, call)) as MoRef;
        break;
      } catch (error) {
        if (!isFault(error, 'DuplicateName')) throw error;
      }
    }
  }
  if (!made) throw new DrError('STATE_CONFLICT', `the clone of replica ${id} is not found`, { context: { machine: id } });
  const clone = await lookAt(vcenter, made.value as MachineId, call);
  const forkId = cloneId(made.value);
  if (clone.extra.get(PROMOTED) !== `shaped ${forkId}`)
    await shape(vcenter, clone, { ...as, mark: { [PROMOTED]: `shaped ${forkId}` }, ownsFiles: true }, call);
  return describe(
    vcenter,
    { forkId, machine: clone.id, replica: id, purpose: as.purpose, operationId: call.operationId, spec: as.spec },
    call,
  );
};

interface Description {
  readonly forkId: ForkId;
  readonly machine: MachineId;
  readonly replica: MachineId;
  readonly purpose: 'test' | 'failover';
  readonly operationId: string;
  /** Absent: as it is. */
  readonly spec: MachineSpec | undefined;
}

const describe = async (
  vcenter: Vcenter,
  { forkId, machine, replica, purpose, operationId, spec }: Description,
  call: Call,
): Promise<Fork> => {
  const now = await lookAt(vcenter, machine, call);
  const described = toMachine(vmRef(machine), now.props, {});
  const placed = placedAs(now, spec ?? described.spec, []);
  const wanted = new Set(placed.disks.values());
  const others = spec ? now.disks.filter(({ id }) => !wanted.has(id)) : [];
  const larger = (spec?.disks ?? []).filter(
    (want) => (now.disks.find(({ id }) => id === placed.disks.get(want.id))?.sizeBytes ?? 0) > want.sizeBytes,
  );
  return {
    ...placed,
    findings: [
      ...larger.map(
        (want): Finding => ({
          code: 'DISK_IS_LARGER',
          level: 'info',
          message: `disk ${placed.disks.get(want.id)} is larger than at the point (${want.sizeBytes} bytes)`,
          hint: 'nothing to do: the rest of the disk is not used',
        }),
      ),
      ...others.map(
        ({ slot }): Finding => ({
          code: 'DISK_IS_NO_COPY',
          level: 'warning',
          message: `disk ${slot} of the adopted machine is not of the recovery point and stays in it as it is`,
          hint: 'detach the disk by hand where the guest must not see it',
        }),
      ),
    ],
    id: forkId,
    replica,
    purpose,
    operationId,
  };
};

async function* list(vcenter: Vcenter, call: Call): AsyncGenerator<Fork> {
  for await (const { machine, ref, tag } of allSnapshots(vcenter, 'fork', call)) {
    const { purpose = 'test', operationId } = tag;
    const one = { forkId: overlayId(machine, ref.value), machine, replica: machine, purpose, operationId, spec: undefined };
    yield* ifThere(() => describe(vcenter, one, call));
  }
  for await (const { ref, props } of vcenter.list('VirtualMachine', ['config.extraConfig'], call)) {
    const extra = readExtra(props['config.extraConfig']);
    const clone = extra.get(OWNER) === vcenter.ownerId ? cloneTag(extra) : undefined;
    if (!clone) continue;
    yield* ifThere(() =>
      describe(vcenter, { forkId: cloneId(ref.value), machine: ref.value as MachineId, ...clone, spec: undefined }, call),
    );
  }
  call.signal.throwIfAborted();
}

/** One that is discarded while the list is read is left out; the others are not its victims. */
async function* ifThere(look: () => Promise<Fork>): AsyncGenerator<Fork> {
  try {
    yield await look();
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

// ---- using -----------------------------------------------------------------------------------------------------------

/** The fork's snapshot, or undefined when it is merged or reverted. Throws NOT_FOUND for a machine that does not exist. */
const snapshotOf = async (vcenter: Vcenter, id: ForkId, call: Call): Promise<TaggedSnapshot | undefined> => {
  const { machine, snapshot } = partsOf(id);
  return (await snapshotsOf(vcenter, machine, 'fork', call)).find(({ ref }) => ref.value === snapshot);
};

const openDisk = async (ground: Ground, id: ForkId, disk: DiskId, call: Call): Promise<ReplicaDisk> => {
  const { vcenter, epochs } = ground;
  const { machine, snapshot } = partsOf(id);
  const fork = await lookAt(vcenter, machine, call);
  assertEpoch(machine, epochOf(fork.extra), call.fence);
  epochs.note(machine, epochOf(fork.extra));
  const isThere = snapshot === CLONE ? cloneTag(fork.extra) !== undefined : (await snapshotOf(vcenter, id, call)) !== undefined;
  const found = isThere ? fork.disks.find((one) => one.id === disk) : undefined;
  if (!found) throw new DrError('NOT_FOUND', `fork ${id} has no disk ${disk}`, { context: { kind: 'disk', fork: id, disk } });
  if (powerOf(fork.props) !== 'off') throw new DrError('FILE_LOCKED', `fork ${id} is running`, { context: { fork: id, machine } });
  return openWritable(ground, { machine, disk: found, fencedBy: machine }, call);
};

// ---- ending ----------------------------------------------------------------------------------------------------------

/** Marked first, merged, then stripped of its tags: each part may be done again, and a retry knows how far it came. */
const promote = async (ground: Ground, id: ForkId, call: Call): Promise<Machine> => {
  const { vcenter } = ground;
  const { machine, snapshot } = partsOf(id);
  const now = await lookAt(vcenter, machine, call);
  assertEpoch(machine, epochOf(now.extra), call.fence);
  await releaseAll(ground, machine, call);
  if (snapshot === CLONE) await promoteClone(ground, id, now, call);
  else await promoteOverlay(ground, id, now, call);
  return toMachine(vmRef(machine), await vcenter.props(vmRef(machine), MACHINE_PATHS, call), {});
};

const promoteOverlay = async ({ vcenter }: Ground, id: ForkId, now: Replica, call: Call): Promise<void> => {
  const fork = await snapshotOf(vcenter, id, call);
  if (!fork && now.extra.get(PROMOTED) !== id)
    throw new DrError('NOT_FOUND', `there is no fork ${id}`, { context: { kind: 'fork', fork: id } });
  if (fork) {
    const drop = await filesBeyond(vcenter, fork, now, call);
    const marks = extraOptions({ [PROMOTED]: id, [DROP]: JSON.stringify(drop) });
    if (now.extra.get(PROMOTED) !== id) await vcenter.task('ReconfigVM_Task', vmRef(now.id), { spec: { extraConfig: marks } }, call);
    await removeSnapshot(vcenter, { machine: now.id, ref: fork.ref }, call);
  }
  await dropFiles(vcenter, now.id, call);
  const after = await lookAt(vcenter, now.id, call);
  if (!after.extra.has(REPLICA) && !after.extra.has(FORK)) return;
  const gone = { [REPLICA]: '', [FORK]: '', [DROP]: '', ...clearedTags(after.extra) };
  await vcenter.task('ReconfigVM_Task', vmRef(now.id), { spec: { extraConfig: extraOptions(gone) } }, call);
};

/** The clone stays, the replica that it was made of goes. */
const promoteClone = async ({ vcenter, paths }: Ground, id: ForkId, now: Replica, call: Call): Promise<void> => {
  const clone = cloneTag(now.extra);
  if (!clone && now.extra.get(PROMOTED) !== id)
    throw new DrError('NOT_FOUND', `there is no fork ${id}`, { context: { kind: 'fork', fork: id } });
  if (!clone) return;
  try {
    for (const mover of paths.all) await mover.release(clone.replica, call);
    const replica = await ownReplica(vcenter, clone.replica, call);
    assertOff(replica, 'is running');
    await assertNoForks(vcenter, clone.replica, call);
    await vcenter.task('Destroy_Task', vmRef(clone.replica), {}, call);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  const gone = { [FORK]: '', [PROMOTED]: id, ...clearedTags(now.extra) };
  await vcenter.task('ReconfigVM_Task', vmRef(now.id), { spec: { extraConfig: extraOptions(gone) } }, call);
};

const discard = async (ground: Ground, id: ForkId, call: Call): Promise<void> => {
  const { machine, snapshot } = partsOf(id);
  try {
    if (snapshot === CLONE) await discardClone(ground, machine, call);
    else await discardOverlay(ground, id, machine, call);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
};

/**
 * A revert brings the configuration back as well, the epoch in it too: who was fenced off in the meantime must stay so. Killed right after
 * the revert nothing on the machine tells that epoch any more; the caller's own is not lower.
 */
const discardOverlay = async (ground: Ground, id: ForkId, machine: MachineId, call: Call): Promise<void> => {
  const { vcenter, epochs } = ground;
  const fork = await snapshotOf(vcenter, id, call);
  if (!fork) return;
  const { extra } = await lookAt(vcenter, machine, call);
  assertEpoch(machine, epochOf(extra), call.fence);
  if (extra.get(PROMOTED) === id) {
    throw new DrError('STATE_CONFLICT', `fork ${id} is being promoted and cannot be discarded`, {
      hint: 'let the promotion end',
      context: { fork: id },
    });
  }
  await releaseAll(ground, machine, call);
  await powerOff(vcenter, machine, call);
  epochs.note(machine, epochOf(extra));
  epochs.note(machine, call.fence);
  await vcenter.task('RevertToSnapshot_Task', fork.ref, { suppressPowerOn: true }, call);
  const { extra: reverted } = await lookAt(vcenter, machine, call);
  const held = epochs.seen(machine);
  if (held && epochOf(reverted)?.epoch !== held.epoch)
    await vcenter.task('ReconfigVM_Task', vmRef(machine), { spec: { extraConfig: extraOptions({ [EPOCH]: JSON.stringify(held) }) } }, call);
  if (fork.tag.name) await rename(vcenter, machine, fork.tag.name, call);
  // What others have taken of the fork goes with it: it would hang on the replica's disks.
  await removeSnapshot(vcenter, { machine, ref: fork.ref, withChildren: true }, call);
};

const discardClone = async (ground: Ground, machine: MachineId, call: Call): Promise<void> => {
  const { vcenter } = ground;
  const { extra } = await lookAt(vcenter, machine, call);
  if (!cloneTag(extra) || extra.get(OWNER) !== vcenter.ownerId) return;
  assertEpoch(machine, epochOf(extra), call.fence);
  await releaseAll(ground, machine, call);
  await powerOff(vcenter, machine, call);
  await vcenter.task('Destroy_Task', vmRef(machine), {}, call);
};
