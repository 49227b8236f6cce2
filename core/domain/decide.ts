// Decide, then do: pure transitions of an item. Each returns the next item; validity is checked by whoever stores it.
import { DrError } from '../contract/index.ts';
import {
  type Active,
  type Failover,
  type FailoverPhase,
  failedTwin,
  type Item,
  type ItemFork,
  type ItemState,
  isInProgress,
  type ReverseInfo,
  type Sync,
  type TestState,
} from './item.ts';
import { assertAllowed, duringOf, type Facts, type Operation } from './operations.ts';
import { assertValid } from './validity.ts';

const withState = (item: Item, state: Partial<ItemState>): Item => assertValid({ ...item, state: { ...item.state, ...state } });

const without = <T extends object, K extends keyof T>(value: T, key: K): Omit<T, K> => {
  const { [key]: _gone, ...rest } = value;
  return rest;
};

/** The operation begins: its in-progress state is entered. */
export const begin = (item: Item, operation: Operation, facts: Facts): Item => {
  assertAllowed(operation, item, facts);
  const during = duringOf(operation);
  return during ? withState(item, { protection: during }) : item;
};

/** The running operation failed: the failed twin, which allows retry and the ways out. */
export const fail = (item: Item): Item => {
  const { protection } = item.state;
  return isInProgress(protection) ? withState(item, { protection: failedTwin(protection) }) : item;
};

/** A failed twin is taken up again by the retry of its job. */
export const retry = (item: Item, operation: Operation): Item => {
  const during = duringOf(operation);
  return during && item.state.protection === failedTwin(during) ? withState(item, { protection: during }) : item;
};

export const beginFailover = (item: Item, failover: Failover, facts: Facts): Item => {
  assertAllowed(failover.kind, item, facts);
  // A planned failover that is converted keeps what it already knows of its source.
  const known = item.state.failover;
  return withState(item, { protection: 'FailingOver', failover: known ? { ...known, ...failover, startedAt: known.startedAt } : failover });
};

export const failoverOf = (item: Item): Failover => {
  if (!item.state.failover) throw new DrError('STATE_CONFLICT', `no failover of ${item.name} is going on`, { context: { item: item.id } });
  return item.state.failover;
};

export const setPhase = (item: Item, phase: FailoverPhase, more: Partial<Failover> = {}): Item =>
  withState(item, {
    failover: { ...failoverOf(item), phase, ...more },
    ...(phase === 'SourceOff' ? { active: 'neither' as const } : {}),
  });

export const noteFailover = (item: Item, more: Partial<Failover>): Item => withState(item, { failover: { ...failoverOf(item), ...more } });

export const setLastPass = (item: Item, lastPass: string | undefined): Item => {
  const failover = without(failoverOf(item), 'lastPass');
  return withState(item, { failover: lastPass === undefined ? failover : { ...failover, lastPass } });
};

export const setFork = (item: Item, fork: ItemFork): Item => assertValid({ ...item, fork });
export const dropFork = (item: Item): Item => assertValid(without(item, 'fork'));

/** Who runs after a failover: the recovery site for certain only when the source was seen off. */
const activeAfterFailover = (item: Item): Active => {
  const { statement, sourceConfirmedOff } = failoverOf(item);
  if (sourceConfirmedOff || statement === 'off') return { site: item.state.direction.to };
  return statement === 'running' ? 'both' : 'unknown';
};

export const started = (item: Item): Item =>
  withState(item, {
    protection: 'CommitPending',
    active: activeAfterFailover(item),
    sync: { is: 'None' },
    failover: { ...failoverOf(item), phase: 'Started' },
  });

/** A target without forks has nothing to commit (V1). */
export const startedInPlace = (item: Item, pointDigest: string): Item => {
  const { failover: _done, ...state } = item.state;
  return assertValid({
    ...item,
    reverse: reverseInfo(item, pointDigest),
    lastFailoverAt: failoverOf(item).startedAt,
    state: { ...state, protection: 'FailedOver', active: activeAfterFailover(item), sync: { is: 'None' } },
  });
};

/** What re-protect will need (V3). */
export const reverseInfo = (item: Item, pointDigest: string): ReverseInfo => {
  const { kind, point } = failoverOf(item);
  return {
    kind,
    point: point ?? item.fork?.point ?? '',
    pointDigest,
    oldBaselines: item.baselines,
    newBaselines: item.fork?.baselines ?? {},
    oldSource: item.source,
  };
};

export const cancelled = (item: Item, sync: Sync, active: Active): Item => {
  const { failover: _done, ...state } = item.state;
  return assertValid({ ...without(item, 'fork'), state: { ...state, protection: 'Protected', sync, active } });
};

export const committed = (item: Item, next: Pick<Item, 'replica' | 'disks' | 'nics' | 'reverse'>): Item => {
  const { failover: _done, ...state } = item.state;
  return assertValid({
    ...without(item, 'fork'),
    ...next,
    lastFailoverAt: failoverOf(item).startedAt,
    state: { ...state, protection: 'FailedOver', sync: { is: 'None' } },
  });
};

/** Re-protect has come as far as turning the item round: its old source is its replica now. */
export const isTurned = ({ source, reverse }: Item): boolean =>
  reverse !== undefined && (source.endpoint !== reverse.oldSource.endpoint || source.machine !== reverse.oldSource.machine);

export const setSync = (item: Item, sync: Sync): Item => withState(item, { sync });
export const setActive = (item: Item, active: Active): Item => withState(item, { active });

export const setTest = (item: Item, test: TestState, testFork?: ItemFork): Item => {
  const rest = without(item, 'testFork');
  return withState(
    test === 'None' ? rest : { ...rest, ...((testFork ?? item.testFork) ? { testFork: (testFork ?? item.testFork) as ItemFork } : {}) },
    { test },
  );
};

/**
 * A point was sealed. Only where replication goes on does it say how replication is: a cycle may end after a failover has begun. A delta is no
 * answer to a resync that was asked for while it ran.
 */
export const pointSealed = (item: Item, kind: 'first' | 'delta' | 'compare' | 'divergent'): Item => {
  const { protection, sync } = item.state;
  if (!['InitialReplication', 'Protected', 'Reprotecting'].includes(protection) || sync.is === 'Paused') return item;
  if (kind === 'delta' && (sync.is === 'Resyncing' || sync.is === 'ResyncRequired')) return item;
  return withState(item, { protection: protection === 'InitialReplication' ? 'Protected' : protection, sync: { is: 'Delta' } });
};
