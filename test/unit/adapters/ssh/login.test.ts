import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import ssh2, { type AuthContext, type AuthenticationType, type ParsedKey } from 'ssh2';
import { openSsh } from '../../../../adapters/ssh/client.ts';
import type { SshTarget } from '../../../../adapters/ssh/port.ts';
import { withoutSha1 } from '../../../../adapters/ssh/sha1.ts';
import { errorOf } from '../../../support/errors.ts';
import { makeKey, needSshd, run, Sshd, startTied } from '../../../support/sshd.ts';
import { codeOf, KEY, openAt, SCRIPTED_PIN, Scripted, say, until } from './servers.ts';

const PASSWORD = `p4ss w0rd-&<'"$%`;

describe('logging in with a key', () => {
  let sshd: Sshd;

  before(async function () {
    needSshd(this);
    sshd = await Sshd.start();
  });
  after(() => sshd?.[Symbol.asyncDispose]());

  const kinds = [
    { title: 'ed25519', type: 'ed25519', more: [] },
    { title: 'ecdsa', type: 'ecdsa', more: [] },
    { title: 'rsa, signed by SHA-2', type: 'rsa', more: [] },
    { title: 'rsa in PEM form', type: 'rsa', more: ['-m', 'PEM'] },
  ] as const;
  for (const { title, type, more } of kinds) {
    it(`takes ${title}, plain and encrypted`, async () => {
      for (const passphrase of ['', 'open sesame']) {
        const keyFile = makeKey(sshd.file(`${title}-${passphrase.length}`), type, passphrase, ...more);
        sshd.authorize(keyFile);

        await using client = await openAt(sshd, { keyFile, ...(passphrase !== '' && { passphrase }) });

        expect((await say(client, 'echo in')).out).to.equal('in\n');
      }
    });
  }

  it('names a key file that cannot be used, and never the passphrase', async () => {
    const keyFile = makeKey(sshd.file('locked'), 'ed25519', 'open sesame');
    writeFileSync(sshd.file('garbage'), 'garbage');
    const mistakes = [
      { says: 'is encrypted', with: { keyFile } },
      { says: 'does not open with the passphrase', with: { keyFile, passphrase: 'hush hush' } },
      { says: 'is in no known form', with: { keyFile: sshd.file('garbage'), passphrase: 'hush hush' } },
      { says: 'is a public one', with: { keyFile: `${keyFile}.pub` } },
      { says: 'cannot be read (ENOENT)', with: { keyFile: '/no/such/key' } },
      { says: 'cannot be read (EISDIR)', with: { keyFile: sshd.folder } },
    ];
    for (const { says, with: changes } of mistakes) {
      const error = await errorOf(openAt(sshd, changes));

      expect(error.code).to.equal('CONFIG_INVALID');
      expect(error.message).to.include(says).and.to.include(changes.keyFile);
      expect(inspect(error, { depth: 9 })).not.to.include('hush');
    }
  });

  it('takes a PEM key with a wrong passphrase for what it is', async () => {
    const keyFile = makeKey(sshd.file('locked-pem'), 'rsa', 'open sesame', '-m', 'PEM');

    const error = await errorOf(openAt(sshd, { keyFile, passphrase: 'hush hush' }));

    expect(error.code).to.equal('CONFIG_INVALID');
    expect(inspect(error, { depth: 9 })).not.to.include('hush');
  });

  it('says who was rejected where, and what the server takes', async () => {
    const keyFile = makeKey(sshd.file('stranger'));

    const error = await errorOf(openAt(sshd, { keyFile, password: PASSWORD }));

    expect(error).to.include({
      code: 'AUTH_REJECTED',
      message: `the SSH server at [127.0.0.1]:${sshd.port} rejects user ${sshd.username}; it takes publickey`,
    });
    expect(inspect(error, { depth: 9 })).not.to.include('p4ss');
  });

  it('asks for something to log in with', async () => {
    expect(await codeOf(openAt(sshd, { keyFile: undefined }))).to.equal('CONFIG_INVALID');
    expect(await codeOf(openAt(sshd, { username: '' }))).to.equal('CONFIG_INVALID');
  });

  describe('of an agent', () => {
    let agent: ChildProcess;
    const socket = (): string => sshd.file('agent');
    const saved = process.env['SSH_AUTH_SOCK'];
    const throughAgent = { keyFile: undefined, agent: true } as const;

    before(async () => {
      agent = startTied('ssh-agent', ['-D', '-a', socket()]);
      await until(() => existsSync(socket()));
    });
    beforeEach(() => {
      process.env['SSH_AUTH_SOCK'] = socket();
      run('ssh-add', '-q', '-D');
    });
    afterEach(() => {
      if (saved === undefined) delete process.env['SSH_AUTH_SOCK'];
      else process.env['SSH_AUTH_SOCK'] = saved;
    });
    after(() => agent?.kill('SIGKILL'));

    const add = (keyFile: string): void => {
      chmodSync(keyFile, 0o600);
      run('ssh-add', '-q', keyFile);
    };

    it('finds the right one among several', async () => {
      add(makeKey(sshd.file('agent-other')));
      const rsa = makeKey(sshd.file('agent-rsa'), 'rsa');
      add(rsa);
      sshd.authorize(rsa);

      await using client = await openAt(sshd, throughAgent);

      expect((await say(client, 'echo in')).out).to.equal('in\n');
    });

    it('goes on to the key file when the agent has none that fits', async () => {
      await using client = await openAt(sshd, { agent: true });

      expect((await say(client, 'echo in')).out).to.equal('in\n');
      expect(await codeOf(openAt(sshd, throughAgent))).to.equal('AUTH_REJECTED');
    });

    it('says that there are too many for the server', async () => {
      for (let n = 0; n < 7; n++) add(makeKey(sshd.file(`agent-many-${n}`)));

      const error = await errorOf(openAt(sshd, throughAgent));

      expect(error.code).to.equal('AUTH_REJECTED');
      expect(error.hint).to.include('key file');
    });

    it('is asked for where there is none', async () => {
      process.env['SSH_AUTH_SOCK'] = sshd.file('no-agent');
      expect(await codeOf(openAt(sshd, throughAgent))).to.equal('CONFIG_INVALID');
      delete process.env['SSH_AUTH_SOCK'];
      expect((await errorOf(openAt(sshd, throughAgent))).message).to.include('SSH_AUTH_SOCK');
    });

    it('does not answer: nothing of the attempt is left', async () => {
      let open = 0;
      const mute = createServer((connection) => {
        open++;
        connection.resume().on('close', () => open--);
      }).listen(sshd.file('mute'));
      try {
        process.env['SSH_AUTH_SOCK'] = sshd.file('mute');
        const attempt = openSsh({ ...targetOf(), agent: true }, { deadlineMs: 200 });

        expect(await codeOf(attempt)).to.equal('TIMED_OUT');
        await until(() => open === 0);
      } finally {
        mute.close();
        rmSync(sshd.file('mute'), { force: true });
      }
    });

    const targetOf = (): SshTarget => ({ address: sshd.address, username: sshd.username, pin: sshd.pin });
  });
});

