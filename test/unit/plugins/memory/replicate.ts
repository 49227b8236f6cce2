import { demoEstate } from '../../../../adapters/lab/demo-estate.ts';
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName, StateRef, StateReport } from '../../../../adapters/lab/port.ts';
import type {
  Baseline,
  Call,
  DiskId,
  DiskReader,
  Epoch,
  Extent,
  Machine,
  MachineId,
  NicId,
  Placed,
  PlaceId,
  ReplicaDisk,
  Session,
  Snapshot,
  SnapshotSource,
  StreamingSource,
} from '../../../../core/contract/index.ts';
import { createMemoryPlugin } from '../../../../plugins/memory/index.ts';

let operations = 0;

export const callOf = (more: Partial<Call> = {}): Call => ({
  signal: new AbortController().signal,
  deadlineMs: 5000,
  log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
  operationId: `operation-${++operations}`,
  ...more,
});

export const epoch = (number: number, holder = 'engine-1'): Epoch => ({ item: 'item-1' as Epoch['item'], epoch: number, holder });

/** An estate and sessions to its endpoints; all of it ends with the disposal. */
export class Bench implements AsyncDisposable {
  readonly lab: InProcessEstate;
  readonly #sessions: Session[] = [];

  constructor(spec: EstateSpec = demoEstate(), seed = 1) {
    this.lab = createEstate({ spec, seed });
  }

  async connect(endpoint: string, profile: ProfileName, config: Record<string, unknown> = {}, ownerId = 'owner-1'): Promise<Session> {
    const plugin = createMemoryPlugin(profile, async () => this.lab.open());
    const session = await plugin.connect({ endpoint, ...config }, { ownerId, scratchDir: '/nowhere' }, callOf());
    this.#sessions.push(session);
    return session;
  }

  advance(ms: number): Promise<unknown> {
    return this.lab.control.call('lab.advance', { ms });
  }

  async machineNamed(name: string): Promise<MachineId> {
    return (await this.lab.control.call('lab.find', { name })).machines[0]!.machine;
  }

  async status(machine: MachineId) {
    return (await this.lab.control.call('lab.machine', { machine })).status;
  }

  inspect(of: StateRef): Promise<StateReport> {
    return this.lab.control.call('lab.inspect', { of });
  }

  async violations() {
    return (await this.lab.control.call('lab.status', {})).violations;
  }

  async leftovers() {
    return (await this.lab.control.call('lab.status', {})).leftovers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }
}

export const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};

export const firstPlace = async (session: Session, kind: 'network' | 'storage'): Promise<PlaceId> =>
  (await collect(session.inventory.listPlaces(kind, callOf())))[0]!.id;

export const createReplica = async (target: Session, machine: Machine, call = callOf()): Promise<Placed> =>
  target.target!.createReplica!(machine.spec, { name: `${machine.name} (replica)`, nics: new Map() }, call);

const copyExtents = async (extents: AsyncIterable<Extent>, from: DiskReader, to: ReplicaDisk): Promise<number> => {
  let copied = 0;
  for await (const extent of extents) {
    for (let offset = extent.offset; offset < extent.offset + extent.length; offset += from.maxRequestBytes) {
      const data = new Uint8Array(Math.min(from.maxRequestBytes, extent.offset + extent.length - offset));
      await from.read(offset, data, callOf());
      await to.write(offset, data, callOf());
      copied += data.length;
    }
  }
  await to.flush(callOf());
  return copied;
};

export type Since = ReadonlyMap<DiskId, Baseline>;

export interface Cycle {
  readonly snapshot: Snapshot;
  readonly baselines: Since;
  readonly copiedBytes: number;
}

/** One cycle as an engine would do it, without a journal. */
export const replicate = async (
  source: Session,
  machine: MachineId,
  target: Session,
  placed: Placed,
  since: Since = new Map(),
): Promise<Cycle> => {
  const from = source.source as SnapshotSource;
  const snapshot = await from.createSnapshot([machine], { consistency: 'crash', orElse: 'crash', since }, callOf());
  let copiedBytes = 0;
  for (const { disk } of snapshot.disks) {
    await using reader = await from.openReader(snapshot.id, disk, callOf());
    await using into = await target.target!.openReplicaDisk(placed.machine.id, placed.disks.get(disk)!, callOf());
    const extents = since.has(disk)
      ? from.changedExtents(snapshot.id, disk, 0, callOf())
      : from.allocatedExtents(snapshot.id, disk, 0, callOf());
    copiedBytes += await copyExtents(extents, reader, into);
  }
  const baselines = new Map(snapshot.disks.map((disk) => [disk.disk, disk.baseline!]));
  await from.keepBaselines(machine, new Map([...baselines].map(([disk, baseline]) => [disk, [baseline]])), callOf());
  return { snapshot, baselines, copiedBytes };
};

export interface StreamOptions {
  readonly since?: Since;
  readonly maxFreezeMs?: number;
  readonly afterFinal?: 'thaw' | 'stayFrozen';
  /** Runs while the machine is frozen, before the last pass is read. */
  readonly whileFrozen?: () => Promise<void>;
  readonly call?: Call;
}

export const stream = async (
  source: Session,
  machine: MachineId,
  target: Session,
  placed: Placed,
  options: StreamOptions = {},
): Promise<Since> => {
  const from = source.source as StreamingSource;
  const { since = new Map(), maxFreezeMs = 5000, afterFinal = 'thaw', call = callOf() } = options;
  let baselines: Since = new Map();
  const want = { consistency: 'crash', orElse: 'refuse', since, maxFreezeMs, afterFinal } as const;
  for await (const pass of from.capture(machine, want, call)) {
    if (pass.final) await options.whileFrozen?.();
    for (const disk of pass.disks) {
      await using into = await target.target!.openReplicaDisk(placed.machine.id, placed.disks.get(disk.disk)!, callOf());
      await copyExtents(disk.extents(0), disk.reader, into);
    }
    baselines = new Map(pass.disks.map((disk) => [disk.disk, disk.baseline!]));
  }
  return baselines;
};

export const forkOf = (
  target: Session,
  placed: Placed,
  more: { nics?: ReadonlyMap<NicId, PlaceId>; call?: Call; mode?: 'overlay' | 'clone' } = {},
) =>
  target.target!.forks!.create(
    placed.machine.id,
    {
      mode: more.mode ?? 'overlay',
      purpose: 'test',
      name: 'a fork',
      spec: placed.machine.spec,
      newGenerationId: true,
      nics: more.nics ?? new Map(),
    },
    more.call ?? callOf(),
  );
