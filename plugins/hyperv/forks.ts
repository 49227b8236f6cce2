// Forks. For a failover the replica itself on top of a checkpoint, because a checkpoint is merged while the machine runs; for a test a machine of its
// own on differencing disks, because the replica then stays as it is and nobody has to merge anything; a clone is a machine of its own on copies.
import { hash } from 'node:crypto';
import type { Step } from '../../adapters/powershell/port.ts';
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
import { build, dismantle, findMachines, removeFile } from './build.ts';
import { awaitMerge, type Checkpoint, snapshotsOf } from './checkpoints.ts';
import { type Fabric, vmById } from './fabric.ts';
import { assertHas, restoreName, shape } from './fork-shape.ts';
import { getMachine } from './inventory.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf, powerOf } from './machine.ts';
import { changeMarks, without } from './marks.ts';
import type { ForkMark, Marks } from './notes.ts';
import { storages } from './places.ts';
import { powerOff } from './power.ts';
import { assertNoForeign, assertOff, ownReplica, placedAs } from './replica.ts';
import type { Ground } from './target.ts';

const MACHINE = 'machine';
const short = (text: string): string => hash('sha256', text, 'hex').slice(0, 12);

/** A fork that is the replica itself is known by its checkpoint's name: it is there before anything else tells of the fork. */
const checkpointName = (operationId: string): string => `warmsite fork ${short(operationId)}`;
const ownForkId = (machine: MachineId, operationId: string): ForkId => `${machine}/${short(operationId)}` as ForkId;
const secondForkId = (machine: MachineId): ForkId => `${machine}/${MACHINE}` as ForkId;
const partsOf = (id: ForkId): { readonly machine: MachineId; readonly tag: string } => {
  const [machine = '', tag = ''] = id.split('/');
  return { machine: machine as MachineId, tag };
};

export const forksOf = (ground: Ground): Forks => ({
  modes: ['overlay', 'clone'],
  create: (replica, as, call) =>
    as.mode === 'overlay' && as.purpose === 'failover' ? createOwn(ground, replica, as, call) : createSecond(ground, replica, as, call),
  openDisk: (id, disk, call) => openDisk(ground, id, disk, call),
  promote: (id, call) => promote(ground, id, call),
  discard: (id, call) => discard(ground, id, call),
  list: (call) => list(ground.fabric, call),
});

const ownMarks = (fabric: Fabric, { notes }: Look): Marks | undefined => (notes.marks?.owner === fabric.ownerId ? notes.marks : undefined);

const checkpointOf = async (fabric: Fabric, look: Look, operation: string, call: Call): Promise<Checkpoint | undefined> =>
  (await snapshotsOf(fabric, look, call)).find(({ name }) => name === checkpointName(operation));

/** What stands on a replica's disks. Machines are looked for only where the replica says that there was one. */
export const forksOn = async (fabric: Fabric, look: Look, call: Call): Promise<ForkId[]> => {
  const marks = ownMarks(fabric, look);
  const own =
    marks?.fork && (await checkpointOf(fabric, look, marks.fork.operation, call)) ? [ownForkId(look.id, marks.fork.operation)] : [];
  if (!marks?.lent) return own;
  return [...own, ...(await secondsOn(fabric, look.id, call)).map(({ id }) => secondForkId(id))];
};

const secondsOn = (fabric: Fabric, replica: MachineId, call: Call) =>
  findMachines(fabric, ({ id, marks }) => id !== replica && marks?.owner === fabric.ownerId && marks.fork?.replica === replica, call);

// ---- the replica itself ------------------------------------------------------------------------------------------------

