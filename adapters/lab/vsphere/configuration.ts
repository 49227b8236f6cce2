// CreateVM_Task, ReconfigVM_Task, Rename_Task: what a configuration spec makes of a machine.
import type { MoRef, OptionValue, VirtualMachineBootOptions, VirtualMachineConfigSpec } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import { bareMachine } from '../new-machine.ts';
import { addFile, filePath, freeFolder, isThere } from './datastore.ts';
import { planDevices } from './device-changes.ts';
import { familyOf, machineAt, newVmRecord, specFromDevices, vmxPath } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import type { VimContext, VimHandlers } from './model.ts';
import { findPlace, placeOf, VM_FOLDER } from './objects.ts';
import {
  fileFault,
  invalidArgument,
  invalidPowerState,
  parsePath,
  startVmTask,
  unescapeName,
  type Vm,
  vcenterOf,
  vmRef,
  vmsOf,
  type Where,
} from './vms.ts';

const RECONFIGURE_MS = 20;
const CREATE_MS = 40;
const LONGEST_NAME = 80;

export const configuration: VimHandlers = {
  CreateVM_Task: (context, on, args) => {
    const { config, pool, host } = args;
    if (config.name === undefined) throw invalidArgument('configSpec.name');
    return context.startTask('Folder.createVm', on, {
      durationMs: CREATE_MS,
      run: () => vmRef(createVm(context, config, { folder: on, pool, host })),
    });
  },

  ReconfigVM_Task: (context, on, { spec }) => {
    const machine = machineAt(context, on);
    const run = () => reconfigure(context, machineAt(context, on), spec);
    return startVmTask(context, machine, { description: 'VirtualMachine.reconfigure', durationMs: RECONFIGURE_MS, run });
  },

  Rename_Task: (context, on, { newName }) => {
    if (on.type !== 'VirtualMachine') throw vimFault('NotSupported');
    const machine = machineAt(context, on);
    const run = () => rename(context, machine, newName);
    return startVmTask(context, machine, { description: 'ManagedEntity.rename', durationMs: RECONFIGURE_MS, run });
  },
};

export interface Home {
  readonly folder: MoRef;
  readonly pool?: MoRef | undefined;
  readonly host?: MoRef | undefined;
}

/** A machine that is off, in the inventory and on a datastore. */
export const createVm = (context: Where, config: VirtualMachineConfigSpec, home: Home): Vm => {
  const { estate, endpoint } = context;
  const name = checkedName(config.name ?? '');
  assertNameFree(context, name, home.folder);
  const asked = config.files?.vmPathName ?? '';
  if (asked === '') throw invalidArgument('configSpec.files.vmPathName');
  const { storage, inside } = parsePath(endpoint, asked);
  const folder = inside === '' ? freeFolder(endpoint, storage, name) : inside.replace(/\/[^/]*\.vmx$/, '');
  const machine = bareMachine(estate, endpoint, name, {
    firmware: config.firmware === 'efi' ? 'uefi' : 'bios',
    cpuCount: 1,
    memoryBytes: 2 ** 28,
    guest: { family: 'other' },
    disks: [],
    nics: [],
  });
  const vm = newVmRecord(estate, filePath(storage, folder), config.guestId ?? 'otherGuest');
  vm.hardwareVersion = config.version ?? vm.hardwareVersion;
  machine.vm = vm;
  if (isThere(vcenterOf(endpoint).files[vmxPath(vm)])) throw fileFault('FileAlreadyExists', vmxPath(vm));
  settle(context, machine as Vm, home);
  applySpec(context, machine as Vm, config);
  addFile(endpoint, vmxPath(vm), { text: '' });
  return estate.addMachine(machine) as Vm;
};

/** Folder, pool and host of the inventory. */
export const settle = ({ endpoint }: Where, machine: Vm, { folder, pool, host }: Home): void => {
  const place = findPlace(endpoint, folder);
  if (place) machine.labels['folder'] = place.name;
  if (folder.value !== VM_FOLDER.value) machine.vm.folder = folder.value;
  if (pool) machine.vm.pool = pool.value;
  if (host) machine.host = placeOf(endpoint, host).id;
};

export const checkedName = (name: string): string => {
  if (name === '' || name.length > LONGEST_NAME) throw vimFault('InvalidName', { name });
  return unescapeName(name);
};

/** One name is there once in a folder. */
export const assertNameFree = (where: Where, name: string, folder: MoRef, except?: Vm): void => {
  const other = vmsOf(where).find((one) => one !== except && one.name === name && (one.vm.folder ?? VM_FOLDER.value) === folder.value);
  if (other) throw vimFault('DuplicateName', { name, object: vmRef(other) });
};

