// Reads of the state store while nobody runs on the home: no lock, no write, no endpoint.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DrError } from '../core/contract/index.ts';
import { storePath } from '../core/engine/home.ts';
import { Engine } from '../core/engine.ts';
import { Registry } from '../core/host/registry.ts';
import { type File, type Files, systemFiles } from '../core/ports/files.ts';
import { newSystemId, systemClock } from '../core/ports/runtime.ts';
import { openStore } from '../core/state/database.ts';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** Ends without a write what opening a journal or the marks of a site would tidy up: whoever holds the home next does it. */
const dropped = async (): Promise<void> => undefined;
const withoutWrites = (file: File): File => ({
  read: (position, into) => file.read(position, into),
  sizeBytes: () => file.sizeBytes(),
  close: () => file.close(),
  write: dropped,
  truncate: dropped,
  sync: dropped,
});
const emptyFile: File = { read: async () => 0, sizeBytes: async () => 0, close: dropped, write: dropped, truncate: dropped, sync: dropped };

/** What is not there is empty: a site that nothing was stored for has no folder, and gets none by being looked at. */
const readingFiles: Files = {
  open: async (path) => ((await systemFiles.exists(path)) ? withoutWrites(await systemFiles.open(path, 'read')) : emptyFile),
  list: systemFiles.list,
  exists: systemFiles.exists,
  rename: dropped,
  remove: dropped,
  makeDirectory: dropped,
  syncDirectory: dropped,
};

const refuseSecret = (): never => {
  throw new DrError('INTERNAL', 'a look at the store asked for a secret');
};

export interface Reader extends AsyncDisposable {
  call(operation: string, input: unknown, caller: { readonly actor: string }): Promise<unknown>;
}

/** A home without a store answers as one in which nothing has been set up. */
export const openReaderEngine = async (home: string): Promise<Reader> => {
  const path = storePath(home);
  const store = existsSync(path) ? await openStore(path, { readOnly: true }) : await openStore(':memory:');
  const engine = await Engine.open({
    home,
    runtime: { clock: systemClock, newId: newSystemId, log: silent },
    files: readingFiles,
    store,
    registry: new Registry(),
    resolveSecret: refuseSecret,
    scratchDir: join(home, 'scratch'),
    readOnly: true,
  });
  const abandoned = !homeIsLocked(home);
  return {
    call: async (operation, input, caller) => {
      const answer = await engine.call(operation, input, caller);
      return abandoned ? showInterrupted(answer) : answer;
    },
    [Symbol.asyncDispose]: async () => {
      await engine[Symbol.asyncDispose]();
      await store.close();
    },
  };
};

/** An engine holds the home. Asks without writing: the lock is an exclusive transaction, which no reader passes. */
export const homeIsLocked = (home: string): boolean => {
  const path = join(home, 'engine.lock.db');
  if (!existsSync(path)) return false;
  const database = new DatabaseSync(path, { readOnly: true, timeout: 0 });
  try {
    database.prepare('select count(*) from sqlite_master').get();
    return false;
  } catch {
    return true;
  } finally {
    database.close();
  }
};

const hasJobState = (value: object): value is { state: string; verb: string } => 'state' in value && 'verb' in value && 'target' in value;

/** A job that was running when its engine died is not running now, whatever its row says. */
const showInterrupted = (answer: unknown): unknown => {
  if (Array.isArray(answer)) return answer.map(showInterrupted);
  if (answer === null || typeof answer !== 'object') return answer;
  if (hasJobState(answer)) return ['Running', 'Queued'].includes(answer.state) ? { ...answer, state: 'Interrupted' } : answer;
  if ('jobs' in answer && 'sentence' in answer) return { ...answer, jobs: showInterrupted(answer.jobs) };
  return answer;
};
