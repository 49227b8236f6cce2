import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { DrError } from '../../core/contract/errors.ts';
import type { Geometry } from './device.ts';

/** The unit of sizes in /sys, whatever the disk's sectors are. */
const SYS_SECTOR = 512;

export interface DiskFile {
  readonly file: FileHandle;
  readonly geometry: Geometry;
}

/**
 * Opens a disk of Linux, or a regular file in its place. Undefined when there is no medium in it yet; Node's own error where opening fails.
 * A block device is opened for direct I/O. A disk that was attached anew has an empty cache, but one that was detached and attached while the guest
 * missed it (LSI Logic parallel) keeps its cache over changed content, and a copy of a whole disk would push everything else out of memory.
 */
export const openDiskFile = async (path: string, forWriting: boolean): Promise<DiskFile | undefined> => {
  const direct = (await stat(path)).isBlockDevice() ? constants.O_DIRECT : 0;
  // Without O_CREAT, O_EXCL means of a block device: nobody else has claimed it (a file system on one of its partitions neither), and nobody can until it is closed.
  const access = forWriting ? constants.O_RDWR | constants.O_EXCL : constants.O_RDONLY;
  const file = await open(path, access | direct);
  try {
    const geometry = await geometryOf(file, path);
    if (geometry && forWriting && geometry.readOnly) throw readOnly(path);
    if (geometry) return { file, geometry };
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
};

const geometryOf = async (file: FileHandle, path: string): Promise<(Geometry & { readonly readOnly: boolean }) | undefined> => {
  const status = await file.stat();
  if (status.isFile()) return { path, sizeBytes: status.size, logicalSectorBytes: SYS_SECTOR, readOnly: false };
  if (!status.isBlockDevice()) throw new DrError('STATE_CONFLICT', `${path} is not a disk`, { context: { path } });
  const folder = `/sys/dev/block/${majorOf(status.rdev)}:${minorOf(status.rdev)}`;
  const read = async (name: string): Promise<number> => Number(await readFile(`${folder}/${name}`, 'utf8'));
  const [sectors, ro] = await Promise.all([read('size'), read('ro')]);
  if (sectors === 0) return undefined;
  return { path, sizeBytes: sectors * SYS_SECTOR, logicalSectorBytes: await sectorOf(read), readOnly: ro === 1 };
};

/** A partition has its disk's, whose folder its own is in. */
const sectorOf = async (read: (name: string) => Promise<number>): Promise<number> => {
  const isPartition = await read('partition').then(
    () => true,
    () => false,
  );
  return read(isPartition ? '../queue/logical_block_size' : 'queue/logical_block_size');
};

// As glibc packs them. Node gives the packed number only, which may have more than 32 bits.
const majorOf = (rdev: number): number => Math.floor(rdev / 256) % 4096;
const minorOf = (rdev: number): number => (rdev % 256) + (Math.floor(rdev / 2 ** 20) % 2 ** 24) * 256;

/** Linux opens it for writing all the same, and refuses each write. */
const readOnly = (path: string): DrError =>
  new DrError('PERMISSION_DENIED', `${path} is read-only`, { hint: 'attach the disk writable', context: { path } });
