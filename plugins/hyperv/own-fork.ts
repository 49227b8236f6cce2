// A fork that is the replica itself on top of a checkpoint: for a failover, because a checkpoint is merged while the machine runs.
import { hash } from 'node:crypto';
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type ForkId, type ForkRequest, isDrError, type MachineId } from '../../core/contract/index.ts';
import { awaitMerge, type Checkpoint, frozenDisks, snapshotsOf } from './checkpoints.ts';
import { removeFile } from './dismantle.ts';
import { type Fabric, vmById } from './fabric.ts';
import { assertHas, restoreName, shape } from './fork-shape.ts';
import type { Look } from './look.ts';
import { drivesOf, powerOf } from './machine.ts';
import { changeMarks, withEpoch, without } from './marks.ts';
import type { ForkMark, ReplicaMark } from './notes.ts';
import { powerOff } from './power.ts';
import { destroyReferencePoint } from './reference-points.ts';
import { assertNoForeign, assertOff } from './replica.ts';
import { text } from './rows.ts';
import type { Ground } from './target.ts';

export const shortId = (operation: string): string => hash('sha256', operation, 'hex').slice(0, 12);

/** It is known by its checkpoint's name: that is there before anything else tells of the fork. */
const checkpointName = (operation: string): string => `warmsite fork ${shortId(operation)}`;

export const ownForkId = (machine: MachineId, operation: string): ForkId => `${machine}/${shortId(operation)}` as ForkId;

export const checkpointOf = async (fabric: Fabric, look: Look, operation: string, call: Call): Promise<Checkpoint | undefined> =>
  (await snapshotsOf(fabric, look, call)).find(({ name }) => name === checkpointName(operation));

interface OwnFork {
  readonly look: Look;
  readonly mark: ForkMark;
}

// ---- making ------------------------------------------------------------------------------------------------------------

/** The replica has no other fork: the caller has seen to that. */
export const makeOwn = async (
  ground: Ground,
  { look, mark, as }: { readonly look: Look & { readonly mark: ReplicaMark }; readonly mark: ForkMark; readonly as: ForkRequest },
  call: Call,
): Promise<void> => {
  const { fabric } = ground;
  const { id } = look;
  const begun = look.notes.marks?.fork;
  const known = begun && (await checkpointOf(fabric, look, mark.operation, call));
  if (known && begun.checkpoint !== undefined) return;
  const checkpoint = known ?? (await freeze(ground, { look, mark }, call));
  // A machine that is set to a checkpoint gets another generation id (Virtual Machine Generation ID, Microsoft, 2012).
  if (as.newGenerationId) await goBack(ground, { look, mark: begun ?? mark }, checkpoint, call);
  await shape(fabric, id, as, call);
  await changeMarks(fabric, id, (marks) => (marks.fork ? { ...marks, fork: { ...marks.fork, checkpoint: checkpoint.id } } : marks), call);
};

const freeze = async ({ fabric, disks }: Ground, { look, mark }: OwnFork, call: Call): Promise<Checkpoint> => {
  const { id, host } = look;
  await disks.release(
    host,
    drivesOf(look).map(({ path }) => path),
    call,
  );
  await awaitMerge(fabric, id, call);
  // Before the checkpoint, so that what it brings back tells of the fork as well.
  await changeMarks(fabric, id, (marks) => ({ ...without(marks, 'promoted'), fork: { ...mark, name: text(look.vm, 'Name') } }), call);
  const take: Step = { cmdlet: 'Checkpoint-VM', params: { VM: { $step: 0 }, SnapshotName: checkpointName(mark.operation) } };
  await fabric.onOwner(id, [vmById(id), take], call, call.deadlineMs);
  const checkpoint = await checkpointOf(fabric, look, mark.operation, call);
  if (checkpoint) return checkpoint;
  throw new DrError('SNAPSHOT_GONE', `the checkpoint of replica ${id} is gone right after it was taken`, { context: { machine: id } });
};

/** What makes a replica unfit is said before anything is changed. */
export const assertForkable = async (fabric: Fabric, look: Look, as: ForkRequest, call: Call): Promise<void> => {
  assertHas(look, as.spec);
  assertOff(look, 'is running and cannot be forked', 'power the replica off first');
  await assertNoForeign(fabric, look, call);
};

/**
 * A checkpoint brings back the configuration too, the epoch in it as well: who was fenced off in the meantime must stay so. Killed right after it
 * nothing on the machine tells that epoch any more; the caller's own is not lower.
 */
