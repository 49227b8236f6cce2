import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { nextSteps, type PluginKind, renderPluginTemplate, runConformance } from '../../../../core/conformance/index.ts';
import type { Plugin } from '../../../../core/contract/index.ts';

const KINDS: readonly PluginKind[] = ['snapshot-source', 'streaming-source', 'target'];
const ROOT = join(import.meta.dirname, '..', '..', '..', '..');

/** In the tree of the project, so that `warmsite/contract` is found; hidden, so that no other run takes it for a test. */
const written = async (kind: PluginKind): Promise<AsyncDisposable & { readonly path: string }> => {
  const path = await mkdtemp(join(import.meta.dirname, '.template-'));
  for (const file of renderPluginTemplate(kind, 'my-cloud')) await writeFile(join(path, file.path), file.text);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
};

const importFrom = (path: string): Promise<{ readonly myCloud: Plugin }> => import(pathToFileURL(join(path, 'plugin.ts')).href);

describe('the template of a plugin', () => {
  for (const kind of KINDS) {
    it(`of a ${kind} passes level 0 as it is`, async () => {
      await using plugin = await written(kind);
      const { myCloud } = await importFrom(plugin.path);
      const config = { address: '192.0.2.1', username: 'u', password: 'secret-of-the-test' };

      const report = await runConformance({ plugin: myCloud, config, unreachable: config }, { levels: [0] });

      expect(report.results.map(({ id, outcome }) => `${id} ${outcome}`)).to.deep.equal([1, 2, 3, 4, 5].map((id) => `MAN-00${id} passed`));
      expect(report.passed).to.equal(true);
    });

    it(`of a ${kind} names functions to fill that are there`, async () => {
      const code = renderPluginTemplate(kind, 'my-cloud').find((file) => file.path === 'plugin.ts')?.text ?? '';

      const named = /plugin\.ts: (.*)\./.exec(nextSteps(kind, './my-cloud'))?.[1]?.split(', ') ?? [];

      expect(named).to.have.length(3);
      for (const name of named) expect(code).to.match(new RegExp(`\\b${name}(: | = )`));
      expect(nextSteps(kind, './my-cloud')).to.contain('warmsite plugin check ./my-cloud');
    });
  }

  it('compiles under the strict settings of the project, its test too', async () => {
    await using source = await written('snapshot-source');
    await using streaming = await written('streaming-source');
    await using target = await written('target');
    const files = [source, streaming, target].flatMap(({ path }) => [join(path, 'plugin.ts'), join(path, 'conformance.test.ts')]);
    const settings = join(source.path, 'tsconfig.json');
    await writeFile(settings, JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), include: [], files }));

    const { stdout } = await promisify(execFile)(process.execPath, [
      join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'),
      '-p',
      settings,
    ]).catch((error: { stdout: string }) => error);

    expect(stdout).to.equal('');
  });

  it('passes its own test under mocha', async () => {
    await using plugin = await written('target');

    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js'), '--no-config', join(plugin.path, 'conformance.test.ts')],
      { cwd: ROOT },
    );

    expect(stdout).to.contain('5 passing');
  });
});
