import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openSsh } from '../../../../adapters/ssh/client.ts';
import { errorOf } from '../../../support/errors.ts';
import { knownKeyOf, makeKey, needSshd, pinOf, run, Sshd } from '../../../support/sshd.ts';
import { codeOf, openAt, SCRIPTED_PIN, Scripted, targetAt } from './servers.ts';

const PASSWORD = 'p4ss w0rd';

describe('identification of an SSH host', () => {
  let sshd: Sshd;

  before(async function () {
    needSshd(this);
    sshd = await Sshd.start({ hostKeys: ['rsa', 'ed25519', 'ecdsa'] });
  });
  after(() => sshd?.[Symbol.asyncDispose]());

  /** A known_hosts of these lines; `HOST` is the server. */
  const listed = (...lines: readonly string[]) => {
    const knownHosts = sshd.file('known_hosts');
    writeFileSync(knownHosts, `${lines.join('\n').replaceAll('HOST', `[127.0.0.1]:${sshd.port}`)}\n`);
    return { pin: undefined, knownHosts };
  };
  const known = (type: 'ed25519' | 'rsa' | 'ecdsa' = 'ed25519'): string => knownKeyOf(sshd.hostKey(type));

  it('takes the pinned key, however the pin is written', async () => {
    for (const pin of [sshd.pin, sshd.pin.toUpperCase(), sshd.pin.match(/../g)!.join(':')]) {
      await using client = await openAt(sshd, { pin });

      expect(client.fingerprint).to.equal(sshd.pin);
    }
  });

  it('refuses another key than the pinned one, and shows both', async () => {
    const pin = 'ab'.repeat(32);

    const error = await errorOf(openAt(sshd, { pin, knownHosts: listed(`HOST ${known()}`).knownHosts }));

    expect(error.code).to.equal('HOST_KEY_MISMATCH');
    expect(error.context).to.deep.equal({ actual: sshd.pin, expected: pin });
    expect(error.hint).to.match(/compare .* endpoint trust/);
  });

  it('trusts nobody without pin and file', async () => {
    const error = await errorOf(openAt(sshd, { pin: undefined }));

    expect(error.code).to.equal('HOST_KEY_MISMATCH');
    expect(error.context).to.deep.equal({ actual: sshd.pin });
  });

  it('takes what is not a pin, or a file that cannot be read, as a mistake in the configuration', async () => {
    expect(await codeOf(openAt(sshd, { pin: 'SHA256:abc' }))).to.equal('CONFIG_INVALID');
    expect((await errorOf(openAt(sshd, { pin: undefined, knownHosts: '/no/such/file' }))).message).to.include('/no/such/file');
  });

  it('takes whichever key of a host with several the file has', async () => {
    for (const type of ['ed25519', 'rsa', 'ecdsa'] as const) {
      await using client = await openAt(sshd, listed(`HOST ${known(type)}`));

      expect(client.fingerprint).to.equal(pinOf(sshd.hostKey(type)));
    }
  });

  it('finds the name as ssh-keygen hashes it', async () => {
    const target = listed(`HOST ${known()}`);
    run('ssh-keygen', '-q', '-H', '-f', target.knownHosts);

    await using client = await openAt(sshd, target);

    expect(client.fingerprint).to.equal(sshd.pin);
  });

  it('does not trust a host that the file has under another name or port', async () => {
    for (const hosts of ['127.0.0.1', `[127.0.0.2]:${sshd.port}`, `[127.0.0.*]:${sshd.port},!HOST`]) {
      expect(await codeOf(openAt(sshd, listed(`${hosts} ${known()}`))), hosts).to.equal('HOST_KEY_MISMATCH');
    }
    await using client = await openAt(sshd, listed(`[127.0.0.*]:${sshd.port} ${known()}`));
    expect(client.fingerprint).to.equal(sshd.pin);
  });

  it('refuses a revoked key though another line trusts it', async () => {
    const error = await errorOf(openAt(sshd, listed(`HOST ${known()}`, `@revoked * ${known()}`)));

    expect(error).to.include({ code: 'HOST_KEY_MISMATCH' });
    expect(error.message).to.include('revoked');
  });

  it('does not take an authority for the key of a host', async () => {
    expect(await codeOf(openAt(sshd, listed(`@cert-authority HOST ${known()}`)))).to.equal('HOST_KEY_MISMATCH');
  });

  it('sees a host that was installed anew, even when it lacks the known type of key', async () => {
    await using other = await Sshd.start({ hostKeys: ['ed25519'] });
    const knownHosts = other.file('known_hosts');
    const name = `[127.0.0.1]:${other.port}`;
    writeFileSync(knownHosts, `${name} ${knownKeyOf(other.hostKey('ed25519'))}\n`);
    await using before = await openAt(other, { pin: undefined, knownHosts });
    await before[Symbol.asyncDispose]();
    other.signal('SIGKILL');
    rmSync(other.hostKey('ed25519'));
    renameSync(makeKey(other.file('new')), other.hostKey('ed25519'));
    await other.resume();

    const changed = await errorOf(openAt(other, { pin: undefined, knownHosts }));
    writeFileSync(knownHosts, `${name} ${known('rsa')}\n`);
    const otherType = await errorOf(openAt(other, { pin: undefined, knownHosts }));

    for (const error of [changed, otherType]) {
      expect(error).to.include({ code: 'HOST_KEY_MISMATCH' });
      expect(error.context.actual).to.equal(pinOf(other.file('new')));
      expect(error.message).to.include('another host key');
    }
  });

  it('shows a host that is not trusted neither password nor key', async () => {
    await using impostor = await Scripted.start((attempt) => attempt.reject(['password', 'publickey', 'keyboard-interactive']));
    const { keyFile } = targetAt(sshd);
    const target = { address: impostor.address, username: 'operator', password: PASSWORD, keyFile };

    for (const pin of [undefined, sshd.pin]) {
      expect(await codeOf(openSsh({ ...target, pin }))).to.equal('HOST_KEY_MISMATCH');
    }
    expect(impostor.attempts).to.deep.equal([]);

    expect(await codeOf(openSsh({ ...target, pin: SCRIPTED_PIN }))).to.equal('AUTH_REJECTED');
    expect(impostor.attempts).to.deep.equal(['none', 'publickey', `password ${PASSWORD}`]);
  });
});
