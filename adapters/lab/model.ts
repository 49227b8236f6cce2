// The data of the lab's control: how an estate is described, broken, looked at and judged.
import type { DiskId, ErrorCode, ForkId, MachineId, SnapshotId } from '../../core/contract/index.ts';
import type { ProfileName } from './port.ts';

/** A state of disks that the lab can judge. `replica` is the base under a fork, `machine` what the machine itself sees. */
export type StateRef =
  | { readonly machine: MachineId }
  | { readonly replica: MachineId }
  | { readonly fork: ForkId }
  | { readonly snapshot: SnapshotId; readonly machine?: MachineId };

export interface DiskDigest {
  readonly disk: DiskId;
  readonly sizeBytes: number;
  /** SHA-256 over the offsets and contents of the blocks that are not zero: allocation does not show. */
  readonly digest: string;
}

export interface Verdict {
  /** `guest`: our mini database; `foreign`: other content; `empty`: nothing but zeros. */
  readonly kind: 'guest' | 'foreign' | 'empty';
  readonly consistent: boolean;
  /** What no crash could have left; each begins with the rule that is broken (R1-R4). */
  readonly problems: readonly string[];
  readonly identity?: string;
  /** The newest transaction in the log, and when it was written. */
  readonly sequence?: number;
  readonly writtenAt?: string;
}

export interface StateReport {
  readonly verdict: Verdict;
  readonly digests: readonly DiskDigest[];
}

/** What the guest had truly written at the instant of a snapshot or of a final pass. */
export interface Truth {
  readonly operationId: string;
  readonly snapshot?: SnapshotId;
  readonly takenAt: string;
  readonly machine: MachineId;
  readonly digests: readonly DiskDigest[];
  readonly sequence?: number;
}

interface ComparedSubject {
  readonly machine: MachineId;
  readonly name: string;
  readonly endpoint: string;
  readonly power: 'on' | 'off';
  /** It has a way into production networks. */
  readonly production: boolean;
  /** The newest one in its log. */
  readonly transactions: number;
  /** As of a verdict. */
  readonly problems: readonly string[];
}

export interface Compared extends ComparedSubject {
  /** The newest transaction that it has in common with what it is held against; absent when the logs do not reach each other any more. */
  readonly common?: number;
  /** What differs and was written by no transaction after that one, in whole sectors. */
  readonly differingBytes: number;
}

/** Copies of one guest. */
export interface Comparison {
  readonly against: ComparedSubject;
  readonly copies: readonly Compared[];
}

/**
 * `twoLive`: two copies of one guest can reach production. `parentWritten`: somebody wrote to a disk that others stand on, which are worth nothing
 * from then on; `identity` is its path.
 */
export interface Violation {
  readonly kind: 'twoLive' | 'parentWritten';
  readonly at: string;
  readonly identity: string;
  readonly machines: readonly { readonly machine: MachineId; readonly endpoint: string; readonly name: string }[];
}

export interface MachineStatus {
  readonly machine: MachineId;
  readonly endpoint: string;
  readonly site: string;
  readonly name: string;
  readonly role: 'machine' | 'replica' | 'fork';
  readonly power: 'on' | 'off';
  readonly guestUp: boolean;
  readonly frozen: boolean;
  readonly bootFailure?: string;
  readonly identity?: string;
  readonly transactions: number;
  readonly writes: number;
  readonly paused: boolean;
  readonly writesPerSecond: number;
  readonly tracked: boolean;
}

export interface EstateStatus {
  readonly now: string;
  readonly sites: readonly { readonly name: string; readonly burned: boolean; readonly linkCut: boolean | 'silent' }[];
  readonly endpoints: readonly { readonly name: string; readonly site: string; readonly profile: ProfileName; readonly machines: number }[];
  readonly machines: readonly MachineStatus[];
  readonly violations: readonly Violation[];
  /** What installations have made and not removed yet. */
  readonly leftovers: readonly {
    readonly owner: string;
    readonly kind: 'snapshot' | 'fork' | 'replica' | 'testNetwork';
    readonly id: string;
  }[];
}

