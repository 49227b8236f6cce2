// What a plugin may be asked and may answer, per method. The guard applies these; each names the numbers that do not fit.
import type {
  Capabilities,
  DiskId,
  Extent,
  Finding,
  Forks,
  Inventory,
  Machine,
  MachineId,
  MachineSpec,
  NativePair,
  NativeStatus,
  Network,
  NicSpec,
  Pass,
  Placed,
  Power,
  Session,
  Snapshot,
  SnapshotId,
  SnapshotSource,
  StreamingSource,
  Target,
} from '../contract/index.ts';

/** Throws CONTRACT_VIOLATED; the problem goes on after the name of the plugin and the method. */
export type Fail = (problem: string) => never;

/** Sizes as the snapshots of an endpoint stated them: the bound of every extent that is read from them. */
export type DiskSizes = Map<SnapshotId, ReadonlyMap<DiskId, number>>;

export interface Facts {
  readonly sizes: DiskSizes;
  readonly capabilities: Capabilities;
}

export interface ElementCheck<E> {
  element(element: E): void;
  /** The stream ended by itself. */
  end?(): void;
}

type AnyMethod = (...args: never[]) => unknown;
type Element<M extends AnyMethod> = ReturnType<M> extends AsyncIterable<infer E> ? E : never;

interface Check<M extends AnyMethod> {
  asked?(args: Parameters<M>, fail: Fail, facts: Facts): void;
  answered?(answer: Awaited<ReturnType<M>>, args: Parameters<M>, fail: Fail, facts: Facts): void;
  elements?(args: Parameters<M>, fail: Fail, facts: Facts): ElementCheck<Element<M>>;
}

/** As the guard sees it: it learns the types of a call from nobody. */
export interface AnswerCheck {
  asked?(args: readonly unknown[], fail: Fail, facts: Facts): void;
  answered?(answer: unknown, args: readonly unknown[], fail: Fail, facts: Facts): void;
  elements?(args: readonly unknown[], fail: Fail, facts: Facts): ElementCheck<unknown>;
}

const check = <M extends AnyMethod>(of: Check<M>): AnswerCheck => of as unknown as AnswerCheck;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isName = (value: unknown): value is string => typeof value === 'string' && value !== '';

const LEVELS: readonly string[] = ['info', 'warning', 'blocks'];

const checkFindings = (findings: readonly Finding[], fail: Fail): void => {
  if (!Array.isArray(findings)) fail('gave no list of findings');
  for (const finding of findings as readonly Finding[]) {
    if (!isName(finding.code) || !isName(finding.message) || typeof finding.hint !== 'string' || !LEVELS.includes(finding.level)) {
      fail('gave a finding without code, message, hint or level');
    }
  }
};

const findTwin = (ids: readonly string[]): string | undefined => ids.find((id, index) => ids.indexOf(id) !== index);

const checkSpec = (spec: MachineSpec, of: string, fail: Fail): void => {
  for (const disk of spec.disks) {
    if (!isName(disk.id)) fail(`gave a disk of machine ${of} without an id`);
    if (!isCount(disk.sizeBytes) || disk.sizeBytes === 0) fail(`gave disk ${disk.id} of machine ${of} the size ${disk.sizeBytes}`);
  }
  const twin = findTwin([...spec.disks.map((disk) => disk.id), ...spec.nics.map((nic: NicSpec) => `nic ${nic.id}`)]);
  if (twin !== undefined) fail(`gave machine ${of} ${twin} twice`);
};

const checkMachine = (machine: Machine, fail: Fail): void => {
  if (!isName(machine.id)) fail('gave a machine without an id');
  if (typeof machine.name !== 'string') fail(`gave machine ${machine.id} no name`);
  if (!['on', 'off', 'suspended', 'unknown'].includes(machine.power)) fail(`gave machine ${machine.id} the power state ${machine.power}`);
  checkSpec(machine.spec, machine.id, fail);
};

const isTime = (value: unknown): boolean => typeof value === 'string' && !Number.isNaN(Date.parse(value));

