import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type DiskId, DrError, type MachineId } from '../../core/contract/index.ts';
import { fileStore } from './backing.ts';
import { build } from './build.ts';
import { Estate } from './estate.ts';
import type { EstateSpec, Truth } from './port.ts';
import { equipHyperv } from './powershell/equipment.ts';
import { resumeHosts } from './powershell/nodes.ts';
import { ReplicationLog } from './powershell/replica/log.ts';
import { type SavedState, STATE_VERSION, type VolumeRecord } from './records.ts';
import type { ClockMode } from './timeline.ts';
import { Tracker } from './tracker.ts';
import { Volume } from './volume.ts';
import { addAppliance, equipVcenter } from './vsphere/appliance.ts';

export interface HomeOptions {
  readonly directory: string;
  /** For a directory in which there is no estate yet. */
  readonly seed: number | string;
  readonly spec: () => EstateSpec;
  readonly clock?: ClockMode;
  /** What a reader of the lab's output should know. */
  readonly say: (line: string) => void;
}

/** An estate that lives in a directory: `lab.json`, `truths.jsonl` and sparse files in `disks/`. */
export class LabHome {
  readonly estate: Estate;
  readonly #directory: string;
  #savedRevision = -1;
  #savedTruths = 0;

  constructor(directory: string, estate: Estate) {
    this.#directory = directory;
    this.estate = estate;
  }

  static open({ directory, seed, spec, clock = 'real', say }: HomeOptions): LabHome {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const store = fileStore(join(directory, 'disks'));
    const saved = readState(join(directory, 'lab.json'));
    const estate = new Estate({ seed: saved?.seed ?? seed, clock, startMs: saved?.nowMs, store });
    const home = new LabHome(directory, estate);
    if (saved) home.#load(saved, say);
    else build(estate, spec());
    home.save(false);
    return home;
  }