export const LIES = ['skipDirtyRange', 'halfData', 'resetBaseline', 'tornSnapshot', 'noFlush', 'liveCopy'] as const;
/**
 * Negative controls, each for the method where it makes sense. `skipDirtyRange`: changedExtents leaves a range out. `halfData`: the second half of a read is zero.
 * `resetBaseline`: a tracker that was reset answers as if nothing had happened. `tornSnapshot`: disks at different times.
 * `noFlush`: a flush does nothing. `liveCopy`: the snapshot shows the live disk.
 */
export type Lie = (typeof LIES)[number];

/** `inTask`: the call starts its task, and the task ends with the error. */
export type InjectedError =
  | { readonly error: ErrorCode; readonly message?: string; readonly inTask?: boolean }
  /** A vendor's fault by name, on the vendor's own wire (methods `vim.*`); `detail`: its fields. */
  | {
      readonly vimFault: string;
      readonly detail?: Readonly<Record<string, unknown>>;
      readonly message?: string;
      readonly inTask?: boolean;
    };

export type FaultAct =
  | InjectedError
  /** The answer, or the end of the task that the call starts, never comes. */
  | { readonly stall: true }
  | { readonly delayMs: number }
  /** The connection drops; with `after` the call has taken effect. */
  | { readonly cut: 'before' | 'after' }
  /** The endpoint's hosts lose power: machines off, trackers as on a power cut, writes that were not flushed lost in part. */
  | { readonly crash: 'before' | 'after' }
  | { readonly lie: Lie }
  /** On the wire of Hyper-V (methods `ps.*`). The host's management service stops, for so long: whatever it serves answers ResourceUnavailable. */
  | { readonly vmmsStopsMs: number }
  /** The job that the call starts ends in this state, with this error code. */
  | { readonly job: { readonly state: 10 | 32768; readonly errorCode: number } }
  /** The merge that the call starts never ends. */
  | { readonly mergeStalls: true }
  /** The machines that the call names move to another node, before or after it. */
  | { readonly moves: 'before' | 'after' };

export interface FaultRule {
  readonly id?: string;
  /**
   * A method of EstateMethods, or one on the wire of a simulated vendor (`vim.CreateSnapshot_Task`), or a prefix ending in `*`.
   * Methods of the control are never matched.
   */
  readonly method: string;
  readonly endpoint?: string;
  readonly machine?: string;
  /** Acts on the n-th match (from 1), once. */
  readonly nth?: number;
  /** Acts on each match with this probability, by the estate's seed. */
  readonly probability?: number;
  /** Ends after so many acts; `nth` means 1. */
  readonly times?: number;
  readonly act: FaultAct;
}

export interface EstateSpec {
  readonly sites: readonly SiteSpec[];
}
export interface SiteSpec {
  readonly name: string;
  readonly endpoints: readonly EndpointSpec[];
}
export interface EndpointSpec {
  readonly name: string;
  readonly profile: ProfileName;
  readonly username?: string;
  readonly password?: string;
  readonly networks: readonly string[];
  readonly storage: readonly { readonly name: string; readonly capacityBytes: number }[];
  readonly hosts?: readonly string[];
  readonly pools?: readonly string[];
  /** Path-like: 'dc-1/vm/prod' makes the folders on the way. */
  readonly folders?: readonly string[];
  readonly machines?: readonly MachineSeed[];
  /** Of a hyperv endpoint: one host, a failover cluster, or a VMM server over hosts. Unless told: a VMM server when it has pools, a cluster when it has several hosts. */
  readonly hyperv?: { readonly kind: 'host' | 'cluster' | 'vmm' };
}
export interface MachineSeed {
  readonly name: string;
  readonly family?: 'windows' | 'linux' | 'other';
  readonly firmware?: 'bios' | 'uefi';
  readonly cpuCount?: number;
  readonly memoryBytes?: number;
  /** The first is the boot disk. `contentBytes`: seeded content beside the database. With two disks the log is on the first, the pages on the second. */
  readonly disks: readonly { readonly sizeBytes: number; readonly contentBytes?: number }[];
  readonly nics?: number;
  readonly addresses?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly power?: 'on' | 'off';
  readonly autostart?: boolean;
  readonly writesPerSecond?: number;
  readonly bootDelayMs?: number;
  readonly shutdownDelayMs?: number;
  readonly refusesShutdown?: boolean;
  /** `none`: an empty disk, nothing boots. */
  readonly workload?: 'database' | 'none';
  readonly protectedElsewhere?: string;
}
