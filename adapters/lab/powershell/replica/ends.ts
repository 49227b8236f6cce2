// Finding the other end, and what both ends do to their disks.
import type { DiskId, MachineId } from '../../../../core/contract/index.ts';
import type { Estate } from '../../estate.ts';
import type { Volume } from '../../volume.ts';
import { inStep } from '../equipment.ts';
import { hostOf, idOnHosts, vmAt } from '../fabric.ts';
import { asPsFailure, invalidState, PsFailure } from '../failures.ts';
import type { At, Hv, OnHost } from '../model.ts';
import { keyOf } from '../paths.ts';
import { isReplicated, type Replicated } from './model.ts';
import { connect, reach } from './server.ts';

export interface End {
  readonly on: OnHost;
  readonly machine: Replicated;
}

export const hostAt = (at: At, machine: Hv): OnHost => ({
  estate: at.estate,
  endpoint: at.endpoint,
  hyperv: at.hyperv,
  host: hostOf(at, machine),
});

/** Whichever end: a machine of the same id at the server that this one names. Throws where no packet gets there. */
export const otherMachine = ({ on, machine }: End): { readonly on: OnHost; readonly machine: Hv | undefined } => {
  const { mode, primaryServer, replicaServer, settings } = machine.hv.replication;
  const to = mode === 'Primary' ? connect(on, { server: replicaServer, ...settings }) : reach(on, primaryServer);
  const found = vmAt(to, idOnHosts(machine));
  return { on: found ? hostAt(to, found) : to, machine: found && inStep(to, found) };
};

/** Throws where the other end does not know of the relationship any more. */
export const otherEnd = (end: End): End => {
  const { on, machine } = otherMachine(end);
  if (machine && isReplicated(machine) && machine.hv.replication.relationship === end.machine.hv.replication.relationship)
    return { on, machine };
  throw new PsFailure({
    category: 'ObjectNotFound',
    id: 'ObjectNotFound',
    message: `Hyper-V could not find the replicating virtual machine '${end.machine.name}' on the other server.`,
  });
};

/** Undefined: what happened is told by the state of this end. */
export const tryOtherEnd = (end: End): End | PsFailure => {
  try {
    return otherEnd(end);
  } catch (error) {
    const failure = asPsFailure(error);
    if (failure) return failure;
    throw error;
  }
};

/** Somebody waits: a clock that jumps jumps there. */
export const later = ({ estate }: At, ms: number): Promise<void> =>
  new Promise((resolve) => {
    estate.timeline.schedule(ms, resolve, true);
  });

export const assertState = ({ name, hv }: Replicated, ...states: readonly string[]): void => {
  if (!states.includes(hv.replication.state))
    throw invalidState(`Hyper-V cannot do this while the replication of '${name}' is in the state ${hv.replication.state}.`);
};

export const assertMode = ({ name, hv }: Replicated, mode: 'Primary' | 'Replica'): void => {
  if (hv.replication.mode !== mode) throw invalidState(`The virtual machine '${name}' is not a ${mode.toLowerCase()} virtual machine.`);
};

export const isStill = ({ estate }: At, machine: Replicated, relationship: string): boolean =>
  estate.machines.get(machine.id) === machine && machine.hv.replication?.relationship === relationship;

export interface DiskOf {
  readonly drive: string;
  readonly disk: DiskId;
  readonly key: string;
  readonly volume: Volume;
}

/** The replicated disks that are there, in one order at both ends. */
export const disksOf = ({ estate }: At, machine: Replicated): DiskOf[] =>
  machine.hv.replication.drives.flatMap((id) => {
    const drive = machine.hv.drives.find((one) => one.id === id);
    if (!drive || machine.volumes[drive.disk] === undefined) return [];
    return [{ drive: id, disk: drive.disk, key: keyOf(drive.path), volume: estate.live(machine, drive.disk) }];
  });

/** A state that stays, by drive. */
export const freezeDisks = (at: At, machine: Replicated): Record<string, string> =>
  Object.fromEntries(disksOf(at, machine).map(({ drive, volume }) => [drive, at.estate.snapshotLayer(volume).name]));

export const dropLayers = (estate: Estate, layers: Iterable<string>): void => {
  for (const name of layers) estate.removeLayer(name);
};

const PIECE_BYTES = 1 << 20;

/** Makes a part of one disk equal to another's. Only what differs is written. */
export const makeEqual = (from: Volume, into: Volume, offset = 0, length = from.sizeBytes): void => {
  if (into.sizeBytes < from.sizeBytes) into.grow(from.sizeBytes);
  const wanted = new Uint8Array(PIECE_BYTES);
  const there = new Uint8Array(PIECE_BYTES);
  const end = Math.min(offset + length, from.sizeBytes);
  for (let at = offset; at < end; at += PIECE_BYTES) {
    const size = Math.min(PIECE_BYTES, end - at);
    const [want, have] = [wanted.subarray(0, size), there.subarray(0, size)];
    from.read(at, want);
    into.read(at, have);
    writeDifferent(into, at, want, have);
  }
};

const UNIT_BYTES = 4096;

const writeDifferent = (into: Volume, at: number, want: Uint8Array, have: Uint8Array): void => {
  for (let unit = 0; unit < want.length; unit += UNIT_BYTES) {
    const piece = want.subarray(unit, unit + UNIT_BYTES);
    if (Buffer.compare(piece, have.subarray(unit, unit + UNIT_BYTES)) !== 0) into.write(at + unit, piece);
  }
};

export const testMachineOf = (at: At, machine: Replicated): Hv | undefined => {
  const id: MachineId | undefined = machine.hv.replication.test?.machine;
  return id === undefined ? undefined : (at.estate.machines.get(id) as Hv | undefined);
};
