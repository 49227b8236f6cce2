// What a cycle may cost production (T6): the age of its snapshots, and the free space at the source, where they grow.
import { DrError, isDrError, type Place, type PlaceId } from '../contract/index.ts';
import type { ReplicationPolicy } from '../domain/policy.ts';
import type { EndpointSession } from '../host/host.ts';
import { type Core, callFor } from './core.ts';
import type { Member } from './member-work.ts';

/** How long what an endpoint has said of its free space counts. */
const FRESH_MS = 10_000;

type Places = ReadonlyMap<PlaceId, Place>;

/** Free space at the storage of endpoints, asked for once for all cycles that run there. */
export class FreeSpace {
  readonly #looks = new Map<string, { readonly atMs: number; readonly places: Promise<Places | undefined> }>();

  /** Undefined when the endpoint does not say: what stands in the way is told by the cycle's own calls. */
  at(core: Core, session: EndpointSession, signal: AbortSignal): Promise<Places | undefined> {
    const now = core.runtime.clock.now();
    const known = this.#looks.get(session.endpointId);
    if (known && now - known.atMs < FRESH_MS) return known.places;
    const places = look(core, session, signal);
    this.#looks.set(session.endpointId, { atMs: now, places });
    return places;
  }
}

const look = async (core: Core, { endpointId, inventory }: EndpointSession, signal: AbortSignal): Promise<Places | undefined> => {
  const places = new Map<PlaceId, Place>();
  try {
    for await (const place of inventory.listPlaces('storage', callFor(core, `space/${endpointId}`, signal))) places.set(place.id, place);
  } catch (error) {
    if (!isDrError(error) && !signal.aborted) throw error;
    core.runtime.log.debug('the free space of an endpoint is not known', { endpoint: endpointId });
    return undefined;
  }
  return places;
};

/** One cycle's limits. */
export class CycleLimits {
  readonly #core: Core;
  readonly #policy: ReplicationPolicy;
  readonly #cycleId: string;
  readonly #reached = new AbortController();
  readonly #beganMs: number;
  #lookedMs: number;
  #members: readonly Member[] = [];
  #looking: Promise<void> | undefined;
  #failure: unknown;

  constructor(core: Core, policy: ReplicationPolicy, cycleId: string) {
    this.#core = core;
    this.#policy = policy;
    this.#cycleId = cycleId;
    this.#beganMs = core.runtime.clock.now();
    this.#lookedMs = this.#beganMs;
  }

  /** Aborts when one of them is reached. */
  get reached(): AbortSignal {
    return this.#reached.signal;
  }

  /** Before a snapshot of them is taken. Throws SOURCE_FULL. From then on their storage is watched. */
  async begin(members: readonly Member[], signal: AbortSignal): Promise<void> {
    await this.#assertSpace(members, signal);
    this.#members = [...this.#members, ...members];
  }

  /**
   * Asked with every block that was moved, a call that hangs is ended by its own deadline: ends the cycle before production suffers. What is read
   * of free space comes in beside the blocks.
   */
  check(signal: AbortSignal): void {
    const now = this.#core.runtime.clock.now();
    const { maxSnapshotSeconds } = this.#policy;
    if (now - this.#beganMs > maxSnapshotSeconds * 1_000) {
      this.#reached.abort(
        new DrError('TIMED_OUT', `the snapshots of cycle ${this.#cycleId} are older than ${maxSnapshotSeconds} s`, {
          context: { cycle: this.#cycleId },
          hint: 'the next cycle starts from the same baseline; raise maxSnapshotSeconds in the policy for very large first copies',
        }),
      );
    }
    if (this.#members.length === 0 || this.#looking || now - this.#lookedMs < FRESH_MS) return;
    this.#lookedMs = now;
    this.#looking = this.#assertSpace(this.#members, signal)
      .catch((error: unknown) => {
        if (isDrError(error)) this.#reached.abort(error);
        else this.#failure ??= error;
      })
      .finally(() => {
        this.#looking = undefined;
      });
  }

  /** Nothing is asked any more. */
  async end(): Promise<void> {
    await this.#looking;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #assertSpace(members: readonly Member[], signal: AbortSignal): Promise<void> {
    // A machine that was shut down writes nothing, and its last cycle may be what frees the storage.
    const watched = members.filter(({ item }) => item.state.protection !== 'FailingOver');
    if (this.#policy.sourceFreePercent === 0) return;
    for (const member of watched) {
      const places = await this.#core.freeSpace.at(this.#core, member.session, signal);
      const short = places && shortage(member, places, this.#policy.sourceFreePercent);
      if (short) throw short;
    }
  }
}

const shortage = ({ item, disks }: Member, places: Places, percent: number): DrError | undefined => {
  const sizes = Map.groupBy(disks, ({ storage }) => storage);
  for (const [storage, on] of sizes) {
    const place = storage === undefined ? undefined : places.get(storage);
    const needBytes = Math.ceil((on.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) * percent) / 100);
    if (place?.freeBytes === undefined || place.freeBytes >= needBytes) continue;
    const { id, name, freeBytes } = place;
    return new DrError(
      'SOURCE_FULL',
      `storage ${name} has ${freeBytes} bytes left: snapshots of ${item.name} are taken while ${needBytes} are free`,
      {
        context: { endpoint: item.source.endpoint, place: id, item: item.id, needBytes, freeBytes },
      },
    );
  }
  return undefined;
};
