// The beginning of a cycle: one recovery checkpoint of ours at a time and machine.
import { type Call, DrError, isDrError, type MachineId, type PointRequest, type Snapshot } from '../../core/contract/index.ts';
import { awaitMerge, busy, type Checkpoint, snapshotsOf, takeRecovery } from './checkpoints.ts';
import type { Fabric } from './fabric.ts';
import { cycleOf, describe, type Part } from './frozen.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf, powerOf } from './machine.ts';
import { changeMarks, claimed, without } from './marks.ts';
import { type CycleMark, readable } from './notes.ts';
import { type Ground, release, releaseAt } from './release.ts';
import { text } from './rows.ts';

/** One machine after the other: only collections of VHD sets are held at one instant. */
export const createSnapshot = async (ground: Ground, ids: readonly MachineId[], want: PointRequest, call: Call): Promise<Snapshot> => {
  const { fabric } = ground;
  const machines = [...new Set(ids)];
  const looks = new Map<MachineId, Look>();
  for (const id of machines) looks.set(id, await settled(ground, id, call));
  const other = machines.find((id) => ![undefined, call.operationId].includes(cycleOf(fabric, looks.get(id)!)?.operation));
  if (other !== undefined) {
    throw new DrError('SNAPSHOT_LIMIT_REACHED', `machine ${other} has a checkpoint of another cycle of this installation already`, {
      hint: 'let the cycle that it belongs to end, or run doctor --sweep',
      context: { machine: other },
    });
  }
  const taken: Part[] = [];
  try {
    for (const id of machines) {
      const look = looks.get(id)!;
      const checkpoint = await fabric.underWay.cycles.take(id, () =>
        fabric.held(look, () => takeOne(ground, look, { ...want, machines }, call), call),
      );
      taken.push({ machine: id, checkpoint });
    }
  } catch (error) {
    // All or none; what an abort or a second failure has left is found by its operation.
    if (!call.signal.aborted) for (const id of machines) await giveUp(ground, id, call).catch(() => undefined);
    throw error;
  }
  return describe(fabric, taken, call);
};

/** Whatever there is of this cycle at the machine. */
const giveUp = async (ground: Ground, id: MachineId, call: Call): Promise<void> => {
  const cycle = cycleOf(ground.fabric, await settled(ground, id, call));
  if (cycle?.operation !== call.operationId || cycle.checkpoint === undefined) return;
  await release(ground, { machine: id, checkpoint: cycle.checkpoint }, 'abandoned', call);
};

/**
 * What a killed call has left of a cycle is brought to an end. Written down without a checkpoint: that is the one that is there, and where there
 * is none, none was taken (a host that was still at it has been waited for). Half a reference point becomes a whole one. A checkpoint that is gone
 * was released.
 */
const settled = (ground: Ground, id: MachineId, call: Call): Promise<Look> =>
  ground.fabric.underWay.cycles.take(id, async () => {
    const { fabric } = ground;
    const look = await lookAt(fabric, id, call);
    const cycle = cycleOf(fabric, look);
    if (!cycle) return look;
    if (cycle.checkpoint === undefined) await awaitMerge(fabric, id, call);
    const recovery = await recoveryOf(fabric, look, call);
    // One of them is ours, and nobody can tell which until the other one has ended.
    if (cycle.checkpoint === undefined && recovery.length > 1) throw foreign(id);
    const { checkpoint = recovery[0]?.id } = cycle;
    const isThere = recovery.some((one) => one.id === checkpoint);
    if (isThere && cycle.checkpoint !== undefined && !cycle.converting) return look;
    if (checkpoint !== undefined && cycle.converting)
      await releaseAt(ground, { part: { machine: id, checkpoint }, look, outcome: 'sealed' }, call);
    else
      await changeMarks(
        fabric,
        id,
        (marks) => (isThere && checkpoint !== undefined ? { ...marks, cycle: { ...cycle, checkpoint } } : without(marks, 'cycle')),
        call,
      );
    return lookAt(fabric, id, call);
  });

/** Written down first, taken, then written down as what: whoever is killed in between is understood by the next. */
const takeOne = async (
  { fabric }: Ground,
  look: Look,
  { consistency, orElse, since, machines }: PointRequest & { readonly machines: readonly MachineId[] },
  call: Call,
): Promise<string> => {
  const { id, host } = look;
  const begun = cycleOf(fabric, look);
  if (begun?.checkpoint !== undefined) return begun.checkpoint;
  if ((await recoveryOf(fabric, look, call)).length > 0) throw foreign(id);
  assertDistinct(look);
  await awaitMerge(fabric, id, call);
  const possible = consistency === 'application' ? await applicationFinding(look) : undefined;
  if (possible !== undefined && orElse === 'refuse') throw new DrError('CONSISTENCY_UNAVAILABLE', possible, { context: { machine: id } });
  const own = Object.fromEntries([...since].filter(([disk]) => disk.startsWith(`${id}/`)));
  const cycle: CycleMark = { operation: call.operationId, machines, since: own, consistency: 'crash' };
  const note = (more: Partial<CycleMark>) =>
    changeMarks(fabric, id, (marks) => ({ ...claimed(fabric, marks), cycle: { ...cycle, ...more } }), call);
  const take = async (level: 'crash' | 'application', more: Partial<CycleMark>): Promise<string> => {
    await note(more);
    await takeRecovery(fabric, { id, host }, level, call);
    const checkpoint = await newRecovery(fabric, look, call);
    // Whole once more: a sweep that saw no checkpoint in between has taken the cycle for one that took none.
    await note({ ...more, checkpoint });
    return checkpoint;
  };
  if (consistency === 'crash' || possible !== undefined) return take('crash', possible === undefined ? {} : { fellBackBecause: possible });
  try {
    return await take('application', { consistency: 'application' });
  } catch (error) {
    if (orElse === 'refuse' || !isDrError(error) || !mayFallBack(error)) throw asQuiesce(error, id);
    // A job that has failed late may have left what it was to make; another one beside it would be one too many.
    const [left, ...more] = await recoveryOf(fabric, look, call);
    if (more.length > 0) throw foreign(id);
    const fellBack = { fellBackBecause: error.message };
    if (!left) return take('crash', fellBack);
    await note({ ...fellBack, checkpoint: left.id });
    return left.id;
  }
};

