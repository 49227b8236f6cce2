import { hash } from 'node:crypto';
import type { Extent } from '../../core/contract/index.ts';
import { type Backing, type BackingStore, BLOCK_BYTES, DATA, INHERIT, ZERO } from './backing.ts';

const ZERO_BLOCK = new Uint8Array(BLOCK_BYTES);
const ZERO_HASH = hash('sha256', ZERO_BLOCK, 'buffer');

/** Told of every change of the room that a layer takes, in bytes. */
export type OnAllocate = (deltaBytes: number) => void;

/**
 * One layer of disk content: a disk, an overlay over a disk that does not change meanwhile (fork), or a snapshot of a disk that does
 * (copy-before-write: the disk saves each block into its snapshots before the first change). All three read through to their parent.
 */
export class Volume {
  readonly name: string;
  #sizeBytes: number;
  #parent: Volume | undefined;
  #states: Uint8Array;
  readonly #backing: Backing;
  #onAllocate: OnAllocate;
  readonly #snapshots = new Set<Volume>();
  readonly #hashes = new Map<number, Buffer>();
  #allocated = 0;

  constructor(store: BackingStore, name: string, sizeBytes: number, parent?: Volume, onAllocate: OnAllocate = () => undefined) {
    this.name = name;
    this.#sizeBytes = sizeBytes;
    this.#parent = parent;
    this.#onAllocate = onAllocate;
    this.#backing = store.open(name, sizeBytes);
    this.#states = new Uint8Array(Math.ceil(sizeBytes / BLOCK_BYTES));
  }

