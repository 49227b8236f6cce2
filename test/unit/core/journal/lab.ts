// A journal over memory files and disks, with a naive model beside it: each point is a full image of each disk.
import { expect } from 'chai';
import type { ItemId, MachineSpec } from '../../../../core/contract/index.ts';
import { type CycleDisk, type Journal, openJournal, type SealRecord } from '../../../../core/journal/journal.ts';
import { type Marks, openMarks } from '../../../../core/journal/marks.ts';
import { Faults, MemoryDisk, MemoryFiles, seededRandom } from '../../../support/memory-files.ts';

export const DIRECTORY = '/site/journal/item1';
export const KiB = 1024;

export const spec = (disks: readonly CycleDisk[]): MachineSpec => ({
  firmware: 'uefi',
  cpuCount: 2,
  memoryBytes: 2 ** 30,
  guest: { family: 'linux' },
  disks: disks.map((disk, index) => ({
    id: `source-${disk.key}` as never,
    sizeBytes: disk.sizeBytes,
    bus: 'virtio',
    slot: `0:${index}`,
    boot: index === 0,
    logicalSectorBytes: 512,
    physicalSectorBytes: 512,
  })),
  nics: [],
});

export const sealRecord = (disks: readonly CycleDisk[], more: Partial<SealRecord> = {}): SealRecord => ({
  takenAt: '2026-01-02T03:04:05.000Z',
  sealedAt: '2026-01-02T03:04:06.000Z',
  baselines: {},
  epoch: { item: 'item1' as ItemId, epoch: 1, holder: 'recovery' },
  spec: spec(disks),
  consistency: 'crash',
  atomicity: 'instant',
  timings: { readMs: 5 },
  ...more,
});

/** `data`: the bytes, undefined for zeroes. */
export interface Change {
  readonly disk: string;
  readonly offset: number;
  readonly length: number;
  readonly data?: Uint8Array;
}

export const bytes = (seed: number, length: number): Buffer => {
  const random = seededRandom(seed);
  return Buffer.from(Uint8Array.from({ length }, () => 1 + Math.floor(random() * 255)));
};
export const put = (disk: string, offset: number, length: number, seed: number): Change => ({
  disk,
  offset,
  length,
  data: bytes(seed, length),
});
export const wipe = (disk: string, offset: number, length: number): Change => ({ disk, offset, length });

export type Images = ReadonlyMap<string, Buffer>;

export const changed = (before: Images, changes: readonly Change[]): Images => {
  const after = new Map(Array.from(before, ([key, image]) => [key, Buffer.from(image)]));
  for (const { disk, offset, length, data } of changes) {
    if (data) after.get(disk)!.set(data, offset);
    else after.get(disk)!.fill(0, offset, offset + length);
  }
  return after;
};

export const SIZES: Readonly<Record<string, number>> = { a: 64 * KiB, b: 32 * KiB };
export const DISKS: readonly CycleDisk[] = Object.entries(SIZES).map(([key, sizeBytes]) => ({ key, sizeBytes }));
export const EMPTY: Images = new Map(DISKS.map((disk) => [disk.key, Buffer.alloc(disk.sizeBytes)]));

export class Lab {
  readonly faults: Faults;
  readonly files: MemoryFiles;
  readonly disks: ReadonlyMap<string, MemoryDisk>;
  #journal: Journal | undefined;
  #marks: Marks | undefined;

  constructor(faults = new Faults(), files = new MemoryFiles(faults), disks?: ReadonlyMap<string, MemoryDisk>) {
    this.faults = faults;
    this.files = files;
    this.disks = disks ?? new Map(DISKS.map(({ key, sizeBytes }) => [key, new MemoryDisk({ sizeBytes, faults })]));
  }

  get isOpen(): boolean {
    return this.#journal !== undefined;
  }

  get journal(): Journal {
    return this.#journal!;
  }

  get marks(): Marks {
    return this.#marks!;
  }

  async open(): Promise<this> {
    const { files } = this;
    this.#marks = await openMarks({ files, directory: '/site' });
    this.#journal = await openJournal({ files, directory: DIRECTORY, item: 'item1', groupState: (cycle) => this.marks.groupState(cycle) });
    return this;
  }

  /** What the next start finds after a power cut. */
  async crash(seed: number, faults = new Faults()): Promise<Lab> {
    const disks = new Map(Array.from(this.disks, ([key, disk], index) => [key, disk.crash(seed + index + 1, faults)]));
    return new Lab(faults, this.files.crash(seed, faults), disks).open();
  }

  forks(): Map<string, MemoryDisk> {
    return new Map(Array.from(this.disks, ([key, disk]) => [key, disk.fork()]));
  }

  /** The first copy: straight to the replica, with a checkpoint after each change. */
  async firstCopy(id: string, changes: readonly Change[]): Promise<void> {
    if (this.journal.findCycle(`c-${id}`)) return;
    for (const { key } of DISKS)
      if (!this.journal.hasDisk(key) && this.journal.allocated(key).length > 0) await this.journal.declareEmpty(key);
    const disks = DISKS.map((disk) => ({ ...disk, direct: true }));
    await using writer = await this.journal.begin({ cycle: `c-${id}`, point: id, kind: 'first', disks });
    for (const { disk, offset, length, data } of changes) {
      const done = writer.resumeFrom.get(disk)?.some((range) => range.offset <= offset && range.offset + range.length >= offset + length);
      if (done) continue;
      const replica = this.disks.get(disk)!;
      await this.journal.markAllocated(disk, [{ offset, length }]);
      if (data) await replica.write(offset, data);
      else await replica.writeZeroes(offset, length);
      await writer.direct(disk, offset, data ?? length);
      await writer.checkpoint(disk, () => replica.flush());
    }
    await writer.seal(sealRecord(DISKS));
  }

  async cycle(id: string, changes: readonly Change[], groupCycle?: string): Promise<void> {
    if (this.journal.findCycle(`c-${id}`)) return;
    const newest = this.journal.newest();
    await using writer = await this.journal.begin({
      cycle: `c-${id}`,
      point: id,
      kind: 'delta',
      ...(newest ? { base: newest.point } : {}),
      ...(groupCycle === undefined ? {} : { groupCycle }),
      disks: DISKS,
    });
    const calls = changes.map(({ disk, offset, length, data }) =>
      data ? writer.data(disk, offset, data) : writer.zero(disk, offset, length),
    );
    await Promise.all(calls);
    await writer.seal(sealRecord(DISKS));
  }

  async expectPoint(point: string, images: Images): Promise<void> {
    const forks = this.forks();
    await this.journal.materialise(point, forks);
    for (const [key, image] of images) {
      const differs = firstDifference(forks.get(key)!.image(), image);
      expect(differs, `first byte of disk ${key} that is not as at point ${point}`).to.equal(undefined);
    }
  }
}

const firstDifference = (a: Buffer, b: Buffer): number | undefined => {
  if (a.equals(b)) return undefined;
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? Math.min(a.length, b.length) : at;
};
