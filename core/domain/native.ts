// What the hosts say of a pair that replicates by itself, in the terms of an item's axes. Names are those of Hyper-V's VMReplicationState:
// its numbers differ between the cmdlets and WMI, so that only names cross the contract.
import type { NativeStatus, NativeStep } from '../contract/index.ts';
import type { HealthReason } from './health.ts';
import type { Item, NativeSeen, Sync, SyncKind } from './item.ts';

/** Where in its life a pair is: what the engine's decisions read. */
export type NativeStage =
  | 'none'
  | 'copying'
  | 'replicating'
  | 'busy'
  | 'paused'
  | 'resync'
  | 'broken'
  | 'prepared'
  | 'failed-over'
  | 'committed';

interface Row {
  readonly stage: NativeStage;
  readonly sync: SyncKind;
  /** Why it is not simply replicating, for people. */
  readonly says?: string;
  readonly next?: string;
}

const busy = (says: string): Row => ({ stage: 'busy', sync: 'Delta', says });

const ROWS = {
  Disabled: {
    stage: 'none',
    sync: 'Stalled',
    says: 'the hosts no longer know of the replication',
    next: 'unprotect the machine and protect it again',
  },
  ReadyForInitialReplication: {
    stage: 'copying',
    sync: 'InitialSync',
    says: 'the first copy has not been started',
    next: 'start it at the source host, or unprotect the machine and protect it again',
  },
  InitialReplicationInProgress: { stage: 'copying', sync: 'InitialSync' },
  WaitingForInitialReplication: { stage: 'copying', sync: 'InitialSync', says: 'the replica host waits for the first copy' },
  Replicating: { stage: 'replicating', sync: 'Delta' },
  PreparedForFailover: {
    stage: 'prepared',
    sync: 'Stalled',
    says: 'the source is prepared for a planned failover that nobody here has begun',
    next: 'cancel the failover at the source host, or run failover planned to take it over',
  },
  FailedOverWaitingCompletion: {
    stage: 'failed-over',
    sync: 'Stalled',
    says: 'the replica was failed over by somebody else',
    next: 'cancel the failover at the replica host, or unprotect the machine',
  },
  FailedOver: {
    stage: 'committed',
    sync: 'Stalled',
    says: 'the replica was failed over and completed by somebody else',
    next: 'unprotect the machine and protect it again from where it runs',
  },
  Suspended: { stage: 'paused', sync: 'Paused' },
  Error: {
    stage: 'broken',
    sync: 'Stalled',
    says: 'the hosts report an error',
    next: 'look at the event log of both hosts, then run sync resume',
  },
  WaitingForStartResynchronize: {
    stage: 'resync',
    sync: 'ResyncRequired',
    says: 'the hosts wait for a resync to be started',
    next: 'run sync resync',
  },
  Resynchronizing: { stage: 'resync', sync: 'Resyncing', says: 'the hosts compare both sides' },
  ResynchronizeSuspended: { stage: 'paused', sync: 'Paused', says: 'a resync is paused' },
  RecoveryInProgress: busy('the replica host brings a recovery point up'),
  FailbackInProgress: busy('the hosts reverse the direction'),
  FailbackComplete: busy('the hosts have reversed the direction'),
  WaitingForUpdateCompletion: busy('the hosts take a change of the disks over'),
  UpdateError: {
    stage: 'broken',
    sync: 'Stalled',
    says: 'the hosts could not take a change of the disks over',
    next: 'look at the event log of both hosts, then run sync resync',
  },
  WaitingForRepurposeCompletion: busy('the replica host takes an existing machine over'),
  PreparedForSyncReplication: busy('the hosts get ready to replicate'),
  PreparedForGroupReverseReplication: busy('the hosts get ready to reverse a group'),
  FiredrillInProgress: { stage: 'replicating', sync: 'Delta' },
} as const satisfies Record<string, Row>;

export type NativeState = keyof typeof ROWS;
export const NATIVE_STATES = Object.keys(ROWS) as readonly NativeState[];

const rowOf = (state: string): Row =>
  Object.hasOwn(ROWS, state)
    ? ROWS[state as NativeState]
    : {
        stage: 'broken',
        sync: 'Stalled',
        says: `the hosts report a state that is not known here: ${state}`,
        next: 'look at the replication in the manager of the hosts',
      };

export const stageOf = (seen: Pick<NativeSeen, 'role' | 'state'>): NativeStage => (seen.role === 'none' ? 'none' : rowOf(seen.state).stage);

export interface Verdict {
  readonly sync: Sync;
  /** The operator's next step; absent while nothing is wrong. */
  readonly next?: string;
}

/** One end: its state by name, made worse by its health. Critical stops the promise of an RPO, Warning only says why. */
export const verdictOf = (seen: Pick<NativeSeen, 'role' | 'state' | 'health' | 'because'>): Verdict => {
  const row: Row = rowOf(seen.role === 'none' ? 'Disabled' : seen.state);
  const why = [
    row.says,
    seen.health === 'Critical' || seen.health === 'Warning' ? (seen.because ?? `health is ${seen.health}`) : undefined,
  ];
  const reason = why.filter((part) => part !== undefined).join(': ');
  const next = row.next ?? (seen.health === 'Critical' ? 'look at the replication health in the manager of the hosts' : undefined);
  const is = seen.health === 'Critical' && row.sync === 'Delta' ? 'Stalled' : row.sync;
  return { sync: { is, ...(reason ? { reason } : {}) }, ...(next ? { next } : {}) };
};

