// What is said about points after they were sealed (J14), and which cycles of groups count (P1). One append-only file beside the journals of a site.
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { DrError } from '../contract/index.ts';
import type { File, Files } from '../ports/files.ts';
import { corrupt, readWhole, replaceFile } from './format.ts';

type Mark =
  | { readonly is: 'group'; readonly cycle: string; readonly state: 'complete' | 'abandoned' }
  | { readonly is: 'pin' | 'unpin'; readonly point: string }
  | { readonly is: 'tag'; readonly point: string; readonly tag: string }
  | { readonly is: 'suspect' | 'damaged'; readonly point: string; readonly because: string };

const NAME = 'marks';

/** A line is the CRC-32 of its JSON in eight hexadecimal digits, a space, and the JSON. */
const encodeLine = (mark: Mark): Buffer => {
  const json = Buffer.from(JSON.stringify(mark));
  return Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} ${json.toString()}\n`);
};

const decodeLine = (line: Buffer): Mark | undefined => {
  const json = line.subarray(9);
  return line.subarray(0, 9).toString('latin1') === `${crc32(json).toString(16).padStart(8, '0')} `
    ? (JSON.parse(json.toString('utf8')) as Mark)
    : undefined;
};

export const openMarks = async (options: { readonly files: Files; readonly directory: string }): Promise<Marks> => {
  const { files, directory } = options;
  const path = join(directory, NAME);
  await files.makeDirectory(directory);
  if (!(await files.exists(path))) await (await files.open(path, 'create')).close();
  await files.syncDirectory(dirname(directory));
  await files.syncDirectory(directory);
  const { marks, sizeBytes } = await readMarks(files, path);
  const file = await files.open(path, 'update');
  // A mark that is acted upon must not vanish with the next power cut, even if whoever wrote it died before its sync.
  await file.truncate(sizeBytes);
  await file.sync();
  return new Marks(options, file, marks, sizeBytes);
};

/** A torn last line was never acknowledged and is dropped. */
const readMarks = async (files: Files, path: string): Promise<{ readonly marks: Mark[]; readonly sizeBytes: number }> => {
  const content = await readWhole(files, path);
  const marks: Mark[] = [];
  let at = 0;
  while (at < content.length) {
    const end = content.indexOf(0x0a, at);
    const mark = end < 0 ? undefined : decodeLine(content.subarray(at, end));
    if (!mark) {
      const isLast = end < 0 || end + 1 === content.length;
      if (isLast) break;
      throw corrupt(path, `the line at ${at} is damaged`);
    }
    marks.push(mark);
    at = end + 1;
  }
  return { marks, sizeBytes: at };
};

export class Marks {
  readonly #place: { readonly files: Files; readonly directory: string };
  readonly #marks: Mark[] = [];
  #file: File;
  readonly #groups = new Map<string, 'complete' | 'abandoned'>();
  readonly #pinned = new Set<string>();
  readonly #tags = new Map<string, string[]>();
  readonly #suspect = new Set<string>();
  readonly #damaged = new Set<string>();
  #sizeBytes: number;
  #broken = false;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(place: { readonly files: Files; readonly directory: string }, file: File, marks: readonly Mark[], sizeBytes: number) {
    this.#place = place;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    for (const mark of marks) this.#learn(mark);
  }

  groupState(cycle: string): 'complete' | 'abandoned' | 'undecided' {
    return this.#groups.get(cycle) ?? 'undecided';
  }

  isPinned(point: string): boolean {
    return this.#pinned.has(point);
  }

  tagsOf(point: string): readonly string[] {
    return this.#tags.get(point) ?? [];
  }

  isSuspect(point: string): boolean {
    return this.#suspect.has(point);
  }

  isDamaged(point: string): boolean {
    return this.#damaged.has(point);
  }

  /** Some point is suspect or damaged. */
  hasDoubts(): boolean {
    return this.#suspect.size + this.#damaged.size > 0;
  }

  /** Decided once: another decision later is a STATE_CONFLICT. */
  decideGroup(cycle: string, state: 'complete' | 'abandoned'): Promise<void> {
    return this.#append({ is: 'group', cycle, state }, () => {
      const before = this.groupState(cycle);
      if (before !== 'undecided' && before !== state)
        throw new DrError('STATE_CONFLICT', `group cycle ${cycle} is ${before}`, { context: { cycle, state: before } });
      return before === state;
    });
  }

  pin(point: string): Promise<void> {
    return this.#append({ is: 'pin', point }, () => this.isPinned(point));
  }

  unpin(point: string): Promise<void> {
    return this.#append({ is: 'unpin', point }, () => !this.isPinned(point));
  }

  tag(point: string, tag: string): Promise<void> {
    return this.#append({ is: 'tag', point, tag }, () => this.tagsOf(point).includes(tag));
  }

  markSuspect(point: string, because: string): Promise<void> {
    return this.#append({ is: 'suspect', point, because }, () => this.isSuspect(point));
  }

  markDamaged(point: string, because: string): Promise<void> {
    return this.#append({ is: 'damaged', point, because }, () => this.isDamaged(point));
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** Durable when it resolves. */
  #append(mark: Mark, isKnown: () => boolean): Promise<void> {
    const write = async () => {
      if (isKnown()) return;
      if (this.#broken) await this.#writeAnew();
      const line = encodeLine(mark);
      this.#broken = true;
      await this.#file.write(this.#sizeBytes, line);
      await this.#file.sync();
      this.#broken = false;
      this.#sizeBytes += line.length;
      this.#learn(mark);
    };
    const done = this.#tail.then(write);
    this.#tail = done.catch(() => {});
    return done;
  }

  /** What a failed write or sync left in the file is not known (J8): everything that was acknowledged is written to a new one. */
  async #writeAnew(): Promise<void> {
    const { files, directory } = this.#place;
    const content = Buffer.concat(this.#marks.map(encodeLine));
    await replaceFile(files, directory, NAME, content);
    const file = await files.open(join(directory, NAME), 'update');
    await this.#file.close();
    this.#file = file;
    this.#sizeBytes = content.length;
    this.#broken = false;
  }

  #learn(mark: Mark): void {
    this.#marks.push(mark);
    if (mark.is === 'group') this.#groups.set(mark.cycle, mark.state);
    else if (mark.is === 'tag') this.#tags.set(mark.point, [...this.tagsOf(mark.point), mark.tag]);
    else if (mark.is === 'pin') this.#pinned.add(mark.point);
    else if (mark.is === 'unpin') this.#pinned.delete(mark.point);
    else (mark.is === 'suspect' ? this.#suspect : this.#damaged).add(mark.point);
  }
}
