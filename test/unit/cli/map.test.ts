import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { storePath } from '../../../core/engine/home.ts';
import { PinnedHome } from '../../support/pinned-home.ts';

const PIN = '11'.repeat(32);

/** Two endpoints that call their networks by ids that say nothing. */
const twoEndpoints = async (): Promise<PinnedHome> => {
  const networks = [
    { id: 'Network:network-7', name: 'production' },
    { id: 'Network:network-8', name: 'bubble' },
  ];
  const home = await PinnedHome.create({ fingerprint: PIN, signed: true, networks });
  await home.add();
  const other = join(home.folder, 'vc-b.json');
  home.show({ fingerprint: PIN, signed: true, networks: networks.map(({ id, name }) => ({ id: `${id}0`, name })) }, other);
  await home.run(['endpoint', 'add', 'vc-b', '--site', 'site-b', '--plugin', 'pinned', '--set', `address=${other}`]);
  return home;
};

describe('map list', () => {
  it('shows places by their names, wide with the ids too', async () => {
    using home = await twoEndpoints();

    await home.run(['map', 'network', 'set', 'vc-a:production', 'vc-b:Network:network-70', '--test', 'bubble']);
    const table = await home.run(['map', 'list']);
    const wide = await home.run(['map', 'list', '-o', 'wide']);

    expect(table.out).to.match(/network +vc-a\/production +vc-b\/production +bubble\n/);
    expect(wide.out).to.include('Network:network-7 Network:network-70 Network:network-80');
  });

  it('shows a line for all places, and forgets the names of the line that it replaces', async () => {
    using home = await twoEndpoints();
    await home.run(['map', 'network', 'set', 'vc-a:*', 'vc-b:production', '--test', 'bubble']);

    await home.run(['map', 'network', 'set', 'vc-a:*', 'vc-b:bubble']);

    expect((await home.run(['map', 'list'])).out).to.match(/network +vc-a\/\* +vc-b\/bubble +isolated\n/);
  });

  it('suggests by names, and shows ids where a mapping was set before names were kept', async () => {
    using home = await twoEndpoints();
    const suggested = await home.run(['map', 'suggest', 'vc-a', 'vc-b', '--accept']);
    const store = new DatabaseSync(storePath(home.home));
    store.exec(`
      delete from kysely_migration where name >= '0002-mapping-names'; drop table rule;
      alter table mapping drop column fromName; alter table mapping drop column toName; alter table mapping drop column testName`);
    store.close();

    await home.run(['site', 'add', 'site-c']);
    const { out } = await home.run(['map', 'list']);

    expect(suggested.out).to.match(/network +vc-a\/production +vc-b\/production/);
    expect(out).to.match(/network +vc-a\/Network:network-7 +vc-b\/Network:network-70 +isolated\n/);
  });
});
