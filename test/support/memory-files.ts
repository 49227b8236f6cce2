// Files and disks that lose what was not made durable when they crash, and that fail or crash at a chosen call.
import { DrError } from '../../core/contract/index.ts';
import type { DiskIo } from '../../core/journal/disk-io.ts';
import type { File, Files } from '../../core/ports/files.ts';

const SECTOR_BYTES = 512;
const PHYSICAL_SECTOR_BYTES = 4096;

/** The process is gone: no code of it may run on as if nothing had happened. */
export class CrashError extends Error {
  constructor() {
    super('crashed');
    this.name = 'CrashError';
  }
}

/** Seeded numbers in [0, 1). */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

export type CallName = `file.${keyof File}` | `files.${keyof Files}` | `disk.${'read' | 'write' | 'writeZeroes' | 'flush'}`;

/** Counts the calls of all files and disks that share it, and makes one of them fail or crash. */
export class Faults {
  calls = 0;
  crashed = false;
  crashAt: number | undefined;
  failAt: { readonly call: number; readonly error: () => Error } | undefined;
  /** The next call of this name fails, before its effect. */
  failNext: string | undefined;
  /** What this call does is done, or will be; the answer is lost. */
  loseAt: number | undefined;
  readonly trace: CallName[] = [];
  /** Hears of each call before it is made. */
  onEnter: ((name: CallName) => void) | undefined;

  /** True when the machine dies in this very call: what it does may have been done, but nobody will hear of it. */
  enter(name: CallName): boolean {
    if (this.crashed) throw new CrashError();
    this.calls++;
    this.trace.push(name);
    this.onEnter?.(name);
    if (this.calls === this.crashAt) {
      this.crashed = true;
      return true;
    }
    return false;
  }

  /** Throws when this is the call that was chosen to fail. */
  check(): void {
    if (this.calls === this.failAt?.call) throw this.failAt.error();
    if (this.failNext === undefined || this.trace.at(-1) !== this.failNext) return;
    this.failNext = undefined;
    throw new DrError('INTERNAL', 'the call was to fail');
  }
}

export const diskFull = (): Error => new DrError('JOURNAL_FULL', 'no space left in memory');
export const ioError = (): Error => Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

type Change = { readonly at: number; readonly data: Uint8Array } | { readonly truncateTo: number };

/** Bytes with a durable past: what has changed since the last sync may be kept, dropped or torn by a crash. */
class Bytes {
  #now: Buffer = Buffer.alloc(0);
  #size = 0;
  #durable: Buffer = Buffer.alloc(0);
  #pending: Change[] = [];

  static of(content: Uint8Array): Bytes {
    const bytes = new Bytes();
    bytes.#now = Buffer.from(content);
    bytes.#durable = Buffer.from(content);
    bytes.#size = content.length;
    return bytes;
  }

  get size(): number {
    return this.#size;
  }

  view(): Buffer {
    return this.#now.subarray(0, this.#size);
  }

  read(position: number, into: Uint8Array): number {
    const there = this.view().subarray(position, position + into.length);
    into.set(there);
    return there.length;
  }

