import type { FileHandle } from 'node:fs/promises';
import { DrError } from '../../core/contract/errors.ts';
import type { Geometry } from '../block/device.ts';
import { Slots } from '../block/slots.ts';

const SECTORS = [512, 4096];

/** ERROR_INVALID_PARAMETER is EINVAL to libuv; ERROR_SECTOR_NOT_FOUND it does not know (1.51, `uv_translate_sys_error`). A bad sector is EIO: an error, never the end. */
const NOT_THERE = ['EINVAL', 'UNKNOWN'];

/** A disk of 8 EiB: more than any offset of ours can name. */
const MOST_BYTES: number = 2 ** 53;

/**
 * Size and sector of a disk that has no other way to tell them: Windows does not know the size of `\\.\PhysicalDriveN` by fstat, and its ioctls are out
 * of Node's reach. Asked of the disk itself, by some forty reads of one sector, because a size that a caller passes on may be of another disk by then.
 */
export const probe = async (file: FileHandle, path: string): Promise<Geometry> => {
  const buffer = await new Slots(1, 64 << 10).take(undefined);
  const isThere = async (offset: number, bytes: number): Promise<boolean> => {
    try {
      return (await file.read(buffer, 0, bytes, offset)).bytesRead === bytes;
    } catch (error) {
      if (NOT_THERE.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  };
  for (const logicalSectorBytes of SECTORS) {
    if (!(await isThere(0, logicalSectorBytes))) continue;
    const sectors = await countOf((index) => isThere(index * logicalSectorBytes, logicalSectorBytes), MOST_BYTES / logicalSectorBytes);
    return { path, sizeBytes: sectors * logicalSectorBytes, logicalSectorBytes };
  }
  throw new DrError('STATE_CONFLICT', `${path} gives neither a sector of 512 bytes nor one of 4096`, {
    hint: 'check that the disk is attached and has a medium',
    context: { path },
  });
};

/** How many there are, of things that have no gaps and of which there is one: up in doubles, then by halves. */
const countOf = async (isThere: (index: number) => Promise<boolean>, most: number): Promise<number> => {
  let there = 0;
  let missing = 2048;
  while (missing < most && (await isThere(missing))) {
    there = missing;
    missing *= 2;
  }
  while (missing - there > 1) {
    const middle = Math.floor((there + missing) / 2);
    if (await isThere(middle)) there = middle;
    else missing = middle;
  }
  return there + 1;
};
