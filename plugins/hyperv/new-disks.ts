// Disks of a machine: where they hang, and their files.
import { hash } from 'node:crypto';
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, type DiskId, type DiskSpec, DrError, type MachineId, type MachineSpec } from '../../core/contract/index.ts';
import { removeFile } from './dismantle.ts';
import { type Fabric, vmById } from './fabric.ts';
import { diskIdOf } from './machine.ts';
import { text } from './rows.ts';

const short = (words: string): string => hash('sha256', words, 'hex').slice(0, 16);

export interface Slot {
  readonly controller: 'IDE' | 'SCSI';
  readonly number: number;
  readonly location: number;
}

const IDE_PLACES = 4;
const SCSI_PLACES = 64;
const SCSI_CONTROLLERS = 4;

/** Generation 1 boots from IDE only, and takes no disk on it while it runs; what does not fit there hangs on SCSI. `taken`: places that are in use. */
export const slotsFor = (spec: MachineSpec, disks: readonly DiskSpec[], taken: readonly Slot[] = []): Map<DiskId, Slot> => {
  const isTaken = (slot: Slot) =>
    taken.some((one) => one.controller === slot.controller && one.number === slot.number && one.location === slot.location);
  const ide = Array.from({ length: IDE_PLACES }, (_, at): Slot => ({ controller: 'IDE', number: at >> 1, location: at & 1 }));
  const scsi = Array.from(
    { length: SCSI_CONTROLLERS * SCSI_PLACES },
    (_, at): Slot => ({ controller: 'SCSI', number: Math.floor(at / SCSI_PLACES), location: at % SCSI_PLACES }),
  );
  const bootFirst = disks.toSorted((a, b) => Number(b.boot) - Number(a.boot));
  const free = { ide: ide.filter((slot) => !isTaken(slot)), scsi: scsi.filter((slot) => !isTaken(slot)) };
  return new Map(
    bootFirst.map((disk): [DiskId, Slot] => {
      const wantsIde = spec.firmware === 'bios' && (disk.boot || disk.bus === 'ide');
      const slot = (wantsIde ? free.ide.shift() : undefined) ?? free.scsi.shift();
      if (!slot)
        throw new DrError('CAPABILITY_MISSING', `a machine of Hyper-V has no room for ${disks.length} disks`, {
          context: { kind: 'disk' },
        });
      return [disk.id, slot];
    }),
  );
};

export interface DiskPlan {
  readonly id: MachineId;
  readonly host: string;
  readonly spec: MachineSpec;
  readonly folder: string;
  readonly parents?: ReadonlyMap<DiskId, Parent> | undefined;
  /** Those to add; all of the definition unless told. */
  readonly only?: readonly DiskSpec[];
  readonly taken?: readonly Slot[];
}

/** Disk that one of the definition's stands on, or is a copy of. */
export interface Parent {
  readonly path: string;
  readonly copy: boolean;
}

/** One for each disk and operation: who makes it again makes the same one. */
export const newPath = (folder: string, disk: DiskId, { operationId }: Call): string =>
  `${folder}\\${short(`${operationId}\n${disk}`)}.vhdx`;

/** Ids of the definition to ids here. What hangs in the machine already is left as it is: an earlier attempt has made it. */
export const addDisks = async (fabric: Fabric, plan: DiskPlan, call: Call): Promise<Record<string, DiskId>> => {
  const { spec, host, id, folder, only = spec.disks, taken = [] } = plan;
  const there = await pathsOf(fabric, { id, host }, call);
  const isThere = (disk: DiskSpec) => there.has(newPath(folder, disk.id, call).toLowerCase());
  const slots = slotsFor(
    spec,
    only.filter((disk) => !isThere(disk)),
    taken,
  );
  const controllers = Math.max(0, ...[...slots.values()].filter(({ controller }) => controller === 'SCSI').map(({ number }) => number + 1));
  await addControllers(fabric, { id, host, wanted: controllers }, call);
  const ids: Record<string, DiskId> = {};
  for (const disk of only) {
    const slot = slots.get(disk.id);
    if (slot) await addDisk(fabric, plan, { disk, slot }, call);
    const path = newPath(folder, disk.id, call);
    const [row] = await fabric.rows(host, [{ cmdlet: 'Get-VHD', params: { Path: path }, select: ['DiskIdentifier'] }], call);
    ids[disk.id] = diskIdOf(id, text(row ?? {}, 'DiskIdentifier'));
  }
  return ids;
};

/** Of the files that hang in a machine, in lower case. */
const pathsOf = async (
  fabric: Fabric,
  { id, host }: { readonly id: MachineId; readonly host: string },
  call: Call,
): Promise<ReadonlySet<string>> => {
  const drives: Step = { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } }, select: ['Path'] };
  return new Set((await fabric.rows(host, [vmById(id), drives], call)).map((row) => text(row, 'Path').toLowerCase()));
};

const addDisk = async (
  fabric: Fabric,
  { id, host, folder, parents }: DiskPlan,
  { disk, slot: { controller, number, location } }: { readonly disk: DiskSpec; readonly slot: Slot },
  call: Call,
): Promise<void> => {
  const Path = newPath(folder, disk.id, call);
  await removeFile(fabric, host, Path, call);
  try {
    await fabric.run(host, [fileStep(Path, disk, parents?.get(disk.id))], call, call.deadlineMs);
  } catch (error) {
    // Half a file, where the storage is full.
    if (!call.signal.aborted) await removeFile(fabric, host, Path, call).catch(() => undefined);
    throw error;
  }
  const place = { ControllerType: controller, ControllerNumber: number, ControllerLocation: location };
  await fabric.run(host, [vmById(id), { cmdlet: 'Add-VMHardDiskDrive', params: { VM: { $step: 0 }, ...place, Path } }], call);
};

const fileStep = (path: string, { sizeBytes, logicalSectorBytes, physicalSectorBytes }: DiskSpec, parent: Parent | undefined): Step => {
  if (parent?.copy) return { cmdlet: 'Convert-VHD', params: { Path: parent.path, DestinationPath: path, VHDType: 'Dynamic' } };
  if (parent) return { cmdlet: 'New-VHD', params: { Path: path, ParentPath: parent.path, Differencing: true } };
  return {
    cmdlet: 'New-VHD',
    params: {
      Path: path,
      SizeBytes: { $type: 'uint64', value: String(sizeBytes) },
      Dynamic: true,
      LogicalSectorSizeBytes: { $type: 'uint32', value: logicalSectorBytes },
      PhysicalSectorSizeBytes: { $type: 'uint32', value: physicalSectorBytes },
    },
  };
};

const addControllers = async (
  fabric: Fabric,
  { id, host, wanted }: { readonly id: MachineId; readonly host: string; readonly wanted: number },
  call: Call,
): Promise<void> => {
  const [, there] = await fabric.run(host, [vmById(id), { cmdlet: 'Get-VMScsiController', params: { VM: { $step: 0 } } }], call);
  for (let have = there?.count ?? 0; have < wanted; have++)
    await fabric.run(host, [vmById(id), { cmdlet: 'Add-VMScsiController', params: { VM: { $step: 0 } } }], call);
};
