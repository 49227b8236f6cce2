import { execFile } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type DiskId, DrError, type Extent } from '../../core/contract/index.ts';
import { BLOCK_BYTES } from './backing.ts';
import type { Estate } from './estate.ts';
import { growDisk } from './operations/target.ts';
import type { MachineRecord } from './records.ts';
import { isZero, type Volume } from './volume.ts';

interface Context {
  readonly estate: Estate;
  readonly signal?: AbortSignal | undefined;
}

const SECTOR_BYTES = 512;
const PIECE_BYTES = 1 << 20;

/** Copies a user's image into a disk of a machine that is off; the file is only read. The disk takes the size of the image if that is larger. */
export const importImage = async (
  context: Context,
  machine: MachineRecord,
  disk: DiskId,
  path: string,
): Promise<{ copiedBytes: number; method: 'extents' | 'scan' }> => {
  const { estate } = context;
  if (machine.power === 'on')
    throw new DrError('STATE_CONFLICT', `machine ${machine.id} is running`, {
      hint: 'power it off first',
      context: { machine: machine.id },
    });
  await using image = await openImage(path);
  const volume = estate.live(machine, disk);
  if (image.sizeBytes > volume.sizeBytes) growDisk(estate, machine, disk, image.sizeBytes);
  estate.write(machine, disk, 0, volume.sizeBytes);
  let copiedBytes = 0;
  await eachBlock(context, image, (offset, data) => {
    if (isZero(data)) return;
    estate.write(machine, disk, offset, data);
    copiedBytes += data.length;
  });
  estate.touch(machine);
  return { copiedBytes, method: image.method };
};

/** Makes the disk equal to the image by writes of the guest, only where they differ. */
export const applyImage = async (
  context: Context,
  machine: MachineRecord,
  disk: DiskId,
  path: string,
): Promise<{ changedBytes: number; method: 'extents' | 'scan' }> => {
  const { estate } = context;
  await using image = await openImage(path);
  const volume = estate.live(machine, disk);
  if (image.sizeBytes > volume.sizeBytes) growDisk(estate, machine, disk, image.sizeBytes);
  let changedBytes = 0;
  const now = new Uint8Array(BLOCK_BYTES);
  const seen = new Set<number>();
  const apply = (offset: number, data: Uint8Array) => {
    const current = now.subarray(0, data.length);
    volume.read(offset, current);
    if (Buffer.compare(current, data) === 0) return;
    estate.write(machine, disk, offset, data);
    changedBytes += data.length;
  };
  await eachBlock(context, image, (offset, data) => {
    seen.add(offset);
    apply(offset, data);
  });
  // Where the image has a hole the disk must be zero.
  const zeros = new Uint8Array(BLOCK_BYTES);
  for (const extent of [...volume.allocated(0)]) {
    for (let offset = extent.offset; offset < extent.offset + extent.length; offset += BLOCK_BYTES) {
      if (!seen.has(offset)) apply(offset, zeros.subarray(0, Math.min(BLOCK_BYTES, volume.sizeBytes - offset)));
    }
  }
  return { changedBytes, method: image.method };
};

/** Writes a disk into a new sparse file. */
export const exportImage = async (volume: Volume, path: string): Promise<{ writtenBytes: number }> => {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new DrError('STATE_CONFLICT', `${path} cannot be made: a file is there already, or its folder is not`, {
      hint: 'give a path where no file is yet',
      context: { path },
      cause,
    });
  });
  try {
    await file.truncate(volume.sizeBytes);
    let writtenBytes = 0;
    for (const extent of [...volume.allocated(0)]) {
      for (let offset = extent.offset; offset < extent.offset + extent.length; offset += PIECE_BYTES) {
        const data = new Uint8Array(Math.min(PIECE_BYTES, extent.offset + extent.length - offset));
        volume.read(offset, data);
        await file.write(data, 0, data.length, offset);
        writtenBytes += data.length;
      }
    }
    await file.sync();
    return { writtenBytes };
  } finally {
    await file.close();
  }
};

interface Image extends AsyncDisposable {
  readonly file: FileHandle;
  readonly sizeBytes: number;
  readonly extents: readonly Extent[];
  readonly method: 'extents' | 'scan';
}

const openImage = async (path: string): Promise<Image> => {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new DrError('NOT_FOUND', `no image file ${path}`, { context: { path, kind: 'file' }, cause });
  });
  const { size } = await file.stat();
  if (size === 0 || size % SECTOR_BYTES !== 0) {
    await file.close();
    throw new DrError('CONFIG_INVALID', `${path} is no raw disk image: its size is not a multiple of ${SECTOR_BYTES}`, {
      context: { path, sizeBytes: size },
    });
  }
  const extents = await fileExtents(path, size);
  return {
    file,
    sizeBytes: size,
    extents: extents ?? [{ offset: 0, length: size }],
    method: extents ? 'extents' : 'scan',
    [Symbol.asyncDispose]: () => file.close(),
  };
};

/** Node cannot ask for holes; filefrag can, where e2fsprogs is installed and the file system answers. */
const fileExtents = async (path: string, sizeBytes: number): Promise<Extent[] | undefined> => {
  const run = promisify(execFile);
  // -s flushes what is not on the disk yet: else delayed allocation looks like a hole.
  const answer = await run('filefrag', ['-s', '-v', '-b4096', '--', path], {
    env: { ...process.env, LC_ALL: 'C' },
    maxBuffer: 1 << 26,
  }).catch(() => undefined);
  if (!answer || !/extents? found/.test(answer.stdout)) return undefined;
  const extents: Extent[] = [];
  for (const [, first, last, flags] of answer.stdout.matchAll(/^ *\d+: *(\d+)\.\. *(\d+):[^:\n]*: *\d+:(.*)$/gm)) {
    if (flags?.includes('delalloc') || flags?.includes('unknown')) return undefined;
    const offset = Number(first) * 4096;
    extents.push({ offset, length: Math.min((Number(last) + 1) * 4096, sizeBytes) - offset });
  }
  return extents;
};

/** Every block of the disk that the image may have something in, in whole blocks. */
const eachBlock = async ({ signal }: Context, image: Image, each: (offset: number, data: Uint8Array) => void): Promise<void> => {
  let done = 0;
  for (const extent of image.extents) {
    const end = extent.offset + extent.length;
    for (let at = Math.max(done, Math.floor(extent.offset / BLOCK_BYTES) * BLOCK_BYTES); at < end; at += PIECE_BYTES) {
      signal?.throwIfAborted();
      const want = Math.min(PIECE_BYTES, Math.ceil((end - at) / BLOCK_BYTES) * BLOCK_BYTES, image.sizeBytes - at);
      const piece = new Uint8Array(want);
      const { bytesRead } = await image.file.read(piece, 0, want, at);
      if (bytesRead < want) throw new DrError('INTERNAL', `the image became shorter while it was read`);
      for (let from = 0; from < want; from += BLOCK_BYTES) each(at + from, piece.subarray(from, Math.min(from + BLOCK_BYTES, want)));
      done = at + want;
    }
  }
};
