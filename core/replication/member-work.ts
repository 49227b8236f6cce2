// One member's part in a cycle: its writer, its open replica disks, and what is done with each of its disks.
import { type Baseline, type DiskId, type DiskSpec, DrError, isDrError, type Snapshot } from '../contract/index.ts';
import { setSync } from '../domain/decide.ts';
import type { DiskKey, Item } from '../domain/item.ts';
import type { EndpointSession } from '../host/host.ts';
import type { Journal, Point } from '../journal/journal.ts';
import { recordEvent } from '../state/events.ts';
import { updateItem } from '../state/items.ts';
import type { CycleRecord } from '../state/points.ts';
import { captureDisk, type FrozenDisk, type Mode } from './capture.ts';
import { type Core, nowIso, replicaOf } from './core.ts';
import type { CycleRequest } from './cycle-begin.ts';
import { applySealed, openReplicaDisks, type ReplicaDisks } from './replica.ts';

/** Ranges that differed although the tracker did not name them. */
export interface Mismatches {
  readonly count: number;
  readonly bytes: number;
}

export const mismatchesOf = ({ tags }: Pick<Point, 'tags'>): Mismatches => ({
  count: Number(tags?.['mismatches'] ?? 0),
  bytes: Number(tags?.['mismatchBytes'] ?? 0),
});

/** One member on its way through the cycle. */
export interface Member {
  readonly item: Item;
  readonly pointId: string;
  readonly journal: Journal;
  readonly session: EndpointSession;
  readonly since: ReadonlyMap<DiskId, Baseline>;
  /** The disks that its source had when the cycle began. */
  readonly disks: readonly DiskSpec[];
}

/** The writer, the open replica disks and the modes of one member. */
export class MemberWork {
  readonly member: Member;
  readonly writer: Awaited<ReturnType<Journal['begin']>>;
  readonly #core: Core;
  readonly #request: CycleRequest;
  readonly #replicas: ReplicaDisks;
  readonly #modes: ReadonlyMap<DiskKey, Mode>;
  readBytes = 0;
  #comparedBytes = 0;
  #mismatches: Mismatches = { count: 0, bytes: 0 };
  /** A tracker was lost on the way. */
  turnedIntoComparison = false;

  private constructor(
    core: Core,
    request: CycleRequest,
    member: Member,
    writer: MemberWork['writer'],
    replicas: ReplicaDisks,
    modes: ReadonlyMap<DiskKey, Mode>,
  ) {
    this.#core = core;
    this.#request = request;
    this.member = member;
    this.writer = writer;
    this.#replicas = replicas;
    this.#modes = modes;
  }

  /** `snapshot`: what is read, where it stands still. A stream gives other content each time. */
  static async open(core: Core, request: CycleRequest, cycle: CycleRecord, member: Member, snapshot?: Snapshot): Promise<MemberWork> {
    const { item, journal, pointId } = member;
    const newest = journal.newest();
    const present = snapshot ? snapshot.disks.map(({ disk }) => disk) : member.disks.map(({ id }) => id);
    const modes = modesOf(request, member, new Set(present));
    const comparing = [...modes.values()].some((mode) => mode.is === 'compare' || mode.is === 'verify');
    const replicas = openReplicaDisks(core, item, {
      machine: replicaOf(item).machine,
      signal: request.signal,
      operationId: `${cycle.id}/replica`,
    });
    if (comparing) await standAtNewest(core, request, member);
    const writer = await journal.begin({
      cycle: cycle.id,
      point: pointId,
      kind: !newest ? 'first' : comparing ? 'compare' : 'delta',
      ...(cycle.doc.members.length > 1 ? { groupCycle: cycle.id } : {}),
      ...(newest ? { base: newest.point } : {}),
      ...(snapshot ? { frozen: `${snapshot.id} of ${snapshot.takenAt}` } : {}),
      disks: item.disks.map((disk) => ({ key: disk.key, sizeBytes: disk.sizeBytes, direct: modes.get(disk.key)?.is === 'first' })),
    });
    return new MemberWork(core, request, member, writer, replicas, modes);
  }

  /** Sealed with the point: an engine that dies right after must still learn what was found, for the point itself has mended it. */
  get tags(): Readonly<Record<string, string>> | undefined {
    const { count, bytes } = this.#mismatches;
    return count > 0 ? { mismatches: String(count), mismatchBytes: String(bytes) } : undefined;
  }