it('signs with an RSA key by SHA-2 only', () => {
  const rsa = ssh2.utils.generateKeyPairSync('rsa', { bits: 2048 });
  const key = withoutSha1(ssh2.utils.parseKey(rsa.private) as ParsedKey);

  expect(key.sign('x', 'sha1')).to.be.instanceOf(Error);
  expect(key.verify('x', key.sign('x', 'sha256'), 'sha256')).to.equal(true);
});

describe('logging in with a password', () => {
  const target = (server: Scripted, password = PASSWORD): SshTarget => ({
    address: server.address,
    username: 'operator',
    password,
    pin: SCRIPTED_PIN,
  });
  const taking =
    (methods: AuthenticationType[], accept: (attempt: AuthContext) => boolean) =>
    (attempt: AuthContext): void =>
      accept(attempt) ? attempt.accept() : attempt.reject(methods);

  it('sends it once it is asked for', async () => {
    await using server = await Scripted.start(taking(['password'], (a) => a.method === 'password' && a.password === PASSWORD));

    await using client = await openSsh(target(server));

    expect(client.fingerprint).to.equal(SCRIPTED_PIN);
    expect(server.attempts).to.deep.equal(['none', `password ${PASSWORD}`]);
  });

  it('sends a wrong one once, by one method', async () => {
    await using server = await Scripted.start((attempt) => attempt.reject(['password', 'keyboard-interactive']));

    const error = await errorOf(openSsh(target(server)));

    expect(error.code).to.equal('AUTH_REJECTED');
    expect(error.message).to.include('user operator').and.to.include('password, keyboard-interactive');
    expect(server.attempts).to.deep.equal(['none', `password ${PASSWORD}`]);
    expect(inspect(error, { depth: 9 })).not.to.include('p4ss');
  });

  it('answers the one hidden question of a server that only asks', async () => {
    const answers: string[][] = [];
    await using server = await Scripted.start((attempt) => {
      if (attempt.method !== 'keyboard-interactive') return attempt.reject(['keyboard-interactive']);
      const questions = [
        { prompt: 'Your name?', echo: true },
        { prompt: 'Password:', echo: false },
      ];
      attempt.prompt(questions, (given) => {
        answers.push(given);
        attempt.accept();
      });
    });

    await using _client = await openSsh(target(server));

    expect(answers).to.deep.equal([['', PASSWORD]]);
  });

  it('does not give it as the new one to a server that demands a change', async () => {
    const answers: string[][] = [];
    await using server = await Scripted.start((attempt) => {
      if (attempt.method !== 'keyboard-interactive') return attempt.reject(['keyboard-interactive']);
      attempt.prompt([{ prompt: 'Password:', echo: false }], (first) => {
        answers.push(first);
        attempt.prompt([{ prompt: 'New password:', echo: false }], (second) => {
          answers.push(second);
          attempt.reject([]);
        });
      });
    });

    expect(await codeOf(openSsh(target(server)))).to.equal('AUTH_REJECTED');
    expect(answers).to.deep.equal([[PASSWORD], ['']]);

    await using other = await Scripted.start((attempt) => {
      if (attempt.method !== 'password') return attempt.reject(['password']);
      attempt.requestChange('your password is too old', () => attempt.accept());
    });
    expect((await errorOf(openSsh(target(other)))).hint).to.include('new password');
  });

  it('gives key and password to a server that wants both', async () => {
    await using server = await Scripted.start((attempt) => {
      if (attempt.method === 'publickey') attempt.reject(['password'], true);
      else if (attempt.method === 'password') attempt.accept();
      else attempt.reject(['publickey']);
    });

    const folder = mkdtempSync(join(tmpdir(), 'ws-ssh-'));
    try {
      const keyFile = join(folder, 'key');
      writeFileSync(keyFile, KEY.private);

      await using _client = await openSsh({ ...target(server), keyFile });

      expect(server.attempts.at(-1)).to.equal(`password ${PASSWORD}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
