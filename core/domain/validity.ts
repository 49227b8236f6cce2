import { DrError } from '../contract/index.ts';
import { activeSite, type Item, type Protection } from './item.ts';

interface Rule {
  readonly name: string;
  broken(item: Item): boolean;
}

const FAILOVER_STATES: readonly Protection[] = [
  'FailingOver',
  'FailingOverFailed',
  'CommitPending',
  'ChangingPoint',
  'ChangingPointFailed',
  'CancellingFailover',
  'CancellingFailoverFailed',
  'Committing',
  'CommittingFailed',
];

/** The validity predicate over all axes (V10), published so that tests and `explain` can name what is broken. */
export const VALIDITY: readonly Rule[] = [
  {
    name: 'a failover is recorded exactly from its begin to its commit or cancel',
    broken: ({ state }) =>
      state.failover !== undefined
        ? !(FAILOVER_STATES.includes(state.protection) || state.protection.startsWith('Disabling'))
        : FAILOVER_STATES.includes(state.protection),
  },
  {
    name: 'CommitPending means that the machine runs on a fork of its replica',
    broken: (item) => item.state.protection === 'CommitPending' && item.fork === undefined,
  },
  {
    name: 'a failover fork exists only between failover and commit or cancel',
    broken: (item) =>
      item.fork !== undefined && !(FAILOVER_STATES.includes(item.state.protection) || item.state.protection.startsWith('Disabling')),
  },
  { name: 'a running test has a fork', broken: (item) => item.state.test === 'Running' && item.testFork === undefined },
  { name: 'no test, no test fork', broken: (item) => item.state.test === 'None' && item.testFork !== undefined },
  {
    name: 'a replicating item has a replica',
    broken: (item) =>
      item.replica === undefined && ['InitialReplication', 'Protected', 'FailingOver', 'CommitPending'].includes(item.state.protection),
  },
  {
    name: 'Protected replicates, is paused, or says why not',
    broken: ({ state }) => state.protection === 'Protected' && state.sync.is === 'None',
  },
  { name: 'a failed-over item does not replicate', broken: ({ state }) => state.protection === 'FailedOver' && state.sync.is !== 'None' },
  { name: 'direction joins two different sites', broken: ({ state }) => state.direction.from === state.direction.to },
  {
    name: 'the active site is one of the two of the direction',
    broken: ({ state }) => {
      const site = activeSite(state.active);
      return site !== undefined && site !== state.direction.from && site !== state.direction.to;
    },
  },
  { name: 'the source is at the protected site', broken: (item) => item.source.site !== item.state.direction.from },
  {
    name: 'the replica is at the recovery site',
    broken: (item) => item.replica !== undefined && item.replica.site !== item.state.direction.to,
  },
  {
    name: 'Protected means that production is at the protected site, as far as is known',
    broken: ({ state }) => state.protection === 'Protected' && activeSite(state.active) === state.direction.to,
  },
  {
    name: 'ResyncRequired and Stalled name their reason',
    broken: ({ state }) => (state.sync.is === 'ResyncRequired' || state.sync.is === 'Stalled') && !state.sync.reason,
  },
];

export const brokenRules = (item: Item): string[] => VALIDITY.filter((rule) => rule.broken(item)).map((rule) => rule.name);

/** Throws INTERNAL: a transition that breaks the predicate is a defect and is never stored. */
export const assertValid = (item: Item): Item => {
  const broken = brokenRules(item);
  if (broken.length === 0) return item;
  throw new DrError('INTERNAL', `the state of ${item.name} would break: ${broken.join('; ')}`, {
    context: { item: item.id, state: JSON.stringify(item.state) },
  });
};
