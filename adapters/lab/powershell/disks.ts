// Cmdlets about virtual disks' files and the drives that hold them.
import type { Bound } from './arguments.ts';
import { int, object, type PsObject, type Shape } from './cells.ts';
import { diskIdOf, hvMachinesOf, renameDisk, specFromHv } from './equipment.ts';
import { guidFrom, hostOf } from './fabric.ts';
import { HRESULT, invalidArgument, invalidState, unknownId, win32 } from './failures.ts';
import { each, eachMachine, type Handlers, machineHere, nothing, placeOf, stillThere } from './handlers.ts';
import type { At, DriveRecord, FileRecord, Hv, PsContext } from './model.ts';
import { addFile, assertNewFile, childrenOf, dropFile, fileAt, findFile, keyOf } from './paths.ts';
import { assertClosed, assertOpens, isOpen, type Use, usesOf } from './usage.ts';
import { freeBytes, vhdObject } from './vhd-object.ts';
import { CHECKPOINT, DRIVE, DVD, driveObject, dvdObject, type OfMachine } from './vm-object.ts';

const LONGEST_BYTES = 64 * 2 ** 40;
const SMALLEST_BYTES = 4096;

export const disks: Handlers = {
  'Get-VHD': (context, args) => {
    const uses = usesOf(context);
    if (args.has('Path')) return each(context, args.texts('Path'), (path) => [vhdAt(context, path, uses)]);
    return each(context, args.texts('VMId'), (id) => {
      const machine = machineHere(context, id);
      return each(context, machine.hv.drives, ({ path }) => [vhdAt(context, path, uses)]);
    });
  },

  'New-VHD': (context, args) => each(context, args.texts('Path'), (path) => [newVhd(context, path, args)]),

  'Resize-VHD': (context, args) =>
    each(context, args.texts('Path'), (path) => {
      resize(context, path, args.number('SizeBytes'));
      return nothing;
    }),

  'Convert-VHD': (context, args) => {
    const source = args.text('Path');
    const file = fileAt(context, source);
    assertOpens(context, keyOf(source), { readOnly: true });
    const { volume } = context.estate.layer(file.layer);
    const path = args.text('DestinationPath');
    const at = assertNewFile(context, path);
    if (volume.allocatedBytes > freeBytes({ at: context, volume: at })) throw win32(HRESULT.diskFull, `Failed to create '${path}'`);
    const copy = context.estate.createLayer(volume.sizeBytes, at.place.id);
    volume.copyTo(copy);
    const type = args.maybeText('VHDType') === 'Fixed' ? 'Fixed' : 'Dynamic';
    const { identifier, logicalSectorBytes, physicalSectorBytes } = file;
    addFile(context, { path, layer: copy.name, identifier, type, logicalSectorBytes, physicalSectorBytes });
    return nothing;
  },

  'Set-VHD': (context, args) => {
    const path = args.text('Path');
    const file = fileAt(context, path);
    assertClosed(context, keyOf(path));
    if (args.flag('ResetDiskIdentifier')) resetIdentifier(context, keyOf(path), file);
    return nothing;
  },

  'Remove-Item': (context, args) =>
    each(context, args.texts('LiteralPath'), (path) => {
      if (!findFile(context, path)) throw win32(HRESULT.fileNotFound, `Cannot find path '${path}'`);
      assertClosed(context, keyOf(path));
      removeFile(context, keyOf(path));
      return nothing;
    }),

  'Get-VMHardDiskDrive': (context, args) => {
    const at = placeOf(context);
    if (args.has('VMSnapshot')) {
      return each(context, args.records('VMSnapshot', CHECKPOINT), ({ machine, checkpoint }) =>
        checkpoint.config.drives.map((drive) => driveObject({ at, machine, drive })),
      );
    }
    return eachMachine(context, args, (machine) => machine.hv.drives.map((drive) => driveObject({ at, machine, drive })));
  },

  'Add-VMHardDiskDrive': (context, args) =>
    eachMachine(context, args, (machine) => {
      const drive = addDrive(context, machine, args);
      return args.flag('Passthru') ? [driveObject({ at: placeOf(context), machine, drive })] : nothing;
    }),

  'Remove-VMHardDiskDrive': (context, args) =>
    each(context, args.records('VMHardDiskDrive', DRIVE), (of) => {
      const machine = stillThere(context, of);
      const drive = machine.hv.drives.find(({ id }) => id === of.drive.id);
      if (!drive) throw unknownId('hard disk drive', of.drive.id);
      if (isOpen(context, machine) && drive.type === 'IDE')
        throw invalidState('A drive of an IDE controller cannot be removed while the machine runs.');
      removeDrive(context, machine, drive);
      return nothing;
    }),

  'Get-VMScsiController': (context, args) =>
    eachMachine(context, args, (machine) =>
      Array.from({ length: machine.hv.scsiControllers }, (_, number) =>
        object(CONTROLLER, { machine, number, at: placeOf(context) }, machine.id),
      ),
    ),

  'Add-VMScsiController': (context, args) =>
    eachMachine(context, args, (machine) => {
      if (isOpen(context, machine)) throw invalidState('A controller cannot be added while the machine runs.');
      if (machine.hv.scsiControllers === 4) throw invalidState('The machine has four SCSI controllers already.');
      machine.hv.scsiControllers++;
      context.estate.touch(machine);
      return nothing;
    }),

  'Get-VMDvdDrive': (context, args) =>
    eachMachine(context, args, (machine) => machine.hv.dvds.map((dvd) => dvdObject({ at: placeOf(context), machine, dvd }))),

  'Remove-VMDvdDrive': (context, args) =>
    each(context, args.records('VMDvdDrive', DVD), (of) => {
      const machine = stillThere(context, of);
      machine.hv.dvds = machine.hv.dvds.filter(({ id }) => id !== of.dvd.id);
      context.estate.touch(machine);
      return nothing;
    }),
};

