// npm run sweep -- fault|kill [--points N] [--seed S] [--only TEXT] [--workers N]: last line "N points, N broken".
import { parseArgs } from 'node:util';
import { callsOf, pointsOf, SCRIPTS, type SweepPoint, sweepPoint } from './fault.ts';
import { sweepKills } from './kill.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    points: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    call: { type: 'string' },
    workers: { type: 'string', default: '2' },
  },
});

const report = (points: number, broken: number): void => {
  process.stdout.write(`${points} points, ${broken} broken\n`);
  process.exitCode = broken > 0 ? 1 : 0;
};

const sweepFaults = async (): Promise<void> => {
  const seed = Number(values.seed);
  const scripts = SCRIPTS.filter((script) => script.name.includes(values.only ?? ''));
  const plan: SweepPoint[] = [];
  for (const script of scripts) {
    const calls = await callsOf(script, seed);
    const found = pointsOf(script, calls);
    process.stdout.write(`${script.name}: ${calls.length} calls, ${found.length} points\n`);
    plan.push(...found.filter(({ call }) => !values.call || Number(values.call) === call));
  }
  const wanted = values.points ? Number(values.points) : plan.length;
  const step = Math.max(1, plan.length / wanted);
  let points = 0;
  let broken = 0;
  for (let at = (seed * 7) % step; at < plan.length; at += step) {
    const entry = plan[Math.floor(at)];
    if (!entry) break;
    points += 1;
    const found = await sweepPoint(entry, seed);
    if (!found) continue;
    broken += 1;
    process.stdout.write(
      `BROKEN ${found.script} ${JSON.stringify(found.mode)} call ${found.call} (${found.at})\n  ${found.problems.join('\n  ')}\n`,
    );
  }
  report(points, broken);
};

const sweepKilling = async (): Promise<void> => {
  const ending = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
  const found = await sweepKills({
    points: Number(values.points ?? 100),
    seed: Number(values.seed),
    workers: Number(values.workers),
    say: (line) => process.stdout.write(`${line}\n`),
    signal: ending.signal,
  });
  process.stdout.write(`${found.resumed} jobs went on after their engine was killed; slowest answer ${found.slowestAnswerMs} ms\n`);
  report(found.points, found.broken);
};

const [kind] = positionals;
if (kind === 'fault') await sweepFaults();
else if (kind === 'kill') await sweepKilling();
else {
  process.stderr.write('usage: npm run sweep -- fault|kill [--points N] [--seed S] [--only TEXT] [--workers N]\n');
  process.exitCode = 2;
}