/** Points are told apart by id and put in order by time: twins or times that are none would start the wrong one. */
const checkNative = (status: NativeStatus, fail: Fail): void => {
  const of = `machine ${status.machine}`;
  if (!['source', 'replica', 'none'].includes(status.role)) fail(`gave ${of} the role ${status.role}`);
  if (!['NotApplicable', 'Normal', 'Warning', 'Critical'].includes(status.health)) fail(`gave ${of} the health ${status.health}`);
  if (!isName(status.vendorState) || !Array.isArray(status.allowed)) fail(`gave ${of} no state or no list of allowed steps`);
  if (status.replicatedAt !== undefined && !isTime(status.replicatedAt)) fail(`gave ${of} the time ${status.replicatedAt}`);
  if (status.testMachine !== undefined && (!isName(status.testMachine) || status.testMachine === status.machine))
    fail(`gave ${of} the test machine ${JSON.stringify(status.testMachine)}`);
  for (const point of status.points)
    if (!isName(point.id) || !isTime(point.at)) fail(`gave ${of} the point ${JSON.stringify(point.id)} of ${point.at}`);
  const twin = findTwin(status.points.map((point) => point.id));
  if (twin !== undefined) fail(`gave ${of} the point ${twin} twice`);
};

/** Ascending, disjoint, whole numbers, from the asked offset up to the size of the disk where that is known. */
export const extentCheck = (from: number, sizeBytes: number | undefined, fail: Fail): ElementCheck<Extent> => {
  let end = from;
  return {
    element: ({ offset, length }) => {
      if (!isCount(offset) || !isCount(length) || length === 0) fail(`gave the extent ${offset}+${length}`);
      if (offset < end) fail(`gave the extent ${offset}+${length}, which begins before ${end}`);
      if (sizeBytes !== undefined && offset + length > sizeBytes)
        fail(`gave the extent ${offset}+${length} on a disk of ${sizeBytes} bytes`);
      end = offset + length;
    },
  };
};

const extents = check<SnapshotSource['changedExtents']>({
  asked: ([of, disk, from], fail, { sizes }) => {
    const size = sizes.get(of)?.get(disk);
    if (!isCount(from) || (size !== undefined && from > size)) fail(`was called with offset ${from} of disk ${disk}`);
  },
  elements: ([of, disk, from], fail, { sizes }) => extentCheck(from, sizes.get(of)?.get(disk), fail),
});

const checkSnapshot = (snapshot: Snapshot, fail: Fail): void => {
  if (!isName(snapshot.id)) fail('gave a snapshot without an id');
  if (Number.isNaN(Date.parse(snapshot.takenAt))) fail(`gave snapshot ${snapshot.id} the time ${snapshot.takenAt}`);
  const twin = findTwin(snapshot.disks.map((disk) => disk.disk));
  if (twin !== undefined) fail(`gave disk ${twin} of snapshot ${snapshot.id} twice`);
  for (const { disk, machine, sizeBytes } of snapshot.disks) {
    if (!isCount(sizeBytes) || sizeBytes === 0) fail(`gave disk ${disk} of snapshot ${snapshot.id} the size ${sizeBytes}`);
    if (!snapshot.machines.includes(machine)) fail(`gave disk ${disk} of machine ${machine}, which is not in snapshot ${snapshot.id}`);
  }
};

/** A disk that is left out here would be a hole in a recovery point. */
const checkSnapshotIsWhole = (snapshot: Snapshot, asked: readonly MachineId[], fail: Fail): void => {
  const strange = snapshot.machines.find((machine) => !asked.includes(machine));
  if (strange !== undefined) fail(`snapshot ${snapshot.id} has machine ${strange}, which was not asked for`);
  for (const machine of asked) {
    if (!snapshot.machines.includes(machine)) fail(`snapshot ${snapshot.id} lacks machine ${machine}`);
    const spec = snapshot.specs.get(machine);
    if (spec === undefined) fail(`snapshot ${snapshot.id} lacks the definition of machine ${machine}`);
    checkSpec(spec, machine, fail);
    const taken = new Set(snapshot.disks.filter((disk) => disk.machine === machine).map((disk) => disk.disk));
    const lost = spec.disks.find((disk) => !taken.has(disk.id));
    if (lost !== undefined) fail(`snapshot ${snapshot.id} lacks disk ${lost.id} of machine ${machine}`);
  }
};

