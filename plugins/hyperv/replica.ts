// A replica as the host has it, and which of its disks and cards is which of the definition.
import {
  type Call,
  type DiskId,
  type DiskSpec,
  DrError,
  type Finding,
  type MachineId,
  type MachineSpec,
  type NicId,
  type Placed,
} from '../../core/contract/index.ts';
import { assertEpoch } from '../../core/plugin-kit/index.ts';
import { type Checkpoint, snapshotsOf } from './checkpoints.ts';
import type { Fabric } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { type Drive, drivesOf, nicIdOf, powerOf, slotOf, toMachine } from './machine.ts';
import type { ReplicaMark } from './notes.ts';
import { storageFinder, storages } from './places.ts';

/** Nothing starts it, and nothing takes a checkpoint of it by itself; a checkpoint of ours is a plain one. */
export const HELD = {
  AutomaticStartAction: 'Nothing',
  AutomaticCheckpointsEnabled: false,
  CheckpointType: 'Standard',
} as const;

/** Ours, of the epoch that the call has. */
export const ownReplica = async (fabric: Fabric, id: MachineId, call: Call): Promise<Look & { readonly mark: ReplicaMark }> => {
  const look = await lookAt(fabric, id, call);
  const { marks } = look.notes;
  const mark = marks?.owner === fabric.ownerId ? marks.replica : undefined;
  if (!mark) throw new DrError('PERMISSION_DENIED', `machine ${id} is no replica of this installation`, { context: { machine: id } });
  assertEpoch(id, marks?.epoch, call.fence);
  return { ...look, mark };
};

interface Known {
  readonly disks: Readonly<Record<string, DiskId>>;
  readonly nics: Readonly<Record<string, string>>;
}

/** By what is on record, where the definition names those of the source, else by its own ids. */
export const placedAs = async (
  fabric: Fabric,
  look: Look,
  { spec, known, findings }: { readonly spec: MachineSpec; readonly known: Known | undefined; readonly findings: readonly Finding[] },
  call: Call,
): Promise<Placed> => {
  const drives = drivesOf(look);
  const cards = look.adapters.map((adapter) => nicIdOf(look.id, adapter));
  const storageOf = storageFinder(await storages(fabric, call), look.host);
  return {
    machine: toMachine(look, { storageOf, nowMs: fabric.time.now() }),
    disks: new Map(
      spec.disks.flatMap((want): [DiskId, DiskId][] => {
        const have = drives.find(({ id }) => id === (known?.disks[want.id] ?? want.id));
        return have ? [[want.id, have.id]] : [];
      }),
    ),
    nics: new Map(
      spec.nics.flatMap((want, index): [NicId, NicId][] => {
        const id = cards.find((card) => card === (known?.nics[want.id] ?? want.id)) ?? (known ? undefined : cards[index]);
        return id ? [[want.id, id]] : [];
      }),
    ),
    findings,
  };
};

export interface Match {
  readonly matched: readonly { readonly want: DiskSpec; readonly have: Drive }[];
  readonly missing: readonly DiskSpec[];
}

/**
 * By what is on record and by id; in a machine of which nothing is known yet by slot and by order too. In a replica a disk that is on no
 * record is somebody's: a disk that is added later must not be written over it.
 */
export const matchDisks = (look: Look, spec: MachineSpec): Match => {
  const known = look.notes.marks?.replica?.disks ?? {};
  const isNew = Object.keys(known).length === 0;
  const free = new Map(drivesOf(look).map((drive) => [drive.id, drive]));
  const matched: { want: DiskSpec; have: Drive }[] = [];
  const rules: ((want: DiskSpec, have: Drive) => boolean)[] = [
    (want, have) => known[want.id] === have.id,
    (want, have) => want.id === have.id,
    (want, have) => isNew && want.slot === slotOf(have),
    () => isNew,
  ];
  for (const rule of rules) {
    for (const want of spec.disks) {
      if (matched.some((one) => one.want === want)) continue;
      const have = [...free.values()].find((candidate) => rule(want, candidate));
      if (!have) continue;
      matched.push({ want, have });
      free.delete(have.id);
    }
  }
  return { matched, missing: spec.disks.filter((want) => !matched.some((one) => one.want === want)) };
};

export const assertOff = ({ id, vm }: Look, what: string, hint: string): void => {
  const power = powerOf(vm);
  if (power === 'off') return;
  throw new DrError('STATE_CONFLICT', `machine ${id} ${power === 'on' ? what : `is ${power}: it is not known to be off`}`, {
    hint,
    context: { machine: id },
  });
};

/** Checkpoints that are neither of a cycle nor of a fork of ours: what is written below them would corrupt them. */
export const foreignCheckpoints = async (fabric: Fabric, look: Look, call: Call): Promise<Checkpoint[]> => {
  const { marks } = look.notes;
  const own = marks?.owner === fabric.ownerId ? [marks.cycle?.checkpoint, marks.fork?.checkpoint] : [];
  return (await snapshotsOf(fabric, look, call)).filter(({ id }) => !own.includes(id));
};

export const assertNoForeign = async (fabric: Fabric, look: Look, call: Call): Promise<void> => {
  const [one] = await foreignCheckpoints(fabric, look, call);
  if (!one) return;
  throw new DrError(
    'STATE_CONFLICT',
    `machine ${look.id} has the checkpoint ${JSON.stringify(one.name)}: what is written below it would corrupt it`,
    {
      hint: 'remove the checkpoints of the machine first',
      context: { machine: look.id },
    },
  );
};