const createOwn = async ({ fabric, disks }: Ground, id: MachineId, as: ForkRequest, call: Call): Promise<Fork> => {
  const { operationId: operation } = call;
  const look = await ownReplica(fabric, id, call);
  const begun = look.notes.marks?.fork;
  let checkpoint = begun && (await checkpointOf(fabric, look, begun.operation, call));
  if (checkpoint && begun?.operation !== operation) throw occupied(id, ownForkId(id, begun?.operation ?? ''));
  const [second] = look.notes.marks?.lent ? await secondsOn(fabric, id, call) : [];
  if (second) throw occupied(id, secondForkId(second.id));
  const forkId = ownForkId(id, operation);
  const mark: ForkMark = { ...markOf(as, { id, operation }), disks: look.mark.disks, nics: look.mark.nics };
  if (!checkpoint) {
    assertHas(look, as.spec);
    assertOff(look, 'is running and cannot be forked', 'power the replica off first');
    await assertNoForeign(fabric, look, call);
    await disks.release(
      look.host,
      drivesOf(look).map(({ path }) => path),
      call,
    );
    await awaitMerge(fabric, id, call);
    // Before the checkpoint, so that what it brings back tells of the fork as well.
    await changeMarks(fabric, id, (marks) => ({ ...without(marks, 'promoted'), fork: { ...mark, name: String(look.vm['Name']) } }), call);
    await fabric.onOwner(
      id,
      [vmById(id), { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: checkpointName(operation) } }],
      call,
      call.deadlineMs,
    );
    checkpoint = await checkpointOf(fabric, look, operation, call);
    if (!checkpoint)
      throw new DrError('SNAPSHOT_GONE', `the checkpoint of replica ${id} is gone right after it was taken`, { context: { machine: id } });
  }
  if (begun?.checkpoint === undefined) {
    // A machine that is set to a checkpoint gets another generation id (Virtual Machine Generation ID, Microsoft, 2012).
    if (as.newGenerationId) await restore(fabric, id, checkpoint.id, call);
    await shape(fabric, id, as, call);
    const { id: taken } = checkpoint;
    await changeMarks(fabric, id, (marks) => (marks.fork ? { ...marks, fork: { ...marks.fork, checkpoint: taken } } : marks), call);
  }
  return describe(fabric, { forkId, machine: id, spec: as.spec }, call);
};

const markOf = (as: ForkRequest, { id, operation }: { readonly id: MachineId; readonly operation: string }) => ({
  operation,
  purpose: as.purpose,
  mode: as.mode,
  replica: id,
});

const occupied = (id: MachineId, fork: ForkId): DrError =>
  new DrError('STATE_CONFLICT', `replica ${id} has the fork ${fork} already`, {
    hint: 'discard or promote the fork first',
    context: { machine: id, fork },
  });

const restore = async (fabric: Fabric, id: MachineId, checkpoint: string, call: Call): Promise<void> => {
  const steps: Step[] = [vmById(id), { cmdlet: 'Get-VMSnapshot', params: { Id: checkpoint } }];
  await fabric.onOwner(id, [...steps, { cmdlet: 'Restore-VMSnapshot', params: { VMSnapshot: { $step: 1 } } }], call, call.deadlineMs);
};

const removeCheckpoint = async (fabric: Fabric, id: MachineId, checkpoint: string, withChildren: boolean, call: Call): Promise<void> => {
  const children = withChildren ? { IncludeAllChildSnapshots: true } : {};
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMSnapshot', params: { Id: checkpoint } },
    { cmdlet: 'Remove-VMSnapshot', params: { VMSnapshot: { $step: 1 }, ...children } },
  ];
  try {
    await fabric.onOwner(id, steps, call, call.deadlineMs);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND') || error.context.method === 'Get-VM') throw error;
  }
  await awaitMerge(fabric, id, call);
};

// ---- a machine of its own ----------------------------------------------------------------------------------------------

const createSecond = async ({ fabric, disks }: Ground, id: MachineId, as: ForkRequest, call: Call): Promise<Fork> => {
  const { operationId: operation } = call;
  const look = await ownReplica(fabric, id, call);
  const there = look.notes.marks?.lent ? await secondsOn(fabric, id, call) : [];
  let made = there.find(({ marks }) => marks?.fork?.operation === operation)?.id;
  if (made === undefined) {
    const [other] = await forksOn(fabric, look, call);
    if (other !== undefined) throw occupied(id, other);
    assertHas(look, as.spec);
    assertOff(look, 'is running and cannot be forked', 'power the replica off first');
    await assertNoForeign(fabric, look, call);
    const drives = drivesOf(look);
    await disks.release(
      look.host,
      drives.map(({ path }) => path),
      call,
    );
    const storage = (await storages(fabric, call)).find(({ root }) => drives[0]?.path.toLowerCase().startsWith(`${root.toLowerCase()}\\`));
    if (!storage)
      throw new DrError('NOT_FOUND', `the storage of replica ${id} is not found`, { context: { kind: 'storage', machine: id } });
    const parents = new Map(
      as.spec.disks.map((want) => {
        const drive = drives.find((one) => one.id === (look.mark.disks[want.id] ?? want.id))!;
        return [want.id, { path: drive.path, copy: as.mode === 'clone' }] as const;
      }),
    );
    await changeMarks(fabric, id, (marks) => ({ ...marks, lent: true }), call);
    const mark = ({ disks: ids, nics }: Pick<ForkMark, 'disks' | 'nics'>): Marks => ({
      owner: fabric.ownerId,
      fork: { ...markOf(as, { id, operation }), disks: ids, nics },
    });
    made = await build(fabric, disks, { spec: as.spec, name: as.name, host: look.host, storage, nics: as.nics, parents, mark }, call);
  }
  return describe(fabric, { forkId: secondForkId(made), machine: made, spec: as.spec }, call);
};

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
  return tag === (isOwn ? short(mark.operation) : MACHINE) ? { look, mark, isOwn } : undefined;
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