/** The later one weighs more. */
const WEIGHT: readonly SyncKind[] = ['None', 'Delta', 'InitialSync', 'Resyncing', 'ResyncRequired', 'Paused', 'Stalled'];

/** Both ends together: whichever is worse off. An end that was never seen says nothing. */
export const pairVerdict = (source: NativeSeen | undefined, replica: NativeSeen | undefined): Verdict | undefined => {
  if (source?.role === 'replica' || replica?.role === 'source') {
    return {
      sync: { is: 'Stalled', reason: 'the direction was reversed by somebody else' },
      next: 'reverse it at the hosts, or unprotect the machine and protect it again from where it runs',
    };
  }
  return [source, replica]
    .flatMap((seen) => (seen ? [verdictOf(seen)] : []))
    .reduce<Verdict | undefined>(
      (worst, one) => (worst && WEIGHT.indexOf(worst.sync.is) >= WEIGHT.indexOf(one.sync.is) ? worst : one),
      undefined,
    );
};

/**
 * The item as the hosts say that it is. Only where replication goes on by itself: what a verb of ours has brought about is the verb's to end,
 * and what somebody else has brought about is shown, not undone.
 */
export const observed = (item: Item, sync: Sync): Item => {
  const { protection } = item.state;
  if (protection !== 'Protected' && protection !== 'InitialReplication') return item;
  const same = item.state.sync.is === sync.is && (item.state.sync.reason ?? '') === (sync.reason ?? '');
  return same ? item : { ...item, state: { ...item.state, sync } };
};

/** Reasons for health that only the hosts know. */
export const nativeReasons = (item: Item): HealthReason[] => {
  const { source, replica } = item.native?.seen ?? {};
  const reasons: HealthReason[] = [];
  const replicating = ['Protected', 'InitialReplication'].includes(item.state.protection);
  const verdict = replicating ? pairVerdict(source, replica) : undefined;
  if (verdict?.next && verdict.sync.is !== 'Paused')
    reasons.push({
      code: 'native-state',
      level: 'critical',
      message: verdict.sync.reason ?? `replication is ${verdict.sync.is}`,
      hint: verdict.next,
    });
  else if (verdict?.sync.reason && verdict.sync.is === 'Delta')
    reasons.push({
      code: 'native-health',
      level: 'warning',
      message: verdict.sync.reason,
      hint: 'look at the replication health in the manager of the hosts',
    });
  for (const [seen, side] of [
    [source, item.source],
    [replica, item.replica],
  ] as const) {
    if (!seen?.unreachable) continue;
    reasons.push({
      code: 'native-unseen',
      level: 'warning',
      message: `what ${side?.endpoint ?? 'a host'} says of the replication was last seen at ${seen.at}: ${seen.unreachable}`,
      hint: `bring endpoint ${side?.endpoint ?? ''} back in reach: it is asked again by itself`,
    });
  }
  if (replica?.testMachine && item.state.test === 'None')
    reasons.push({
      code: 'native-test',
      level: 'warning',
      message: 'a test failover that nobody here has begun runs at the replica host',
      hint: 'end it in the manager of the replica host: there is one at a time',
    });
  return reasons;
};

// ---- steps -----------------------------------------------------------------------------------------------------------

type Do = NativeStep['do'];

/** What a step leads to is there already: it is not told twice. */
export const isDone = (step: Do, status: NativeStatus): boolean => {
  const stage = stageOf({ role: status.role, state: status.vendorState });
  switch (step) {
    case 'prepare':
      return stage === 'prepared';
    case 'failover':
      return stage === 'failed-over' || stage === 'committed';
    case 'cancel':
      return stage !== 'failed-over' && stage !== 'prepared' && stage !== 'committed';
    case 'commit':
      return stage === 'committed';
    case 'test':
      return status.testMachine !== undefined;
    case 'endTest':
      return status.testMachine === undefined && status.vendorState !== 'FiredrillInProgress';
    case 'pause':
      return stage === 'paused';
    case 'resume':
      return stage !== 'paused' && stage !== 'broken';
    case 'resync':
      return status.vendorState === 'Resynchronizing';
    case 'reverse':
      return status.role === 'source';
  }
};

/** Why the hosts would refuse the step now, and what would make it possible; undefined when it may be told. */
export const obstacleTo = (step: Do, status: NativeStatus): { readonly reason: string; readonly way: string } | undefined => {
  if (status.role === 'none')
    return { reason: 'its host no longer knows of the replication', way: 'unprotect the machine and protect it again' };
  if (status.allowed.includes(step)) return undefined;
  const { next } = verdictOf({
    role: status.role,
    state: status.vendorState,
    health: status.health,
    ...(status.because === undefined ? {} : { because: status.because }),
  });
  return {
    reason: `its host is in state ${status.vendorState} and does not accept ${step}`,
    way: next ?? 'look at the state of the replication: explain',
  };
};
