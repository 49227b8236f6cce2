// Machines that become replicas, and replicas that get another shape.
import { type Call, DrError, type MachineId, type MachineSpec, type Placed } from '../../core/contract/index.ts';
import { assertEpoch } from '../../core/plugin-kit/index.ts';
import { type Fabric, vmById } from './fabric.ts';
import { leaveCluster } from './fence.ts';
import { forksOn } from './forks.ts';
import { type Look, lookAt } from './look.ts';
import { type Drive, drivesOf, nicIdOf } from './machine.ts';
import { changeMarks, claimed, without } from './marks.ts';
import { addDisks, type Slot } from './new-disks.ts';
import type { ReplicaMark } from './notes.ts';
import { assertNoForeign, assertOff, HELD, matchDisks, ownReplica, placedAs } from './replica.ts';
import { member, number, text } from './rows.ts';
import type { Ground } from './target.ts';

/** A machine that was there before: failback, or a restored copy. */
export const adoptReplica = async ({ fabric, disks }: Ground, id: MachineId, spec: MachineSpec, call: Call): Promise<Placed> => {
  const look = await lookAt(fabric, id, call);
  assertEpoch(id, look.notes.marks?.epoch, call.fence);
  assertOff(look, 'is running and cannot be adopted', 'shut the machine down, then adopt it');
  await assertNoForeign(fabric, look, call);
  await assertNoForks({ fabric, look }, call);
  const { matched, missing } = matchDisks(look, spec);
  for (const { want, have } of matched) assertLargeEnough(have, want.sizeBytes);
  // Nothing may start it from here on: not the host, and not the cluster.
  await fabric.run(look.host, [vmById(id), { cmdlet: 'Set-VM', params: { VM: { $step: 0 }, ...HELD } }], call);
  if (fabric.isShared) await leaveCluster(fabric, id, call);
  const added =
    missing.length === 0 ? {} : await addDisks(fabric, { ...(await placeBeside(fabric, look, call)), spec, id, only: missing }, call);
  await disks.release(
    look.host,
    drivesOf(look).map(({ path }) => path),
    call,
  );
  const known = look.notes.marks?.owner === fabric.ownerId ? look.notes.marks.replica : undefined;
  const cards = spec.nics.flatMap((nic, at): [string, string][] => {
    const card = look.adapters[at];
    return card ? [[nic.id, known?.nics[nic.id] ?? nicIdOf(id, card)]] : [];
  });
  const replica: ReplicaMark = {
    ...(known?.operation === undefined ? {} : { operation: known.operation }),
    adopted: known?.adopted ?? true,
    disks: { ...Object.fromEntries(matched.map(({ want, have }) => [want.id, have.id])), ...added },
    nics: Object.fromEntries(cards),
  };
  await changeMarks(fabric, id, (marks) => ({ ...without(claimed(fabric, marks), 'promoted'), replica }), call);
  return placedAs(fabric, await lookAt(fabric, id, call), { spec, known: replica, findings: [] }, call);
};

const assertLargeEnough = ({ id, sizeBytes }: Drive, wanted: number): void => {
  if (sizeBytes >= wanted) return;
  throw new DrError('STATE_CONFLICT', `disk ${id} has ${sizeBytes} bytes, and ${wanted} are needed`, {
    hint: 'make the disk as large as the source’s, then adopt the machine',
    context: { disk: id, sizeBytes, needBytes: wanted },
  });
};

interface Beside {
  readonly host: string;
  readonly folder: string;
  readonly taken: readonly Slot[];
}

const PLACE = ['ControllerType', 'ControllerNumber', 'ControllerLocation'] as const;

/** New files lie beside those that are there, and hang where nothing does: what cannot be opened and what is no disk has a place too. */
const placeBeside = async (fabric: Fabric, look: Look, call: Call): Promise<Beside> => {
  const [first] = drivesOf(look);
  const folder = first ? first.path.replace(/\\[^\\]*$/, '') : text(look.vm, 'Path');
  const dvds = await fabric.rows(
    look.host,
    [vmById(look.id), { cmdlet: 'Get-VMDvdDrive', params: { VM: { $step: 0 } }, select: PLACE }],
    call,
  );
  const taken = [...look.drives, ...dvds].flatMap((row): Slot[] => {
    const controller = member(row, 'ControllerType');
    if (controller !== 'IDE' && controller !== 'SCSI') return [];
    return [{ controller, number: number(row, 'ControllerNumber'), location: number(row, 'ControllerLocation') }];
  });
  return { host: look.host, folder, taken };
};

export const reshapeReplica = async ({ fabric, disks }: Ground, id: MachineId, spec: MachineSpec, call: Call): Promise<Placed> => {
  const look = await ownReplica(fabric, id, call);
  assertOff(look, 'is running and cannot be reshaped', 'discard or commit what runs on it first');
  await assertNoForks({ fabric, look }, call);
  const { matched, missing } = matchDisks(look, spec);
  for (const { want, have } of matched) {
    if (want.sizeBytes <= have.sizeBytes) continue;
    await disks.release(look.host, [have.path], call);
    const SizeBytes = { $type: 'uint64', value: String(want.sizeBytes) } as const;
    await fabric.run(look.host, [{ cmdlet: 'Resize-VHD', params: { Path: have.path, SizeBytes } }], call, call.deadlineMs);
  }
  const added =
    missing.length === 0 ? {} : await addDisks(fabric, { ...(await placeBeside(fabric, look, call)), spec, id, only: missing }, call);
  const replica: ReplicaMark = { ...look.mark, disks: { ...look.mark.disks, ...added } };
  await changeMarks(fabric, id, (marks) => ({ ...marks, replica }), call);
  return placedAs(fabric, await lookAt(fabric, id, call), { spec, known: replica, findings: [] }, call);
};

export const assertNoForks = async ({ fabric, look }: { readonly fabric: Fabric; readonly look: Look }, call: Call): Promise<void> => {
  const [fork] = await forksOn(fabric, look, call);
  if (fork === undefined) return;
  throw new DrError('STATE_CONFLICT', `the fork ${fork} runs on replica ${look.id}`, {
    hint: 'discard or promote the fork first',
    context: { machine: look.id, fork },
  });
};
