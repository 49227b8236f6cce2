import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { codeBlocks, ROOT, readPage, sessionOf } from './page.ts';

const PAGE = 'docs/integrator/write-a-plugin.md';

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

describe('the tutorial of the plugin', () => {
  it('builds a plugin that compiles and passes what each step says', async function () {
    this.timeout(120_000);
    // In the tree of the project, so that `warmsite/contract` is found; hidden, so that no other run takes it for its own.
    const folder = await mkdtemp(join(import.meta.dirname, '.tutorial-'));
    try {
      const checks: string[] = [];
      for (const block of codeBlocks(readPage(PAGE))) {
        if (block.language === 'ts') await writeFile(join(folder, block.note), block.text);
        for (const { command, output } of block.language === 'console' ? sessionOf(block) : []) {
          const args = /^warmsite (.*)$/.exec(command)?.[1]?.split(' ') ?? [];
          const ran = await node(join(ROOT, 'cli', 'bin.js'), ...args.map((word) => (word === './shelf-plugin' ? folder : word)));
          expect(ran.code, `${command}\n${ran.stdout}${ran.stderr}`).to.equal(0);
          expect(ran.stdout.split('\n').map(shape), command).to.include.members(output.map(shape));
          checks.push(command);
        }
      }
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), include: ['./*.ts'] }));
      const compiled = await node(join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder, '--noEmit');

      expect(compiled.stdout).to.equal('');
      expect(checks).to.include('warmsite plugin check ./shelf-plugin --level 0 --level 1 --level 2 --level 3');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
