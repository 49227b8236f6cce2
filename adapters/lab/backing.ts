// Two implementations: real sparse files (the lab as a process) and memory (sweeps and unit tests, thousands of estates).
import { closeSync, fdatasyncSync, ftruncateSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Unit of allocation, of copy-before-write and of the digest cache. */
export const BLOCK_BYTES = 65_536;

/** What a layer says of one block. `inherit`: ask the parent, or zero where there is none. */
export const INHERIT = 0;
export const DATA = 1;
export const ZERO = 2;

/** Where the blocks of one layer are. Synchronous: a guest's write is one step of the simulation, nothing may come between. */
export interface Backing {
  /** Bytes that were never written read as anything: the block states say what counts. */
  read(position: number, into: Uint8Array): void;
  write(position: number, data: Uint8Array): void;
  /** The block states that were noted; undefined when there are none. */
  states(blocks: number): Uint8Array | undefined;
  /** Called after the block's data: a kill in between leaves the write undone. */
  noteStates(first: number, states: Uint8Array): void;
  resize(sizeBytes: number): void;
  sync(): void;
  close(): void;
  remove(): void;
}

export interface BackingStore {
  open(name: string, sizeBytes: number): Backing;
}

export const memoryStore = (): BackingStore => ({ open: () => new MemoryBacking() });

export const fileStore = (directory: string): BackingStore => {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return { open: (name, sizeBytes) => new FileBacking(join(directory, name), sizeBytes) };
};

class MemoryBacking implements Backing {
  readonly #blocks = new Map<number, Uint8Array>();

  read(position: number, into: Uint8Array): void {
    this.#pieces(position, into.length, (block, at, from, length) => {
      const data = this.#blocks.get(block);
      if (data) into.set(data.subarray(at, at + length), from);
      else into.fill(0, from, from + length);
    });
  }

  write(position: number, data: Uint8Array): void {
    this.#pieces(position, data.length, (block, at, from, length) => {
      let into = this.#blocks.get(block);
      if (!into) {
        into = new Uint8Array(BLOCK_BYTES);
        this.#blocks.set(block, into);
      }
      into.set(data.subarray(from, from + length), at);
    });
  }

  #pieces(position: number, length: number, each: (block: number, at: number, from: number, length: number) => void): void {
    for (let from = 0; from < length; ) {
      const at = (position + from) % BLOCK_BYTES;
      const piece = Math.min(BLOCK_BYTES - at, length - from);
      each((position + from - at) / BLOCK_BYTES, at, from, piece);
      from += piece;
    }
  }

  states(): undefined {
    return undefined;
  }
  noteStates(): void {}
  resize(): void {}
  sync(): void {}
  close(): void {}
  remove(): void {
    this.#blocks.clear();
  }
}

/** `<name>.raw` holds the data at its own offsets, `<name>.map` one state byte for each block, because Node cannot ask a file for its holes. */
class FileBacking implements Backing {
  readonly #path: string;
  #sizeBytes: number;
  #data: number | undefined;
  #map: number | undefined;

  constructor(path: string, sizeBytes: number) {
    this.#path = path;
    this.#sizeBytes = sizeBytes;
  }

  read(position: number, into: Uint8Array): void {
    const file = this.#dataFile();
    let done = 0;
    while (done < into.length) {
      const got = readSync(file, into, done, into.length - done, position + done);
      if (got === 0) break;
      done += got;
    }
    into.fill(0, done);
  }

  write(position: number, data: Uint8Array): void {
    writeFully(this.#dataFile(), data, position);
  }

  states(blocks: number): Uint8Array | undefined {
    const states = new Uint8Array(blocks);
    const got = readSync(this.#mapFile(), states, 0, blocks, 0);
    return got === blocks ? states : undefined;
  }

  noteStates(first: number, states: Uint8Array): void {
    writeFully(this.#mapFile(), states, first);
  }

  resize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    if (this.#data !== undefined) ftruncateSync(this.#data, sizeBytes);
    else this.#dataFile();
  }

  sync(): void {
    if (this.#data !== undefined) fdatasyncSync(this.#data);
    if (this.#map !== undefined) fdatasyncSync(this.#map);
  }

  close(): void {
    for (const file of [this.#data, this.#map]) if (file !== undefined) closeSync(file);
    this.#data = undefined;
    this.#map = undefined;
  }

  remove(): void {
    this.close();
    rmSync(`${this.#path}.raw`, { force: true });
    rmSync(`${this.#path}.map`, { force: true });
  }

  #dataFile(): number {
    if (this.#data === undefined) {
      this.#data = openOrCreate(`${this.#path}.raw`);
      ftruncateSync(this.#data, this.#sizeBytes);
    }
    return this.#data;
  }

  #mapFile(): number {
    this.#map ??= openOrCreate(`${this.#path}.map`);
    return this.#map;
  }
}

const openOrCreate = (path: string): number => {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return openSync(path, 'wx+', 0o600);
  }
};

const writeFully = (file: number, data: Uint8Array, position: number): void => {
  for (let done = 0; done < data.length; ) done += writeSync(file, data, done, data.length - done, position + done);
};
