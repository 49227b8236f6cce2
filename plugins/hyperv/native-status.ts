// What Hyper-V Replica says about machines, in one request for each host.
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import {
  type Call,
  isDrError,
  type MachineId,
  type NativeHealth,
  type NativePoint,
  type NativeStatus,
  type NativeStep,
} from '../../core/contract/index.ts';
import type { Fabric } from './fabric.ts';
import { powerOf } from './machine.ts';
import { member, text, texts } from './rows.ts';

/** What the answer to a step depends on, beyond what a status says. */
export interface Native {
  readonly host: string;
  readonly status: NativeStatus;
  /** Whose state the replica took over, of a failover after a preparation. */
  readonly planned: boolean;
  /** How this host calls the other end. */
  readonly replicaServer: string;
}

/** Thousands of machines are measured one after the other. */
const LOOK_MS = 120_000;

const REPLICATION = ['VMId', 'ReplicaServerName', 'LastReplicationTime', 'TestVirtualMachine.Id'] as const;
const HEALTH = ['VMId', 'ReplicationHealthDetails', 'FailedOverReplicationType'] as const;

/** Without a machine the cmdlets speak of those of the host that replicate. */
const STEPS: readonly Step[] = [
  { cmdlet: 'Get-VM', params: {}, select: ['Id', 'State', 'ReplicationMode', 'ReplicationState', 'ReplicationHealth'] },
  { cmdlet: 'Get-VMReplication', params: {}, select: REPLICATION, collect: true },
  { cmdlet: 'Measure-VMReplication', params: {}, select: HEALTH, collect: true },
];

/** A host without replicas is not asked. */
const POINTS: readonly Step[] = [
  { cmdlet: 'Get-VM', params: {} },
  {
    cmdlet: 'Get-VMSnapshot',
    params: { VM: { $step: 0, $where: { property: 'ReplicationMode', is: 'Replica' } } },
    select: ['VMId', 'Id', 'SnapshotType', 'CreationTime'],
    collect: true,
  },
];

const idOf = (row: PsRow, name: string): MachineId => text(row, name).toLowerCase() as MachineId;

/** Those of a host that were asked for. */
export const lookAtNative = async (fabric: Fabric, host: string, ids: ReadonlySet<MachineId>, call: Call): Promise<Native[]> => {
  const [all, relations, measured] = await fabric.run(host, STEPS, call, LOOK_MS);
  const vms = (all?.rows ?? []).filter((vm) => ids.has(idOf(vm, 'Id')));
  const by = (rows: readonly PsRow[] | undefined) => new Map((rows ?? []).map((row) => [idOf(row, 'VMId'), row]));
  const [relationOf, healthOf] = [by(relations?.rows), by(measured?.rows)];
  const snapshots = vms.some((vm) => roleOf(vm) === 'replica') ? await pointsAt(fabric, host, call) : [];
  const pointsOf = Map.groupBy(snapshots, (row) => idOf(row, 'VMId'));
  return vms.map((vm) => {
    const id = idOf(vm, 'Id');
    return nativeOf(host, { vm, relation: relationOf.get(id), health: healthOf.get(id), snapshots: pointsOf.get(id) ?? [] });
  });
};

const pointsAt = async (fabric: Fabric, host: string, call: Call): Promise<readonly PsRow[]> => {
  try {
    return await fabric.rows(host, POINTS, call, LOOK_MS);
  } catch (error) {
    // The last replica has gone in between.
    if (isDrError(error, 'NOT_FOUND')) return [];
    throw error;
  }
};

interface Rows {
  readonly vm: PsRow;
  readonly relation: PsRow | undefined;
  readonly health: PsRow | undefined;
  readonly snapshots: readonly PsRow[];
}

const ROLES: Readonly<Record<string, NativeStatus['role']>> = { Primary: 'source', Replica: 'replica', ExtendedReplica: 'replica' };

const roleOf = (vm: PsRow): NativeStatus['role'] => ROLES[member(vm, 'ReplicationMode')] ?? 'none';

