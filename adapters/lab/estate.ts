import { EventEmitter } from 'node:events';
import {
  type DiskId,
  DrError,
  type Epoch,
  type ForkId,
  type Machine,
  type MachineId,
  type MachineSpec,
  type NicId,
  type PlaceId,
  type SnapshotId,
} from '../../core/contract/index.ts';
import type { BackingStore } from './backing.ts';
import type { GuestDisk } from './database.ts';
import { bootGuest, type Guest, resumeGuest } from './guest.ts';
import type { Truth, Violation } from './port.ts';
import type { ReplicationLog } from './powershell/replica/log.ts';
import { PROFILES, type Profile } from './profiles.ts';
import { Random } from './random.ts';
import type { EndpointRecord, EstateEvents, ForkRecord, MachineRecord, PlaceRecord, SiteRecord, SnapshotRecord } from './records.ts';
import { type ClockMode, Timeline } from './timeline.ts';
import { Tracker } from './tracker.ts';
import { findTwoLive, isAppliance } from './two-live.ts';
import { Volume } from './volume.ts';
import { WriteCache } from './write-cache.ts';

export interface EstateOptions {
  readonly seed?: number | string | undefined;
  readonly clock?: ClockMode | undefined;
  readonly startMs?: number | undefined;
  readonly store: BackingStore;
}

interface Layer {
  readonly volume: Volume;
  readonly storage: PlaceId;
  readonly snapshot: boolean;
}

/** Long enough for every comparison of a run, short enough for the state file. */
const MOST_TRUTHS = 5000;

/** The simulated world: what there is, what time does to it, and the laws that every operation keeps. What a vendor's call does is in operations/. */
export class Estate {
  readonly seed: string;
  readonly random: Random;
  readonly timeline: Timeline;
  readonly store: BackingStore;
  readonly sites = new Map<string, SiteRecord>();
  readonly endpoints = new Map<string, EndpointRecord>();
  readonly machines = new Map<MachineId, MachineRecord>();
  readonly snapshots = new Map<SnapshotId, SnapshotRecord>();
  readonly forks = new Map<ForkId, ForkRecord>();
  readonly layers = new Map<string, Layer>();
  readonly trackers = new Map<DiskId, Tracker>();
  /** Of machines that Hyper-V replicates by itself. */
  readonly logs = new Map<DiskId, ReplicationLog>();
  readonly caches = new Map<DiskId, WriteCache>();
  readonly guests = new Map<MachineId, Guest>();
  /** `held`: frozen after its final pass, only power ends it. */
  readonly freezes = new Map<MachineId, { readonly id: string; held: boolean; readonly callOff: () => void }>();
  readonly violations: Violation[] = [];
  readonly truths: Truth[] = [];
  /** So many older ones are forgotten. */
  truthsDropped = 0;
  /** For whoever waits for something else than time. */
  readonly changed = new EventEmitter<EstateEvents>().setMaxListeners(0);
  readonly usedBytes = new Map<PlaceId, number>();
  counter = 0;
  #revision = 0;
  readonly #touched = new Map<MachineId, { endpoint: string; revision: number; gone: boolean }>();
  readonly #poweredAt = new Map<MachineId, number>();

