import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openNbd } from '../../../../adapters/nbd/client.ts';
import { startNbdkit } from '../../../../adapters/nbd/nbdkit.ts';
import type { NbdExport, NbdkitProcess, NbdkitSpec, StartNbdkitOptions } from '../../../../adapters/nbd/port.ts';
import { type DrError, isDrError } from '../../../../core/contract/errors.ts';
import { makeVddkStandin, VDDK_STANDIN } from '../../../support/nbdkit-vddk-standin.ts';
import { codeOf, errorOf, Folder, needTools, randomBytes, until } from './servers.ts';

const MiB = 1 << 20;
/** With signs that a shell, a URL and XML would each write in another way. */
const PASSWORD = `p4ss w0rd-&<'"$%`;
const THUMBPRINT = 'B2:31:BD:DE:9F:DB:9D:E0:78:EF:30:42:8A:41:B0:28:92:93:C8:DD';
const DISK = '[ssd 1] shop-db/shop-db.vmdk';

const quiet = { debug: () => undefined, warn: () => undefined };

/** What makes the test: the disk in two states, and a vCenter that knows it. */
class Estate extends Folder {
  readonly frozen: Uint8Array = randomBytes(MiB, 1);
  readonly current: Uint8Array = randomBytes(MiB, 2);

  constructor() {
    super();
    writeFileSync(this.file('frozen'), this.frozen);
    writeFileSync(this.file('current'), this.current);
    makeVddkStandin(this.file('vddk'), {
      password: PASSWORD,
      thumbprint: THUMBPRINT,
      disks: [
        { path: DISK, snapshotMoref: 'snapshot-7', raw: this.file('frozen') },
        { path: DISK, raw: this.file('current') },
      ],
    });
  }

  get scratch(): string {
    return this.file('scratch');
  }

  spec(changes: Partial<NbdkitSpec> = {}): NbdkitSpec {
    return {
      program: VDDK_STANDIN,
      vddkLibDir: this.file('vddk'),
      server: 'vcenter.example',
      user: 'backup@vsphere.local',
      password: PASSWORD,
      thumbprint: THUMBPRINT,
      vmMoref: 'vm-16',
      diskPath: DISK,
      readOnly: true,
      scratchDir: this.scratch,
      ...changes,
    };
  }

  start(changes: Partial<NbdkitSpec> = {}, options: Partial<StartNbdkitOptions> = {}): Promise<NbdkitProcess> {
    return startNbdkit(this.spec(changes), { signal: new AbortController().signal, deadlineMs: 10_000, log: quiet, ...options });
  }

