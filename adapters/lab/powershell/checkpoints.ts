// Checkpoints: each freezes the active files and lets the machine write to differencing disks on them.
import type { DiskId, SnapshotId } from '../../../core/contract/index.ts';
import { bootFirst } from '../estate.ts';
import { letWrite, recordTruth, WRITES_WHEN_TORN } from '../operations/source.ts';
import { specFromHv } from './equipment.ts';
import { isHv } from './fabric.ts';
import { gone, invalidState, PsFailure, unknownId } from './failures.ts';
import { each, eachMachine, type Handlers, nothing, placeOf, stillThere } from './handlers.ts';
import { followMarks, marksIn } from './marks.ts';
import { startMerging } from './merging.ts';
import type { At, CheckpointRecord, DriveRecord, Hv, PsContext } from './model.ts';
import { addFile, childrenOf, dropFile, keyOf } from './paths.ts';
import { pointsAsCheckpoints } from './replica/points.ts';
import { assertNoReplica, noteOutsideChange } from './replica/refusals.ts';
import { forgetPosition, markDisks } from './tracking.ts';
import { assertOpens } from './usage.ts';
import { CHECKPOINT, checkpointObject, type OfCheckpoint, VM } from './vm-object.ts';

const MOST = 50;

export const checkpoints: Handlers = {
  'Get-VMSnapshot': (context, args) => {
    const at = placeOf(context);
    const id = args.maybeText('Id');
    if (id !== undefined) return [checkpointObject(checkpointHere(context, id))];
    const type = args.maybeText('SnapshotType');
    return each(context, args.records('VM', VM), (of) => {
      const machine = stillThere(context, of);
      const wanted = [...machine.hv.checkpoints, ...pointsAsCheckpoints(machine)].filter(({ kind }) => type === undefined || kind === type);
      return wanted.map((checkpoint) => checkpointObject({ at, machine, checkpoint }));
    });
  },

  'Checkpoint-VM': (context, args) =>
    eachMachine(context, args, (machine) => {
      assertNoReplica(machine);
      const { checkpointType } = machine.hv;
      if (checkpointType === 'Disabled') throw invalidState(`Checkpoints of '${machine.name}' are disabled.`);
      const silent = !isQuiet(context, machine);
      if (checkpointType === 'ProductionOnly' && silent) throw cannotQuiesce(machine);
      const name = args.maybeText('SnapshotName') ?? `${machine.name} - (${context.estate.now()})`;
      const checkpoint = take(context, machine, { name, kind: 'Standard', application: checkpointType !== 'Standard' && !silent });
      return args.flag('Passthru') ? [checkpointObject({ at: placeOf(context), machine, checkpoint })] : nothing;
    }),

  'Restore-VMSnapshot': (context, args) =>
    each(context, args.records('VMSnapshot', CHECKPOINT), (of) => {
      const { machine, checkpoint } = current(context, of);
      goBack(context, machine, checkpoint);
      return nothing;
    }),

  'Remove-VMSnapshot': (context, args) =>
    each(context, args.records('VMSnapshot', CHECKPOINT), (of) => {
      const { machine, checkpoint } = current(context, of);
      remove(context, machine, checkpoint, args.flag('IncludeAllChildSnapshots'));
      return nothing;
    }),
};

const checkpointHere = (context: PsContext, id: string): OfCheckpoint => {
  for (const machine of context.estate.machines.values()) {
    if (machine.endpoint !== context.endpoint.name || !isHv(machine)) continue;
    const checkpoint = [...machine.hv.checkpoints, ...pointsAsCheckpoints(machine)].find((one) => one.id === id);
    if (checkpoint && machine.host === context.host.place) return { at: placeOf(context), machine, checkpoint };
  }
  throw unknownId('checkpoint', id);
};

/** As it is now: the object is what it was when its step ran. */
const current = (context: PsContext, of: OfCheckpoint): { machine: Hv; checkpoint: CheckpointRecord } => {
  const machine = stillThere(context, of);
  const checkpoint = machine.hv.checkpoints.find(({ id }) => id === of.checkpoint.id);
  if (!checkpoint) throw gone('checkpoint');
  return { machine, checkpoint };
};

