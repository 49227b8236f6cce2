// Hyper-V Replica as each end knows it, as plain data: it is kept in the estate's state file.
import type { MachineId } from '../../../../core/contract/index.ts';
import type { ENUMS } from '../enums.ts';
import type { Hv } from '../model.ts';

export type ReplicationState = keyof typeof ENUMS.VMReplicationState;
export type ReplicationType = keyof typeof ENUMS.VMReplicationType;
export type Authentication = keyof typeof ENUMS.ReplicationAuthenticationType;

/** On `HypervRecord.replicaServer`: of the host, or of all nodes of a cluster. */
export interface ReplicaServerRecord {
  enabled: boolean;
  authentication: keyof typeof ENUMS.RecoveryAuthenticationType;
  kerberosPort: number;
  certificatePort: number;
  /** Of the certificate that the listener shows. */
  thumbprint: string;
  anyServer: boolean;
  storage: string;
  entries: readonly AuthorizationEntry[];
  /** Thumbprints of the certificates in the host's own store. */
  certificates: readonly string[];
}

export interface AuthorizationEntry {
  /** A server's name, or `*.domain`. */
  readonly primary: string;
  readonly storage: string;
  readonly trustGroup: string;
}

export interface ReplicationSettings {
  readonly frequencySec: number;
  /** Points beside the newest state. */
  readonly recoveryHistory: number;
  /** 0: no application-consistent points. */
  readonly vssHours: number;
  readonly compression: boolean;
  readonly authentication: Authentication;
  readonly port: number;
  readonly thumbprint: string;
  readonly autoResync: boolean;
}

export interface PointRecord {
  readonly id: string;
  readonly kind: 'Replica' | 'AppConsistentReplica';
  /** Of the source, by its clock. */
  readonly instantMs: number;
  /** Layers that keep the state, by drive. */
  readonly layers: Readonly<Record<string, string>>;
}

export interface StatisticsRecord {
  startedMs: number;
  successful: number;
  missed: number;
  errors: number;
  sentBytes: number;
  largestBytes: number;
  latencyMs: number;
  longestMs: number;
}

/** A first copy or a resynchronisation: what of the frozen disks has been sent. */
export interface TransferRecord {
  readonly kind: 'initial' | 'resync';
  readonly instantMs: number;
  readonly layers: Readonly<Record<string, string>>;
  readonly totalBytes: number;
  sentBytes: number;
  /** Where it goes on: index of the drive, and offset. */
  drive: number;
  offset: number;
  failures: number;
}

export interface FailoverRecord {
  readonly planned: boolean;
  readonly point?: string;
  /** Keys of the files that the machine writes to meanwhile, and of those under them, by drive. */
  readonly files: Readonly<Record<string, { readonly overlay: string; readonly base: string }>>;
  readonly type: ReplicationType;
}

export interface TestRecord {
  readonly machine: MachineId;
  /** Layers that nothing else keeps. */
  readonly layers: readonly string[];
}

/** On `HvRecord.replication`, at each end by itself. */
export interface ReplicationRecord {
  mode: 'Primary' | 'Replica' | 'TestReplica';
  state: ReplicationState;
  /** The same at both ends. */
  readonly relationship: string;
  settings: ReplicationSettings;
  /** Settings that the other end has not taken yet. */
  update?: ReplicationSettings;
  primaryServer: string;
  replicaServer: string;
  /** Ids of the drives that are replicated: the same at both ends. */
  readonly drives: readonly string[];
  /** What the replica holds, by the source's clock. */
  replicatedMs?: number;
  lastType: ReplicationType;
  vssMs?: number;
  testedMs?: number;
  /** When somebody paused it, and what it goes back to. */
  paused?: { readonly sinceMs: number; readonly from: ReplicationState };
  initialBytes: number;
  statistics: StatisticsRecord;

  /** Of a primary: when its next cycle is due, and the first copy that waits for its time. */
  nextMs?: number;
  seedAtMs?: number;
  transfer?: TransferRecord;
  /** A first copy that was written to a path: the other end imports it from there. */
  exported?: { readonly path: string; readonly instantMs: number; readonly layers: Readonly<Record<string, string>> };

  /** Of a replica. */
  points: readonly PointRecord[];
  /** The last state that was whole, while a resynchronisation overwrites it. */
  whole?: Readonly<Record<string, string>>;
  planned?: boolean;
  failover?: FailoverRecord;
  test?: TestRecord;
}

export type Replicated = Hv & { readonly hv: { replication: ReplicationRecord } };

export const isReplicated = (machine: Hv): machine is Replicated => machine.hv.replication !== undefined;
