// Cmdlets about the drives of machines, and the controllers that they hang on.
import type { Bound } from './arguments.ts';
import { int, object, type Shape } from './cells.ts';
import { diskIdOf, specFromHv } from './equipment.ts';
import { guidFrom, idOnHosts } from './fabric.ts';
import { HRESULT, invalidArgument, invalidState, unknownId, win32 } from './failures.ts';
import { each, eachMachine, type Handlers, nothing, placeOf, stillThere } from './handlers.ts';
import type { At, DriveRecord, Hv, PsContext } from './model.ts';
import { childrenOf, fileAt, keyOf } from './paths.ts';
import { assertOpens, isOpen } from './usage.ts';
import { CHECKPOINT, DRIVE, DVD, driveObject, dvdObject, type OfMachine } from './vm-object.ts';

export const drives: Handlers = {
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
    VMId: ({ machine }) => idOnHosts(machine),
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

const removeDrive = (at: At, machine: Hv, drive: DriveRecord): void => {
  machine.hv.drives = machine.hv.drives.filter((one) => one !== drive);
  delete machine.volumes[drive.disk];
  at.estate.trackers.delete(drive.disk);
  specFromHv(at, machine);
};
