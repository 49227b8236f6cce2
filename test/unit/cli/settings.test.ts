import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { CommandLine } from '../../support/command-line.ts';

const put = (path: string, spec: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `apiVersion: warmsite/v1\nkind: Config\nspec: ${spec}\n`);
};

interface Setting {
  readonly key: string;
  readonly value: string;
  readonly from: string;
}

describe('settings', () => {
  it('come from flag, environment, project file, user file, in this order', async () => {
    using line = new CommandLine();
    const project = join(line.folder, 'project', 'warmsite.yaml');
    const folder = join(line.folder, 'project', 'deep', 'er');
    mkdirSync(folder, { recursive: true });
    const homeFrom = async (args: readonly string[], env: Record<string, string>): Promise<string | undefined> => {
      const { items } = await line.json<{ items: Setting[] }>(['config', 'show', ...args], { env: { WARMSITE_HOME: '', ...env }, folder });
      return items.find(({ key }) => key === 'home')?.from;
    };

    expect(await homeFrom([], {})).to.equal('default');
    put(join(line.folder, '.config', 'warmsite', 'warmsite.yaml'), '{home: /from/user}');
    expect(await homeFrom([], {})).to.equal(join(line.folder, '.config', 'warmsite', 'warmsite.yaml'));
    put(project, '{home: /from/project}');
    expect(await homeFrom([], {})).to.equal(project);
    expect(await homeFrom([], { WARMSITE_HOME: '/from/environment' })).to.equal('environment');
    expect(await homeFrom(['--home', '/from/flag'], { WARMSITE_HOME: '/from/environment' })).to.equal('flag');
  });

  it('take a home in a file as relative to that file', async () => {
    using line = new CommandLine();
    put(join(line.folder, 'project', 'warmsite.yaml'), '{home: ./state}');

    const { out } = await line.run(['config', 'show', '-o', 'json'], { env: { WARMSITE_HOME: '' }, folder: join(line.folder, 'project') });

    expect(out).to.include(JSON.stringify(join(line.folder, 'project', 'state')));
  });

  it('that are wrong stop every command with file, line and key', async () => {
    using line = new CommandLine();
    put(join(line.folder, 'warmsite.yaml'), '{outptu: json}');

    const { code, err } = await line.run(['status']);

    expect(code).to.equal(2);
    expect(err).to.include('warmsite.yaml:3:8: spec.outptu: this key is not known here');
  });
});