const CONTROLLER: Shape<OfMachine & { readonly number: number }> = {
  type: 'Microsoft.HyperV.PowerShell.VMScsiController',
  text: ({ number }) => `SCSI Controller ${number}`,
  properties: {
    VMId: ({ machine }) => machine.id,
    ControllerNumber: ({ number }) => number,
    Name: () => 'SCSI Controller',
    Drives: ({ at, machine, number }) =>
      machine.hv.drives
        .filter((drive) => drive.type === 'SCSI' && drive.number === number)
        .map((drive) => driveObject({ at, machine, drive })),
    VMName: ({ machine }) => machine.name,
    SlotCount: () => int(64),
  },
};

/** Throws where the host cannot look into the file: another node has it open. */
const vhdAt = (context: PsContext, path: string, uses: ReadonlyMap<string, Use>): PsObject => {
  const file = fileAt(context, path);
  const key = keyOf(path);
  const use = uses.get(key);
  if (use?.exclusive && use.host !== context.host.name)
    throw win32(HRESULT.sharingViolation, `Getting the information of '${path}' failed`);
  return vhdObject({ at: placeOf(context), host: context.host, key, file, use });
};

const newVhd = (context: PsContext, path: string, args: Bound): PsObject => {
  const { estate } = context;
  if (!/\.vhdx$/i.test(path)) throw invalidArgument(`The path '${path}' has no extension of a virtual disk that is made here (.vhdx).`);
  const at = assertNewFile(context, path);
  const parent = args.maybeText('ParentPath');
  const file =
    parent === undefined
      ? newBase(context, path, { args, place: at.place.id })
      : newChild(context, path, { parent, place: at.place.id, args });
  const key = addFile(context, file);
  estate.revision++;
  return vhdObject({ at: placeOf(context), host: context.host, key, file, use: undefined });
};

interface NewDisk {
  readonly args: Bound;
  readonly place: Parameters<At['estate']['createLayer']>[1];
}

const newBase = ({ estate }: PsContext, path: string, { args, place }: NewDisk): FileRecord => {
  const sizeBytes = args.number('SizeBytes');
  const logicalSectorBytes = args.maybeNumber('LogicalSectorSizeBytes') === 4096 ? 4096 : 512;
  const physicalSectorBytes = args.maybeNumber('PhysicalSectorSizeBytes') === 512 ? 512 : 4096;
  if (sizeBytes > LONGEST_BYTES || sizeBytes < SMALLEST_BYTES || sizeBytes % logicalSectorBytes !== 0)
    throw invalidArgument(`The size ${sizeBytes} is not valid for a virtual disk.`);
  const layer = estate.createLayer(sizeBytes, place).name;
  return { path, layer, identifier: estate.random.uuid(), type: 'Dynamic', logicalSectorBytes, physicalSectorBytes };
};

/** It is the same disk to whoever reads its page 83, until it is told to be another one. */
const newChild = (context: PsContext, path: string, { parent, place, args }: NewDisk & { readonly parent: string }): FileRecord => {
  const { estate } = context;
  const below = fileAt(context, parent);
  assertOpens(context, keyOf(parent), { readOnly: true });
  const { volume } = estate.layer(below.layer);
  if (args.has('SizeBytes') && args.number('SizeBytes') !== volume.sizeBytes)
    throw invalidArgument('The size of a differencing disk is that of its parent.');
  const { identifier, logicalSectorBytes, physicalSectorBytes } = below;
  const layer = estate.createLayer(volume.sizeBytes, place, volume).name;
  return { path, layer, identifier, type: 'Differencing', parent: keyOf(parent), logicalSectorBytes, physicalSectorBytes };
};

