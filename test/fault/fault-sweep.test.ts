// The sweep of npm run sweep -- fault, thinned out to what CI has time for, on both cores.
import { spawn } from 'node:child_process';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const POINTS = Number(process.env['SWEEP_POINTS'] ?? 2_000);

const sweep = (seed: number, points: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['test/sweep/main.ts', 'fault', '--points', String(points), '--seed', String(seed)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });

describe('the fault sweep', () => {
  it('finds no broken rule after crashes and failures at calls of store, files and plugins, for every verb', async function () {
    this.timeout(20 * 60_000);
    const texts = await Promise.all([sweep(1, Math.ceil(POINTS / 2)), sweep(2, Math.floor(POINTS / 2))]);

    const ends = texts.map((text) => text.trimEnd().split('\n').at(-1) ?? '');
    process.stdout.write(`      ${ends.join('; ')}\n`);
    // With the lines that say what is broken: another machine may not choose the same points.
    const broken = texts.flatMap((text) => text.match(/^BROKEN .*(?:\n {2}.*)*/gm) ?? []);
    expect(broken).to.have.length(0, broken.join('\n'));
    for (const end of ends) expect(end).to.match(/^\d{3,} points, 0 broken$/);
  });
});
