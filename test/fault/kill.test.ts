// The sweep of npm run sweep -- kill, thinned out to what CI has time for.
import { spawn } from 'node:child_process';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const POINTS = Number(process.env['KILL_POINTS'] ?? 8);

const sweep = (points: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['test/sweep/main.ts', 'kill', '--points', String(points), '--seed', '3'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });

describe('the kill sweep', () => {
  it('goes on within 2 s after kill -9 at random moments of the main job, loses nothing and leaves nothing behind', async function () {
    this.timeout(10 * 60_000);
    const text = await sweep(POINTS);

    expect(text.split('\n').filter((line) => line.startsWith('BROKEN'))).to.deep.equal([], text);
    expect(Number(/^(\d+) jobs went on/m.exec(text)?.[1]), 'kills that hit a job').to.be.at.least(1);
    const points = Number(/^(\d+) points, 0 broken$/.exec(text.trimEnd().split('\n').at(-1) ?? '')?.[1]);
    expect(points).to.be.at.least(POINTS);
  });
});
