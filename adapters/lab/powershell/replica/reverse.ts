// Set-VMReplication -Reverse: the failed over replica becomes the primary of the machine that it was a copy of.
import type { Bound } from '../arguments.ts';
import { specFromHv } from '../equipment.ts';
import { idOnHosts, vmAt } from '../fabric.ts';
import { gone, invalidState } from '../failures.ts';
import type { At, Hv, OnHost } from '../model.ts';
import { isOpen } from '../usage.ts';
import { beginLog, endLog, planCycle } from './cycles.ts';
import { assertMode, assertState, disksOf, hostAt, later } from './ends.ts';
import { settle } from './failover.ts';
import type { Replicated, ReplicationRecord } from './model.ts';
import { dropTransfer } from './seeding.ts';
import { connect, nameOf } from './server.ts';
import { settingsFrom } from './settings.ts';
import { newStatistics } from './statistics.ts';

const REPURPOSE_MS = 500;

/** After a planned failover the old primary has all but what was written since; else it has to be compared. */
export const reverse = async (at: OnHost, machine: Replicated, args: Bound): Promise<void> => {
  assertMode(machine, 'Replica');
  const { replication } = machine.hv;
  assertState(machine, ...(replication.failover?.planned ? ['FailedOverWaitingCompletion', 'FailedOver'] : ['FailedOver']));
  const settings = settingsFrom(args, replication.settings);
  const server = args.maybeText('ReplicaServerName') ?? replication.primaryServer;
  const to = connect(at, { server, ...settings });
  const old = vmAt(to, idOnHosts(machine));
  if (!old) throw gone('virtual machine on the Replica server');
  assertReplaceable(to, old);
  const wasPrepared = old.hv.replication?.state === 'PreparedForFailover' && old.hv.replication.relationship === replication.relationship;
  const isDelta = wasPrepared && (replication.failover?.planned ?? replication.planned) === true && hasLog(at, machine);
  const states = [replication.state, old.hv.replication?.state] as const;
  replication.state = 'FailbackComplete';
  if (old.hv.replication) old.hv.replication.state = 'WaitingForRepurposeCompletion';
  for (const one of [machine, old]) at.estate.touch(one);
  await later(at, REPURPOSE_MS);
  const isOurs = machine.hv.replication === replication && replication.state === 'FailbackComplete';
  if (old.hv.replication?.state === 'WaitingForRepurposeCompletion') old.hv.replication.state = states[1]!;
  if (isOurs) replication.state = states[0];
  for (const one of [machine, old]) at.estate.touch(one);
  if (!isOurs) throw invalidState('The replication was changed meanwhile.');
  connect(at, { server, ...settings });
  assertReplaceable(to, old);
  settle(at, machine);
  const shared = { settings, relationship: at.estate.random.uuid(), primaryServer: nameOf(at, at.host), replicaServer: server };
  become(at, machine, { ...shared, mode: 'Primary', isDelta, before: replication });
  if (old.hv.replication) clear(hostAt(to, old), old as Replicated);
  become(to, old, { ...shared, mode: 'Replica', isDelta, before: replication });
  if (isDelta) planCycle(at, machine, 0);
  else beginLog(at, machine);
};

/** Of what the machine has written since it failed over. */
const hasLog = (at: At, machine: Replicated): boolean => disksOf(at, machine).every(({ disk }) => at.estate.logs.has(disk));

const assertReplaceable = (at: At, old: Hv): void => {
  if (isOpen(at, old)) throw invalidState(`The virtual machine '${old.name}' is running on the Replica server. Turn it off first.`);
  const state = old.hv.replication?.state;
  if (state === 'FailedOverWaitingCompletion' || state === 'FailedOver') throw invalidState(`'${old.name}' has failed over itself.`);
};

const clear = (at: At, machine: Replicated): void => {
  dropTransfer(at, machine);
  endLog(at, machine);
};

type Becoming = Pick<ReplicationRecord, 'mode' | 'settings' | 'relationship' | 'primaryServer' | 'replicaServer'> & {
  readonly isDelta: boolean;
  readonly before: ReplicationRecord;
};

const become = (at: At, machine: Hv, { isDelta, before, ...shared }: Becoming): void => {
  const now = at.estate.timeline.now();
  const first = shared.mode === 'Primary' ? 'ReadyForInitialReplication' : 'WaitingForInitialReplication';
  machine.hv.replication = {
    ...shared,
    state: isDelta ? 'Replicating' : first,
    drives: before.drives,
    ...(isDelta ? { replicatedMs: before.replicatedMs ?? now } : {}),
    lastType: isDelta ? 'Regular' : 'None',
    initialBytes: 0,
    statistics: newStatistics(now),
    points: [],
  };
  specFromHv(at, machine);
};
