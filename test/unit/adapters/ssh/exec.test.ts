import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { SshClient } from '../../../../adapters/ssh/port.ts';
import { errorOf } from '../../../support/errors.ts';
import { needSshd, Sshd } from '../../../support/sshd.ts';
import { codeOf, collect, openAt, say, sayOnceFree, until } from './servers.ts';

const MiB = 1 << 20;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('a command over SSH', () => {
  let sshd: Sshd;
  let client: SshClient;

  before(async function () {
    needSshd(this);
    sshd = await Sshd.start({ config: ['MaxSessions 40'] });
    client = await openAt(sshd);
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
    await sshd?.[Symbol.asyncDispose]();
  });

  it('has its output, its errors and its exit code apart', async () => {
    const process = await client.exec('echo out; echo err >&2; cat; exit 7');
    process.stdin.end('in');

    const [out, err] = await Promise.all([collect(process.stdout), collect(process.stderr)]);

    expect([out.toString(), err.toString()]).to.deep.equal(['out\nin', 'err\n']);
    expect(await process.ended).to.deep.equal({ code: 7 });
  });

  it('tells the signal that ended it', async () => {
    expect(await say(client, 'kill -KILL $$')).to.deep.equal({ out: '', signal: 'SIGKILL' });
  });

  it('ends though nobody reads what it says', async () => {
    const process = await client.exec('echo unread; exit 3');

    expect(await process.ended).to.deep.equal({ code: 3 });
  });

  it('brings 64 MiB there and back unchanged, also when the keys are exchanged anew on the way', async () => {
    await using rekeying = await Sshd.start({ config: ['RekeyLimit 8M'] });
    await using other = await openAt(rekeying);
    const content = randomBytes(64 * MiB);
    for (const over of [client, other]) {
      const process = await over.exec('cat');
      const digest = createHash('sha256');
      let length = 0;

      await Promise.all([
        pipeline([content], process.stdin),
        (async () => {
          for await (const chunk of process.stdout) {
            length += chunk.length;
            digest.update(chunk);
          }
        })(),
      ]);

      expect(length).to.equal(content.length);
      expect(digest.digest('hex')).to.equal(sha256(content));
      expect(await process.ended).to.deep.equal({ code: 0 });
    }
  }).timeout(60_000);

  it('makes the sender wait while the reader does', async () => {
    const process = await client.exec('cat');
    let sent = 0;
    process.stdin.on('error', () => undefined);
    const chunk = randomBytes(MiB);
    const fill = (): void => {
      while (process.stdin.write(chunk)) sent += chunk.length;
      sent += chunk.length;
    };
    process.stdin.on('drain', fill);
    fill();
    // Until nothing moves any more: then pipes and windows are full.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await say(client, 'sleep 0.1');
    }

    expect(sent).to.be.lessThan(16 * MiB);
    process.stdin.off('drain', fill);
    process.stdin.end();
    expect((await collect(process.stdout)).length).to.equal(sent);
  });

  it('lets no more pile up here than a reader takes', async () => {
    const process = await client.exec('cat /dev/zero');
    await once(process.stdout, 'readable');
    process.stdout.read();

    await say(client, 'sleep 0.3');

    expect(process.stdout.readableLength).to.be.lessThan(MiB);
    process.kill();
  });

  it('goes on when nobody wants its output any more', async () => {
    const process = await client.exec(`head -c ${8 * MiB} /dev/zero; echo done >&2`);
    process.stdout.destroy();

    expect((await collect(process.stderr)).toString()).to.equal('done\n');
  });

  it('takes many errors beside much output', async () => {
    const process = await client.exec(`head -c ${8 * MiB} /dev/zero; head -c ${8 * MiB} /dev/zero >&2; echo end`);

    const [out, err] = await Promise.all([collect(process.stdout), collect(process.stderr)]);

    expect([out.length, err.length]).to.deep.equal([8 * MiB + 4, 8 * MiB]);
  });

  it('runs beside 19 others on one connection', async () => {
    const contents = Array.from({ length: 20 }, () => randomBytes(MiB));

    const ends = await Promise.all(
      contents.map(async (content) => {
        const process = await client.exec('sha256sum');
        process.stdin.end(content);
        return (await collect(process.stdout)).toString().slice(0, 64);
      }),
    );

    expect(ends).to.deep.equal(contents.map(sha256));
  });

  it('has a busy host when the server opens no more sessions', async () => {
    await using small = await Sshd.start({ config: ['MaxSessions 1'] });
    await using only = await openAt(small);
    const first = await only.exec('cat');

    const error = await errorOf(only.exec('true'));
    const file = await codeOf(only.readFile('/etc/hostname'));
    first.stdin.end();
    first.stdout.resume();
    await first.ended;

    expect(error.code).to.equal('HOST_BUSY');
    expect(error.hint).to.include('MaxSessions');
    expect(file).to.equal('HOST_BUSY');
    expect(await sayOnceFree(only, 'echo again')).to.equal('again\n');
  });

  it('is cut off by kill, which frees its place', async () => {
    await using small = await Sshd.start({ config: ['MaxSessions 1'] });
    await using only = await openAt(small);
    const process = await only.exec('cat /dev/zero');
    await new Promise((done) => process.stdout.once('data', done));

    process.kill();

    expect(await process.ended).not.to.have.property('code');
    expect(await codeOf(collect(process.stdout))).to.equal('ABORTED');
    expect(await sayOnceFree(only, 'echo next')).to.equal('next\n');
  });

  it('tells whoever still writes that it has ended', async () => {
    const process = await client.exec('head -c 10 >/dev/null');

    const outcome = await codeOf(pipeline([randomBytes(8 * MiB)], process.stdin));

    expect(outcome).to.not.equal('none');
    expect(await process.ended).to.deep.equal({ code: 0 });
  });

  it('is not started once it was aborted', async () => {
    const controller = new AbortController();
    const starting = codeOf(client.exec('cat', { signal: controller.signal }));
    controller.abort(new Error('enough'));

    expect(await starting).to.equal('Error: enough');
    expect(await codeOf(client.exec('cat', { signal: controller.signal }))).to.equal('Error: enough');
    // sshd has started it by the time that it answers the next one.
    await say(client, 'true');
    await until(() => sshd.running('cat').length === 0);
  });

  it('is late when the server does not answer', async () => {
    await using frozen = await Sshd.start();
    await using other = await openAt(frozen);
    frozen.signal('SIGSTOP');

    const error = await errorOf(other.exec('true', { deadlineMs: 100 }));
    frozen.signal('SIGCONT');

    expect(error).to.include({ code: 'TIMED_OUT' });
    expect(error.context).to.deep.equal({ deadlineMs: 100 });
    expect((await say(other, 'echo back')).out).to.equal('back\n');
  });
});
