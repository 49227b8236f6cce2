// Making a machine part by part. What was begun and not finished carries a name that says whose it is, and is taken away before it is made anew.
import { hash } from 'node:crypto';
import type { Step } from '../../adapters/powershell/port.ts';
import {
  type Call,
  type DiskId,
  type DiskSpec,
  DrError,
  isDrError,
  type MachineId,
  type MachineSpec,
  type NicId,
  type PlaceId,
} from '../../core/contract/index.ts';
import type { Disks } from './disks.ts';
import { type Fabric, vmById } from './fabric.ts';
import { lookAt } from './look.ts';
import { diskIdOf, drivesOf, hostPlace, networkPlace, nicIdOf } from './machine.ts';
import { type Marks, readNotes, writeNotes } from './notes.ts';
import { type Storage, switches } from './places.ts';
import { text } from './rows.ts';

const MIB = 2 ** 20;
/** New-VM takes no less. */
const LEAST_MEMORY_BYTES = 32 * MIB;
const LONGEST_NAME = 100;
const MAKE_MS = 120_000;

const short = (words: string): string => hash('sha256', words, 'hex').slice(0, 16);

/** While it is made; the last step gives it its own name. */
export const buildName = (fabric: Fabric, operationId: string): string => `warmsite-${short(`${fabric.ownerId}\n${operationId}`)}`;

/** Notes of the machine, whose it is, and where it is. */
export interface Found {
  readonly id: MachineId;
  readonly host: string;
  readonly name: string;
  readonly marks: Marks | undefined;
}

/** Every machine of every host with our line in its notes, or a name of ours. */
export const findMachines = async (fabric: Fabric, wanted: (found: Found) => boolean, call: Call): Promise<Found[]> => {
  const found: Found[] = [];
  for (const host of await fabric.hosts(call)) {
    const rows = await fabric.rows(host, [{ cmdlet: 'Get-VM', params: {}, select: ['Id', 'Name', 'Notes'] }], call);
    for (const row of rows) {
      const id = text(row, 'Id').toLowerCase() as MachineId;
      const one = { id, host, name: text(row, 'Name'), marks: marksIn(text(row, 'Notes')) };
      if (!wanted(one)) continue;
      fabric.note(id, host);
      found.push(one);
    }
  }
  return found;
};

const marksIn = (notes: string): Marks | undefined => {
  try {
    return readNotes(notes).marks;
  } catch (error) {
    if (!isDrError(error, 'PROTOCOL_ERROR')) throw error;
    return undefined;
  }
};

export interface Blueprint {
  readonly spec: MachineSpec;
  readonly name: string;
  readonly host: string;
  readonly storage: Storage;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
  /** Disk that each of the definition's stands on; without one it is made empty. */
  readonly parents?: ReadonlyMap<DiskId, { readonly path: string; readonly copy: boolean }>;
  /** What the machine is marked with once it is whole. */
  readonly mark: (made: { readonly id: MachineId; readonly disks: Record<string, DiskId>; readonly nics: Record<string, NicId> }) => Marks;
}

/** One machine for each operation: a half made one goes first. */
export const build = async (fabric: Fabric, disks: Disks, plan: Blueprint, call: Call): Promise<MachineId> => {
  const name = buildName(fabric, call.operationId);
  for (const half of await findMachines(fabric, (one) => one.name === name, call)) await dismantle({ fabric, disks }, half, call);
  const { spec, host, storage } = plan;
  const folder = `${storage.root}\\Warmsite`;
  const [row] = await fabric.rows(
    host,
    [
      {
        cmdlet: 'New-VM',
        params: {
          Name: name,
          Generation: { $type: 'int64', value: spec.firmware === 'uefi' ? 2 : 1 },
          MemoryStartupBytes: { $type: 'int64', value: memoryOf(spec) },
          NoVHD: true,
          Path: folder,
        },
        select: ['Id'],
      },
    ],
    call,
    MAKE_MS,
  );
  const id = text(row ?? {}, 'Id').toLowerCase() as MachineId;
  fabric.note(id, host);
  try {
    await fabric.run(host, basics(id, spec), call);
    const made = {
      id,
      disks: await addDisks(fabric, { ...plan, id, folder: `${folder}\\${name}` }, call),
      nics: await addCards(fabric, { ...plan, id }, call),
    };
    await bootFrom(fabric, { id, host, spec, disks: made.disks }, call);
    const notes = writeNotes({ text: '', marks: plan.mark(made) });
    // From here it is whole: notes first, so that a machine with its own name is never without them.
    await fabric.run(
      host,
      [
        vmById(id),
        { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, Notes: notes } },
        { cmdlet: 'Rename-VM', params: { VM: { $step: 0 }, NewName: plan.name.slice(0, LONGEST_NAME) } },
      ],
      call,
    );
    return id;
  } catch (error) {
    if (!call.signal.aborted) await dismantle({ fabric, disks }, { id, host }, call).catch(() => undefined);
    throw error;
  }
};