/** A disk of a running machine can grow on a SCSI controller; what the tracker knew holds no more. */
const resize = (context: PsContext, path: string, sizeBytes: number): void => {
  const { estate } = context;
  const key = keyOf(path);
  const file = fileAt(context, path);
  const { volume } = estate.layer(file.layer);
  if (childrenOf(context, key).length > 0) throw win32(HRESULT.sharingViolation, `Failed to resize '${path}': it has differencing disks`);
  if (sizeBytes < volume.sizeBytes || sizeBytes > LONGEST_BYTES || sizeBytes % file.logicalSectorBytes !== 0)
    throw invalidArgument(`The size ${sizeBytes} is not valid for '${path}'.`);
  const user = holderOf(context, key);
  if (user && (hostOf(context, user.machine) !== context.host || user.drive.type === 'IDE') && isOpen(context, user.machine))
    throw win32(HRESULT.sharingViolation, `Failed to resize '${path}'`);
  if (!user || !isOpen(context, user.machine)) assertClosed(context, key);
  volume.grow(sizeBytes);
  if (!user) return;
  estate.trackers.get(user.drive.disk)?.reset(estate.random.uuid());
  specFromHv(context, user.machine);
};

/** The machine that writes to the file. */
export const holderOf = (at: At, key: string): { readonly machine: Hv; readonly drive: DriveRecord } | undefined => {
  for (const machine of hvMachinesOf(at)) {
    const drive = machine.hv.drives.find(({ path }) => keyOf(path) === key);
    if (drive) return { machine, drive };
  }
  return undefined;
};

/** For the estate it is another disk from then on. */
const resetIdentifier = (context: PsContext, key: string, file: FileRecord): void => {
  const { estate } = context;
  file.identifier = estate.random.uuid();
  const holder = holderOf(context, key);
  estate.revision++;
  if (!holder) return;
  const { machine, drive } = holder;
  estate.trackers.delete(drive.disk);
  renameDisk(machine, drive.disk, diskIdOf(machine, file.identifier));
  specFromHv(context, machine);
};

/** A machine that has it goes on naming it. */
const removeFile = (context: PsContext, key: string): void => {
  const holder = holderOf(context, key);
  dropFile(context, key);
  if (!holder) return;
  const { machine, drive } = holder;
  delete machine.volumes[drive.disk];
  context.estate.trackers.delete(drive.disk);
  specFromHv(context, machine);
};

const addDrive = (context: PsContext, machine: Hv, args: Bound): DriveRecord => {
  const { estate } = context;
  const { hv } = machine;
  const path = args.maybeText('Path');
  if (path === undefined) throw invalidArgument('A drive without a disk is of no use here.');
  const file = fileAt(context, path);
  const type = (args.maybeText('ControllerType') ?? (hv.generation === 1 ? 'IDE' : 'SCSI')) as DriveRecord['type'];
  if (type === 'IDE' && hv.generation === 2) throw invalidArgument('A generation 2 virtual machine has no IDE controller.');
  if (type === 'IDE' && isOpen(context, machine))
    throw invalidState('A drive cannot be added to an IDE controller while the machine runs.');
  const slot = slotFor(hv, { type, number: args.maybeNumber('ControllerNumber'), location: args.maybeNumber('ControllerLocation') });
  if (hv.drives.some((drive) => keyOf(drive.path) === keyOf(path)))
    throw invalidState(`The disk '${path}' is attached to the machine already.`);
  assertOpens(context, keyOf(path), { readOnly: !isOpen(context, machine), by: machine });
  if (isOpen(context, machine) && childrenOf(context, keyOf(path)).length > 0)
    throw win32(HRESULT.sharingViolation, `Failed to add '${path}'`);
  const disk = diskIdOf(machine, file.identifier);
  if (machine.volumes[disk] !== undefined)
    throw invalidState(`A disk with the identifier of '${path}' is attached to the machine already.`);
  const drive: DriveRecord = { id: guidFrom(machine.id, 'drive', estate.nextId('drive')), ...slot, path: file.path, disk };
  machine.volumes[disk] = file.layer;
  hv.drives = [...hv.drives, drive];
  specFromHv(context, machine);
  return drive;
};

const LOCATIONS = { IDE: 2, SCSI: 64 } as const;

const slotFor = (
  hv: Hv['hv'],
  asked: { readonly type: DriveRecord['type']; readonly number: number | undefined; readonly location: number | undefined },
): Pick<DriveRecord, 'type' | 'number' | 'location'> => {
  const { type } = asked;
  const controllers = type === 'IDE' ? 2 : hv.scsiControllers;
  const isTaken = (number: number, location: number) =>
    [...hv.drives, ...hv.dvds].some((one) => one.type === type && one.number === number && one.location === location);
  for (let number = asked.number ?? 0; number < controllers && number === (asked.number ?? number); number++) {
    for (let location = asked.location ?? 0; location < LOCATIONS[type]; location++) {
      if (!isTaken(number, location)) return { type, number, location };
      if (asked.location !== undefined) throw invalidState(`Something is at location ${location} of ${type} controller ${number} already.`);
    }
  }
  throw invalidArgument(`There is no such place on a ${type} controller of the machine.`);
};

export const removeDrive = (at: At, machine: Hv, drive: DriveRecord): void => {
  machine.hv.drives = machine.hv.drives.filter((one) => one !== drive);
  delete machine.volumes[drive.disk];
  at.estate.trackers.delete(drive.disk);
  specFromHv(at, machine);
};
