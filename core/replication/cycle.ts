// One cycle of a protection group: snapshot, read, seal, store, release, in the order of rule T2.
import {
  type Baseline,
  DrError,
  type ItemId,
  isDrError,
  type MachineSpec,
  type PointRequest,
  type Snapshot,
  type StreamingSource,
} from '../contract/index.ts';
import type { DiskKey, Item } from '../domain/item.ts';
import type { ReplicationPolicy } from '../domain/policy.ts';
import type { Point } from '../journal/journal.ts';
import { getItem } from '../state/items.ts';
import { type CycleRecord, putCycle } from '../state/points.ts';
import { getPolicy } from '../state/records.ts';
import { baselinesOf, frozenByPass, frozenBySnapshot, pointDisks } from './capture.ts';
import { type Core, callFor, emit, endReleases, facetOf, nowIso } from './core.ts';
import { type CycleRequest, groupCalls, openCycle, type Prepared, prepare } from './cycle-begin.ts';
import { noteFailure, releaseCycle, storePoint } from './cycle-end.ts';
import { CycleLimits } from './limits.ts';
import { type Member, MemberWork } from './member-work.ts';
import { takeSnapshot } from './orphans.ts';

export interface CycleReport {
  readonly cycleId: string;
  readonly points: ReadonlyMap<ItemId, Point>;
  readonly failures: ReadonlyMap<ItemId, DrError>;
}

export const runCycle = (core: Core, request: CycleRequest): Promise<CycleReport> =>
  core.locks.with(`group ${request.group.id}`, request.signal, async () => {
    const interrupt = new AbortController();
    // Before its record is there: nobody is to take it for one that was left.
    core.activeCycles.set(request.cycleId, { groupId: request.group.id, interrupt });
    try {
      await endReleases(core, request.group.id);
      const policy = await getPolicy(core.store.db, request.group.policy);
      const cycle = await openCycle(core, request);
      const calledOff = AbortSignal.any([request.signal, interrupt.signal]);
      const prepared = await prepare(core, { ...request, signal: calledOff }, cycle);
      return await new CycleRun(core, request, policy, cycle, calledOff).execute(prepared);
    } finally {
      core.activeCycles.delete(request.cycleId);
    }
  });

const THAW_POLL_MS = 1_000;

class CycleRun {
  readonly #core: Core;
  readonly #request: CycleRequest;
  readonly #policy: ReplicationPolicy;
  #cycle: CycleRecord;
  readonly #points = new Map<ItemId, Point>();
  /** Sealed by an earlier run: what is captured now may be of another instant. */
  readonly #earlier = new Map<ItemId, Point>();
  readonly #failures = new Map<ItemId, DrError>();
  /** Aborts with the request, and when the cycle must give way: at once, for its source may be what is gone. */
  readonly #calledOff: AbortSignal;
  /** Also aborts at the cycle's limits. */
  readonly #work: AbortSignal;
  readonly #limits: CycleLimits;
  #firstCallAt = Number.POSITIVE_INFINITY;
  #lastReturnAt = 0;
  #calls = 0;

  constructor(core: Core, request: CycleRequest, policy: ReplicationPolicy, cycle: CycleRecord, calledOff: AbortSignal) {
    this.#core = core;
    this.#request = request;
    this.#policy = policy;
    this.#cycle = cycle;
    this.#limits = new CycleLimits(core, policy, cycle.id);
    this.#calledOff = calledOff;
    this.#work = AbortSignal.any([calledOff, this.#limits.reached]);
  }

