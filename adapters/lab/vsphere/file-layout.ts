import type { DiskId } from '../../../core/contract/index.ts';
import type { VirtualMachineFileLayoutEx, VirtualMachineFileLayoutExFileInfo } from '../../vsphere/port.ts';
import { chainOf, pathOf } from './datastore.ts';
import { backingOf, isDisk } from './devices.ts';
import { vmxPath } from './equipment.ts';
import { type Vm, vcenterOf, type Where } from './vms.ts';

const DESCRIPTOR_BYTES = 512;

/** Each virtual disk is a small descriptor and a file with the content. */
export const layoutOf = ({ estate, endpoint }: Where, machine: Vm): VirtualMachineFileLayoutEx => {
  const file: VirtualMachineFileLayoutExFileInfo[] = [];
  const add = (name: string, type: string, size: number, uniqueSize = size): number => {
    file.push({ key: file.length, name, type, size, uniqueSize, accessible: true });
    return file.length - 1;
  };
  add(vmxPath(machine.vm), 'config', 2048);
  const disk = machine.vm.devices.filter(isDisk).map((device) => {
    const top = machine.volumes[backingOf(device).uuid as DiskId];
    const layers = top !== undefined && estate.layers.has(top) ? chainOf(estate.layer(top).volume).reverse() : [];
    const chain = layers.map((layer, depth) => {
      const path = pathOf(vcenterOf(endpoint), layer.name) ?? '';
      const content = path.replace(/\.vmdk$/, depth === 0 ? '-flat.vmdk' : '-sesparse.vmdk');
      return {
        fileKey: [
          add(path, 'diskDescriptor', DESCRIPTOR_BYTES),
          add(content, 'diskExtent', depth === 0 ? layer.sizeBytes : layer.allocatedBytes, layer.allocatedBytes),
        ],
      };
    });
    return { key: device.key, chain };
  });
  return { file, disk, timestamp: estate.now() };
};
