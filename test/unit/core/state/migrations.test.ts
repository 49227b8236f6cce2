import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { openStore } from '../../../../core/state/database.ts';
import { listItems } from '../../../../core/state/items.ts';

const OLD = {
  id: 'it-1',
  name: 'erp',
  groupId: 'gr-1',
  state: { protection: 'Protected', sync: { is: 'Delta' }, test: 'None', active: { site: 'a' }, direction: { from: 'a', to: 'b' } },
  source: { site: 'a', endpoint: 'x', machine: 'm', name: 'erp' },
  replica: { site: 'b', endpoint: 'y', machine: 'r', name: 'erp' },
};

describe('a store of before there were two ways to replicate', () => {
  it('has journaled items after it was opened', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ws-migrate-'));
    const path = join(folder, 'state.db');
    try {
      await (await openStore(path)).close();
      const db = new DatabaseSync(path);
      db.exec("delete from kysely_migration where name >= '0003-replication-method'; drop table rule");
      db.exec("insert into protectionGroup values ('gr-1', 'erp', 'default', 'a', 'b', '')");
      db.prepare('insert into item values (?, ?, ?, ?, ?, 1)').run(OLD.id, OLD.groupId, OLD.name, 'x\nm', JSON.stringify(OLD));
      db.close();

      const store = await openStore(path);
      const items = await listItems(store.db);
      await store.close();

      expect(items).to.deep.equal([{ ...OLD, method: 'journaled' }]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
