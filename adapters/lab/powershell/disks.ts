// Cmdlets about virtual disks by their files.
import type { Bound } from './arguments.ts';
import type { PsObject } from './cells.ts';
import { diskIdOf, hvMachinesOf, renameDisk, specFromHv } from './equipment.ts';
import { hostOf } from './fabric.ts';
import { HRESULT, invalidArgument, win32 } from './failures.ts';
import { each, type Handlers, machineHere, nothing, placeOf } from './handlers.ts';
import type { At, DriveRecord, FileRecord, Hv, PsContext } from './model.ts';
import { addFile, assertNewFile, childrenOf, dropFile, fileAt, findFile, keyOf } from './paths.ts';
import { assertClosed, assertOpens, isOpen, type Use, usesOf } from './usage.ts';
import { freeBytes, vhdObject } from './vhd-object.ts';

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
