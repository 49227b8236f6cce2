// Failover, as a try and in earnest: a replica, or a copy of it, on differencing disks over a state that it holds.
import type { DiskId } from '../../../../core/contract/index.ts';
import { bareMachine } from '../../new-machine.ts';
import type { Volume } from '../../volume.ts';
import { newHvRecord, specFromHv } from '../equipment.ts';
import { guidFrom, idOnHosts, switchNamed } from '../fabric.ts';
import { invalidState } from '../failures.ts';
import type { At, Hv, OnHost } from '../model.ts';
import { addFile, dropFile, keyOf } from '../paths.ts';
import { isOpen } from '../usage.ts';
import { beginLog, endLog, planCycle, transmit, whenIdle } from './cycles.ts';
import {
  assertMode,
  assertState,
  type DiskOf,
  disksOf,
  dropLayers,
  type End,
  freezeDisks,
  hostAt,
  later,
  makeEqual,
  testMachineOf,
  tryOtherEnd,
} from './ends.ts';
import type { FailoverRecord, Replicated } from './model.ts';
import { dropPoints, pointOf, prunePoints } from './points.ts';

const SHORT_MS = 300;

const assertOff = (at: At, machine: Hv): void => {
  if (isOpen(at, machine)) throw invalidState(`The virtual machine '${machine.name}' must be turned off.`);
};

/** At a primary that is off: the rest goes over, and nothing is written any more. */
export const prepare = async (at: At, machine: Replicated): Promise<void> => {
  assertMode(machine, 'Primary');
  assertState(machine, 'Replicating');
  assertOff(at, machine);
  await new Promise<void>((resolve) => whenIdle(machine, resolve));
  assertState(machine, 'Replicating');
  assertOff(at, machine);
  const { replication } = machine.hv;
  replication.state = 'PreparedForSyncReplication';
  await new Promise<void>((resolve, reject) => {
    transmit({ on: hostAt(at, machine), machine }, 'Planned', (failure) => {
      if (replication.state === 'PreparedForSyncReplication') replication.state = failure ? 'Replicating' : 'PreparedForFailover';
      at.estate.touch(machine);
      if (failure) reject(failure);
      else resolve();
    });
  });
};

const FIT_TO_FAIL_OVER = ['Replicating', 'Suspended', 'Resynchronizing', 'ResynchronizeSuspended', 'WaitingForStartResynchronize', 'Error'];

const assertCanFailOver = (at: At, machine: Replicated): void => {
  assertMode(machine, 'Replica');
  assertState(machine, ...FIT_TO_FAIL_OVER);
  if (machine.hv.replication.replicatedMs === undefined) throw invalidState(`The first copy of '${machine.name}' is not complete.`);
  if (testMachineOf(at, machine)) throw invalidState(`A test failover of '${machine.name}' is in progress.`);
};

/** Where the primary can be asked and runs, nobody fails over. */
const assertPrimaryOff = ({ on, machine }: End): void => {
  const other = tryOtherEnd({ on, machine });
  if (!('failing' in other) && other.machine.power === 'on' && other.machine.hv.replication.mode === 'Primary')
    throw invalidState(`The primary virtual machine of '${machine.name}' is running. Turn it off, then prepare it for the failover.`);
};

export const failOver = async (at: OnHost, machine: Replicated, point: string | undefined): Promise<void> => {
  assertCanFailOver(at, machine);
  assertPrimaryOff({ on: at, machine });
  if (point !== undefined) pointOf(machine, point);
  const { replication } = machine.hv;
  const before = replication.state;
  replication.state = 'RecoveryInProgress';
  at.estate.touch(machine);
  await later(at, SHORT_MS);
  if (machine.hv.replication !== replication || replication.state !== 'RecoveryInProgress')
    throw invalidState('The failover was called off meanwhile.');
  replication.state = before;
  const layers = point === undefined ? replication.whole : pointOf(machine, point).layers;
  const files: Record<string, { overlay: string; base: string }> = {};
  for (const disk of disksOf(at, machine)) {
    const below = layers?.[disk.drive] === undefined ? disk.volume : at.estate.layer(layers[disk.drive]!).volume;
    const { key, layer, path } = putOverlay(at, disk, below);
    files[disk.drive] = { overlay: key, base: disk.key };
    useFile(machine, disk, { path, layer });
  }
  // What came with the preparation stays that until something else comes, however often it is failed over to.
  const planned = replication.lastType === 'Planned' && point === undefined;
  replication.failover = { planned, files, ...(point === undefined ? {} : { point }), type: planned ? 'Planned' : typeOf(machine, point) };
  replication.state = 'FailedOverWaitingCompletion';
  specFromHv(at, machine);
  beginLog(at, machine);
};

