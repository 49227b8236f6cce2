import {
  DrError,
  type Finding,
  type ItemId,
  isDrError,
  type Machine,
  type MachineId,
  type NicId,
  type PlaceId,
} from '../contract/index.ts';
import { fail, setSync } from '../domain/decide.ts';
import type { Item, ItemDisk, Side } from '../domain/item.ts';
import type { ProtectionGroup } from '../domain/policy.ts';
import { assertValid } from '../domain/validity.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import type { EndpointSession } from '../host/host.ts';
import { commitChange, itemNow } from '../replication/changes.ts';
import { type Core, callFor, facetOf, fencedCall, nowIso, openEndpoint } from '../replication/core.ts';
import { runCycle } from '../replication/cycle.ts';
import { findMapping, mappingMissing, unmappedNetworks } from '../replication/networks.ts';
import { recordEvent } from '../state/events.ts';
import { findItemBySource, insertItem, listItems, updateItem } from '../state/items.ts';
import { deleteGroup, getEndpoint, getGroup, listEndpoints, listMappings, putGroup } from '../state/records.ts';
import { concluded, eachMember, leaveFailed } from './members.ts';

export interface ProtectInput {
  readonly machines: readonly { readonly endpoint: string; readonly machine: MachineId; readonly name: string }[];
  readonly group: { readonly id: string; readonly name: string };
  readonly policy: string;
  readonly toSite: string;
  /** Target endpoint; absent: one of the same kind at the recovery site, else the first that can hold replicas. */
  readonly target?: string;
  /** An existing machine at the target that becomes the replica: only what differs is sent. */
  readonly seed?: string;
}

export interface ProtectPlan {
  readonly machine: Machine;
  readonly target: string;
  readonly findings: readonly Finding[];
  readonly allocatedBytes?: number;
}

/** What protecting would do and what is in its way. Changes nothing. */
export const planProtection = async (core: Core, input: ProtectInput, index: number, signal: AbortSignal): Promise<ProtectPlan> => {
  const asked = input.machines[index];
  if (!asked) throw new DrError('USAGE', 'no machine to protect was named');
  const source = await getEndpoint(core.store.db, asked.endpoint);
  if (source.site === input.toSite) {
    throw new DrError('CONFIG_INVALID', `${asked.name} is already at site ${input.toSite}`, {
      context: { machine: asked.machine, site: input.toSite },
      hint: 'name the other site with --to',
    });
  }
  const known = await findItemBySource(core.store.db, asked.endpoint, asked.machine);
  if (known && known.state.protection !== 'EnablingFailed') {
    throw new DrError('ALREADY_PROTECTED', `${asked.name} is already protected (${known.state.protection})`, {
      context: { machine: asked.machine, item: known.id, state: known.state.protection },
    });
  }
  const session = await openEndpoint(core, asked.endpoint);
  const call = () => callFor(core, `assess/${asked.machine}`, signal);
  const machine = await session.inventory.getMachine(asked.machine, call());
  const findings = [...(await session.inventory.checkProtectable(asked.machine, 'source', call()))];
  if (!session.source)
    findings.push({
      code: 'no-source',
      level: 'blocks',
      message: `${asked.endpoint} cannot be a source`,
      hint: 'use an endpoint whose plugin has a source facet',
    });
  if (machine.protectedElsewhere) {
    findings.push({
      code: 'protected-elsewhere',
      level: 'warning',
      message: `${machine.name} is also protected by ${machine.protectedElsewhere}`,
      hint: 'end the other protection first: two trackers may disturb each other',
    });
  }
  const target = await chooseTarget(core, source.plugin, input);
  if (input.seed) findings.push(...(await target.inventory.checkProtectable(input.seed as MachineId, 'target', call())));
  const missing = unmappedNetworks(await listMappings(core.store.db), machine.spec, asked.endpoint, target.endpointId);
  if (missing.length > 0) throw mappingMissing(machine.name, missing, asked.endpoint, target.endpointId);
  return { machine, target: target.endpointId, findings };
};

