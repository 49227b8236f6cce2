import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { buildEstate, OWN_MACHINE } from '../cli/lab/estate.ts';
import { BenchHome, runJob } from './home.ts';
import { type Benchmark, figure, timedMs } from './measure.ts';

const MIB = 2 ** 20;
const BLOCKS_OF_BYTES = 512;

/** Data in pieces of 1 MiB, spread evenly over the image. */
const writeImage = async (path: string, sizeBytes: number, dataBytes: number): Promise<void> => {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  const pieces = dataBytes / MIB;
  const block = randomBytes(MIB);
  for (let piece = 0; piece < pieces; piece++) await file.write(block, 0, MIB, Math.floor(((sizeBytes / MIB) * piece) / pieces) * MIB);
  await file.sync();
};

const allocatedBytes = (...folders: readonly string[]): number =>
  folders
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).blocks * BLOCKS_OF_BYTES, 0);

export const firstCopySparse: Benchmark = {
  name: 'first-copy-sparse',
  about: 'initial replication of a 20 GiB image with 300 MiB of data: time against cp --sparse and sync, space against the data',
  run: async ({ quick }) => {
    const sizeBytes = quick ? 64 * MIB : 20 * 1024 * MIB;
    const dataBytes = quick ? 4 * MIB : 300 * MIB;
    await using bench = new BenchHome();
    const spec = buildEstate({ machines: 1, password: bench.password, ownDiskBytes: sizeBytes });
    await bench.start(spec);
    const image = join(bench.folder, 'image');
    await writeImage(image, sizeBytes, dataBytes);
    const copyMs = await timedMs(async () => {
      execFileSync('cp', ['--sparse=always', image, join(bench.folder, 'copy')]);
      execFileSync('sync', [join(bench.folder, 'copy')]);
    });

    await using lab = await bench.control();
    const { machines } = await lab.call('lab.find', { name: OWN_MACHINE });
    const machine = machines[0]?.machine;
    const { spec: machineSpec } = await lab.call('lab.machine', { machine: machine as NonNullable<typeof machine> });
    const [disk] = machineSpec.disks;
    if (!machine || !disk) throw new Error('the lab has no machine for the image');
    const importMs = await timedMs(() => lab.call('lab.importDisk', { machine, disk: disk.id, path: image }));

    await using composed = await bench.engine(spec);
    const before = allocatedBytes(bench.lab, bench.home);
    const protectMs = await timedMs(() => runJob(composed, 'protect', { machines: [OWN_MACHINE], to: 'site-b' }));
    const taken = allocatedBytes(bench.lab, bench.home) - before;
    return [
      figure('first-copy-sparse import', importMs, 'ms', copyMs),
      figure('first-copy-sparse time', protectMs, 'ms', copyMs),
      figure('first-copy-sparse space', taken / MIB, 'MiB', dataBytes / MIB),
    ];
  },
};
