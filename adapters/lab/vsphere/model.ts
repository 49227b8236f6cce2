// What a simulated vCenter knows beyond the estate, as plain data: it is kept in the estate's state file.
import type { DiskId, MachineSpec, PlaceId } from '../../../core/contract/index.ts';
import type { MoRef, VimArgs, VimMethod, VimResult, VirtualDevice } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import type { Lie } from '../model.ts';
import type { EndpointRecord } from '../records.ts';

/** On `MachineRecord.vm` of a machine of a vmware endpoint. The machine's id is the value of its reference (`vm-101`). */
export interface VmRecord {
  uuid: string;
  instanceUuid: string;
  /** Changes with each change of the configuration. */
  changeVersion: number;
  annotation: string;
  extraConfig: Record<string, string>;
  hardwareVersion: string;
  guestId: string;
  changeTrackingEnabled: boolean;
  /** All of them: controllers, disks, network cards and what else a machine has. Disks and cards are kept equal to the machine's spec. */
  devices: VirtualDevice[];
  snapshots: VmSnapshotRecord[];
  /** The snapshot under the live disks. */
  currentSnapshot?: string;
  consolidationNeeded: boolean;
  /** Folder on its datastore: `[ds] name`. */
  homePath: string;
  /** Values of the references of its folder (`group-v1009`) and of its resource pool; absent: the root ones. See objects.ts. */
  folder?: string;
  pool?: string;
  /** The disk that the firmware starts from, where it is not the first. */
  bootDiskKey?: number;
  secureBoot?: boolean;
  /** It was enabled while snapshots existed: its answers miss changes, and nothing says so. */
  trackingBlind?: boolean;
  /** Addresses that the guest takes at its next start. */
  customization?: { readonly addresses: readonly string[] };
  /** The boot that the cards' connections are of: at each new one they follow `startConnected`. */
  connectedAtMs?: number;
}

export interface VmSnapshotRecord {
  /** Value of its reference (`snapshot-12`). */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly createTime: string;
  readonly quiesced: boolean;
  readonly parent?: string;
  readonly disks: readonly {
    readonly disk: DiskId;
    readonly key: number;
    /** The layer that the snapshot froze. */
    readonly layer: string;
    readonly capacityBytes: number;
    readonly changeId?: string;
  }[];
  /** The machine's configuration at that instant: a revert brings it back whole, extraConfig and notes too. */
  readonly config: Pick<VmRecord, 'annotation' | 'extraConfig' | 'devices' | 'changeTrackingEnabled'> & { readonly spec: MachineSpec };
  readonly state: 'poweredOn' | 'poweredOff';
}

/** On `EndpointRecord.vsphere`. */
export interface VcenterRecord {
  readonly instanceUuid: string;
  /** Path of each file on a datastore to the layer that it is: `[ds] vm/vm.vmdk`. Small files have a text; one that has neither was destroyed under a machine that still names it. */
  files: Record<string, DatastoreFile>;
  folders: string[];
  /** `uplinks` is empty for a switch from which nothing leaves the host. */
  switches: { readonly host: PlaceId; readonly name: string; readonly uplinks: readonly string[] }[];
  /** A Network is there while a host has a port group of its name. */
  portGroups: { readonly host: PlaceId; readonly name: string; readonly vswitch: string; readonly vlanId: number }[];
  leases: LeaseRecord[];
  /** Privileges that the account lacks. */
  missingPrivileges: string[];
  /** A session ends after so long without a call; 30 minutes unless set. */
  sessionIdleMs?: number;
  /** Log-ins beyond so many sessions get HTTP 503; 3,000 unless set (a cap since 8.0 U3, Broadcom KB 375546). */
  maxSessions?: number;
}

export interface DatastoreFile {
  readonly layer?: string;
  readonly text?: string;
  /** Identity of a virtual disk, which follows its file. */
  readonly uuid?: string;
}

/** Permission to carry disks over HTTP: out of a machine or a snapshot, or into a machine that was just made. */
export interface LeaseRecord {
  /** Value of its reference (`session[…]…`). */
  readonly id: string;
  readonly mode: 'export' | 'import';
  readonly entity: MoRef;
  state: 'ready' | 'done' | 'error';
  /** Time of the estate at which it ends unless progress is told. */
  expiresAtMs: number;
  percent: number;
  error?: { readonly type: string; readonly message: string };
  readonly disks: readonly { readonly key: string; readonly layer: string; readonly disk: DiskId; readonly deviceKey: number }[];
}

export interface SessionRecord {
  readonly key: string;
  readonly userName: string;
  readonly userAgent: string;
  readonly loginMs: number;
  lastActiveMs: number;
  callCount: number;
}

/** One call on the simulated vCenter. What is synchronous in a handler is one instant of the estate. */
export interface VimContext {
  readonly estate: Estate;
  readonly endpoint: EndpointRecord;
  readonly session: SessionRecord | undefined;
  readonly lies: ReadonlySet<Lie>;
  readonly signal?: AbortSignal | undefined;
  /** Starts a task that ends after some of the estate's time; `run` takes effect at its end. A fault that `run` throws is the task's error. */
  startTask(descriptionId: string, entity: MoRef, work: TaskWork): MoRef;
  /** A task on the entity that has not ended. */
  runningTask(entity: MoRef): MoRef | undefined;
  /** Throws NoPermission when the account lacks the privilege. A method's one fixed privilege is checked before its handler. */
  requirePrivilege(privilege: string, on: MoRef): void;
}

export interface TaskWork {
  readonly durationMs: number;
  readonly cancelable?: boolean;
  /** Its value is the task's result: a MoRef, or an object with its `$type`. Whatever it changes it tells by `estate.touch` or `estate.revision++`. */
  run(): unknown;
  /** Called exactly once, however the task ends: done, failed, cancelled, lost. */
  ended?(): void;
}

export type VimHandler<M extends VimMethod> = (context: VimContext, on: MoRef, args: VimArgs<M>) => VimResult<M> | Promise<VimResult<M>>;
export type VimHandlers = { readonly [M in VimMethod]?: VimHandler<M> };

/** Values of a managed object's top-level properties, computed when asked for. Undefined: the object has no value there. */
export type PropertySource = (context: Pick<VimContext, 'estate' | 'endpoint'>, on: MoRef, property: string) => unknown;

/** Thrown by handlers: becomes a SOAP fault, or a task's error. */
export class VimFaultError extends Error {
  readonly type: string;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(type: string, message: string, detail: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'VimFaultError';
    this.type = type;
    this.detail = detail;
  }
}
