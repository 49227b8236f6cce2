// How layers that no snapshot needs any more go: each into the one below it.
import type { DiskId } from '../../../core/contract/index.ts';
import type { VirtualDevice, VirtualDisk } from '../../vsphere/port.ts';
import type { Volume } from '../volume.ts';
import { chainOf, childrenOf, dropLayer, pathOf } from './datastore.ts';
import { snapshotDisks } from './device-changes.ts';
import { backingOf, isDisk } from './devices.ts';
import { assertUnheld } from './locks.ts';
import type { VmSnapshotRecord } from './model.ts';
import { type Vm, vcenterOf, type Where } from './vms.ts';

const BYTES_PER_MS = 200_000;

/** About how long it takes. */
export const mergeMs = ({ estate }: Where, machine: Vm): number =>
  Object.values(machine.volumes).reduce((ms, top) => {
    const overlays = estate.layers.has(top) ? chainOf(estate.layer(top).volume).slice(0, -1) : [];
    return ms + overlays.reduce((sum, { allocatedBytes }) => sum + allocatedBytes / BYTES_PER_MS, 0);
  }, 0);

/** Throws FileLocked when somebody else reads a layer that has to change; what was merged before stays so. */
export const mergeUnneeded = (where: Where, machine: Vm): void => {
  const { estate } = where;
  for (const disk of snapshotDisks(machine)) {
    const id = backingOf(disk).uuid as DiskId;
    for (;;) {
      const needed = new Set([machine.volumes[id]!, ...layersOf(machine.vm.snapshots, id)]);
      const all = [...needed].flatMap((name) => chainOf(estate.layer(name).volume));
      const unneeded = all.find((one) => !needed.has(one.name) && childrenOf(estate, one.name).length <= 1);
      if (!unneeded) break;
      mergeInto(where, machine, id, unneeded);
    }
  }
};

const layersOf = (snapshots: readonly VmSnapshotRecord[], id: DiskId): string[] =>
  snapshots.flatMap((snapshot) => snapshot.disks.filter(({ disk }) => disk === id).map(({ layer }) => layer));

/** The layer takes in the only one that stands on it, and goes by its own file from then on. */
const mergeInto = (where: Where, machine: Vm, id: DiskId, below: Volume): void => {
  const { estate, endpoint } = where;
  const [above] = childrenOf(estate, below.name);
  if (!above) return;
  assertUnheld(where, [below.name, above.name], machine);
  const vcenter = vcenterOf(endpoint);
  const from = pathOf(vcenter, above.name) ?? '';
  const to = pathOf(vcenter, below.name) ?? '';
  above.mergeIntoParent();
  for (const child of childrenOf(estate, above.name)) child.standOn(below);
  const rename = (layer: string) => (layer === above.name ? below.name : layer);
  machine.volumes[id] = rename(machine.volumes[id]!);
  machine.vm.devices = renamed(machine.vm.devices, from, to);
  machine.vm.snapshots = machine.vm.snapshots.map((snapshot) => ({
    ...snapshot,
    disks: snapshot.disks.map((disk) => ({ ...disk, layer: rename(disk.layer) })),
    config: { ...snapshot.config, devices: renamed(snapshot.config.devices, from, to) },
  }));
  for (const record of estate.snapshots.values()) if (record.volumes[id] === above.name) record.volumes[id] = below.name;
  dropLayer(estate, endpoint, above.name);
};

export const renamed = (devices: readonly VirtualDevice[], from: string, to: string): VirtualDevice[] =>
  devices.map((device) => (isDisk(device) && backingOf(device).fileName === from ? withFile(device, to) : device));

export const withFile = (disk: VirtualDisk, fileName: string): VirtualDisk => ({
  ...disk,
  backing: { ...backingOf(disk), fileName } as NonNullable<VirtualDisk['backing']>,
});
