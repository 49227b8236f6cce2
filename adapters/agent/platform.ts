// All that differs between the systems an agent runs on. Tests run the one of Windows over files and loop devices of Linux.
import type { Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { isAbsolute, sep } from 'node:path';
import { DrError } from '../../core/contract/errors.ts';
import type { Geometry } from '../block/device.ts';
import { openDiskFile } from '../block/disk-file.ts';
import { probe } from './probe.ts';
import { plain } from './wire.ts';

/** A disk that may be opened, by whatever name it was asked for. */
export interface FoundDisk {
  readonly path: string;
  /** The same for all names of one disk. */
  readonly key: string;
}

export interface OpenedDisk {
  readonly file: FileHandle;
  readonly geometry: Geometry;
  /** Gives back what the opening has claimed beside the file. */
  readonly release?: () => Promise<void>;
}

export interface Platform {
  readonly name: 'linux' | 'windows';
  /** PERMISSION_DENIED for a path that no client has business with. */
  find(path: string): Promise<FoundDisk>;
  /** Node's own errors pass through. FILE_LOCKED where another process writes to it. */
  open(disk: FoundDisk, forWriting: boolean): Promise<OpenedDisk>;
}

const refused = (path: string, expected: string): DrError =>
  new DrError('PERMISSION_DENIED', `the agent does not open ${plain(path, 200)}`, {
    hint: `name ${expected}`,
    context: { path: plain(path, 200) },
  });

const keyOf = (status: Stats): string => (status.isBlockDevice() ? `block ${status.rdev}` : `file ${status.dev} ${status.ino}`);

/** Disks below /dev; and regular files below `filesFolder`, where there is one. Links are followed, and judged by where they lead. */
export const linuxPlatform = (filesFolder: string | undefined): Platform => ({
  name: 'linux',
  find: async (asked) => {
    const expected = filesFolder === undefined ? 'a disk below /dev' : `a disk below /dev or a file below ${filesFolder}`;
    if (!isAbsolute(asked) || asked.includes('\0')) throw refused(asked, expected);
    const path = await realpath(asked);
    const status = await stat(path);
    if (status.isBlockDevice() && path.startsWith('/dev/')) return { path, key: keyOf(status) };
    const folder = filesFolder === undefined ? undefined : await realpath(filesFolder);
    if (status.isFile() && folder !== undefined && path.startsWith(folder + sep)) return { path, key: keyOf(status) };
    throw refused(asked, expected);
  },
  open: async ({ path, key }, forWriting) => {
    const opened = await openDiskFile(path, forWriting);
    if (!opened) throw new DrError('NOT_FOUND', `${path} has no medium`, { context: { kind: 'disk', path } });
    const { sizeBytes, logicalSectorBytes } = opened.geometry;
    const isSame = await opened.file.stat().then((status) => keyOf(status) === key);
    if (isSame && sizeBytes % logicalSectorBytes === 0) return opened;
    await opened.file.close();
    const what = isSame ? `has ${sizeBytes} bytes, which are no whole sectors` : 'became another disk while it was opened';
    throw new DrError('STATE_CONFLICT', `${path} ${what}`, { context: { path } });
  },
});

/** Of system calls that tests stand in for. */
export interface WindowsCalls {
  readonly open: (path: string, flags: string) => Promise<FileHandle>;
  /** What names of pipes begin with. */
  readonly pipes: string;
}

const WINDOWS_CALLS: WindowsCalls = { open, pipes: '\\\\.\\pipe\\' };

export const windowsPlatform = (calls: WindowsCalls = WINDOWS_CALLS): Platform => ({
  name: 'windows',
  find: async (asked) => {
    const [, digits] = /^\\\\\.\\PhysicalDrive(0|[1-9]\d{0,4})$/i.exec(asked) ?? [];
    if (digits === undefined) throw refused(asked, 'a disk as \\\\.\\PhysicalDrive and its number');
    return { path: `\\\\.\\PhysicalDrive${digits}`, key: `disk ${digits}` };
  },
  open: async ({ path, key }, forWriting) => {
    // Windows has no claim on a disk that ends with its process. A name in its table of pipes is one.
    const claim = forWriting ? await claimName(`${calls.pipes}warmsite-agent ${key}`, path) : undefined;
    try {
      const file = await calls.open(path, forWriting ? 'r+' : 'r');
      try {
        return { file, geometry: await probe(file, path), ...(claim && { release: claim }) };
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      await claim?.();
      throw error;
    }
  },
});

/** Ours alone until the returned function is called, or this process ends. */
const claimName = async (name: string, path: string): Promise<() => Promise<void>> => {
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(name, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new DrError('FILE_LOCKED', `another agent on this host writes to ${path}`, { cause, context: { path } });
  }
  return () => new Promise((closed) => server.close(() => closed()));
};

/** `filesFolder` is for Linux alone. */
export const platformOf = (system: NodeJS.Platform, filesFolder: string | undefined): Platform => {
  if (system === 'win32' && filesFolder === undefined) return windowsPlatform();
  if (system === 'linux') return linuxPlatform(filesFolder);
  throw new DrError(
    'USAGE',
    filesFolder === undefined ? `the agent does not run on ${system}` : 'files in the place of disks are for linux alone',
    {
      hint: 'run the agent on Windows or Linux, and --files on Linux',
    },
  );
};
