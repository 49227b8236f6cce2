import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Kysely, type SqliteDatabase, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { DrError } from '../contract/index.ts';
import { MIGRATIONS } from './migrations.ts';
import type { Schema } from './schema.ts';

export type Db = Kysely<Schema>;

/** SQLite's result codes that an operator can do something about; https://sqlite.org/rescode.html. */
const BUSY = 5;
const IO_ERROR = 10;
const FULL = 13;

const translate = (error: unknown, path: string): unknown => {
  const code = Number((error as { readonly errcode?: unknown }).errcode) & 0xff;
  const seen = error instanceof Error ? error.message : String(error);
  if (code === BUSY) return new DrError('STORE_BUSY', `the state store ${path} is busy`, { context: { path }, cause: error });
  if (code === FULL || code === IO_ERROR) {
    return new DrError('JOURNAL_FULL', `the state store ${path} cannot be written: ${seen}`, {
      context: { path },
      hint: 'free space on the disk of the home, or check that disk; nothing that was acknowledged is lost',
      cause: error,
    });
  }
  return error;
};

/** What Kysely's dialect wants of a driver, over node:sqlite. */
const asDriver = (database: DatabaseSync, path: string): SqliteDatabase => {
  const attempt = <T>(run: () => T): T => {
    try {
      return run();
    } catch (error) {
      throw translate(error, path);
    }
  };
  return {
    close: () => database.close(),
    prepare: (sql) => {
      const statement = attempt(() => database.prepare(sql));
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => attempt(() => statement.all(...(parameters as SQLInputValue[]))),
        run: (parameters) => attempt(() => statement.run(...(parameters as SQLInputValue[]))),
        iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])) as IterableIterator<unknown>,
      };
    },
  };
};

export interface Store {
  readonly db: Db;
  /** Commits what `work` did, or nothing. Transactions run one after the other. */
  transaction<T>(work: (tx: Db) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** A missing store is created unless `readOnly`. Throws ENGINE_NEWER, before anything is touched, when a newer release wrote it. */
export const openStore = async (path: string, options: { readonly readOnly?: boolean } = {}): Promise<Store> => {
  const database = openFile(path, options.readOnly === true);
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: asDriver(database, path) }) });
  try {
    refuseNewer(database, path);
    if (!options.readOnly) await migrate(db, path);
  } catch (error) {
    await db.destroy();
    throw translate(error, path);
  }
  return storeOver(db);
};

/** Runs over a database that the caller owns: the fault sweep keeps one through many "crashes" of the engine. */
export const storeOver = (db: Db): Store => ({
  db,
  transaction: (work) => db.transaction().execute((tx) => work(tx)),
  close: () => db.destroy(),
});

const openFile = (path: string, readOnly: boolean): DatabaseSync => {
  try {
    const database = new DatabaseSync(path, { readOnly, timeout: 5_000, enableForeignKeyConstraints: true });
    if (!readOnly) database.exec('pragma journal_mode = wal; pragma synchronous = full;');
    return database;
  } catch (error) {
    const known = translate(error, path);
    if (known instanceof DrError) throw known;
    throw new DrError('NOT_FOUND', `cannot open the state store ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      context: { path, kind: 'store' },
      hint: 'check that WARMSITE_HOME names a folder that you may write to',
      cause: error,
    });
  }
};

const refuseNewer = (database: DatabaseSync, path: string): void => {
  const known = database.prepare("select count(*) as n from sqlite_master where type = 'table' and name = 'kysely_migration'").get();
  if (known?.['n'] === 0) return;
  const names = database
    .prepare('select name from kysely_migration order by name')
    .all()
    .map((row) => String(row['name']));
  const foreign = names.filter((name) => !(name in MIGRATIONS));
  if (foreign.length === 0) return;
  throw new DrError('ENGINE_NEWER', `the state store ${path} was written by a newer release (it has ${foreign.join(', ')})`, {
    context: { path },
  });
};

const migrate = async (db: Db, path: string): Promise<void> => {
  const { error } = await new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } }).migrateToLatest();
  if (error) throw new DrError('INTERNAL', `cannot prepare the state store ${path}`, { context: { path }, cause: error });
};
