// Power. A start of what runs and a stop of what is off only warn: the state that is read back is what counts.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, isDrError, type MachineId, type Power } from '../../core/contract/index.ts';
import { assertEpoch, pollTask } from '../../core/plugin-kit/index.ts';
import type { Disks } from './disks.ts';
import { type Fabric, vmById } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { powerOf, VM } from './machine.ts';
import { flag, maybeNumber, text } from './rows.ts';

export const powerFacet = (fabric: Fabric, disks: Disks): Power => ({
  set: async (id, to, call) => {
    const look = await lookAt(fabric, id, call);
    assertEpoch(id, look.notes.marks?.epoch, call.fence);
    const now = powerOf(look.vm);
    if (to === 'on') await powerOn({ fabric, disks }, look, call);
    else if (to === 'off') await powerOff(fabric, id, call);
    else if (now !== 'off') await shutDown(fabric, look, call);
    call.signal.throwIfAborted();
  },
});

const powerOn = async (
  { fabric, disks }: { readonly fabric: Fabric; readonly disks: Disks },
  { id, host, vm, drives, notes }: Look,
  call: Call,
) => {
  if (powerOf(vm) === 'on') return;
  // A disk that is attached to the host, by a writer of ours that was killed, keeps its machine from starting. To other machines' disks only others write.
  const { owner, replica, fork } = notes.marks ?? {};
  if (owner === fabric.ownerId && (replica || fork))
    await disks.release(
      host,
      drives.map((row) => text(row, 'Path')),
      call,
    );
  await fabric.onOwner(id, [vmById(id), { cmdlet: 'Start-VM', params: { VM: { $step: 0 } } }], call, call.deadlineMs);
  await awaitPower(fabric, id, 'on', call);
};

export const powerOff = async (fabric: Fabric, id: MachineId, call: Call): Promise<void> => {
  const [result] = await fabric.onOwner(id, [vmById(id, VM)], call);
  if (powerOf(result!.rows[0]!) === 'off') return;
  const stop = { cmdlet: 'Stop-VM', params: { VM: { $step: 0 }, TurnOff: true, Force: true } } as const;
  await fabric.onOwner(id, [vmById(id), stop], call, call.deadlineMs);
  await awaitPower(fabric, id, 'off', call);
  await awaitClosed(fabric, id, call);
};

/** Stop-VM is back before the process of the machine has closed its files; until then nothing about the machine can be changed. */
export const awaitClosed = async (fabric: Fabric, id: MachineId, call: Call): Promise<void> => {
  const steps: Step[] = [
    vmById(id, ['Id']),
    { cmdlet: 'Get-VHD', params: { VMId: { $step: 0, $property: 'Id' } }, select: ['Attached', 'DiskNumber?'], collect: true },
  ];
  const look = async () => {
    const [, vhds] = await fabric.onOwner(id, steps, call);
    const isOpen = (vhds?.rows ?? []).some((row) => flag(row, 'Attached') && maybeNumber(row, 'DiskNumber') === undefined);
    return isOpen ? { done: false as const } : { done: true as const, value: undefined };
  };
  const shorter = { ...call, deadlineMs: Math.min(call.deadlineMs, CLOSE_MS) };
  await pollTask(shorter, `machine ${id} to close its files`, look, { firstPauseMs: 50, maxPauseMs: 1_000, time: fabric.time }).catch(
    (error: unknown) => {
      // It is off all the same; who needs the files finds them locked.
      if (!isDrError(error, 'TIMED_OUT')) throw error;
    },
  );
};

/** Without force the cmdlet asks the guest and waits; a guest that cannot be asked, or says no, is an error. Nothing turns it into a power cut. */
const shutDown = async (fabric: Fabric, { id, vm }: Look, call: Call): Promise<void> => {
  if (powerOf(vm) === 'suspended') throw refused(id, 'the machine is suspended: its guest cannot be asked', undefined);
  try {
    await fabric.onOwner(id, [vmById(id), { cmdlet: 'Stop-VM', params: { VM: { $step: 0 } } }], call, call.deadlineMs);
    await awaitPower(fabric, id, 'off', call);
    await awaitClosed(fabric, id, call);
  } catch (error) {
    call.signal.throwIfAborted();
    if (!isDrError(error, 'TIMED_OUT', 'STATE_CONFLICT', 'INTERNAL', 'HOST_BUSY', 'CAPABILITY_MISSING')) throw error;
    const [result] = await fabric.onOwner(id, [vmById(id, VM)], { ...call, deadlineMs: LOOK_MS });
    if (powerOf(result!.rows[0]!) !== 'off') throw refused(id, error.message, error);
  }
};

const LOOK_MS = 30_000;
const CLOSE_MS = 15_000;

const refused = (id: MachineId, why: string, cause: unknown): DrError =>
  new DrError('SHUTDOWN_REFUSED', `the guest of machine ${id} did not shut down: ${why}`, { context: { machine: id }, cause });

const awaitPower = (fabric: Fabric, id: MachineId, wanted: 'on' | 'off', call: Call): Promise<void> => {
  const look = async () => {
    const [result] = await fabric.onOwner(id, [vmById(id, VM)], call);
    return powerOf(result!.rows[0]!) === wanted ? { done: true as const, value: undefined } : { done: false as const };
  };
  return pollTask(call, `machine ${id} to be ${wanted}`, look, { firstPauseMs: 50, maxPauseMs: 1_000, time: fabric.time });
};
