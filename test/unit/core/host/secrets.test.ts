import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Redactor, Secret } from '../../../../core/host/secret.ts';
import { createSecretResolver, type SecretReference } from '../../../../core/host/secrets.ts';
import { createCollectingLog } from '../../../support/runtime.ts';
import { failureOf } from './fake-plugin.ts';

const VALUE = 'correct horse "battery" staple';

describe('a secret', () => {
  it('prints as *** in every way of printing, and gives its value only when asked', () => {
    const secret = new Secret(VALUE);
    const prints = [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect({ deep: { secret } }, { showHidden: true, depth: 9 }),
      Object.entries(secret).join(),
      JSON.stringify(structuredClone({ ...secret })),
    ];

    for (const print of prints) expect(print).not.to.contain('horse');
    expect(`${secret}`).to.equal('***');
    expect(inspect(secret)).to.equal('***');
    expect(secret.reveal()).to.equal(VALUE);
  });
});

describe('the resolver of secrets', () => {
  const resolve = (reference: SecretReference, env: Record<string, string> = {}, execTimeoutMs = 10_000): Promise<Secret> =>
    createSecretResolver({ env, execTimeoutMs })(reference);
  const inDirectory = async (run: (directory: string) => Promise<void>): Promise<void> => {
    const directory = await mkdtemp(join(tmpdir(), 'secrets-'));
    try {
      await run(directory);
    } finally {
      await rm(directory, { recursive: true });
    }
  };

  it('reads an environment variable, and names one that is not set', async () => {
    expect((await resolve({ env: 'PASSWORD' }, { PASSWORD: VALUE })).reveal()).to.equal(VALUE);

    const error = await failureOf(resolve({ env: 'PASSWORD' }));
    expect([error.code, error.message]).to.deep.equal(['SECRET_MISSING', 'no secret in environment variable PASSWORD: it is not set']);
  });

  it('reads a file without its last line end, but not one that others may open', async () => {
    await inDirectory(async (directory) => {
      const file = join(directory, 'password');
      await writeFile(file, `${VALUE} \n`, { mode: 0o600 });
      expect((await resolve({ file })).reveal()).to.equal(`${VALUE} `);

      for (const mode of [0o640, 0o604, 0o620]) {
        await chmod(file, mode);
        const error = await failureOf(resolve({ file }));
        expect([error.code, error.hint]).to.deep.equal(['SECRET_MISSING', `run chmod 600 ${file}`]);
        expect(inspect(error, { depth: 9 })).not.to.contain('horse');
      }
    });
  });

  it('names a file that is not there, and one that is empty', async () => {
    await inDirectory(async (directory) => {
      const file = join(directory, 'password');
      expect((await failureOf(resolve({ file }))).message).to.equal(`no secret in file ${file}: ENOENT`);

      await writeFile(file, '\n', { mode: 0o600 });
      expect((await failureOf(resolve({ file }))).message).to.equal(`no secret in file ${file}: it is empty`);
    });
  });

  it('takes what a program prints, which is started without a shell', async () => {
    const secret = await resolve({ exec: [process.execPath, '-e', 'console.log(process.argv[1])', `$(id); ${VALUE}`] });

    expect(secret.reveal()).to.equal(`$(id); ${VALUE}`);
  });

  it('shows nothing of what a program printed when it fails or hangs', async () => {
    const failing = await failureOf(
      resolve({ exec: [process.execPath, '-e', `console.log('horse'); console.error('horse'); process.exit(3)`] }),
    );
    const hanging = await failureOf(resolve({ exec: ['/bin/sh', '-c', 'echo horse; exec sleep 60'] }, {}, 100));
    const absent = await failureOf(resolve({ exec: ['/no/such/program', 'horse'] }));

    expect(failing.message).to.equal(`no secret in output of ${process.execPath}: it ended with 3`);
    expect(hanging.message).to.equal('no secret in output of /bin/sh: it did not end within 0.1 s');
    expect(absent.message).to.equal('no secret in output of /no/such/program: it ended with ENOENT');
    for (const error of [failing, hanging, absent]) expect(inspect(error, { depth: 9 })).not.to.contain('horse');
  });

  it('reads a credential of the service manager by its name only', async () => {
    await inDirectory(async (directory) => {
      await writeFile(join(directory, 'vc1'), VALUE, { mode: 0o440 });
      const env = { CREDENTIALS_DIRECTORY: directory };
      expect((await resolve({ credential: 'vc1' }, env)).reveal()).to.equal(VALUE);

      for (const credential of ['../vc1', '/etc/passwd', '..']) {
        expect((await failureOf(resolve({ credential }, env))).message).to.match(/a credential is named without a path/);
      }
      expect((await failureOf(resolve({ credential: 'vc1' }))).message).to.match(/CREDENTIALS_DIRECTORY is not set/);
    });
  });
});

describe('the redactor', () => {
  const redactor = new Redactor([new Secret(VALUE), new Secret('hunter2')]);

  it('masks a secret as it is, in a URL, in JSON and in base64', () => {
    const forms = [VALUE, encodeURIComponent(VALUE), JSON.stringify(VALUE), Buffer.from(VALUE).toString('base64')];

    for (const form of forms) {
      const masked = redactor.text(`before ${form} after`);
      expect(masked).to.match(/^before .*\*\*\*.* after$/);
      expect(masked).not.to.contain('horse');
    }
  });

  it('masks it in the messages and fields of a log, however deep', () => {
    const log = createCollectingLog();

    redactor.log(log).warn('login with hunter2', { url: 'http://u:hunter2@h/', deep: { list: [{ password: 'hunter2' }] }, count: 3 });

    expect(JSON.stringify(log.entries)).not.to.contain('hunter2');
    expect(log.entries[0]?.fields).to.include({ url: 'http://u:***@h/', count: 3 });
  });

  it('leaves text and causes without a secret as they are', () => {
    const cause = new Error('refused');

    expect(redactor.text('refused')).to.equal('refused');
    expect(redactor.cause(cause)).to.equal(cause);
  });

  it('masks causes down to the last one', () => {
    const cause = new Error('outer', { cause: new Error('inner hunter2') });

    expect(inspect(redactor.cause(cause), { depth: 9 })).not.to.contain('hunter2');
  });
});