const recoveryOf = async (fabric: Fabric, look: Look, call: Call): Promise<Checkpoint[]> =>
  (await snapshotsOf(fabric, look, call)).filter(({ type }) => type === 'Recovery');

const foreign = (id: MachineId): DrError =>
  busy(id, 'has a backup checkpoint of another product', 'wait for the backup to end, or remove its checkpoint');

/** Two disks of one identity: what changed on one would be taken for the other's. */
const assertDistinct = (look: Look): void => {
  const ids = drivesOf(look).map(({ id }) => id);
  const twice = ids.find((id, at) => ids.indexOf(id) !== at);
  if (twice === undefined) return;
  throw new DrError('STATE_CONFLICT', `two disks of machine ${look.id} have the identity of disk ${twice}`, {
    hint: 'give one of them another identity while the machine is off (Set-VHD -ResetDiskIdentifier)',
    context: { machine: look.id, disk: twice },
  });
};

/** What a host says to a guest that could not be quiesced is a general failure: everything that is none of these may be that. */
const mayFallBack = (error: DrError): boolean =>
  !isDrError(
    error,
    'PERMISSION_DENIED',
    'CONNECTION_LOST',
    'CONNECTION_REFUSED',
    'TIMED_OUT',
    'NOT_FOUND',
    'HOST_BUSY',
    'TASK_IN_PROGRESS',
    'TARGET_FULL',
  );

const asQuiesce = (error: unknown, id: MachineId): unknown =>
  isDrError(error) && mayFallBack(error)
    ? new DrError('QUIESCE_FAILED', `the guest of machine ${id} could not be quiesced: ${error.message}`, {
        context: { machine: id },
        cause: error,
      })
    : error;

const applicationFinding = async ({ vm, id }: Look): Promise<string | undefined> =>
  powerOf(vm) === 'on' ? undefined : `machine ${id} does not run`;

const newRecovery = async (fabric: Fabric, look: Look, call: Call): Promise<string> => {
  const [only, ...more] = await recoveryOf(fabric, look, call);
  if (more.length > 0) throw foreign(look.id);
  if (only) return only.id;
  throw new DrError('SNAPSHOT_GONE', `the checkpoint of machine ${look.id} is gone right after it was taken`, {
    context: { machine: look.id },
  });
};

export async function* listSnapshots(ground: Ground, call: Call): AsyncGenerator<Snapshot> {
  const { fabric } = ground;
  const parts = new Map<string, { readonly part: Part; readonly machines: readonly MachineId[] }[]>();
  for (const host of await fabric.hosts(call)) {
    const rows = await fabric.rows(host, [{ cmdlet: 'Get-VM', params: {}, select: ['Id', 'Notes'] }], call);
    for (const row of rows) {
      const { marks } = readable(text(row, 'Notes'));
      if (marks?.owner !== fabric.ownerId || !marks.cycle) continue;
      const machine = text(row, 'Id').toLowerCase() as MachineId;
      fabric.note(machine, host);
      const cycle = await ended(ground, machine, call);
      if (cycle?.checkpoint === undefined) continue;
      const { operation, checkpoint, machines } = cycle;
      parts.set(operation, [...(parts.get(operation) ?? []), { part: { machine, checkpoint }, machines }]);
    }
  }
  for (const found of parts.values()) {
    call.signal.throwIfAborted();
    const order = found[0]?.machines ?? [];
    const sorted = found.map(({ part }) => part).sort((a, b) => order.indexOf(a.machine) - order.indexOf(b.machine));
    // One that is released while the list is read is left out; the others are not its victims.
    const snapshot = await describe(fabric, sorted, call).catch((error: unknown) => {
      if (!isDrError(error, 'SNAPSHOT_GONE', 'NOT_FOUND')) throw error;
      return undefined;
    });
    if (snapshot) yield snapshot;
  }
  call.signal.throwIfAborted();
}

const ended = async (ground: Ground, id: MachineId, call: Call): Promise<CycleMark | undefined> => {
  try {
    return cycleOf(ground.fabric, await settled(ground, id, call));
  } catch (error) {
    // Gone, or with a backup of another product beside it: it is swept once that has ended.
    if (!isDrError(error, 'NOT_FOUND', 'TASK_IN_PROGRESS')) throw error;
    return undefined;
  }
};
