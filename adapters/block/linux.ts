import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DrError } from '../../core/contract/errors.ts';
import { deviceError, type Geometry, OpenDevice } from './device.ts';
import type { BlockDevice, BlockDevices, OpenBlockDevices, OpenBlockOptions } from './port.ts';

/** udev makes the link some hundred milliseconds after the disk was attached. */
const POLL_MS = 100;

/** The unit of sizes in /sys, whatever the disk's sectors are. */
const SYS_SECTOR = 512;

/** Not there, or not any more, or a name without a disk behind it: the right one may still come. */
const NOT_YET = ['ENOENT', 'ENOTDIR', 'ENXIO', 'ENODEV', 'ENOMEDIUM'];

export const openBlockDevices: OpenBlockDevices = (where): BlockDevices => ({
  open: async ({ uuid }, options) => {
    const paths = namesOf(uuid).map((name) => join(where, 'disk', 'by-id', name));
    const until = performance.now() + options.deadlineMs;
    for (;;) {
      options.signal.throwIfAborted();
      for (const path of paths) {
        const device = await tryToOpen(path, uuid, options.forWriting);
        if (!device) continue;
        if (!options.signal.aborted) return device;
        await device[Symbol.asyncDispose]();
      }
      if (performance.now() >= until) throw notThere(uuid, paths, options);
      await sleep(Math.min(POLL_MS, options.deadlineMs), undefined, { signal: options.signal }).catch(() => undefined);
    }
  },
});

/** VMware's disk uuid is the disk's NAA identifier; udev names disks by it, and gives partitions a longer name. */
const namesOf = (uuid: string): readonly string[] => {
  const digits = uuid.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(digits)) throw new DrError('INTERNAL', `${uuid} is not the uuid of a disk`);
  return [`wwn-0x${digits}`, `scsi-3${digits}`];
};

/**
 * A block device is opened for direct I/O. A disk that was attached anew has an empty cache, but one that was detached and attached while the guest
 * missed it (LSI Logic parallel) keeps its cache over changed content, and a copy of a whole disk would push everything else out of memory.
 */
const tryToOpen = async (path: string, uuid: string, forWriting: boolean): Promise<BlockDevice | undefined> => {
  let file: FileHandle | undefined;
  try {
    const direct = (await stat(path)).isBlockDevice() ? constants.O_DIRECT : 0;
    // Without O_CREAT, O_EXCL means of a block device: nobody else has claimed it, and nobody can until it is closed.
    const access = forWriting ? constants.O_RDWR | constants.O_EXCL : constants.O_RDONLY;
    file = await open(path, access | direct);
    const geometry = await geometryOf(file, path);
    if (geometry && forWriting && geometry.readOnly) throw readOnly(path);
    if (geometry) return new OpenDevice(file, geometry, forWriting);
    await file.close();
    return undefined;
  } catch (error) {
    await file?.close();
    if (NOT_YET.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw deviceError(error, `opening ${path}`, { disk: uuid, path });
  }
};

/** Undefined when there is no medium in it yet. */
const geometryOf = async (file: FileHandle, path: string): Promise<(Geometry & { readonly readOnly: boolean }) | undefined> => {
  const status = await file.stat();
  if (status.isFile()) return { path, sizeBytes: status.size, logicalSectorBytes: SYS_SECTOR, readOnly: false };
  if (!status.isBlockDevice()) throw new DrError('STATE_CONFLICT', `${path} is not a disk`, { context: { path } });
  const folder = `/sys/dev/block/${majorOf(status.rdev)}:${minorOf(status.rdev)}`;
  const names = ['size', 'queue/logical_block_size', 'ro'];
  const [sectors = 0, logicalSectorBytes = 0, ro] = await Promise.all(names.map((name) => numberIn(join(folder, name))));
  return sectors > 0 ? { path, sizeBytes: sectors * SYS_SECTOR, logicalSectorBytes, readOnly: ro === 1 } : undefined;
};

const numberIn = async (path: string): Promise<number> => Number(await readFile(path, 'utf8'));

// As glibc packs them. Node gives the packed number only, which may have more than 32 bits.
const majorOf = (rdev: number): number => Math.floor(rdev / 256) % 4096;
const minorOf = (rdev: number): number => (rdev % 256) + (Math.floor(rdev / 2 ** 20) % 2 ** 24) * 256;

/** Linux opens it for writing all the same, and refuses each write. */
const readOnly = (path: string): DrError =>
  new DrError('PERMISSION_DENIED', `${path} is read-only`, { hint: 'attach the disk writable', context: { path } });

const notThere = (uuid: string, paths: readonly string[], { deadlineMs }: OpenBlockOptions): DrError =>
  new DrError('TIMED_OUT', `disk ${uuid} did not appear as ${paths.join(' or ')} in ${deadlineMs} ms`, {
    hint: 'set disk.EnableUUID to TRUE in the advanced settings of the machine that warmsite runs on, and attach disks to a SCSI controller',
    context: { disk: uuid, deadlineMs },
  });
