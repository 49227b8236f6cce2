// Forks: the replica itself on top of a checkpoint for a failover, a machine of its own for a test and for a clone.
import {
  type Call,
  type DiskId,
  DrError,
  type Finding,
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
import { assertEpoch } from '../../core/plugin-kit/index.ts';
import { findMachines } from './build.ts';
import { type Fabric, isMissing, vmById } from './fabric.ts';
import { getMachine } from './inventory.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf, powerOf } from './machine.ts';
import type { ForkMark, Marks } from './notes.ts';
import { assertForkable, checkpointOf, discardOwn, makeOwn, ownForkId, promoteOwn, shortId } from './own-fork.ts';
import { ownReplica, placedAs } from './replica.ts';
import { discardSecond, MACHINE, makeSecond, promoteClone, secondForkId, secondsOn } from './second-fork.ts';
import type { Ground } from './target.ts';

const partsOf = (id: ForkId): { readonly machine: MachineId; readonly tag: string } => {
  const [machine = '', tag = ''] = id.split('/');
  return { machine: machine as MachineId, tag };
};

export const forksOf = (ground: Ground): Forks => ({
  modes: ['overlay', 'clone'],
  create: (replica, as, call) => create(ground, replica, as, call),
  openDisk: (id, disk, call) => openDisk(ground, id, disk, call),
  promote: (id, call) => promote(ground, id, call),
  discard: (id, call) => discard(ground, id, call),
  list: (call) => list(ground.fabric, call),
});

const ownMarks = (fabric: Fabric, { notes }: Look): Marks | undefined => (notes.marks?.owner === fabric.ownerId ? notes.marks : undefined);

interface Standing {
  readonly id: ForkId;
  readonly machine: MachineId;
  readonly operation: string | undefined;
  readonly isWhole: boolean;
}

/** What stands on a replica's disks. */
const standingOn = async (fabric: Fabric, look: Look, call: Call): Promise<Standing[]> => {
  const marks = ownMarks(fabric, look);
  if (!marks) return [];
  const operation = marks.fork?.operation;
  const own =
    operation !== undefined && (await checkpointOf(fabric, look, operation, call))
      ? [{ id: ownForkId(look.id, operation), machine: look.id, operation, isWhole: marks.fork?.checkpoint !== undefined }]
      : [];
  const seconds = (await secondsOn(fabric, look, call)).map(({ id, marks: theirs }) => ({
    id: secondForkId(id),
    machine: id,
    operation: theirs?.fork?.operation,
    isWhole: theirs?.building === undefined,
  }));
  return [...own, ...seconds];
};

export const forksOn = async (fabric: Fabric, look: Look, call: Call): Promise<ForkId[]> =>
  (await standingOn(fabric, look, call)).map(({ id }) => id);

// ---- making ------------------------------------------------------------------------------------------------------------

const create = async (ground: Ground, id: MachineId, as: ForkRequest, call: Call): Promise<Fork> => {
  const { fabric } = ground;
  const { operationId: operation } = call;
  const look = await ownReplica(fabric, id, call);
  const standing = await standingOn(fabric, look, call);
  const other = standing.find((one) => one.operation !== operation);
  if (other) throw occupied(id, other.id);
  const mark: ForkMark = { operation, purpose: as.purpose, mode: as.mode, replica: id, disks: look.mark.disks, nics: look.mark.nics };
  const [there] = standing;
  if (as.mode === 'overlay' && as.purpose === 'failover') {
    if (!there) await assertForkable(fabric, look, as, call);
    await makeOwn(ground, { look, mark, as }, call);
    return describe(fabric, { forkId: ownForkId(id, operation), machine: id, spec: as.spec }, call);
  }
  if (!there?.isWhole) await assertForkable(fabric, look, as, call);
  const machine = there?.isWhole ? there.machine : await makeSecond(ground, { look, mark, as }, call);
  return describe(fabric, { forkId: secondForkId(machine), machine, spec: as.spec }, call);
};

const occupied = (id: MachineId, fork: ForkId): DrError =>
  new DrError('STATE_CONFLICT', `replica ${id} has the fork ${fork} already`, {
    hint: 'discard or promote the fork first',
    context: { machine: id, fork },
  });

// ---- looking -----------------------------------------------------------------------------------------------------------

interface Description {
  readonly forkId: ForkId;
  readonly machine: MachineId;
  /** Absent: as it is. */
  readonly spec?: MachineSpec;
}

const describe = async (fabric: Fabric, { forkId, machine, spec }: Description, call: Call): Promise<Fork> => {
  const look = await lookAt(fabric, machine, call);
  const mark = ownMarks(fabric, look)?.fork;
  if (!mark) throw new DrError('NOT_FOUND', `there is no fork ${forkId}`, { context: { kind: 'fork', fork: forkId } });
  const drives = drivesOf(look);
  const asked = spec ?? (await getMachine(fabric, machine, call)).spec;
  const larger = asked.disks.filter(
    (want) => (drives.find(({ id }) => id === (mark.disks[want.id] ?? want.id))?.sizeBytes ?? 0) > want.sizeBytes,
  );
  const findings = larger.map(
    (want): Finding => ({
      code: 'DISK_IS_LARGER',
      level: 'info',
      message: `disk ${mark.disks[want.id]} is larger than at the point (${want.sizeBytes} bytes)`,
      hint: 'nothing to do: the rest of the disk is not used',
    }),
  );
  const placed = await placedAs(fabric, look, { spec: asked, known: mark, findings }, call);
  return { ...placed, id: forkId, replica: mark.replica, purpose: mark.purpose, operationId: mark.operation };
};

async function* list(fabric: Fabric, call: Call): AsyncGenerator<Fork> {
  for (const { id, marks } of await findMachines(
    fabric,
    ({ marks: one }) => one?.owner === fabric.ownerId && one.fork !== undefined,
    call,
  )) {
    call.signal.throwIfAborted();
    const { replica, operation } = marks!.fork!;
    const isOwn = replica === id;
    // One that is discarded while the list is read is left out; the others are not its victims.
    const fork = await describe(fabric, { forkId: isOwn ? ownForkId(id, operation) : secondForkId(id), machine: id }, call).catch(
      (error: unknown) => {
        if (!isDrError(error, 'NOT_FOUND')) throw error;
        return undefined;
      },
    );
    if (fork && (!isOwn || (await checkpointOf(fabric, await lookAt(fabric, id, call), operation, call)))) yield fork;
  }
  call.signal.throwIfAborted();
}

/** The machine and its mark, when this is a fork of ours. */
const find = async (
  fabric: Fabric,
  id: ForkId,
  call: Call,
): Promise<{ readonly look: Look; readonly mark: ForkMark; readonly isOwn: boolean } | undefined> => {
  const { machine, tag } = partsOf(id);
  const look = await lookAt(fabric, machine, call);
  const mark = ownMarks(fabric, look)?.fork;
  if (!mark) return undefined;
  const isOwn = mark.replica === machine;
  return tag === (isOwn ? shortId(mark.operation) : MACHINE) ? { look, mark, isOwn } : undefined;
};

// ---- using -------------------------------------------------------------------------------------------------------------

const openDisk = async ({ fabric, disks, epochs }: Ground, id: ForkId, disk: DiskId, call: Call): Promise<ReplicaDisk> => {
  const fork = await find(fabric, id, call);
  const drive = fork && drivesOf(fork.look).find((one) => one.id === disk);
  if (!fork || !drive) throw new DrError('NOT_FOUND', `fork ${id} has no disk ${disk}`, { context: { kind: 'disk', fork: id, disk } });
  const { look } = fork;
  const held = look.notes.marks?.epoch;
  assertEpoch(look.id, held, call.fence);
  epochs.note(look.id, held);
  if (powerOf(look.vm) !== 'off') throw new DrError('FILE_LOCKED', `fork ${id} is running`, { context: { fork: id, machine: look.id } });
  return epochs.fenced(look.id, await disks.openWrite(look.host, drive.path, call));
};

// ---- ending ------------------------------------------------------------------------------------------------------------

const promote = async (ground: Ground, id: ForkId, call: Call): Promise<Machine> => {
  const { fabric } = ground;
  const { machine } = partsOf(id);
  const fork = await find(fabric, id, call);
  const { marks } = (fork?.look ?? (await lookAt(fabric, machine, call))).notes;
  if (!fork && marks?.promoted !== id) throw new DrError('NOT_FOUND', `there is no fork ${id}`, { context: { kind: 'fork', fork: id } });
  assertEpoch(machine, marks?.epoch, call.fence);
  if (fork?.mark.purpose === 'test' && fork.mark.mode === 'overlay') {
    throw new DrError('STATE_CONFLICT', `fork ${id} is a test, which is never promoted`, {
      hint: 'end the test and fail over instead',
      context: { fork: id },
    });
  }
  if (fork?.isOwn) await promoteOwn(ground, id, fork, call);
  else if (fork) await promoteClone(ground, id, fork, call);
  await joinCluster(fabric, machine, call);
  return getMachine(fabric, machine, call);
};

/** From here it is production: where there is a cluster, that starts it again when its host fails. */
const joinCluster = async (fabric: Fabric, id: MachineId, call: Call): Promise<void> => {
  if (!fabric.isShared) return;
  const [result] = await fabric.onOwner(id, [vmById(id, ['IsClustered'])], call);
  if (result?.rows[0]?.['IsClustered'] === true) return;
  try {
    await fabric.onOwner(id, [vmById(id), { cmdlet: 'Add-ClusterVirtualMachineRole', params: { VMId: id } }], call, call.deadlineMs);
  } catch (error) {
    if (!isDrError(error) || call.signal.aborted) throw error;
    call.log.warn('the machine is not made highly available', { machine: id, code: error.code, message: error.message });
  }
};

const discard = async (ground: Ground, id: ForkId, call: Call): Promise<void> => {
  try {
    const fork = await find(ground.fabric, id, call);
    if (!fork) return;
    assertEpoch(fork.look.id, fork.look.notes.marks?.epoch, call.fence);
    if (fork.isOwn) await discardOwn(ground, id, fork, call);
    else await discardSecond(ground, fork, call);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
};
