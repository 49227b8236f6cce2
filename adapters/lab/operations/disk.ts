import { type DiskId, DrError, type Epoch } from '../../../core/contract/index.ts';
import { digestRows } from '../digests.ts';
import type { Estate } from '../estate.ts';
import { missing } from '../estate.ts';
import type { DiskRef } from '../port.ts';
import type { MachineRecord } from '../records.ts';
import type { Volume } from '../volume.ts';
import { type Handlers, nothing } from './handlers.ts';
import { diskOf, snapshotAt, volumeOf } from './source.ts';
import { assertFrozen } from './stream.ts';

interface At {
  readonly endpoint: string;
  readonly owner: string;
  readonly of: DiskRef;
}

export const ALIGNMENT_BYTES = 512;
const MOST_BYTES = 4 << 20;

export const disk: Handlers<'disk'> = {
  'disk.open': ({ estate }, args) => {
    const volume = args.forWriting ? writable(estate, args, args.fence).volume : readable(estate, args);
    const { maxInFlight } = estate.profileOf(args);
    return { sizeBytes: sizeOf(estate, args, volume), alignmentBytes: ALIGNMENT_BYTES, maxRequestBytes: MOST_BYTES, maxInFlight };
  },

  'disk.read': ({ estate, lies }, args) => {
    const volume = readable(estate, args);
    assertRange(args.offset, args.length, sizeOf(estate, args, volume));
    const data = new Uint8Array(args.length);
    volume.read(args.offset, data);
    if (lies.has('halfData')) data.fill(0, data.length >> 1);
    return { data };
  },

  'disk.write': ({ estate }, args) => {
    const { machine, disk: id, volume } = writable(estate, args, args.fence);
    assertRange(args.offset, args.data.length, volume.sizeBytes);
    assertRoom(estate, args.endpoint, volume, volume.unallocatedBytes(args.offset, args.data.length));
    estate.writeCached(machine, id, args.offset, args.data);
    return nothing;
  },

  'disk.writeZeroes': ({ estate }, args) => {
    const { machine, disk: id, volume } = writable(estate, args, args.fence);
    assertRange(args.offset, args.length, volume.sizeBytes, Number.MAX_SAFE_INTEGER);
    estate.writeCached(machine, id, args.offset, args.length);
    return nothing;
  },

  'disk.flush': ({ estate, lies }, args) => {
    const { disk: id, volume } = writable(estate, args, args.fence);
    if (lies.has('noFlush')) return nothing;
    volume.sync();
    estate.caches.get(id)?.flush();
    return nothing;
  },

  'disk.digests': ({ estate, lies }, args) => {
    const volume = readable(estate, args);
    return { data: digestRows(volume, args, sizeOf(estate, args, volume), lies) };
  },
};

export const assertRange = (offset: number, length: number, sizeBytes: number, most = MOST_BYTES): void => {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (whole && length <= most && offset + length <= sizeBytes && offset % ALIGNMENT_BYTES === 0 && length % ALIGNMENT_BYTES === 0) return;
  throw new DrError(
    'CONTRACT_VIOLATED',
    `a request for ${length} bytes at ${offset} of a disk of ${sizeBytes} bytes is out of bounds or not aligned`,
    {
      context: { offset, length, sizeBytes },
    },
  );
};

export const assertRoom = (estate: Estate, endpointName: string, volume: Volume, bytes: number): void => {
  const endpoint = estate.endpoint(endpointName);
  const { storage } = estate.layer(volume.name);
  const freeBytes = estate.freeBytes(endpoint, storage);
  if (freeBytes >= bytes) return;
  throw new DrError('TARGET_FULL', `storage ${storage} has ${freeBytes} bytes left`, {
    context: { place: storage, needBytes: bytes, freeBytes },
  });
};

/** A disk may be larger in its layer than it was at the snapshot. */
const sizeOf = (estate: Estate, { of, ...at }: At, volume: Volume): number =>
  'snapshot' in of ? diskOf(snapshotAt(estate, of.snapshot, at), of.disk).sizeBytes : volume.sizeBytes;

const readable = (estate: Estate, at: At): Volume => {
  const { of } = at;
  if ('snapshot' in of) return volumeOf(estate, snapshotAt(estate, of.snapshot, at), of.disk);
  if ('fork' in of) return estate.live(offFork(estate, at, of.fork), of.disk);
  if ('replica' in of) return baseOf(estate, replicaAt(estate, at, of.replica), of.disk).volume;
  const machine = estate.machine(of.machine, at.endpoint);
  if (of.freeze !== undefined) assertFrozen(estate, machine, of.freeze);
  return estate.live(machine, of.disk);
};

const writable = (estate: Estate, at: At, fence: Epoch | undefined): { machine: MachineRecord; disk: DiskId; volume: Volume } => {
  const { of } = at;
  if ('fork' in of) {
    const machine = offFork(estate, at, of.fork);
    estate.assertFence(estate.machine(estate.fork(of.fork, at).replica), fence);
    return { machine, disk: of.disk, volume: estate.live(machine, of.disk) };
  }
  if (!('replica' in of)) throw new DrError('PERMISSION_DENIED', `disk ${of.disk} can only be read`, { context: { disk: of.disk } });
  const machine = replicaAt(estate, at, of.replica);
  estate.assertFence(machine, fence);
  const { volume, under } = baseOf(estate, machine, of.disk);
  if (under !== undefined) {
    throw new DrError('FILE_LOCKED', `disk ${of.disk} of replica ${machine.id} lies under the fork ${under}`, {
      context: { machine: machine.id, disk: of.disk, fork: under },
    });
  }
  return { machine, disk: of.disk, volume };
};

const replicaAt = (estate: Estate, at: At, id: MachineRecord['id']): MachineRecord => {
  const machine = estate.machine(id, at.endpoint);
  if (machine.replica?.owner !== at.owner) {
    throw new DrError('PERMISSION_DENIED', `machine ${id} is no replica of this installation`, { context: { machine: id } });
  }
  if (machine.power === 'on' && machine.fork === undefined) {
    throw new DrError('FILE_LOCKED', `machine ${id} runs on its disks`, { context: { machine: id } });
  }
  return machine;
};

const offFork = (estate: Estate, at: At, id: Parameters<Estate['fork']>[0]): MachineRecord => {
  const machine = estate.machine(estate.fork(id, at).machine);
  if (machine.power === 'on') throw new DrError('FILE_LOCKED', `fork ${id} is running`, { context: { fork: id, machine: machine.id } });
  return machine;
};

/** The replica's own content: what lies under a fork, where there is one. */
export const baseOf = (estate: Estate, machine: MachineRecord, id: DiskId): { volume: Volume; under?: string } => {
  for (const fork of estate.forksOf(machine.id)) {
    const base = fork.mode === 'overlay' && Object.values(fork.base).find((row) => row.disk === id);
    if (base) return { volume: estate.layer(base.volume).volume, under: fork.id };
  }
  return machine.volumes[id] === undefined ? missing('disk', id) : { volume: estate.live(machine, id) };
};
