// Checkpoints: those of cycles are recovery checkpoints, as backup products take them, and become reference points; those of forks are ordinary ones.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type MachineId } from '../../core/contract/index.ts';
import { pollTask } from '../../core/plugin-kit/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { DRIVE, VHD, VM } from './machine.ts';
import type { Marks } from './notes.ts';
import { member, members, text } from './rows.ts';
import { callMethod, embedded, instances } from './wmi.ts';

export interface Checkpoint {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly createdAt: string;
}

const SNAPSHOT = ['Id', 'Name', 'SnapshotType', 'CreationTime'] as const;
const SERVICE = 'Msvm_VirtualSystemSnapshotService';
/** Msvm_VirtualSystemSnapshotService.CreateSnapshot: a recovery snapshot, which nobody sees in the manager. */
const RECOVERY = 32768;
const LEVELS = { application: '1', crash: '2' } as const;
/** A copy leaves the logs of the guest's own backups alone; Windows Server 2016 1703 and later. */
const GUEST_BACKUP_COPY = '2';

export const snapshotsOf = async (
  fabric: Fabric,
  { id, host }: { readonly id: MachineId; readonly host: string },
  call: Call,
): Promise<Checkpoint[]> => {
  const rows = await fabric.rows(host, [vmById(id), { cmdlet: 'Get-VMSnapshot', params: { VM: { $step: 0 } }, select: SNAPSHOT }], call);
  return rows.map((row) => ({
    id: text(row, 'Id').toLowerCase(),
    name: text(row, 'Name'),
    type: member(row, 'SnapshotType'),
    createdAt: text(row, 'CreationTime'),
  }));
};

export const isOurCycle = (marks: Marks | undefined, checkpoint: string): boolean => marks?.cycle?.checkpoint === checkpoint;

/** A checkpoint's disks as files that nobody writes: their drives, and what the files say of themselves. */
export const frozenDisks = async (fabric: Fabric, host: string, checkpoint: string, call: Call) => {
  const steps: Step[] = [
    { cmdlet: 'Get-VMSnapshot', params: { Id: checkpoint } },
    { cmdlet: 'Get-VMHardDiskDrive', params: { VMSnapshot: { $step: 0 } }, select: DRIVE },
    { cmdlet: 'Get-VHD', params: { Path: { $step: 1, $property: 'Path' } }, select: VHD },
  ];
  const [, drives, vhds] = await fabric.run(host, steps, call);
  return { drives: drives?.rows ?? [], vhds: new Map((vhds?.rows ?? []).map((row) => [text(row, 'Path').toLowerCase(), row])) };
};

/** Takes one; who has asked finds it as the only recovery checkpoint there is. */
export const takeRecovery = async (
  fabric: Fabric,
  { id, host }: { readonly id: MachineId; readonly host: string },
  consistency: 'crash' | 'application',
  call: Call,
): Promise<void> => {
  const settings = embedded('Msvm_VirtualSystemSnapshotSettingData', {
    ConsistencyLevel: ['uint8', LEVELS[consistency]],
    GuestBackupType: ['uint8', GUEST_BACKUP_COPY],
    IgnoreNonSnapshottableDisks: ['boolean', 'FALSE'],
  });
  await callMethod(
    fabric,
    {
      host,
      steps: [instances('Msvm_ComputerSystem', { property: 'Name', value: id.toUpperCase() })],
      service: SERVICE,
      method: 'CreateSnapshot',
      args: { AffectedSystem: { $step: 0 }, SnapshotSettings: settings, SnapshotType: { $type: 'uint16', value: RECOVERY } },
      what: `a checkpoint of machine ${id}`,
    },
    call,
  );
};

const settingsOf = (checkpoint: string): Step =>
  instances('Msvm_VirtualSystemSettingData', { property: 'InstanceID', value: `Microsoft:${checkpoint.toUpperCase()}` });

export const destroyCheckpoint = (fabric: Fabric, host: string, checkpoint: string, call: Call) =>
  callMethod(
    fabric,
    {
      host,
      steps: [settingsOf(checkpoint)],
      service: SERVICE,
      method: 'DestroySnapshot',
      args: { AffectedSnapshot: { $step: 0 } },
      what: `the removal of checkpoint ${checkpoint}`,
    },
    call,
  );

/** Its disks are merged; what is left is where changes are counted from. */
export const convertToReferencePoint = (fabric: Fabric, host: string, checkpoint: string, call: Call) =>
  callMethod(
    fabric,
    {
      host,
      steps: [settingsOf(checkpoint)],
      service: SERVICE,
      method: 'ConvertToReferencePoint',
      args: {
        AffectedSnapshot: { $step: 0 },
        ReferencePointSettings: embedded('Msvm_VirtualSystemReferencePointSettingData', { ConsistencyLevel: ['uint8', LEVELS.crash] }),
      },
      what: `the reference point of checkpoint ${checkpoint}`,
    },
    call,
  );

const MERGING = ['MergingDisks', 'DeletingSnapshot', 'CreatingSnapshot'];

/** A checkpoint on top of a chain that is being merged grows it, and merges that pile up are how hosts drown. */
export const awaitMerge = async (fabric: Fabric, id: MachineId, call: Call): Promise<void> => {
  const look = async () => {
    const [result] = await fabric.onOwner(id, [vmById(id, VM)], call);
    const status = members(result?.rows[0] ?? {}, 'OperationalStatus');
    return status.some((one) => MERGING.includes(one)) ? { done: false as const } : { done: true as const, value: undefined };
  };
  await pollTask(call, `the merge of the disks of machine ${id}`, look, { firstPauseMs: 50, maxPauseMs: 2_000, time: fabric.time });
};

export const busy = (id: MachineId, message: string, hint: string): DrError =>
  new DrError('TASK_IN_PROGRESS', `machine ${id} ${message}`, { hint, context: { machine: id } });
