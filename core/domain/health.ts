// Lag with its causes, and health with its reasons: computed from facts, never stored.
import type { Item } from './item.ts';
import { nativeReasons } from './native.ts';
import type { ReplicationPolicy } from './policy.ts';

export interface PointFacts {
  readonly id: string;
  readonly takenAt: string;
  readonly sealedAt: string;
  readonly applied: boolean;
  readonly timings: Readonly<Record<string, number>>;
}

export interface LagCause {
  readonly cause: 'waiting' | 'source read' | 'seal' | 'paused' | 'stalled' | 'resync' | 'cycle running';
  readonly ms: number;
  readonly because?: string;
}

export interface Lag {
  /** Measured age of the newest point; undefined before the first one. */
  readonly ms?: number;
  readonly causes: readonly LagCause[];
}

/** Promise 9: every second of lag has a name. */
export const lagOf = (item: Item, newest: PointFacts | undefined, cycleStartedAt: string | undefined, nowMs: number): Lag => {
  if (!newest) return { causes: [] };
  const takenAt = Date.parse(newest.takenAt);
  const sealedAt = Date.parse(newest.sealedAt);
  const total = Math.max(0, nowMs - takenAt);
  const making = Math.min(total, Math.max(0, sealedAt - takenAt));
  const read = Math.min(making, newest.timings['readMs'] ?? making);
  const since = total - making;
  const running = cycleStartedAt ? Math.min(since, Math.max(0, nowMs - Date.parse(cycleStartedAt))) : 0;
  const idle = since - running;
  const { sync } = item.state;
  const idleCause: LagCause =
    sync.is === 'Paused'
      ? { cause: 'paused', ms: idle }
      : sync.is === 'Stalled'
        ? { cause: 'stalled', ms: idle, ...(sync.reason ? { because: sync.reason } : {}) }
        : sync.is === 'ResyncRequired' || sync.is === 'Resyncing'
          ? { cause: 'resync', ms: idle, ...(sync.reason ? { because: sync.reason } : {}) }
          : { cause: 'waiting', ms: idle };
  const causes: LagCause[] = [
    { cause: 'source read', ms: read },
    { cause: 'seal', ms: making - read },
    idleCause,
    { cause: 'cycle running', ms: running },
  ];
  return { ms: total, causes: causes.filter((cause) => cause.ms > 0) };
};

export interface HealthReason {
  readonly code: string;
  readonly level: 'warning' | 'critical';
  readonly message: string;
  /** The operator's next action. */
  readonly hint: string;
}

export interface Health {
  readonly level: 'Normal' | 'Warning' | 'Critical';
  readonly reasons: readonly HealthReason[];
  readonly rpoViolation: boolean;
  readonly proofExpired: boolean;
}

export interface HealthFacts {
  readonly lag: Lag;
  readonly policy: ReplicationPolicy;
  readonly backlogPoints: number;
  readonly suspectPoints: number;
  readonly damagedPoints: number;
  readonly nowMs: number;
}

const DAY_MS = 86_400_000;

export const healthOf = (item: Item, facts: HealthFacts): Health => {
  const { state } = item;
  const replicating = state.protection === 'Protected';
  const rpoViolation = replicating && facts.lag.ms !== undefined && facts.lag.ms > facts.policy.rpoSeconds * 1_000;
  const provenAt = item.lastTest?.booted ? Date.parse(item.lastTest.at) : undefined;
  const proofExpired = replicating && (provenAt === undefined || facts.nowMs - provenAt > facts.policy.proofDays * DAY_MS);
  const reasons: HealthReason[] = [];
  const add = (condition: boolean, code: string, level: HealthReason['level'], message: string, hint: string) => {
    if (condition) reasons.push({ code, level, message, hint });
  };
  const longest = [...facts.lag.causes].sort((a, b) => b.ms - a.ms)[0];
  add(
    state.active === 'both',
    'split-brain',
    'critical',
    'two copies of the machine run',
    state.protection === 'CommitPending'
      ? `run resolve --keep ${state.direction.to}, or failover cancel to go back to ${state.direction.from}`
      : `run resolve --keep ${state.direction.from} or --keep ${state.direction.to}`,
  );
  add(
    state.active === 'neither',
    'no-copy-runs',
    'critical',
    'no copy of the machine runs',
    replicating
      ? `power it on at ${state.direction.from}; then run resolve --keep ${state.direction.from}, which says that it is the one`
      : 'go on with the failover, or cancel it to start the source again',
  );
  add(
    state.active === 'unknown',
    'active-unknown',
    'critical',
    'it is not known whether the source still runs',
    'bring its endpoint back in reach: the source is then looked at by itself',
  );
  add(
    state.protection.endsWith('Failed'),
    'operation-failed',
    'critical',
    `state ${state.protection}`,
    'look at the job, then retry it or take a way out: status shows what is allowed',
  );
  add(
    state.protection === 'FailedOver',
    'not-protected',
    'warning',
    'the machine runs at the recovery site and is not protected',
    'run reprotect, or release the machine',
  );
  add(
    state.protection === 'CommitPending',
    'commit-pending',
    'warning',
    'a failover waits for its commit',
    'commit it, choose another point, or cancel it',
  );
  add(
    rpoViolation,
    'rpo-violation',
    'critical',
    `lag is above the RPO of ${facts.policy.rpoSeconds} s${longest ? ` (mostly: ${longest.cause})` : ''}`,
    'look at the causes of the lag: status shows them',
  );
  add(
    state.sync.is === 'Stalled',
    'stalled',
    'critical',
    `replication is stalled: ${state.sync.reason ?? ''}`,
    item.method === 'native'
      ? 'follow what is said of its hosts; replication goes on by itself then'
      : 'remove the reason; replication goes on by itself',
  );
  add(
    state.sync.is === 'ResyncRequired' || state.sync.is === 'Resyncing',
    'resync',
    'warning',
    `resync: ${state.sync.reason ?? ''}`,
    item.method === 'native'
      ? 'run sync resync if the hosts do not start it by themselves'
      : 'nothing to do: both sides are compared in the next cycle',
  );
  add(state.sync.is === 'Paused', 'paused', 'warning', 'replication is paused', 'run sync resume');
  add(state.test === 'CleanupFailed', 'cleanup-failed', 'warning', 'the clean-up of a test failover failed', 'run failover cleanup again');
  add(
    facts.damagedPoints > 0,
    'damaged-points',
    'warning',
    `${facts.damagedPoints} recovery points are damaged`,
    'run point list; make sure that newer points exist',
  );
  add(
    facts.suspectPoints > 0,
    'suspect-points',
    'warning',
    `${facts.suspectPoints} recovery points are suspect`,
    'run sync verify after the resync',
  );
  add(
    facts.backlogPoints > 10 && state.test === 'None',
    'apply-backlog',
    'warning',
    `${facts.backlogPoints} points wait to be applied: failover would take longer`,
    'check that the target answers, and how fast its storage writes',
  );
  add(
    proofExpired,
    'proof-expired',
    'warning',
    provenAt === undefined ? 'recovery was never proven by a test' : `the last proof is older than ${facts.policy.proofDays} days`,
    'run failover test',
  );
  reasons.push(...nativeReasons(item));
  const level = reasons.some((reason) => reason.level === 'critical') ? 'Critical' : reasons.length > 0 ? 'Warning' : 'Normal';
  return { level, reasons, rpoViolation, proofExpired };
};
