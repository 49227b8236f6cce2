// What makes a fork of a replica the machine of its recovery point.
import type { Step } from '../../adapters/powershell/port.ts';
import { type Call, DrError, type ForkRequest, type MachineId, type MachineSpec, type NicId } from '../../core/contract/index.ts';
import { bootFrom, shortName } from './build.ts';
import { addCards, connectCard } from './cards.ts';
import { type Fabric, vmById } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf, nicIdOf } from './machine.ts';
import { changeMarks } from './marks.ts';
import { text } from './rows.ts';
import { memoryStep } from './vendor.ts';

/** The definition of the point: its size, its cards on the places that were asked for, and no disk that it does not have. Each part may be done again. */
export const shape = async (fabric: Fabric, id: MachineId, as: ForkRequest, call: Call): Promise<void> => {
  const { spec, name, nics } = as;
  const look = await lookAt(fabric, id, call);
  const { host } = look;
  assertHas(look, spec);
  await dropDisks(fabric, look, spec, call);
  await fabric.run(
    host,
    [
      vmById(id),
      { cmdlet: 'Rename-VM', params: { VM: { $step: 0 }, NewName: shortName(name) } },
      { cmdlet: 'Set-VMProcessor', params: { VM: { $step: 0 }, Count: { $type: 'int64', value: spec.cpuCount } } },
      memoryStep(spec),
    ],
    call,
  );
  await bootFrom(fabric, { id, host, spec, disks: look.notes.marks?.replica?.disks ?? {} }, call);
  const known = look.notes.marks?.replica?.nics ?? {};
  const cards = new Set(look.adapters.map((adapter) => nicIdOf(id, adapter)));
  const made: Record<string, NicId> = {};
  for (const nic of spec.nics) {
    const card = (known[nic.id] ?? nic.id) as NicId;
    if (cards.has(card)) await connectCard(fabric, { id, host, card, to: nics.get(nic.id) ?? 'disconnected' }, call);
    else Object.assign(made, await addCards(fabric, { id, host, spec, nics }, call, [nic]));
  }
  // What the point does not have must not be heard.
  const wanted = new Set<string>([...spec.nics.map((nic) => known[nic.id] ?? nic.id), ...Object.values(made)]);
  for (const card of cards) if (!wanted.has(card)) await connectCard(fabric, { id, host, card, to: 'disconnected' }, call);
  const all = { ...known, ...made };
  await changeMarks(fabric, id, (marks) => (marks.fork ? { ...marks, fork: { ...marks.fork, nics: all } } : marks), call);
};

/** Copies that came after the point. The file below stays with the checkpoint until the fork is promoted; what else an adopted machine has is somebody's. */
const dropDisks = async (fabric: Fabric, look: Look, spec: MachineSpec, call: Call): Promise<void> => {
  const copies = look.notes.marks?.replica?.disks ?? {};
  const wanted = new Set(spec.disks.map(({ id }) => copies[id] ?? id));
  const known = new Set(Object.values(copies));
  for (const drive of drivesOf(look).filter(({ id }) => known.has(id) && !wanted.has(id))) {
    const parent = text(drive.vhd, 'ParentPath');
    await changeMarks(
      fabric,
      look.id,
      (marks) =>
        marks.fork
          ? {
              ...marks,
              fork: { ...marks.fork, drop: [...new Set([...(marks.fork.drop ?? []), drive.path, parent])].filter((path) => path !== '') },
            }
          : marks,
      call,
    );
    const steps: Step[] = [
      vmById(look.id),
      { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } } },
      { cmdlet: 'Remove-VMHardDiskDrive', params: { VMHardDiskDrive: { $step: 1, $where: { property: 'Path', is: drive.path } } } },
    ];
    await fabric.run(look.host, steps, call);
  }
};

/** A definition of which nothing is found here would take every disk away. */
export const assertHas = (look: Look, spec: MachineSpec): void => {
  const copies = look.notes.marks?.replica?.disks ?? {};
  const there = new Set(drivesOf(look).map(({ id }) => id));
  const missing = spec.disks.find(({ id }) => !there.has(copies[id] ?? id));
  if (!missing) return;
  throw new DrError('NOT_FOUND', `replica ${look.id} has no copy of disk ${missing.id} of the recovery point`, {
    hint: 'choose another recovery point, or run sync resync for the machine',
    context: { kind: 'disk', machine: look.id, disk: missing.id },
  });
};

/** A checkpoint need not bring the name back. */
export const restoreName = async (fabric: Fabric, id: MachineId, name: string | undefined, call: Call): Promise<void> => {
  if (name === undefined) return;
  const [result] = await fabric.onOwner(id, [vmById(id, ['Name'])], call);
  if (text(result?.rows[0] ?? {}, 'Name') === name) return;
  await fabric.onOwner(id, [vmById(id), { cmdlet: 'Rename-VM', params: { VM: { $step: 0 }, NewName: name } }], call);
};
