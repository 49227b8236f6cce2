// The seal record of a cycle, the point that it makes, and the point's digest.
import { createHash, type Hash } from 'node:crypto';
import type { Baseline, Epoch, MachineSpec, Snapshot } from '../contract/index.ts';
import { canonicalJson, type IndexRecord } from './format.ts';

export type CycleKind = 'first' | 'delta' | 'compare' | 'divergent';

export interface SealedDisk {
  readonly key: string;
  readonly sizeBytes: number;
  /** The machine has this disk, the point does not: it is still being copied for the first time. */
  readonly excluded?: true;
}

/** What whoever runs the cycle knows about the point. */
export interface SealRecord {
  readonly takenAt: string;
  readonly sealedAt: string;
  /** Replaces the kind that the cycle was begun with: a delta that turned into a comparison. */
  readonly kind?: CycleKind;
  /** The machine's disks at that instant; the cycle's own when left out. */
  readonly disks?: readonly SealedDisk[];
  /** By disk key: everything before this is in the point. */
  readonly baselines: Readonly<Record<string, Baseline>>;
  readonly epoch: Epoch;
  readonly spec: MachineSpec;
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  readonly atomicity: Snapshot['atomicity'];
  /** Where the seconds of the cycle went, in milliseconds by name. */
  readonly timings: Readonly<Record<string, number>>;
  readonly tags?: Readonly<Record<string, string>>;
}

/** A point and its digest: what a cycle builds on. */
export interface PointRef {
  readonly point: string;
  readonly digest: string;
}

/** The sealed record as it is on disk; it never changes. */
export interface Seal extends SealRecord {
  readonly format: number;
  readonly item: string;
  readonly seq: number;
  readonly cycle: string;
  readonly point: string;
  readonly kind: CycleKind;
  readonly groupCycle?: string;
  /** The sealed point before this one, whose state the changes start from; null for the first. */
  readonly parent: (PointRef & { readonly seq: number }) | null;
  readonly digest: string;
  readonly disks: readonly SealedDisk[];
  /** Keys of disks: index records name them by their place in this list. */
  readonly indexDisks: readonly string[];
  readonly indexSha256: string;
  /** Bytes in the redo, in zero ranges, and written straight to the replica. */
  readonly dataBytes: number;
  readonly zeroBytes: number;
  readonly directBytes: number;
}

/** `sealed`: not in the replica yet. `applying`: the replica is between the point before and this one. `applied`: reachable at the replica. */
export interface Point extends Seal {
  readonly state: 'sealed' | 'applying' | 'applied';
}

/** Digest over the lists of changes of all disks, computed in one pass over the index. */
export class ChangesDigest {
  readonly #disks: readonly string[];
  readonly #hashes: Hash[];
  readonly #entry = Buffer.alloc(49);

  constructor(indexDisks: readonly string[]) {
    this.#disks = indexDisks;
    this.#hashes = indexDisks.map(() => createHash('sha256'));
  }

  add(record: IndexRecord): void {
    const zero = record.kind === 'zero' || record.kind === 'directZero';
    this.#entry.writeUInt8(zero ? 2 : 1, 0);
    this.#entry.writeBigUInt64LE(BigInt(record.offset), 1);
    this.#entry.writeBigUInt64LE(BigInt(record.length), 9);
    this.#entry.set(record.sha256, 17);
    this.#hashes[record.disk]!.update(this.#entry);
  }

  /** J12: over the parent's digest, the definition with its disks and sizes, and what changed on each disk. Once only. */
  point(parent: PointRef | null, spec: MachineSpec, disks: readonly SealedDisk[]): string {
    const changes = Object.fromEntries(this.#disks.map((key, index) => [key, this.#hashes[index]!.digest('hex')]));
    const sorted = disks.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    return createHash('sha256')
      .update(canonicalJson({ parent: parent?.digest ?? null, spec, disks: sorted, changes }))
      .digest('hex');
  }
}
