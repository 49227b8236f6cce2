// Taking machines and files away.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, isDrError, type MachineId } from '../../core/contract/index.ts';
import { awaitMerge } from './checkpoints.ts';
import type { Disks } from './disks.ts';
import { type Fabric, vmById } from './fabric.ts';
import { whileHeld } from './patience.ts';
import { text } from './rows.ts';

export const removeFile = async (fabric: Fabric, host: string, path: string, call: Call): Promise<void> => {
  try {
    await whileHeld(fabric, () => fabric.run(host, [{ cmdlet: 'Remove-Item', params: { LiteralPath: path } }], call), call);
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

interface Doomed {
  readonly id: MachineId;
  readonly host: string;
  /** Files that may be there and on none of its drives. */
  readonly loose?: readonly string[] | undefined;
}

/**
 * Of a machine that is off: its checkpoints, its files, and then the machine. As long as it is there it tells a next attempt what is left of them;
 * what was added to its folder by hand stays.
 */
export const dismantle = async (
  { fabric, disks }: { readonly fabric: Fabric; readonly disks: Disks },
  { id, host, loose = [] }: Doomed,
  call: Call,
): Promise<void> => {
  await removeCheckpoints(fabric, { id, host }, call);
  const drives: Step = { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } }, select: ['Path'] };
  const [vms, found] = await fabric.run(host, [vmById(id, ['IsClustered']), drives], call);
  const paths = (found?.rows ?? []).map((row) => text(row, 'Path')).filter((path) => path !== '');
  await disks.release(host, paths, call);
  if (vms?.rows[0]?.['IsClustered'] === true) await fabric.run(host, [vmById(id), leaveStep(id)], call);
  for (const path of new Set([...paths, ...loose])) await removeFile(fabric, host, path, call);
  await fabric.run(host, [vmById(id), { cmdlet: 'Remove-VM', params: { VM: { $step: 0 }, Force: true } }], call, call.deadlineMs);
};

/** The machine stays, and is the cluster's no more. */
export const leaveStep = (id: MachineId): Step => ({
  cmdlet: 'Remove-ClusterGroup',
  params: { VMId: id, RemoveResources: true, Force: true },
});

/** Somebody's, of a test that they have tried things in: what lies under them would be nobody's once the machine is gone. */
const removeCheckpoints = async (
  fabric: Fabric,
  { id, host }: { readonly id: MachineId; readonly host: string },
  call: Call,
): Promise<void> => {
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMSnapshot', params: { VM: { $step: 0 } } },
    { cmdlet: 'Remove-VMSnapshot', params: { VMSnapshot: { $step: 1 } } },
  ];
  const [, there] = await fabric.run(host, steps, call, call.deadlineMs);
  if ((there?.count ?? 0) > 0) await awaitMerge(fabric, id, call);
};