  /** A program that takes the place of nbdkit. */
  program(name: string, ...lines: readonly string[]): string {
    writeFileSync(this.file(name), ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(this.file(name), 0o755);
    return this.file(name);
  }

  get left(): string[] {
    return existsSync(this.scratch) ? readdirSync(this.scratch) : [];
  }
}

const openAt = (nbdkit: NbdkitProcess, forWriting = false): Promise<NbdExport> =>
  openNbd(
    { socketPath: nbdkit.socketPath },
    { forWriting, signal: new AbortController().signal, explain: (error) => nbdkit.explain(error) },
  );

const readAll = async (nbd: NbdExport): Promise<Uint8Array> => {
  const into = new Uint8Array(nbd.sizeBytes);
  await nbd.read(0, into);
  return into;
};

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const dr = async (promise: Promise<unknown>): Promise<DrError> => {
  const error = await errorOf(promise);
  if (!isDrError(error)) throw new Error(`expected a DrError, not ${String(error)}`);
  return error;
};

describe('nbdkit with vddk', () => {
  before(function () {
    needTools(this, 'nbdkit');
  });

  it('serves the disk as it is in the snapshot, and leaves nothing behind', async () => {
    using estate = new Estate();
    const nbdkit = await estate.start({
      snapshotMoref: 'snapshot-7',
      transports: 'nbdssl:nbd',
      port: 443,
      extraArgs: ['compression=skipz'],
    });
    const nbd = await openAt(nbdkit);

    expect(equal(await readAll(nbd), estate.frozen)).to.equal(true);
    expect(nbd).to.include({ readOnly: true, minimumBlockBytes: 512 });
    expect(statSync(dirname(nbdkit.socketPath)).mode & 0o777).to.equal(0o700);
    await nbd[Symbol.asyncDispose]();
    await nbdkit[Symbol.asyncDispose]();

    expect(await nbdkit.ended).to.include({ code: 0, signal: null });
    expect(isAlive(nbdkit.pid)).to.equal(false);
    expect(estate.left).to.deep.equal([]);
  });

  it('writes to the disk itself, two disks at once', async () => {
    using estate = new Estate();
    await using writer = await estate.start({ readOnly: false });
    await using reader = await estate.start({ snapshotMoref: 'snapshot-7' });
    await using target = await openAt(writer, true);
    await using source = await openAt(reader);

    await target.write(0, await readAll(source));
    await target.flush();

    expect(equal(readFileSync(estate.file('current')), estate.frozen)).to.equal(true);
    expect(await codeOf(openAt(reader, true))).to.equal('PERMISSION_DENIED');
  });

  it('shows the password to nobody: not in arguments, environment, files or errors', async () => {
    using estate = new Estate();
    await using nbdkit = await estate.start({ snapshotMoref: 'snapshot-7' });
    const seen = (name: string): string => readFileSync(`/proc/${nbdkit.pid}/${name}`, 'latin1');

    expect(seen('cmdline')).to.include('nbdkit').and.not.to.include('p4ss');
    expect(seen('environ')).to.include('PATH=').and.not.to.include('p4ss');
    const files = readdirSync(dirname(nbdkit.socketPath));
    expect(files.sort()).to.deep.equal(['pid', 'socket']);

    const leaky = estate.program('leaky', `cat <&3 | sed 's/^/nbdkit: error: login with /' >&2`, 'exit 1');
    const error = await dr(estate.start({ program: leaky }));
    expect(error.message).to.include('login with ***').and.not.to.include('p4ss');
  });

  it('hands nothing of our own environment on but where to find things', async () => {
    using estate = new Estate();
    process.env['WARMSITE_TEST_SECRET'] = 'hush';
    try {
      await using nbdkit = await estate.start({ snapshotMoref: 'snapshot-7' });
      expect(readFileSync(`/proc/${nbdkit.pid}/environ`, 'latin1')).not.to.include('hush');
    } finally {
      delete process.env['WARMSITE_TEST_SECRET'];
    }
  });

  const refusals: readonly { readonly what: string; readonly code: string; readonly says: RegExp; readonly spec: Partial<NbdkitSpec> }[] = [
    { what: 'a wrong password', code: 'AUTH_REJECTED', says: /incorrect user name or password/, spec: { password: 'wrong' } },
    { what: 'another certificate', code: 'CERTIFICATE_UNTRUSTED', says: /actual thumbprint=B2:31/, spec: { thumbprint: '00:11' } },
    { what: 'a disk without its snapshot', code: 'PERMISSION_DENIED', says: /Error 13/, spec: { snapshotMoref: 'snapshot-8' } },
  ];
  for (const { what, code, says, spec } of refusals) {
    it(`explains ${what}, which the wire calls an unknown error`, async () => {
      using estate = new Estate();
      await using nbdkit = await estate.start(spec);
      const options = { forWriting: false, signal: new AbortController().signal };

      const bare = await dr(openNbd({ socketPath: nbdkit.socketPath }, options));
      const explained = await dr(openAt(nbdkit));

      expect(bare.code).to.be.oneOf(['PROTOCOL_ERROR', 'CONNECTION_LOST', 'NOT_FOUND']);
      expect(explained.code).to.equal(code);
      expect(explained.message).to.match(says).and.to.include(DISK);
    });
  }

  it('names what is not installed, with the way to install it', async () => {
    using estate = new Estate();
    rmSync(estate.file('vddk/lib64/libvixDiskLib.so.8'));

    const library = await dr(estate.start());
    const folder = await dr(estate.start({ vddkLibDir: '/no/such/vddk' }));
    const nbdkit = await dr(estate.start({ program: '/no/such/nbdkit' }));

    for (const error of [library, folder, nbdkit]) expect(error.code).to.equal('CONFIG_INVALID');
    expect(library.hint).to.include(`${estate.file('vddk')}/lib64`);
    expect(folder.hint).to.include('/no/such/vddk/lib64');
    expect(nbdkit.hint).to.include('apt-get install nbdkit');
    expect(estate.left).to.deep.equal([]);
  });

  it('names the plugin when the nbdkit of this machine has none', async function () {
    if (spawnSync('nbdkit', ['vddk', '--dump-plugin']).status === 0) this.skip();
    using estate = new Estate();

    const error = await dr(estate.start({ program: 'nbdkit' }));

    expect(error.code).to.equal('CONFIG_INVALID');
    expect(error.hint).to.include('nbdkit-plugin-vddk');
  });

  it('gives the last words of an nbdkit that dies at the start', async () => {
    using estate = new Estate();
    // More than is read at once, so that the last word is still in the pipe when the process has ended.
    const chatter = `yes 'nbdkit: debug: chatter' | head -c 150000 >&2`;
    const broken = estate.program('broken', chatter, 'printf "\\nnbdkit: error: out of luck" >&2', 'exit 3');

    const error = await dr(estate.start({ program: broken }));

    expect(error).to.include({ code: 'CONFIG_INVALID', message: `nbdkit did not start for ${DISK} (exit 3): nbdkit: error: out of luck` });
    expect(estate.left).to.deep.equal([]);
  });

  it('tells what was under way that nbdkit was killed, and cleans up after it', async () => {
    using estate = new Estate();
    const paused = estate.program(
      'paused',
      'while [ "$1" != vddk ]; do case $1 in --unix) u=$2 ;; --pidfile) p=$2 ;; esac; shift; done',
      'exec nbdkit --foreground --exit-with-parent --unix $u --pidfile $p --filter=delay memory 1M rdelay=60',
    );
    await using nbdkit = await estate.start({ program: paused });
    await using nbd = await openAt(nbdkit);

    const reads = [0, 4096, 8192].map((offset) => dr(nbd.read(offset, new Uint8Array(4096))));
    process.kill(nbdkit.pid, 'SIGKILL');

    for (const error of await Promise.all(reads)) {
      expect(error).to.include({ code: 'CONNECTION_LOST', message: `nbdkit for ${DISK} ended (SIGKILL)` });
    }
    expect(await nbdkit.ended).to.include({ code: null, signal: 'SIGKILL' });
    expect(estate.left).to.deep.equal([]);
  });

  it('waits for the last words of an nbdkit whose connection is gone', async () => {
    using estate = new Estate();
    const dying = estate.program(
      'dying',
      'while [ "$1" != vddk ]; do case $1 in --unix) u=$2 ;; --pidfile) p=$2 ;; esac; shift; done',
      'nbdkit --foreground --exit-with-parent --unix $u --pidfile $p eval get_size="echo 1M" pread="kill -9 \\$PPID; sleep 1"',
      'sleep 0.1; echo "nbdkit: vddk.3: error: out of luck" >&2; exit 4',
    );
    await using nbdkit = await estate.start({ program: dying });
    await using nbd = await openAt(nbdkit);

    const error = await dr(nbd.read(0, new Uint8Array(4096)));

    const message = `nbdkit for ${DISK} ended (exit 4): nbdkit: vddk.3: error: out of luck`;
    expect(error).to.include({ code: 'CONNECTION_LOST', message });
  });

  it('explains an error in the middle by what nbdkit says at the same time', async () => {
    using estate = new Estate();
    const failing = estate.program(
      'failing',
      'while [ "$1" != vddk ]; do case $1 in --unix) u=$2 ;; --pidfile) p=$2 ;; esac; shift; done',
      'exec nbdkit --foreground --exit-with-parent --unix $u --pidfile $p eval get_size="echo 1M" \\',
      '  pread="echo \'EIO [NFC ERROR] received NFC error 5 from server: Failed to allocate the requested 2097176 bytes\' >&2; exit 1"',
    );
    await using nbdkit = await estate.start({ program: failing });
    await using nbd = await openAt(nbdkit);

    expect(await dr(nbd.read(0, new Uint8Array(4096)))).to.include({ code: 'HOST_BUSY' });
  });

  it('leaves no process and no file when the start is aborted or takes too long', async () => {
    using estate = new Estate();
    const stuck = estate.program('stuck', `echo $$ >${estate.file('stuck-pid')}`, 'echo "nbdkit: error: thinking" >&2', 'exec sleep 60');
    const controller = new AbortController();

    const starting = codeOf(estate.start({ program: stuck }, { signal: controller.signal }));
    await until(() => existsSync(estate.file('stuck-pid')) && readFileSync(estate.file('stuck-pid'), 'utf8').endsWith('\n'));
    const pid = Number(readFileSync(estate.file('stuck-pid'), 'utf8'));
    expect(isAlive(pid)).to.equal(true);
    controller.abort(new Error('enough'));
    expect(await starting).to.equal('Error: enough');
    expect(isAlive(pid)).to.equal(false);
    expect(estate.left).to.deep.equal([]);

    const late = await dr(estate.start({ program: stuck }, { deadlineMs: 300 }));
    expect(late).to.include({ code: 'TIMED_OUT', message: `nbdkit did not listen after 300 ms for ${DISK}: nbdkit: error: thinking` });
    expect(estate.left).to.deep.equal([]);
    expect(await codeOf(estate.start({}, { signal: controller.signal }))).to.equal('Error: enough');
  });

  it('ends nbdkit when the engine is killed', async () => {
    using estate = new Estate();
    const script = `
      const { startNbdkit } = await import(${JSON.stringify(resolve('adapters/nbd/nbdkit.ts'))});
      const log = { debug: () => undefined, warn: () => undefined };
      const nbdkit = await startNbdkit(${JSON.stringify(estate.spec())}, { signal: new AbortController().signal, deadlineMs: 10000, log });
      console.log(nbdkit.pid);
      setInterval(() => undefined, 1000);`;
    const engine = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [line] = (await once(engine.stdout, 'data')) as [Buffer];
      const pid = Number(String(line));
      expect(isAlive(pid)).to.equal(true);

      engine.kill('SIGKILL');

      await until(() => !isAlive(pid));
    } finally {
      engine.kill('SIGKILL');
    }
  });

  it('kills only one that does not end when it is told to, and says so', async () => {
    using estate = new Estate();
    const stubborn = estate.program(
      'stubborn',
      'trap "" TERM',
      'while [ $# -gt 1 ]; do [ "$1" = --pidfile ] && echo $$ >"$2"; shift; done',
      'while :; do sleep 1; done',
    );
    const warnings: string[] = [];
    const log = { ...quiet, warn: (message: string) => void warnings.push(message) };
    const nbdkit = await estate.start({ program: stubborn }, { stopGraceMs: 50, log });

    await nbdkit[Symbol.asyncDispose]();

    expect(await nbdkit.ended).to.include({ signal: 'SIGKILL' });
    expect(warnings).to.deep.equal(['nbdkit does not end and is killed']);
    expect(estate.left).to.deep.equal([]);
  });

  it('refuses what it could not pass on whole', async () => {
    using estate = new Estate();
    const deep = join(estate.path, 'd'.repeat(100));
    mkdirSync(deep);

    expect(await codeOf(estate.start({ password: 'two\nlines' }))).to.equal('CONFIG_INVALID');
    expect(await codeOf(estate.start({ vmMoref: 'vm\0' }))).to.equal('CONFIG_INVALID');
    expect(await dr(estate.start({ scratchDir: deep }))).to.include({ code: 'CONFIG_INVALID' });
    expect(readdirSync(deep)).to.deep.equal([]);
  });
});