  write(at: number, data: Uint8Array): void {
    const end = at + data.length;
    if (end > this.#now.length) {
      const grown = Buffer.alloc(Math.max(end, this.#now.length * 2, 4096));
      this.view().copy(grown);
      this.#now = grown;
    }
    this.#now.set(data, at);
    this.#size = Math.max(this.#size, end);
    this.#pending.push({ at, data: Uint8Array.from(data) });
  }

  truncate(truncateTo: number): void {
    const next = Buffer.alloc(truncateTo);
    this.view().copy(next, 0, 0, truncateTo);
    this.#now = next;
    this.#size = truncateTo;
    this.#pending.push({ truncateTo });
  }

  sync(): void {
    for (const change of this.#pending) this.#durable = applyChange(this.#durable, change);
    this.#pending = [];
  }

  /** As a kernel does after a failed write-back: what was to be synced is forgotten, still readable, and no later sync makes it durable. */
  loseUnsynced(): void {
    this.#pending = [];
  }

  /** `unitBytes`: a torn write may spoil the whole units that it touches, not only its own bytes. */
  afterCrash(random: () => number, fate: Fate, unitBytes = 0): Buffer {
    let content: Buffer = Buffer.from(this.#durable);
    for (const change of this.#pending) {
      const what = fate === 'any' ? random() * (unitBytes > 0 ? 4 : 3) : fate === 'kept' ? 1.5 : 0;
      if (what < 1) continue;
      if (what < 2 || 'truncateTo' in change) content = applyChange(content, change);
      else if (what < 3) for (const sector of sectorsOf(change)) content = random() < 0.5 ? applyChange(content, sector) : content;
      else
        content.fill(
          0xa5,
          Math.floor(change.at / unitBytes) * unitBytes,
          Math.ceil((change.at + change.data.length) / unitBytes) * unitBytes,
        );
    }
    return content;
  }
}

const applyChange = (content: Buffer, change: Change): Buffer => {
  const size = 'truncateTo' in change ? change.truncateTo : Math.max(content.length, change.at + change.data.length);
  const next = size === content.length ? content : Buffer.alloc(size);
  if (next !== content) content.copy(next, 0, 0, size);
  if ('data' in change) next.set(change.data, change.at);
  return next;
};

function* sectorsOf(change: { readonly at: number; readonly data: Uint8Array }): Generator<Change> {
  const end = change.at + change.data.length;
  for (let at = change.at; at < end; ) {
    const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    yield { at, data: change.data.subarray(at - change.at, next - change.at) };
    at = next;
  }
}

/** What becomes of things that were not made durable. */
export type Fate = 'dropped' | 'kept' | 'any';
const fateOf = (random: () => number): Fate => {
  const choice = random();
  return choice < 0.25 ? 'dropped' : choice < 0.5 ? 'kept' : 'any';
};

type Node = Bytes | Folder;
class Folder {
  readonly entries = new Map<string, Node>();
  readonly durable = new Map<string, Node>();
  /** Each is atomic: a rename takes one name away and gives another. */
  pending: (readonly (readonly [string, Node | undefined])[])[] = [];

  change(...names: readonly (readonly [string, Node | undefined])[]): void {
    setAll(this.entries, names);
    this.pending.push(names);
  }

  sync(): void {
    for (const names of this.pending) setAll(this.durable, names);
    this.pending = [];
  }

  afterCrash(random: () => number, fate: Fate): Folder {
    const survivors = new Map(this.durable);
    for (const names of this.pending) if (fate === 'kept' || (fate === 'any' && random() < 0.5)) setAll(survivors, names);
    const folder = new Folder();
    for (const [name, node] of survivors) {
      const next = node instanceof Folder ? node.afterCrash(random, fate) : Bytes.of(node.afterCrash(random, fate));
      folder.entries.set(name, next);
      folder.durable.set(name, next);
    }
    return folder;
  }
}

const setAll = (map: Map<string, Node>, names: readonly (readonly [string, Node | undefined])[]): void => {
  for (const [name, node] of names) {
    if (node) map.set(name, node);
    else map.delete(name);
  }
};

export class MemoryFiles implements Files {
  readonly #root: Folder;
  readonly #faults: Faults;

  constructor(faults: Faults = new Faults(), root: Folder = new Folder()) {
    this.#faults = faults;
    this.#root = root;
  }

  /** The file system as the next start finds it. */
  crash(seed: number, faults: Faults = new Faults()): MemoryFiles {
    const random = seededRandom(seed);
    return new MemoryFiles(faults, this.#root.afterCrash(random, fateOf(random)));
  }

  /** The content now, for assertions; undefined when there is no such file. */
  peek(path: string): Buffer | undefined {
    const node = this.#find(path);
    return node instanceof Bytes ? Buffer.from(node.view()) : undefined;
  }

  /** Rot: changes bytes durably, behind everybody's back. */
  corrupt(path: string, at: number, data: Uint8Array): void {
    const node = this.#find(path);
    if (!(node instanceof Bytes)) throw new Error(`no file ${path}`);
    node.write(at, data);
    node.sync();
  }

  async open(path: string, how: 'read' | 'update' | 'create'): Promise<File> {
    const dies = this.#enter('files.open');
    let node = this.#find(path);
    if (how === 'create') {
      if (node instanceof Bytes) node.truncate(0);
      else {
        node = new Bytes();
        this.#parent(path).change([leaf(path), node]);
      }
    }
    if (dies) throw new CrashError();
    if (!(node instanceof Bytes)) throw new DrError('NOT_FOUND', `no file ${path}`, { context: { path, kind: 'file' } });
    return new MemoryFile(node, this.#faults);
  }

  async rename(from: string, to: string): Promise<void> {
    const dies = this.#enter('files.rename');
    const node = this.#find(from);
    if (!node) throw new DrError('NOT_FOUND', `no file ${from}`, { context: { path: from, kind: 'file' } });
    if (this.#parent(from) !== this.#parent(to)) throw new Error('renames stay in their folder');
    this.#parent(from).change([leaf(from), undefined], [leaf(to), node]);
    if (dies) throw new CrashError();
  }

  async remove(path: string): Promise<void> {
    const dies = this.#enter('files.remove');
    if (this.#find(path)) this.#parent(path).change([leaf(path), undefined]);
    if (dies) throw new CrashError();
  }

  async makeDirectory(path: string): Promise<void> {
    const dies = this.#enter('files.makeDirectory');
    let folder = this.#root;
    for (const name of segments(path)) {
      let next = folder.entries.get(name);
      if (!next) {
        next = new Folder();
        folder.change([name, next]);
      }
      if (!(next instanceof Folder)) throw new Error(`${name} of ${path} is a file`);
      folder = next;
    }
    if (dies) throw new CrashError();
  }

  async list(path: string): Promise<string[]> {
    if (this.#enter('files.list')) throw new CrashError();
    const node = this.#find(path);
    return node instanceof Folder ? [...node.entries.keys()].sort() : [];
  }

  async exists(path: string): Promise<boolean> {
    if (this.#enter('files.exists')) throw new CrashError();
    return this.#find(path) !== undefined;
  }

  async syncDirectory(path: string): Promise<void> {
    if (this.#enter('files.syncDirectory')) throw new CrashError();
    const node = this.#find(path);
    if (!(node instanceof Folder)) throw new DrError('NOT_FOUND', `no folder ${path}`, { context: { path, kind: 'folder' } });
    node.sync();
  }

  #enter(name: CallName): boolean {
    const dies = this.#faults.enter(name);
    if (!dies) this.#faults.check();
    return dies;
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of segments(path)) node = node instanceof Folder ? node.entries.get(name) : undefined;
    return node;
  }

  #parent(path: string): Folder {
    const folder = this.#find(path.slice(0, path.lastIndexOf('/')));
    if (!(folder instanceof Folder)) throw new DrError('NOT_FOUND', `no folder for ${path}`, { context: { path, kind: 'folder' } });
    return folder;
  }
}

const segments = (path: string): string[] => path.split('/').filter((name) => name !== '');
const leaf = (path: string): string => segments(path).at(-1) ?? '';

class MemoryFile implements File {
  readonly #bytes: Bytes;
  readonly #faults: Faults;

  constructor(bytes: Bytes, faults: Faults) {
    this.#bytes = bytes;
    this.#faults = faults;
  }

  async read(position: number, into: Uint8Array): Promise<number> {
    if (this.#enter('file.read')) throw new CrashError();
    return this.#bytes.read(position, into);
  }

  async write(position: number, data: Uint8Array): Promise<void> {
    const dies = this.#faults.enter('file.write');
    try {
      if (!dies) this.#faults.check();
    } catch (error) {
      // A full disk takes the part for which there was room.
      this.#bytes.write(position, data.subarray(0, data.length >> 1));
      throw error;
    }
    this.#bytes.write(position, data);
    if (dies) throw new CrashError();
  }

  async truncate(sizeBytes: number): Promise<void> {
    const dies = this.#enter('file.truncate');
    this.#bytes.truncate(sizeBytes);
    if (dies) throw new CrashError();
  }

  async sizeBytes(): Promise<number> {
    if (this.#enter('file.sizeBytes')) throw new CrashError();
    return this.#bytes.size;
  }

  async sync(): Promise<void> {
    if (this.#faults.enter('file.sync')) throw new CrashError();
    failOrLose(this.#faults, this.#bytes);
    this.#bytes.sync();
  }

  async close(): Promise<void> {
    // A dead process closes nothing, and its clean-up code must not mask the crash.
    if (!this.#faults.crashed) this.#enter('file.close');
  }

  #enter(name: CallName): boolean {
    const dies = this.#faults.enter(name);
    if (!dies) this.#faults.check();
    return dies;
  }
}

const failOrLose = (faults: Faults, bytes: Bytes): void => {
  try {
    faults.check();
  } catch (error) {
    bytes.loseUnsynced();
    throw error;
  }
};

export interface MemoryDiskOptions {
  readonly sizeBytes: number;
  readonly alignmentBytes?: number;
  readonly maxRequestBytes?: number;
  readonly maxInFlight?: number;
  readonly faults?: Faults;
}

/** A replica disk whose writes are volatile until flush. Requests that break its limits throw. */
export class MemoryDisk implements DiskIo {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  readonly #faults: Faults;
  #bytes: Bytes;

  constructor(options: MemoryDiskOptions, content: Uint8Array = new Uint8Array(options.sizeBytes)) {
    this.sizeBytes = options.sizeBytes;
    this.alignmentBytes = options.alignmentBytes ?? 512;
    this.maxRequestBytes = options.maxRequestBytes ?? 1024 * 1024;
    this.maxInFlight = options.maxInFlight ?? 4;
    this.#faults = options.faults ?? new Faults();
    this.#bytes = Bytes.of(content);
  }

  /** The disk as the next start finds it. */
  crash(seed: number, faults: Faults = new Faults()): MemoryDisk {
    const random = seededRandom(seed);
    return new MemoryDisk({ ...this, faults }, this.#bytes.afterCrash(random, fateOf(random), PHYSICAL_SECTOR_BYTES));
  }

  /** Content as it is read now. */
  image(): Buffer {
    return Buffer.from(this.#bytes.view());
  }

  /** Another disk that reads the same: a fork. */
  fork(): MemoryDisk {
    return new MemoryDisk({ ...this, faults: this.#faults }, this.image());
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const dies = this.#enter('disk.read', offset, into.length);
    if (dies) throw new CrashError();
    this.#bytes.read(offset, into);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    const dies = this.#enter('disk.write', offset, data.length);
    this.#bytes.write(offset, data);
    if (dies) throw new CrashError();
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    const dies = this.#enter('disk.writeZeroes', offset, length);
    this.#bytes.write(offset, new Uint8Array(length));
    if (dies) throw new CrashError();
  }

  async flush(): Promise<void> {
    if (this.#faults.enter('disk.flush')) throw new CrashError();
    failOrLose(this.#faults, this.#bytes);
    this.#bytes.sync();
  }

  #enter(name: CallName, offset: number, length: number): boolean {
    const dies = this.#faults.enter(name);
    if (!dies) this.#faults.check();
    const aligned = offset % this.alignmentBytes === 0 && length % this.alignmentBytes === 0;
    if (!aligned || length <= 0 || length > this.maxRequestBytes || offset < 0 || offset + length > this.sizeBytes) {
      throw new Error(`${name} of ${length} bytes at ${offset} breaks the limits of the disk`);
    }
    return dies;
  }
}
