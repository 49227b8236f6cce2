// What a cycle reads: a recovery checkpoint of each machine, as the host has it and as the contract says it.
import {
  type Baseline,
  type Call,
  type DiskId,
  DrError,
  isDrError,
  type MachineId,
  type Snapshot,
  type SnapshotId,
} from '../../core/contract/index.ts';
import { type Checkpoint, frozenDisks, snapshotsOf } from './checkpoints.ts';
import type { Fabric } from './fabric.ts';
import { type Look, lookAt } from './look.ts';
import { type Drive, drivesOf, specOf } from './machine.ts';
import type { CycleMark } from './notes.ts';
import { storageFinder, storages } from './places.ts';

const SEPARATOR = '+';

export interface Part {
  readonly machine: MachineId;
  readonly checkpoint: string;
}

export const partId = ({ machine, checkpoint }: Part): string => `${machine}/${checkpoint}`;
export const partsOf = (id: SnapshotId): Part[] =>
  id.split(SEPARATOR).map((part) => {
    const [machine = '', checkpoint = ''] = part.split('/');
    return { machine: machine as MachineId, checkpoint };
  });

interface BaselineParts {
  readonly checkpoint: string;
  readonly identifier: string;
  readonly sizeBytes: number;
}

/** What a checkpoint becomes is known only when its cycle has ended: until then, and after, it is called by the checkpoint. */
export const baselineOf = ({ checkpoint, identifier, sizeBytes }: BaselineParts): Baseline =>
  `${checkpoint}/${identifier}/${sizeBytes}` as Baseline;

export const baselineParts = (baseline: string): BaselineParts => {
  const [checkpoint = '', identifier = '', size] = baseline.split('/');
  return { checkpoint, identifier, sizeBytes: Number(size) };
};

export const cycleOf = (fabric: Fabric, { notes }: Look): CycleMark | undefined =>
  notes.marks?.owner === fabric.ownerId ? notes.marks.cycle : undefined;

export interface Frozen {
  readonly part: Part;
  readonly look: Look;
  readonly cycle: CycleMark;
  readonly snapshot: Checkpoint;
  readonly drives: readonly Drive[];
}

/** Undefined when the checkpoint is not ours, or not there. */
const frozenOf = async (fabric: Fabric, part: Part, call: Call): Promise<Frozen | undefined> => {
  const look = await lookAt(fabric, part.machine, call);
  return fabric.held(look, () => frozenAt(fabric, part, look, call), call);
};

const frozenAt = async (fabric: Fabric, part: Part, look: Look, call: Call): Promise<Frozen | undefined> => {
  const cycle = cycleOf(fabric, look);
  if (cycle?.checkpoint !== part.checkpoint || cycle.converting) return undefined;
  const snapshot = (await snapshotsOf(fabric, look, call)).find(({ id }) => id === part.checkpoint);
  if (!snapshot) return undefined;
  return {
    part,
    look,
    cycle,
    snapshot,
    drives: drivesOf({ vm: look.vm, ...(await frozenDisks(fabric, look.host, part.checkpoint, call)) }),
  };
};

export const describe = async (fabric: Fabric, parts: readonly Part[], call: Call): Promise<Snapshot> => {
  const found: Frozen[] = [];
  for (const part of parts) {
    const frozen = await frozenOf(fabric, part, call);
    if (!frozen) throw gone(parts.map(partId).join(SEPARATOR));
    found.push(frozen);
  }
  const volumes = await storages(fabric, call);
  const times = found.map(({ snapshot }) => Date.parse(snapshot.createdAt));
  const [first] = found as [Frozen];
  const fellBack = found.find(({ cycle }) => cycle.fellBackBecause !== undefined)?.cycle.fellBackBecause;
  return {
    id: parts.map(partId).join(SEPARATOR) as SnapshotId,
    machines: parts.map(({ machine }) => machine),
    takenAt: first.snapshot.createdAt,
    operationId: first.cycle.operation,
    atomicity: found.length > 1 ? { skewedMs: Math.max(...times) - Math.min(...times) } : 'instant',
    consistency: found.every(({ cycle }) => cycle.consistency === 'application') ? 'application' : 'crash',
    ...(fellBack === undefined ? {} : { fellBackBecause: fellBack }),
    disks: found.flatMap(({ part, drives }) =>
      drives.map(({ id, sizeBytes, identifier }) => ({
        disk: id,
        machine: part.machine,
        sizeBytes,
        baseline: baselineOf({ checkpoint: part.checkpoint, identifier, sizeBytes }),
      })),
    ),
    // The machine's own definition with the disks as they were: only those can have changed places since.
    specs: new Map(found.map(({ part, look, drives }) => [part.machine, specOf(look, storageFinder(volumes, look.host), drives)])),
  };
};

export const gone = (id: string): DrError =>
  new DrError('SNAPSHOT_GONE', `snapshot ${id} does not exist any more`, { context: { snapshot: id } });

/** SNAPSHOT_GONE when nothing is left of it, NOT_FOUND for a disk that it does not have. */
export const findDisk = async (fabric: Fabric, id: SnapshotId, disk: DiskId, call: Call) => {
  for (const part of partsOf(id)) {
    const found = await frozenOf(fabric, part, call).catch((error: unknown) => {
      if (isDrError(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
    if (!found) throw gone(id);
    const frozen = found.drives.find((one) => one.id === disk);
    if (frozen) return { ...found, frozen };
  }
  throw new DrError('NOT_FOUND', `snapshot ${id} has no disk ${disk}`, { context: { kind: 'disk', disk, snapshot: id } });
};
