// The fencing epoch in the machine's notes, and cutting a machine off.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type Epoch, type FenceStore, isDrError, type MachineId } from '../../core/contract/index.ts';
import { Epochs } from '../../core/plugin-kit/index.ts';
import { leaveStep } from './dismantle.ts';
import { type Fabric, vmById } from './fabric.ts';
import { changeMarks, marksOf } from './marks.ts';
import { powerOff } from './power.ts';

export const epochsAt = (fabric: Fabric): Epochs => new Epochs(async (id, call) => (await marksOf(fabric, id, call))?.epoch);

const same = (a: Epoch | undefined, b: Epoch | undefined): boolean => a?.epoch === b?.epoch && a?.holder === b?.holder;

export const fenceFacet = (fabric: Fabric, epochs: Epochs): FenceStore => ({
  read: async (id, call) => (await marksOf(fabric, id, call))?.epoch,
  advance: async (id, expected, next, call) => {
    await changeMarks(
      fabric,
      id,
      (marks) => {
        const held = marks.epoch;
        if (same(held, next)) return marks;
        if (!same(held, expected) || (held && next.epoch <= held.epoch)) throw fenced(id, held);
        return { ...marks, epoch: next };
      },
      call,
    );
    epochs.note(id, next);
  },
  isolate: (id, call) => isolate(fabric, epochs, id, call),
});

const fenced = (id: MachineId, held: Epoch | undefined): DrError =>
  new DrError('FENCED', `machine ${id} is at epoch ${held?.epoch ?? 'none'}, not at the one expected`, {
    context: { machine: id, ...(held ? { epoch: held.epoch, holder: held.holder } : {}) },
  });

/** Cables first: a machine that does not let itself be powered off must at least not be heard. What failed before the power is the error after it. */
const isolate = async (fabric: Fabric, epochs: Epochs, id: MachineId, call: Call): Promise<void> => {
  await epochs.check(id, call);
  const silence: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMNetworkAdapter', params: { VM: { $step: 0 } } },
    { cmdlet: 'Disconnect-VMNetworkAdapter', params: { VMNetworkAdapter: { $step: 1 } } },
  ];
  const noStart: Step[] = [vmById(id), { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, AutomaticStartAction: 'Nothing' } }];
  const failures: unknown[] = [];
  for (const steps of [silence, noStart]) {
    await fabric.onOwner(id, steps, call).catch((error: unknown) => {
      if (!isDrError(error) || isDrError(error, 'NOT_FOUND', 'CONNECTION_LOST', 'CONNECTION_REFUSED')) throw error;
      failures.push(error);
    });
  }
  // A cluster starts it again otherwise.
  if (fabric.isShared) await leaveCluster(fabric, id, call).catch((error: unknown) => failures.push(error));
  await powerOff(fabric, id, call);
  call.signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
};

export const leaveCluster = async (fabric: Fabric, id: MachineId, call: Call): Promise<void> => {
  const [result] = await fabric.onOwner(id, [vmById(id, ['IsClustered'])], call);
  if (result?.rows[0]?.['IsClustered'] !== true) return;
  await fabric.onOwner(id, [vmById(id), leaveStep(id)], call);
};