const nativeOf = (host: string, { vm, relation, health, snapshots }: Rows): Native => {
  const id = idOf(vm, 'Id');
  const role = roleOf(vm);
  const vendorState = role === 'none' ? 'Disabled' : member(vm, 'ReplicationState');
  const because = health ? texts(health, 'ReplicationHealthDetails').join(' ') : '';
  const replicatedAt = role === 'replica' && relation ? text(relation, 'LastReplicationTime') : '';
  const test = relation ? text(relation, 'TestVirtualMachine.Id').toLowerCase() : '';
  const planned = health !== undefined && member(health, 'FailedOverReplicationType') === 'Planned';
  const status: NativeStatus = {
    machine: id,
    role,
    vendorState,
    health: role === 'none' ? 'NotApplicable' : (member(vm, 'ReplicationHealth') as NativeHealth),
    ...(because === '' ? {} : { because }),
    ...(replicatedAt === '' ? {} : { replicatedAt }),
    points: role === 'replica' ? pointsIn(snapshots) : [],
    ...(test === '' ? {} : { testMachine: test as MachineId }),
    allowed: allowedFor({
      role,
      state: vendorState,
      isOff: powerOf(vm) === 'off',
      holds: replicatedAt !== '',
      isTested: test !== '',
      planned,
    }),
  };
  return { host, status, planned, replicaServer: relation ? text(relation, 'ReplicaServerName') : '' };
};

const CONSISTENCY: Readonly<Record<string, NativePoint['consistency']>> = {
  Replica: 'crash',
  SyncedReplica: 'crash',
  AppConsistentReplica: 'application',
};

const pointsIn = (snapshots: readonly PsRow[]): NativePoint[] =>
  snapshots
    .flatMap((row): NativePoint[] => {
      const consistency = CONSISTENCY[member(row, 'SnapshotType')];
      return consistency === undefined ? [] : [{ id: text(row, 'Id').toLowerCase(), at: text(row, 'CreationTime'), consistency }];
    })
    .toSorted((a, b) => a.at.localeCompare(b.at));

interface Standing {
  readonly role: NativeStatus['role'];
  readonly state: string;
  readonly isOff: boolean;
  /** A state that is whole. */
  readonly holds: boolean;
  readonly isTested: boolean;
  readonly planned: boolean;
}

type Verb = NativeStep['do'];

const OF_SOURCE: Readonly<Record<string, readonly Verb[]>> = {
  Replicating: ['pause', 'resync'],
  InitialReplicationInProgress: ['pause'],
  ReadyForInitialReplication: ['resync'],
  Suspended: ['resume', 'resync'],
  Error: ['resume', 'resync'],
  WaitingForStartResynchronize: ['resync'],
  Resynchronizing: ['pause'],
  ResynchronizeSuspended: ['resume', 'resync'],
  PreparedForFailover: ['cancel'],
};

const FAILS_OVER = ['Replicating', 'Suspended', 'Error', 'Resynchronizing', 'ResynchronizeSuspended', 'WaitingForStartResynchronize'];

/** What a host accepts in which state (Hyper-V Replica of Windows Server 2016 to 2025). */
export const allowedFor = ({ role, state, isOff, holds, isTested, planned }: Standing): readonly Verb[] => {
  if (role === 'source') return [...(OF_SOURCE[state] ?? []), ...(state === 'Replicating' && isOff ? (['prepare'] as const) : [])];
  if (role === 'none') return [];
  if (isTested) return ['endTest'];
  if (state === 'FailedOver') return ['reverse'];
  if (state === 'FailedOverWaitingCompletion')
    return ['commit', ...(isOff ? (['cancel'] as const) : []), ...(planned ? (['reverse'] as const) : [])];
  return holds && FAILS_OVER.includes(state) ? ['failover', 'test'] : [];
};

/** In any order. A machine that no host knows is left out, once every host has answered. */
export async function* lookForNative(fabric: Fabric, ids: readonly MachineId[], call: Call): AsyncGenerator<Native> {
  const asked = new Set(ids.map((id) => id.toLowerCase() as MachineId));
  const hosts = await fabric.hosts(call);
  const answers = await Promise.allSettled(hosts.map((host) => lookAtNative(fabric, host, asked, call)));
  call.signal.throwIfAborted();
  for (const answer of answers) {
    if (answer.status === 'rejected') continue;
    for (const one of answer.value) {
      // A machine that moved between two answers is in both.
      if (!asked.delete(one.status.machine)) continue;
      fabric.note(one.status.machine, one.host);
      yield one;
    }
  }
  const silent = answers.find((answer) => answer.status === 'rejected');
  if (asked.size > 0 && silent) throw silent.reason;
}
