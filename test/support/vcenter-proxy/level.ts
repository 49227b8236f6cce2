// Model and simulator brought to one level: power that went by the lab's hand, disks that a revert brought back, keys that the simulator chose.
import { backingOf, isCard, isController, isDisk, networkOf } from '../../../adapters/lab/vsphere/devices.ts';
import { machineAt } from '../../../adapters/lab/vsphere/equipment.ts';
import { escapeName } from '../../../adapters/lab/vsphere/objects.ts';
import { powerStateOf, type Vm, vmRef } from '../../../adapters/lab/vsphere/vms.ts';
import type { MoRef, VirtualDevice, VirtualDeviceConfigSpec } from '../../../adapters/vsphere/port.ts';
import { isKindOf } from '../../../adapters/vsphere/vim25/schema.ts';
import type { NicId, PlaceId } from '../../../core/contract/index.ts';
import type { Vim } from '../vim.ts';
import type { Twin } from './twin.ts';

export type EnsureFile = (path: string) => Promise<void>;

const isScsi = (device: VirtualDevice): boolean => isController(device) && isKindOf(device.$type ?? '', 'VirtualSCSIController');
const isMovable = (device: VirtualDevice): boolean => isDisk(device) || isCard(device) || isScsi(device);

/** The simulator follows. Nothing to do is the usual case. */
export const bringLevel = async (own: Vim, twin: Twin, ref: MoRef, ensureFile: EnsureFile): Promise<void> => {
  if (!twin.vm(ref)) return;
  const machine = machineAt(twin, ref) as Vm;
  const there = await own.get(ref, 'name', 'runtime.powerState', 'config.hardware.device');
  const name = escapeName(machine.name);
  if (there['name'] !== name) await own.task('Rename_Task', ref, { newName: name });
  const changes = changesFor(machine, there['config.hardware.device'] as readonly VirtualDevice[]);
  for (const { device, operation } of changes) if (operation !== 'remove' && isDisk(device)) await ensureFile(backingOf(device).fileName);
  if (changes.length > 0) {
    await own.change(ref, ...changes);
    await adopt(own, machine);
  }
  const power = powerStateOf(machine);
  if (power !== there['runtime.powerState']) await own.task(power === 'poweredOn' ? 'PowerOnVM_Task' : 'PowerOffVM_Task', ref, {});
};

const changesFor = ({ vm }: Vm, there: readonly VirtualDevice[]): VirtualDeviceConfigSpec[] => {
  const ours = vm.devices.filter(isMovable);
  const find = (devices: readonly VirtualDevice[], key: number) => devices.find((one) => one.key === key);
  const gone = there.filter((device) => isMovable(device) && !find(ours, device.key));
  const added = ours.filter((device) => !find(there, device.key)).sort((a, b) => Number(isScsi(b)) - Number(isScsi(a)));
  const moved = ours.filter(isCard).filter((card) => {
    const same = find(there, card.key);
    return same && isCard(same) && networkOf(same)?.value !== networkOf(card)?.value;
  });
  return [
    ...gone.map((device): VirtualDeviceConfigSpec => ({ operation: 'remove', device })),
    ...added.map((device): VirtualDeviceConfigSpec => ({ operation: 'add', device })),
    ...moved.map((device): VirtualDeviceConfigSpec => ({ operation: 'edit', device })),
  ];
};

/** Host and keys of devices are the simulator's: calls that name them go there as they are. `some`: it need not have them all yet. */
export const adopt = async (own: Vim, machine: Vm, { some = false } = {}): Promise<void> => {
  const { vm } = machine;
  const there = await own.get(vmRef(machine), 'config.hardware.device', 'runtime.host');
  machine.host = (there['runtime.host'] as MoRef).value as PlaceId;
  const keys = pairedKeys(machine, there['config.hardware.device'] as readonly VirtualDevice[], some);
  const now = (key: number): number => keys.get(key) ?? key;
  vm.devices = vm.devices.map((device) => ({
    ...device,
    key: now(device.key),
    ...(device.controllerKey === undefined ? {} : { controllerKey: now(device.controllerKey) }),
  }));
  if (vm.bootDiskKey !== undefined) vm.bootDiskKey = now(vm.bootDiskKey);
  const cards = vm.devices.filter(isCard);
  machine.spec = {
    ...machine.spec,
    nics: machine.spec.nics.map((nic, index) => ({ ...nic, id: `${machine.id}/${cards[index]?.key}` as NicId })),
  };
};

const busOf = (device: VirtualDevice): unknown => (device as { readonly busNumber?: number }).busNumber;

/** Ours to theirs: controllers by their bus, disks by their place, cards in their order. */
const pairedKeys = ({ id, vm }: Vm, there: readonly VirtualDevice[], some: boolean): Map<number, number> => {
  const keys = new Map<number, number>();
  const pair = (kind: (device: VirtualDevice) => boolean, same: (ours: VirtualDevice, theirs: VirtualDevice) => boolean): void => {
    const left = there.filter(kind);
    const known = (ours: VirtualDevice) => there.some(({ key }) => key === ours.key);
    // An edit puts a device at the end of the simulator's list: those whose keys are adopted already come first.
    for (const ours of vm.devices.filter(kind).sort((a, b) => Number(known(b)) - Number(known(a)))) {
      const at = left.findIndex((theirs) => (known(ours) ? theirs.key === ours.key : same(ours, theirs)));
      if (at >= 0) keys.set(ours.key, left.splice(at, 1)[0]!.key);
      else if (!some) throw new Error(`the simulator has no ${ours.$type} of ${id} like that with the key ${ours.key}`);
    }
  };
  const controllerOf = ({ controllerKey = 0 }: VirtualDevice): number => keys.get(controllerKey) ?? controllerKey;
  pair(isScsi, (ours, theirs) => busOf(ours) === busOf(theirs));
  pair(isDisk, (ours, theirs) => controllerOf(ours) === theirs.controllerKey && ours.unitNumber === theirs.unitNumber);
  pair(isCard, () => true);
  return keys;
};
