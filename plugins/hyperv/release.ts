// The end of a cycle: its checkpoint becomes a reference point, or is gone.
import { type Call, isDrError } from '../../core/contract/index.ts';
import { awaitMerge, busy, convertToReferencePoint, destroyCheckpoint, frozenDisks, snapshotsOf } from './checkpoints.ts';
import type { Disks } from './disks.ts';
import { type Fabric, isMissing } from './fabric.ts';
import { cycleOf, type Part } from './frozen.ts';
import { type Look, lookAt } from './look.ts';
import { changeMarks, without } from './marks.ts';
import type { CycleMark } from './notes.ts';
import { referencePointsOf } from './reference-points.ts';
import { text } from './rows.ts';

export interface Ground {
  readonly fabric: Fabric;
  readonly disks: Disks;
}

export const release = (ground: Ground, part: Part, outcome: 'sealed' | 'abandoned', call: Call): Promise<void> =>
  ground.fabric.underWay.cycles.take(part.machine, async () => {
    try {
      const look = await lookAt(ground.fabric, part.machine, call);
      await ground.fabric.held(look, () => releaseAt(ground, { part, look, outcome }, call), call);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  });

interface Release {
  readonly part: Part;
  readonly look: Look;
  readonly outcome: 'sealed' | 'abandoned';
}

export const releaseAt = async ({ fabric, disks }: Ground, { part, look, outcome }: Release, call: Call): Promise<void> => {
  const cycle = cycleOf(fabric, look);
  // What a call that is gone has begun is seen through by the host.
  await awaitMerge(fabric, look.id, call);
  if (cycle?.checkpoint !== part.checkpoint) return;
  const isSealed = outcome === 'sealed' || cycle.converting !== undefined;
  if (await isThere(fabric, look, part, call)) {
    const { drives } = await frozenDisks(fabric, look.host, part.checkpoint, call);
    await disks.release(
      look.host,
      drives.map((row) => text(row, 'Path')),
      call,
    );
    if (!isSealed) await end(fabric, { look, part }, () => destroyCheckpoint(fabric, look.host, part.checkpoint, call), call);
  }
  const point = isSealed ? await convert(fabric, { look, cycle, part }, call) : undefined;
  await changeMarks(
    fabric,
    look.id,
    (marks) => {
      const rest = without(marks, 'cycle');
      return point === undefined ? rest : { ...rest, points: { ...rest.points, [part.checkpoint]: point } };
    },
    call,
  );
  await awaitMerge(fabric, look.id, call);
};

const isThere = async (fabric: Fabric, look: Look, { checkpoint }: Part, call: Call): Promise<boolean> =>
  (await snapshotsOf(fabric, look, call)).some(({ id }) => id === checkpoint);

/** A host may have forgotten the job, or have ended it for somebody else: what is there counts, not what was answered. */
const end = async (
  fabric: Fabric,
  { look, part }: { readonly look: Look; readonly part: Part },
  work: () => Promise<unknown>,
  call: Call,
): Promise<void> => {
  let failure: unknown;
  try {
    await work();
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND', 'STATE_CONFLICT')) throw error;
    failure = error;
  }
  if (!(await isThere(fabric, look, part, call))) return;
  throw failure ?? busy(look.id, 'still has the checkpoint of a cycle that was to end', 'nothing to do: it is tried again');
};

/** A reference point says neither whose it is nor what it was: it is the one that was not there before. Two such are nobody's: then the next cycle compares. */
const convert = async (
  fabric: Fabric,
  { look, cycle, part }: { readonly look: Look; readonly cycle: CycleMark; readonly part: Part },
  call: Call,
): Promise<string | undefined> => {
  const { id, host } = look;
  const list = async () => (await referencePointsOf(fabric, id, host, call)).map((point) => point.id);
  const before = cycle.converting ?? (await list());
  if (!cycle.converting)
    await changeMarks(fabric, id, (marks) => (marks.cycle ? { ...marks, cycle: { ...marks.cycle, converting: before } } : marks), call);
  if (await isThere(fabric, look, part, call))
    await end(fabric, { look, part }, () => convertToReferencePoint(fabric, host, part.checkpoint, call), call);
  const fresh = (await list()).filter((point) => !before.includes(point));
  return fresh.length === 1 ? fresh[0] : undefined;
};