  /** A new layer, whose states are on record from the start: a layer that was never written need not be scanned. */
  static create(store: BackingStore, name: string, sizeBytes: number, parent?: Volume, onAllocate?: OnAllocate): Volume {
    const volume = new Volume(store, name, sizeBytes, parent, onAllocate);
    volume.#noteAllStates();
    return volume;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get allocatedBytes(): number {
    return this.#allocated * BLOCK_BYTES;
  }

  /** The room that a write of this range would take beyond what the layer has. */
  unallocatedBytes(offset: number, length: number): number {
    let bytes = 0;
    for (let block = Math.floor(offset / BLOCK_BYTES); block * BLOCK_BYTES < offset + length; block++) {
      if (this.#states[block] !== DATA) bytes += BLOCK_BYTES;
    }
    return bytes;
  }

  get parent(): Volume | undefined {
    return this.#parent;
  }

  /** Takes the states that an earlier process noted. False when there are none: then scan(), or give the layer up. */
  reopen(): boolean {
    const noted = this.#backing.states(this.#states.length);
    if (!noted) return false;
    this.#adopt(noted);
    return true;
  }

  /** Reads everything: what is not zero is data. Tells the truth for a layer without a parent only. */
  scan(): void {
    const states = new Uint8Array(this.#states.length);
    const data = new Uint8Array(BLOCK_BYTES);
    for (let block = 0; block < states.length; block++) {
      const piece = data.subarray(0, Math.min(BLOCK_BYTES, this.#sizeBytes - block * BLOCK_BYTES));
      this.#backing.read(block * BLOCK_BYTES, piece);
      states[block] = isZero(piece) ? INHERIT : DATA;
    }
    this.#adopt(states);
    this.#noteAllStates();
  }

  #adopt(states: Uint8Array): void {
    this.#states = states;
    this.#allocated = this.#states.reduce((sum, state) => sum + (state === DATA ? 1 : 0), 0);
    this.#onAllocate(this.allocatedBytes);
  }

  read(offset: number, into: Uint8Array): void {
    for (let from = 0; from < into.length; ) {
      const at = offset + from;
      const block = Math.floor(at / BLOCK_BYTES);
      const state = this.#states[block];
      let end = (block + 1) * BLOCK_BYTES;
      while (end < offset + into.length && this.#states[end / BLOCK_BYTES] === state) end += BLOCK_BYTES;
      const piece = into.subarray(from, Math.min(end - offset, into.length));
      if (state === DATA) this.#backing.read(at, piece);
      else if (state === ZERO || !this.#parent) piece.fill(0);
      else this.#readParent(at, piece);
      from += piece.length;
    }
  }

  write(offset: number, data: Uint8Array): void {
    for (let from = 0; from < data.length; ) {
      const at = offset + from;
      const block = Math.floor(at / BLOCK_BYTES);
      const within = at - block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES - within, data.length - from);
      this.#writeBlock(block, within, data.subarray(from, from + length));
      from += length;
    }
  }

  writeZeroes(offset: number, length: number): void {
    for (let at = offset; at < offset + length; ) {
      const block = Math.floor(at / BLOCK_BYTES);
      const within = at - block * BLOCK_BYTES;
      const piece = Math.min(BLOCK_BYTES - within, offset + length - at);
      const whole = within === 0 && (piece === BLOCK_BYTES || at + piece === this.#sizeBytes);
      if (!whole) {
        if (this.isData(block)) this.#writeBlock(block, within, ZERO_BLOCK.subarray(0, piece));
      } else if (this.isData(block)) {
        this.#preserve(block);
        this.#setState(block, this.#parent ? ZERO : INHERIT);
        this.#hashes.delete(block);
      }
      at += piece;
    }
  }

  grow(sizeBytes: number): void {
    const states = new Uint8Array(Math.ceil(sizeBytes / BLOCK_BYTES));
    states.set(this.#states);
    // A parent may have stale content beyond the old end only if it was larger: the new room reads as zero whatever lies below.
    if (this.#parent) states.fill(ZERO, Math.ceil(this.#sizeBytes / BLOCK_BYTES));
    this.#states = states;
    this.#sizeBytes = sizeBytes;
    this.#backing.resize(sizeBytes);
    this.#noteAllStates();
  }

  /** A state of this disk that stays: instant, whatever the size. */
  snapshot(store: BackingStore, name: string, onAllocate?: OnAllocate): Volume {
    const snapshot = Volume.create(store, name, this.#sizeBytes, this, onAllocate);
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  /** After a restart: this snapshot is kept up to date again. */
  attachSnapshot(snapshot: Volume): void {
    this.#snapshots.add(snapshot);
  }

  /** Everything that this layer's own blocks say goes into the parent; snapshots of this layer then hang on the parent. */
  mergeIntoParent(): void {
    const parent = this.#parent;
    if (!parent) throw new Error(`volume ${this.name} has no parent`);
    if (parent.#sizeBytes < this.#sizeBytes) parent.grow(this.#sizeBytes);
    const buffer = new Uint8Array(BLOCK_BYTES);
    for (let block = 0; block < this.#states.length; block++) {
      const at = block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES, this.#sizeBytes - at);
      if (this.#states[block] === ZERO) parent.writeZeroes(at, length);
      else if (this.#states[block] === DATA) {
        const piece = buffer.subarray(0, length);
        this.read(at, piece);
        parent.write(at, piece);
      }
    }
    for (const snapshot of this.#snapshots) {
      snapshot.#parent = parent;
      parent.#snapshots.add(snapshot);
    }
    this.#snapshots.clear();
  }

  /** Takes its room elsewhere from now on. */
  accountTo(onAllocate: OnAllocate): void {
    this.#onAllocate(-this.allocatedBytes);
    this.#onAllocate = onAllocate;
    onAllocate(this.allocatedBytes);
  }

  /** Stands on another layer from now on, which reads the same as the one before: the chain below was merged. */
  standOn(parent: Volume): void {
    this.#parent = parent;
  }

  /** Copies what is not zero; the result has no parent. */
  copyTo(copy: Volume): void {
    const buffer = new Uint8Array(BLOCK_BYTES);
    for (let block = 0; block < this.#states.length; block++) {
      if (!this.isData(block)) continue;
      const piece = buffer.subarray(0, Math.min(BLOCK_BYTES, this.#sizeBytes - block * BLOCK_BYTES));
      this.read(block * BLOCK_BYTES, piece);
      if (!isZero(piece)) copy.write(block * BLOCK_BYTES, piece);
    }
  }

  isData(block: number): boolean {
    const state = this.#states[block];
    if (state === DATA) return true;
    return state === INHERIT && this.#parent !== undefined && this.#parent.isData(block);
  }

  /** Runs of blocks that may hold something else than zeros, from an offset on. */
  *allocated(from: number): Generator<Extent> {
    let start = -1;
    for (let block = Math.floor(from / BLOCK_BYTES); block <= this.#states.length; block++) {
      const data = block < this.#states.length && this.isData(block);
      if (data && start < 0) start = Math.max(from, block * BLOCK_BYTES);
      if (!data && start >= 0) {
        yield { offset: start, length: Math.min(block * BLOCK_BYTES, this.#sizeBytes) - start };
        start = -1;
      }
    }
  }

  /** SHA-256 over offset and hash of each block that is not zero: neither allocation nor a zero tail shows. */
  digest(): string {
    const rows: Buffer[] = [];
    for (let block = 0; block < this.#states.length; block++) {
      if (!this.isData(block)) continue;
      const digest = this.#blockHash(block);
      if (digest.equals(ZERO_HASH)) continue;
      const offset = Buffer.alloc(8);
      offset.writeBigUInt64LE(BigInt(block * BLOCK_BYTES));
      rows.push(offset, digest);
    }
    return hash('sha256', Buffer.concat(rows), 'hex');
  }

  sync(): void {
    this.#backing.sync();
  }

  close(): void {
    this.#backing.close();
  }

  remove(): void {
    if (this.#parent) this.#parent.#snapshots.delete(this);
    this.#onAllocate(-this.allocatedBytes);
    this.#allocated = 0;
    this.#backing.remove();
  }

  #blockHash(block: number): Buffer {
    if (this.#states[block] === ZERO || !this.isData(block)) return ZERO_HASH;
    if (this.#states[block] === INHERIT && (block + 1) * BLOCK_BYTES <= this.#sizeBytes) return this.#parent!.#blockHash(block);
    const known = this.#hashes.get(block);
    if (known) return known;
    const data = new Uint8Array(BLOCK_BYTES);
    this.read(block * BLOCK_BYTES, data.subarray(0, Math.min(BLOCK_BYTES, this.#sizeBytes - block * BLOCK_BYTES)));
    const digest = hash('sha256', data, 'buffer');
    if (this.#states[block] === DATA) this.#hashes.set(block, digest);
    return digest;
  }

  #readParent(offset: number, into: Uint8Array): void {
    const parent = this.#parent!;
    const length = Math.max(0, Math.min(into.length, parent.#sizeBytes - offset));
    if (length > 0) parent.read(offset, into.subarray(0, length));
    into.fill(0, length);
  }

  #writeBlock(block: number, within: number, data: Uint8Array): void {
    this.#preserve(block);
    this.#hashes.delete(block);
    const start = block * BLOCK_BYTES;
    if (this.#states[block] === DATA) {
      this.#backing.write(start + within, data);
      return;
    }
    // The whole block is written, because what the backing holds there is not ours yet.
    const whole = new Uint8Array(Math.min(BLOCK_BYTES, this.#sizeBytes - start));
    this.read(start, whole);
    whole.set(data, within);
    this.#backing.write(start, whole);
    this.#setState(block, DATA);
  }

  #preserve(block: number): void {
    for (const snapshot of this.#snapshots) {
      if (block >= snapshot.#states.length || snapshot.#states[block] !== INHERIT) continue;
      const length = Math.min(BLOCK_BYTES, snapshot.#sizeBytes - block * BLOCK_BYTES);
      if (this.isData(block)) {
        const before = new Uint8Array(length);
        this.read(block * BLOCK_BYTES, before);
        snapshot.#backing.write(block * BLOCK_BYTES, before);
        const digest = this.#hashes.get(block);
        if (digest && length === BLOCK_BYTES) snapshot.#hashes.set(block, digest);
        snapshot.#setState(block, DATA);
      } else snapshot.#setState(block, ZERO);
    }
  }

  #setState(block: number, state: number): void {
    const before = this.#states[block];
    if (before === state) return;
    this.#states[block] = state;
    this.#backing.noteStates(block, this.#states.subarray(block, block + 1));
    const delta = (state === DATA ? 1 : 0) - (before === DATA ? 1 : 0);
    this.#allocated += delta;
    if (delta !== 0) this.#onAllocate(delta * BLOCK_BYTES);
  }

  #noteAllStates(): void {
    this.#backing.noteStates(0, this.#states);
  }
}

export const isZero = (data: Uint8Array): boolean => Buffer.compare(data, ZERO_BLOCK.subarray(0, data.length)) === 0;