const remember = (snapshot: Snapshot, { sizes }: Facts): void => {
  sizes.set(snapshot.id, new Map(snapshot.disks.map((disk) => [disk.disk, disk.sizeBytes])));
};

const createSnapshot = check<SnapshotSource['createSnapshot']>({
  asked: ([ids], fail) => {
    if (ids.length === 0 || findTwin(ids) !== undefined) fail(`was called with the machines [${ids.join(', ')}]`);
  },
  answered: (snapshot, [ids, want, call], fail, facts) => {
    checkSnapshot(snapshot, fail);
    checkSnapshotIsWhole(snapshot, ids, fail);
    if (snapshot.operationId !== call.operationId)
      fail(`snapshot ${snapshot.id} has the operation id ${snapshot.operationId}, not ${call.operationId}`);
    if (want.consistency === 'application' && snapshot.consistency === 'crash') {
      if (want.orElse === 'refuse') fail(`snapshot ${snapshot.id} is crash-consistent where that was to be refused`);
      if (!isName(snapshot.fellBackBecause)) fail(`snapshot ${snapshot.id} fell back to crash consistency without a reason`);
    }
    remember(snapshot, facts);
  },
});

const capture = check<StreamingSource['capture']>({
  elements: (_args, fail): ElementCheck<Pass> => {
    let sealed = false;
    return {
      element: (pass) => {
        if (sealed) fail('gave another pass after the final one');
        sealed = pass.final;
        const disks = pass.disks.map((disk) => disk.disk);
        const twin = findTwin(disks);
        if (twin !== undefined) fail(`gave disk ${twin} twice in one pass`);
        const lost = pass.spec.disks.find((disk) => !disks.includes(disk.id));
        if (pass.final && lost !== undefined) fail(`the final pass lacks disk ${lost.id}`);
      },
      end: () => {
        if (!sealed) fail('ended without a final pass');
      },
    };
  },
});

/** Two disks that land on one, or one that lands nowhere, would be written over each other or lost. */
const checkMapped = (what: 'disk' | 'nic', asked: readonly { readonly id: string }[], got: Placed, fail: Fail): void => {
  const map: ReadonlyMap<string, string> = what === 'disk' ? got.disks : got.nics;
  const there = new Set<string>((what === 'disk' ? got.machine.spec.disks : got.machine.spec.nics).map((one) => one.id));
  for (const { id } of asked) {
    const to = map.get(id);
    if (to === undefined) fail(`does not say which ${what} of machine ${got.machine.id} stands for ${id}`);
    if (!there.has(to)) fail(`maps ${what} ${id} to ${to}, which machine ${got.machine.id} does not have`);
  }
  const twin = findTwin([...map.values()]);
  if (twin !== undefined) fail(`maps two of the ${what}s to ${twin}`);
};

const checkPlaced = (placed: Placed, spec: MachineSpec, fail: Fail): void => {
  checkMachine(placed.machine, fail);
  checkFindings(placed.findings, fail);
  checkMapped('disk', spec.disks, placed, fail);
  checkMapped('nic', spec.nics, placed, fail);
  for (const disk of spec.disks) {
    const got = placed.machine.spec.disks.find((one) => one.id === placed.disks.get(disk.id));
    if (got !== undefined && got.sizeBytes < disk.sizeBytes)
      fail(`made disk ${got.id} of ${got.sizeBytes} bytes for ${disk.id} of ${disk.sizeBytes}`);
  }
};

