import { FORMAT_VERSION, writeDocument } from './format.ts';
import type { Replay } from './replay.ts';
import { finishPruning, PRUNING, type Pruning, type Slot, type State } from './scan.ts';
import { mergeUndo, type Undone } from './undo.ts';

/** Removes what can be removed of the named points and returns their names. Each step is atomic by its manifest. */
export const pruneSlots = async (replay: Replay, state: State, remove: ReadonlySet<string>): Promise<string[]> => {
  const applied = state.slots.filter((slot) => slot.applied);
  // Undo leads back from the head, so the head stays.
  const goes = (slot: Slot) => slot !== applied.at(-1) && slot.seal !== undefined && remove.has(slot.seal.point);
  const removed: Slot[] = [];
  const firstToStay = applied.findIndex((slot) => !goes(slot));
  if (firstToStay > 0) {
    const gone = applied.slice(0, firstToStay);
    const oldest = applied[firstToStay]!;
    const stubs = state.stubs.filter((stub) => stub.seq < oldest.seq).map((stub) => stub.seq);
    await carryOut(replay, { format: FORMAT_VERSION, drop: [...stubs, ...gone.map(seqOf)], dropUndo: oldest.seq, remove: [] });
    oldest.undone = 'none';
    state.stubs.splice(0, stubs.length);
    removed.push(...forget(state, gone));
  }
  let previous = applied[Math.max(0, firstToStay)];
  let run: Slot[] = [];
  for (const slot of applied.slice(firstToStay + 1)) {
    if (goes(slot)) run.push(slot);
    else {
      const chain = [...run, slot].map((member) => member.undone);
      if (run.length > 0 && chain.every(isSound)) {
        const merged = await mergeUndo({ files: replay.files, directory: replay.directory, seq: slot.seq, to: previous!.seq }, chain);
        await carryOut(replay, { format: FORMAT_VERSION, drop: [], remove: run.map(seqOf), merged: slot.seq });
        slot.undone = merged;
        state.stubs.push(...run.flatMap((member) => member.seal ?? []));
        state.stubs.sort((a, b) => a.seq - b.seq);
        removed.push(...forget(state, run));
      }
      previous = slot;
      run = [];
    }
  }
  return removed.flatMap((slot) => slot.seal?.point ?? []);
};

const seqOf = (slot: Slot): number => slot.seq;
const isSound = (undone: Slot['undone']): undone is Undone => typeof undone !== 'string';

const carryOut = async ({ files, directory }: Replay, pruning: Pruning): Promise<void> => {
  await writeDocument(files, directory, PRUNING, pruning);
  await finishPruning(files, directory);
};

const forget = (state: State, gone: readonly Slot[]): readonly Slot[] => {
  for (const slot of gone) state.slots.splice(state.slots.indexOf(slot), 1);
  return gone;
};
