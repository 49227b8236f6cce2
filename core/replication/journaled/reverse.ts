// Re-protect of a journaled machine: the old source is adopted, and only differences travel (V3).
import { DrError, type Extent, type ItemId, type MachineSpec } from '../../contract/index.ts';
import { isTurned } from '../../domain/decide.ts';
import * as extents from '../../domain/extents.ts';
import type { DiskKey, Item, ItemDisk } from '../../domain/item.ts';
import { assertValid } from '../../domain/validity.ts';
import type { Flow } from '../../flow/flow.ts';
import { deletePointsOf } from '../../state/points.ts';
import { getGroup } from '../../state/records.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, facetOf, fencedCall, nowIso, openEndpoint, replicaOf } from '../core.ts';
import { runCycle } from '../cycle.ts';
import { applySealed } from '../replica.ts';
import { canPlan } from './place.ts';
import { writtenSince } from './written.ts';

export const reverse = async (core: Core, flow: Flow, id: ItemId): Promise<void> => {
  // Found out by an earlier run of the job: somebody may have started the old source since, while no engine was there to see it.
  const mayBeOld = flow.did(`differences ${id}`);
  const known = await knownDifferences(core, flow, id);
  const ranges = mayBeOld ? null : known;
  await adopt(core, flow, id);
  await reverseCycle(core, flow, id, ranges);
  await flow.step(`reverse apply ${id}`, async ({ signal }) => applySealed(core, id, signal, 'verb'));
};

/** Ranges outside of which both sides are proven equal, but for what the new source's own tracker will add; null: nothing is proven, compare. */
type Ranges = Readonly<Record<DiskKey, readonly Extent[]>> | null;

const knownDifferences = (core: Core, flow: Flow, id: ItemId): Promise<Ranges> =>
  flow.step(`differences ${id}`, async ({ operationId, signal }): Promise<Ranges> => {
    const item = await itemNow(core, id);
    const { reverse } = item;
    if (!reverse || isTurned(item) || item.disks.some((disk) => reverse.newBaselines[disk.key] === undefined)) return null;
    const oldWrites = await writtenSince(core, item, reverse.oldBaselines, { operationId, signal });
    if (!oldWrites) return null;
    const journal = await core.journals.journal(item.state.direction.to, id);
    const after = await journal.extentsAfter(reverse.point);
    return Object.fromEntries(item.disks.map((disk) => [disk.key, extents.union(oldWrites[disk.key] ?? [], after.get(disk.key) ?? [])]));
  });

/** The old source is adopted as replica; item, direction and journal turn round in one transaction. */
const adopt = (core: Core, flow: Flow, id: ItemId): Promise<unknown> =>
  flow.step(
    `adopt ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      if (isTurned(item)) return null;
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
