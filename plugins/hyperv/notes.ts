// What we keep at a machine: the last line of its notes. Hyper-V has no other place that people can see, that moves with the machine and that a
// checkpoint brings back with it.
import { type DiskId, DrError, type Epoch, type MachineId } from '../../core/contract/index.ts';

export interface ReplicaMark {
  /** Absent for a machine that was there before. */
  readonly operation?: string;
  readonly adopted: boolean;
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
  /** Of such a fork: files of disks that its point does not have. They go when it is promoted. */
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
  /** Of a replica: a machine of its own stands, or stood, on its disks. */
  readonly lent?: true;
  /** The fork whose promotion has begun or ended. */
  readonly promoted?: string;
}

export interface Notes {
  /** Of people. */
  readonly text: string;
  readonly marks: Marks | undefined;
}

const PREFIX = 'warmsite: ';

/** Ours is one line; what people write before or after it is theirs. */
export const readNotes = (notes: string): Notes => {
  const at = notes.startsWith(PREFIX) ? 0 : notes.lastIndexOf(`\n${PREFIX}`) + 1;
  if (!notes.startsWith(PREFIX, at)) return { text: notes, marks: undefined };
  const [line = ''] = /^[^\r\n]*/.exec(notes.slice(at)) ?? [];
  const before = notes.slice(0, at).replace(/\r?\n$/, '');
  return { text: before + notes.slice(at + line.length), marks: parse(line.slice(PREFIX.length)) };
};

const parse = (line: string): Marks => {
  try {
    const marks = JSON.parse(line) as Marks;
    if (typeof marks.owner === 'string') return marks;
  } catch {
    // Said below.
  }
  throw new DrError('PROTOCOL_ERROR', 'the last line of the notes of a machine is ours and cannot be read: somebody has changed it', {
    hint: `remove the line that begins with "${PREFIX.trim()}" from the notes of the machine, then adopt it again`,
  });
};

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
