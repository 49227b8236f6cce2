import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { Schema } from './schema.ts';

type Db = Kysely<unknown>;

const first: Migration = {
  up: async (db: Db) => {
    const table = (name: string) => db.schema.createTable(name);
    await table('meta')
      .addColumn('key', 'text', (c) => c.primaryKey())
      .addColumn('value', 'text', (c) => c.notNull())
      .execute();
    await table('site')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('name', 'text', (c) => c.notNull())
      .execute();
    await table('endpoint')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('site', 'text', (c) => c.notNull().references('site.id'))
      .addColumn('plugin', 'text', (c) => c.notNull())
      .addColumn('config', 'text', (c) => c.notNull())
      .addColumn('createdAt', 'text', (c) => c.notNull())
      .execute();
    await table('mapping')
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('fromEndpoint', 'text', (c) => c.notNull())
      .addColumn('fromPlace', 'text', (c) => c.notNull())
      .addColumn('toEndpoint', 'text', (c) => c.notNull())
      .addColumn('toPlace', 'text', (c) => c.notNull())
      .addColumn('testPlace', 'text')
      .addPrimaryKeyConstraint('mapping_key', ['kind', 'fromEndpoint', 'fromPlace', 'toEndpoint'])
      .execute();
    await table('policy')
      .addColumn('name', 'text', (c) => c.primaryKey())
      .addColumn('spec', 'text', (c) => c.notNull())
      .execute();
    await table('plan')
      .addColumn('name', 'text', (c) => c.primaryKey())
      .addColumn('spec', 'text', (c) => c.notNull())
      .execute();
    await table('protectionGroup')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('name', 'text', (c) => c.notNull().unique())
      .addColumn('policy', 'text', (c) => c.notNull())
      .addColumn('fromSite', 'text', (c) => c.notNull())
      .addColumn('toSite', 'text', (c) => c.notNull())
      .addColumn('createdAt', 'text', (c) => c.notNull())
      .execute();
    await table('item')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('groupId', 'text', (c) => c.notNull().references('protectionGroup.id'))
      .addColumn('name', 'text', (c) => c.notNull())
      .addColumn('sourceKey', 'text', (c) => c.notNull().unique())
      .addColumn('doc', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .execute();
    await db.schema.createIndex('item_group').on('item').column('groupId').execute();
    await table('point')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('itemId', 'text', (c) => c.notNull())
      .addColumn('site', 'text', (c) => c.notNull())
      .addColumn('seq', 'integer', (c) => c.notNull())
      .addColumn('takenAt', 'text', (c) => c.notNull())
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('consistency', 'text', (c) => c.notNull())
      .addColumn('atomicity', 'text', (c) => c.notNull())
      .addColumn('digest', 'text', (c) => c.notNull())
      .addColumn('groupCycle', 'text')
      .addColumn('sealedAt', 'text', (c) => c.notNull())
      .addColumn('appliedAt', 'text')
      .addColumn('dataBytes', 'integer', (c) => c.notNull())
      .addColumn('detail', 'text', (c) => c.notNull())
      .execute();
    await db.schema.createIndex('point_item').on('point').columns(['itemId', 'seq']).execute();
    await table('cycle')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('groupId', 'text', (c) => c.notNull())
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('phase', 'text', (c) => c.notNull())
      .addColumn('startedAt', 'text', (c) => c.notNull())
      .addColumn('endedAt', 'text')
      .addColumn('doc', 'text', (c) => c.notNull())
      .execute();
    await db.schema.createIndex('cycle_open').on('cycle').columns(['endedAt', 'groupId']).execute();
    await table('job')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('verb', 'text', (c) => c.notNull())
      .addColumn('target', 'text', (c) => c.notNull())
      .addColumn('input', 'text', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('actor', 'text', (c) => c.notNull())
      .addColumn('reason', 'text')
      .addColumn('createdAt', 'text', (c) => c.notNull())
      .addColumn('endedAt', 'text')
      .addColumn('noReturn', 'integer', (c) => c.notNull())
      .addColumn('cancelRequested', 'integer', (c) => c.notNull())
      .addColumn('waitingFor', 'text')
      .addColumn('progress', 'text')
      .addColumn('result', 'text')
      .addColumn('error', 'text')
      .execute();
    await table('step')
      .addColumn('jobId', 'text', (c) => c.notNull().references('job.id'))
      .addColumn('name', 'text', (c) => c.notNull())
      .addColumn('ordinal', 'integer', (c) => c.notNull())
      .addColumn('state', 'text', (c) => c.notNull())
      .addColumn('attempts', 'integer', (c) => c.notNull())
      .addColumn('startedAt', 'text', (c) => c.notNull())
      .addColumn('endedAt', 'text')
      .addColumn('result', 'text')
      .addColumn('error', 'text')
      .addPrimaryKeyConstraint('step_key', ['jobId', 'name'])
      .execute();
    await table('signal')
      .addColumn('jobId', 'text', (c) => c.notNull())
      .addColumn('name', 'text', (c) => c.notNull())
      .addColumn('data', 'text', (c) => c.notNull())
      .addColumn('at', 'text', (c) => c.notNull())
      .addPrimaryKeyConstraint('signal_key', ['jobId', 'name'])
      .execute();
    await table('event')
      .addColumn('seq', 'integer', (c) => c.primaryKey().autoIncrement())
      .addColumn('at', 'text', (c) => c.notNull())
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('level', 'text', (c) => c.notNull())
      .addColumn('subject', 'text', (c) => c.notNull())
      .addColumn('jobId', 'text')
      .addColumn('message', 'text', (c) => c.notNull())
      .addColumn('data', 'text')
      .execute();
    await table('audit')
      .addColumn('seq', 'integer', (c) => c.primaryKey().autoIncrement())
      .addColumn('at', 'text', (c) => c.notNull())
      .addColumn('actor', 'text', (c) => c.notNull())
      .addColumn('action', 'text', (c) => c.notNull())
      .addColumn('target', 'text', (c) => c.notNull())
      .addColumn('reason', 'text')
      .addColumn('data', 'text')
      .addColumn('previous', 'text', (c) => c.notNull())
      .addColumn('digest', 'text', (c) => c.notNull())
      .execute();
  },
};

const mappingNames: Migration = {
  up: async (db: Db) => {
    for (const column of ['fromName', 'toName', 'testName']) await db.schema.alterTable('mapping').addColumn(column, 'text').execute();
  },
};

/** Items of before replicate through the journal. They are documents: a release that does not know the field must not open them. */
const replicationMethod: Migration = {
  up: async (db: Db) => {
    const typed = db as Kysely<Pick<Schema, 'item'>>;
    for (const { id, doc } of await typed.selectFrom('item').select(['id', 'doc']).execute()) {
      const item = { method: 'journaled', ...(JSON.parse(doc) as object) };
      await typed
        .updateTable('item')
        .set({ doc: JSON.stringify(item) })
        .where('id', '=', id)
        .execute();
    }
  },
};

const rules: Migration = {
  up: async (db: Db) => {
    await db.schema
      .createTable('rule')
      .addColumn('name', 'text', (c) => c.primaryKey())
      .addColumn('spec', 'text', (c) => c.notNull())
      .addColumn('seen', 'text')
      .execute();
  },
};

/** By name, in order. A store that names a migration which is not here was written by a newer release. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-first': first,
  '0002-mapping-names': mappingNames,
  '0003-replication-method': replicationMethod,
  '0004-rules': rules,
};
