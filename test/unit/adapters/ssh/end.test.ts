import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createOpenSsh, openSsh } from '../../../../adapters/ssh/client.ts';
import { isDrError } from '../../../../core/contract/errors.ts';
import { needSshd, Sshd } from '../../../support/sshd.ts';
import { codeOf, collect, handles, openAt, say, sayOnceFree, targetAt, until } from './servers.ts';

const MiB = 1 << 20;
const openQuickly = createOpenSsh({ keepaliveMs: 50 });

describe('the end of an SSH connection', () => {
  before(function () {
    needSshd(this);
  });

  const ends = [
    { title: 'whose server is killed', signal: 'SIGKILL', says: /was lost/ },
    { title: 'whose server falls silent', signal: 'SIGSTOP', says: /nothing was heard for 0.15 s/ },
  ] as const;
  for (const { title, signal, says } of ends) {
    it(`reaches all that is under way on one ${title}`, async () => {
      await using sshd = await Sshd.start();
      await using client = await openAt(sshd, {}, openQuickly);
      const talking = await client.exec('cat /dev/zero');
      const listening = await client.exec('sleep 60');
      const idle = await client.exec('cat');
      const reading = codeOf(collect(talking.stdout));
      const writing = codeOf(pipeline([Buffer.alloc(64 * MiB)], listening.stdin));
      const putting = codeOf(client.putFile(sshd.file('part'), Buffer.alloc(64 * MiB)));
      await once(talking.stdout, 'data');
      const lost = once(client.lost, 'abort');

      sshd.signal(signal);
      const starting = codeOf(client.exec('true'));
      await lost;

      expect(client.lost.reason).to.satisfy((reason: unknown) => isDrError(reason, 'CONNECTION_LOST') && says.test(reason.message));
      expect(await Promise.all([reading, writing, putting, starting])).to.deep.equal(Array(4).fill('CONNECTION_LOST'));
      expect(await Promise.all([talking, listening, idle].map(({ ended }) => ended))).to.deep.equal([{}, {}, {}]);
      expect(await codeOf(collect(idle.stdout))).to.equal('CONNECTION_LOST');
      expect(await codeOf(client.exec('true'))).to.equal('CONNECTION_LOST');
      expect(await codeOf(client.readFile('/etc/hostname'))).to.equal('CONNECTION_LOST');
    });
  }

  it('is not seen in a server that only has nothing to say, or much to take', async () => {
    await using sshd = await Sshd.start();
    await using client = await openAt(sshd, {}, openQuickly);

    // 20 intervals without a word from the command.
    expect((await say(client, 'sleep 1; echo on')).out).to.equal('on\n');

    const process = await client.exec('sleep 1; wc -c');
    process.stdin.end(Buffer.alloc(4 * MiB));
    expect((await collect(process.stdout)).toString().trim()).to.equal(String(4 * MiB));
    expect(client.lost.aborted).to.equal(false);
  });

  it('leaves output that came in full before it', async () => {
    await using sshd = await Sshd.start({ config: ['MaxSessions 1'] });
    await using client = await openAt(sshd);
    const process = await client.exec('echo all');
    await once(process.stdout, 'readable');
    // Its end is in once the server has room for the next one.
    expect(await sayOnceFree(client, 'echo next')).to.equal('next\n');

    await client[Symbol.asyncDispose]();

    expect((await collect(process.stdout)).toString()).to.equal('all\n');
  });

  it('comes by disposing, for all that is under way, as often as one likes', async () => {
    await using sshd = await Sshd.start();
    const client = await openAt(sshd);
    const process = await client.exec('cat');
    const reading = codeOf(collect(process.stdout));

    await Promise.all([client[Symbol.asyncDispose](), client[Symbol.asyncDispose]()]);

    expect(await reading).to.equal('CONNECTION_LOST');
    expect(await process.ended).to.deep.equal({});
    expect(client.lost.aborted).to.equal(true);
    expect(await codeOf(client.exec('true'))).to.equal('CONNECTION_LOST');
    await until(() => sshd.running('cat').length === 0);
  });

  it('comes by disposing when the server is frozen, too', async () => {
    await using sshd = await Sshd.start();
    const client = await openAt(sshd);
    sshd.signal('SIGSTOP');

    await client[Symbol.asyncDispose]();

    expect(client.lost.aborted).to.equal(true);
  });

  it('leaves nothing open, however the connection went', async () => {
    await using sshd = await Sshd.start();
    const before = handles();
    const enough = new AbortController();

    const client = await openAt(sshd);
    await client.exec('cat');
    await client.putFile(sshd.file('x'), Buffer.from('x'));
    await client[Symbol.asyncDispose]();
    await codeOf(openAt(sshd, { pin: 'ab'.repeat(32) }));
    await codeOf(openSsh(targetAt(sshd), { deadlineMs: 1 }));
    const aborted = codeOf(openSsh(targetAt(sshd), { signal: enough.signal }));
    enough.abort(new Error('enough'));

    expect(await aborted).to.equal('Error: enough');
    await until(() => handles().length <= before.length);
  });

  it('lets the process end by itself', async () => {
    await using sshd = await Sshd.start();
    const script = `
      const { openSsh } = await import(${JSON.stringify(resolve('adapters/ssh/client.ts'))});
      const client = await openSsh(${JSON.stringify(targetAt(sshd))});
      const child = await client.exec('cat');
      await client.putFile(${JSON.stringify(sshd.file('y'))}, Buffer.from('y'));
      await client[Symbol.asyncDispose]();
      console.log('disposed');`;
    const engine = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [[code], out] = await Promise.all([once(engine, 'exit'), collect(engine.stdout)]);

      expect([code, out.toString()]).to.deep.equal([0, 'disposed\n']);
    } finally {
      engine.kill('SIGKILL');
    }
  });

  it('comes at every moment of opening when the caller has had enough', async () => {
    await using sshd = await Sshd.start();
    for (let ms = 0; ms <= 60; ms += 4) {
      const outcome = await openSsh(targetAt(sshd), { signal: AbortSignal.timeout(ms) }).then(
        async (client) => client[Symbol.asyncDispose](),
        (error: unknown) => error,
      );
      expect(outcome === undefined || (outcome instanceof DOMException && outcome.name === 'TimeoutError'), String(outcome)).to.equal(true);
    }
    await until(() => sshd.children.length === 0);
  });
});
