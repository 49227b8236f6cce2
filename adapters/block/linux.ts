import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DrError } from '../../core/contract/errors.ts';
import { deviceError, OpenDevice } from './device.ts';
import { openDiskFile } from './disk-file.ts';
import type { BlockDevice, BlockDevices, OpenBlockDevices, OpenBlockOptions } from './port.ts';

/** udev makes the link some hundred milliseconds after the disk was attached. */
const POLL_MS = 100;

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

const tryToOpen = async (path: string, uuid: string, forWriting: boolean): Promise<BlockDevice | undefined> => {
  try {
    const opened = await openDiskFile(path, forWriting);
    return opened && new OpenDevice(opened.file, opened.geometry, forWriting);
  } catch (error) {
    if (NOT_YET.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw deviceError(error, `opening ${path}`, { disk: uuid, path });
  }
};

const notThere = (uuid: string, paths: readonly string[], { deadlineMs }: OpenBlockOptions): DrError =>
  new DrError('TIMED_OUT', `disk ${uuid} did not appear as ${paths.join(' or ')} in ${deadlineMs} ms`, {
    hint: 'set disk.EnableUUID to TRUE in the advanced settings of the machine that warmsite runs on, and attach disks to a SCSI controller',
    context: { disk: uuid, deadlineMs },
  });
