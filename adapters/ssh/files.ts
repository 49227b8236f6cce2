import { randomUUID } from 'node:crypto';
import { posix } from 'node:path';
import type { Stats } from 'ssh2';
import { DrError } from '../../core/contract/errors.ts';
import { isStatus, type Sftp, STATUS } from './sftp.ts';

/** What every server takes (draft-ietf-secsh-filexfer-02, 3: 34000 bytes in a packet), and how many are under way at once. */
const PIECE_BYTES = 32 << 10;
const IN_FLIGHT = 16;

/** What is read here is configuration and marks; more would be a mistake, or a host that means ill. */
const MAX_READ_BYTES = 64 << 20;

const CLEAN_UP_MS = 2000;

/** The file is there in full, or as it was before. A host or link that dies in the middle leaves the temporary file. */
export const putFile = async (sftp: Sftp, path: string, content: Uint8Array): Promise<void> => {
  checkPath(path);
  await makeFolder(sftp, posix.dirname(path));
  const part = `${path}.${randomUUID()}.part`;
  try {
    await write(sftp, part, content);
    await replace(sftp, part, path);
  } catch (error) {
    await sftp.lastCall(CLEAN_UP_MS, (raw, done) => raw.unlink(part, (failed) => done(failed)));
    throw error;
  }
};

export const readFile = async (sftp: Sftp, path: string): Promise<Uint8Array | undefined> => {
  checkPath(path);
  const handle = await sftp
    .call<Buffer>('opening the file', path, (raw, done) => raw.open(path, 'r', done))
    .catch((error: unknown) => {
      if (isStatus(error, STATUS.noSuchFile)) return;
      throw error;
    });
  if (handle === undefined) return;
  try {
    const { size } = await sftp.call<Stats>('looking at the file', path, (raw, done) => raw.fstat(handle, done));
    if (size > MAX_READ_BYTES) {
      throw new DrError('STATE_CONFLICT', `the file ${path} is too large to be what it should be`, { context: { path, sizeBytes: size } });
    }
    const content = new Uint8Array(size);
    let end = size;
    await inPieces(size, async (at, length) => {
      const read = await readPiece(sftp, path, handle, content.subarray(at, at + length), at);
      if (read < length) end = Math.min(end, at + read);
    });
    return content.subarray(0, end);
  } finally {
    await sftp.lastCall(CLEAN_UP_MS, (raw, done) => raw.close(handle, (failed) => done(failed)));
  }
};

/** Fewer bytes than asked for only at the end of the file. */
const readPiece = async (sftp: Sftp, path: string, handle: Buffer, into: Uint8Array, offset: number): Promise<number> => {
  let at = 0;
  while (at < into.length) {
    const rest = Buffer.from(into.buffer, into.byteOffset + at, into.length - at);
    const read = await sftp
      .call<number>('reading the file', path, (raw, done) => raw.read(handle, rest, 0, rest.length, offset + at, done))
      .catch((error: unknown) => {
        if (isStatus(error, STATUS.endOfFile)) return 0;
        throw error;
      });
    if (read === 0) break;
    at += read;
  }
  return at;
};

const write = async (sftp: Sftp, path: string, content: Uint8Array): Promise<void> => {
  // Exclusive: nobody else's file or link is written through.
  const handle = await sftp.call<Buffer>('creating the file', path, (raw, done) => raw.open(path, 'wx', done));
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.length);
  let isWritten = false;
  try {
    await inPieces(bytes.length, (at, length) =>
      sftp.call<void>('writing', path, (raw, done) => raw.write(handle, bytes, at, length, at, (error) => done(error))),
    );
    isWritten = true;
  } catch (error) {
    throw isStatus(error, STATUS.failure) ? await whyNotWritten(sftp, path, handle, bytes.length, error as DrError) : error;
  } finally {
    if (!isWritten) await sftp.lastCall(CLEAN_UP_MS, (raw, done) => raw.close(handle, (failed) => done(failed)));
  }
  // Some servers tell only now that there was no space.
  await sftp.call<void>('closing the file', path, (raw, done) => raw.close(handle, (error) => done(error)));
};

/** SFTP has one status for all that goes wrong in a write; OpenSSH can be asked how much space there is. */
const whyNotWritten = async (sftp: Sftp, path: string, handle: Buffer, needBytes: number, error: DrError): Promise<DrError> => {
  const space = await sftp
    .call<{ readonly f_bavail: number; readonly f_frsize: number }>('asking for free space', path, (raw, done) =>
      raw.ext_openssh_fstatvfs(handle, done as Parameters<typeof raw.ext_openssh_fstatvfs>[1]),
    )
    .catch(() => undefined);
  const freeBytes = space === undefined ? undefined : Number(space.f_bavail) * Number(space.f_frsize);
  if (freeBytes !== undefined && freeBytes >= needBytes) return error;
  return new DrError('TARGET_FULL', `the file system of ${path} has no space for ${needBytes} bytes`, {
    hint: 'free space on the host, or look at the quota of the account',
    context: { path, needBytes, ...(freeBytes !== undefined && { freeBytes }) },
    cause: error,
  });
};

/** Over an existing file in one step where the server can; the rename of SFTP itself refuses that. */
const replace = async (sftp: Sftp, from: string, to: string): Promise<void> => {
  try {
    return await sftp.call<void>('renaming the file', to, (raw, done) => raw.ext_openssh_rename(from, to, (error) => done(error)));
  } catch (error) {
    if (!isStatus(error, STATUS.unsupported)) throw error;
  }
  await sftp
    .call<void>('removing the old file', to, (raw, done) => raw.unlink(to, (error) => done(error)))
    .catch((error: unknown) => {
      if (!isStatus(error, STATUS.noSuchFile)) throw error;
    });
  await sftp.call<void>('renaming the file', to, (raw, done) => raw.rename(from, to, (error) => done(error)));
};

/** With the ones above it. Somebody else may make it at the same time. */
const makeFolder = async (sftp: Sftp, path: string): Promise<void> => {
  if (await isFolder(sftp, path)) return;
  const above = posix.dirname(path);
  if (above !== path) await makeFolder(sftp, above);
  try {
    await sftp.call<void>('making the folder', path, (raw, done) => raw.mkdir(path, (error) => done(error)));
  } catch (error) {
    if (!isStatus(error, STATUS.failure) || !(await isFolder(sftp, path))) throw error;
  }
};

const isFolder = async (sftp: Sftp, path: string): Promise<boolean> => {
  try {
    return (await sftp.call<Stats>('looking at the folder', path, (raw, done) => raw.stat(path, done))).isDirectory();
  } catch (error) {
    if (isStatus(error, STATUS.noSuchFile)) return false;
    throw error;
  }
};

/** A few pieces at once; the first error ends it when the others have come back, or when the session's own signals abort. */
const inPieces = async (sizeBytes: number, work: (at: number, length: number) => Promise<void>): Promise<void> => {
  let next = 0;
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    while (next < sizeBytes && !hasFailed) {
      const at = next;
      next += PIECE_BYTES;
      await work(at, Math.min(PIECE_BYTES, sizeBytes - at)).catch((error: unknown) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  const results = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, worker));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
};

const checkPath = (path: string): void => {
  if (path !== '' && !path.endsWith('/') && !path.includes('\0')) return;
  throw new DrError('INTERNAL', `not a path of a file: ${JSON.stringify(path)}`, { context: { path } });
};
