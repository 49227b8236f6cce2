// What each verb does, in words.
import type { Operation as ItemOperation } from '../domain/operations.ts';
import type { Target } from './targets.ts';

const ITEM_STEPS: Readonly<Record<string, readonly string[]>> = {
  test: [
    'apply what is sealed up to the point',
    'make a fork of the replica in an isolated network',
    'write the older point into the fork when one was chosen',
    'power on the fork',
    'wait for the guest',
    'record RPO, RTO and evidence',
  ],
  cleanup: ['power off the test machine', 'discard its fork', 'remove its test networks'],
  planned: [
    'raise the fencing epoch',
    'shut the source down, or freeze it after its last pass',
    'seal the last point: nothing is lost',
    'make a fork of the replica in the mapped networks',
    'power on',
    'wait for the guest',
  ],
  unplanned: [
    'raise the fencing epoch',
    'look at the source; shut it down when it answers',
    'take a last cycle when the source was seen off',
    'make a fork of the replica at the point',
    'power on',
    'wait for the guest',
  ],
  'change-point': [
    'power off and discard the fork: what the machine wrote since the failover is lost',
    'make a fork at the other point',
    'power on',
  ],
  cancel: [
    'power off and discard the fork: what the machine wrote since the failover is lost',
    'start the source again when we shut it down',
    'replication goes on',
  ],
  commit: [
    'promote the fork: from here on the recovery points are not offered',
    'after a planned failover: re-protect in the reverse direction',
  ],
  reprotect: ['see the old source off', 'adopt it as replica, its disks as found kept as the divergent point', 'send only what differs'],
  failback: ['shut the source down', 'seal the last point', 'start at the original site', 'commit', 're-protect'],
  release: ['forget replication; the machine stays where it runs'],
  unprotect: ['end a test', 'stop tracking', 'remove replica and recovery points'],
  sync: ['one cycle now', 'apply', 'retention'],
  resync: ['compare both sides', 'send what differs'],
  verify: ['compare source and replica at one point'],
};

/** Where the hosts do it by themselves. */
const NATIVE_STEPS: Readonly<Partial<Record<ItemOperation, readonly string[]>>> = {
  test: [
    'let the replica host make a test machine at the point, in an isolated network',
    'power on the test machine',
    'wait for the guest',
    'record RPO, RTO and evidence',
  ],
  cleanup: ['power off the test machine', 'let the replica host remove it', 'remove its test networks'],
  planned: [
    'raise the fencing epoch',
    'shut the source down',
    'prepare the source: its host sends what is left',
    'fail the replica over, in the mapped networks',
    'power on',
    'wait for the guest',
  ],
  unplanned: [
    'raise the fencing epoch',
    'look at the source; shut it down when it answers',
    'prepare the source when it was seen off',
    'fail the replica over at the point',
    'power on',
    'wait for the guest',
  ],
  'change-point': [
    'power off and cancel at the replica host: what the machine wrote since the failover is lost',
    'fail over at the other point',
    'power on',
  ],
  cancel: [
    'power off and cancel at the replica host: what the machine wrote since the failover is lost',
    'cancel at the source host when it was prepared',
    'start the source again when we shut it down',
  ],
  commit: ['complete at the replica host: its other points are deleted', 'after a planned failover: re-protect in the reverse direction'],
  reprotect: ['see the old source off', 'let the hosts reverse', 'wait until the hosts have sent what differs'],
  unprotect: ['end a test', 'remove the replication at both hosts', 'delete the replica where it is proven to be ours'],
  sync: ['look at both hosts now'],
  resync: ['let the hosts compare and send what differs'],
  verify: [],
};

export const NATIVE_COMMIT = 'its replica host deletes all other points: that cannot be undone';

export const NATIVE_PROTECT = [
  'enable replication at the source host, which makes the replica, powered off',
  'start the first copy as the policy says',
  'wait until the replica host holds a whole state',
];

/** What a verb does, for its dry run. */
export const stepsOf = (operation: ItemOperation, { items }: Target): readonly string[] => {
  const native = items.length > 0 && items.every((item) => item.method === 'native') ? NATIVE_STEPS[operation] : undefined;
  return native ?? ITEM_STEPS[operation] ?? [];
};
