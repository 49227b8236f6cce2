// Replication in the reverse direction: the old source becomes the replica, and only differences travel (V3).
import { DrError, type Extent, type ItemId, isDrError, type MachineSpec } from '../contract/index.ts';
import { begin } from '../domain/decide.ts';
import * as extents from '../domain/extents.ts';
import { activeSite, type DiskKey, type Item, type ItemDisk } from '../domain/item.ts';
import { assertValid } from '../domain/validity.ts';
import type { Flow, Verb } from '../flow/flow.ts';
import { commitChange, itemNow, transition } from '../replication/changes.ts';
import { type Core, callFor, facetOf, fencedCall, nowIso, openEndpoint, replicaOf } from '../replication/core.ts';
import { runCycle } from '../replication/cycle.ts';
import { applySealed } from '../replication/replica.ts';
import { recordEvent } from '../state/events.ts';
import { updateItem } from '../state/items.ts';
import { deletePointsOf } from '../state/points.ts';
import { getGroup } from '../state/records.ts';
import { isSeenOff, lookAt } from './fence.ts';
import { concluded, eachMember, leaveFailed } from './members.ts';
import { canPlan } from './protect.ts';
import { inspectStaleSource } from './resolve.ts';

export const createReprotect = (core: Core): Verb<{ readonly items: readonly ItemId[] }, unknown> => ({
  name: 'reprotect',
  run: async (flow, input) => {
    const results = await eachMember(input.items, (id) => reprotectOne(core, flow, id));
    await leaveFailed(flow, [...results.failed.keys()]);
    return { result: { reprotected: [...results.done.keys()] }, ...concluded(results) };
  },
  failed: (flow, input) => leaveFailed(flow, input.items),
});

export const reprotectOne = async (core: Core, flow: Flow, id: ItemId): Promise<null> => {
  await transition(core, flow, `begin reprotect ${id}`, id, (item, facts) => begin(item, 'reprotect', facts), {
    kind: 'reprotect.begun',
    message: 're-protect begins',
  });
  await inspectOldSource(core, flow, id);
  const ranges = await knownDifferences(core, flow, id);
  await adopt(core, flow, id);
  await reverseCycle(core, flow, id, ranges);
  await flow.step(`reverse apply ${id}`, async ({ signal }) => applySealed(core, id, signal, 'verb'));
  await finish(core, flow, id);
  return null;
};

/** An earlier try came as far as turning the item round: what is left is the reverse cycle. */
const isAdopted = (item: Item): boolean => item.reverse !== undefined && item.source.machine !== item.reverse.oldSource.machine;

