// Where a replica goes, and the first copy to it.
import {
  DrError,
  type Finding,
  type ItemId,
  isDrError,
  type Machine,
  type MachineId,
  type NicId,
  type PlaceId,
} from '../../contract/index.ts';
import { setSync } from '../../domain/decide.ts';
import type { Item, ItemDisk, Side } from '../../domain/item.ts';
import { assertValid } from '../../domain/validity.ts';
import type { Flow } from '../../flow/flow.ts';
import type { EndpointSession } from '../../host/host.ts';
import type { Db } from '../../state/database.ts';
import { findItem, updateItem } from '../../state/items.ts';
import { getEndpoint, getGroup, listEndpoints, listMappings } from '../../state/records.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../core.ts';
import { type CycleReport, runCycle } from '../cycle.ts';
import { findMapping, mappedFirst } from '../networks.ts';
import type { Asked, Assessed, Placing } from '../replicator.ts';

export const assess = async (core: Core, asked: Asked, signal: AbortSignal): Promise<Assessed> => {
  const findings: Finding[] = [];
  if (!asked.source.source)
    findings.push({
      code: 'no-source',
      level: 'blocks',
      message: `${asked.source.endpointId} cannot be a source`,
      hint: 'use an endpoint whose plugin has a source facet',
    });
  const target = await chooseTarget(core, asked);
  if (asked.seed)
    findings.push(...(await target.inventory.checkProtectable(asked.seed, 'target', callFor(core, `assess/${asked.machine.id}`, signal))));
  return { target, findings };
};

const chooseTarget = async (core: Core, { sourcePlugin: plugin, ...input }: Asked): Promise<EndpointSession> => {
  const atSite = await listEndpoints(core.store.db, input.toSite);
  const candidates = input.target
    ? [await getEndpoint(core.store.db, input.target)]
    : mappedFirst(
        atSite.toSorted((a, b) => Number(b.plugin === plugin) - Number(a.plugin === plugin)),
        await listMappings(core.store.db),
        input.machine.spec,
        input.source.endpointId,
      );
  let reason: DrError | undefined;
  for (const candidate of candidates) {
    try {
      const session = await openEndpoint(core, candidate.id);
      if (session.target?.createReplica || (session.target && input.seed)) return session;
    } catch (error) {
      if (!isDrError(error) || input.target) throw error;
      reason ??= error;
    }
  }
  throw (
    reason ??
    new DrError('CAPABILITY_MISSING', `no endpoint at site ${input.toSite} can hold replicas`, {
      context: { site: input.toSite, kind: 'target' },
      hint: 'add a target endpoint with endpoint add, or name one with --target',
    })
  );
};

/** Tracking, replica machine, fence: everything up to the first copy. */
export const place = async (core: Core, flow: Flow, id: ItemId, { target, seed }: Placing): Promise<void> => {
  await startTracking(core, flow, id);
  await placeReplica(core, flow, id, target, seed);
  await takeReplica(core, flow, id, seed);
};

const startTracking = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(`tracking ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const findings = await facetOf(await openEndpoint(core, item.source.endpoint), 'source').enableTracking(
      item.source.machine,
      callFor(core, operationId, signal),
    );
    const blocking = findings.find((finding) => finding.level === 'blocks');
    if (blocking)
      throw new DrError('CHECK_FAILED', `changes of ${item.name} cannot be tracked: ${blocking.message}`, {
        hint: blocking.hint,
        context: { item: id },
      });
    return null;
  });

/** Recorded before anything else is done to it: whoever takes the attempt back finds the machine that it made. */
const placeReplica = (core: Core, flow: Flow, id: ItemId, endpoint: string, seed: MachineId | undefined): Promise<unknown> =>
  flow.step(
    `replica ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const target = facetOf(await openEndpoint(core, endpoint), 'target');
      const source = await openEndpoint(core, item.source.endpoint);
      const { spec } = await source.inventory.getMachine(item.source.machine, callFor(core, operationId, signal));
      const call = fencedCall(core, item, operationId, signal);
      const placed = seed
        ? await target.adoptReplica(seed, spec, call)
        : await (target.createReplica ?? cannotCreate(endpoint))(spec, await placeFor(core, item, spec, endpoint), call);
      return {
        replica: { site: item.state.direction.to, endpoint, machine: placed.machine.id, name: placed.machine.name } satisfies Side,
        disks: item.disks.map((disk) => ({ ...disk, replicaDisk: placed.disks.get(disk.sourceDisk) })),
        nics: item.nics.map((nic) => ({ ...nic, replicaNic: placed.nics.get(nic.sourceNic) })),
        traits: {
          targetForks: target.forks !== undefined,
          plannedPossible: canPlan(source),
          sourceStreams: source.source?.kind === 'streaming',
          replicaAdopted: seed !== undefined,
        },
        findings: placed.findings,
      };
    },
    {
      commit: async (tx, placed) => {
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            assertValid({
              ...item,
              replica: placed.replica,
              disks: placed.disks as readonly ItemDisk[],
              nics: placed.nics as Item['nics'],
              traits: placed.traits,
            }),
          event: {
            kind: 'replica.placed',
            message: `replica ${placed.replica.name} at ${endpoint}`,
            ...(placed.findings.length > 0 ? { data: { findings: placed.findings } } : {}),
          },
        });
      },
    },
  );

