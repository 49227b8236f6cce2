// What we keep at a machine: the last line of its notes. Hyper-V has no other place that people can see, that moves with the machine and that a
// checkpoint brings back with it.
import { type DiskId, DrError, type Epoch, type MachineId } from '../../core/contract/index.ts';

export interface ReplicaMark {
  /** Absent for a machine that was there before. */
  readonly operation?: string;
  readonly adopted: boolean;
  /** Files of disks on their way out. */
  readonly drop?: readonly string[];
  /** Ids of the source's definition to ids here. */
  readonly disks: Readonly<Record<string, DiskId>>;
  readonly nics: Readonly<Record<string, string>>;
}

export interface ForkMark {
  readonly operation: string;
  readonly purpose: 'test' | 'failover';
  readonly mode: 'overlay' | 'clone';
  readonly replica: MachineId;
  /** Of a fork that is the replica itself: the checkpoint under it. */
  readonly checkpoint?: string;
  /** Of such a fork: how the replica was called before. */
  readonly name?: string;
  /** Of such a fork: files of disks that its point does not have, and what lies under them. They go when it is promoted. */
  readonly drop?: readonly string[];
  readonly disks: Readonly<Record<string, DiskId>>;
  readonly nics: Readonly<Record<string, string>>;
}

export interface CycleMark {
  readonly operation: string;
  /** Other machines of the same request, in its order. */
  readonly machines: readonly MachineId[];
  readonly since: Readonly<Record<string, string>>;
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  /** Absent until it was taken. */
  readonly checkpoint?: string;
  /** The reference points that were there when it began to become one. */
  readonly converting?: readonly string[];
}

export interface Marks {
  readonly owner: string;
  readonly epoch?: Epoch;
  readonly replica?: ReplicaMark;
  readonly fork?: ForkMark;
  readonly cycle?: CycleMark;
  /** Checkpoints of sealed cycles, by what is left of them: the reference point that each became. */
  readonly points?: Readonly<Record<string, string>>;
  /** Hyper-V replicates it from here: whatever it becomes when that is reversed, it was no copy of ours. */
  readonly origin?: true;
  /** Of a replica: a machine of its own stands, or stood, on its disks. */
  readonly lent?: true;
  /** Of a machine that is not whole yet: the files that it was to get, which may be there and on none of its drives. */
  readonly building?: readonly string[];
  /** The fork whose promotion has begun or ended. */
  readonly promoted?: string;
}

export interface Notes {
  /** Of people. */
  readonly text: string;
  readonly marks: Marks | undefined;
}

const PREFIX = 'warmsite: ';

/** A line of ours is an object; what people write after the same word is theirs. */
const OURS = /(?:^|\n)warmsite: (\{[^\r\n]*)/g;

/**
 * Ours is one line, the last of its kind; what people write before or after it is theirs. A line of ours that somebody has copied within the notes
 * is no text of theirs, and an epoch that only the copy has counts: nothing is unfenced by an editor.
 */
export const readNotes = (notes: string): Notes => {
  const found = [...notes.matchAll(OURS)].map((match) => ({ match, marks: parse(match[1]!) }));
  const last = found.at(-1);
  if (!last) return { text: notes, marks: undefined };
  if (!last.marks) throw damaged();
  const own = found.filter((one): one is typeof one & { readonly marks: Marks } => one.marks !== undefined);
  let text = notes;
  for (const { match } of own.toReversed()) text = cut(text, match.index, match[0].length);
  const [epoch] = own.flatMap(({ marks }) => marks.epoch ?? []).toSorted((a, b) => b.epoch - a.epoch);
  return { text, marks: { ...last.marks, ...(epoch ? { epoch } : {}) } };
};

export const isDamaged = (notes: string): boolean => {
  const line = [...notes.matchAll(OURS)].at(-1)?.[1];
  return line !== undefined && parse(line) === undefined;
};

/** Of a machine that is only looked at: a line that somebody has changed is that machine's trouble, not the list's. */
export const readable = (notes: string): Notes => (isDamaged(notes) ? { text: notes, marks: undefined } : readNotes(notes));

/** The line, with the line break before it: LF as we write it, CRLF once somebody has edited the notes in a window. */
const cut = (text: string, at: number, length: number): string => text.slice(0, at).replace(/\r$/, '') + text.slice(at + length);

const parse = (line: string): Marks | undefined => {
  try {
    const marks = JSON.parse(line) as Marks;
    return typeof marks.owner === 'string' ? marks : undefined;
  } catch {
    return undefined;
  }
};

const damaged = (): DrError =>
  new DrError('PROTOCOL_ERROR', 'the last line of the notes of a machine is ours and cannot be read: somebody has changed it', {
    hint: `remove the line that begins with "${PREFIX.trim()}" from the notes of the machine, then adopt it again`,
  });

/** Marks that say nothing beyond whose they are leave no line. */
export const writeNotes = ({ text, marks }: Notes): string => {
  if (!marks || Object.keys(marks).length === 1) return text;
  return `${text}${text === '' ? '' : '\n'}${PREFIX}${JSON.stringify(marks)}`;
};

/** Labels that people give in a line of the notes of their own: `labels: app=erp tier=1`. */
export const labelsIn = (text: string): Record<string, string> => {
  const line = text.split(/\r?\n/).find((one) => one.startsWith('labels:'));
  const words = (line ?? '').slice('labels:'.length).split(/\s+/);
  return Object.fromEntries(words.flatMap((word) => (/^[^=]+=./.test(word) ? [word.split(/=(.*)/s, 2) as [string, string]] : [])));
};