const rename = (context: VimContext, machine: Vm, asked: string): void => {
  const name = checkedName(asked);
  assertNameFree(context, name, { type: 'Folder', value: machine.vm.folder ?? VM_FOLDER.value }, machine);
  machine.name = name;
  machine.vm.changeVersion++;
  context.estate.touch(machine);
};

export const reconfigure = (context: Where, machine: Vm, spec: VirtualMachineConfigSpec): void => {
  if (spec.changeVersion !== undefined && spec.changeVersion !== '' && spec.changeVersion !== String(machine.vm.changeVersion)) {
    throw vimFault('ConcurrentAccess');
  }
  const name = spec.name === undefined ? machine.name : checkedName(spec.name);
  if (name !== machine.name) assertNameFree(context, name, { type: 'Folder', value: machine.vm.folder ?? VM_FOLDER.value }, machine);
  applySpec(context, machine, spec);
  machine.name = name;
  machine.vm.changeVersion++;
  context.estate.touch(machine);
  context.estate.checkTwoLive();
};

const applySpec = (context: Where, machine: Vm, spec: VirtualMachineConfigSpec): void => {
  const { estate } = context;
  const { vm } = machine;
  if (machine.power === 'on' && changesHardware(machine, spec)) throw invalidPowerState('poweredOn', 'poweredOff');
  const commit = planDevices(context, machine, spec.deviceChange ?? []);
  commit();
  vm.annotation = spec.annotation ?? vm.annotation;
  vm.guestId = spec.guestId ?? vm.guestId;
  vm.uuid = spec.uuid ?? vm.uuid;
  vm.instanceUuid = spec.instanceUuid ?? vm.instanceUuid;
  setExtraConfig(machine, spec.extraConfig ?? []);
  if (spec.bootOptions) setBootOptions(machine, spec.bootOptions);
  const secureBoot = vm.secureBoot ?? false;
  machine.spec = {
    ...machine.spec,
    firmware: spec.firmware === undefined ? machine.spec.firmware : spec.firmware === 'efi' ? 'uefi' : 'bios',
    ...(secureBoot || machine.spec.secureBoot !== undefined ? { secureBoot } : {}),
    ...(vm.devices.some((device) => device.$type === 'VirtualTPM') ? { tpm: true } : {}),
    cpuCount: spec.numCPUs ?? machine.spec.cpuCount,
    memoryBytes: spec.memoryMB === undefined ? machine.spec.memoryBytes : spec.memoryMB * 2 ** 20,
    ...(spec.guestId === undefined ? {} : { guest: { family: familyOf(spec.guestId), detail: spec.guestId } }),
  };
  specFromDevices(estate, machine);
  if (spec.changeTrackingEnabled !== undefined) setTracking(estate, machine, spec.changeTrackingEnabled);
};

const changesHardware = ({ spec: { cpuCount, memoryBytes, firmware }, vm }: Vm, spec: VirtualMachineConfigSpec): boolean =>
  (spec.numCPUs ?? cpuCount) !== cpuCount ||
  (spec.memoryMB ?? memoryBytes / 2 ** 20) !== memoryBytes / 2 ** 20 ||
  (spec.firmware !== undefined && (spec.firmware === 'efi') !== (firmware === 'uefi')) ||
  (spec.guestId ?? vm.guestId) !== vm.guestId;

/** An empty value takes the key away. */
const setExtraConfig = (machine: Vm, options: readonly OptionValue[]): void => {
  const { extraConfig } = machine.vm;
  for (const { key, value } of options) {
    if (key === 'vm.genid' && extraConfig[key] !== String(value)) machine.generation++;
    if (value === undefined || value === '') delete extraConfig[key];
    else extraConfig[key] = String(value);
  }
};

const setBootOptions = ({ vm }: Vm, { efiSecureBootEnabled, bootOrder }: VirtualMachineBootOptions): void => {
  if (efiSecureBootEnabled !== undefined) vm.secureBoot = efiSecureBootEnabled;
  const disk = bootOrder?.find((one) => one.$type === 'VirtualMachineBootOptionsBootableDiskDevice') as
    | { readonly deviceKey?: number }
    | undefined;
  if (disk?.deviceKey !== undefined) vm.bootDiskKey = disk.deviceKey;
  else if (bootOrder) delete vm.bootDiskKey;
};

/** On takes effect at the next stun. With snapshots no error comes since 6.5: the answers are wrong instead (Backup Exec article 100033474). */
const setTracking = (estate: Estate, machine: Vm, enabled: boolean): void => {
  const { vm } = machine;
  if (enabled === vm.changeTrackingEnabled) return;
  vm.changeTrackingEnabled = enabled;
  if (!enabled) estate.disableTracking(machine);
  if (enabled && vm.snapshots.length > 0) vm.trackingBlind = true;
  else delete vm.trackingBlind;
};