  modeOf(key: DiskKey): Mode {
    const mode = this.#modes.get(key);
    if (mode) return mode;
    const { id, name } = this.member.item;
    throw new DrError('DISK_CHANGED', `disk ${key} of ${name} came back while the cycle began`, { context: { item: id, disk: key } });
  }

  modeAfterFirst(key: DiskKey): Mode {
    return { is: this.modeOf(key).is === 'first' ? 'direct' : 'delta' };
  }

  async capture(disk: FrozenDisk, mode: Mode): Promise<void> {
    const { item, journal } = this.member;
    await captureDisk(
      {
        core: this.#core,
        item,
        journal,
        writer: this.writer,
        replica: (key) => this.#replicas.get(key),
        signal: this.#request.signal,
        onBytes: (bytes) => {
          this.readBytes += bytes;
          this.#request.onProgress?.(item, this.readBytes + this.#comparedBytes);
        },
        onCompared: (bytes) => {
          this.#comparedBytes += bytes;
          this.#request.onProgress?.(item, this.readBytes + this.#comparedBytes);
        },
        onTrackingLost: (key, error) => this.#turnIntoComparison(key, error),
        onMismatch: (length) => {
          this.#mismatches = { count: this.#mismatches.count + 1, bytes: this.#mismatches.bytes + length };
        },
      },
      disk,
      mode,
    );
  }

  /** TRACKING_LOST comes before the first pass of a stream: the next cycle compares. */
  async *tracked<T>(passes: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* passes;
    } catch (error) {
      if (isDrError(error, 'TRACKING_LOST')) await this.#noteTrackingLost('all disks', error);
      throw error;
    }
  }

  /** A delta did not need the replica's disks; a comparison does. */
  async #turnIntoComparison(key: DiskKey, error: DrError): Promise<void> {
    await this.#noteTrackingLost(key, error);
    await this.#replicas.close();
    await standAtNewest(this.#core, this.#request, this.member);
  }

  async #noteTrackingLost(key: DiskKey, error: DrError): Promise<void> {
    this.turnedIntoComparison = true;
    const { item } = this.member;
    await this.#core.store.transaction(async (tx) => {
      await updateItem(tx, item.id, (now) =>
        now.state.protection === 'Protected' && now.state.sync.is !== 'Paused'
          ? setSync(now, { is: 'Resyncing', reason: error.code })
          : now,
      );
      await recordEvent(tx, {
        at: nowIso(this.#core),
        kind: 'sync.tracking-lost',
        level: 'warning',
        subject: item.name,
        message: `changes of ${item.name} (${key}) can no longer be told (${error.message}): comparing and sending the differences`,
      });
    });
  }

  /** What was opened is closed, and an unsealed redo is given up unless it is a first copy that can go on (J4). */
  async during(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#request.signal.aborted && error instanceof DrError) await this.writer.discard();
      throw error;
    } finally {
      await this.#replicas.close();
    }
  }
}

/** The replica must stand at the newest point: what an interrupted cycle or apply left is applied first. */
const standAtNewest = async (core: Core, { signal }: CycleRequest, { item, journal }: Member): Promise<void> => {
  if (journal.pending().length > 0) await applySealed(core, item.id, signal, 'verb');
  if (journal.pending().length === 0) return;
  throw new DrError('STATE_CONFLICT', `${item.name} cannot be compared while sealed points wait for their apply`, {
    context: { item: item.id },
    hint: 'end the test failover, or wait until the points are applied',
  });
};

/** A disk that the source has no more has no part in the cycle. */
const modesOf = (request: CycleRequest, { item, journal, since }: Member, present: ReadonlySet<DiskId>): Map<DiskKey, Mode> => {
  const within = request.within?.get(item.id);
  const disks = item.disks.filter(({ sourceDisk }) => present.has(sourceDisk));
  return new Map(
    disks.map((disk): [DiskKey, Mode] => {
      if (!journal.hasDisk(disk.key)) return [disk.key, { is: 'first', compare: journal.allocated(disk.key).length > 0 }];
      const ranges = within?.get(disk.key);
      if (ranges) return [disk.key, { is: 'compare', within: ranges }];
      if (!since.has(disk.sourceDisk)) return [disk.key, { is: 'compare' }];
      return [disk.key, { is: request.verify ? 'verify' : 'delta' }];
    }),
  );
};