const memoryOf = (spec: MachineSpec): number => Math.max(LEAST_MEMORY_BYTES, Math.ceil(spec.memoryBytes / (2 * MIB)) * 2 * MIB);

/** It is written while its source runs: nothing may start it, and nothing take a checkpoint of it by itself. */
const basics = (id: MachineId, spec: MachineSpec): Step[] => [
  vmById(id),
  {
    cmdlet: 'Set-VM',
    params: {
      VM: { $step: 0 },
      AutomaticStartAction: 'Nothing',
      AutomaticStopAction: 'ShutDown',
      AutomaticCheckpointsEnabled: false,
      CheckpointType: 'Standard',
    },
  },
  { cmdlet: 'Set-VMProcessor', params: { VM: { $step: 0 }, Count: { $type: 'int64', value: spec.cpuCount } } },
  {
    cmdlet: 'Set-VMMemory',
    params: { VM: { $step: 0 }, DynamicMemoryEnabled: false, StartupBytes: { $type: 'int64', value: memoryOf(spec) } },
  },
  { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } } },
  { cmdlet: 'Remove-VMNetworkAdapter', params: { VMNetworkAdapter: { $step: 4 } } },
  { cmdlet: 'Get-VMDvdDrive', params: { VM: { $step: 0 } } },
  { cmdlet: 'Remove-VMDvdDrive', params: { VMDvdDrive: { $step: 6 } } },
  ...(spec.firmware === 'uefi'
    ? [
        {
          cmdlet: 'Set-VMFirmware',
          params: {
            VM: { $step: 0 },
            EnableSecureBoot: spec.secureBoot ? 'On' : 'Off',
            ...(spec.secureBoot && spec.guest.family === 'linux' ? { SecureBootTemplate: 'MicrosoftUEFICertificateAuthority' } : {}),
          },
        } as const,
      ]
    : []),
];

// ---- disks -----------------------------------------------------------------------------------------------------------

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

interface DiskPlan extends Pick<Blueprint, 'spec' | 'host' | 'parents'> {
  readonly id: MachineId;
  readonly folder: string;
  /** Those to add; all of the definition unless told. */
  readonly only?: readonly DiskSpec[];
  readonly taken?: readonly Slot[];
}

/** Ids of the definition to ids here. */
export const addDisks = async (fabric: Fabric, plan: DiskPlan, call: Call): Promise<Record<string, DiskId>> => {
  const { spec, host, id, folder, parents, only = spec.disks, taken = [] } = plan;
  const slots = slotsFor(spec, only, taken);
  const controllers = Math.max(0, ...[...slots.values()].filter(({ controller }) => controller === 'SCSI').map(({ number }) => number + 1));
  await addControllers(fabric, { id, host, wanted: controllers }, call);
  const ids: Record<string, DiskId> = {};
  for (const disk of only) {
    const path = `${folder}\\${short(`${call.operationId}\n${disk.id}`)}.vhdx`;
    const parent = parents?.get(disk.id);
    await removeFile(fabric, host, path, call);
    await fabric.run(host, [fileStep(path, disk, parent)], call, call.deadlineMs);
    const { controller, number, location } = slots.get(disk.id)!;
    const [, , vhd] = await fabric.run(
      host,
      [
        vmById(id),
        {
          cmdlet: 'Add-VMHardDiskDrive',
          params: {
            VM: { $step: 0 },
            ControllerType: controller,
            ControllerNumber: number,
            ControllerLocation: location,
            Path: path,
          },
        },
        { cmdlet: 'Get-VHD', params: { Path: path }, select: ['DiskIdentifier'] },
      ],
      call,
    );
    ids[disk.id] = diskIdOf(id, text(vhd?.rows[0] ?? {}, 'DiskIdentifier'));
  }
  return ids;
};

const fileStep = (
  path: string,
  { sizeBytes, logicalSectorBytes, physicalSectorBytes }: DiskSpec,
  parent: { readonly path: string; readonly copy: boolean } | undefined,
): Step => {
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

export const removeFile = async (fabric: Fabric, host: string, path: string, call: Call): Promise<void> => {
  try {
    await fabric.run(host, [{ cmdlet: 'Remove-Item', params: { LiteralPath: path } }], call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

/** The firmware of generation 2 is told by name; generation 1 starts from the first IDE place, where the boot disk is. */
export const bootFrom = async (
  fabric: Fabric,
  {
    id,
    host,
    spec,
    disks,
  }: { readonly id: MachineId; readonly host: string; readonly spec: MachineSpec; readonly disks: Readonly<Record<string, DiskId>> },
  call: Call,
): Promise<void> => {
  const boot = spec.disks.find((disk) => disk.boot);
  if (spec.firmware !== 'uefi' || !boot) return;
  const drive = drivesOf(await lookAt(fabric, id, call)).find((one) => one.id === disks[boot.id]);
  if (!drive) return;
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } } },
    { cmdlet: 'Set-VMFirmware', params: { VM: { $step: 0 }, FirstBootDevice: { $step: 1, $where: { property: 'Path', is: drive.path } } } },
  ];
  await fabric.run(host, steps, call);
};

