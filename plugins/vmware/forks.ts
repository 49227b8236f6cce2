// Forks. `overlay`: the replica itself on top of a VM snapshot; promote merges the snapshot, discard reverts to it. `clone`: a machine of its own.
import {
  isFault,
  type MoRef,
  type VirtualDevice,
  type VirtualDeviceConfigSpec,
  type VirtualMachineConfigSpec,
} from '../../adapters/vsphere/port.ts';
import {
  type Call,
  type DiskId,
  DrError,
  type Fork,
  type ForkId,
  type ForkRequest,
  type Forks,
  isDrError,
  type Machine,
  type MachineId,
  type MachineSpec,
  type ReplicaDisk,
} from '../../core/contract/index.ts';
import { cardChanges, removal } from './devices.ts';
import type { Epochs } from './fence.ts';
import { cardsOf, disksOf, MACHINE_PATHS, powerOf, toMachine } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { toVcenter } from './names.ts';
import { powerOff } from './power.ts';
import { clearedNics, clearedTags, lookAt, nicTags, ownReplica, placedAs, type Replica } from './replica.ts';
import { allSnapshots, consolidate, removeSnapshot, snapshotsOf, type TaggedSnapshot } from './snapshots.ts';
import {
  assertEpoch,
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
import { type Vcenter, vmRef } from './vcenter.ts';
import { openWritable } from './writable.ts';

const MIB = 2 ** 20;
const CLONE = 'clone';

interface Ground {
  readonly vcenter: Vcenter;
  readonly paths: DataPaths;
  readonly epochs: Epochs;
}

export const forksOf = (vcenter: Vcenter, paths: DataPaths, epochs: Epochs): Forks => {
  const ground = { vcenter, paths, epochs };
  return {
    modes: ['overlay', CLONE],
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
    await shape(vcenter, replica, { ...as, mark: { [FORK]: forkId } }, call);
  }
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

/** The definition of the point: its size, its cards on the places that were asked for, and no disk that it does not have. In one request, so that it is whole or not at all. */
const shape = async (
  vcenter: Vcenter,
  replica: Replica,
  as: ForkRequest & { readonly mark: Readonly<Record<string, string>> },
  call: Call,
): Promise<void> => {
  const { spec } = as;
  const wanted = new Set(placedAs(replica, spec, []).disks.values());
  const beyond = replica.disks.filter(({ id }) => !wanted.has(id)).map(({ device }) => removal(device, false));
  const cards: VirtualDeviceConfigSpec[] = [
    ...cardsOf(replica.devices).map((card) => removal(card, false)),
    ...(await cardChanges(vcenter, spec, as.nics, await spareNetwork(vcenter, replica.id, call), call)),
  ];
  const config: VirtualMachineConfigSpec = {
    numCPUs: spec.cpuCount,
    memoryMB: Math.max(4, Math.ceil(spec.memoryBytes / MIB)),
    deviceChange: [...beyond, ...cards],
    // The key under which ESXi keeps the generation id: taken away, it makes a new one.
    extraConfig: extraOptions({
      ...as.mark,
      ...clearedNics(replica.extra),
      ...nicTags(spec),
      ...(as.newGenerationId ? { 'vm.genid': '', 'vm.genidX': '' } : {}),
    }),
  };
  await vcenter.task('ReconfigVM_Task', vmRef(replica.id), { spec: config }, call);
};

const spareNetwork = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<MoRef | undefined> => {
  const { 'runtime.host': host } = await vcenter.props(vmRef(id), ['runtime.host'], call);
  if (!host) return undefined;
  const { network = [] } = await vcenter.props(host as MoRef, ['network'], call);
  return (network as readonly MoRef[]).find(({ type }) => type === 'Network') ?? (network as readonly MoRef[])[0];
};

/** A name that another machine of the folder has gets a suffix: the fork is known by its id. */
const rename = async (vcenter: Vcenter, id: MachineId, name: string, call: Call): Promise<void> => {
  const { name: now } = await vcenter.props(vmRef(id), ['name'], call);
  if (now === name) return;
  try {
    await vcenter.task('Rename_Task', vmRef(id), { newName: name }, call);
  } catch (error) {
    if (!isFault(error, 'DuplicateName', 'InvalidArgument')) throw error;
    if (now !== toVcenter(name, ` (${id})`)) await vcenter.task('Rename_Task', vmRef(id), { newName: toVcenter(name, ` (${id})`) }, call);
  }
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
    assertOff(replica, 'is running and cannot be cloned');
    await releaseAll(ground, id, call);
    const { parent } = replica.props;
    const extraConfig = extraOptions({
      [REPLICA]: '',
      [FORK]: JSON.stringify({ replica: id, purpose: as.purpose, operationId: call.operationId }),
    });
    const spec = { location: {}, powerOn: false, template: false, config: { instanceUuid, extraConfig } };
    for (const name of [toVcenter(as.name), toVcenter(as.name, ` (${instanceUuid.slice(0, 8)})`)]) {
      try {
        made = (await vcenter.task('CloneVM_Task', vmRef(id), { folder: parent as MoRef, name, spec }, call)) as MoRef;
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
    await shape(vcenter, clone, { ...as, mark: { [PROMOTED]: `shaped ${forkId}` } }, call);
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
  const larger = (spec?.disks ?? []).filter(
    (want) => (now.disks.find(({ id }) => id === placed.disks.get(want.id))?.sizeBytes ?? 0) > want.sizeBytes,
  );
  return {
    ...placed,
    findings: larger.map((want) => ({
      code: 'DISK_IS_LARGER',
      level: 'info',
      message: `disk ${placed.disks.get(want.id)} is larger than at the point (${want.sizeBytes} bytes)`,
      hint: 'nothing to do: the rest of the disk is not used',
    })),
    id: forkId,
    replica,
    purpose,
    operationId,
  };
};

async function* list(vcenter: Vcenter, call: Call): AsyncGenerator<Fork> {
  for await (const one of allSnapshots(vcenter, 'fork', call)) {
    const { machine, ref, tag } = one;
    yield describe(
      vcenter,
      {
        forkId: overlayId(machine, ref.value),
        machine,
        replica: machine,
        purpose: tag.purpose ?? 'test',
        operationId: tag.operationId,
        spec: undefined,
      },
      call,
    );
  }
  for await (const { ref, props } of vcenter.list('VirtualMachine', ['config.extraConfig'], call)) {
    const extra = readExtra(props['config.extraConfig']);
    const clone = cloneTag(extra.get(FORK));
    if (!clone || extra.get(OWNER) !== vcenter.ownerId) continue;
    yield describe(vcenter, { forkId: cloneId(ref.value), machine: ref.value as MachineId, ...clone, spec: undefined }, call);
  }
  call.signal.throwIfAborted();
}

const cloneTag = (text: string | undefined): Pick<Description, 'replica' | 'purpose' | 'operationId'> | undefined =>
  text?.startsWith('{') ? (JSON.parse(text) as Pick<Description, 'replica' | 'purpose' | 'operationId'>) : undefined;

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
  const isThere = snapshot === CLONE ? cloneTag(fork.extra.get(FORK)) !== undefined : (await snapshotOf(vcenter, id, call)) !== undefined;
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
    await removeSnapshot(vcenter, now.id, fork.ref, call);
  }
  const after = await lookAt(vcenter, now.id, call);
  for (const file of JSON.parse(after.extra.get(DROP) ?? '[]') as readonly string[]) await deleteFile(vcenter, now.id, file, call);
  if (!after.extra.has(REPLICA) && !after.extra.has(FORK)) return;
  const gone = { [REPLICA]: '', [FORK]: '', [DROP]: '', ...clearedTags(after.extra) };
  await vcenter.task('ReconfigVM_Task', vmRef(now.id), { spec: { extraConfig: extraOptions(gone) } }, call);
};

/** Disks that the replica had and the promoted definition has not: with the snapshot they would stay behind as files that nobody knows. */
const filesBeyond = async (vcenter: Vcenter, { ref }: TaggedSnapshot, now: Replica, call: Call): Promise<string[]> => {
  const { 'config.hardware.device': devices } = await vcenter.props(ref, ['config.hardware.device'], call);
  const kept = new Set(now.disks.map((disk) => disk.id));
  return disksOf(now.id, (devices ?? []) as readonly VirtualDevice[])
    .filter((disk) => !kept.has(disk.id))
    .map(({ fileName }) => fileName);
};

const deleteFile = async (vcenter: Vcenter, machine: MachineId, name: string, call: Call): Promise<void> => {
  const { virtualDiskManager } = vcenter.client.content;
  if (!virtualDiskManager) return;
  try {
    const datacenter = await datacenterOf(vcenter, machine, call);
    await vcenter.task('DeleteVirtualDisk_Task', virtualDiskManager, { name, ...(datacenter ? { datacenter } : {}) }, call);
  } catch (error) {
    if (!isFault(error, 'FileNotFound')) throw error;
  }
};

const datacenterOf = async (vcenter: Vcenter, machine: MachineId, call: Call): Promise<MoRef | undefined> => {
  for (let at: MoRef | undefined = vmRef(machine); at; at = (await vcenter.props(at, ['parent'], call))['parent'] as MoRef | undefined) {
    if (at.type === 'Datacenter') return at;
  }
  return undefined;
};

/** The clone stays, the replica that it was made of goes. */
const promoteClone = async ({ vcenter, paths }: Ground, id: ForkId, now: Replica, call: Call): Promise<void> => {
  const clone = cloneTag(now.extra.get(FORK));
  if (!clone && now.extra.get(PROMOTED) !== id)
    throw new DrError('NOT_FOUND', `there is no fork ${id}`, { context: { kind: 'fork', fork: id } });
  if (!clone) return;
  try {
    for (const mover of paths.all) await mover.release(clone.replica, call);
    const replica = await ownReplica(vcenter, clone.replica, call);
    assertOff(replica, 'is running');
    await vcenter.task('Destroy_Task', vmRef(clone.replica), {}, call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
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
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

/** A revert brings the configuration back as well, the epoch in it too: who was fenced off in the meantime must stay so. */
const discardOverlay = async (ground: Ground, id: ForkId, machine: MachineId, call: Call): Promise<void> => {
  const { vcenter } = ground;
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
  const held = extra.get(EPOCH);
  await vcenter.task('RevertToSnapshot_Task', fork.ref, { suppressPowerOn: true }, call);
  const { extra: reverted } = await lookAt(vcenter, machine, call);
  if (held !== undefined && reverted.get(EPOCH) !== held)
    await vcenter.task('ReconfigVM_Task', vmRef(machine), { spec: { extraConfig: extraOptions({ [EPOCH]: held }) } }, call);
  if (fork.tag.name) await rename(vcenter, machine, fork.tag.name, call);
  await removeSnapshot(vcenter, machine, fork.ref, call);
};

const discardClone = async (ground: Ground, machine: MachineId, call: Call): Promise<void> => {
  const { vcenter } = ground;
  const { extra } = await lookAt(vcenter, machine, call);
  if (!cloneTag(extra.get(FORK)) || extra.get(OWNER) !== vcenter.ownerId) return;
  assertEpoch(machine, epochOf(extra), call.fence);
  await releaseAll(ground, machine, call);
  await powerOff(vcenter, machine, call);
  await vcenter.task('Destroy_Task', vmRef(machine), {}, call);
};
