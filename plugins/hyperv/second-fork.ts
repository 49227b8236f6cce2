// A fork that is a machine of its own: on differencing disks for a test, because the replica then stays as it is and nobody has to merge anything; a clone on copies.
import { type Call, DrError, type ForkId, type ForkRequest, isDrError, type MachineId } from '../../core/contract/index.ts';
import { build, type Found, findMachines } from './build.ts';
import { dismantle } from './dismantle.ts';
import type { Fabric } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf } from './machine.ts';
import { changeMarks, withEpoch, without } from './marks.ts';
import type { ForkMark, Marks, ReplicaMark } from './notes.ts';
import { storages } from './places.ts';
import { powerOff } from './power.ts';
import { assertOff, ownReplica } from './replica.ts';
import type { Ground } from './target.ts';

export const MACHINE = 'machine';
export const secondForkId = (machine: MachineId): ForkId => `${machine}/${MACHINE}` as ForkId;

/** Those that are not whole yet as well. Machines are looked for only where the replica says that there was one. */
export const secondsOn = async (fabric: Fabric, { id, notes }: Look, call: Call): Promise<Found[]> => {
  if (!notes.marks?.lent) return [];
  return findMachines(fabric, (one) => one.id !== id && one.marks?.owner === fabric.ownerId && one.marks.fork?.replica === id, call);
};

/** The replica is fit for it, and has no other fork: the caller has seen to that. */
export const makeSecond = async (
  { fabric, disks }: Ground,
  { look, mark, as }: { readonly look: Look & { readonly mark: ReplicaMark }; readonly mark: ForkMark; readonly as: ForkRequest },
  call: Call,
): Promise<MachineId> => {
  const { id } = look;
  const drives = drivesOf(look);
  await disks.release(
    look.host,
    drives.map(({ path }) => path),
    call,
  );
  const storage = (await storages(fabric, call)).find(({ root }) => drives[0]?.path.toLowerCase().startsWith(`${root.toLowerCase()}\\`));
  if (!storage) throw new DrError('NOT_FOUND', `the storage of replica ${id} is not found`, { context: { kind: 'storage', machine: id } });
  const parents = new Map(
    as.spec.disks.map((want) => {
      const drive = drives.find((one) => one.id === (look.mark.disks[want.id] ?? want.id))!;
      return [want.id, { path: drive.path, copy: as.mode === 'clone' }] as const;
    }),
  );
  await changeMarks(fabric, id, (marks) => ({ ...marks, lent: true }), call);
  // Who is fenced off from the replica is so from what runs on it.
  const marks = (made: Pick<ForkMark, 'disks' | 'nics'>): Marks =>
    withEpoch({ owner: fabric.ownerId, fork: { ...mark, ...made } }, look.notes.marks?.epoch);
  return build(fabric, disks, { spec: as.spec, name: as.name, host: look.host, storage, nics: as.nics, parents, mark: marks }, call);
};

/** The clone stays, the replica that it was made of goes. */
export const promoteClone = async (
  ground: Ground,
  id: ForkId,
  { look, mark }: { readonly look: Look; readonly mark: ForkMark },
  call: Call,
): Promise<void> => {
  const { fabric } = ground;
  try {
    const replica = await ownReplica(fabric, mark.replica, call);
    assertOff(replica, 'is running', 'power the replica off first');
    await changeMarks(fabric, look.id, (marks) => withEpoch(marks, replica.notes.marks?.epoch), call);
    await dismantle(ground, { id: replica.id, host: replica.host }, call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
  await changeMarks(fabric, look.id, (marks) => ({ ...without(marks, 'fork'), promoted: id }), call);
};

/** Killed after the machine is gone, the replica says for ever that there was one: that costs a look, no more. */
export const discardSecond = async (
  ground: Ground,
  { look, mark }: { readonly look: Look; readonly mark: ForkMark },
  call: Call,
): Promise<void> => {
  const { fabric } = ground;
  await powerOff(fabric, look.id, call);
  const { host } = await lookAt(fabric, look.id, call);
  await dismantle(ground, { id: look.id, host, loose: look.notes.marks?.building }, call);
  await changeMarks(fabric, mark.replica, (marks) => without(marks, 'lent'), call);
};
