// One engine per home: an exclusive transaction on a file of its own, held for life and freed by the kernel on death.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DrError } from '../contract/index.ts';

/** `$WARMSITE_HOME`, else per XDG. */
export const homeDirectory = (env: Readonly<Record<string, string | undefined>>): string =>
  env['WARMSITE_HOME'] || join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'warmsite');

export const storePath = (home: string): string => join(home, 'state.db');
export const socketPath = (home: string): string => join(home, 'engine.sock');

export interface HomeLock extends Disposable {
  readonly home: string;
}

const unusable = (home: string, cause: unknown): DrError =>
  new DrError('CONFIG_INVALID', `cannot use ${home} as home: ${cause instanceof Error ? cause.message : String(cause)}`, {
    context: { path: home },
    hint: 'set WARMSITE_HOME to a folder that you may write to',
    cause,
  });

const SQLITE_BUSY = 5;
const isBusy = (error: unknown): boolean => (error as { errcode?: number }).errcode === SQLITE_BUSY;

/** Throws LOCKED_BY with the holder's process id when another engine runs on this home, CONFIG_INVALID when it cannot be written to. */
export const lockHome = (home: string): HomeLock => {
  const pidPath = join(home, 'engine.pid');
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    database = new DatabaseSync(join(home, 'engine.lock.db'), { timeout: 0 });
    database.exec('begin exclusive');
    writeFileSync(pidPath, `${process.pid}\n`);
  } catch (error) {
    database?.close();
    if (!isBusy(error)) throw unusable(home, error);
    const pid = readPid(pidPath);
    throw new DrError('LOCKED_BY', `another warmsite engine${pid ? ` (process ${pid})` : ''} runs on ${home}`, {
      context: { path: home, ...(pid ? { pid } : {}) },
      hint: 'wait until that command has ended; with warmsite serve as the engine, several commands work at once',
      cause: error,
    });
  }
  const held = database;
  return { home, [Symbol.dispose]: () => held.close() };
};

const readPid = (path: string): number | undefined => {
  try {
    return Number.parseInt(readFileSync(path, 'utf8'), 10) || undefined;
  } catch {
    return undefined;
  }
};
