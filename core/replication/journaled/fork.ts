// A copy on the replica's disks that leaves them as they are: made at a point, kept for good, or dropped.
import { type Baseline, DrError, type ItemId, isDrError, type Machine, type MachineSpec } from '../../contract/index.ts';
import { setFork, setTest } from '../../domain/decide.ts';
import type { DiskKey, Item, ItemDisk, ItemFork } from '../../domain/item.ts';
import type { Flow } from '../../flow/flow.ts';
import type { EndpointSession } from '../../host/host.ts';
import { listPoints } from '../../state/points.ts';
import { commitChange, itemNow } from '../changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../core.ts';
import { forkOf } from '../fork-of.ts';
import { productionNics, testNics } from '../networks.ts';
import { takeSnapshot } from '../orphans.ts';
import { openReplicaDisks } from '../replica.ts';
import type { BringUp, Chosen, Discarding, Doing, Promoted } from '../replicator.ts';
import { choosePoint, selectPoint, settlePoint } from './points.ts';

const createFork = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<ItemFork> =>
  flow.step(
    `fork ${how.label} ${id}`,
    async ({ operationId, signal }): Promise<ItemFork> => {
      const item = await itemNow(core, id);
      const replica = replicaOf(item);
      const session = await openEndpoint(core, replica.endpoint);
      const forks = facetOf(session, 'target').forks;
      if (!forks)
        throw new DrError('CAPABILITY_MISSING', `endpoint ${replica.endpoint} has no forks`, {
          context: { endpoint: replica.endpoint, kind: 'forks' },
        });
      const spec = (await selectPoint(core, item, chosen.point)).spec;
      const test = how.purpose === 'test' ? await testNics(core, item, spec, session, flow.jobId, signal) : undefined;
      const nics = test ?? (await productionNics(core, item, spec, replica.endpoint));
      const name = how.purpose === 'test' ? `${item.name} (test)` : item.name;
      const fork = await forks.create(
        replica.machine,
        { mode: how.mode, purpose: how.purpose, name, spec, newGenerationId: how.newGenerationId, nics },
        fencedCall(core, item, operationId, signal),
      );
      return {
        id: fork.id,
        machine: fork.machine.id,
        disks: byKey(item, spec, (disk) => fork.disks.get(disk)),
        nics: Object.fromEntries(
          item.nics.flatMap((nic) => (fork.nics.get(nic.sourceNic) ? [[nic.key, fork.nics.get(nic.sourceNic) as never]] : [])),
        ),
        purpose: how.purpose,
        mode: how.mode,
        point: chosen.point,
        operationId,
      };
    },
    {
      commit: async (tx, fork) => {
        await commitChange(tx, core, flow, id, {
          change: (item) => (how.purpose === 'test' ? setTest(item, 'Starting', fork) : setFork(item, fork)),
        });
      },
    },
  );

/** Disk ids of a point's definition are the source's of that time; keys are for ever. */
const byKey = <T extends string>(
  item: Item,
  spec: MachineSpec,
  find: (disk: MachineSpec['disks'][number]['id']) => T | undefined,
): Record<DiskKey, T> =>
  Object.fromEntries(
    spec.disks.flatMap((disk) => {
      const key = item.disks.find((candidate) => candidate.sourceDisk === disk.id)?.key;
      const id = find(disk.id);
      return key && id ? [[key, id]] : [];
    }),
  );

/** An older point is written into the fork's disks; the replica stays as it is. */
const materialiseFork = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<null> =>
  flow.step(`materialise ${how.label} ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const journal = await core.journals.journal(item.state.direction.to, id);
    if (journal.head()?.point === chosen.point) return null;
    const disks = openReplicaDisks(core, item, { signal, operationId, fork: forkOf(item, how.purpose) });
    try {
      const open = new Map(
        await Promise.all(Object.keys(forkOf(item, how.purpose).disks).map(async (key) => [key, await disks.get(key)] as const)),
      );
      await journal.materialise(chosen.point, open);
      for (const disk of open.values()) await disk.flush();
    } finally {
      await disks.close();
    }
    return null;
  });

/** V3: the mark before the first power-on, from which re-protect learns what the machine has written. Without one re-protect compares. */
const markBaseline = (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Record<DiskKey, Baseline>> =>
  flow.step(
    `mark ${how.label} ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const fork = forkOf(item, how.purpose);
      const session = await openEndpoint(core, replicaOf(item).endpoint);
      return baselineOf(core, session, item, fork, operationId, signal);
    },
    {
      commit: async (tx, baselines) => {
        await commitChange(tx, core, flow, id, { change: (item) => setFork(item, { ...forkOf(item, 'failover'), baselines }) });
      },
    },
  );

