// Two implementations: node:fs (here) and the in-memory one of the fault sweep (test/support/memory-files.ts), which drops what was not synced when it "crashes".
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { DrError } from '../contract/index.ts';

/**
 * Reads and writes are positional and complete: a short read means the end of the file, a write is whole or throws. What the system refuses comes
 * as a DrError that names the path.
 */
export interface File {
  /** Returns the number of bytes read; less than asked for only at the end of the file. */
  read(position: number, into: Uint8Array): Promise<number>;
  write(position: number, data: Uint8Array): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  sizeBytes(): Promise<number>;
  /** Data and size are durable after. A failed sync is never retried as if it had worked. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Files {
  /** `create` truncates an existing file; the others throw NOT_FOUND when there is none. */
  open(path: string, how: 'read' | 'update' | 'create'): Promise<File>;
  rename(from: string, to: string): Promise<void>;
  /** Succeeds when gone; a folder goes with everything in it. */
  remove(path: string): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  /** Names in a folder, sorted; empty when there is no such folder. */
  list(path: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  /** Makes creations, renames and removals in the folder durable. */
  syncDirectory(path: string): Promise<void>;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

const translate = (error: unknown, path: string): unknown => {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new DrError('JOURNAL_FULL', `no space left to write ${path}`, { context: { path }, cause: error });
  if (code === 'ENOENT') return new DrError('NOT_FOUND', `no file ${path}`, { context: { path, kind: 'file' }, cause: error });
  if ((error as NodeJS.ErrnoException).errno === undefined) return error;
  return new DrError('INTERNAL', `the system cannot do what ${path} needs: ${(error as Error).message}`, {
    hint: 'look at the disk that holds it, at its rights, and at the log of the system',
    context: { path },
    cause: error,
  });
};

const attempt = async <T>(path: string, run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    throw translate(error, path);
  }
};

class SystemFile implements File {
  readonly #handle: FileHandle;
  readonly #path: string;

  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  read(position: number, into: Uint8Array): Promise<number> {
    return attempt(this.#path, async () => {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(position: number, data: Uint8Array): Promise<void> {
    return attempt(this.#path, async () => {
      let done = 0;
      while (done < data.length) done += (await this.#handle.write(data, done, data.length - done, position + done)).bytesWritten;
    });
  }

  truncate(sizeBytes: number): Promise<void> {
    return attempt(this.#path, () => this.#handle.truncate(sizeBytes));
  }

  sizeBytes(): Promise<number> {
    return attempt(this.#path, async () => (await this.#handle.stat()).size);
  }

  sync(): Promise<void> {
    return attempt(this.#path, () => this.#handle.sync());
  }

  close(): Promise<void> {
    return attempt(this.#path, () => this.#handle.close());
  }
}

const FLAGS = { read: 'r', update: 'r+', create: 'w+' } as const;

export const systemFiles: Files = {
  open: (path, how) => attempt(path, async () => new SystemFile(await open(path, FLAGS[how]), path)),
  rename: (from, to) => attempt(from, () => rename(from, to)),
  remove: (path) => attempt(path, () => rm(path, { recursive: true, force: true })),
  makeDirectory: (path) => attempt(path, async () => void (await mkdir(path, { recursive: true }))),
  list: async (path) => {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw translate(error, path);
    }
  },
  exists: async (path) => {
    try {
      await stat(path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw translate(error, path);
    }
  },
  syncDirectory: (path) =>
    attempt(path, async () => {
      const handle = await open(path, 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }),
};
