import type { Finding, MachineId, NicId, PlaceId } from './model.ts';
import type { Call } from './plugin.ts';

/**
 * A pair of hosts that replicates by itself (Hyper-V Replica). One end each; the engine holds both sessions and orders the steps.
 * A machine has the same id at both ends, and so have its NICs.
 */
export interface NativePair {
  /** How the other end's host reaches this one, and what is in the way of receiving here. */
  listener(call: Call): Promise<NativeListener>;
  /** At the source, before anything is changed: the connection to the other end is tried, and the machine looked at. */
  checkPair(id: MachineId, to: NativePeer, call: Call): Promise<readonly Finding[]>;
  /** At the source. Makes the replica at the other end, powered off; nothing is copied yet. Succeeds when the machine replicates there already. */
  enable(id: MachineId, to: NativePeer, call: Call): Promise<void>;
  /** At either end, with the other one dead too, and after a failover. The machine stays as it is, running or not. Succeeds when nothing replicates. */
  remove(id: MachineId, call: Call): Promise<void>;
  /** At the source: starts the first copy and answers when it is under way. Succeeds when it is under way or done. */
  seed(id: MachineId, how: NativeSeed, call: Call): Promise<void>;
  /** One for each of the ids, in any order. `none` for a machine that does not replicate; one that is gone is left out. */
  observe(ids: readonly MachineId[], call: Call): AsyncIterable<NativeStatus>;
  /** Answers as things stand after the step was accepted: what it leads to may come later, and is then observed. */
  act(id: MachineId, step: NativeStep, call: Call): Promise<NativeStatus>;
}

export interface NativeListener {
  readonly address: string;
  readonly port: number;
  readonly authentication: readonly NativeSettings['authentication'][];
  readonly findings: readonly Finding[];
}

export interface NativePeer {
  readonly address: string;
  readonly port: number;
  readonly settings: NativeSettings;
}

export interface NativeSettings {
  readonly frequencySeconds: 30 | 300 | 900;
  /** Kept beside the newest state, hourly. */
  readonly points: number;
  /** 0: no application-consistent points. */
  readonly applicationConsistentHours: number;
  readonly compression: boolean;
  readonly authentication: 'kerberos' | 'certificate';
  /** Of a certificate of the source; an end that has none of that name takes the one of its own listener. */
  readonly certificateThumbprint?: string;
}

export type NativeSeed =
  | { readonly by: 'network'; readonly startAt?: string }
  /** Exported to a path that the source host sees; a person brings it to the other end and imports it there. */
  | { readonly by: 'media'; readonly path: string }
  /** The other end has a copy of the machine already: what differs is sent. */
  | { readonly by: 'existing' };

export type NativeStep =
  /** At a source that is off: what the other end lacks is sent, and nothing after it. */
  | { readonly do: 'prepare' }
  /** At the source. */
  | { readonly do: 'pause' | 'resume' | 'resync' }
  /** At the replica, which stays off. Without a point: the newest state. NICs by their ids at the source. */
  | { readonly do: 'failover'; readonly point?: string; readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'> }
  /** At the replica: a second machine, off, which `testMachine` names. Replication goes on. */
  | { readonly do: 'test'; readonly point?: string; readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'> }
  /** At the replica: the test machine is off and goes. */
  | { readonly do: 'endTest' }
  /** At a replica that has failed over and is off, and at a source that is prepared: as if it had not been. */
  | { readonly do: 'cancel' }
  /** At a replica that has failed over, also while it runs: other points go. Where reverse needs no such step first, nothing happens. */
  | { readonly do: 'commit' }
  /** At a replica that has failed over: becomes the source of the old one, which is off. */
  | { readonly do: 'reverse'; readonly to: NativePeer };

export type NativeHealth = 'NotApplicable' | 'Normal' | 'Warning' | 'Critical';

export interface NativeStatus {
  readonly machine: MachineId;
  readonly role: 'source' | 'replica' | 'none';
  /** By its name, as the vendor's cmdlets write it: Replicating, PreparedForFailover, … */
  readonly vendorState: string;
  readonly health: NativeHealth;
  /** The vendor's words for a health that is not Normal. */
  readonly because?: string;
  /** Of a replica: the instant whose state it holds, by the source's clock. From there a failover without a point starts. */
  readonly replicatedAt?: string;
  /** Of a replica: what it keeps beside its newest state. */
  readonly points: readonly NativePoint[];
  readonly testMachine?: MachineId;
  /** What this end accepts just now. */
  readonly allowed: readonly NativeStep['do'][];
}

export interface NativePoint {
  readonly id: string;
  readonly at: string;
  readonly consistency: 'crash' | 'application';
}
