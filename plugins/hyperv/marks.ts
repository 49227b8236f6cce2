// Changing what is kept at a machine. Hyper-V has no compare and set: changes of one process take their turns, and those of others are seen at the next look.
import type { Call, Epoch, MachineId } from '../../core/contract/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { type Marks, readNotes, writeNotes } from './notes.ts';
import { text } from './rows.ts';

/** `change` sees what is there now and gives what shall be there; what it throws leaves all as it is. */
export const changeMarks = (fabric: Fabric, id: MachineId, change: (marks: Marks) => Marks, call: Call): Promise<Marks> =>
  fabric.underWay.marks.take(id, () =>
    fabric.withOwner(
      id,
      async (host) => {
        const [row] = await fabric.rows(host, [vmById(id, ['Notes'])], call);
        const before = text(row ?? {}, 'Notes');
        const notes = readNotes(before);
        const marks = change(notes.marks ?? { owner: fabric.ownerId });
        const after = writeNotes({ text: notes.text, marks });
        if (after !== before) await fabric.run(host, [vmById(id), { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, Notes: after } }], call);
        return marks;
      },
      call,
    ),
  );

export const marksOf = async (fabric: Fabric, id: MachineId, call: Call): Promise<Marks | undefined> => {
  const [result] = await fabric.onOwner(id, [vmById(id, ['Notes'])], call);
  return readNotes(text(result?.rows[0] ?? {}, 'Notes')).marks;
};

/** Without what is left out. */
export const without = <K extends keyof Marks>(marks: Marks, ...keys: readonly K[]): Marks => {
  const rest: Partial<Marks> = { ...marks };
  for (const key of keys) delete rest[key];
  return rest as Marks;
};

/** Marks of another installation: the machine has changed hands, which the engine has decided by its epoch. That alone is kept. */
export const claimed = (fabric: Fabric, marks: Marks): Marks =>
  marks.owner === fabric.ownerId ? marks : { owner: fabric.ownerId, ...(marks.epoch ? { epoch: marks.epoch } : {}) };

/** Epochs only rise. */
export const withEpoch = (marks: Marks, held: Epoch | undefined): Marks =>
  held && (marks.epoch?.epoch ?? -1) < held.epoch ? { ...marks, epoch: held } : marks;
