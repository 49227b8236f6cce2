// Who has a virtual disk's file open. Locks are not kept: they follow from which machines run and what is attached to them.
import type { VirtualDisk } from '../../vsphere/port.ts';
import { chainOf, childrenOf, pathOf } from './datastore.ts';
import { backingOf, isDisk, isReadOnly } from './devices.ts';
import { fileFault, type Vm, vcenterOf, vmsOf, type Where } from './vms.ts';

interface Hold {
  readonly by: Vm;
  readonly exclusive: boolean;
}

/** Layers that running machines have open: the top of a chain alone, what lies under it together with other readers. */
const holds = (where: Where, except?: Vm): Map<string, Hold> => {
  const found = new Map<string, Hold>();
  for (const machine of vmsOf(where)) {
    if (machine.power === 'off' || machine === except) continue;
    for (const disk of machine.vm.devices.filter(isDisk)) {
      for (const { layer, exclusive } of opened(where, machine, disk)) {
        if (exclusive || !found.has(layer)) found.set(layer, { by: machine, exclusive });
      }
    }
  }
  return found;
};

const opened = ({ estate }: Where, machine: Vm, disk: VirtualDisk): { layer: string; exclusive: boolean }[] => {
  const top = machine.volumes[(backingOf(disk).uuid ?? '') as keyof typeof machine.volumes];
  if (top === undefined || !estate.layers.has(top)) return [];
  return chainOf(estate.layer(top).volume).map(({ name }, depth) => ({ layer: name, exclusive: depth === 0 && !isReadOnly(disk) }));
};

/**
 * Throws FileLocked where the machine could not open the layer. A real host opens a file for writing although overlays stand on it, and
 * these are worthless from then on: here it refuses, so that nobody gets through by it.
 */
export const assertOpens = (where: Where, machine: Vm, layer: string, readOnly: boolean): void => {
  const { estate, endpoint } = where;
  const held = holds(where, machine);
  const locked = (name: string) => fileFault('FileLocked', pathOf(vcenterOf(endpoint), name) ?? name);
  for (const [depth, { name }] of chainOf(estate.layer(layer).volume).entries()) {
    const hold = held.get(name);
    const exclusive = depth === 0 && !readOnly;
    if (hold && (hold.exclusive || exclusive)) throw locked(name);
  }
  if (!readOnly && childrenOf(estate, layer).length > 0) throw locked(layer);
};

/** For power-on: every disk of the machine. */
export const assertOpensAll = (where: Where, machine: Vm): void => {
  const { files } = vcenterOf(where.endpoint);
  for (const disk of machine.vm.devices.filter(isDisk)) {
    const { fileName } = backingOf(disk);
    const layer = files[fileName]?.layer;
    if (layer === undefined || !where.estate.layers.has(layer)) throw fileFault('FileNotFound', fileName);
    assertOpens(where, machine, layer, isReadOnly(disk));
  }
};

/** Throws FileLocked when a running machine, other than the one named, has one of the layers open in any way. */
export const assertUnheld = (where: Where, layers: Iterable<string>, except?: Vm): void => {
  const held = holds(where, except);
  for (const layer of layers) if (held.has(layer)) throw fileFault('FileLocked', pathOf(vcenterOf(where.endpoint), layer) ?? layer);
};
