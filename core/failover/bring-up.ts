// Starts a replica at a recovery point: on a fork, or in place where the target has none (V1).
import { type Baseline, DrError, type ItemId, isDrError, type MachineSpec } from '../contract/index.ts';
import { noteFailover, setFork, setTest } from '../domain/decide.ts';
import type { DiskKey, Item, ItemFork } from '../domain/item.ts';
import type { Flow } from '../flow/flow.ts';
import type { EndpointSession } from '../host/host.ts';
import type { Point } from '../journal/journal.ts';
import { commitChange, itemNow } from '../replication/changes.ts';
import { type Core, callFor, facetOf, fencedCall, openEndpoint, replicaOf } from '../replication/core.ts';
import { productionNics, testNics } from '../replication/networks.ts';
import { applySealed, openReplicaDisks } from '../replication/replica.ts';
import { deletePoints, listPoints } from '../state/points.ts';
import { selectPoint } from './select-point.ts';

const BOOT_WAIT_MS = 300_000;
const BOOT_POLL_MS = 1_000;

export interface BringUp {
  readonly purpose: 'test' | 'failover';
  readonly selector: string;
  readonly mode: 'overlay' | 'clone';
  /** Not after a planned failover at its final point (V11). */
  readonly newGenerationId: boolean;
  /** Distinguishes forks of one job (change point makes a second one). */
  readonly label: string;
}

export interface Chosen {
  readonly point: string;
  readonly takenAt: string;
  readonly digest: string;
}

/** The point is chosen once and written down: a resumed job does not choose anew. */
export const choosePoint = (core: Core, flow: Flow, id: ItemId, selector: string, label: string): Promise<Chosen> =>
  flow.step(`choose point ${label} ${id}`, async () => {
    const item = await itemNow(core, id);
    // A roll-back that was cut short leaves the disks between points: only the same one leads on.
    const journal = await core.journals.journal(item.state.direction.to, id);
    const { point, takenAt, digest } = await selectPoint(core, item, journal.rollingBackTo ?? selector);
    return { point, takenAt, digest };
  });

/** Apply of what is sealed up to the point: a fork begins at the head. */
export const settlePoint = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, label: string): Promise<null> =>
  flow.step(
    `settle ${label} ${id}`,
    async ({ signal }) => {
      const item = await itemNow(core, id);
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (journal.pending().some((point) => point.point === chosen.point)) await applySealed(core, id, signal, 'verb', chosen.point);
      return null;
    },
    { interruptible: true },
  );

const pointOf = async (core: Core, item: Item, id: string): Promise<Point> => selectPoint(core, item, id);

export const createFork = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<ItemFork> =>
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
      const spec = (await pointOf(core, item, chosen.point)).spec;
      const test = how.purpose === 'test' ? await testNics(core, item, spec, session, flow.jobId, signal) : undefined;
      const nics = test?.nics ?? (await productionNics(core, item, spec, replica.endpoint));
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
        ...(test ? { testNetworks: test.made } : {}),
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

const forkOf = (item: Item, purpose: BringUp['purpose']): ItemFork => {
  const fork = purpose === 'test' ? item.testFork : item.fork;
  if (!fork) throw new DrError('STATE_CONFLICT', `the fork of ${item.name} is gone`, { context: { item: item.id } });
  return fork;
};

