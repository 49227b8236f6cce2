import {
  type Call,
  type Capabilities,
  type ConfigField,
  type DiskId,
  type DiskReader,
  DrError,
  definePlugin,
  type Epoch,
  type Extent,
  type Finding,
  type ItemId,
  type Machine,
  type MachineId,
  type NicId,
  type Placed,
  type Plugin,
  type ReplicaDisk,
  type Session,
  type Snapshot,
  type SnapshotId,
  type SnapshotSource,
  type Target,
} from '../../../../core/contract/index.ts';
import { createCall } from '../../../../core/host/call.ts';
import { createHost, type EndpointConfig, type Host, type HostOptions } from '../../../../core/host/host.ts';
import { Registry } from '../../../../core/host/registry.ts';
import type { TraceRecord } from '../../../../core/host/running.ts';
import { Secret } from '../../../../core/host/secret.ts';
import type { ManualClock } from '../../../support/manual-clock.ts';
import { createTestRuntime, type TestRuntime } from '../../../support/runtime.ts';

export const DISK_BYTES = 1_048_576;
export const m1 = 'm1' as MachineId;
export const d1 = 'd1' as DiskId;
export const n1 = 'n1' as NicId;
export const s1 = 's1' as SnapshotId;
export const fence: Epoch = { item: 'i1' as ItemId, epoch: 1, holder: 'site-a' };

export const FULL: Capabilities = {
  tracking: 'native',
  consistency: ['crash', 'application'],
  atomicity: 'machine',
  testNetwork: 'none',
  power: ['on', 'off'],
  finalFreeze: false,
  snapshotSurvivesDisconnect: false,
  maxSnapshotsPerMachine: 4,
};

export const machine = (id: MachineId = m1): Machine => ({
  id,
  name: `name of ${id}`,
  power: 'on',
  labels: {},
  addresses: [],
  spec: {
    firmware: 'uefi',
    cpuCount: 1,
    memoryBytes: 1 << 30,
    guest: { family: 'linux' },
    disks: [{ id: d1, sizeBytes: DISK_BYTES, bus: 'scsi', slot: '0:0', boot: true, logicalSectorBytes: 512, physicalSectorBytes: 4096 }],
    nics: [{ id: n1 }],
  },
});

export const snapshot = (operationId: string, more: Partial<Snapshot> = {}): Snapshot => ({
  id: s1,
  machines: [m1],
  takenAt: '2026-01-01T00:00:00Z',
  operationId,
  atomicity: 'instant',
  consistency: 'crash',
  disks: [{ disk: d1, machine: m1, sizeBytes: DISK_BYTES }],
  specs: new Map([[m1, machine().spec]]),
  ...more,
});

export const placed = (more: Partial<Placed> = {}): Placed => ({
  machine: machine(),
  disks: new Map([[d1, d1]]),
  nics: new Map([[n1, n1]]),
  findings: [],
  ...more,
});

const never = (): Promise<never> => new Promise(() => {});
export const hang = never;

export const until = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

async function* none(): AsyncGenerator<never> {}

export const reader = (more: Partial<DiskReader> = {}): DiskReader => ({
  sizeBytes: DISK_BYTES,
  alignmentBytes: 512,
  maxRequestBytes: 65_536,
  maxInFlight: 4,
  read: async (_offset, into) => void into.fill(7),
  [Symbol.asyncDispose]: async () => {},
  ...more,
});

export const replicaDisk = (more: Partial<ReplicaDisk> = {}): ReplicaDisk => ({
  ...reader(),
  write: async () => {},
  writeZeroes: async () => {},
  flush: async () => {},
  ...more,
});

/** Methods to replace, by facet; a facet given as null is left out. */
export interface Parts {
  readonly capabilities?: Partial<Capabilities>;
  readonly check?: (call: Call) => Promise<readonly Finding[]>;
  readonly inventory?: Partial<Session['inventory']>;
  readonly power?: Partial<NonNullable<Session['power']>> | null;
  readonly source?: Partial<SnapshotSource>;
  readonly target?: Partial<Target>;
  readonly dispose?: () => Promise<void>;
}

export const session = (parts: Parts = {}): Session => ({
  capabilities: { ...FULL, ...parts.capabilities },
  check: parts.check ?? (async () => []),
  inventory: {
    listMachines: async function* () {
      yield machine();
    },
    getMachine: async (id) => machine(id),
    listPlaces: none,
    checkProtectable: async () => [],
    ...parts.inventory,
  },
  ...(parts.power === null ? {} : { power: { set: async () => {}, ...parts.power } }),
  source: {
    kind: 'snapshot',
    enableTracking: async () => [],
    disableTracking: async () => {},
    createSnapshot: async (_ids, _want, call) => snapshot(call.operationId),
    listSnapshots: none,
    releaseSnapshot: async () => {},
    changedExtents: none,
    allocatedExtents: none,
    openReader: async () => reader(),
    keepBaselines: async () => {},
    ...parts.source,
  },
  target: {
    createReplica: async () => placed(),
    adoptReplica: async () => placed(),
    reshapeReplica: async () => placed(),
    deleteReplicaDisk: async () => {},
    openReplicaDisk: async () => replicaDisk(),
    ...parts.target,
  },
  [Symbol.asyncDispose]: parts.dispose ?? (async () => {}),
});

export async function* extents(...list: readonly (readonly [number, number])[]): AsyncGenerator<Extent> {
  for (const [offset, length] of list) yield { offset, length };
}

export const lost = (): DrError => new DrError('CONNECTION_LOST', 'the peer hung up');

export interface Bench {
  readonly host: Host;
  readonly runtime: TestRuntime & { readonly clock: ManualClock };
  readonly clock: ManualClock;
  readonly traces: TraceRecord[];
  readonly endpoint: EndpointConfig;
  /** Connections made so far. */
  readonly connects: () => number;
  call(options?: Parameters<typeof createCall>[1]): Call;
}

export interface BenchOptions extends Partial<HostOptions> {
  /** What the n-th connect gives, from 1 on. */
  readonly connect?: (nth: number, config: Readonly<Record<string, unknown>>, call: Call) => Promise<Session>;
  readonly parts?: Parts;
  readonly config?: readonly ConfigField[];
  readonly endpoint?: Partial<EndpointConfig>;
}

/** A host with one plugin, `fake`, on a manual clock. */
export const createBench = (options: BenchOptions = {}): Bench => {
  const runtime = createTestRuntime();
  const traces: TraceRecord[] = [];
  let connects = 0;
  const plugin: Plugin = definePlugin({
    id: 'fake',
    displayName: 'Fake',
    config: options.config ?? [],
    capabilities: FULL,
    connect: (config, _host, call) => {
      connects++;
      return options.connect?.(connects, config, call) ?? Promise.resolve(session(options.parts));
    },
  });
  const host = createHost({
    registry: new Registry([plugin]),
    runtime,
    resolveSecret: async () => new Secret('hunter2-secret'),
    ownerId: 'owner-1',
    scratchDir: '/nowhere',
    random: runtime.random,
    trace: (record) => void traces.push(record),
    ...options,
  });
  const endpoint = { id: 'ep1', plugin: 'fake', config: {}, ...options.endpoint };
  return { host, runtime, clock: runtime.clock, traces, endpoint, connects: () => connects, call: (more) => createCall(runtime, more) };
};

/** The error of a promise that must fail. */
export const failureOf = async (promise: Promise<unknown>): Promise<DrError> => {
  try {
    await promise;
  } catch (error) {
    return error as DrError;
  }
  throw new Error('it did not fail');
};

export const collect = async <T>(stream: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const element of stream) all.push(element);
  return all;
};
