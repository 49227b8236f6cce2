import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createRegistry } from '../../../cli/container.ts';
import { importPlugin, listOwnPlugins, loadOwnPlugins, writeOwnPlugins } from '../../../cli/own-plugins.ts';
import { isDrError } from '../../../core/contract/index.ts';

const PLUGIN = `export const plugin = {
  manifest: { id: 'acme', displayName: 'Acme', contractVersion: 1, config: [], capabilities: { tracking: 'none', consistency: ['crash'], atomicity: 'disk', testNetwork: 'none', power: [], finalFreeze: false, snapshotSurvivesDisconnect: false, maxSnapshotsPerMachine: 1 } },
  connect: async () => { throw new Error('not here'); },
};`;

describe('plugins of one’s own', () => {
  let home = '';
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'warmsite-own-'));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  it('are loaded by the name that the home gives, beside those of the program', async () => {
    const path = join(home, 'acme.mjs');
    writeFileSync(path, PLUGIN);
    writeOwnPlugins(home, [path]);

    const registry = createRegistry(undefined, await loadOwnPlugins(home));

    expect(listOwnPlugins(home)).to.deep.equal([path]);
    expect(registry.list().map((manifest) => manifest.id)).to.include.members(['acme', 'vmware']);
  });

  it('are refused with the reason when they cannot be loaded, export no plugin, or the list is not right', async () => {
    const broken = join(home, 'broken.mjs');
    const empty = join(home, 'empty.mjs');
    writeFileSync(broken, 'export const = 1;');
    writeFileSync(empty, 'export const nothing = 1;');
    for (const path of [broken, empty]) {
      const failure = await importPlugin(path).catch((error: unknown) => error);
      expect(isDrError(failure, 'CONFIG_INVALID'), path).to.equal(true);
    }
    writeFileSync(join(home, 'plugins.json'), '{"plugins": 7}');
    expect(() => listOwnPlugins(home)).to.throw('is not {"plugins"');
  });
});