  get #grouped(): boolean {
    return this.#cycle.doc.members.length > 1;
  }

  async execute({ members, failures }: Prepared): Promise<CycleReport> {
    await this.#noteEarlier();
    for (const [id, error] of failures) if (!this.#points.has(id)) await this.#fail(await getItem(this.#core.store.db, id), error);
    const streaming = members.filter((member) => this.#isOpen(member) && member.session.source?.kind === 'streaming');
    const snapshots = await this.#takeSnapshots(members.filter((member) => member.session.source?.kind === 'snapshot'));
    await this.#setPhase('reading');
    await Promise.all([
      ...snapshots.flatMap(({ snapshot, group }) =>
        group.map((member) => this.#attempt(member, () => this.#captureSnapshot(member, snapshot))),
      ),
      ...streaming.map((member) => this.#attempt(member, () => this.#captureOnceThawed(member))),
    ]);
    await this.#limits.end();
    await this.#decideGroup(members);
    await this.#storePoints();
    await this.#release(members);
    return { cycleId: this.#cycle.id, points: this.#points, failures: this.#failures };
  }

  /** A retry after a kill: what was sealed stays sealed (J3), whether or not its endpoint answers now. */
  async #noteEarlier(): Promise<void> {
    for (const { item: id } of this.#cycle.doc.members) {
      const item = await getItem(this.#core.store.db, id);
      const sealed = (await this.#core.journals.journal(item.state.direction.to, id)).findCycle(this.#cycle.id);
      if (!sealed) continue;
      this.#earlier.set(id, sealed);
      this.#points.set(id, sealed);
    }
  }

  #isOpen = (member: Member): boolean => !this.#points.has(member.item.id);

  /** Also aborts at the cycle's limits. */
  #limited(): CycleRequest {
    return {
      ...this.#request,
      signal: this.#work,
      onProgress: (item, readBytes) => {
        this.#limits.check(this.#work);
        this.#request.onProgress?.(item, readBytes);
      },
    };
  }

  /** A member's failure is its own: the others go on and get their points. */
  async #attempt(member: Member, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // A crash of the ports, or the engine stopping, is not a failure of the machine.
      if (!(error instanceof DrError) || this.#request.signal.aborted) throw error;
      // What failed after the seal does not undo it: the point exists (J3).
      const sealed = member.journal.findCycle(this.#cycle.id);
      if (sealed) {
        this.#points.set(member.item.id, sealed);
        return;
      }
      await this.#fail(member.item, error);
    }
  }

  #fail({ id, name }: Item, error: DrError): Promise<void> {
    this.#failures.set(id, error);
    return emit(this.#core, {
      kind: 'cycle.failed',
      level: error.code === 'ABORTED' ? 'info' : 'warning',
      subject: name,
      message: `cycle of ${name} failed: ${error.message}`,
      data: { code: error.code, hint: error.hint, cycle: this.#cycle.id },
    });
  }

  async #setPhase(phase: CycleRecord['phase'], more: Partial<CycleRecord> = {}): Promise<void> {
    this.#cycle = { ...this.#cycle, phase, ...more };
    await this.#core.store.transaction((tx) => putCycle(tx, this.#cycle));
  }

  // ---- snapshots -------------------------------------------------------------------------------------------------------

  /** The calls are those of the first run, whoever has sealed since: by their operation each finds the snapshot that it took. */
  async #takeSnapshots(members: readonly Member[]): Promise<{ snapshot: Snapshot; group: Member[] }[]> {
    const calls = groupCalls(members);
    const taken = await Promise.all(
      calls.map(async (group, index) => {
        const open = group.filter(this.#isOpen);
        if (open.length === 0) return undefined;
        try {
          await this.#limits.begin(open, this.#work);
          return { snapshot: await this.#takeSnapshot(group, `${this.#cycle.id}/${index}`), group: open };
        } catch (error) {
          for (const member of open) await this.#attempt(member, () => Promise.reject(error));
          return undefined;
        }
      }),
    );
    const found = taken.filter((entry) => entry !== undefined);
    const snapshots = found.map(({ snapshot, group }) => ({
      endpoint: group[0]?.item.source.endpoint ?? '',
      id: snapshot.id as string,
      items: group.map((member) => member.item.id),
    }));
    const earlier = this.#cycle.doc.snapshots.filter(({ id }) => !snapshots.some((snapshot) => snapshot.id === id));
    this.#cycle = { ...this.#cycle, doc: { ...this.#cycle.doc, snapshots: [...earlier, ...snapshots] } };
    return found;
  }

  async #takeSnapshot(group: readonly Member[], operationId: string): Promise<Snapshot> {
    const [first] = group;
    const source = first?.session.source;
    if (!first || source?.kind !== 'snapshot') throw new DrError('INTERNAL', 'a snapshot of nothing was asked for');
    const since = new Map(group.flatMap((member) => [...member.since]));
    const machines = group.map((member) => member.item.source.machine);
    const want = { ...this.#wanted(group), since };
    const operation = { machines, point: want, operationId, signal: this.#work };
    this.#noteCall();
    const snapshot = await takeSnapshot(this.#core, first.session, source, operation);
    this.#noteReturn();
    return snapshot;
  }

  /** P3, at most as often as the policy says: quiescing costs the guest. */
  #wanted(members: readonly Member[]): Pick<PointRequest, 'consistency' | 'orElse'> {
    const { consistency, orElse, applicationIntervalSeconds } = this.#policy;
    // A machine that was shut down has nothing left to quiesce.
    const down = members.every((member) => member.item.state.protection === 'FailingOver');
    if (consistency === 'crash' || down) return { consistency: 'crash', orElse: 'crash' };
    const since = this.#core.runtime.clock.now() - applicationIntervalSeconds * 1_000;
    const fresh = members.every((member) => {
      const last = member.journal.points.findLast((point) => point.consistency === 'application');
      return last !== undefined && Date.parse(last.takenAt) > since;
    });
    return fresh ? { consistency: 'crash', orElse: 'crash' } : { consistency, orElse };
  }

  #noteCall(): void {
    this.#calls += 1;
    this.#firstCallAt = Math.min(this.#firstCallAt, this.#core.runtime.clock.now());
  }

  #noteReturn(): void {
    this.#lastReturnAt = Math.max(this.#lastReturnAt, this.#core.runtime.clock.now());
  }

  /** P1: one plugin call may claim its own atomicity; several are skewed by the time between the earliest call and the latest return. */
  #atomicity(one: Snapshot['atomicity'], takenAt: string): Snapshot['atomicity'] {
    const earlier = [...this.#earlier.values()];
    const skewedMs = Math.max(
      this.#calls > 1 ? this.#lastReturnAt - this.#firstCallAt : 0,
      spreadMs([takenAt, ...earlier.map((point) => point.takenAt)]),
      ...earlier.map(claimedMs),
    );
    return this.#calls > 1 || skewedMs > 0 ? { skewedMs } : one;
  }

  async #captureSnapshot(member: Member, snapshot: Snapshot): Promise<void> {
    const source = member.session.source;
    const spec = snapshot.specs.get(member.item.source.machine);
    if (source?.kind !== 'snapshot' || !spec)
      throw new DrError('CONTRACT_VIOLATED', `the snapshot of ${member.item.name} has no definition of it`);
    const disks = frozenBySnapshot({ core: this.#core, signal: this.#work }, source, snapshot, member.item);
    const work = await MemberWork.open(this.#core, this.#limited(), this.#cycle, member, snapshot);
    await work.during(async () => {
      const started = this.#core.runtime.clock.now();
      for (const disk of disks) await work.capture(disk, work.modeOf(disk.key));
      await this.#seal(work, {
        spec,
        takenAt: snapshot.takenAt,
        atomicity: this.#atomicity(snapshot.atomicity, snapshot.takenAt),
        consistency: snapshot.consistency,
        ...(snapshot.fellBackBecause === undefined ? {} : { fellBackBecause: snapshot.fellBackBecause }),
        baselines: baselinesOf(disks),
        readMs: this.#core.runtime.clock.now() - started,
      });
    });
  }

  // ---- streams ---------------------------------------------------------------------------------------------------------

  /** A freeze of ours that outlived its engine runs out by itself, at the latest after the policy's maximum: it is waited out. */
  async #captureOnceThawed(member: Member): Promise<void> {
    const { clock } = this.#core.runtime;
    const until = clock.now() + this.#policy.maxFreezeMs + THAW_POLL_MS;
    for (;;) {
      try {
        return await this.#captureStream(member);
      } catch (error) {
        if (!isDrError(error, 'TASK_IN_PROGRESS') || clock.now() >= until) throw error;
        await clock.sleep(THAW_POLL_MS, this.#work);
      }
    }
  }

  async #captureStream(member: Member): Promise<void> {
    const source = facetOf(member.session, 'source') as StreamingSource;
    const operationId = `${this.#cycle.id}/${member.item.id}`;
    const context = { core: this.#core, signal: this.#work };
    const work = await MemberWork.open(this.#core, this.#limited(), this.#cycle, member);
    await work.during(async () => {
      const started = this.#core.runtime.clock.now();
      const want = {
        ...this.#wanted([member]),
        since: member.since,
        maxFreezeMs: this.#policy.maxFreezeMs,
        afterFinal: this.#request.stayFrozen ? ('stayFrozen' as const) : ('thaw' as const),
      };
      this.#noteCall();
      const passes = source.capture(member.item.source.machine, want, callFor(this.#core, operationId, this.#work));
      let final: { spec: MachineSpec; takenAt: number; baselines: Record<DiskKey, Baseline> } | undefined;
      let askedAt = this.#core.runtime.clock.now();
      let first = true;
      for await (const pass of work.tracked(passes)) {
        const disks = frozenByPass(context, pass, member.item, operationId);
        // Later passes bring what was written since: never compared, or a block that changed back would be lost.
        for (const disk of disks) await work.capture(disk, first ? work.modeOf(disk.key) : work.modeAfterFirst(disk.key));
        // The freeze began after we asked for this pass: that moment is never later than the state's.
        if (pass.final) final = { spec: pass.spec, takenAt: askedAt, baselines: baselinesOf(disks) };
        first = false;
        askedAt = this.#core.runtime.clock.now();
      }
      this.#noteReturn();
      if (!final) throw new DrError('CONTRACT_VIOLATED', `the capture of ${member.item.name} ended without a final pass`);
      const takenAt = new Date(final.takenAt).toISOString();
      await this.#seal(work, {
        spec: final.spec,
        takenAt,
        atomicity: this.#atomicity('frozen', takenAt),
        consistency: 'crash',
        baselines: final.baselines,
        readMs: this.#core.runtime.clock.now() - started,
      });
    });
  }

  // ---- seal, store, release ----------------------------------------------------------------------------------------------

  async #seal(work: MemberWork, taken: Taken): Promise<void> {
    this.#limits.check(this.#work);
    this.#work.throwIfAborted();
    const { item, pointId } = work.member;
    const point = await work.writer.seal({
      takenAt: taken.takenAt,
      ...(work.turnedIntoComparison ? { kind: 'compare' as const } : {}),
      ...(work.tags ? { tags: work.tags } : {}),
      spec: taken.spec,
      disks: pointDisks(item, taken.spec),
      baselines: taken.baselines,
      epoch: item.epoch,
      consistency: taken.consistency,
      ...(taken.fellBackBecause === undefined ? {} : { fellBackBecause: taken.fellBackBecause }),
      atomicity: taken.atomicity,
      timings: {
        waitMs: Math.max(0, Date.parse(taken.takenAt) - Date.parse(this.#cycle.startedAt)),
        readMs: taken.readMs,
        readBytes: work.readBytes,
      },
      sealedAt: nowIso(this.#core),
    });
    if (point.point !== pointId)
      throw new DrError('STATE_CONFLICT', `cycle ${this.#cycle.id} of ${item.name} was sealed as ${point.point}`, {
        context: { item: item.id },
      });
    this.#points.set(item.id, point);
  }

  /** P1: the group's mark decides. Parts of an abandoned group cycle become their members' own points: also those that say less than lies between them. */
  async #decideGroup([first]: readonly Member[]): Promise<void> {
    if (!this.#grouped || !first) return;
    const marks = await this.#core.journals.marks(first.item.state.direction.to);
    await marks.decideGroup(this.#cycle.id, this.#isWhole() ? 'complete' : 'abandoned');
  }

  #isWhole(): boolean {
    const apart = spreadMs([...this.#points.values()].map((point) => point.takenAt));
    return this.#points.size === this.#cycle.doc.members.length && [...this.#earlier.values()].every((point) => claimedMs(point) >= apart);
  }

  async #storePoints(): Promise<void> {
    await this.#core.store.transaction(async (tx) => {
      for (const { item: id } of this.#cycle.doc.members) {
        const point = this.#points.get(id);
        const failure = this.#failures.get(id);
        if (point) await storePoint(tx, this.#core, id, point);
        else if (failure) await noteFailure(tx, id, failure);
      }
      this.#cycle = { ...this.#cycle, phase: 'stored' };
      await putCycle(tx, this.#cycle);
    });
  }

  /**
   * T2: both baselines live until here. The points exist already: an endpoint that does not answer now is released later, as after a kill
   * (reconcile finds the cycle by its phase and the snapshots by their tag).
   */
  async #release(members: readonly Member[]): Promise<void> {
    try {
      await releaseCycle(this.#core, this.#cycle, members, new Set(this.#points.keys()), this.#calledOff);
    } catch (error) {
      if (!(error instanceof DrError) || this.#request.signal.aborted) throw error;
      this.#core.runtime.log.warn('snapshots of a cycle could not be released yet', { cycle: this.#cycle.id, code: error.code });
      return;
    }
    // What an endpoint holds that was out of reach from the start is given back later, too.
    const reached = new Set(members.map(({ item }) => item.source.endpoint));
    if (this.#cycle.doc.snapshots.every(({ endpoint }) => reached.has(endpoint)))
      await this.#setPhase('ended', { endedAt: nowIso(this.#core) });
  }
}

interface Taken {
  readonly spec: MachineSpec;
  readonly takenAt: string;
  readonly atomicity: Snapshot['atomicity'];
  readonly consistency: 'crash' | 'application';
  readonly fellBackBecause?: string;
  readonly baselines: Readonly<Record<DiskKey, Baseline>>;
  readonly readMs: number;
}

const spreadMs = (takenAt: readonly string[]): number => {
  const times = takenAt.map((time) => Date.parse(time));
  return Math.max(...times) - Math.min(...times);
};

const claimedMs = ({ atomicity }: Point): number => (typeof atomicity === 'string' ? 0 : atomicity.skewedMs);