  constructor(options: EstateOptions) {
    this.seed = String(options.seed ?? 1);
    this.random = new Random(this.seed);
    this.store = options.store;
    this.timeline = new Timeline(options.clock ?? 'jump', options.startMs ?? Date.UTC(2026, 0, 1), (elapsedMs) => this.#elapse(elapsedMs));
  }

  /** Rises with each change that a watcher or the state file should see. */
  get revision(): number {
    return this.#revision;
  }

  set revision(value: number) {
    this.#revision = value;
    this.changed.emit('any');
  }

  now(): string {
    return new Date(this.timeline.now()).toISOString();
  }

  /** Unique in the whole estate, for its life. */
  nextId(prefix: string): string {
    return `${prefix}-${++this.counter}`;
  }

  touch(machine: MachineRecord, gone = false): void {
    this.revision++;
    this.#touched.set(machine.id, { endpoint: machine.endpoint, revision: this.revision, gone });
    this.changed.emit('machine', machine.id);
  }

  touchedSince(endpoint: string, revision: number): { changed: MachineId[]; gone: MachineId[] } {
    const rows = [...this.#touched].filter(([, row]) => row.endpoint === endpoint && row.revision > revision);
    return { changed: rows.filter(([, row]) => !row.gone).map(([id]) => id), gone: rows.filter(([, row]) => row.gone).map(([id]) => id) };
  }

  // ---- looking things up --------------------------------------------------------------------------------------------

  endpoint(name: string): EndpointRecord {
    return this.endpoints.get(name) ?? missing('endpoint', name);
  }

  profileOf(of: { readonly endpoint: string }): Profile {
    return PROFILES[this.endpoint(of.endpoint).profile];
  }

  /** Of this endpoint, or anywhere when none is named. */
  machine(id: MachineId, endpoint?: string): MachineRecord {
    const machine = this.machines.get(id);
    return machine && (endpoint === undefined || machine.endpoint === endpoint) ? machine : missing('machine', id);
  }

  fork(id: ForkId, at: { readonly endpoint: string; readonly owner: string }): ForkRecord {
    const fork = this.forks.get(id);
    return fork && fork.endpoint === at.endpoint && fork.owner === at.owner ? fork : missing('fork', id);
  }

  place(endpoint: EndpointRecord, id: PlaceId, kind?: PlaceRecord['kind']): PlaceRecord {
    return endpoint.places.find((place) => place.id === id && (kind === undefined || place.kind === kind)) ?? missing(kind ?? 'place', id);
  }

  layer(name: string): Layer {
    return this.layers.get(name) ?? missing('layer', name);
  }

  /** The layer that the machine itself writes to. */
  live(machine: MachineRecord, disk: DiskId): Volume {
    const name = machine.volumes[disk];
    return name === undefined ? missing('disk', disk) : this.layer(name).volume;
  }

  forksOf(replica: MachineId): ForkRecord[] {
    return [...this.forks.values()].filter((fork) => fork.replica === replica && fork.state !== 'promoted');
  }

  describe(machine: MachineRecord): Machine {
    const guest = this.guests.get(machine.id);
    return {
      id: machine.id,
      name: machine.name,
      power: machine.power,
      spec: machine.spec,
      labels: machine.labels,
      addresses: guest?.addresses ?? [],
      ...(machine.power === 'on' && machine.bootedAtMs !== undefined ? { bootedAt: new Date(machine.bootedAtMs).toISOString() } : {}),
      ...(machine.host === undefined ? {} : { host: machine.host }),
      ...(guest ? { guestName: guest.hostname } : {}),
      ...(machine.protectedElsewhere === undefined ? {} : { protectedElsewhere: machine.protectedElsewhere }),
    };
  }

  // ---- disks --------------------------------------------------------------------------------------------------------

  freeBytes(endpoint: EndpointRecord, storage: PlaceId): number {
    const { capacityBytes = 0, foreignBytes = 0 } = this.place(endpoint, storage, 'storage');
    return Math.max(0, capacityBytes - foreignBytes - (this.usedBytes.get(storage) ?? 0));
  }

  createLayer(sizeBytes: number, storage: PlaceId, parent?: Volume): Volume {
    const name = this.nextId('disk');
    return this.addLayer(Volume.create(this.store, name, sizeBytes, parent, this.accountFor(storage)), storage, false);
  }

  snapshotLayer(of: Volume): Volume {
    const { storage } = this.layer(of.name);
    return this.addLayer(of.snapshot(this.store, this.nextId('snap'), this.accountFor(storage)), storage, true);
  }

  addLayer(volume: Volume, storage: PlaceId, snapshot: boolean): Volume {
    this.layers.set(volume.name, { volume, storage, snapshot });
    return volume;
  }

  accountFor(storage: PlaceId): (deltaBytes: number) => void {
    return (deltaBytes) => this.usedBytes.set(storage, (this.usedBytes.get(storage) ?? 0) + deltaBytes);
  }

  removeLayer(name: string): void {
    this.layers.get(name)?.volume.remove();
    this.layers.delete(name);
  }

  /** A write as the machine's hypervisor sees it: tracked, and saved into snapshots. */
  write(machine: MachineRecord, disk: DiskId, offset: number, data: Uint8Array | number): void {
    const volume = this.live(machine, disk);
    const length = typeof data === 'number' ? data : data.length;
    this.trackers.get(disk)?.record(offset, length);
    this.logs.get(disk)?.record(offset, length);
    if (typeof data === 'number') volume.writeZeroes(offset, length);
    else volume.write(offset, data);
  }

  /** A write of a replica's data: not durable before the next flush. */
  writeCached(machine: MachineRecord, disk: DiskId, offset: number, data: Uint8Array | number): void {
    let cache = this.caches.get(disk);
    if (!cache) {
      cache = new WriteCache();
      this.caches.set(disk, cache);
    }
    cache.note(this.live(machine, disk), offset, typeof data === 'number' ? data : data.length);
    this.write(machine, disk, offset, data);
  }

  /** The machine's disks as its guest sees them, the boot disk first. */
  guestDisks(machine: MachineRecord): GuestDisk[] {
    return bootFirst(machine.spec).map((disk) => ({
      sizeBytes: disk.sizeBytes,
      read: (offset, into) => this.live(machine, disk.id).read(offset, into),
      // What a running guest writes to a disk that was pulled out goes nowhere.
      write: (offset, data) => machine.volumes[disk.id] !== undefined && this.write(machine, disk.id, offset, data),
    }));
  }

  // ---- tracking -----------------------------------------------------------------------------------------------------

  enableTracking(machine: MachineRecord): void {
    const { granuleBytes, exactBaselines } = this.profileOf(machine);
    for (const disk of machine.spec.disks) {
      if (!this.trackers.has(disk.id)) this.trackers.set(disk.id, new Tracker(disk.id, this.random.uuid(), granuleBytes, exactBaselines));
    }
    machine.tracked = true;
  }

  disableTracking(machine: MachineRecord): void {
    for (const disk of machine.spec.disks) this.trackers.delete(disk.id);
    machine.tracked = false;
  }

  resetTrackers(machine: MachineRecord, only?: DiskId): void {
    for (const disk of machine.spec.disks) {
      if (only === undefined || only === disk.id) this.trackers.get(disk.id)?.reset(this.random.uuid());
    }
  }

  // ---- power --------------------------------------------------------------------------------------------------------

  powerOn(machine: MachineRecord): void {
    if (machine.power === 'on') return;
    machine.power = 'on';
    machine.bootedAtMs = this.timeline.now();
    delete machine.bootFailure;
    delete machine.ranAtPowerCut;
    this.touch(machine);
    this.#bootLater(machine);
  }

  #bootLater(machine: MachineRecord): void {
    const turn = ++this.revision;
    this.#poweredAt.set(machine.id, turn);
    this.timeline.schedule(machine.bootDelayMs, () => {
      if (machine.power === 'on' && this.#poweredAt.get(machine.id) === turn && this.machines.has(machine.id)) this.#boot(machine);
    });
  }

  /** At once, as if the plug were pulled; `cut` when it really is: then trackers and caches suffer as the vendor's do. */
  powerOff(machine: MachineRecord, cut = false): void {
    if (cut) this.#dropUnflushed(machine);
    if (machine.power === 'off') return;
    if (cut) machine.ranAtPowerCut = true;
    const profile = this.profileOf(machine);
    const wrote = this.guests.has(machine.id) && !this.freezes.has(machine.id);
    if (cut && machine.hv?.rct) for (const { id } of machine.spec.disks) this.trackers.get(id)?.coarsen();
    else if (cut ? !profile.trackingSurvivesPowerCut : wrote && !profile.trackingSurvivesPowerOff) this.resetTrackers(machine);
    this.#stop(machine);
    // The hosts come back and start it: nothing else could move data then.
    if (cut && isAppliance(machine) && !this.sites.get(this.endpoint(machine.endpoint).site)!.burned) this.powerOn(machine);
  }

  /** The guest ends by itself: what it has written is whole, and a tracker has saved what it knows. */
  shutDown(machine: MachineRecord): void {
    this.guests.get(machine.id)?.finishTransaction(this.timeline.now());
    this.#stop(machine);
  }

  thaw(machine: MachineRecord): void {
    this.freezes.get(machine.id)?.callOff();
    if (this.freezes.delete(machine.id)) this.changed.emit('thaw', machine.id);
  }

  /** Two copies of one guest that can reach production at once: recorded for ever. */
  checkTwoLive(): void {
    const found = findTwoLive(this);
    if (found.length > 0) this.revision++;
    this.violations.push(...found);
  }

  /** Refuses whoever holds an older epoch than the one on record, or an equal one of another holder. */
  assertFence(machine: MachineRecord, fence: Epoch | undefined): void {
    const held = this.endpoint(machine.endpoint).fences[machine.id];
    if (!held || !fence || fence.epoch > held.epoch || (fence.epoch === held.epoch && fence.holder === held.holder)) return;
    throw new DrError('FENCED', `machine ${machine.id} is held by ${held.holder} at epoch ${held.epoch}`, {
      context: { machine: machine.id, epoch: held.epoch, holder: held.holder },
    });
  }

  recordTruth(truth: Truth): void {
    this.truths.push(truth);
    if (this.truths.length <= MOST_TRUTHS) return;
    this.truths.shift();
    this.truthsDropped++;
  }

  /** After an orderly restart of the lab itself: the machine goes on where it was. */
  resume(machine: MachineRecord, guestWasUp: boolean): void {
    if (machine.power !== 'on' || machine.bootFailure !== undefined) return;
    const guest = guestWasUp ? resumeGuest(this.guestDisks(machine), machine.name) : undefined;
    if (guest) this.guests.set(machine.id, guest);
    else this.#bootLater(machine);
  }

  // ---- making machines ------------------------------------------------------------------------------------------------

  newMachineId(endpoint: EndpointRecord): MachineId {
    return (PROFILES[endpoint.profile].machineIds === 'uuid' ? this.random.uuid() : `vm-${100 + ++this.counter}`) as MachineId;
  }

  newDiskId(): DiskId {
    return this.random.uuid() as DiskId;
  }

  newNicId(): NicId {
    return this.nextId('nic') as NicId;
  }

  addMachine(machine: MachineRecord): MachineRecord {
    this.machines.set(machine.id, machine);
    this.touch(machine);
    return machine;
  }

  /** With its disks, the snapshots of them, and what the fence says of it. */
  removeMachine(machine: MachineRecord): void {
    this.#stop(machine);
    for (const snapshot of this.snapshots.values()) if (snapshot.info.machines.includes(machine.id)) this.removeSnapshot(snapshot);
    for (const [disk, name] of Object.entries(machine.volumes)) {
      this.removeLayer(name);
      this.trackers.delete(disk as DiskId);
      this.caches.delete(disk as DiskId);
    }
    delete this.endpoint(machine.endpoint).fences[machine.id];
    this.machines.delete(machine.id);
    this.touch(machine, true);
  }

  removeSnapshot(snapshot: SnapshotRecord): void {
    for (const name of Object.values(snapshot.volumes)) if (this.layers.get(name)?.snapshot) this.removeLayer(name);
    this.snapshots.delete(snapshot.info.id);
    this.revision++;
  }

  #boot(machine: MachineRecord): void {
    const result = bootGuest(this.guestDisks(machine), machine.name);
    if ('failure' in result) machine.bootFailure = result.failure;
    else this.guests.set(machine.id, result.guest);
    this.touch(machine);
    this.checkTwoLive();
  }

  #stop(machine: MachineRecord): void {
    this.thaw(machine);
    this.guests.delete(machine.id);
    machine.power = 'off';
    delete machine.bootFailure;
    this.touch(machine);
  }

  #dropUnflushed(machine: MachineRecord): void {
    for (const disk of machine.spec.disks) {
      const cache = this.caches.get(disk.id);
      if (cache && machine.volumes[disk.id] !== undefined) cache.crash(this.live(machine, disk.id), this.random);
    }
  }

  #elapse(elapsedMs: number): void {
    const now = this.timeline.now();
    for (const [id, guest] of this.guests) {
      const machine = this.machines.get(id)!;
      if (!machine.paused && !this.freezes.has(id)) guest.run(elapsedMs, machine.writesPerSecond, now);
    }
  }
}

export const bootFirst = (spec: MachineSpec): MachineSpec['disks'] => [...spec.disks].sort((a, b) => Number(b.boot) - Number(a.boot));

export const missing = (kind: string, id: string): never => {
  throw new DrError('NOT_FOUND', `no ${kind} ${JSON.stringify(id)}`, { context: { kind, name: id } });
};
