// Files of forks that no machine has any more: noted on the machine first, so that whoever goes on after a kill knows of them.
import { isFault, type MoRef, type VirtualDevice } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type MachineId } from '../../core/contract/index.ts';
import { disksOf } from './machine.ts';
import { lookAt, type Replica } from './replica.ts';
import type { TaggedSnapshot } from './snapshots.ts';
import { DROP, taggedDisks } from './tags.ts';
import { placesAbove, type Vcenter } from './vcenter.ts';

/**
 * Disks that the replica had and the promoted definition has not: with the snapshot they would stay behind as files that nobody knows.
 * Only those that are copies of ours: an adopted machine may have others, and their content is somebody's only copy.
 */
export const filesBeyond = async (vcenter: Vcenter, { ref }: TaggedSnapshot, now: Replica, call: Call): Promise<string[]> => {
  const { 'config.hardware.device': devices } = await vcenter.props(ref, ['config.hardware.device'], call);
  const kept = new Set(now.disks.map((disk) => disk.id));
  const ours = taggedDisks(now.extra);
  return disksOf(now.id, (devices ?? []) as readonly VirtualDevice[])
    .filter((disk) => !kept.has(disk.id) && ours.has(disk.slot))
    .map(({ fileName }) => fileName);
};

/** What is noted for it; a file that is gone already was dropped by an attempt before. */
export const dropFiles = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const { extra } = await lookAt(vcenter, id, call);
  for (const file of JSON.parse(extra.get(DROP) ?? '[]') as readonly string[]) await deleteFile(vcenter, id, file, call);
};

const deleteFile = async (vcenter: Vcenter, machine: MachineId, name: string, call: Call): Promise<void> => {
  const { virtualDiskManager } = vcenter.client.content;
  if (!virtualDiskManager) return;
  try {
    const datacenter = await datacenterOf(vcenter, machine, call);
    await vcenter.task('DeleteVirtualDisk_Task', virtualDiskManager, { name, ...(datacenter ? { datacenter } : {}) }, call);
  } catch (error) {
    if (!isFault(error, 'FileNotFound')) throw error;
  }
};

const datacenterOf = async (vcenter: Vcenter, machine: MachineId, call: Call): Promise<MoRef | undefined> =>
  (await placesAbove(vcenter, machine, call)).find(({ ref }) => ref.type === 'Datacenter')?.ref;

export const vmFolderAbove = async (vcenter: Vcenter, machine: MachineId, call: Call): Promise<MoRef> => {
  const datacenter = await datacenterOf(vcenter, machine, call);
  if (!datacenter) throw new DrError('PROTOCOL_ERROR', `machine ${machine} lies in no datacenter`, { context: { machine } });
  return (await vcenter.props(datacenter, ['vmFolder'], call))['vmFolder'] as MoRef;
};
