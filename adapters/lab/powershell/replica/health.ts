// How well a machine replicates, as both ends show it. It follows from what they know: nothing is kept.
import type { ENUMS } from '../enums.ts';
import type { At } from '../model.ts';
import type { ReplicationRecord, ReplicationState } from './model.ts';

export interface Health {
  readonly health: keyof typeof ENUMS.VMReplicationHealthState;
  readonly details: readonly string[];
}

const HOUR_MS = 3_600_000;
/** From here on the lab calls critical what the vendor calls so "for long". */
const LONG_MS = 12 * HOUR_MS;
const MISSED_PART = 0.2;

const CRITICAL: readonly ReplicationState[] = ['Error', 'UpdateError', 'WaitingForStartResynchronize', 'ResynchronizeSuspended'];
const SEEDING: readonly ReplicationState[] = [
  'ReadyForInitialReplication',
  'InitialReplicationInProgress',
  'WaitingForInitialReplication',
  'Resynchronizing',
];
const RESTING: readonly ReplicationState[] = [
  'PreparedForFailover',
  'FailedOver',
  'FailedOverWaitingCompletion',
  'RecoveryInProgress',
  'FailbackInProgress',
  'FailbackComplete',
];

export const healthOf = ({ estate }: At, replication: ReplicationRecord | undefined): Health => {
  if (!replication) return { health: 'NotApplicable', details: [] };
  const now = estate.timeline.now();
  const critical = criticalOf(replication, now);
  if (critical.length > 0) return { health: 'Critical', details: critical };
  const warnings = warningsOf(replication, now);
  return { health: warnings.length > 0 ? 'Warning' : 'Normal', details: warnings };
};

const criticalOf = (replication: ReplicationRecord, now: number): string[] => {
  const { state, paused } = replication;
  if (CRITICAL.includes(state)) return [`Replication is in the state ${state}.`];
  if (paused && now - paused.sinceMs > LONG_MS) return ['Replication has been paused for long.'];
  return behindMs(replication, now) > LONG_MS ? ['Replication has fallen behind for long.'] : [];
};

const warningsOf = (replication: ReplicationRecord, now: number): string[] => {
  const { state, statistics, update } = replication;
  const { missed, successful } = statistics;
  return [
    ...(state === 'Suspended' ? ['Replication is paused.'] : []),
    ...(SEEDING.includes(state) ? ['The first copy is not complete.'] : []),
    ...(state === 'FailedOverWaitingCompletion' ? ['The failover is not complete.'] : []),
    ...(update ? ['Changed settings have not reached the other server.'] : []),
    ...(missed > 0 && missed / (missed + successful) > MISSED_PART ? ['More than 20 percent of the cycles were missed.'] : []),
    ...(behindMs(replication, now) > HOUR_MS ? ['Replication is more than an hour behind.'] : []),
  ];
};

const behindMs = ({ replicatedMs, state }: ReplicationRecord, now: number): number =>
  replicatedMs === undefined || RESTING.includes(state) ? 0 : now - replicatedMs;