/** Whether the guest can be asked to be whole at one instant; without power it is. */
const isQuiet = ({ estate }: At, machine: Hv): boolean => machine.power === 'off' || estate.guests.has(machine.id);

const cannotQuiesce = (machine: Hv): PsFailure =>
  new PsFailure({
    category: 'InvalidOperation',
    id: 'OperationFailed',
    message: `Production checkpoints cannot be created for '${machine.name}': the integration component of the guest does not answer.`,
  });

interface NewCheckpoint {
  readonly name: string;
  readonly kind: CheckpointRecord['kind'];
  readonly application: boolean;
}

export const take = (context: PsContext, machine: Hv, { name, kind, application }: NewCheckpoint): CheckpointRecord => {
  const { estate } = context;
  const { hv } = machine;
  if (application && !isQuiet(context, machine)) throw cannotQuiesce(machine);
  if (hv.checkpoints.length >= MOST)
    throw new PsFailure({ category: 'LimitsExceeded', id: 'OperationFailed', message: 'There are too many checkpoints.' });
  const drives = bootFirst(machine.spec).flatMap(({ id }) => hv.drives.filter(({ disk }) => disk === id));
  for (const { path } of drives) assertOpens(context, keyOf(path), { readOnly: true, by: machine });
  if (application) estate.guests.get(machine.id)?.finishTransaction(estate.timeline.now());
  const id = estate.random.uuid();
  const cycle = kind === 'Recovery' ? marksIn(hv.notes)?.cycle : undefined;
  if (cycle) recordTruth(estate, machine, cycle.operation, id as SnapshotId);
  const positions = kind === 'Recovery' ? markDisks(context, machine) : undefined;
  const config = configOf(machine);
  const disks = drives.map((drive, index) => {
    if (index > 0 && context.lies.has('tornSnapshot')) letWrite(estate, [machine], WRITES_WHEN_TORN);
    const frozen = freeze(context, machine, drive);
    const position = positions?.get(drive.disk);
    return { ...frozen, ...(position === undefined ? {} : { position }) };
  });
  const checkpoint: CheckpointRecord = {
    ...{ id, name, kind, application, disks, config },
    createdMs: estate.timeline.now(),
    ...(hv.current === undefined ? {} : { parent: hv.current }),
  };
  hv.checkpoints = [...hv.checkpoints, checkpoint];
  hv.current = id;
  specFromHv(context, machine);
  if (kind === 'Recovery') remember(context, machine, checkpoint);
  followMarks(context, machine);
  return checkpoint;
};

const configOf = ({ hv, spec, name }: Hv): CheckpointRecord['config'] => {
  const { notes, memory, drives, adapters, dvds, scsiControllers, secureBoot, secureBootTemplate } = hv;
  return structuredClone({ notes, memory, drives, adapters, dvds, scsiControllers, secureBoot, secureBootTemplate, spec, name });
};

const freeze = (context: PsContext, machine: Hv, drive: DriveRecord): CheckpointRecord['disks'][number] => {
  const file = keyOf(drive.path);
  const live = context.estate.live(machine, drive.disk);
  live.sync();
  if (!context.lies.has('liveCopy')) putOverlay(context, machine, drive);
  return { disk: drive.disk, file, sizeBytes: live.sizeBytes };
};

/** `name_GUID.avhdx` beside the frozen file. */
const putOverlay = (at: At, machine: Hv, drive: DriveRecord): void => {
  const { estate } = at;
  const parent = keyOf(drive.path);
  const { layer: below, identifier, logicalSectorBytes, physicalSectorBytes } = at.hyperv.files[parent]!;
  const { volume, storage } = estate.layer(below);
  const layer = estate.createLayer(volume.sizeBytes, storage, volume).name;
  const stem = drive.path.replace(/(_[0-9A-F-]{36})?\.[^.\\]*$/i, '');
  const path = `${stem}_${estate.random.uuid().toUpperCase()}.avhdx`;
  addFile(at, { path, layer, identifier, type: 'Differencing', parent, logicalSectorBytes, physicalSectorBytes });
  machine.volumes[drive.disk] = layer;
  machine.hv.drives = machine.hv.drives.map((one) => (one.id === drive.id ? { ...one, path } : one));
};