const baselineOf = async (
  core: Core,
  session: EndpointSession,
  item: Item,
  fork: ItemFork,
  operationId: string,
  signal: AbortSignal,
): Promise<Record<DiskKey, Baseline>> => {
  const { source } = session;
  if (source?.kind !== 'snapshot' || session.capabilities.tracking === 'none') return {};
  const call = () => callFor(core, operationId, signal);
  try {
    await source.enableTracking(fork.machine, call());
    const point = { consistency: 'crash', orElse: 'crash', since: new Map() } as const;
    const snapshot = await takeSnapshot(core, session, source, { machines: [fork.machine], point, operationId, signal });
    await source.releaseSnapshot(snapshot.id, 'sealed', call());
    const keys = new Map(Object.entries(fork.disks).map(([key, disk]) => [disk as string, key]));
    return Object.fromEntries(
      snapshot.disks.flatMap((disk) => (disk.baseline && keys.has(disk.disk) ? [[keys.get(disk.disk) as string, disk.baseline]] : [])),
    );
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    core.runtime.log.warn('no baseline before the first power-on: re-protect will compare', { item: item.id, code: error.code });
    return {};
  }
};

/** Point, fork, older content, baseline: all that comes before the power. */
export const bringUp = async (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Chosen> => {
  const chosen = await choosePoint(core, flow, id, how.selector, how.label);
  await settlePoint(core, flow, id, chosen, how.label);
  await createFork(core, flow, id, chosen, how);
  await materialiseFork(core, flow, id, chosen, how);
  if (how.purpose === 'failover') await markBaseline(core, flow, id, how);
  return chosen;
};

export const assertConnectable = async (core: Core, item: Item, selector: string): Promise<void> => {
  const { spec } = await selectPoint(core, item, selector);
  await productionNics(core, item, spec, replicaOf(item).endpoint);
};

/** Off first, then gone; both succeed when done before. */
export const discard = async (core: Core, item: Item, fork: ItemFork | undefined, { operationId, signal }: Discarding): Promise<void> => {
  if (!fork) return;
  const session = await openEndpoint(core, replicaOf(item).endpoint);
  const call = () => fencedCall(core, item, operationId, signal);
  try {
    await facetOf(session, 'power').set(fork.machine, 'off', call());
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
  await session.target?.forks?.discard(fork.id, call());
};

export const promote = async (core: Core, item: Item, { operationId, signal }: Doing): Promise<Promoted> => {
  if (!item.fork) throw new DrError('STATE_CONFLICT', `the fork of ${item.name} is gone`, { context: { item: item.id } });
  const { forks } = facetOf(await openEndpoint(core, replicaOf(item).endpoint), 'target');
  const machine = await forks?.promote(item.fork.id, fencedCall(core, item, operationId, signal));
  if (!machine)
    throw new DrError('CAPABILITY_MISSING', `endpoint ${replicaOf(item).endpoint} has no forks`, { context: { item: item.id } });
  const digest = (await listPoints(core.store.db, item.id)).find((point) => point.id === item.fork?.point)?.digest ?? '';
  return { machine: { id: machine.id, name: machine.name }, disks: disksAfter(item, machine), nics: nicsAfter(item, machine), digest };
};

export const keepRunning = async (core: Core, item: Item, { operationId, signal }: Doing): Promise<void> => {
  if (!item.fork) return;
  const session = await openEndpoint(core, replicaOf(item).endpoint);
  await session.target?.forks?.promote(item.fork.id, fencedCall(core, item, operationId, signal));
};

/** The machine that remains is the fork's or the replica itself: its own disks say which. It has none that its point did not have (P2). */
const disksAfter = (item: Item, machine: Machine): ItemDisk[] => {
  const present = new Set(machine.spec.disks.map((disk) => disk.id));
  return item.disks.flatMap((disk) => {
    const forked = item.fork?.disks[disk.key];
    const id = forked && present.has(forked) ? forked : disk.replicaDisk;
    if (!forked && !(id && present.has(id))) return [];
    if (!id || !present.has(id)) {
      throw new DrError('CONTRACT_VIOLATED', `after promotion ${machine.name} has no disk for ${disk.key} of ${item.name}`, {
        context: { item: item.id, disk: disk.key, machine: machine.id },
      });
    }
    return [{ ...disk, replicaDisk: id }];
  });
};

const nicsAfter = (item: Item, machine: Machine): Item['nics'] => {
  const present = new Set(machine.spec.nics.map((nic) => nic.id));
  return item.nics.map((nic) => {
    const forked = item.fork?.nics[nic.key];
    return forked && present.has(forked) ? { ...nic, replicaNic: forked } : nic;
  });
};