/** The old source must be seen off: it is about to be written. One that runs is for `resolve`. */
const inspectOldSource = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `inspect old source ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      if (!isAdopted(item)) {
        const look = await lookAt(core, item.source, operationId, signal);
        if (!look.reachable) {
          throw new DrError('CONNECTION_REFUSED', `the old source of ${item.name} cannot be reached (${look.because})`, {
            context: { item: id, endpoint: item.source.endpoint },
            hint: 'repair the endpoint and run reprotect again, or release the machine',
          });
        }
        if (!look.machine) {
          throw new DrError('NOT_FOUND', `the old source of ${item.name} is gone from ${item.source.endpoint}`, {
            context: { item: id, kind: 'machine' },
            hint: 'release the machine and protect it anew',
          });
        }
        // One that has started again since the failover is stale: it is isolated, and then it is off (F4).
        if (!isSeenOff(look) && (await inspectStaleSource(core, item, signal)) !== 'isolated') {
          throw new DrError('STATE_CONFLICT', `the old source of ${item.name} is not off (power ${look.machine.power})`, {
            context: { item: id, state: look.machine.power },
            hint: 'two copies may run: run resolve --keep to decide which one stays',
          });
        }
      }
      return null;
    },
    {
      commit: async (tx) =>
        void (await commitChange(tx, core, flow, id, {
          change: (item) =>
            activeSite(item.state.active) ? item : { ...item, state: { ...item.state, active: { site: item.state.direction.to } } },
        })),
    },
  );

/** Ranges outside of which both sides are proven equal, but for what the new source's own tracker will add; null: nothing is proven, compare. */
type Ranges = Readonly<Record<DiskKey, readonly Extent[]>> | null;

const knownDifferences = (core: Core, flow: Flow, id: ItemId): Promise<Ranges> =>
  flow.step(`differences ${id}`, async ({ operationId, signal }): Promise<Ranges> => {
    const item = await itemNow(core, id);
    const { reverse } = item;
    if (!reverse || isAdopted(item) || item.disks.some((disk) => reverse.newBaselines[disk.key] === undefined)) return null;
    const oldWrites = await writesOfOldSource(core, item, operationId, signal);
    if (!oldWrites) return null;
    const journal = await core.journals.journal(item.state.direction.to, id);
    const after = await journal.extentsAfter(reverse.point);
    return Object.fromEntries(item.disks.map((disk) => [disk.key, extents.union(oldWrites[disk.key] ?? [], after.get(disk.key) ?? [])]));
  });

/** What the old source wrote after its newest sealed baseline, by its own tracker; undefined when that cannot be told. */
const writesOfOldSource = async (
  core: Core,
  item: Item,
  operationId: string,
  signal: AbortSignal,
): Promise<Record<DiskKey, Extent[]> | undefined> => {
  const baselines = item.reverse?.oldBaselines ?? {};
  if (item.disks.some((disk) => baselines[disk.key] === undefined)) return undefined;
  const session = await openEndpoint(core, item.source.endpoint);
  const { source } = session;
  if (source?.kind !== 'snapshot' || session.capabilities.tracking === 'none') return undefined;
  const call = () => callFor(core, operationId, signal);
  try {
    const since = new Map(item.disks.map((disk) => [disk.sourceDisk, baselines[disk.key] as never]));
    const snapshot = await source.createSnapshot([item.source.machine], { consistency: 'crash', orElse: 'crash', since }, call());
    try {
      const writes: Record<DiskKey, Extent[]> = {};
      for (const disk of item.disks) {
        const list: Extent[] = [];
        for await (const extent of source.changedExtents(snapshot.id, disk.sourceDisk, 0, call()))
          list.push({ offset: extent.offset, length: extent.length });
        writes[disk.key] = extents.normalise(list);
      }
      return writes;
    } finally {
      await source.releaseSnapshot(snapshot.id, 'abandoned', call());
    }
  } catch (error) {
    if (!isDrError(error, 'TRACKING_LOST', 'DISK_CHANGED', 'CAPABILITY_MISSING')) throw error;
    return undefined;
  }
};

/** The old source is adopted as replica; item, direction and journal turn round in one transaction. */
const adopt = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `adopt ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      if (isAdopted(item)) return null;
      const now = replicaOf(item);
      const home = await openEndpoint(core, now.endpoint);
      const old = await openEndpoint(core, item.source.endpoint);
      const target = facetOf(old, 'target');
      const source = facetOf(home, 'source');
      const { spec } = await home.inventory.getMachine(now.machine, callFor(core, operationId, signal));
      const epoch = { item: id, epoch: item.epoch.epoch + 1, holder: core.ownerId };
      if (old.fence) {
        const held = await old.fence.read(item.source.machine, callFor(core, operationId, signal));
        if (!held || held.epoch < epoch.epoch)
          await old.fence.advance(item.source.machine, held, epoch, callFor(core, operationId, signal));
      }
      const placed = await target.adoptReplica(
        item.source.machine,
        withKnownDisks(item, spec),
        fencedCall(core, { epoch }, operationId, signal),
      );
      for (const disk of item.disks) {
        const given = placed.disks.get(disk.replicaDisk as never);
        if (given !== disk.sourceDisk) {
          throw new DrError(
            'CONTRACT_VIOLATED',
            `adopting the old source of ${item.name} paired ${disk.key} with ${String(given)}, expected ${disk.sourceDisk}`,
            { context: { item: id, disk: disk.key } },
          );
        }
      }
      // Tracking of the old source's own writes has done its work.
      await source.enableTracking(now.machine, callFor(core, operationId, signal));
      const digest = item.reverse?.pointDigest ?? '';
      const journal = await core.journals.journal(item.source.site, id);
      if (!journal.newest()) {
        await journal.startDivergent({
          cycle: `${flow.jobId}/divergent`,
          point: core.runtime.newId('pt'),
          takenAt: nowIso(core),
          spec,
          disks: item.disks.map((disk) => ({ key: disk.key, sizeBytes: disk.sizeBytes })),
          epoch,
          sealedAt: nowIso(core),
          tags: { divergedFrom: digest },
        });
      }
      return {
        epoch,
        disks: item.disks.map(
          (disk): ItemDisk => ({
            key: disk.key,
            sizeBytes: disk.sizeBytes,
            sourceDisk: disk.replicaDisk as never,
            replicaDisk: disk.sourceDisk,
          }),
        ),
        traits: {
          targetForks: target.forks !== undefined,
          plannedPossible: canPlan(home),
          sourceStreams: source.kind === 'streaming',
          replicaAdopted: true,
        },
      };
    },
    {
      commit: async (tx, turned) => {
        if (!turned) return;
        const { epoch, disks, traits } = turned;
        // The points of the old direction are history that is no longer offered; its journal is removed at the end.
        await deletePointsOf(tx, id);
        await commitChange(tx, core, flow, id, {
          change: (item) =>
            assertValid({
              ...item,
              epoch,
              disks,
              traits,
              nics: item.nics.map((nic) => ({ key: nic.key, sourceNic: nic.replicaNic ?? nic.sourceNic, replicaNic: nic.sourceNic })),
              source: replicaOf(item),
              replica: item.source,
              baselines: item.reverse?.newBaselines ?? {},
              state: {
                ...item.state,
                direction: { from: item.state.direction.to, to: item.state.direction.from },
                active: { site: item.state.direction.to },
              },
            }),
          event: {
            kind: 'reprotect.adopted',
            message: 'the old source is the replica now; its disks as found are kept as the divergent point',
          },
        });
      },
    },
  );

