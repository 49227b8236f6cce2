// What a relationship is asked to be, and changes of it that the other end has to take.
import type { Bound } from '../arguments.ts';
import { asPsFailure, invalidArgument } from '../failures.ts';
import { type End, otherEnd } from './ends.ts';
import type { Authentication, ReplicationSettings, ReplicationState } from './model.ts';
import { prunePoints } from './points.ts';
import { connect } from './server.ts';

const FREQUENCIES = [30, 300, 900];
const MOST_POINTS = 24;
const MOST_HOURS = 12;

export const DEFAULTS: ReplicationSettings = {
  frequencySec: 300,
  recoveryHistory: 0,
  vssHours: 0,
  compression: true,
  authentication: 'Kerberos',
  port: 80,
  thumbprint: '',
  autoResync: false,
};

/** Throws for what no host takes. */
export const settingsFrom = (args: Bound, before: ReplicationSettings): ReplicationSettings => {
  const settings: ReplicationSettings = {
    frequencySec: args.maybeNumber('ReplicationFrequencySec') ?? before.frequencySec,
    recoveryHistory: args.maybeNumber('RecoveryHistory') ?? before.recoveryHistory,
    vssHours: args.maybeNumber('VSSSnapshotFrequencyHour') ?? before.vssHours,
    compression: args.maybeFlag('CompressionEnabled') ?? before.compression,
    authentication: (args.maybeText('AuthenticationType') as Authentication | undefined) ?? before.authentication,
    port: args.maybeNumber('ReplicaServerPort') ?? before.port,
    thumbprint: args.maybeText('CertificateThumbprint') ?? before.thumbprint,
    autoResync: args.maybeFlag('AutoResynchronizeEnabled') ?? before.autoResync,
  };
  assertSettings(settings);
  return settings;
};

const assertSettings = ({ frequencySec, recoveryHistory, vssHours, port }: ReplicationSettings): void => {
  if (!FREQUENCIES.includes(frequencySec)) throw invalidArgument('The replication frequency is 30, 300 or 900 seconds.');
  if (recoveryHistory < 0 || recoveryHistory > MOST_POINTS) throw invalidArgument('There are 0 to 24 additional recovery points.');
  if (vssHours < 0 || vssHours > MOST_HOURS) throw invalidArgument('Application-consistent points are 1 to 12 hours apart.');
  if (vssHours > 0 && recoveryHistory === 0) throw invalidArgument('Application-consistent points need additional recovery points.');
  if (port < 1 || port > 65_535) throw invalidArgument('A port is a number from 1 to 65535.');
};

const UPDATING: readonly ReplicationState[] = ['Replicating', 'WaitingForUpdateCompletion', 'UpdateError'];

/** While the other end cannot be asked the change waits for the next cycle; one that it refuses stays refused. */
export const sendUpdate = (end: End): void => {
  const { replication } = end.machine.hv;
  const { update } = replication;
  if (!update) return;
  try {
    connect(end.on, { server: replication.replicaServer, ...update });
    const other = otherEnd(end);
    for (const { machine, on } of [end, other]) {
      machine.hv.replication.settings = update;
      prunePoints(on, machine);
      on.estate.touch(machine);
    }
    delete replication.update;
    if (UPDATING.includes(replication.state)) replication.state = 'Replicating';
  } catch (error) {
    const failure = asPsFailure(error);
    if (!failure || !UPDATING.includes(replication.state)) throw error;
    const isRefusal = failure.failing.category !== 'ResourceUnavailable';
    replication.state = isRefusal ? 'UpdateError' : 'WaitingForUpdateCompletion';
    if (isRefusal) delete replication.update;
    end.on.estate.touch(end.machine);
  }
};
