import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { SshClient } from '../../../../adapters/ssh/port.ts';
import { errorOf } from '../../../support/errors.ts';
import { needSshd, Sshd } from '../../../support/sshd.ts';
import { codeOf, openAt, say, sayOnceFree, until } from './servers.ts';

const MiB = 1 << 20;

const equal = (a: Uint8Array | undefined, b: Uint8Array): boolean => a !== undefined && Buffer.compare(a, b) === 0;

describe('files over SSH', () => {
  let sshd: Sshd;
  let client: SshClient;

  before(async function () {
    needSshd(this);
    sshd = await Sshd.start();
    client = await openAt(sshd);
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
  });

  const folder = (name: string): string => {
    mkdirSync(sshd.file(name));
    return sshd.file(name);
  };

  for (const size of [0, 1, 32 << 10, (32 << 10) + 1, 5 * MiB + 17]) {
    it(`come back as they were written: ${size} bytes`, async () => {
      const content = randomBytes(size);
      const path = sshd.file(`of-${size}`);

      await client.putFile(path, content);

      expect(equal(readFileSync(path), content)).to.equal(true);
      expect(equal(await client.readFile(path), content)).to.equal(true);
    });
  }

  it('are written in folders that are made on the way, by two at once', async () => {
    const path = (name: string): string => sshd.file(`deep/er/${name}`);

    await Promise.all(['a', 'b'].map((name) => client.putFile(path(name), Buffer.from(name))));

    expect(['a', 'b'].map((name) => readFileSync(path(name), 'utf8'))).to.deep.equal(['a', 'b']);
  });

  it('have names with any sign', async () => {
    const path = `${folder('signs')}/ä 'b' "c" $(d) ; e * \\ f\n`;

    await client.putFile(path, Buffer.from('x'));

    expect(readFileSync(path, 'utf8')).to.equal('x');
    expect((await client.readFile(path))?.length).to.equal(1);
  });

  it('take the place of older ones in one step, so that a reader has the one or the other', async () => {
    const path = `${folder('replaced')}/file`;
    const versions = [1, 2, 3].map((fill) => Buffer.alloc(MiB, fill));
    await client.putFile(path, versions[0]!);
    let isOver = false;
    const seen = new Set<number>();
    const reading = (async () => {
      while (!isOver) {
        const content = await client.readFile(path);
        seen.add(content!.every((byte) => byte === content![0]) && content!.length === MiB ? content![0]! : -1);
      }
    })();

    for (const version of versions) await client.putFile(path, version);
    isOver = true;
    await reading;

    expect([...seen].every((fill) => fill > 0)).to.equal(true);
    expect(readdirSync(sshd.file('replaced'))).to.deep.equal(['file']);
  });

  it('take the place of a link, not of what it points to', async () => {
    const path = folder('linked');
    writeFileSync(`${path}/other`, 'other');
    symlinkSync(`${path}/other`, `${path}/file`);

    await client.putFile(`${path}/file`, Buffer.from('new'));

    expect(readFileSync(`${path}/other`, 'utf8')).to.equal('other');
    expect(readFileSync(`${path}/file`, 'utf8')).to.equal('new');
  });

  it('are undefined when there are none', async () => {
    expect(await client.readFile(sshd.file('none'))).to.equal(undefined);
    expect(await client.readFile(sshd.file('no/such/folder'))).to.equal(undefined);
  });

  it('are not read when they are a folder or larger than such a file can be', async () => {
    writeFileSync(sshd.file('huge'), '');
    truncateSync(sshd.file('huge'), 1024 * MiB);

    expect(await codeOf(client.readFile(sshd.file('huge')))).to.equal('STATE_CONFLICT');
    expect(await codeOf(client.readFile(sshd.folder))).to.equal('STATE_CONFLICT');
    expect(await codeOf(client.putFile(folder('a-folder'), Buffer.from('x')))).to.equal('STATE_CONFLICT');
    expect(readdirSync(sshd.folder).filter((name) => name.endsWith('.part'))).to.deep.equal([]);
  });

  it('are refused where the path is none', async () => {
    for (const path of ['', 'folder/', 'a\0b']) expect(await codeOf(client.putFile(path, Buffer.from('x')))).to.equal('INTERNAL');
    writeFileSync(sshd.file('plain'), '');
    expect(await codeOf(client.putFile(sshd.file('plain/below'), Buffer.from('x')))).to.equal('STATE_CONFLICT');
  });

  it('leave nothing behind in a file system that is full, and say how much is free', async function () {
    const path = folder('small');
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', path]);
    if (mounted.status !== 0) {
      this.test!.title += ' [needs the right to mount a tmpfs]';
      this.skip();
    }
    try {
      await client.putFile(`${path}/file`, Buffer.from('old'));

      const error = await errorOf(client.putFile(`${path}/file`, randomBytes(2 * MiB)));

      expect(error.code).to.equal('TARGET_FULL');
      expect(error.context.needBytes).to.equal(2 * MiB);
      expect(error.context.freeBytes).to.be.lessThan(MiB);
      expect(readdirSync(path)).to.deep.equal(['file']);
      expect(readFileSync(`${path}/file`, 'utf8')).to.equal('old');
    } finally {
      spawnSync('umount', [path]);
    }
  });

  it('leave nothing behind when they are aborted in the middle', async () => {
    const path = folder('aborted');
    const controller = new AbortController();
    const writing = codeOf(client.putFile(`${path}/file`, randomBytes(32 * MiB), { signal: controller.signal }));
    await until(() => readdirSync(path).length > 0 && statSync(`${path}/${readdirSync(path)[0]}`).size > 0);

    controller.abort(new Error('enough'));

    expect(await writing).to.equal('Error: enough');
    await until(() => readdirSync(path).length === 0);
    expect((await say(client, 'echo on')).out).to.equal('on\n');
    expect(await codeOf(client.putFile(`${path}/file`, Buffer.from('x'), { signal: controller.signal }))).to.equal('Error: enough');
  });

  it('are late when the server does not answer', async () => {
    await using frozen = await Sshd.start();
    await using other = await openAt(frozen);
    frozen.signal('SIGSTOP');

    const [put, read] = await Promise.all([
      codeOf(other.putFile(frozen.file('late'), Buffer.from('x'), { deadlineMs: 100 })),
      codeOf(other.readFile(frozen.file('late'), { deadlineMs: 100 })),
    ]);
    frozen.signal('SIGCONT');

    expect([put, read]).to.deep.equal(['TIMED_OUT', 'TIMED_OUT']);
    expect((await say(other, 'echo back')).out).to.equal('back\n');
    expect(existsSync(frozen.file('late'))).to.equal(false);
  });

  const noSftp = [
    { title: 'has no SFTP', config: [], subsystem: false },
    { title: 'starts something that is not there', config: ['Subsystem sftp /no/such/server'], subsystem: true },
    { title: 'has a shell that talks', config: ['Subsystem sftp echo "Welcome to this host, have a nice day"; cat'], subsystem: true },
  ];
  for (const { title, config, subsystem } of noSftp) {
    it(`are refused by a server that ${title}, and cost it no session each time`, async () => {
      await using server = await Sshd.start({ config: ['MaxSessions 2', ...config], sftp: subsystem });
      await using other = await openAt(server);

      for (let n = 0; n < 4; n++) expect(await codeOf(other.readFile('/etc/hostname'))).to.equal('CAPABILITY_MISSING');

      expect(await sayOnceFree(other, 'echo on')).to.equal('on\n');
    });
  }

  it('are replaced by a server without posix-rename, too', async () => {
    await using server = await Sshd.start({ config: [`Subsystem sftp /usr/lib/openssh/sftp-server -P posix-rename`] });
    await using other = await openAt(server);
    const path = server.file('file');

    for (const text of ['first', 'second']) await other.putFile(path, Buffer.from(text));

    expect(readFileSync(path, 'utf8')).to.equal('second');
  });

  it('end with the session when its server is killed, and the connection goes on', async () => {
    await using server = await Sshd.start({ config: ['Subsystem sftp /usr/lib/openssh/sftp-server'] });
    await using other = await openAt(server);
    const path = server.file('folder');
    mkdirSync(path);
    const writing = codeOf(other.putFile(`${path}/file`, randomBytes(32 * MiB)));
    await until(() => readdirSync(path).length > 0);

    for (const pid of server.running('sftp-server')) process.kill(pid, 'SIGKILL');
    const killed = performance.now();
    const code = await writing;

    // At once: it does not wait for the answers to its cleaning up.
    expect(performance.now() - killed).to.be.lessThan(1500);

    expect(code).to.equal('CONNECTION_LOST');
    expect(existsSync(`${path}/file`)).to.equal(false);
    expect((await say(other, 'echo on')).out).to.equal('on\n');
  });
});
