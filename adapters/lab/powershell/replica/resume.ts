// Replication over the ends of hosts and of the lab itself.
import type { At, Hv } from '../model.ts';
import { endLog, logBytes, planCycle } from './cycles.ts';
import { disksOf } from './ends.ts';
import { ReplicationLog } from './log.ts';
import { isReplicated, type Replicated, type ReplicationState } from './model.ts';
import { demandResync } from './refusals.ts';
import { planSeed } from './seed-later.ts';
import { dropTransfer, goOn } from './seeding.ts';

/** Calls that were at work when the host went are not gone on with. */
const UNFINISHED: Readonly<Partial<Record<ReplicationState, ReplicationState>>> = {
  RecoveryInProgress: 'Replicating',
  FailbackInProgress: 'FailedOverWaitingCompletion',
  FiredrillInProgress: 'Replicating',
  PreparedForSyncReplication: 'Replicating',
  WaitingForRepurposeCompletion: 'PreparedForFailover',
};

const settleState = (machine: Replicated): void => {
  const { replication } = machine.hv;
  const { state } = replication;
  if (state === 'FailbackComplete') replication.state = replication.failover ? 'FailedOverWaitingCompletion' : 'FailedOver';
  else replication.state = UNFINISHED[state] ?? state;
};

/** The host lost its power. A log that was being written is not closed: what it says is worth nothing. */
export const loseReplication = (at: At, machine: Hv): void => {
  if (!isReplicated(machine)) return;
  const { replication } = machine.hv;
  settleState(machine);
  const hasRun = machine.ranAtPowerCut === true;
  if (replication.mode !== 'Primary') {
    if (hasRun) endLog(at, machine);
    return;
  }
  const isOpen = hasRun && logBytes(at, machine) > 0;
  if (replication.transfer || (isOpen && replication.state === 'Replicating')) demandResync(at.estate, machine);
};

/** The lab starts again. `logs` are those of an orderly end. */
export const resumeReplication = (at: At, machine: Hv): void => {
  if (!isReplicated(machine) || machine.hv.replication.mode === 'TestReplica') return;
  const { replication } = machine.hv;
  settleState(machine);
  const lost = openLogs(at, machine);
  if (replication.mode !== 'Primary') return;
  if (lost && replication.state === 'Replicating') demandResync(at.estate, machine);
  if (replication.transfer) {
    if (lost) dropTransfer(at, machine);
    if (lost) demandResync(at.estate, machine);
    else if (!replication.paused) goOn(at, machine);
  }
  if (replication.seedAtMs !== undefined) planSeed(at, machine, replication.seedAtMs);
  if (replication.nextMs !== undefined) planCycle(at, machine, Math.max(0, replication.nextMs - at.estate.timeline.now()));
};

/** Whether one that there should be is missing. */
const openLogs = ({ estate, ...rest }: At, machine: Replicated): boolean => {
  const { mode, state } = machine.hv.replication;
  if (mode !== 'Primary' || state === 'ReadyForInitialReplication') return false;
  let lost = false;
  for (const { disk } of disksOf({ estate, ...rest }, machine)) {
    if (estate.logs.has(disk)) continue;
    estate.logs.set(disk, new ReplicationLog());
    lost = true;
  }
  return lost;
};