const goBack = async ({ fabric, epochs }: Ground, { look, mark }: OwnFork, checkpoint: Checkpoint, call: Call): Promise<void> => {
  const { id } = look;
  epochs.note(id, look.notes.marks?.epoch);
  epochs.note(id, call.fence);
  await removeDropped(fabric, look, { mark, checkpoint }, call);
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMSnapshot', params: { Id: checkpoint.id } },
    { cmdlet: 'Restore-VMSnapshot', params: { VMSnapshot: { $step: 1 } } },
  ];
  await fabric.onOwner(id, steps, call, call.deadlineMs);
  const held = epochs.seen(id);
  await changeMarks(fabric, id, (marks) => withEpoch(marks, held), call);
};

/** Of disks that the fork has not: what lay over their frozen files, and is on no drive that the checkpoint would bring back. */
const removeDropped = async (
  fabric: Fabric,
  { host }: Look,
  { mark, checkpoint }: { readonly mark: ForkMark; readonly checkpoint: Checkpoint },
  call: Call,
): Promise<void> => {
  if (!mark.drop) return;
  const { drives } = await frozenDisks(fabric, host, checkpoint.id, call);
  const frozen = new Set(drives.map((row) => text(row, 'Path').toLowerCase()));
  for (const path of mark.drop) if (!frozen.has(path.toLowerCase())) await removeFile(fabric, host, path, call);
};

// ---- ending ------------------------------------------------------------------------------------------------------------

/** Marked first, merged, then stripped of its marks: each part may be done again, and a retry knows how far it came. */
export const promoteOwn = async ({ fabric, disks }: Ground, id: ForkId, { look, mark }: OwnFork, call: Call): Promise<void> => {
  if (look.notes.marks?.promoted !== id) await changeMarks(fabric, look.id, (marks) => ({ ...marks, promoted: id }), call);
  if (powerOf(look.vm) === 'off')
    await disks.release(
      look.host,
      drivesOf(look).map(({ path }) => path),
      call,
    );
  await removeCheckpoint(fabric, look, { mark, withChildren: false }, call);
  for (const path of mark.drop ?? []) await removeFile(fabric, look.host, path, call);
  await changeMarks(fabric, look.id, (marks) => ({ ...without(marks, 'fork', 'replica'), promoted: id }), call);
};

export const discardOwn = async (ground: Ground, id: ForkId, { look, mark }: OwnFork, call: Call): Promise<void> => {
  const { fabric, disks } = ground;
  const machine = look.id;
  if (look.notes.marks?.promoted === id) {
    throw new DrError('STATE_CONFLICT', `fork ${id} is being promoted and cannot be discarded`, {
      hint: 'let the promotion end',
      context: { fork: id },
    });
  }
  const checkpoint = await checkpointOf(fabric, look, mark.operation, call);
  if (checkpoint) {
    await powerOff(fabric, machine, call);
    await disks.release(
      look.host,
      drivesOf(look).map(({ path }) => path),
      call,
    );
    await forgetTracking(fabric, look, call);
    await goBack(ground, { look, mark }, checkpoint, call);
    await restoreName(fabric, machine, mark.name, call);
  }
  await removeCheckpoint(fabric, look, { mark, withChildren: true }, call);
  await changeMarks(fabric, machine, (marks) => without(marks, 'fork', 'points'), call);
};

/** What changed since the fork began is undone unseen: no reference point of before or after counts. */
const forgetTracking = async (fabric: Fabric, { host, notes }: Look, call: Call): Promise<void> => {
  for (const point of Object.values(notes.marks?.points ?? {})) await destroyReferencePoint(fabric, host, point, call);
};

/** Also waits for the merge that an attempt before has begun. */
const removeCheckpoint = async (
  fabric: Fabric,
  look: Look,
  { mark, withChildren }: { readonly mark: ForkMark; readonly withChildren: boolean },
  call: Call,
): Promise<void> => {
  const { id } = look;
  const checkpoint = await checkpointOf(fabric, look, mark.operation, call);
  if (checkpoint) {
    const children = withChildren ? { IncludeAllChildSnapshots: true } : {};
    const steps: Step[] = [
      vmById(id),
      { cmdlet: 'Get-VMSnapshot', params: { Id: checkpoint.id } },
      { cmdlet: 'Remove-VMSnapshot', params: { VMSnapshot: { $step: 1 }, ...children } },
    ];
    await fabric.onOwner(id, steps, call, call.deadlineMs).catch((error: unknown) => {
      if (!isDrError(error, 'NOT_FOUND') || error.context.method === 'Get-VM') throw error;
    });
  }
  await awaitMerge(fabric, id, call);
};