const createFork = check<Forks['create']>({
  answered: (fork, [replica, as, call], fail) => {
    if (!isName(fork.id)) fail('gave a fork without an id');
    checkPlaced(fork, as.spec, fail);
    if (fork.operationId !== call.operationId) fail(`fork ${fork.id} has the operation id ${fork.operationId}, not ${call.operationId}`);
    if (fork.replica !== replica) fail(`fork ${fork.id} is of replica ${fork.replica}, not ${replica}`);
    if (fork.purpose !== as.purpose) fail(`fork ${fork.id} is for ${fork.purpose}, not for ${as.purpose}`);
  },
});

const findings = check<Session['check']>({ answered: (list, _args, fail) => checkFindings(list, fail) });

/** By `facet.method`. What is missing here answers nothing, or nothing that could be checked. */
export const CHECKS: Readonly<Record<string, AnswerCheck>> = {
  'session.check': findings,
  'inventory.listMachines': check<Inventory['listMachines']>({
    elements: (_args, fail) => ({ element: (machine) => checkMachine(machine, fail) }),
  }),
  'inventory.getMachine': check<Inventory['getMachine']>({
    answered: (machine, [id], fail) => {
      checkMachine(machine, fail);
      if (machine.id !== id) fail(`gave machine ${machine.id}, not ${id}`);
    },
  }),
  'inventory.listPlaces': check<Inventory['listPlaces']>({
    elements: ([kind], fail) => ({
      element: (place) => {
        if (!isName(place.id)) fail(`gave a ${kind} without an id`);
        if (place.kind !== kind) fail(`gave ${place.kind} ${place.id}, not a ${kind}`);
      },
    }),
  }),
  'inventory.checkProtectable': check<Inventory['checkProtectable']>({ answered: (list, _args, fail) => checkFindings(list, fail) }),
  'inventory.watch': check<NonNullable<Inventory['watch']>>({
    elements: (_args, fail) => ({
      element: (change) => {
        if (!isName(change.cursor) || !Array.isArray(change.changed) || !Array.isArray(change.gone))
          fail('gave a change without cursor or lists');
      },
    }),
  }),
  'power.set': check<Power['set']>({
    asked: ([, to], fail, { capabilities }) => {
      if (!capabilities.power.includes(to)) fail(`was called with ${to}, which the session does not offer`);
    },
  }),
  'source.enableTracking': check<SnapshotSource['enableTracking']>({ answered: (list, _args, fail) => checkFindings(list, fail) }),
  'source.createSnapshot': createSnapshot,
  'source.listSnapshots': check<SnapshotSource['listSnapshots']>({
    elements: (_args, fail, facts) => ({
      element: (snapshot) => {
        checkSnapshot(snapshot, fail);
        remember(snapshot, facts);
      },
    }),
  }),
  'source.releaseSnapshot': check<SnapshotSource['releaseSnapshot']>({
    answered: (_none, [id], _fail, { sizes }) => void sizes.delete(id),
  }),
  'source.changedExtents': extents,
  'source.allocatedExtents': extents,
  'source.openReader': check<SnapshotSource['openReader']>({
    answered: (reader, [of, disk], fail, { sizes }) => {
      const stated = sizes.get(of)?.get(disk);
      if (stated !== undefined && reader.sizeBytes !== stated)
        fail(`reads ${reader.sizeBytes} bytes of disk ${disk}, whose snapshot states ${stated}`);
    },
  }),
  'source.capture': capture,
  'target.createReplica': check<NonNullable<Target['createReplica']>>({
    answered: (placed, [spec], fail) => checkPlaced(placed, spec, fail),
  }),
  // An existing machine may lack what was asked for; then a finding that blocks says so, and nothing is written.
  'target.adoptReplica': check<Target['adoptReplica']>({
    answered: (placed, [id, spec], fail) => {
      checkMachine(placed.machine, fail);
      checkFindings(placed.findings, fail);
      if (placed.machine.id !== id) fail(`gave machine ${placed.machine.id}, not ${id}`);
      if (!placed.findings.some((finding) => finding.level === 'blocks')) checkMapped('disk', spec.disks, placed, fail);
    },
  }),
  'target.reshapeReplica': check<Target['reshapeReplica']>({
    answered: (placed, [, spec], fail) => checkPlaced(placed, spec, fail),
  }),
  'forks.create': createFork,
  'forks.promote': check<Forks['promote']>({ answered: (machine, _args, fail) => checkMachine(machine, fail) }),
  'forks.list': check<Forks['list']>({
    elements: (_args, fail) => ({
      element: (fork) => {
        if (!isName(fork.id) || !isName(fork.replica) || !isName(fork.operationId)) fail('gave a fork without id, replica or operation id');
      },
    }),
  }),
  'network.createTestNetwork': check<Network['createTestNetwork']>({
    answered: (place, _args, fail) => {
      if (!isName(place.id) || place.kind !== 'network') fail(`gave ${place.kind} ${place.id}, not a network`);
    },
  }),
  'network.setGuestAddresses': check<Network['setGuestAddresses']>({ answered: (list, _args, fail) => checkFindings(list, fail) }),
  'nativePair.listener': check<NativePair['listener']>({
    answered: ({ address, port, authentication, findings }, _args, fail) => {
      if (!isName(address) || !isCount(port) || !Array.isArray(authentication))
        fail('gave a listener without address, port or authentication');
      checkFindings(findings, fail);
    },
  }),
  'nativePair.checkPair': check<NativePair['checkPair']>({ answered: (list, _args, fail) => checkFindings(list, fail) }),
  'nativePair.observe': check<NativePair['observe']>({
    elements: ([ids], fail) => {
      const given = new Set<string>();
      return {
        element: (status) => {
          if (!ids.includes(status.machine)) fail(`gave the status of machine ${status.machine}, which was not asked for`);
          if (given.has(status.machine)) fail(`gave the status of machine ${status.machine} twice`);
          given.add(status.machine);
          checkNative(status, fail);
        },
      };
    },
  }),
  'nativePair.act': check<NativePair['act']>({
    answered: (status, [id], fail) => {
      if (status.machine !== id) fail(`gave the status of machine ${status.machine}, not of ${id}`);
      checkNative(status, fail);
    },
  }),
};

