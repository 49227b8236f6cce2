import { manyEstate } from '../adapters/lab/demo-estate.ts';
import { World } from '../test/support/world.ts';
import { BenchHome, BIN, runJob } from './home.ts';
import { type Benchmark, type Figure, figure, median, runNode, timedMs } from './measure.ts';

const DISK_BYTES = 262_144;
const HOUR_MS = 3_600_000;

const overSocket = async (machines: number, rounds: number): Promise<Figure[]> => {
  const spec = manyEstate({ machines, diskBytes: DISK_BYTES });
  await using bench = new BenchHome();
  await bench.start(spec);
  let protectMs: number;
  {
    await using composed = await bench.engine(spec);
    protectMs = await timedMs(() => runJob(composed, 'protect', { machines: [], label: 'tier=1', group: 'tier-1', to: 'site-b' }));
  }
  const listMs = await median(rounds, () => timedMs(() => runNode([BIN, 'machine', 'list'], bench.env)));
  return [figure('machines-1000 machine list', listMs, 'ms'), figure('machines-1000 protect -l tier=1', protectMs, 'ms')];
};

const TICK_MS = 1_000;

/** CPU seconds while so much simulated time passes. */
const cpuSecondsOver = async (world: World, simulatedMs: number): Promise<number> => {
  const before = process.cpuUsage();
  for (let passed = 0; passed < simulatedMs; passed += TICK_MS) await world.lab.clock.sleep(TICK_MS);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};

/** In process and with files in memory: the resident size counts estate, journals and engine together. */
const plannerHour = async (machines: number, simulatedMs: number): Promise<Figure[]> => {
  await using world = await World.create({ spec: manyEstate({ machines, diskBytes: DISK_BYTES }) });
  // Files are in memory here: a long history would be all that the resident size shows.
  await world.engine.call('policy.put', { name: 'bench', rpoSeconds: 300, intervalSeconds: 60, retention: { points: 3, hours: 0 } });
  await world.do('protect', { machines: [], label: 'tier=1', group: 'tier-1', policy: 'bench', to: 'site-b' });
  const aloneSeconds = await cpuSecondsOver(world, simulatedMs);
  const planner = world.engine.startPlanner();
  const cpuSeconds = await cpuSecondsOver(world, simulatedMs);
  if (planner.cycles === 0) throw new Error('the planner has started no cycle');
  return [
    figure('machines-1000 planner hour, CPU', cpuSeconds, 's', aloneSeconds),
    figure('machines-1000 planner hour, resident', process.memoryUsage.rss() / 2 ** 20, 'MiB'),
  ];
};

export const machines1000: Benchmark = {
  name: 'machines-1000',
  about:
    '1,000 machines: inventory, protecting a third of them, and an hour of the planner in simulated time, against an hour of the simulated estate alone',
  run: async ({ quick }) => {
    const machines = quick ? 12 : 1_000;
    return [...(await overSocket(machines, quick ? 1 : 5)), ...(await plannerHour(machines, quick ? HOUR_MS / 20 : HOUR_MS))];
  },
};
