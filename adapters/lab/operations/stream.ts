import { type Baseline, type DiskId, DrError, type Extent } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { MachineRecord } from '../records.ts';
import { extentPage, type Handlers, nothing } from './handlers.ts';
import { quiesce, recordTruth, totalBytes } from './source.ts';

export const stream: Handlers<'stream'> = {
  'stream.freeze': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    if (estate.freezes.has(machine.id)) {
      throw new DrError('TASK_IN_PROGRESS', `machine ${machine.id} is frozen already`, { context: { machine: machine.id } });
    }
    quiesce(estate, [machine], { consistency: args.consistency, orElse: 'refuse' }, true);
    const id = estate.nextId('freeze');
    const callOff = estate.timeline.schedule(args.maxFreezeMs, () => {
      if (!estate.freezes.get(machine.id)?.held) estate.thaw(machine);
    });
    estate.freezes.set(machine.id, { id, held: false, callOff });
    recordTruth(estate, machine, args.operationId);
    estate.revision++;
    return { freeze: id };
  },

  'stream.endFreeze': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    assertFrozen(estate, machine, args.freeze);
    if (args.outcome === 'thaw') estate.thaw(machine);
    else estate.freezes.get(machine.id)!.held = true;
    estate.revision++;
    return nothing;
  },

  'stream.beginPass': ({ estate }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    const disks = machine.spec.disks.map((disk) => {
      const tracker = estate.trackers.get(disk.id);
      if (!tracker) {
        throw new DrError('TRACKING_LOST', `the changes of machine ${machine.id} are not tracked`, {
          context: { machine: machine.id, disk: disk.id },
        });
      }
      const since = args.since?.[disk.id];
      // Before the mark, so that a baseline which is lost leaves nothing behind.
      if (since !== undefined) tracker.changed(since, undefined, disk.sizeBytes);
      const baseline = tracker.mark(args.owner);
      const changed = passExtents(estate, machine, disk.id, since, baseline, disk.sizeBytes);
      return { disk: disk.id, sizeBytes: disk.sizeBytes, baseline, changedBytes: totalBytes(changed) };
    });
    estate.revision++;
    return { spec: machine.spec, disks };
  },

  'stream.passExtents': ({ estate, lies }, args) => {
    const machine = estate.machine(args.machine, args.endpoint);
    if (args.freeze !== undefined) assertFrozen(estate, machine, args.freeze);
    const { sizeBytes } = estate.live(machine, args.disk);
    const extents = passExtents(estate, machine, args.disk, args.since, args.upTo, sizeBytes);
    return extentPage(lies.has('skipDirtyRange') ? extents.slice(0, -1) : extents, args.from, args.limit);
  },
};

export const assertFrozen = (estate: Estate, machine: MachineRecord, freeze: string): void => {
  if (estate.freezes.get(machine.id)?.id === freeze) return;
  throw new DrError('TIMED_OUT', `the freeze of machine ${machine.id} ended before everything was read`, {
    hint: 'raise the longest freeze in the policy, or lower the load of the machine',
    context: { machine: machine.id },
  });
};

const passExtents = (
  estate: Estate,
  machine: MachineRecord,
  disk: DiskId,
  since: Baseline | undefined,
  upTo: Baseline,
  sizeBytes: number,
): Extent[] => {
  if (since === undefined) return [...estate.live(machine, disk).allocated(0)];
  const tracker = estate.trackers.get(disk);
  if (!tracker) throw new DrError('TRACKING_LOST', `the changes of disk ${disk} are not tracked`, { context: { disk } });
  return tracker.changed(since, upTo, sizeBytes);
};
