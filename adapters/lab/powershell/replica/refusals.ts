// What other cmdlets do not do to a machine that replicates, and what replication does not survive.
import type { Estate } from '../../estate.ts';
import { invalidState } from '../failures.ts';
import type { Hv } from '../model.ts';
import type { ReplicationState } from './model.ts';

const STARTS: readonly ReplicationState[] = ['FailedOver', 'FailedOverWaitingCompletion'];
const PREPARED: readonly ReplicationState[] = ['PreparedForFailover', 'PreparedForSyncReplication', 'WaitingForRepurposeCompletion'];

/** Of a replica before it has failed over, and of a primary from the preparation on. */
export const assertStarts = ({ name, hv }: Hv): void => {
  const { replication } = hv;
  if (!replication) return;
  const mayStart = replication.mode === 'Replica' ? STARTS.includes(replication.state) : !PREPARED.includes(replication.state);
  if (!mayStart) throw invalidState(`'${name}' cannot be started: replication is in the state ${replication.state}.`);
};

/** Its disks are the other end's. */
export const assertNoReplica = ({ name, hv }: Hv): void => {
  if (hv.replication?.mode === 'Replica') throw invalidState(`The operation is not allowed on the replica virtual machine '${name}'.`);
};

export const assertRemovable = ({ name, hv }: Hv): void => {
  if (hv.replication && hv.replication.mode !== 'TestReplica')
    throw invalidState(`'${name}' cannot be removed: replication is enabled. Remove the replication first.`);
};

const ENDS_WITH_IT: readonly ReplicationState[] = ['Replicating', 'Suspended', 'Resynchronizing', 'ResynchronizeSuspended', 'Error'];

/** The disks were changed and no log has seen it: only a comparison helps. */
export const noteOutsideChange = (estate: Estate, machine: Hv): void => {
  const { replication } = machine.hv;
  if (replication?.mode === 'Primary' && ENDS_WITH_IT.includes(replication.state)) demandResync(estate, machine);
};

export const demandResync = (estate: Estate, machine: Hv): void => {
  const { replication } = machine.hv;
  if (!replication) return;
  for (const name of Object.values(replication.transfer?.layers ?? {})) estate.removeLayer(name);
  delete replication.transfer;
  delete replication.paused;
  replication.state = 'WaitingForStartResynchronize';
  estate.touch(machine);
};
