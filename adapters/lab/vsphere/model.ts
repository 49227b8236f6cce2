// What a simulated vCenter knows beyond the estate, as plain data: it is kept in the estate's state file.
import type { DiskId } from '../../../core/contract/index.ts';
import type { MoRef, VimArgs, VimMethod, VimResult, VirtualDevice } from '../../vsphere/port.ts';
import type { Estate } from '../estate.ts';
import type { Lie } from '../model.ts';
import type { EndpointRecord } from '../records.ts';

/** On `MachineRecord.vm` of a machine of a vmware endpoint. The machine's id is the value of its reference (`vm-101`). */
export interface VmRecord {
  readonly uuid: string;
  readonly instanceUuid: string;
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
  readonly config: Pick<VmRecord, 'annotation' | 'extraConfig' | 'devices' | 'changeTrackingEnabled'>;
}

/** On `EndpointRecord.vsphere`. */
export interface VcenterRecord {
  readonly instanceUuid: string;
  /** Path of each file on a datastore to the layer that it is: `[ds] vm/vm.vmdk`. Descriptors and other small files have no layer. */
  files: Record<string, { readonly layer?: string; readonly text?: string }>;
  /** Privileges that the account lacks. */
  missingPrivileges: string[];
}

export interface SessionRecord {
  readonly key: string;
  readonly userName: string;
  readonly userAgent: string;
  lastActiveMs: number;
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
}

export interface TaskWork {
  readonly durationMs: number;
  readonly cancelable?: boolean;
  run(): unknown;
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