/** For the lab's control, which looks into snapshots and finds what was left. */
const remember = ({ estate, endpoint, hyperv }: At, machine: Hv, checkpoint: CheckpointRecord): void => {
  const marks = marksIn(checkpoint.config.notes);
  const id = checkpoint.id as SnapshotId;
  estate.snapshots.set(id, {
    endpoint: endpoint.name,
    owner: marks?.owner ?? '',
    kind: 'cycle',
    volumes: Object.fromEntries(checkpoint.disks.map(({ disk, file }) => [disk, hyperv.files[file]!.layer])),
    since: {},
    info: {
      id,
      operationId: marks?.cycle?.operation ?? '',
      takenAt: new Date(checkpoint.createdMs).toISOString(),
      machines: [machine.id],
      atomicity: 'instant',
      consistency: checkpoint.application ? 'application' : 'crash',
      notes: checkpoint.name,
      disks: checkpoint.disks.map(({ disk, sizeBytes }) => ({ disk, machine: machine.id, sizeBytes })),
      specs: { [machine.id]: checkpoint.config.spec },
    },
  });
};

const doomed = (machine: Hv, checkpoint: CheckpointRecord, withChildren: boolean): CheckpointRecord[] => {
  if (!withChildren) return [checkpoint];
  const children = machine.hv.checkpoints.filter(({ parent }) => parent === checkpoint.id);
  return [...children.flatMap((child) => doomed(machine, child, true)), checkpoint];
};

/** Its files are merged in the background. */
const remove = (context: PsContext, machine: Hv, checkpoint: CheckpointRecord, withChildren: boolean): void => {
  for (const one of doomed(machine, checkpoint, withChildren)) {
    for (const { disk, position } of one.disks) if (position !== undefined) forgetPosition(context, disk, position);
    takeOut(context, machine, one);
  }
  startMerging(
    context,
    machine,
    context.acts.some((act) => 'mergeStalls' in act),
  );
};

/** Out of the tree; a branch that the machine has left ends where nothing stands on its files. */
export const takeOut = (at: At, machine: Hv, { id, parent, disks }: CheckpointRecord): void => {
  const { hv } = machine;
  hv.checkpoints = hv.checkpoints
    .filter((one) => one.id !== id)
    .map((one) => {
      const { parent: before, ...rest } = one;
      if (before !== id) return one;
      return parent === undefined ? rest : { ...rest, parent };
    });
  if (hv.current === id) {
    if (parent === undefined) delete hv.current;
    else hv.current = parent;
  }
  at.estate.snapshots.delete(id as SnapshotId);
  followMarks(at, machine);
  const needed = new Set([
    ...hv.drives.map(({ path }) => keyOf(path)),
    ...hv.checkpoints.flatMap((one) => one.disks.map(({ file }) => file)),
  ]);
  for (const { file } of disks) if (!needed.has(file) && childrenOf(at, file).length === 0) dropFile(at, file);
  at.estate.touch(machine);
};

/** Content and configuration go back, notes too; the power goes off, and what the tracker knew holds no more. */
const goBack = (context: PsContext, machine: Hv, checkpoint: CheckpointRecord): void => {
  const { estate } = context;
  const { hv } = machine;
  const frozen = new Set(hv.checkpoints.flatMap(({ disks }) => disks.map(({ file }) => file)));
  const tops = hv.drives.map(({ path }) => keyOf(path)).filter((key) => key.endsWith('.avhdx') && !frozen.has(key));
  for (const key of tops) assertOpens(context, key, { readOnly: false, by: machine });
  estate.powerOff(machine);
  machine.volumes = {};
  for (const key of tops) if (childrenOf(context, key).length === 0) dropFile(context, key);
  const { spec, name, ...config } = structuredClone(checkpoint.config);
  Object.assign(hv, config);
  machine.spec = spec;
  machine.name = name;
  hv.current = checkpoint.id;
  delete hv.merging;
  for (const { disk, file } of checkpoint.disks) {
    machine.volumes[disk as DiskId] = context.hyperv.files[file]!.layer;
    putOverlay(context, machine, hv.drives.find((drive) => drive.disk === disk)!);
  }
  estate.resetTrackers(machine);
  noteOutsideChange(estate, machine);
  machine.generation++;
  specFromHv(context, machine);
  followMarks(context, machine);
};
