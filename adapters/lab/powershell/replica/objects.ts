// Microsoft.HyperV.PowerShell.VMReplication and VMReplicationHealth.
import { type Cell, date, int, member, object, type PsObject, type Shape, span } from '../cells.ts';
import { hostOf, idOnHosts } from '../fabric.ts';
import type { At, Hv } from '../model.ts';
import { driveObject, vmObject } from '../vm-object.ts';
import { logBytes } from './cycles.ts';
import { testMachineOf } from './ends.ts';
import { healthOf } from './health.ts';
import type { Replicated } from './model.ts';
import { WINDOW } from './resync.ts';

export interface OfReplication {
  readonly at: At;
  readonly machine: Replicated;
}

const when = (ms: number | undefined): Cell => (ms === undefined ? null : date(ms));
const record = ({ machine }: OfReplication) => machine.hv.replication;

const testCell = ({ at, machine }: OfReplication): Cell => {
  const made: Hv | undefined = testMachineOf(at, machine);
  return made ? vmObject({ at, machine: made }) : null;
};

/** What both objects say. */
const common: Shape<OfReplication>['properties'] = {
  VMId: ({ machine }) => idOnHosts(machine),
  VMName: ({ machine }) => machine.name,
  ComputerName: ({ at, machine }) => hostOf(at, machine).name,
  ReplicationState: (of) => member('VMReplicationState', record(of).state),
  ReplicationHealth: (of) => member('VMReplicationHealthState', healthOf(of.at, record(of)).health),
  ReplicationMode: (of) => member('VMReplicationMode', record(of).mode),
  ReplicationRelationshipType: () => member('VMReplicationRelationshipType', 'Simple'),
  PrimaryServerName: (of) => record(of).primaryServer,
  ReplicaServerName: (of) => record(of).replicaServer,
  CurrentReplicaServerName: (of) => (record(of).mode === 'Replica' ? hostOf(of.at, of.machine).name : record(of).replicaServer),
  AllowedPrimaryServer: (of) => record(of).primaryServer,
  LastReplicationTime: (of) => when(record(of).replicatedMs),
  LastAppliedLogTime: (of) => (record(of).mode === 'Replica' ? when(record(of).replicatedMs) : null),
  ReplicatedDisks: ({ at, machine }) =>
    machine.hv.drives.filter(({ id }) => machine.hv.replication.drives.includes(id)).map((drive) => driveObject({ at, machine, drive })),
  TestVirtualMachine: testCell,
};

export const REPLICATION: Shape<OfReplication> = {
  type: 'Microsoft.HyperV.PowerShell.VMReplication',
  text: ({ machine }) => `VMReplication (VMName = '${machine.name}') [VMId = '${idOnHosts(machine)}']`,
  properties: {
    ...common,
    ReplicaServerPort: (of) => record(of).settings.port,
    AuthenticationType: (of) => member('ReplicationAuthenticationType', record(of).settings.authentication),
    CertificateThumbprint: (of) => record(of).settings.thumbprint,
    CompressionEnabled: (of) => record(of).settings.compression,
    ReplicationFrequencySec: (of) => record(of).settings.frequencySec,
    RecoveryHistory: (of) => record(of).settings.recoveryHistory,
    VSSSnapshotFrequencyHour: (of) => record(of).settings.vssHours,
    VSSSnapshotReplicationEnabled: (of) => record(of).settings.vssHours > 0,
    AutoResynchronizeEnabled: (of) => record(of).settings.autoResync,
    AutoResynchronizeIntervalStart: () => span(WINDOW.startMs),
    AutoResynchronizeIntervalEnd: () => span(WINDOW.endMs),
    InitialReplicationStartTime: (of) => when(record(of).seedAtMs),
    ResynchronizeStartTime: () => null,
    BypassProxyServer: () => false,
    ReplicateHostKvpItems: () => true,
    EnableWriteOrderPreservationAcrossDisks: () => true,
    ExcludedDisks: () => [],
  },
};

const transferSize = (of: OfReplication): number => {
  const { transfer } = record(of);
  return transfer ? transfer.totalBytes - transfer.sentBytes : 0;
};

const average = (sum: number, of: OfReplication): number => Math.round(sum / Math.max(1, record(of).statistics.successful));

/** A failed over replica's is the log for the way back. */
const pending = (of: OfReplication): number => (record(of).mode === 'Primary' ? logBytes(of.at, of.machine) + transferSize(of) : 0);

const TASK: Shape<{ readonly name: string; readonly percent: number }> = {
  type: 'Microsoft.HyperV.PowerShell.VMCurrentTask',
  text: ({ name }) => name,
  properties: { Name: ({ name }) => name, PercentComplete: ({ percent }) => percent },
};

const tasks = (of: OfReplication): Cell => {
  const { transfer, state } = record(of);
  if (!transfer || transfer.totalBytes === 0) return [];
  return [object(TASK, { name: state, percent: Math.floor((100 * transfer.sentBytes) / transfer.totalBytes) })];
};

export const HEALTH: Shape<OfReplication> = {
  type: 'Microsoft.HyperV.PowerShell.VMReplicationHealth',
  text: ({ machine }) => `VMReplicationHealth (VMName = '${machine.name}') [VMId = '${idOnHosts(machine)}']`,
  properties: {
    ...common,
    CurrentTask: tasks,
    MonitoringStartTime: (of) => date(record(of).statistics.startedMs),
    MonitoringEndTime: ({ at }) => date(at.estate.timeline.now()),
    LastReplicationType: (of) => member('VMReplicationType', record(of).lastType),
    FailedOverReplicationType: (of) => member('VMReplicationType', record(of).failover?.type ?? 'None'),
    LastTestFailoverInitiatedTime: (of) => when(record(of).testedMs),
    LastVSSSnapshotTime: (of) => when(record(of).vssMs),
    InitialReplicationSize: (of) => int(record(of).initialBytes),
    PendingReplicationSize: (of) => int(pending(of)),
    AverageReplicationSize: (of) => int(average(record(of).statistics.sentBytes, of)),
    MaximumReplicationSize: (of) => int(record(of).statistics.largestBytes),
    AverageReplicationLatency: (of) => span(average(record(of).statistics.latencyMs, of)),
    MaximumReplicationLatency: (of) => span(record(of).statistics.longestMs),
    ReplicationErrors: (of) => int(record(of).statistics.errors),
    SuccessfulReplicationCount: (of) => int(record(of).statistics.successful),
    MissedReplicationCount: (of) => int(record(of).statistics.missed),
    ReplicationHealthDetails: (of) => [...healthOf(of.at, record(of)).details],
  },
};

export const replicationObject = (of: OfReplication): PsObject => object(REPLICATION, of, of.machine.id);
export const healthObject = (of: OfReplication): PsObject => object(HEALTH, of, of.machine.id);
