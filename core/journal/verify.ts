// Proves seals, chain, indexes, redo and undo by reading them, and says exactly which points what is damaged takes with it.
import { join } from 'node:path';
import { type Extent, isDrError } from '../contract/index.ts';
import { normalise, subtract, union } from '../domain/extents.ts';
import type { Files } from '../ports/files.ts';
import { corrupt, partName, readIndex } from './format.ts';
import type { Stored } from './overlay.ts';
import { readRedo } from './replay.ts';
import type { Slot, State } from './scan.ts';
import { ChangesDigest, type Seal } from './seal.ts';
import { DataFiles } from './transfer.ts';
import { readUndo } from './undo.ts';

export interface Verification {
  readonly ok: boolean;
  /** Points that cannot be had any more. */
  readonly damaged: readonly string[];
  /** Points whose content can be had but whose record is no proof of it. */
  readonly suspect: readonly string[];
  /** One line for each thing found. */
  readonly problems: readonly string[];
}

interface Place {
  readonly files: Files;
  readonly directory: string;
}

/** Everything, or what the point with the sequence number `target` needs. */
export const verifySlots = async (place: Place, state: State, target: number | undefined): Promise<Verification> => {
  const found = { damaged: new Set<string>(), suspect: new Set<string>(), problems: [] as string[] };
  const { slots } = state;
  const head = slots.findLast((slot) => slot.applied)?.seq ?? 0;
  const needed = (slot: Slot) => target === undefined || (slot.seq >= Math.min(target, head) && slot.seq <= Math.max(target, head));
  const judged = slots.filter((slot) => target === undefined || slot.seq === target);
  const damage = (who: Iterable<Slot>) => addPoints(found.damaged, judged, who);
  const suspect = (who: Iterable<Slot>) => addPoints(found.suspect, judged, who);
  await using data = new DataFiles(place.files);
  for (const [index, slot] of slots.entries()) {
    if (!needed(slot)) continue;
    if (!slot.seal) {
      found.problems.push(`seal ${slot.seq} is damaged`);
      if (!slot.applied) damage(slots.slice(index));
      continue;
    }
    for (const problem of await recordProblems(place, state, slot.seal)) {
      found.problems.push(problem);
      suspect([slot]);
    }
    if (!slot.applied) {
      const problem = await attempt(async () => {
        for (const ranges of (await readRedo(place.files, place.directory, slot.seal!)).values()) await data.verify(ranges);
      });
      if (problem) {
        found.problems.push(problem);
        damage(slots.slice(index));
      }
    }
    if (index > 0 && (slot.applied || slot.undone !== 'none') && slot.seq !== target) {
      for (const { problem, lost } of await undoProblems(place, slot, data)) {
        found.problems.push(problem);
        damage(await dependants(place, slots.slice(0, index), lost));
      }
    }
  }
  for (const point of found.damaged) found.suspect.delete(point);
  return { ok: found.problems.length === 0, damaged: [...found.damaged], suspect: [...found.suspect], problems: found.problems };
};

const addPoints = (to: Set<string>, judged: readonly Slot[], who: Iterable<Slot>): void => {
  for (const slot of who) if (slot.seal && judged.includes(slot)) to.add(slot.seal.point);
};

/** Undefined when it went well. */
const attempt = async (work: () => Promise<void>): Promise<string | undefined> => {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (isDrError(error, 'JOURNAL_CORRUPT', 'NOT_FOUND')) return error.message;
    throw error;
  }
};

const recordProblems = async (place: Place, state: State, seal: Seal): Promise<string[]> => {
  const problems: string[] = [];
  const parent = [...state.slots.map((slot) => slot.seal), ...state.stubs].find((candidate) => candidate?.seq === seal.parent?.seq);
  if (parent && (parent.digest !== seal.parent?.digest || parent.point !== seal.parent.point))
    problems.push(`the chain is broken: point ${seal.point} names another parent than ${parent.point}`);
  const problem = await attempt(async () => {
    const path = join(place.directory, partName(seal.seq, 'idx'));
    const changes = new ChangesDigest(seal.indexDisks);
    for (const record of await readIndex(place.files, path, seal.indexSha256)) changes.add(record);
    if (changes.point(seal.parent, seal.spec, seal.disks) !== seal.digest)
      throw corrupt(path, `it does not make the digest of ${seal.point}`);
  });
  return problem ? [...problems, problem] : problems;
};

type Lost = ReadonlyMap<string, readonly Extent[]> | 'all';

const undoProblems = async (place: Place, slot: Slot, data: DataFiles): Promise<{ readonly problem: string; readonly lost: Lost }[]> => {
  if (typeof slot.undone === 'string') return [{ problem: `undo ${slot.seq} is damaged or gone`, lost: 'all' }];
  let undo: Map<string, Stored[]> | undefined;
  const problem = await attempt(async () => {
    undo = await readUndo(place.files, place.directory, slot.undone as Exclude<Slot['undone'], string>);
  });
  if (problem || !undo) return [{ problem: problem ?? '', lost: 'all' }];
  const problems: { problem: string; lost: Lost }[] = [];
  for (const [key, ranges] of undo) {
    const whole = await attempt(() => data.verify(ranges));
    if (!whole) continue;
    for (const range of ranges) {
      const one = await attempt(() => data.verify([range]));
      if (one) problems.push({ problem: one, lost: new Map([[key, [{ offset: range.offset, length: range.length }]]]) });
    }
  }
  return problems;
};

/** Of the points before a damaged undo, those that need a lost byte from it: no undo between has an older before-image of it. */
const dependants = async (place: Place, before: readonly Slot[], lost: Lost): Promise<Slot[]> => {
  if (lost === 'all') return [...before];
  const result: Slot[] = [];
  let open = new Map(lost);
  for (const slot of before.toReversed()) {
    const has = new Set(slot.seal?.disks.filter((disk) => !disk.excluded).map((disk) => disk.key));
    if (Array.from(open).some(([key, ranges]) => has.has(key) && ranges.length > 0)) result.push(slot);
    if (typeof slot.undone === 'string') continue;
    const undone = slot.undone;
    const covered = new Map<string, Extent[]>();
    await attempt(async () => {
      for (const [key, ranges] of await readUndo(place.files, place.directory, undone)) covered.set(key, normalise(ranges));
    });
    open = new Map(Array.from(open, ([key, ranges]) => [key, subtract(union(ranges), covered.get(key) ?? [])]));
  }
  return result;
};
