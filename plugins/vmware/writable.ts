// Disks that are opened for writing: whoever writes must hold the machine's epoch.
import { type Call, DrError, type MachineId, type ReplicaDisk } from '../../core/contract/index.ts';
import type { Epochs } from './fence.ts';
import type { DiskDevice } from './machine.ts';
import { type DataPaths, NO_WRITER } from './movers/choose.ts';
import type { Vcenter } from './vcenter.ts';

export interface DiskGround {
  readonly vcenter: Vcenter;
  readonly paths: DataPaths;
  readonly epochs: Epochs;
}

/** Writes are compared with the epoch that this session knows, flushes with the one on record. */
export const openWritable = async (
  { vcenter, paths, epochs }: DiskGround,
  { machine, disk, fencedBy }: { readonly machine: MachineId; readonly disk: DiskDevice; readonly fencedBy: MachineId },
  call: Call,
): Promise<ReplicaDisk> => {
  if (!paths.write) throw new DrError('CAPABILITY_MISSING', NO_WRITER.message, { hint: NO_WRITER.hint });
  const handle = await paths.write.openWrite({ machine, disk }, call);
  return {
    ...handle,
    write: async (offset, data, write) => {
      write.signal.throwIfAborted();
      epochs.assert(fencedBy, write.fence);
      await handle.write(offset, data, write);
    },
    writeZeroes: async (offset, length, write) => {
      write.signal.throwIfAborted();
      epochs.assert(fencedBy, write.fence);
      await handle.writeZeroes(offset, length, write);
    },
    flush: async (flush) => {
      flush.signal.throwIfAborted();
      await epochs.check(vcenter, fencedBy, flush);
      await handle.flush(flush);
    },
  };
};
