// Devices as the API shows them: with the overlays' parents, and the ids under which changes can be asked for.
import type { DiskId } from '../../../core/contract/index.ts';
import type { VirtualDevice, VirtualDisk, VirtualDiskFlatVer2BackingInfo } from '../../vsphere/port.ts';
import type { Volume } from '../volume.ts';
import { pathOf } from './datastore.ts';
import { backingOf, isController, isDisk } from './devices.ts';
import type { VmSnapshotRecord } from './model.ts';
import { liveChangeId } from './tracking.ts';
import { type Vm, vcenterOf, type Where } from './vms.ts';

/** Of the machine as it is, or as it was at a snapshot. */
export const deviceView = (where: Where, machine: Vm, snapshot?: VmSnapshotRecord): VirtualDevice[] =>
  machine.vm.devices.map((device) => {
    if (isDisk(device)) return diskView(where, machine, device, snapshot);
    if (!isController(device)) return device;
    return {
      ...device,
      device: machine.vm.devices.filter((one) => one.controllerKey === device.key).map((one) => one.key),
    } as VirtualDevice;
  });

const diskView = (where: Where, machine: Vm, disk: VirtualDisk, snapshot: VmSnapshotRecord | undefined): VirtualDisk => {
  const { estate } = where;
  const id = backingOf(disk).uuid as DiskId;
  const frozen = snapshot?.disks.find((one) => one.key === disk.key);
  const layer = snapshot ? frozen?.layer : machine.volumes[id];
  const changeId = snapshot ? frozen?.changeId : liveChangeId(estate, machine, id);
  const volume = layer !== undefined && estate.layers.has(layer) ? estate.layer(layer).volume : undefined;
  const parent = volume?.parent && parentBacking(where, backingOf(disk), volume.parent);
  const backing = {
    ...backingOf(disk),
    ...(changeId === undefined ? {} : { changeId }),
    ...(parent ? { parent, deltaDiskFormat: 'seSparseFormat' } : {}),
  };
  return { ...disk, backing: backing as NonNullable<VirtualDisk['backing']> };
};

const parentBacking = (where: Where, like: VirtualDiskFlatVer2BackingInfo, layer: Volume): VirtualDiskFlatVer2BackingInfo => {
  const { changeId: _, ...rest } = like;
  const above = layer.parent && parentBacking(where, like, layer.parent);
  return { ...rest, fileName: pathOf(vcenterOf(where.endpoint), layer.name) ?? '', ...(above ? { parent: above } : {}) };
};