const REACH = {
  tracking: ['none', 'native'],
  atomicity: ['disk', 'machine', 'group'],
  testNetwork: ['none', 'host', 'cluster', 'site'],
} as const;

/** A session may promise less than the manifest, never more: the engine plans by the manifest before it connects. */
export const findExcessCapability = (session: Capabilities, manifest: Capabilities): keyof Capabilities | undefined => {
  for (const [key, ranks] of Object.entries(REACH) as ['tracking' | 'atomicity' | 'testNetwork', readonly string[]][]) {
    const rank = ranks.indexOf(session[key]);
    if (rank === -1 || rank > ranks.indexOf(manifest[key])) return key;
  }
  if (session.consistency.some((kind) => !manifest.consistency.includes(kind))) return 'consistency';
  if (session.power.some((kind) => !manifest.power.includes(kind))) return 'power';
  if (session.finalFreeze && !manifest.finalFreeze) return 'finalFreeze';
  if (session.snapshotSurvivesDisconnect && !manifest.snapshotSurvivesDisconnect) return 'snapshotSurvivesDisconnect';
  return session.maxSnapshotsPerMachine > manifest.maxSnapshotsPerMachine ? 'maxSnapshotsPerMachine' : undefined;
};

/** A capability that no facet of the session could keep. */
export const findEmptyPromise = (session: Session): string | undefined => {
  const { capabilities } = session;
  if (capabilities.power.length > 0 && session.power === undefined) return 'power without the facet power';
  if (capabilities.tracking === 'native' && session.source === undefined) return 'tracking without the facet source';
  if (capabilities.testNetwork !== 'none' && session.network === undefined) return 'a test network without the facet network';
  if (capabilities.finalFreeze && session.source?.kind !== 'streaming') return 'finalFreeze without a streaming source';
  return undefined;
};