const typeOf = (machine: Replicated, point: string | undefined): FailoverRecord['type'] => {
  if (point === undefined) return machine.hv.replication.lastType;
  return pointOf(machine, point).kind === 'AppConsistentReplica' ? 'ApplicationConsistent' : 'Regular';
};

/** Not named as a checkpoint's file: nothing is to merge it by itself. */
const putOverlay = (at: At, disk: DiskOf, below: Volume): { key: string; layer: string; path: string } => {
  const { estate, hyperv } = at;
  const { path: basePath, identifier, logicalSectorBytes, physicalSectorBytes } = hyperv.files[disk.key]!;
  const { storage } = estate.layer(disk.volume.name);
  const layer = estate.createLayer(below.sizeBytes, storage, below).name;
  const path = `${basePath.replace(/\.a?vhdx$/i, '')}_${estate.random.uuid().toUpperCase()}.vhdx`;
  const key = addFile(at, { path, layer, identifier, type: 'Differencing', parent: disk.key, logicalSectorBytes, physicalSectorBytes });
  return { key, layer, path };
};

const useFile = (machine: Hv, { drive, disk }: Pick<DiskOf, 'drive' | 'disk'>, { path, layer }: { path: string; layer: string }): void => {
  machine.volumes[disk] = layer;
  machine.hv.drives = machine.hv.drives.map((one) => (one.id === drive ? { ...one, path } : one));
};

const backToBase = (at: At, machine: Replicated): void => {
  const { failover } = machine.hv.replication;
  for (const [drive, { overlay, base }] of Object.entries(failover?.files ?? {})) {
    const record = machine.hv.drives.find(({ id }) => id === drive);
    const file = at.hyperv.files[base]!;
    if (record) useFile(machine, { drive, disk: record.disk }, { path: file.path, layer: file.layer });
    dropFile(at, overlay);
  }
  delete machine.hv.replication.failover;
  specFromHv(at, machine);
};

/** At a replica that has failed over and is off, and at a primary that is prepared: as if it had not been. */
export const cancelFailover = async (at: At, machine: Replicated): Promise<void> => {
  const { replication } = machine.hv;
  if (replication.mode === 'Primary') {
    assertState(machine, 'PreparedForFailover');
    replication.state = 'Replicating';
    planCycle(at, machine);
    at.estate.touch(machine);
    return;
  }
  assertState(machine, 'FailedOverWaitingCompletion');
  assertOff(at, machine);
  replication.state = 'FailbackInProgress';
  at.estate.touch(machine);
  await later(at, SHORT_MS);
  if (machine.hv.replication !== replication || replication.state !== 'FailbackInProgress') return;
  backToBase(at, machine);
  endLog(at, machine);
  replication.state = replication.whole ? 'Resynchronizing' : 'Replicating';
  prunePoints(at, machine);
  at.estate.touch(machine);
};

/** What the failed over machine has on its disks becomes the replica's; other points go. */
export const settle = (at: At, machine: Replicated): void => {
  const { replication } = machine.hv;
  for (const { overlay, base } of Object.values(replication.failover?.files ?? {}))
    makeEqual(at.estate.layer(at.hyperv.files[overlay]!.layer).volume, at.estate.layer(at.hyperv.files[base]!.layer).volume);
  backToBase(at, machine);
  dropPoints(at, machine, replication.points);
  replication.points = [];
  dropLayers(at.estate, Object.values(replication.whole ?? {}));
  delete replication.whole;
};

