// What the files of a journal say, and the clean-up of what a crash left half done (J2).
import { join } from 'node:path';
import { DrError, isDrError } from '../contract/index.ts';
import type { Files } from '../ports/files.ts';
import type { CycleRequest } from './cycle-writer.ts';
import { FORMAT_VERSION, type Part, parsePart, partName, readDocument, TEMPORARY, writeDocument } from './format.ts';
import type { Seal } from './seal.ts';
import { NEW, type Undone } from './undo.ts';

/** A sealed cycle. */
export interface Slot {
  readonly seq: number;
  /** Undefined when its seal is damaged: the point cannot be named any more, but older ones are still reached through its undo. */
  readonly seal: Seal | undefined;
  undone: Undone | 'none' | 'damaged';
  applied: boolean;
}

/** An unsealed first copy that can go on: only its request is kept, the records are in its index. */
export interface OpenCycle {
  readonly seq: number;
  readonly request: CycleRequest;
}

export interface RollBack {
  readonly format: number;
  readonly to: number;
  readonly point: string;
  /** `restored`: the replica stands at the point and is flushed, what is left is to take the cycles after it away. */
  readonly phase: 'restoring' | 'restored';
}

export interface Pruning {
  readonly format: number;
  /** Nothing older is left: no trace of them is needed. */
  readonly drop: readonly number[];
  /** Became the oldest: nothing is before it that its undo could lead to. */
  readonly dropUndo?: number;
  /** Their seals stay as stubs. */
  readonly remove: readonly number[];
  /** Its merged undo replaces the one it has. */
  readonly merged?: number;
}

export interface State {
  readonly slots: Slot[];
  /** Removed points between points that are still there: they keep the chain of digests whole. */
  readonly stubs: Seal[];
  /** Cycles after a point that was rolled back to: their extents are still asked for. */
  readonly rolled: Slot[];
  open: OpenCycle | undefined;
  rollBack: RollBack | undefined;
  nextSeq: number;
  readonly names: readonly string[];
}

export const ROLL_BACK = 'rollback';
export const PRUNING = 'prune';

/** `keep`: the cycle that is being written right now. */
export const scan = async (files: Files, directory: string, item: string, keep: number | undefined): Promise<State> => {
  // What this process finds it relies on, so it must not vanish with the next power cut.
  await files.syncDirectory(directory);
  const names = await settle(files, directory);
  const parts = new Map<number, Set<string>>();
  for (const name of names) {
    const parsed = parsePart(name);
    if (parsed) parts.set(parsed.seq, (parts.get(parsed.seq) ?? new Set()).add(parsed.part));
  }
  const seqs = Array.from(parts.keys()).sort((a, b) => a - b);
  const state = { slots: [] as Slot[], stubs: [] as Seal[], rolled: [] as Slot[] };
  let open: OpenCycle | undefined;
  for (const seq of seqs) {
    const has = parts.get(seq)!;
    const reading = { files, directory, item, seq, has };
    if (has.has('rolled')) state.rolled.push(await readSlot(reading, 'rolled'));
    else if (has.has('stub')) {
      const stub = await readSeal(reading, 'stub');
      if (stub) state.stubs.push(stub);
    } else if (has.has('seal')) state.slots.push(await readSlot(reading, 'seal'));
    else open = (await readOpen(reading, seq === keep)) ?? open;
  }
  await tidy(files, directory, parts, state);
  const rollBack = names.includes(ROLL_BACK) ? await readDocument<RollBack>(files, join(directory, ROLL_BACK)) : undefined;
  const lastSeq = Math.max(0, ...[state.slots, state.stubs, state.rolled].map((list) => list.at(-1)?.seq ?? 0));
  return { ...state, open, rollBack, names, nextSeq: open?.seq ?? lastSeq + 1 };
};

interface Reading {
  readonly files: Files;
  readonly directory: string;
  readonly item: string;
  readonly seq: number;
  readonly has: ReadonlySet<string>;
}

const settle = async (files: Files, directory: string): Promise<string[]> => {
  const before = await files.list(directory);
  for (const name of before) if (name.endsWith(TEMPORARY)) await files.remove(join(directory, name));
  if (before.includes(PRUNING)) await finishPruning(files, directory);
  for (const name of await files.list(directory)) if (name.endsWith(NEW)) await files.remove(join(directory, name));
  if (before.includes(ROLL_BACK)) {
    const rollBack = await readDocument<RollBack>(files, join(directory, ROLL_BACK));
    if (rollBack.phase === 'restored') await finishRollBack(files, directory, rollBack);
  }
  return files.list(directory);
};

const readSlot = async (reading: Reading, sealedAs: 'seal' | 'rolled'): Promise<Slot> => {
  const { files, directory, seq, has } = reading;
  const seal = await readSeal(reading, sealedAs);
  const undone = has.has('undone') ? await readSound<Undone>(files, join(directory, partName(seq, 'undone'))) : undefined;
  return { seq, seal, undone: undone ?? (has.has('undone') ? 'damaged' : 'none'), applied: has.has('applied') };
};

