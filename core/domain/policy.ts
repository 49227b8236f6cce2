import type { NativeSettings } from '../contract/index.ts';
import type { ReplicationMethod } from './item.ts';

/** How the first copy of a native pair gets to the replica host. */
export type InitialCopy =
  | { readonly by: 'network' }
  | { readonly by: 'schedule'; readonly startAt: string }
  /** Written to `path`, which the source host sees; brought to the replica host and imported there by a person. */
  | { readonly by: 'media'; readonly path: string }
  /** A restored copy with the machine's own id is at the replica host already. */
  | { readonly by: 'existing' };

export interface NativePolicy extends NativeSettings {
  readonly initialCopy: InitialCopy;
}

/** A reusable replication policy. */
export interface ReplicationPolicy {
  readonly name: string;
  readonly method: ReplicationMethod;
  /** Present with the method native: in place of interval, retention and consistency, which are the hosts' there. */
  readonly native?: NativePolicy;
  /** The promise: the planner's deadline. A newest point older than this is an RPO violation. */
  readonly rpoSeconds: number;
  /** A floor between the starts of two cycles, not a promise. */
  readonly intervalSeconds: number;
  readonly retention: { readonly points: number; readonly hours: number };
  readonly consistency: 'crash' | 'application';
  /** What happens when application consistency cannot be had (P3). */
  readonly orElse: 'crash' | 'refuse';
  /** How often an application-consistent point is tried; 0: each cycle. */
  readonly applicationIntervalSeconds: number;
  /** A source snapshot older than this is given up (T6). */
  readonly maxSnapshotSeconds: number;
  /** No snapshot is taken, and none is kept, while less than this share of the machine's disks is free at their storage; 0: not looked at (T6). */
  readonly sourceFreePercent: number;
  /** The longest freeze of a streaming source's final pass. */
  readonly maxFreezeMs: number;
  /** A proof of recoverability older than this is a health reason. */
  readonly proofDays: number;
  /** The sealed points that may wait for their apply while a test runs (V8). */
  readonly testBacklogPoints: number;
  /** A resumed step that powers, attaches, writes or deletes and is older than this waits for a person (F5). */
  readonly resumeWithinMinutes: number;
}

export const DEFAULT_POLICY: ReplicationPolicy = {
  name: 'default',
  method: 'journaled',
  rpoSeconds: 300,
  intervalSeconds: 60,
  retention: { points: 24, hours: 24 },
  consistency: 'crash',
  orElse: 'crash',
  applicationIntervalSeconds: 3_600,
  maxSnapshotSeconds: 14_400,
  sourceFreePercent: 2,
  maxFreezeMs: 10_000,
  proofDays: 90,
  testBacklogPoints: 200,
  resumeWithinMinutes: 720,
};

export interface ProtectionGroup {
  readonly id: string;
  readonly name: string;
  readonly policy: string;
  readonly fromSite: string;
  readonly toSite: string;
  readonly createdAt: string;
}

export type MappingKind = 'network' | 'storage' | 'folder' | 'host';

/** Source place to target place. `fromPlace` may be '*': everything that has no line of its own. */
export interface Mapping {
  readonly kind: MappingKind;
  readonly fromEndpoint: string;
  readonly fromPlace: string;
  readonly toEndpoint: string;
  readonly toPlace: string;
  /** Networks only: where test failovers go. Absent: an isolated network is made. */
  readonly testPlace?: string;
  /** What the places were called when the mapping was set: for people, who do not know ids. */
  readonly fromName?: string;
  readonly toName?: string;
  readonly testName?: string;
}

/** A standing order: machines with a label are protected, also those that get it later. It never ends a protection. */
export interface ProtectionRule {
  readonly name: string;
  /** `KEY=VALUE`, or a value that any label has. */
  readonly label: string;
  readonly policy: string;
  /** The recovery site. */
  readonly to: string;
  /** Only machines of this endpoint. */
  readonly endpoint?: string;
  /** The endpoint at the recovery site. */
  readonly target?: string;
  /** All in this group; absent: each in a group of its own. */
  readonly group?: string;
  /** Somebody has ended their protection since the rule was made: left alone until somebody protects them. */
  readonly except: readonly { readonly endpoint: string; readonly machine: string }[];
}

/** What a rule could not do when it last looked. */
export interface RuleSeen {
  readonly at: string;
  readonly waiting: readonly RuleWait[];
}
export interface RuleWait {
  /** The machine; absent: an endpoint as a whole could not be looked at. */
  readonly machine?: string;
  readonly name: string;
  readonly endpoint: string;
  readonly because: string;
  readonly hint: string;
}

export interface EndpointRecord {
  readonly id: string;
  readonly site: string;
  readonly plugin: string;
  /** Secret fields hold references, never values. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
}

export interface SiteRecord {
  readonly id: string;
  readonly name: string;
}

/** Boot groups over groups and machines of any mix of hypervisors, in order. */
export interface RecoveryPlan {
  readonly name: string;
  readonly steps: readonly PlanStep[];
}
export type PlanStep = { readonly boot: readonly string[] } | { readonly waitSeconds: number };
