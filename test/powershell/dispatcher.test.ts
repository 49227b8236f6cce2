// The shipped dispatcher on a true PowerShell.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import type { PowerShell, Step } from '../../adapters/powershell/port.ts';
import { errorOf } from '../support/errors.ts';
import { MISSING, openEngine, pwsh } from './engine.ts';

const MODULES = join(import.meta.dirname, 'modules');
const HOSTILE = [
  '"; Remove-VM *',
  '$(reboot)',
  "';exit",
  '`n`0',
  '\u0000',
  '\u2028\u2029',
  '😀数据',
  '[*]?',
  '‘’‚‛“”„',
  '../../x',
  '%PATH%',
  'x'.repeat(300),
];

describe('the dispatcher on a true PowerShell', function () {
  this.timeout(60_000);
  let shell: PowerShell;

  before(async function () {
    if (pwsh === undefined) {
      process.stdout.write(`      ${MISSING}\n`);
      this.skip();
    }
    shell = await openEngine(MODULES);
  });
  after(() => shell?.[Symbol.asyncDispose]());

  it('brings back every kind of value without loss', async () => {
    const select = [
      'Name',
      'State',
      'Memory',
      'Big',
      'Uptime',
      'Created',
      'Ratio',
      'Nothing',
      'Order.Path?',
      'Tags',
      'Statuses',
      'Odd',
      'Absent?',
    ];

    const [result] = await shell.run([{ cmdlet: 'Get-VM', params: {}, select }]);

    expect(result?.count).to.equal(2);
    expect(result?.rows[0]).to.deep.equal({
      Name: 'one',
      State: { name: 'Running', value: 2 },
      Memory: 9007199254740993n,
      Big: 18446744073709551615n,
      Uptime: 1500,
      Created: '2026-01-02T03:04:05.000Z',
      Ratio: 1.5,
      Nothing: null,
      'Order.Path': ['a', null],
      Tags: { $int: '5' },
      Statuses: [{ name: 'Off', value: 3 }],
      Odd: '1.2.3.4',
      Absent: null,
    });
  });

  it('hands on objects, their properties, and those that are wanted among them', async () => {
    const [machines, drives, disks, one] = await shell.run([
      { cmdlet: 'Get-VM', params: {}, select: ['Id'] },
      { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } }, select: ['VMId'] },
      { cmdlet: 'Get-VHD', params: { VMId: { $step: 0, $property: 'Id' } }, select: ['Path'], collect: true },
      { cmdlet: 'Set-VM', params: { VM: { $step: 0, $where: { property: 'Name', is: 'TWO' } }, Notes: '' }, select: ['Name'] },
    ]);

    const ids = machines?.rows.map((row) => row['Id']);
    expect(drives?.rows.map((row) => row['VMId'])).to.deep.equal(ids);
    expect(disks?.rows.map((row) => row['Path'])).to.deep.equal(ids);
    expect(disks?.errors.map(({ step, fqid, category }) => ({ step, fqid, category }))).to.deep.equal(
      Array.from({ length: 2 }, () => ({ step: 2, fqid: 'InvalidState,Get-VHD', category: 'InvalidOperation' })),
    );
    expect(one?.rows).to.deep.equal([{ Name: 'two' }]);
  });

  it('does nothing about objects of a step that found none', async () => {
    const results = await shell.run([
      { cmdlet: 'Get-VM', params: { Id: '00000000-0000-0000-0000-000000000000' } },
      { cmdlet: 'Stop-VM', params: { VM: { $step: 0 } } },
    ]);

    expect(results.map(({ count }) => count)).to.deep.equal([0, 0]);
    const nested: Step[] = [
      { cmdlet: 'Get-VM', params: { Id: '00000000-0000-0000-0000-000000000000' } },
      { cmdlet: 'Set-VM', params: { VM: [{ $step: 0 }] } },
    ];
    expect((await errorOf(shell.run(nested))).code).to.equal('NOT_FOUND');
  });

  it('answers no question, and gives warnings as data', async () => {
    const [result] = await shell.run([{ cmdlet: 'Start-VM', params: { VM: 'x' }, select: ['Done'] }]);

    expect(result).to.deep.include({ rows: [{ Done: true }], warnings: ['it runs already'] });
  });

  it('tells an error by what is the same in every language', async () => {
    const error = await errorOf(
      shell.run([
        { cmdlet: 'Get-VM', params: {} },
        { cmdlet: 'Stop-VM', params: { VM: { $step: 0 } } },
      ]),
    );

    expect(error.code).to.equal('FILE_LOCKED');
    expect(error.cause).to.deep.include({ step: 1, innerHresult: -2147024864, type: 'System.IO.IOException' });
  });

  const refused: readonly (readonly [string, Step])[] = [
    ['a cmdlet', { cmdlet: 'Invoke-Expression' as Step['cmdlet'], params: { Command: 'exit' } }],
    ['a parameter', { cmdlet: 'Get-VM', params: { Name: '*' } }],
    ['a parameter in other letters', { cmdlet: 'Get-VM', params: { id: '00000000-0000-0000-0000-000000000000' } }],
    ['a value', { cmdlet: 'Remove-Item', params: { LiteralPath: '/etc/passwd' } }],
    ['a value with a line break at its end', { cmdlet: 'Remove-Item', params: { LiteralPath: '/tmp/a.vhdx\n' } }],
    ['a property', { cmdlet: 'Get-VM', params: {}, select: ['Absent'] }],
  ];
  for (const [what, step] of refused) {
    it(`refuses what is not on the list: ${what}`, async () => {
      const error = await errorOf(shell.run([step]));

      expect(error.code).to.equal('PROTOCOL_ERROR');
      expect(error.context['vendorCode']).to.match(/Warmsite\.(NotAllowed|NoProperty)/);
    });
  }

  it('deletes the one file that is named, whatever its name would match', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'warmsite-dispatcher-'));
    try {
      for (const name of ['[ab].vhdx', 'a.vhdx', 'b.avhdx']) await writeFile(join(folder, name), '');

      await shell.run([{ cmdlet: 'Remove-Item', params: { LiteralPath: join(folder, '[ab].vhdx') } }]);
      const gone = await errorOf(shell.run([{ cmdlet: 'Remove-Item', params: { LiteralPath: join(folder, '[ab].vhdx') } }]));

      expect(await readdir(folder)).to.have.members(['a.vhdx', 'b.avhdx']);
      expect(gone.code).to.equal('NOT_FOUND');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('carries 10,000 hostile texts there and back, and runs none', async () => {
    const texts = fc.sample(fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.constantFrom(...HOSTILE)), {
      numRuns: 10_000,
      seed: 5,
    });
    for (let at = 0; at < texts.length; at += 500) {
      const part = texts.slice(at, at + 500);

      const results = await shell.run(
        part.map((text): Step => ({ cmdlet: 'New-VM', params: { Name: text, Path: text }, select: ['Name', 'Path'] })),
      );

      expect(results.map(({ rows }) => rows[0])).to.deep.equal(part.map((text) => ({ Name: text, Path: text })));
    }
  });

  it('gives a call the types that it asks for', async () => {
    const types = ['uint8', 'uint16', 'uint32', 'uint64', 'int64'] as const;

    const results = await shell.run(
      types.map(($type): Step => ({ cmdlet: 'New-VM', params: { Generation: { $type, value: '200' } }, select: ['Generation'] })),
    );

    expect(results.map(({ rows }) => rows[0]?.['Generation'])).to.deep.equal([200, 200, 200, 200, 200]);
  });

  it('that dies in the middle of a call is a failure, and the next call has a session', async () => {
    expect((await errorOf(shell.run([{ cmdlet: 'Rename-VM', params: {} }]))).code).to.equal('CONNECTION_LOST');
    expect((await errorOf(shell.run([{ cmdlet: 'Remove-VM', params: {} }], { deadlineMs: 500 }))).code).to.equal('TIMED_OUT');
    expect(await shell.run([])).to.deep.equal([]);
  });
});
