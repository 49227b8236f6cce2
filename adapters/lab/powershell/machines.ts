// Cmdlets about machines: what they are, how they are made, changed and removed.
import type { MachineSpec, SnapshotId } from '../../../core/contract/index.ts';
import { bareMachine } from '../new-machine.ts';
import { object, type PsObject } from './cells.ts';
import { hvMachinesOf, newHvRecord, specFromHv } from './equipment.ts';
import { guidFrom, hostOf } from './fabric.ts';
import { HRESULT, invalidArgument, invalidState, win32 } from './failures.ts';
import { eachMachine, type Handlers, machineHere, nothing, placeOf } from './handlers.ts';
import { followMarks, forgetFork } from './marks.ts';
import { mergeUnneeded } from './merging.ts';
import type { Hv, HvRecord, PsContext } from './model.ts';
import { isName, keyOf, volumeAt, volumesOf } from './paths.ts';
import { assertRemovable } from './replica/refusals.ts';
import { isOpen } from './usage.ts';
import { FIRMWARE, idOfComponent, SECURITY, TEMPLATES, vmObject } from './vm-object.ts';

const GIB = 2 ** 30;
const VERSIONS = ['8.0', '9.0', '10.0'];

export const machines: Handlers = {
  'Get-VM': (context, args) => {
    const at = placeOf(context);
    if (args.has('Id')) return [vmObject({ at, machine: machineHere(context, args.text('Id')) })];
    return hvMachinesOf(at)
      .filter((machine) => hostOf(at, machine) === context.host)
      .map((machine) => vmObject({ at, machine }));
  },

  'New-VM': (context, args) => {
    const { estate } = context;
    const name = args.maybeText('Name') ?? 'New Virtual Machine';
    const version = args.maybeText('Version') ?? '10.0';
    if (!VERSIONS.includes(version)) throw invalidArgument(`The version ${version} is not supported by this host.`);
    const path = folderFor(context, args.maybeText('Path'), name);
    const generation = args.maybeNumber('Generation') === 2 ? 2 : 1;
    const machine = bareMachine(estate, context.endpoint, name, emptySpec(generation)) as Hv;
    machine.host = context.host.place;
    machine.hv = { ...newHvRecord(context, path, generation), version };
    machine.hv.memory = { ...machine.hv.memory, startup: args.maybeNumber('MemoryStartupBytes') ?? GIB };
    machine.hv.adapters = [
      {
        id: guidFrom(machine.id, 'adapter', estate.nextId('adapter')),
        name: 'Network Adapter',
        mac: '000000000000',
        dynamicMac: true,
      },
    ];
    if (generation === 1) machine.hv.dvds = [{ id: guidFrom(machine.id, 'dvd'), type: 'IDE', number: 1, location: 0 }];
    estate.addMachine(machine);
    specFromHv(context, machine);
    return [vmObject({ at: placeOf(context), machine })];
  },

  'Set-VM': (context, args) =>
    eachMachine(context, args, (machine) => {
      const { hv } = machine;
      const notes = args.maybeText('Notes');
      hv.startAction = (args.maybeText('AutomaticStartAction') as HvRecord['startAction'] | undefined) ?? hv.startAction;
      hv.stopAction = (args.maybeText('AutomaticStopAction') as HvRecord['stopAction'] | undefined) ?? hv.stopAction;
      hv.checkpointType = (args.maybeText('CheckpointType') as HvRecord['checkpointType'] | undefined) ?? hv.checkpointType;
      hv.automaticCheckpoints = args.maybeFlag('AutomaticCheckpointsEnabled') ?? hv.automaticCheckpoints;
      machine.autostart = hv.startAction !== 'Nothing';
      if (notes !== undefined) hv.notes = notes;
      followMarks(context, machine);
      return nothing;
    }),

  'Rename-VM': (context, args) =>
    eachMachine(context, args, (machine) => {
      machine.name = args.text('NewName');
      context.estate.touch(machine);
      return nothing;
    }),

  'Remove-VM': (context, args) =>
    eachMachine(context, args, (machine) => {
      if (machine.power === 'on')
        throw invalidState(`The operation cannot be performed while the virtual machine '${machine.name}' is running.`);
      assertRemovable(machine);
      remove(context, machine);
      return nothing;
    }),

  'Set-VMMemory': (context, args) =>
    eachMachine(context, args, (machine) => {
      const { memory } = machine.hv;
      const wanted = {
        dynamic: args.maybeFlag('DynamicMemoryEnabled') ?? memory.dynamic,
        startup: args.maybeNumber('StartupBytes') ?? memory.startup,
        minimum: args.maybeNumber('MinimumBytes') ?? memory.minimum,
        maximum: args.maybeNumber('MaximumBytes') ?? memory.maximum,
      };
      if (wanted.dynamic && !(wanted.minimum <= wanted.startup && wanted.startup <= wanted.maximum))
        throw invalidArgument('The startup memory is not between the minimum and the maximum.');
      if (wanted.startup < 32 * 2 ** 20) throw invalidArgument('The startup memory is less than 32 MB.');
      assertOff(context, machine, 'memory');
      machine.hv.memory = wanted;
      specFromHv(context, machine);
      return nothing;
    }),

  'Set-VMProcessor': (context, args) =>
    eachMachine(context, args, (machine) => {
      const count = args.maybeNumber('Count') ?? machine.spec.cpuCount;
      if (count < 1 || count > (machine.hv.generation === 1 ? 64 : 2048))
        throw invalidArgument(`The number of processors ${count} is out of range.`);
      assertOff(context, machine, 'processor');
      specFromHv(context, machine, { cpuCount: count });
      return nothing;
    }),

  'Get-VMFirmware': (context, args) =>
    eachMachine(context, args, (machine) => {
      assertSecond(machine);
      return [object(FIRMWARE, { at: placeOf(context), machine }, machine.id)];
    }),

  'Set-VMFirmware': (context, args) =>
    eachMachine(context, args, (machine) => {
      assertSecond(machine);
      const template = args.maybeText('SecureBootTemplate');
      if (template !== undefined && !(template in TEMPLATES)) throw invalidArgument(`There is no secure boot template '${template}'.`);
      assertOff(context, machine, 'firmware');
      const { hv } = machine;
      if (args.has('EnableSecureBoot')) hv.secureBoot = args.text('EnableSecureBoot') === 'On';
      if (template !== undefined) hv.secureBootTemplate = template;
      if (args.has('FirstBootDevice')) hv.firstBoot = componentOf(args.objects('FirstBootDevice'), machine);
      specFromHv(context, machine);
      return nothing;
    }),

  'Get-VMSecurity': (context, args) =>
    eachMachine(context, args, (machine) => {
      assertSecond(machine);
      return [object(SECURITY, { at: placeOf(context), machine }, machine.id)];
    }),
};

