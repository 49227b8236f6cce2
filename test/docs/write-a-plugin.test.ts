import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { codeBlocks, ROOT, readPage, sessionOf } from './page.ts';
import { ShelfWorld } from './shelf-engine.ts';

const BLOCKS = codeBlocks(readPage('docs/integrator/write-a-plugin.md'));

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const node = (...args: readonly string[]): Promise<Ran> =>
  promisify(execFile)(process.execPath, args, { cwd: ROOT }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: Ran) => ({ code, stdout, stderr }),
  );

/** How long it took is the one thing that differs from run to run. */
const shape = (line: string): string => line.replace(/, [\d.]+ s$/, ', N s');

const sector = (text: string): Uint8Array => Buffer.from(text.padEnd(512, '.'));

describe('the plugin of the tutorial', () => {
  let folder = '';
  before(async () => {
    // In the tree of the project, so that `warmsite/contract` is found; hidden, so that no other run takes it for its own.
    folder = await mkdtemp(join(import.meta.dirname, '.tutorial-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('passes what each step of the page says', async function () {
    this.timeout(180_000);
    const checks: string[] = [];
    for (const block of BLOCKS) {
      if (block.language === 'ts') await writeFile(join(folder, block.note), block.text);
      for (const { command, output } of block.language === 'console' ? sessionOf(block) : []) {
        const args = /^warmsite (.*)$/.exec(command)?.[1]?.split(' ') ?? [];
        const ran = await node(join(ROOT, 'cli', 'bin.js'), ...args.map((word) => (word === './shelf-plugin' ? folder : word)));
        expect(ran.code, `${command}\n${ran.stdout}${ran.stderr}`).to.equal(0);
        expect(ran.stdout.split('\n').map(shape), command).to.include.members(output.map(shape));
        checks.push(command);
      }
    }
    expect(checks).to.include('warmsite plugin check ./shelf-plugin --level 0 --level 1 --level 2 --level 3');
  });

  it('compiles under the strict settings of the project', async function () {
    this.timeout(180_000);
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), include: ['./*.ts'] }));

    const { stdout } = await node(join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder, '--noEmit');

    expect(stdout).to.equal('');
  });

  it('carries a machine from one shelf to another and back, byte for byte', async function () {
    this.timeout(180_000);
    await using world = await ShelfWorld.create(folder, 'ledger');
    const ledger = { target: 'ledger' };

    await world.write('site-a', 'ledger', sector('first'));
    await world.do('protect', { machines: ['ledger'], to: 'site-b' });
    await world.write('site-a', 'ledger', sector('second'));
    await world.do('sync.now', ledger);
    await world.do('failover.test', ledger);
    expect(await world.machines('site-b')).to.include('ledger (test) is on');
    await world.do('failover.cleanup', ledger);
    expect(await world.machines('site-b')).to.deep.equal(['another machine is off', 'ledger is off']);

    await world.write('site-a', 'ledger', sector('third'));
    await world.do('failover.planned', ledger);
    await world.do('failover.commit', ledger);
    expect(await world.machines('site-b')).to.include('ledger is on');
    expect(await world.read('site-b', 'ledger', 5)).to.deep.equal(['third', 'third']);

    await world.write('site-b', 'ledger', sector('fourth'));
    await world.do('failback', ledger);
    expect(await world.machines('site-a')).to.deep.equal(['ledger is on']);
    expect(await world.read('site-a', 'ledger', 6)).to.deep.equal(['fourth', 'fourth']);
  });
});
