// Disks that are opened for writing: whoever writes must hold the machine's epoch.
import { type Call, DrError, type MachineId, type ReplicaDisk } from '../../core/contract/index.ts';
import type { Epochs } from '../../core/plugin-kit/index.ts';
import type { DiskDevice } from './machine.ts';
import { type DataPaths, NO_WRITER } from './movers/choose.ts';
import type { Vcenter } from './vcenter.ts';

export interface DiskGround {
  readonly vcenter: Vcenter;
  readonly paths: DataPaths;
  readonly epochs: Epochs;
}

export const openWritable = async (
  { paths, epochs }: Pick<DiskGround, 'paths' | 'epochs'>,
  { machine, disk, fencedBy }: { readonly machine: MachineId; readonly disk: DiskDevice; readonly fencedBy: MachineId },
  call: Call,
): Promise<ReplicaDisk> => {
  if (!paths.write) throw new DrError('CAPABILITY_MISSING', NO_WRITER.message, { hint: NO_WRITER.hint });
  return epochs.fenced(fencedBy, await paths.write.openWrite({ machine, disk }, call));
};