/** Marked first, merged, then stripped of its marks: each part may be done again, and a retry knows how far it came. */
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

const promoteOwn = async (
  { fabric, disks }: Ground,
  id: ForkId,
  { look, mark }: { readonly look: Look; readonly mark: ForkMark },
  call: Call,
): Promise<void> => {
  if (look.notes.marks?.promoted !== id) await changeMarks(fabric, look.id, (marks) => ({ ...marks, promoted: id }), call);
  if (powerOf(look.vm) === 'off')
    await disks.release(
      look.host,
      drivesOf(look).map(({ path }) => path),
      call,
    );
  const checkpoint = await checkpointOf(fabric, look, mark.operation, call);
  if (checkpoint) await removeCheckpoint(fabric, look.id, checkpoint.id, false, call);
  for (const path of mark.drop ?? []) await removeFile(fabric, look.host, path, call);
  await changeMarks(fabric, look.id, (marks) => ({ ...without(marks, 'fork', 'replica'), promoted: id }), call);
};

/** The clone stays, the replica that it was made of goes. */
const promoteClone = async (
  ground: Ground,
  id: ForkId,
  { look, mark }: { readonly look: Look; readonly mark: ForkMark },
  call: Call,
): Promise<void> => {
  const { fabric } = ground;
  try {
    const replica = await ownReplica(fabric, mark.replica, call);
    assertOff(replica, 'is running', 'power the replica off first');
    await dismantle(ground, { id: replica.id, host: replica.host }, call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
  await changeMarks(fabric, look.id, (marks) => ({ ...without(marks, 'fork'), promoted: id }), call);
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
  const { fabric, disks } = ground;
  try {
    const fork = await find(fabric, id, call);
    if (!fork) return;
    assertEpoch(fork.look.id, fork.look.notes.marks?.epoch, call.fence);
    if (fork.isOwn) {
      await discardOwn(ground, id, fork, call);
      return;
    }
    await powerOff(fabric, fork.look.id, call);
    await dismantle({ fabric, disks }, { id: fork.look.id, host: fork.look.host }, call);
    await changeMarks(fabric, fork.mark.replica, (marks) => without(marks, 'lent'), call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

/**
 * What a checkpoint brings back is the configuration too, the epoch in it as well: who was fenced off in the meantime must stay so. Killed right
 * after it nothing on the machine tells that epoch any more; the caller's own is not lower.
 */
const discardOwn = async (
  { fabric, disks, epochs }: Ground,
  id: ForkId,
  { look, mark }: { readonly look: Look; readonly mark: ForkMark },
  call: Call,
): Promise<void> => {
  const machine = look.id;
  if (look.notes.marks?.promoted === id) {
    throw new DrError('STATE_CONFLICT', `fork ${id} is being promoted and cannot be discarded`, {
      hint: 'let the promotion end',
      context: { fork: id },
    });
  }
  const checkpoint = await checkpointOf(fabric, look, mark.operation, call);
  epochs.note(machine, look.notes.marks?.epoch);
  epochs.note(machine, call.fence);
  if (checkpoint) {
    await powerOff(fabric, machine, call);
    await disks.release(
      look.host,
      drivesOf(look).map(({ path }) => path),
      call,
    );
    await restore(fabric, machine, checkpoint.id, call);
    await restoreName(fabric, machine, mark.name, call);
  }
  const held = epochs.seen(machine);
  await changeMarks(
    fabric,
    machine,
    (marks) => ({ ...marks, ...(held && (marks.epoch?.epoch ?? -1) < held.epoch ? { epoch: held } : {}) }),
    call,
  );
  if (checkpoint) await removeCheckpoint(fabric, machine, checkpoint.id, true, call);
  await changeMarks(fabric, machine, (marks) => without(marks, 'fork'), call);
};
