import type { BlockDigest } from '../contract/index.ts';

/** One disk as the journal and the pump see it: the contract's ReplicaDisk or DiskReader with its call (deadline, fence, operation) already bound. */
export interface DiskSource {
  readonly sizeBytes: number;
  /** Offsets and lengths of requests are multiples of this. */
  readonly alignmentBytes: number;
  readonly maxRequestBytes: number;
  readonly maxInFlight: number;
  read(offset: number, into: Uint8Array): Promise<void>;
  /** SHA-256 of each block from an offset on, computed where the disk is. */
  digests?(blockBytes: number, from: number): AsyncIterable<BlockDigest>;
}

export interface DiskIo extends DiskSource {
  write(offset: number, data: Uint8Array): Promise<void>;
  writeZeroes(offset: number, length: number): Promise<void>;
  /** All writes that were answered before are durable after; nothing is before. */
  flush(): Promise<void>;
}