const chooseTarget = async (core: Core, plugin: string, input: ProtectInput): Promise<EndpointSession> => {
  const atSite = await listEndpoints(core.store.db, input.toSite);
  const candidates = input.target
    ? [await getEndpoint(core.store.db, input.target)]
    : [...atSite].sort((a, b) => Number(b.plugin === plugin) - Number(a.plugin === plugin));
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

export const createProtect = (
  core: Core,
): Verb<ProtectInput, { readonly items: readonly ItemId[]; readonly stalled: readonly ItemId[] }> => ({
  name: 'protect',
  run: async (flow, input) => {
    const group = await flow.step('group', async () => ({ id: input.group.id }), {
      commit: async (tx) => {
        const { site } = await getEndpoint(tx, input.machines[0]?.endpoint ?? '');
        const known: ProtectionGroup = {
          id: input.group.id,
          name: input.group.name,
          policy: input.policy,
          fromSite: site,
          toSite: input.toSite,
          createdAt: nowIso(core),
        };
        await putGroup(tx, known);
      },
    });
    const indexes = input.machines.map((_, index) => index);
    const ids = indexes.map((index) => itemIdOf(flow, index));
    const results = await eachMember(ids, (id) => enable(core, flow, input, ids.indexOf(id), id));
    for (const id of results.failed.keys()) await failEnabling(flow, id);
    const copied = results.done.size > 0 ? await firstCopy(core, flow, group.id, [...results.done.keys()]) : undefined;
    if (!copied) await dropEmptyGroup(flow, group.id);
    return {
      result: { items: [...results.done.keys()], stalled: copied?.failed ?? [] },
      partial: concluded(results).partial || (copied?.failed.length ?? 0) > 0,
    };
  },
  failed: async (flow, input) => {
    await leaveFailed(
      flow,
      input.machines.map((_, index) => itemIdOf(flow, index)),
    );
    await dropEmptyGroup(flow, input.group.id);
  },
});

const dropEmptyGroup = (flow: Flow, id: string): Promise<null> =>
  flow.step('drop an empty group', async () => null, {
    commit: async (tx) => {
      if ((await listItems(tx, id)).length === 0) await deleteGroup(tx, id);
    },
  });

const itemIdOf = (flow: Flow, index: number): ItemId => `it-${flow.jobId.slice(4)}-${index}` as ItemId;

const failEnabling = (flow: Flow, id: ItemId): Promise<null> =>
  flow.step(`failed ${id}`, async () => null, {
    commit: async (tx) => {
      if (await tx.selectFrom('item').select('id').where('id', '=', id).executeTakeFirst()) await updateItem(tx, id, fail);
    },
  });

/** Everything up to the first copy: item, tracking, replica machine, fence. */
const enable = async (core: Core, flow: Flow, input: ProtectInput, index: number, id: ItemId): Promise<void> => {
  const planned = await flow.step(
    `assess ${id}`,
    async ({ signal }) => {
      const plan = await planProtection(core, input, index, signal);
      const blocking = plan.findings.find((finding) => finding.level === 'blocks');
      if (blocking)
        throw new DrError('CHECK_FAILED', `${plan.machine.name} cannot be protected: ${blocking.message}`, {
          hint: blocking.hint,
          context: { machine: plan.machine.id },
        });
      return { spec: plan.machine.spec, name: plan.machine.name, target: plan.target };
    },
    {
      commit: async (tx, { spec, name, target }) => {
        const asked = input.machines[index];
        if (!asked) return;
        const { site } = await getEndpoint(tx, asked.endpoint);
        await insertItem(tx, {
          id,
          name,
          groupId: input.group.id,
          state: {
            protection: 'Enabling',
            sync: { is: 'None' },
            test: 'None',
            active: { site },
            direction: { from: site, to: input.toSite },
          },
          source: { site, endpoint: asked.endpoint, machine: asked.machine, name },
          disks: spec.disks.map((disk, position): ItemDisk => ({ key: `disk${position}`, sizeBytes: disk.sizeBytes, sourceDisk: disk.id })),
          nics: spec.nics.map((nic, position) => ({ key: `nic${position}`, sourceNic: nic.id })),
          epoch: { item: id, epoch: 1, holder: core.ownerId },
          traits: { targetForks: false, plannedPossible: false, sourceStreams: false, replicaAdopted: false },
          baselines: {},
        });
        await recordEvent(tx, {
          at: nowIso(core),
          kind: 'protect.begun',
          level: 'info',
          subject: name,
          jobId: flow.jobId,
          message: `protecting ${name}: replica at ${target}`,
        });
      },
    },
  );
  await flow.step(`tracking ${id}`, async ({ operationId, signal }) => {
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
  await placeReplica(core, flow, id, planned.target, input.seed);
};

const placeReplica = (core: Core, flow: Flow, id: ItemId, endpoint: string, seed: string | undefined): Promise<unknown> =>
  flow.step(
    `replica ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const session = await openEndpoint(core, endpoint);
      const target = facetOf(session, 'target');
      const source = await openEndpoint(core, item.source.endpoint);
      const { spec } = await source.inventory.getMachine(item.source.machine, callFor(core, operationId, signal));
      const call = () => fencedCall(core, item, operationId, signal);
      const placed = seed
        ? await target.adoptReplica(seed as MachineId, spec, call())
        : await (target.createReplica ?? cannotCreate(endpoint))(spec, await placeFor(core, item, spec, endpoint), call());
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (!seed) for (const disk of item.disks) await journal.declareEmpty(disk.key);
      if (session.fence) {
        const held = await session.fence.read(placed.machine.id, call());
        if (!held || held.item !== id || held.epoch < item.epoch.epoch)
          await session.fence.advance(placed.machine.id, held, item.epoch, call());
      }
      // Before its first fork, so that what a failed-over machine writes is known (V3).
      if (session.source) await session.source.enableTracking(placed.machine.id, call());
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
              state: { ...item.state, protection: 'InitialReplication', sync: { is: 'InitialSync' } },
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
const firstCopy = (core: Core, flow: Flow, groupId: string, items: readonly ItemId[]): Promise<FirstCopy> =>
  flow.step(
    'initial replication',
    async ({ operationId, signal }) => {
      const group = await getGroup(core.store.db, groupId);
      const total = (await Promise.all(items.map((id) => itemNow(core, id)))).reduce(
        (sum, item) => sum + item.disks.reduce((bytes, disk) => bytes + disk.sizeBytes, 0),
        0,
      );
      const readBy = new Map<ItemId, number>();
      const report = await runCycle(core, {
        group,
        items,
        kind: 'first',
        cycleId: operationId,
        signal,
        onProgress: (item, bytes) => {
          readBy.set(item.id, bytes);
          const doneBytes = [...readBy.values()].reduce((sum, one) => sum + one, 0);
          flow.progress({ text: `initial replication of ${items.length} machines`, doneBytes, totalBytes: total });
        },
      });
      const [failure] = report.failures.values();
      if (failure && report.points.size === 0) throw failure;
      return { points: [...report.points.values()].map((point) => point.point), failed: [...report.failures.keys()] };
    },
    {
      interruptible: true,
      commit: async (tx, { failed }) => {
        // Their copy is tried again by the planner: initial replication has not ended for them.
        for (const id of failed) await updateItem(tx, id, (item) => setSync(item, { is: 'Stalled', reason: 'initial replication failed' }));
      },
    },
  );
