import { randomBytes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ItemId, MachineSpec } from '../core/contract/index.ts';
import type { DiskIo } from '../core/journal/disk-io.ts';
import { type CycleWriter, type Journal, openJournal } from '../core/journal/journal.ts';
import { systemFiles } from '../core/ports/files.ts';
import { type Benchmark, figure, median, megabytesPerSecond, temporaryFolder, timedMs } from './measure.ts';

const MIB = 2 ** 20;
export const DISK = 'disk';

const SPEC: MachineSpec = { firmware: 'uefi', cpuCount: 1, memoryBytes: 2 ** 30, guest: { family: 'linux' }, disks: [], nics: [] };

/** A journal in an empty folder, with what it needs beside the data filled in. */
export const openScratchJournal = (directory: string): Promise<Journal> =>
  openJournal({ files: systemFiles, directory: join(directory, 'site', 'journal', 'item'), item: 'item', groupState: () => 'complete' });

export const writeCycle = async (
  journal: Journal,
  sizeBytes: number,
  id: string,
  write: (writer: CycleWriter) => Promise<unknown>,
): Promise<void> => {
  const base = journal.newest();
  await using writer = await journal.begin({
    cycle: id,
    point: id,
    kind: base ? 'delta' : 'first',
    ...(base ? { base: base.point } : {}),
    disks: [{ key: DISK, sizeBytes }],
  });
  await write(writer);
  const at = new Date().toISOString();
  await writer.seal({
    takenAt: at,
    sealedAt: at,
    baselines: {},
    epoch: { item: 'item' as ItemId, epoch: 1, holder: 'bench' },
    spec: SPEC,
    consistency: 'crash',
    atomicity: 'instant',
    timings: {},
  });
};

const openReplica = async (path: string, sizeBytes: number): Promise<DiskIo & AsyncDisposable> => {
  const file = await open(path, 'w+');
  await file.truncate(sizeBytes);
  return {
    sizeBytes,
    alignmentBytes: 512,
    maxRequestBytes: MIB,
    maxInFlight: 8,
    read: async (offset, into) => void (await file.read(into, 0, into.length, offset)),
    write: async (offset, data) => void (await file.write(data, 0, data.length, offset)),
    writeZeroes: async (offset, length) => void (await file.write(Buffer.alloc(length), 0, length, offset)),
    flush: () => file.sync(),
    [Symbol.asyncDispose]: () => file.close(),
  };
};

const copySynced = async (from: string, to: string): Promise<void> => {
  await using source = await open(from, 'r');
  await using target = await open(to, 'w');
  const block = Buffer.alloc(MIB);
  for (;;) {
    const { bytesRead } = await source.read(block, 0, MIB, null);
    if (bytesRead === 0) break;
    await target.write(block, 0, bytesRead);
  }
  await target.sync();
};

export const journalApply: Benchmark = {
  name: 'journal-apply',
  about: 'apply of a redo (verify, undo, overwrite, flush), against a copy of as many bytes with one fsync',
  run: async ({ quick }) => {
    const blocks = quick ? 4 : 256;
    const sizeBytes = blocks * MIB;
    const rounds = quick ? 1 : 5;
    using folder = temporaryFolder();
    const journal = await openScratchJournal(folder.path);
    await using replica = await openReplica(join(folder.path, 'replica'), sizeBytes);
    const block = randomBytes(MIB);
    const apply = async (round: number): Promise<number> => {
      await writeCycle(journal, sizeBytes, `cycle-${round}`, async (writer) => {
        for (let at = 0; at < sizeBytes; at += MIB) await writer.data(DISK, at, block);
      });
      return timedMs(() => journal.apply(new Map([[DISK, replica]])));
    };
    const applyMs = await median(rounds, apply);
    const copyMs = await median(rounds, () => timedMs(() => copySynced(join(folder.path, 'replica'), join(folder.path, 'copy'))));
    return [figure('journal-apply', megabytesPerSecond(sizeBytes, applyMs), 'MB/s', megabytesPerSecond(sizeBytes, copyMs))];
  },
};
