// Changed block tracking as a vCenter does it.
import { hash } from 'node:crypto';
import type { DiskId, Extent } from '../../../core/contract/index.ts';
import type { DiskChangeInfo } from '../../vsphere/port.ts';
import { bootFirst, type Estate } from '../estate.ts';
import type { Tracker } from '../tracker.ts';
import { backingOf, isDisk } from './devices.ts';
import { machineAt } from './equipment.ts';
import type { VimContext, VimHandlers } from './model.ts';
import { notFound } from './objects.ts';
import { fileFault, findSnapshot, invalidArgument, storageOf, type Vm, type Where } from './vms.ts';

const AREAS_PER_ANSWER = 256;
const GRANULE_BYTES = 65_536;
/** No answer covers more than this part of the disk: where nothing has changed there, it is empty, and still not the last. */
const PARTS = 4;

/** `52 8e 3c …-… 07`: what the vendor makes of its tracker's identity. */
const vendorForm = (incarnation: string): string => {
  const bytes = hash('sha256', incarnation, 'hex').slice(0, 30).match(/../g)!;
  return `52 ${bytes.slice(0, 7).join(' ')}-${bytes.slice(7).join(' ')}`;
};

export const changeIdOf = (tracker: Tracker): string => `${vendorForm(tracker.incarnation)}/${tracker.position}`;

/** Undefined while nothing is tracked. */
export const liveChangeId = (estate: Estate, machine: Vm, disk: DiskId): string | undefined => {
  const tracker = machine.vm.changeTrackingEnabled ? estate.trackers.get(disk) : undefined;
  return tracker && tracker.position > 0 ? changeIdOf(tracker) : undefined;
};

/** What a stun does: tracking that was asked for begins. */
export const stun = (estate: Estate, machine: Vm): void => {
  if (!machine.vm.changeTrackingEnabled) return;
  estate.enableTracking(machine);
  for (const disk of bootFirst(machine.spec)) {
    const tracker = estate.trackers.get(disk.id)!;
    if (tracker.position === 0) tracker.mark('vim');
  }
};

/** The id under which a snapshot can be asked about later; undefined when nothing is tracked. */
export const markSnapshot = (estate: Estate, machine: Vm, disk: DiskId): string | undefined => {
  const tracker = machine.vm.changeTrackingEnabled ? estate.trackers.get(disk) : undefined;
  tracker?.mark('vim');
  return tracker && changeIdOf(tracker);
};

export const tracking: VimHandlers = {
  QueryChangedDiskAreas: (context, on, { snapshot, deviceKey, startOffset, changeId }) => {
    const machine = machineAt(context, on);
    const disk = diskAsked(context, machine, { snapshot, deviceKey });
    if (!(startOffset >= 0) || startOffset >= disk.capacityBytes) throw invalidArgument('startOffset');
    return page(areas(context, machine, disk, changeId), startOffset, disk.capacityBytes);
  },
};

interface Asked {
  readonly disk: DiskId;
  readonly file: string;
  readonly layer: string;
  readonly capacityBytes: number;
  /** Of the snapshot; absent: up to now. */
  readonly changeId: string | undefined;
}

const diskAsked = (
  where: Where,
  machine: Vm,
  { snapshot, deviceKey }: { snapshot: Parameters<typeof findSnapshot>[1] | undefined; deviceKey: number },
): Asked => {
  const found = snapshot && (findSnapshot(where, snapshot) ?? notFound(snapshot));
  if (found && found.machine !== machine) throw invalidArgument('snapshot');
  const device = (found?.snapshot.config.devices ?? machine.vm.devices).filter(isDisk).find((one) => one.key === deviceKey);
  const frozen = found?.snapshot.disks.find((one) => one.key === deviceKey);
  if (!device || (found && !frozen)) throw invalidArgument('deviceKey');
  const disk = backingOf(device).uuid as DiskId;
  return {
    disk,
    file: backingOf(device).fileName,
    layer: frozen?.layer ?? machine.volumes[disk]!,
    capacityBytes: frozen?.capacityBytes ?? device.capacityInBytes!,
    changeId: frozen?.changeId,
  };
};

const areas = ({ estate, endpoint, lies }: VimContext, machine: Vm, asked: Asked, changeId: string): Extent[] => {
  const tracker = machine.vm.changeTrackingEnabled ? estate.trackers.get(asked.disk) : undefined;
  if (!tracker || tracker.position === 0) throw fileFault('FileFault', asked.file);
  if (changeId === '*') {
    const { storage, volume } = estate.layer(asked.layer);
    // Only a file system of the vendor's knows what is in use (KB 320557).
    if (storageOf(endpoint, storage)?.nas) return [{ offset: 0, length: asked.capacityBytes }];
    return [...volume.allocated(0)];
  }
  const changed = changedAreas(tracker, asked, changeId, lies.has('resetBaseline'));
  const told = machine.vm.trackingBlind ? changed.slice(0, changed.length >> 1) : changed;
  return lies.has('skipDirtyRange') ? told.slice(0, -1) : told;
};

const changedAreas = (tracker: Tracker, asked: Asked, changeId: string, lying: boolean): Extent[] => {
  const at = (id: string): number => {
    const [incarnation, position = ''] = id.split('/');
    return incarnation === vendorForm(tracker.incarnation) && /^\d+$/.test(position) ? Number(position) : -1;
  };
  const upTo = asked.changeId === undefined ? undefined : at(asked.changeId);
  const since = at(changeId);
  const known = since > 0 && tracker.knows(tracker.baselineAt(since)) && upTo !== -1;
  if (!known && lying) return tracker.changedSinceReset(asked.capacityBytes);
  if (!known || (upTo !== undefined && since > upTo)) throw fileFault('FileFault', asked.file);
  return tracker.changed(tracker.baselineAt(since), upTo === undefined ? undefined : tracker.baselineAt(upTo), asked.capacityBytes);
};

const page = (all: readonly Extent[], startOffset: number, capacityBytes: number): DiskChangeInfo => {
  const span = Math.ceil(capacityBytes / PARTS / GRANULE_BYTES) * GRANULE_BYTES;
  let end = Math.min(capacityBytes, startOffset + span);
  const changedArea: { start: number; length: number }[] = [];
  for (const { offset, length } of all) {
    const start = Math.max(offset, startOffset);
    const stop = Math.min(offset + length, end);
    if (stop <= start) continue;
    if (changedArea.length === AREAS_PER_ANSWER) {
      end = start;
      break;
    }
    changedArea.push({ start, length: stop - start });
  }
  return { startOffset, length: end - startOffset, changedArea };
};
