// What a cycle is asked for, and what it begins with: its record, its members, and the baselines that they start from.
import { type Baseline, type DiskId, type DrError, type ItemId, isDrError } from '../contract/index.ts';
import type { DiskKey, Item } from '../domain/item.ts';
import type { ProtectionGroup } from '../domain/policy.ts';
import type { EndpointSession } from '../host/host.ts';
import type { Journal } from '../journal/journal.ts';
import { getItem } from '../state/items.ts';
import { type CycleRecord, findCycle, putCycle } from '../state/points.ts';
import { type Core, nowIso, sourceOf } from './core.ts';
import type { Member } from './member-work.ts';
import { followShape } from './shape.ts';

export interface CycleRequest {
  readonly group: ProtectionGroup;
  readonly items: readonly ItemId[];
  readonly kind: CycleRecord['kind'];
  /** A second call with the same id finishes or returns the same cycle. */
  readonly cycleId: string;
  readonly signal: AbortSignal;
  /** Streaming sources only: the machine stays frozen after its last pass (planned failover, V2). */
  readonly stayFrozen?: boolean;
  /** Ranges outside of which both sides are proven equal, by item and disk (re-protect, V3). */
  readonly within?: ReadonlyMap<ItemId, ReadonlyMap<DiskKey, readonly { readonly offset: number; readonly length: number }[]>>;
  /** Everything is compared, and what differs although the tracker did not name it is told by the point's tags (`mismatchesOf`). */
  readonly verify?: boolean;
  onProgress?(item: Item, readBytes: number): void;
}

/** Written before anything is touched: a kill leaves a record of what was meant. */
export const openCycle = async (core: Core, request: CycleRequest): Promise<CycleRecord> => {
  const known = await findCycle(core.store.db, request.cycleId);
  if (known && known.phase !== 'abandoned') return known;
  const cycle: CycleRecord = {
    id: request.cycleId,
    groupId: request.group.id,
    kind: request.kind,
    phase: 'intent',
    startedAt: nowIso(core),
    doc: { members: request.items.map((item) => ({ item, point: core.runtime.newId('pt') })), snapshots: [] },
  };
  await core.store.transaction((tx) => putCycle(tx, cycle));
  return cycle;
};

export interface Prepared {
  readonly members: readonly Member[];
  /** Machines that are gone, or whose endpoint is: the others go on without them. */
  readonly failures: ReadonlyMap<ItemId, DrError>;
}

export const prepare = async (core: Core, request: CycleRequest, cycle: CycleRecord): Promise<Prepared> => {
  const failures = new Map<ItemId, DrError>();
  const prepared = await Promise.all(
    cycle.doc.members.map(async ({ item, point }) => {
      try {
        return await memberOf(core, request, item, point);
      } catch (error) {
        if (!isDrError(error) || request.signal.aborted) throw error;
        failures.set(item, error);
        return undefined;
      }
    }),
  );
  return { members: prepared.filter((member) => member !== undefined), failures };
};

const memberOf = async (core: Core, request: CycleRequest, id: ItemId, pointId: string): Promise<Member> => {
  const found = await getItem(core.store.db, id);
  const session = await sourceOf(core, found, request.signal);
  const { item, disks } = await followShape(core, found, session, request.signal);
  const journal = await core.journals.journal(item.state.direction.to, item.id);
  return { item, pointId, journal, session, since: baselinesToAsk(request, item, session, journal), disks };
};

/**
 * The baselines that a delta starts from: none when this cycle must compare or copy. They are those of the very point that the delta
 * builds on (T1, T3): a divergent point has none. Only a reverse cycle with proven ranges starts from marks beside the journal (V3).
 */
const baselinesToAsk = (request: CycleRequest, item: Item, session: EndpointSession, journal: Journal): Map<DiskId, Baseline> => {
  const since = new Map<DiskId, Baseline>();
  const proven = request.within?.has(item.id) === true;
  const delta = proven || item.state.sync.is === 'Delta' || item.state.sync.is === 'Stalled';
  if (!delta || session.capabilities.tracking === 'none') return since;
  const known = proven ? item.baselines : ((journal.newest()?.baselines ?? {}) as Item['baselines']);
  for (const disk of item.disks) {
    const baseline = known[disk.key];
    // A disk that has grown since the point is compared: item.baselines has lost its entry.
    if (baseline !== undefined && item.baselines[disk.key] !== undefined) since.set(disk.sourceDisk, baseline);
  }
  return since;
};

/** Machines that one snapshot call may take together. */
export const groupCalls = (members: readonly Member[]): Member[][] => {
  const byEndpoint = Map.groupBy(members, (member) => member.item.source.endpoint);
  return [...byEndpoint.values()].flatMap((group) =>
    group[0]?.session.capabilities.atomicity === 'group' ? [group] : group.map((member) => [member]),
  );
};
