/**
 * Facts about an endpoint, not switches: whether a facet exists is said by its presence on the session.
 * The manifest states the most that a plugin can ever do; a session states what holds here and now, never more.
 */
export interface Capabilities {
  /** `none`: the engine finds changes by comparing digests. */
  readonly tracking: 'native' | 'none';
  readonly consistency: readonly ('crash' | 'application')[];
  /** The largest set that one snapshot holds at one instant. */
  readonly atomicity: 'disk' | 'machine' | 'group';
  /** How far an isolated test network reaches. */
  readonly testNetwork: 'host' | 'cluster' | 'site' | 'none';
  readonly power: readonly ('on' | 'off' | 'shutdown')[];
  /** A streaming source that can stay frozen after its last pass: its planned failover needs this. */
  readonly finalFreeze: boolean;
  readonly snapshotSurvivesDisconnect: boolean;
  readonly maxSnapshotsPerMachine: number;
}

/** What a plugin author leaves out gets the weakest promise. */
export const WEAKEST_CAPABILITIES: Capabilities = {
  tracking: 'none',
  consistency: ['crash'],
  atomicity: 'disk',
  testNetwork: 'none',
  power: [],
  finalFreeze: false,
  snapshotSurvivesDisconnect: false,
  maxSnapshotsPerMachine: 1,
};
