// Recovery points of a replica: states of its disks that stay while the disks go on.

import type { Bound } from '../arguments.ts';
import { gone, invalidArgument } from '../failures.ts';
import type { At, CheckpointRecord, Hv } from '../model.ts';
import { CHECKPOINT, type OfCheckpoint } from '../vm-object.ts';
import { dropLayers, freezeDisks } from './ends.ts';
import type { PointRecord, Replicated } from './model.ts';

const HOUR_MS = 3_600_000;

/** Hourly, and each that the guest was asked for. The newest state is no point: the disks are it. */
export const keepPoint = (at: At, machine: Replicated, { instantMs, application }: { instantMs: number; application: boolean }): void => {
  const { replication } = machine.hv;
  const { recoveryHistory } = replication.settings;
  const newest = replication.points.at(-1)?.instantMs;
  const isDue = application || newest === undefined || instantMs - newest >= HOUR_MS;
  if (recoveryHistory > 0 && isDue) {
    const kind = application ? 'AppConsistentReplica' : 'Replica';
    const point: PointRecord = { id: at.estate.random.uuid(), kind, instantMs, layers: freezeDisks(at, machine) };
    replication.points = [...replication.points, point];
  }
  prunePoints(at, machine);
};

export const prunePoints = (at: At, machine: Replicated): void => {
  const { replication } = machine.hv;
  const { points, settings, failover } = replication;
  const keep = points.slice(Math.max(0, points.length - settings.recoveryHistory));
  const kept = points.filter((point) => keep.includes(point) || point.id === failover?.point);
  replication.points = kept;
  dropPoints(
    at,
    machine,
    points.filter((point) => !kept.includes(point)),
  );
};

export const dropPoints = ({ estate }: At, { hv }: Replicated, points: readonly PointRecord[]): void => {
  const testing = new Set(hv.replication.test?.layers);
  for (const { layers } of points)
    dropLayers(
      estate,
      Object.values(layers).filter((name) => !testing.has(name)),
    );
};

/** As Get-VMSnapshot shows them. */
export const pointsAsCheckpoints = ({ name, hv, spec }: Hv): CheckpointRecord[] =>
  (hv.replication?.points ?? []).map(({ id, kind, instantMs }) => ({
    id,
    kind,
    name: `${name} - (${new Date(instantMs).toISOString()})`,
    createdMs: instantMs,
    application: kind === 'AppConsistentReplica',
    disks: [],
    config: { ...hv, spec, name },
  }));

export interface Asked {
  readonly of: OfCheckpoint;
  readonly id: string;
}

/** Of -VMRecoverySnapshot, which has to be a point that the replica still has. */
export const askedPoint = (args: Bound): Asked | undefined => {
  if (!args.has('VMRecoverySnapshot')) return undefined;
  const of = args.record('VMRecoverySnapshot', CHECKPOINT);
  return { of, id: of.checkpoint.id };
};

export const pointOf = ({ hv, name }: Replicated, id: string): PointRecord => {
  const point = hv.replication.points.find((one) => one.id === id);
  if (point) return point;
  if (hv.checkpoints.some((one) => one.id === id)) throw invalidArgument(`The checkpoint is no recovery point of '${name}'.`);
  throw gone('recovery point');
};