const emptySpec = (generation: 1 | 2): MachineSpec => ({
  firmware: generation === 1 ? 'bios' : 'uefi',
  cpuCount: 1,
  memoryBytes: GIB,
  guest: { family: 'other' },
  disks: [],
  nics: [],
});

/** New-VM makes a folder of the machine's name, which must be one that Windows takes. */
const folderFor = (context: PsContext, path: string | undefined, name: string): string => {
  const parent = (path ?? `${volumesOf(context)[0]?.root}\\Hyper-V`).replace(/\\+$/, '');
  volumeAt(context, parent);
  const folder = `${parent}\\${name}`;
  if (!isName(name)) throw win32(HRESULT.invalidName, `New-VM failed to create the folder '${folder}'`);
  const { folders } = context.hyperv;
  for (const one of [parent, folder].map(keyOf)) if (!folders.includes(one)) folders.push(one);
  return folder;
};

/** Its disks stay, as they would be without its checkpoints. */
const remove = (context: PsContext, machine: Hv): void => {
  const { estate } = context;
  for (const { id } of machine.hv.checkpoints) estate.snapshots.delete(id as SnapshotId);
  machine.hv.checkpoints = [];
  mergeUnneeded(context, machine);
  forgetFork(estate, machine);
  for (const disk of machine.spec.disks) estate.trackers.delete(disk.id);
  machine.volumes = {};
  estate.removeMachine(machine);
};

const componentOf = ([object]: readonly PsObject[], machine: Hv): string => {
  const id = object && idOfComponent(object);
  const { drives, dvds, adapters } = machine.hv;
  if (id !== undefined && [...drives, ...dvds, ...adapters].some((one) => one.id === id)) return id;
  throw invalidArgument(`The device does not belong to the virtual machine '${machine.name}'.`);
};

/** A machine that runs takes no such change. */
export const assertOff = (context: PsContext, machine: Hv, what: string): void => {
  if (isOpen(context, machine))
    throw invalidState(`The ${what} of '${machine.name}' cannot be changed while the virtual machine is running.`);
};

const assertSecond = ({ name, hv }: Hv): void => {
  if (hv.generation === 1) throw invalidArgument(`The operation is not supported on the generation 1 virtual machine '${name}'.`);
};
