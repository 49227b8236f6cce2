import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { createOpenPowerShell } from '../../../../adapters/powershell/open.ts';
import type { PowerShell, PowerShellTarget, Step } from '../../../../adapters/powershell/port.ts';
import { DrError } from '../../../../core/contract/index.ts';
import { errorOf } from '../../../support/errors.ts';

const STANDIN = join(import.meta.dirname, '../../../support/pwsh-standin.mjs');
const GET: Step = { cmdlet: 'Get-VM', params: {}, select: ['Name'] };

const openSsh = async (): Promise<never> => {
  throw new DrError('INTERNAL', 'nobody asked for SSH');
};

interface How {
  readonly host?: string;
  readonly transport?: Partial<Extract<PowerShellTarget['transport'], { kind: 'local' }>>;
  readonly deadlineMs?: number;
}

const open = async (behaviour: string, { host = 'localhost', transport = {}, deadlineMs = 10_000 }: How = {}): Promise<PowerShell> => {
  process.env['WARMSITE_STANDIN'] = behaviour;
  try {
    return await createOpenPowerShell({ openSsh })(
      { host, transport: { kind: 'local', executable: STANDIN, ...transport } },
      { deadlineMs },
    );
  } finally {
    delete process.env['WARMSITE_STANDIN'];
  }
};

describe('a PowerShell session', () => {
  it('is started without profile and questions, and answers', async () => {
    await using shell = await open('answers');

    const [result] = await shell.run([GET]);

    const args = result?.rows[0]?.['Args'];
    expect(args).to.include.members(['-NoLogo', '-NoProfile', '-NonInteractive', '-NoExit', '-Command', '-']);
    expect(result?.rows[0]?.['Env']).to.include({ NO_COLOR: '1', POWERSHELL_TELEMETRY_OPTOUT: '1' });
  });

  it('never shows the password in its arguments', async () => {
    await using shell = await open('answers', { host: 'far', transport: { username: 'admin', password: 'S3cret!' } });

    const [result] = await shell.run([GET]);

    expect(JSON.stringify(result?.rows[0]?.['Args'])).to.not.include('S3cret!');
    expect(result?.rows[0]?.['Env']).to.include({ WARMSITE_PS_USERNAME: 'admin', WARMSITE_PS_PASSWORD: 'S3cret!' });
  });

  it('starts what it is told, whatever NODE_POWERSHELL says', async () => {
    process.env['NODE_POWERSHELL'] = '/bin/false';
    try {
      await using shell = await open('answers');
      expect((await shell.run([GET]))[0]?.count).to.equal(1);
    } finally {
      delete process.env['NODE_POWERSHELL'];
    }
  });

  for (const behaviour of ['noise', 'split']) {
    it(`finds its reply among what a host says beside it (${behaviour})`, async () => {
      await using shell = await open(behaviour);

      expect((await shell.run([GET]))[0]?.count).to.equal(1);
    });
  }

  it('brings a large reply whole', async () => {
    await using shell = await open('large');

    const [result] = await shell.run([GET]);

    expect(result?.rows[0]?.['Text']).to.equal('y'.repeat(8 << 20));
  });

  for (const behaviour of ['exits with 0', 'is killed', 'half a line'] as const) {
    it(`that ends in the middle of a call is a failure, never a success (${behaviour})`, async () => {
      await using shell = await open(behaviour);

      const error = await errorOf(shell.run([GET], { deadlineMs: 1_500 }));

      expect(error.code).to.equal(behaviour === 'half a line' ? 'TIMED_OUT' : 'CONNECTION_LOST');
      expect(error.context).to.include({ name: 'localhost' });
    });
  }

  for (const behaviour of ['no JSON', 'not ours'] as const) {
    it(`refuses a reply that is none of the dispatcher (${behaviour})`, async () => {
      await using shell = await open(behaviour);

      expect((await errorOf(shell.run([GET]))).code).to.equal('PROTOCOL_ERROR');
    });
  }

  it('gives up a line without end before it fills the memory', async () => {
    await using shell = await open('endless');

    expect((await errorOf(shell.run([GET], { deadlineMs: 30_000 }))).message).to.include('without end');
  }).timeout(40_000);

  it('is killed at the deadline, and another one takes the next call', async () => {
    await using shell = await open('hangs');

    const late = await errorOf(shell.run([GET], { deadlineMs: 200 }));
    const [next] = await shell.run([GET]);

    expect(late).to.include({ code: 'TIMED_OUT' });
    expect(late.context).to.include({ deadlineMs: 200 });
    expect(next?.count).to.equal(1);
  });

  it('stops at the signal with its reason', async () => {
    await using shell = await open('hangs');
    const stop = new AbortController();
    const running = shell.run([GET], { signal: stop.signal });
    stop.abort(new DrError('ABORTED', 'enough'));

    expect((await errorOf(running)).message).to.equal('enough');
  });

  it('that cannot begin says why', async () => {
    expect((await errorOf(open('no module'))).message)
      .to.include('exit code 70')
      .and.to.include('The specified module was not loaded');
    expect((await errorOf(open('exits at once'))).code).to.equal('CONNECTION_LOST');
    expect((await errorOf(open('silent from the start', { deadlineMs: 300 }))).code).to.equal('TIMED_OUT');
    expect((await errorOf(open('refuses', { host: 'far' }))).code).to.equal('PERMISSION_DENIED');
  });

  it('names the executable that is missing, and the process lives on', async () => {
    const error = await errorOf(open('answers', { transport: { executable: '/nowhere/pwsh' } }));

    expect(error).to.include({ code: 'CONFIG_INVALID' });
    expect(error.context).to.include({ path: '/nowhere/pwsh', key: 'executable' });
  });

  it('is one of three: a fourth request waits', async () => {
    await using shell = await open('answers');

    const results = await Promise.all(Array.from({ length: 12 }, () => shell.run([GET])));

    expect(new Set(results.map(([result]) => result?.rows[0]?.['Pid'])).size).to.equal(3);
  });

  it('carries any text there and back', async () => {
    await using shell = await open('echo');
    const hostile = [
      '"; Remove-VM *',
      '$(reboot)',
      "';exit'",
      '`n',
      '\u0000',
      '\u2028',
      '😀',
      '[*]',
      '‘’‚‛“”„',
      '../../x',
      'x'.repeat(300),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...hostile)), { minLength: 1, maxLength: 50 }),
        async (texts) => {
          const results = await shell.run(texts.map((text): Step => ({ cmdlet: 'Get-VM', params: { Id: text } })));

          expect(results.map(({ rows }) => rows[0]?.['Id'])).to.deep.equal(texts);
        },
      ),
      { numRuns: 200 },
    );
  }).timeout(30_000);
});