const readSeal = async ({ files, directory, item, seq }: Reading, part: Part): Promise<Seal | undefined> => {
  const path = join(directory, partName(seq, part));
  const seal = await readSound<Seal>(files, path);
  if (seal && seal.format > FORMAT_VERSION)
    throw new DrError('ENGINE_NEWER', `journal ${directory} was written by a newer release`, { context: { path, version: seal.format } });
  if (seal && (seal.item !== item || seal.seq !== seq))
    throw new DrError('JOURNAL_CORRUPT', `journal ${directory} holds a seal of another item or place: ${path}`, {
      context: { path, item },
    });
  return seal;
};

const readSound = async <T extends object>(files: Files, path: string): Promise<T | undefined> => {
  try {
    return await readDocument<T>(files, path);
  } catch (error) {
    if (isDrError(error, 'JOURNAL_CORRUPT')) return undefined;
    throw error;
  }
};

/** Drops what was never sealed, but for the records of a first copy that can go on. */
const readOpen = async ({ files, directory, seq, has }: Reading, isBeingWritten: boolean): Promise<OpenCycle | undefined> => {
  const request = has.has('open') ? await readSound<CycleRequest>(files, join(directory, partName(seq, 'open'))) : undefined;
  if (request) {
    if (has.has('redo') && !isBeingWritten) await files.remove(join(directory, partName(seq, 'redo')));
    return { seq, request };
  }
  if (!isBeingWritten) for (const part of has) await files.remove(join(directory, partName(seq, part as Part)));
  return undefined;
};

const tidy = async (
  files: Files,
  directory: string,
  parts: ReadonlyMap<number, ReadonlySet<string>>,
  state: { readonly slots: readonly Slot[] },
): Promise<void> => {
  const removePart = async (seq: number, part: Part) => {
    if (parts.get(seq)!.has(part)) await files.remove(join(directory, partName(seq, part)));
  };
  const lastApplied = state.slots.findLast((slot) => slot.applied)?.seq ?? 0;
  for (const [index, slot] of state.slots.entries()) {
    slot.applied = slot.seq <= lastApplied;
    await removePart(slot.seq, 'open');
    if (slot.applied) await removePart(slot.seq, 'redo');
    // Only the oldest does without an undo once it is applied.
    if (slot.undone === 'none' && slot.applied && index > 0) slot.undone = 'damaged';
    if (slot.undone === 'none') for (const part of ['undo', 'undo.idx'] as const) await removePart(slot.seq, part);
  }
};

const CONTENT_PARTS = ['undone', 'undo', 'undo.idx', 'applied', 'redo', 'idx'] as const;

/** Idempotent, and again after every crash until the manifest is gone. */
export const finishPruning = async (files: Files, directory: string): Promise<void> => {
  const pruning = await readDocument<Pruning>(files, join(directory, PRUNING));
  const at = (seq: number, part: Part) => join(directory, partName(seq, part));
  if (pruning.merged !== undefined) {
    for (const part of ['undo', 'undo.idx', 'undone'] as const) {
      const path = at(pruning.merged, part);
      if (await files.exists(path + NEW)) await files.rename(path + NEW, path);
    }
  }
  for (const seq of pruning.remove) {
    if (await files.exists(at(seq, 'seal'))) await files.rename(at(seq, 'seal'), at(seq, 'stub'));
    for (const part of CONTENT_PARTS) await files.remove(at(seq, part));
  }
  for (const seq of pruning.drop) for (const part of ['seal', 'stub', ...CONTENT_PARTS] as const) await files.remove(at(seq, part));
  if (pruning.dropUndo !== undefined)
    for (const part of ['undone', 'undo', 'undo.idx'] as const) await files.remove(at(pruning.dropUndo, part));
  await endIntent(files, directory, PRUNING);
};

export const finishRollBack = async (files: Files, directory: string, rollBack: RollBack): Promise<void> => {
  for (const name of await files.list(directory)) {
    const parsed = parsePart(name);
    if (!parsed || parsed.seq <= rollBack.to) continue;
    const path = join(directory, name);
    if (parsed.part === 'seal') await files.rename(path, join(directory, partName(parsed.seq, 'rolled')));
    else if (!['rolled', 'idx', 'undo.idx', 'undone'].includes(parsed.part)) await files.remove(path);
  }
  await endIntent(files, directory, ROLL_BACK);
};

/** What was done is durable before the intent goes, and the intent is gone durably before anything else begins. */
const endIntent = async (files: Files, directory: string, name: string): Promise<void> => {
  await files.syncDirectory(directory);
  await files.remove(join(directory, name));
  await files.syncDirectory(directory);
};

export const writeIntent = (
  files: Files,
  directory: string,
  name: typeof ROLL_BACK | typeof PRUNING,
  body: RollBack | Pruning,
): Promise<void> => writeDocument(files, directory, name, body);
