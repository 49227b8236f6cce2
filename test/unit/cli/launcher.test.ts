import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const BIN = resolve('cli/bin.js');

const majorOf = (node: string): number =>
  Number.parseInt(spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout ?? '', 10);

/** A Node that cannot run the program itself: the system's, on the machines that this is for. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => majorOf(path) < 24);

const runOn = (node: string, bin: string, ...args: readonly string[]): SpawnSyncReturns<string> =>
  spawnSync(node, [bin, ...args], { encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } });

describe('launcher', () => {
  it('runs the program in its own process on a Node that can', () => {
    const { status, stdout } = runOn(process.execPath, BIN, '--version');

    expect(status).to.equal(0);
    expect(stdout).to.match(/^\d+\.\d+\.\d+\n$/);
  });

  describe('on an older Node', () => {
    before(function () {
      if (!oldNode) {
        // Named, so that it is seen what was not proven: apt-get install nodejs gives one.
        this.test!.title = 'needs a Node before 24 at /usr/bin/node (apt-get install nodejs)';
        this.skip();
      }
    });

    it('runs the pinned Node, passes the arguments on and gives its exit code back', () => {
      const version = runOn(oldNode!, BIN, 'version', '-o', 'json');
      const wrong = runOn(oldNode!, BIN, 'statsu');

      expect(JSON.parse(version.stdout)).to.have.nested.property('data.node', process.version);
      expect(wrong.status).to.equal(2);
      expect(wrong.stderr).to.include('did you mean status?');
    });

    it('passes a signal on and ends as the program does', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'ws-bin-'));
      const child = spawn(oldNode!, [BIN, 'serve', '--home', join(folder, 'home')], { stdio: ['ignore', 'pipe', 'pipe'] });
      try {
        const [line] = (await once(child.stdout, 'data')) as [Buffer];
        child.kill('SIGTERM');
        const [code] = (await once(child, 'exit')) as [number];

        expect(String(line)).to.include('ready: engine of');
        expect(code).to.equal(0);
      } finally {
        child.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      }
    });

    it('says in one line what is missing when there is no pinned Node', () => {
      const folder = mkdtempSync(join(tmpdir(), 'ws-bin-'));
      try {
        mkdirSync(join(folder, 'cli'));
        writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
        copyFileSync(BIN, join(folder, 'cli', 'bin.js'));

        const { status, stdout, stderr } = runOn(oldNode!, join(folder, 'cli', 'bin.js'), 'status');

        expect(status).to.equal(2);
        expect(stdout).to.equal('');
        expect(stderr).to.match(/^error: warmsite needs Node 24 or newer, this is v\d+.*\n$/);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
});