  /** Writes the state if anything has changed; `clean` once, at an orderly end. */
  save(clean: boolean): void {
    const { estate } = this;
    this.#appendTruths();
    if (!clean && estate.revision === this.#savedRevision) return;
    this.#savedRevision = estate.revision;
    writeWhole(join(this.#directory, 'lab.json'), JSON.stringify(stateOf(estate, clean)), clean);
  }

  close(): void {
    this.estate.timeline.stop();
    for (const { volume } of this.estate.layers.values()) {
      volume.sync();
      volume.close();
    }
    this.save(true);
  }

  #appendTruths(): void {
    const fresh = this.estate.truths.slice(this.#savedTruths - this.estate.truthsDropped);
    if (fresh.length === 0) return;
    appendFileSync(join(this.#directory, 'truths.jsonl'), fresh.map((truth) => `${JSON.stringify(truth)}\n`).join(''), { mode: 0o600 });
    this.#savedTruths += fresh.length;
  }

  #load(saved: SavedState, say: (line: string) => void): void {
    const { estate } = this;
    estate.random.state = saved.random;
    // A kill may have come after names were given and before they were saved.
    estate.counter = saved.counter + (saved.clean ? 0 : 10_000);
    estate.revision = saved.revision + 1;
    for (const site of saved.sites) estate.sites.set(site.name, { ...site });
    for (const endpoint of saved.endpoints) estate.endpoints.set(endpoint.name, endpoint);
    for (const machine of saved.machines) estate.machines.set(machine.id, machine);
    for (const fork of saved.forks) estate.forks.set(fork.id, fork);
    for (const snapshot of saved.snapshots) estate.snapshots.set(snapshot.info.id, snapshot);
    estate.violations.push(...saved.violations);
    for (const truth of readTruths(join(this.#directory, 'truths.jsonl'))) estate.recordTruth(truth);
    this.#savedTruths = estate.truths.length + estate.truthsDropped;
    openVolumes(estate, saved.volumes, say);
    for (const endpoint of estate.endpoints.values()) {
      equipVcenter(estate, endpoint);
      equipHyperv(estate, endpoint);
      addAppliance(estate, endpoint);
    }
    removeStrangers(estate, join(this.#directory, 'disks'));
    if (saved.clean) resume(estate, saved);
    else powerCut(estate, say);
    for (const [disk, runs] of Object.entries(saved.logs ?? {})) estate.logs.set(disk as DiskId, ReplicationLog.of(runs));
    for (const endpoint of estate.endpoints.values()) resumeHosts(estate, endpoint, saved.clean);
  }
}

const stateOf = (estate: Estate, clean: boolean): SavedState => ({
  version: STATE_VERSION,
  clean,
  seed: estate.seed,
  random: estate.random.state,
  counter: estate.counter,
  revision: estate.revision,
  nowMs: estate.timeline.now(),
  sites: [...estate.sites.values()],
  endpoints: [...estate.endpoints.values()],
  machines: [...estate.machines.values()],
  snapshots: [...estate.snapshots.values()],
  forks: [...estate.forks.values()],
  volumes: [...estate.layers].map(([name, { volume, storage, snapshot }]) => ({
    name,
    sizeBytes: volume.sizeBytes,
    storage,
    snapshot,
    ...(volume.parent ? { parent: volume.parent.name } : {}),
  })),
  trackers: clean ? Object.fromEntries([...estate.trackers].map(([disk, tracker]) => [disk, tracker.save()])) : {},
  ...(clean ? { logs: Object.fromEntries([...estate.logs].map(([disk, log]) => [disk, log.save()])) } : {}),
  violations: estate.violations,
  up: [...estate.guests.keys()],
});

const readState = (path: string): SavedState | undefined => {
  if (!existsSync(path)) return undefined;
  const state = JSON.parse(readFileSync(path, 'utf8')) as SavedState;
  if (state.version === STATE_VERSION) return state;
  throw new DrError('ENGINE_NEWER', `${path} has version ${state.version}, this release reads ${STATE_VERSION}`, {
    context: { path, version: state.version },
  });
};

/** The last line may be cut off by a kill. */
const readTruths = (path: string): Truth[] => {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Truth);
};

const openVolumes = (estate: Estate, records: readonly VolumeRecord[], say: (line: string) => void): void => {
  const byName = new Map(records.map((record) => [record.name, record]));
  const open = (record: VolumeRecord): Volume => {
    const known = estate.layers.get(record.name);
    if (known) return known.volume;
    const below = record.parent === undefined ? undefined : byName.get(record.parent);
    const parent = below && open(below);
    const volume = new Volume(estate.store, record.name, record.sizeBytes, parent, estate.accountFor(record.storage));
    if (!volume.reopen()) {
      if (record.snapshot) dropSnapshotOf(estate, record.name, say);
      else if (!parent) {
        say(`the allocation map of ${record.name} is missing: reading ${record.sizeBytes} bytes to make it again`);
        volume.scan();
      } else say(`the allocation map of overlay ${record.name} is missing: it is taken as empty`);
    }
    if (record.snapshot) parent?.attachSnapshot(volume);
    return estate.addLayer(volume, record.storage, record.snapshot);
  };
  for (const record of records) open(record);
};

/** What a snapshot had saved is not known any more: it would show the disk as it is now. */
const dropSnapshotOf = (estate: Estate, layer: string, say: (line: string) => void): void => {
  for (const { info, volumes } of estate.snapshots.values()) {
    if (!Object.values(volumes).includes(layer)) continue;
    say(`snapshot ${info.id} is incomplete and is dropped`);
    estate.snapshots.delete(info.id);
  }
};

/** Files of layers that were made or removed just before a kill. */
const removeStrangers = (estate: Estate, directory: string): void => {
  for (const file of readdirSync(directory)) {
    const name = file.replace(/\.(raw|map)$/, '');
    if (name !== file && !estate.layers.has(name)) rmSync(join(directory, file), { force: true });
  }
};

const resume = (estate: Estate, saved: SavedState): void => {
  for (const machine of estate.machines.values()) {
    if (!machine.tracked) continue;
    const { granuleBytes, exactBaselines } = estate.profileOf(machine);
    for (const disk of machine.spec.disks) {
      const tracker = new Tracker(disk.id, estate.random.uuid(), granuleBytes, exactBaselines);
      const state = saved.trackers[disk.id];
      if (state) tracker.load(state);
      estate.trackers.set(disk.id, tracker);
    }
  }
  const up = new Set<MachineId>(saved.up);
  for (const machine of estate.machines.values()) estate.resume(machine, up.has(machine.id));
};

/** The lab itself was killed: for the estate that is a power cut at every site. Trackers begin anew; machines with autostart start again. */
const powerCut = (estate: Estate, say: (line: string) => void): void => {
  say('the lab was not ended in order: every machine lost its power, trackers begin anew');
  for (const machine of estate.machines.values()) {
    if (machine.tracked) estate.enableTracking(machine);
    const wasOn = machine.power === 'on';
    estate.powerOff(machine, true);
    if (wasOn && machine.autostart && !estate.sites.get(estate.endpoint(machine.endpoint).site)?.burned) estate.powerOn(machine);
  }
};

const writeWhole = (path: string, text: string, durable: boolean): void => {
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, text);
    if (durable) fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
};
