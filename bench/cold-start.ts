import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Benchmark, figure, median, runNode, temporaryFolder, timedMs } from './measure.ts';

const BIN = resolve(import.meta.dirname, '../cli/bin.js');

export const coldStart: Benchmark = {
  name: 'cold-start',
  about: 'a command from its start to its end, against an empty Node program',
  run: async ({ quick }) => {
    using folder = temporaryFolder();
    const empty = join(folder.path, 'empty.mjs');
    writeFileSync(empty, '');
    const env = { WARMSITE_HOME: join(folder.path, 'home'), XDG_CACHE_HOME: join(folder.path, 'cache') };
    const measure = (...args: readonly string[]) => median(quick ? 1 : 15, () => timedMs(() => runNode(args, env)));
    const peer = await measure(empty);
    return [
      figure('cold-start --version', await measure(BIN, '--version'), 'ms', peer),
      figure('cold-start status', await measure(BIN, 'status'), 'ms', peer),
    ];
  },
};