// ---- cards -----------------------------------------------------------------------------------------------------------

/** Ids of the definition to ids here. A card whose network this host does not have stays without a cable. */
export const addCards = async (
  fabric: Fabric,
  { id, host, spec, nics }: Pick<Blueprint, 'spec' | 'host' | 'nics'> & { readonly id: MachineId },
  call: Call,
): Promise<Record<string, NicId>> => {
  const ids: Record<string, NicId> = {};
  for (const [at, nic] of spec.nics.entries()) {
    const [, card] = await fabric.run(
      host,
      [
        vmById(id),
        {
          cmdlet: 'Add-VMNetworkAdapter',
          params: {
            VM: { $step: 0 },
            Name: `warmsite ${at}`,
            Passthru: true,
            ...(nic.mac === undefined ? {} : { StaticMacAddress: nic.mac.replaceAll(/[^0-9A-Fa-f]/g, '') }),
          },
          select: ['Id'],
        },
      ],
      call,
    );
    const made = nicIdOf(id, card?.rows[0] ?? {});
    ids[nic.id] = made;
    const to = nics.get(nic.id) ?? 'disconnected';
    if (to !== 'disconnected') await connectCard(fabric, { id, host, card: made, to }, call);
  }
  return ids;
};

/** NOT_FOUND when the host has no switch of that name. */
export const connectCard = async (
  fabric: Fabric,
  { id, host, card, to }: { readonly id: MachineId; readonly host: string; readonly card: NicId; readonly to: PlaceId | 'disconnected' },
  call: Call,
): Promise<void> => {
  const [, adapters] = await fabric.run(
    host,
    [vmById(id), { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } }, select: ['Id'] }],
    call,
  );
  const own = (adapters?.rows ?? []).find((row) => nicIdOf(id, row) === card);
  if (!own)
    throw new DrError('NOT_FOUND', `machine ${id} has no network card ${card}`, { context: { kind: 'nic', machine: id, name: card } });
  const steps: Step[] = [vmById(id), { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } } }];
  const VMNetworkAdapter = { $step: 1, $where: { property: 'Id', is: text(own, 'Id') } };
  if (to === 'disconnected') {
    await fabric.run(host, [...steps, { cmdlet: 'Disconnect-VMNetworkAdapter', params: { VMNetworkAdapter } }], call);
    return;
  }
  const wanted = (await switches(fabric, host, call)).find(({ name }) => networkPlace(name) === to);
  if (!wanted)
    throw new DrError('NOT_FOUND', `host ${host} has no switch for the network ${to}`, {
      context: { kind: 'network', place: to, name: host },
    });
  const connect: Step[] = [
    { cmdlet: 'Get-VMSwitch', params: { Id: wanted.id } },
    { cmdlet: 'Connect-VMNetworkAdapter', params: { VMNetworkAdapter, VMSwitch: { $step: 2 } } },
  ];
  await fabric.run(host, [...steps, ...connect], call);
};

// ---- taking away -----------------------------------------------------------------------------------------------------

/** The machine, then its files, by the folder that they are in: what was added by hand from elsewhere is left. */
export const dismantle = async (
  { fabric, disks }: { readonly fabric: Fabric; readonly disks: Disks },
  { id, host }: { readonly id: MachineId; readonly host: string },
  call: Call,
  keep: readonly string[] = [],
): Promise<void> => {
  const [vms, drives] = await fabric.run(
    host,
    [vmById(id, ['IsClustered']), { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } }, select: ['Path'] }],
    call,
  );
  const paths = (drives?.rows ?? []).map((row) => text(row, 'Path')).filter((path) => path !== '' && !keep.includes(path.toLowerCase()));
  await disks.release(host, paths, call);
  if (vms?.rows[0]?.['IsClustered'] === true)
    await fabric.run(host, [vmById(id), { cmdlet: 'Remove-ClusterGroup', params: { VMId: id, RemoveResources: true, Force: true } }], call);
  await fabric.run(host, [vmById(id), { cmdlet: 'Remove-VM', params: { VM: { $step: 0 }, Force: true } }], call, call.deadlineMs);
  for (const path of paths) await removeFile(fabric, host, path, call);
};

export const hostOf = (hosts: readonly string[], place: PlaceId | undefined): string | undefined =>
  place === undefined ? hosts[0] : hosts.find((host) => hostPlace(host) === place);
