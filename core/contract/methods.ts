// The contract's methods as data. Guard, retry, limits, traces, conformance kit and docs read this table: nobody forwards methods by hand.

export interface Method {
  /** `call`: one promise. `stream`: an async iterable. `open`: a promise of a disposable with methods of its own. */
  readonly shape: 'call' | 'stream' | 'open';
  /** May be sent again after a lost answer. */
  readonly idempotent: boolean;
  /** Makes something that must be found again by its operationId. */
  readonly creates: boolean;
  /** Needs `call.fence`: it powers on, attaches, writes or deletes. */
  readonly fenced: boolean;
  readonly deadline: DeadlineClass;
}

/** `quick`: answers about state. `task`: a task at the hypervisor. `guest`: waits for a guest. `data`: one read or write. `merge`: as long as data takes to move. */
export type DeadlineClass = 'quick' | 'task' | 'guest' | 'data' | 'merge';

export const DEADLINE_MS: Readonly<Record<DeadlineClass, number>> = {
  quick: 30_000,
  task: 300_000,
  guest: 600_000,
  data: 60_000,
  merge: 4 * 3_600_000,
};

const call = (deadline: DeadlineClass, more: Partial<Method> = {}): Method => ({
  shape: 'call',
  idempotent: true,
  creates: false,
  fenced: false,
  deadline,
  ...more,
});
const stream = (deadline: DeadlineClass): Method => ({ shape: 'stream', idempotent: true, creates: false, fenced: false, deadline });
const open = (deadline: DeadlineClass, more: Partial<Method> = {}): Method => ({
  shape: 'open',
  idempotent: true,
  creates: false,
  fenced: false,
  deadline,
  ...more,
});

/** By facet. The names of the facets are those of the session's members; `reader` and `disk` are what the `open` methods give. */
export const METHODS = {
  session: { check: call('quick') },
  inventory: {
    listMachines: stream('quick'),
    getMachine: call('quick'),
    listPlaces: stream('quick'),
    checkProtectable: call('quick'),
    watch: stream('quick'),
  },
  power: { set: call('guest', { fenced: true }) },
  source: {
    enableTracking: call('task'),
    disableTracking: call('task'),
    createSnapshot: call('task', { creates: true }),
    listSnapshots: stream('quick'),
    releaseSnapshot: call('merge'),
    changedExtents: stream('quick'),
    allocatedExtents: stream('quick'),
    openReader: open('task'),
    keepBaselines: call('task'),
    capture: stream('merge'),
  },
  target: {
    createReplica: call('task', { creates: true, fenced: true }),
    adoptReplica: call('task', { fenced: true }),
    reshapeReplica: call('task', { fenced: true }),
    deleteReplicaDisk: call('task', { fenced: true }),
    deleteReplica: call('task', { fenced: true }),
    openReplicaDisk: open('task', { fenced: true }),
  },
  forks: {
    create: call('task', { creates: true, fenced: true }),
    openDisk: open('task', { fenced: true }),
    promote: call('merge', { fenced: true }),
    discard: call('merge', { fenced: true }),
    list: stream('quick'),
  },
  network: {
    connectNic: call('task', { fenced: true }),
    createTestNetwork: call('task', { creates: true }),
    deleteTestNetwork: call('task'),
    setGuestAddresses: call('guest', { fenced: true }),
  },
  fence: { read: call('quick'), advance: call('quick'), isolate: call('task', { fenced: true }) },
  nativePair: {
    listener: call('quick'),
    checkPair: call('task'),
    enable: call('task', { fenced: true }),
    remove: call('task', { fenced: true }),
    seed: call('task', { fenced: true }),
    observe: stream('quick'),
    act: call('guest', { idempotent: false, fenced: true }),
  },
  reader: { read: call('data'), digests: stream('data') },
  disk: { write: call('data', { fenced: true }), writeZeroes: call('data', { fenced: true }), flush: call('data', { fenced: true }) },
} as const satisfies Record<string, Record<string, Method>>;

export type Facet = keyof typeof METHODS;

/** Facets of an endpoint, as conformance cases and `plugin show` name them. */
export type FacetName = 'power' | 'source:snapshot' | 'source:streaming' | 'target' | 'forks' | 'network' | 'fence' | 'nativePair';