const takeReplica = (core: Core, flow: Flow, id: ItemId, seed: MachineId | undefined): Promise<unknown> =>
  flow.step(
    `take replica ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const { endpoint, machine } = replicaOf(item);
      const session = await openEndpoint(core, endpoint);
      const call = () => fencedCall(core, item, operationId, signal);
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (!seed) for (const disk of item.disks) await journal.declareEmpty(disk.key);
      if (session.fence) {
        const held = await session.fence.read(machine, call());
        const other = held && held.item !== id ? await findItem(core.store.db, held.item) : undefined;
        if (other)
          throw new DrError('FENCED', `${machine} is in use by ${other.name}`, {
            context: { item: id, machine, holder: held?.holder ?? '' },
          });
        if (!held || held.item !== id || held.epoch < item.epoch.epoch) await session.fence.advance(machine, held, item.epoch, call());
      }
      // Before its first fork, so that what a failed-over machine writes is known (V3).
      if (session.source) await session.source.enableTracking(machine, call());
      return null;
    },
    {
      commit: async (tx) => {
        await commitChange(tx, core, flow, id, {
          change: (item) => ({ ...item, state: { ...item.state, protection: 'InitialReplication', sync: { is: 'InitialSync' } } }),
        });
      },
    },
  );

/** A planned failover shuts the guest down, or freezes it after its last pass and then cuts the power. */
export const canPlan = ({ source, capabilities }: EndpointSession): boolean =>
  source?.kind === 'snapshot' ? capabilities.power.includes('shutdown') : capabilities.finalFreeze && capabilities.power.includes('off');

const cannotCreate = (endpoint: string): never => {
  throw new DrError('CAPABILITY_MISSING', `endpoint ${endpoint} only adopts machines`, {
    context: { endpoint, kind: 'target' },
    hint: 'name an existing machine with --seed',
  });
};

const placeFor = async (core: Core, item: Item, spec: Machine['spec'], endpoint: string) => {
  const mappings = await listMappings(core.store.db);
  const from = item.source.endpoint;
  const storage = spec.disks
    .map((disk) => disk.storage && findMapping(mappings, 'storage', { endpoint: from, place: disk.storage }, endpoint)?.toPlace)
    .find((place) => place !== undefined);
  const folder = findMapping(mappings, 'folder', { endpoint: from, place: '*' }, endpoint)?.toPlace;
  const host = findMapping(mappings, 'host', { endpoint: from, place: '*' }, endpoint)?.toPlace;
  const nics = new Map(
    spec.nics.map((nic): [NicId, PlaceId | 'disconnected'] => [
      nic.id,
      ((nic.network && findMapping(mappings, 'network', { endpoint: from, place: nic.network }, endpoint)?.toPlace) as
        | PlaceId
        | undefined) ?? 'disconnected',
    ]),
  );
  return {
    name: item.name,
    nics,
    ...(storage ? { storage: storage as PlaceId } : {}),
    ...(folder ? { folder: folder as PlaceId } : {}),
    ...(host ? { host: host as PlaceId } : {}),
  };
};

interface FirstCopy {
  readonly points: readonly string[];
  readonly failed: readonly ItemId[];
}

/** The first copy of the new members, up to their first point. A kill resumes it under the same snapshot. */
export const firstCopy = (core: Core, flow: Flow, groupId: string, items: readonly ItemId[]): Promise<FirstCopy> =>
  flow.step(
    'initial replication',
    async ({ operationId, signal }) => {
      try {
        const report = await runFirstCycle(core, flow, { groupId, items, cycleId: operationId, signal });
        const [failure] = report.failures.values();
        if (failure && report.points.size === 0) throw failure;
        return { points: [...report.points.values()].map((point) => point.point), failed: [...report.failures.keys()] };
      } catch (error) {
        if (isDrError(error) && !signal.aborted) await core.store.transaction((tx) => stall(tx, items));
        throw error;
      }
    },
    { interruptible: true, commit: (tx, { failed }) => stall(tx, failed) },
  );

/** Their copy is tried again by the planner: initial replication has not ended for them. */
const stall = async (tx: Db, ids: readonly ItemId[]): Promise<void> => {
  for (const id of ids) await updateItem(tx, id, (item) => setSync(item, { is: 'Stalled', reason: 'initial replication failed' }));
};

const runFirstCycle = async (
  core: Core,
  flow: Flow,
  { groupId, items, cycleId, signal }: { groupId: string; items: readonly ItemId[]; cycleId: string; signal: AbortSignal },
): Promise<CycleReport> => {
  const group = await getGroup(core.store.db, groupId);
  const total = (await Promise.all(items.map((id) => itemNow(core, id)))).reduce(
    (sum, item) => sum + item.disks.reduce((bytes, disk) => bytes + disk.sizeBytes, 0),
    0,
  );
  const readBy = new Map<ItemId, number>();
  return runCycle(core, {
    group,
    items,
    kind: 'first',
    cycleId,
    signal,
    onProgress: (item, bytes) => {
      readBy.set(item.id, bytes);
      const doneBytes = [...readBy.values()].reduce((sum, one) => sum + one, 0);
      flow.progress({ text: `initial replication of ${items.length} machines`, doneBytes, totalBytes: total });
    },
  });
};