/** The new source's definition, whose disks the engine can name on both sides. */
const withKnownDisks = (item: Item, spec: MachineSpec): MachineSpec => ({
  ...spec,
  disks: spec.disks.filter((disk) => item.disks.some((known) => known.replicaDisk === disk.id)),
});

const reverseCycle = (core: Core, flow: Flow, id: ItemId, ranges: Ranges): Promise<unknown> =>
  flow.step(`reverse cycle ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const group = await getGroup(core.store.db, item.groupId);
    const report = await runCycle(core, {
      group,
      items: [id],
      kind: 'reverse',
      cycleId: operationId,
      signal,
      ...(ranges ? { within: new Map([[id, new Map(Object.entries(ranges))]]) } : {}),
      onProgress: (_item, doneBytes) => flow.progress({ text: `re-protect of ${item.name}`, doneBytes }),
    });
    const failure = report.failures.get(id);
    if (failure) throw failure;
    return { point: report.points.get(id)?.point, compared: ranges === null };
  });

const finish = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `reprotected ${id}`,
    async () => {
      const item = await itemNow(core, id);
      await core.journals.remove(item.state.direction.from, id);
      return null;
    },
    {
      commit: async (tx) => {
        const item = await updateItem(tx, id, (now) => {
          const { reverse: _done, ...rest } = now;
          return assertValid({
            ...rest,
            state: { ...now.state, protection: 'Protected', sync: { is: 'Delta' }, active: { site: now.state.direction.from } },
          });
        });
        await recordEvent(tx, {
          at: nowIso(core),
          kind: 'reprotect.done',
          level: 'info',
          subject: item.name,
          jobId: flow.jobId,
          message: `${item.name} is protected again, from ${item.state.direction.from} to ${item.state.direction.to}`,
        });
      },
    },
  );
