import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createOpenSsh } from '../../../../adapters/ssh/client.ts';
import type { SshTarget } from '../../../../adapters/ssh/port.ts';
import { errorOf } from '../../../support/errors.ts';
import { freePort, makeKey, needSshd, Sshd } from '../../../support/sshd.ts';
import { codeOf, collect, handles, openAt, say, targetAt, until } from './servers.ts';

const openQuickly = createOpenSsh({ keepaliveMs: 50 });

describe('an SSH server behind a jump host', () => {
  let jump: Sshd;
  let inner: Sshd;

  before(async function () {
    needSshd(this);
    jump = await Sshd.start();
    inner = await Sshd.start({ listen: '::1' });
  });
  after(async () => {
    await inner?.[Symbol.asyncDispose]();
    await jump?.[Symbol.asyncDispose]();
  });

  const behind = (changes: Partial<SshTarget> = {}, jumpChanges: Partial<SshTarget> = {}): Partial<SshTarget> => ({
    jump: targetAt(jump, jumpChanges),
    ...changes,
  });

  it('is reached through it, each with its own keys', async () => {
    await using client = await openAt(inner, behind());

    expect(client.fingerprint).to.equal(inner.pin);
    expect(client.address).to.equal(inner.address);
    expect((await say(client, 'echo in; echo $SSH_CONNECTION')).out).to.include('in\n::1 ');
    await client.putFile(inner.file('x'), Buffer.from('x'));
  });

  it('is reached through two', async () => {
    await using second = await Sshd.start();

    await using client = await openAt(inner, behind({}, { ...targetAt(second), jump: targetAt(jump) }));

    expect((await say(client, 'echo in')).out).to.equal('in\n');
  });

  it('fails with the name of the hop that failed', async () => {
    const stranger = makeKey(jump.file('stranger'));
    const innerName = `[::1]:${inner.port}`;
    const jumpName = `[127.0.0.1]:${jump.port}`;
    const rows = [
      { target: behind({}, { pin: 'ab'.repeat(32) }), code: 'HOST_KEY_MISMATCH', names: `the jump host ${jumpName}` },
      { target: behind({}, { keyFile: stranger }), code: 'AUTH_REJECTED', names: `the jump host ${jumpName}` },
      { target: behind({}, { address: `127.0.0.1:${await freePort()}` }), code: 'CONNECTION_REFUSED', names: 'the jump host' },
      { target: behind({ pin: 'ab'.repeat(32) }), code: 'HOST_KEY_MISMATCH', names: `the SSH server at ${innerName} behind ${jumpName}` },
      { target: behind({ keyFile: stranger }), code: 'AUTH_REJECTED', names: `the SSH server at ${innerName} behind ${jumpName}` },
      { target: behind({ address: `127.0.0.1:${await freePort()}` }), code: 'CONNECTION_REFUSED', names: `${jumpName} cannot reach` },
      { target: behind({}, { keyFile: '/no/such/key' }), code: 'CONFIG_INVALID', names: '/no/such/key' },
    ];
    for (const { target, code, names } of rows) {
      const error = await errorOf(openAt(inner, target));

      expect(error.code, error.message).to.equal(code);
      expect(error.message).to.include(names);
    }
    await until(() => jump.children.length === 0 && inner.children.length === 0);
  });

  it('is not reached through one that does not forward', async () => {
    await using closed = await Sshd.start({ config: ['AllowTcpForwarding no'] });

    expect(await codeOf(openAt(inner, { jump: targetAt(closed) }))).to.equal('PERMISSION_DENIED');
  });

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`is lost with it (${signal})`, async () => {
      await using fragile = await Sshd.start();
      await using client = await openAt(inner, { jump: targetAt(fragile) }, openQuickly);
      const process = await client.exec('cat');
      const reading = codeOf(collect(process.stdout));

      fragile.signal(signal);

      expect(await reading).to.equal('CONNECTION_LOST');
      expect(await process.ended).to.deep.equal({});
      expect(await codeOf(client.exec('true'))).to.equal('CONNECTION_LOST');
    });
  }

  it('is found silent though the jump host is well', async () => {
    await using frozen = await Sshd.start();
    await using client = await openAt(frozen, behind(), openQuickly);

    frozen.signal('SIGSTOP');
    await until(() => client.lost.aborted);

    expect(client.lost.reason.message).to.include(`[127.0.0.1]:${frozen.port} behind [127.0.0.1]:${jump.port}`);
    await until(() => jump.children.length === 0);
  });

  it('leaves nothing open at any hop', async () => {
    const before = handles();
    const client = await openAt(inner, behind());
    await client.exec('cat');

    await client[Symbol.asyncDispose]();

    expect(handles().length).to.be.at.most(before.length);
    await until(() => jump.children.length === 0 && inner.children.length === 0);
  });

  it('is given up when it does not answer in time', async () => {
    await using frozen = await Sshd.start();
    frozen.signal('SIGSTOP');
    const before = handles();

    const error = await errorOf(createOpenSsh()(targetAt(frozen, behind()), { deadlineMs: 300 }));

    expect(error).to.include({ code: 'TIMED_OUT' });
    await until(() => handles().length <= before.length);
    await until(() => jump.children.length === 0);
  });
});
