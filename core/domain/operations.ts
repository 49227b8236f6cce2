import { DrError } from '../contract/index.ts';
import { activeSite, type InProgress, type Item, isInProgress, type Protection } from './item.ts';

/** Everything that can be asked of a protected item. */
export const OPERATIONS = [
  'unprotect',
  'pause',
  'resume',
  'sync',
  'resync',
  'verify',
  'test',
  'cleanup',
  'planned',
  'unplanned',
  'change-point',
  'cancel',
  'commit',
  'reprotect',
  'failback',
  'release',
  'resolve',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What the item's endpoints and journal say; the decision itself reads nothing. */
export interface Facts {
  /** A visible recovery point exists. */
  readonly hasPoint: boolean;
  /** The target can run forks: without them there is no test, change point or cancel. */
  readonly targetForks: boolean;
  /** The source can stay frozen after its last pass, or takes snapshots. */
  readonly plannedPossible: boolean;
}

interface Row {
  readonly operation: Operation;
  readonly from: readonly Protection[];
  /** Absent: the operation does not move the protection axis. */
  readonly during?: InProgress;
  readonly to?: Protection;
  readonly needs?: readonly Need[];
}

type Need =
  | 'bytes'
  | 'point'
  | 'forks'
  | 'planned-possible'
  | 'no-test'
  | 'a-test'
  | 'delta'
  | 'paused'
  | 'replicating'
  | 'one-active'
  | 'split';

const STEADY: readonly Protection[] = ['InitialReplication', 'Protected', 'CommitPending', 'FailedOver'];
const FAILED: readonly Protection[] = [
  'EnablingFailed',
  'FailingOverFailed',
  'ChangingPointFailed',
  'CancellingFailoverFailed',
  'CommittingFailed',
  'ReprotectingFailed',
  'DisablingFailed',
];

/** The one published transition table: the engine's checks, the CLI's errors, the console's buttons and the model test read it. */
export const TRANSITIONS: readonly Row[] = [
  { operation: 'pause', from: ['Protected'], needs: ['replicating'] },
  { operation: 'resume', from: ['Protected'], needs: ['paused'] },
  { operation: 'sync', from: ['Protected', 'InitialReplication'], needs: ['replicating'] },
  { operation: 'resync', from: ['Protected'], needs: ['point', 'no-test'] },
  { operation: 'verify', from: ['Protected'], needs: ['bytes', 'point', 'replicating', 'no-test'] },
  { operation: 'test', from: ['Protected'], needs: ['point', 'forks', 'no-test'] },
  { operation: 'cleanup', from: [...STEADY, ...FAILED], needs: ['a-test'] },
  {
    operation: 'planned',
    from: ['Protected', 'FailingOverFailed'],
    during: 'FailingOver',
    to: 'CommitPending',
    needs: ['point', 'no-test', 'planned-possible', 'replicating', 'one-active'],
  },
  { operation: 'unplanned', from: ['Protected', 'FailingOverFailed'], during: 'FailingOver', to: 'CommitPending', needs: ['point'] },
  {
    operation: 'change-point',
    from: ['CommitPending', 'ChangingPointFailed'],
    during: 'ChangingPoint',
    to: 'CommitPending',
    needs: ['point', 'forks'],
  },
  {
    operation: 'cancel',
    from: ['CommitPending', 'CancellingFailoverFailed', 'FailingOverFailed', 'ChangingPointFailed'],
    during: 'CancellingFailover',
    to: 'Protected',
    needs: ['forks'],
  },
  { operation: 'commit', from: ['CommitPending', 'CommittingFailed'], during: 'Committing', to: 'FailedOver' },
  { operation: 'reprotect', from: ['FailedOver', 'ReprotectingFailed'], during: 'Reprotecting', to: 'Protected', needs: ['no-test'] },
  {
    operation: 'failback',
    from: ['Protected'],
    during: 'FailingOver',
    to: 'CommitPending',
    needs: ['point', 'no-test', 'planned-possible', 'replicating', 'one-active'],
  },
  { operation: 'release', from: ['FailedOver', 'ReprotectingFailed', 'DisablingFailed'], during: 'Disabling', to: 'Unprotected' },
  { operation: 'unprotect', from: [...STEADY, ...FAILED], during: 'Disabling', to: 'Unprotected' },
  { operation: 'resolve', from: ['CommitPending', 'FailedOver', 'Protected', 'ReprotectingFailed'], needs: ['split'] },
];

const rowOf = (operation: Operation): Row => {
  const row = TRANSITIONS.find((candidate) => candidate.operation === operation);
  if (!row) throw new DrError('INTERNAL', `no transition for ${operation}`);
  return row;
};

const NEEDS: Readonly<
  Record<Need, { holds(item: Item, facts: Facts): boolean; refusal(item: Item): readonly [reason: string, way: string] }>
> = {
  bytes: {
    holds: (item) => item.method !== 'native',
    refusal: () => [
      'its hosts replicate it: no byte of it passes here that could be compared',
      'prove it with failover test, or let the hosts compare with sync resync',
    ],
  },
  point: {
    holds: (_item, facts) => facts.hasPoint,
    refusal: () => ['it has no recovery point yet', 'wait until initial replication has made the first point'],
  },
  forks: {
    holds: (_item, facts) => facts.targetForks,
    refusal: (item) => [
      `its target ${item.replica?.endpoint ?? ''} cannot run a machine on a fork of its disks`,
      'use planned or unplanned failover: on this target they go straight to FailedOver',
    ],
  },
  'planned-possible': {
    holds: (_item, facts) => facts.plannedPossible,
    refusal: () => [
      'its source can neither shut its guest down nor stay frozen after the last pass',
      'shut the machine down by hand, then use unplanned failover',
    ],
  },
  'no-test': {
    holds: (item) => item.state.test === 'None',
    refusal: () => ['a test failover is running', 'clean it up first: failover cleanup'],
  },
  'a-test': {
    holds: (item) => item.state.test !== 'None' && item.state.test !== 'Starting',
    refusal: (item) =>
      item.state.test === 'Starting'
        ? ['its test failover is still starting', 'wait until it runs, or cancel its job: job list']
        : ['no test failover is running', 'nothing to clean up'],
  },
  delta: {
    holds: (item) => item.state.sync.is === 'Delta',
    refusal: (item) => [`replication is ${item.state.sync.is}`, 'wait until it is Delta'],
  },
  paused: {
    holds: (item) => item.state.sync.is === 'Paused' || item.state.sync.is === 'Stalled',
    refusal: (item) => [`replication is ${item.state.sync.is}, not paused`, 'nothing to resume'],
  },
  replicating: {
    holds: (item) => item.state.sync.is !== 'Paused' && item.state.sync.is !== 'None',
    refusal: (item) => [`replication is ${item.state.sync.is}`, 'resume replication first: sync resume'],
  },
  'one-active': {
    holds: (item) => activeSite(item.state.active) !== undefined,
    refusal: (item) => [
      `it is not known that just one copy runs (active: ${String(item.state.active)})`,
      'run resolve, or use unplanned failover',
    ],
  },
  split: {
    holds: (item) => activeSite(item.state.active) === undefined,
    refusal: () => ['exactly one copy is known to run', 'nothing to resolve'],
  },
};

export interface Refusal {
  readonly reason: string;
  readonly way: string;
}

/** Why an operation is refused in this state and what would make it legal; undefined when it is allowed. */
export const refusalOf = (operation: Operation, item: Item, facts: Facts): Refusal | undefined => {
  const row = rowOf(operation);
  const { protection } = item.state;
  if (!row.from.includes(protection)) {
    const way = isInProgress(protection)
      ? `wait until ${protection} has ended, or look at its job`
      : `it is possible from ${row.from.join(', ')}`;
    return { reason: `its state is ${protection}`, way };
  }
  // A retry of the failed twin of this very operation goes on where it stopped: its first check was passed when it began.
  const retrying = row.during !== undefined && protection === `${row.during}Failed`;
  for (const name of row.needs ?? []) {
    const need = NEEDS[name];
    if (need.holds(item, facts) || (retrying && name === 'one-active')) continue;
    const [reason, way] = need.refusal(item);
    return { reason, way };
  }
  return undefined;
};

export const allowedOperations = (item: Item, facts: Facts): Operation[] =>
  OPERATIONS.filter((operation) => refusalOf(operation, item, facts) === undefined);

/** Throws OPERATION_NOT_ALLOWED (CAPABILITY_MISSING for what the endpoint can never do) with the state and the way. */
export const assertAllowed = (operation: Operation, item: Item, facts: Facts): void => {
  const refusal = refusalOf(operation, item, facts);
  if (!refusal) return;
  throw new DrError('OPERATION_NOT_ALLOWED', `${operation} of ${item.name} is not possible: ${refusal.reason}`, {
    hint: refusal.way,
    context: { item: item.id, operation, state: item.state.protection },
  });
};

export const duringOf = (operation: Operation): InProgress | undefined => rowOf(operation).during;

/** The item is already where the operation leads: nothing is left to do for it. */
export const isGoalOf = (operation: Operation, item: Item): boolean => {
  if (operation === 'cleanup') return item.state.test === 'None';
  if (operation === 'test') return item.state.test === 'Running';
  if (operation === 'cancel' || operation === 'reprotect') return item.state.protection === 'Protected';
  if (operation === 'planned' || operation === 'unplanned') return ['CommitPending', 'FailedOver'].includes(item.state.protection);
  return operation === 'commit' && ['FailedOver', 'ReprotectingFailed', 'Protected'].includes(item.state.protection);
};
