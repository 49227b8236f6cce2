// Making a machine part by part. What was begun and not finished carries a name that says whose it is, and is taken away before it is made anew.
import { hash } from 'node:crypto';
import type { Step } from '../../adapters/powershell/port.ts';
import type { Call, DiskId, MachineId, MachineSpec, NicId, PlaceId } from '../../core/contract/index.ts';
import { addCards } from './cards.ts';
import type { Disks } from './disks.ts';
import { dismantle } from './dismantle.ts';
import { type Fabric, vmById } from './fabric.ts';
import { lookAt } from './look.ts';
import { drivesOf, hostPlace } from './machine.ts';
import { addDisks, type DiskPlan, newPath } from './new-disks.ts';
import { type Marks, readable, writeNotes } from './notes.ts';
import type { Storage } from './places.ts';
import { HELD } from './replica.ts';
import { text } from './rows.ts';
import { memoryOf, memoryStep, templateOf, vendorOf } from './vendor.ts';

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
      const one = { id, host, name: text(row, 'Name'), marks: readable(text(row, 'Notes')).marks };
      if (!wanted(one)) continue;
      fabric.note(id, host);
      found.push(one);
    }
  }
  return found;
};

export interface Blueprint {
  readonly spec: MachineSpec;
  readonly name: string;
  readonly host: string;
  readonly storage: Storage;
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
  /** Disk that each of the definition's stands on; without one it is made empty. */
  readonly parents?: DiskPlan['parents'];
  /** What the machine is marked with: first as one that has nothing yet. */
  readonly mark: (made: { readonly disks: Record<string, DiskId>; readonly nics: Record<string, NicId> }) => Marks;
}

/** One machine for each operation: a half made one goes first. */
export const build = async (fabric: Fabric, disks: Disks, plan: Blueprint, call: Call): Promise<MachineId> => {
  const name = buildName(fabric, call.operationId);
  const isHalf = ({ name: called, marks }: Found) => called === name || (marks?.owner === fabric.ownerId && isBuilding(marks, call));
  for (const { id, host, marks } of await findMachines(fabric, isHalf, call))
    await dismantle({ fabric, disks }, { id, host, loose: marks?.building }, call);
  const { spec, host } = plan;
  const folder = `${plan.storage.root}\\Warmsite`;
  const building = spec.disks.map((disk) => newPath(`${folder}\\${name}`, disk.id, call));
  const id = await begin(fabric, { ...plan, name, folder, marks: { ...plan.mark({ disks: {}, nics: {} }), building } }, call);
  fabric.note(id, host);
  try {
    await fabric.run(host, basics(id, spec), call);
    const made = {
      disks: await addDisks(fabric, { ...plan, id, folder: `${folder}\\${name}` }, call),
      nics: await addCards(fabric, { ...plan, id }, call),
    };
    await bootFrom(fabric, { id, host, spec, disks: made.disks }, call);
    await fabric.run(host, finish(id, plan.name, plan.mark(made)), call);
    return id;
  } catch (error) {
    if (!call.signal.aborted) await dismantle({ fabric, disks }, { id, host, loose: building }, call).catch(() => undefined);
    throw error;
  }
};

/** Whose it is and what it was to be is written down in the request that makes it: what is left of it is found. */
const begin = async (
  fabric: Fabric,
  { spec, host, name, folder, marks }: Blueprint & { readonly folder: string; readonly marks: Marks },
  call: Call,
): Promise<MachineId> => {
  const version = await versionFor(fabric, host, spec, call);
  const steps: Step[] = [
    {
      cmdlet: 'New-VM',
      params: {
        Name: name,
        Generation: { $type: 'int64', value: spec.firmware === 'uefi' ? 2 : 1 },
        MemoryStartupBytes: { $type: 'int64', value: memoryOf(spec) },
        NoVHD: true,
        Path: folder,
        ...(version === undefined ? {} : { Version: version }),
      },
      select: ['Id'],
    },
    { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, Notes: writeNotes({ text: '', marks }) } },
  ];
  const [made] = await fabric.run(host, steps, call, MAKE_MS);
  return text(made?.rows[0] ?? {}, 'Id').toLowerCase() as MachineId;
};

/** The source's, so that the copy can go back to an older host; the host's own where it does not know it. */
export const versionFor = async (fabric: Fabric, host: string, spec: MachineSpec, call: Call): Promise<string | undefined> => {
  const { version } = vendorOf(spec);
  if (version === undefined) return undefined;
  const rows = await fabric.rows(host, [{ cmdlet: 'Get-VMHostSupportedVersion', params: {}, select: ['Version'] }], call);
  return rows.some((row) => text(row, 'Version') === version) ? version : undefined;
};

const isBuilding = ({ building, replica, fork }: Marks, { operationId }: Call): boolean =>
  building !== undefined && [replica?.operation, fork?.operation].includes(operationId);

/** The notes last: they say that it is whole. */
const finish = (id: MachineId, name: string, marks: Marks): Step[] => [
  vmById(id),
  { cmdlet: 'Rename-VM', params: { VM: { $step: 0 }, NewName: shortName(name) } },
  { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, Notes: writeNotes({ text: '', marks }) } },
];

/** No character is cut in two. */
export const shortName = (name: string): string =>
  name.length <= LONGEST_NAME ? name : name.slice(0, LONGEST_NAME).replace(/[\ud800-\udbff]$/, '');

/** It is written while its source runs. */
const basics = (id: MachineId, spec: MachineSpec): Step[] => [
  vmById(id),
  {
    cmdlet: 'Set-VM',
    params: {
      VM: { $step: 0 },
      ...HELD,
      AutomaticStopAction: 'ShutDown',
    },
  },
  { cmdlet: 'Set-VMProcessor', params: { VM: { $step: 0 }, Count: { $type: 'int64', value: spec.cpuCount } } },
  memoryStep(spec),
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
            ...(templateOf(spec) === undefined ? {} : { SecureBootTemplate: templateOf(spec)! }),
          },
        } as const,
      ]
    : []),
];

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

export const hostOf = (hosts: readonly string[], place: PlaceId): string | undefined => hosts.find((host) => hostPlace(host) === place);