export const complete = (at: At, machine: Replicated): void => {
  assertMode(machine, 'Replica');
  assertState(machine, 'FailedOverWaitingCompletion');
  const { planned = false } = machine.hv.replication.failover ?? {};
  settle(at, machine);
  machine.hv.replication.planned = planned;
  machine.hv.replication.state = 'FailedOver';
  at.estate.touch(machine);
};

// ---- as a try -----------------------------------------------------------------------------------------------------------

/** A machine of its own beside the replica, which goes on; it reaches what the cards' test switches reach. */
export const testFailover = async (at: OnHost, machine: Replicated, point: string | undefined): Promise<Hv> => {
  assertCanFailOver(at, machine);
  const { replication } = machine.hv;
  const kept = point === undefined ? undefined : pointOf(machine, point).layers;
  const layers = kept ?? freezeForTest(at, machine);
  const before = replication.state;
  replication.state = 'FiredrillInProgress';
  replication.testedMs = at.estate.timeline.now();
  const made = newTestMachine(at, machine, layers);
  replication.test = { machine: made.id, layers: Object.values(layers) };
  at.estate.touch(machine);
  await later(at, SHORT_MS);
  if (machine.hv.replication === replication && replication.state === 'FiredrillInProgress') replication.state = before;
  at.estate.touch(machine);
  return made;
};

/** While it is resynchronised it has no other whole state than the one before. */
const freezeForTest = (at: At, machine: Replicated): Record<string, string> => {
  const { whole } = machine.hv.replication;
  if (!whole) return freezeDisks(at, machine);
  const rows = Object.entries(whole).map(([drive, name]) => [drive, at.estate.snapshotLayer(at.estate.layer(name).volume).name]);
  return Object.fromEntries(rows);
};

const newTestMachine = (at: OnHost, machine: Replicated, layers: Readonly<Record<string, string>>): Hv => {
  const { estate, endpoint } = at;
  const made = bareMachine(estate, endpoint, `${machine.name} - Test`, machine.spec) as Hv;
  made.host = machine.host!;
  made.writesPerSecond = machine.writesPerSecond;
  const { hv } = machine;
  const { vmId: _, replication, ...rest } = structuredClone(hv);
  made.hv = { ...newHvRecord(at, `${hv.path}\\${made.id}`, hv.generation), ...rest, notes: '', checkpoints: [], clustered: false };
  delete made.hv.current;
  made.hv.drives = [];
  for (const disk of disksOf(at, machine)) {
    const { path, layer } = putOverlay(at, disk, estate.layer(layers[disk.drive]!).volume);
    const id = `${made.id}/${disk.drive}` as DiskId;
    made.volumes[id] = layer;
    made.hv.drives.push({ ...hv.drives.find((one) => one.id === disk.drive)!, id: guidFrom(made.id, disk.drive), path, disk: id });
  }
  made.hv.adapters = hv.adapters.map(({ testSwitch, switchName: _was, ...card }) => ({
    ...card,
    id: guidFrom(made.id, card.id),
    ...(switchNamed(at, at.host, testSwitch) ? { switchName: testSwitch! } : {}),
  }));
  made.hv.replication = { ...replication, mode: 'TestReplica', state: 'Disabled', relationship: `${idOnHosts(machine)}/test`, points: [] };
  estate.addMachine(made);
  specFromHv(at, made);
  return made;
};

export const endTest = (at: At, machine: Replicated): void => {
  const { replication } = machine.hv;
  const made = testMachineOf(at, machine);
  if (made) {
    assertOff(at, made);
    const files = made.hv.drives.map(({ path }) => keyOf(path));
    made.volumes = {};
    at.estate.removeMachine(made);
    for (const key of files) dropFile(at, key);
  }
  const held = new Set(replication.points.flatMap(({ layers }) => Object.values(layers)));
  dropLayers(
    at.estate,
    replication.test!.layers.filter((name) => !held.has(name)),
  );
  delete replication.test;
  at.estate.touch(machine);
};
