import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CATALOG } from '../../../cli/catalog.ts';
import { ENGINE_READS, STORE_READS } from '../../../cli/client.ts';
import type { CommandSpec } from '../../../cli/command.ts';
import { OPERATIONS } from '../../../core/engine.ts';
import { CommandLine } from '../../support/command-line.ts';

const SEVERE = [
  'failover planned',
  'failover unplanned',
  'failover change-point',
  'failover cancel',
  'failover commit',
  'reprotect',
  'failback',
  'release',
  'sync resync',
  'unprotect',
  'resolve',
  'reconcile',
  'endpoint trust',
];

const allCommands = async (): Promise<ReadonlyMap<string, CommandSpec>> => {
  const all = new Map<string, CommandSpec>();
  for (const noun of CATALOG)
    for (const spec of (await noun.load()).commands) all.set([noun.name, spec.name].filter(Boolean).join(' '), spec);
  return all;
};

describe('command tree', () => {
  it('has the nouns of each group in the help, and an example at every command', async () => {
    using line = new CommandLine();

    const { out, code } = await line.run(['--help']);

    expect(code).to.equal(0);
    expect(out.match(/^(Set up|Protect|Recover|Watch|Run):$/gm)).to.deep.equal(['Set up:', 'Protect:', 'Recover:', 'Watch:', 'Run:']);
    for (const [name, spec] of await allCommands()) {
      expect(spec.examples.length, name).to.be.greaterThan(0);
      for (const example of spec.examples) expect(example, name).to.include(`warmsite ${name}`.replace('warmsite version', 'warmsite'));
    }
  });

  it('shows the examples of a command in its help', async () => {
    using line = new CommandLine();

    const { out } = await line.run(['failover', 'planned', '--help']);

    expect(out)
      .to.include('Examples:\n  warmsite failover planned erp --dry-run')
      .and.to.include('--confirm <name>')
      .and.to.include('--output <format>');
  });

  it('asks for a confirmation where the engine calls an operation severe, and nowhere else', async () => {
    const asking = [...(await allCommands())]
      .filter(([, spec]) => spec.options?.some((option) => option.flags.startsWith('--confirm')))
      .map(([name]) => name);
    const severe = [...OPERATIONS.values()].filter((operation) => operation.severe).map((operation) => operation.name);

    // A plan runs as any of them.
    expect(asking.filter((name) => name !== 'plan run').sort()).to.deep.equal([...SEVERE].sort());
    expect(severe.map((name) => name.replace('.', ' ')).sort()).to.deep.equal([...SEVERE].sort());
  });

  it('knows of every read of the engine how it is reached', () => {
    const reads = [...OPERATIONS.values()].filter((operation) => operation.kind === 'read').map((operation) => operation.name);

    expect([...STORE_READS, ...ENGINE_READS].sort()).to.deep.equal(reads.sort());
  });

  const misspelt: readonly (readonly [readonly string[], string])[] = [
    [['statsu'], 'did you mean status?'],
    [['failover', 'plannde', 'x'], 'did you mean planned?'],
    [['site', 'list', '--outpt', 'json'], 'did you mean --output?'],
  ];
  for (const [args, hint] of misspelt) {
    it(`suggests what ${args.join(' ')} may have meant`, async () => {
      using line = new CommandLine();

      const { code, err } = await line.run(args);

      expect(code).to.equal(2);
      expect(err).to.include(hint);
    });
  }

  for (const [args, why] of [
    [[], 'no noun'],
    [['site'], 'a noun without a verb'],
    [['map', 'network'], 'half a verb'],
    [['protect', 'x'], 'a mandatory option that is missing'],
    [['site', 'show'], 'an argument that is missing'],
    [['site', 'list', 'more'], 'an argument too many'],
    [['job', 'list', '-n', 'many'], 'a number that is none'],
    [['site', 'list', '-o', 'xml'], 'a form that there is not'],
  ] as const) {
    it(`ends with 2 for ${why}`, async () => {
      using line = new CommandLine();

      const { code, out, err } = await line.run(args);

      expect(code).to.equal(2);
      expect(out).to.equal('');
      expect(err).not.to.equal('');
    });
  }
});

describe('completion', () => {
  const complete = (script: string, words: readonly string[]): string[] => {
    const ask = `${script}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _warmsite; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['-c', ask], { encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
    return stdout.split('\n').filter(Boolean);
  };

  it('offers nouns, verbs, options and their choices in bash', async () => {
    using line = new CommandLine();
    const { out: script } = await line.run(['completion', 'bash']);

    expect(complete(script, ['warmsite', 'fail'])).to.deep.equal(['failover', 'failback']);
    expect(complete(script, ['warmsite', 'failover', 'c'])).to.deep.equal(['cleanup', 'change-point', 'cancel', 'commit']);
    expect(complete(script, ['warmsite', 'map', 'network', ''])).to.deep.equal(['set']);
    expect(complete(script, ['warmsite', 'failover', 'unplanned', 'erp', '--source-is', ''])).to.deep.equal([
      'off',
      'unreachable',
      'running',
    ]);
    expect(complete(script, ['warmsite', 'failover', 'planned', 'erp', '--conf'])).to.deep.equal(['--confirm']);
  });

  it('names every noun in each shell', async () => {
    using line = new CommandLine();

    for (const shell of ['bash', 'zsh', 'fish']) {
      const { out } = await line.run(['completion', shell]);
      for (const { name } of CATALOG) expect(out, shell).to.include(name);
    }
  });
});