/** An older point is written into the fork's disks; the replica stays as it is. */
export const materialiseFork = (core: Core, flow: Flow, id: ItemId, chosen: Chosen, how: BringUp): Promise<null> =>
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
export const markBaseline = (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Record<DiskKey, Baseline>> =>
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
    const snapshot = await source.createSnapshot([fork.machine], { consistency: 'crash', orElse: 'crash', since: new Map() }, call());
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

export const powerOnFork = (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<null> =>
  flow.step(`power on ${how.label} ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const session = await openEndpoint(core, replicaOf(item).endpoint);
    await facetOf(session, 'power').set(forkOf(item, how.purpose).machine, 'on', fencedCall(core, item, operationId, signal));
    return null;
  });

export interface Boot {
  readonly booted: boolean;
  readonly evidence: string;
  readonly atMs: number;
}

/** Waits until the guest itself answers. Never fails: what was seen is the result. */
export const awaitBoot = (core: Core, flow: Flow, id: ItemId, machine: string, endpoint: string, label: string): Promise<Boot> =>
  flow.step(
    `boot ${label} ${id}`,
    async ({ operationId, signal }) => {
      const session = await openEndpoint(core, endpoint);
      const deadline = core.runtime.clock.now() + BOOT_WAIT_MS;
      let seen = 'the guest did not answer';
      for (;;) {
        const now = core.runtime.clock.now();
        try {
          const found = await session.inventory.getMachine(machine as never, callFor(core, operationId, signal));
          if (found.power === 'on' && (found.guestName !== undefined || found.addresses.length > 0)) {
            return {
              booted: true,
              evidence: `guest ${found.guestName ?? ''} answers${found.addresses[0] ? ` at ${found.addresses[0]}` : ''}`,
              atMs: now,
            };
          }
          seen = found.power === 'on' ? 'powered on, but the guest did not answer' : `power is ${found.power}`;
        } catch (error) {
          if (!isDrError(error) || signal.aborted) throw error;
          seen = `${error.code}: ${error.message}`;
        }
        if (now >= deadline) return { booted: false, evidence: `${seen} within ${BOOT_WAIT_MS / 1000} s`, atMs: now };
        await core.runtime.clock.sleep(BOOT_POLL_MS, signal);
      }
    },
    { interruptible: true },
  );

/** Fork, older point, networks, power: all that comes before waiting for the guest. */
export const bringUp = async (core: Core, flow: Flow, id: ItemId, how: BringUp): Promise<Chosen> => {
  const chosen = await choosePoint(core, flow, id, how.selector, how.label);
  await settlePoint(core, flow, id, chosen, how.label);
  await createFork(core, flow, id, chosen, how);
  await materialiseFork(core, flow, id, chosen, how);
  if (how.purpose === 'failover') await markBaseline(core, flow, id, how);
  return chosen;
};

/** A target without forks: the replica itself is rolled back and started; power-on is the point of no return (V1). */
export const bringUpInPlace = async (core: Core, flow: Flow, id: ItemId, selector: string): Promise<Chosen> => {
  const chosen = await choosePoint(core, flow, id, selector, 'in place');
  await settlePoint(core, flow, id, chosen, 'in place');
  await flow.step(
    `roll back ${id}`,
    async ({ operationId, signal }) => {
      const item = await itemNow(core, id);
      const journal = await core.journals.journal(item.state.direction.to, id);
      if (journal.head()?.point === chosen.point) return null;
      const disks = openReplicaDisks(core, item, { signal, operationId });
      try {
        await journal.rollBack(chosen.point, await disks.all());
      } finally {
        await disks.close();
      }
      return null;
    },
    {
      commit: async (tx) => {
        const points = await listPoints(tx, id);
        const seq = points.find((point) => point.id === chosen.point)?.seq ?? Number.MAX_SAFE_INTEGER;
        await deletePoints(
          tx,
          points.filter((point) => point.seq > seq).map((point) => point.id),
        );
        await commitChange(tx, core, flow, id, { change: (item) => noteFailover(item, { point: chosen.point }) });
      },
    },
  );
  return chosen;
};

export const powerOnReplica = (core: Core, flow: Flow, id: ItemId): Promise<null> =>
  flow.step(`power on in place ${id}`, async ({ operationId, signal }) => {
    const item = await itemNow(core, id);
    const replica = replicaOf(item);
    await facetOf(await openEndpoint(core, replica.endpoint), 'power').set(
      replica.machine,
      'on',
      fencedCall(core, item, operationId, signal),
    );
    return null;
  });

/** Off first, then gone; both succeed when done before. */
export const removeFork = async (core: Core, item: Item, fork: ItemFork, operationId: string, signal: AbortSignal): Promise<void> => {
  const session = await openEndpoint(core, replicaOf(item).endpoint);
  const call = () => fencedCall(core, item, operationId, signal);
  try {
    await facetOf(session, 'power').set(fork.machine, 'off', call());
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
  await session.target?.forks?.discard(fork.id, call());
};
