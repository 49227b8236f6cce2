// Resilient change tracking as the image management service answers for it.
import type { DiskId, Extent } from '../../../core/contract/index.ts';
import type { Tracker } from '../tracker.ts';
import { HRESULT, PsFailure } from './failures.ts';
import type { At, Hv, PsContext } from './model.ts';
import { fileAt, keyOf } from './paths.ts';
import { isOpen } from './usage.ts';

const OWNER = 'rct';
const RANGES_PER_ANSWER = 256;
const GRANULE_BYTES = 32_768;
/** No answer covers more than this part of the disk: where nothing has changed there, it is empty, and still not the last. */
const PARTS = 4;

/** An identifier is a place in what the tracker of one disk knows. */
const rctIdOf = (tracker: Tracker, position: number): string => `rctX:${tracker.incarnation}:${position.toString(16).padStart(8, '0')}`;

export const rctId = ({ estate }: At, disk: DiskId, position: number): string | undefined => {
  const tracker = estate.trackers.get(disk);
  return tracker && rctIdOf(tracker, position);
};

/** Tracking begins with the first recovery checkpoint of a machine; a disk that came later is tracked from now on. */
export const markDisks = ({ estate }: At, machine: Hv): ReadonlyMap<DiskId, number> => {
  estate.enableTracking(machine);
  machine.hv.rct = true;
  const rows = machine.spec.disks.map(({ id }): [DiskId, number] => {
    const tracker = estate.trackers.get(id)!;
    tracker.mark(OWNER);
    return [id, tracker.position];
  });
  return new Map(rows);
};

export const forgetPosition = ({ estate }: At, disk: DiskId, position: number): void => {
  const tracker = estate.trackers.get(disk);
  tracker?.forget(tracker.baselineAt(position));
};

/** By its identifier: of a reference point that is destroyed. */
export const forgetRctId = ({ estate }: At, disk: DiskId, id: string): void => {
  const tracker = estate.trackers.get(disk);
  const position = tracker && positionIn(tracker, id);
  if (tracker && position !== undefined) tracker.forget(tracker.baselineAt(position));
};

const positionIn = (tracker: Tracker, id: string): number | undefined => {
  const [, incarnation, position = ''] = id.split(':');
  return incarnation === tracker.incarnation && /^[0-9a-f]+$/.test(position) ? Number.parseInt(position, 16) : undefined;
};

export interface Asked {
  readonly path: string;
  readonly limitId: string;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface Changes {
  readonly processed: number;
  readonly ranges: readonly Extent[];
}

const cimFailure = (hresult: number, message: string): PsFailure =>
  new PsFailure({
    category: 'NotSpecified',
    id: `HRESULT 0x${(hresult >>> 0).toString(16)}`,
    message,
    type: 'Microsoft.Management.Infrastructure.CimException',
    hresult,
  });

/** A page of what has changed since an identifier, up to the state of the file. */
export const changesOf = (context: PsContext, asked: Asked): Changes => {
  const { disk, sizeBytes, upTo } = stateAt(context, asked.path);
  const tracker = disk === undefined ? undefined : context.estate.trackers.get(disk);
  if (!/^rctX:[0-9a-f-]{36}:[0-9a-f]{8}$/.test(asked.limitId))
    throw cimFailure(HRESULT.invalidTrackingId, 'The change tracking identifier is not valid.');
  if (!tracker) throw cimFailure(HRESULT.trackingDisabled, 'Change tracking is disabled for the virtual disk.');
  if (!(asked.byteOffset >= 0) || asked.byteOffset > sizeBytes)
    throw cimFailure(HRESULT.invalidParameter, 'The offset is beyond the end of the disk.');
  const changed = changedIn(tracker, { ...asked, upTo, sizeBytes, lying: context.lies.has('resetBaseline') });
  return page(context.lies.has('skipDirtyRange') ? changed.slice(0, -1) : changed, asked, sizeBytes);
};

interface State {
  readonly disk: DiskId | undefined;
  readonly sizeBytes: number;
  /** Of a file that a recovery checkpoint froze; absent: up to now. */
  readonly upTo?: number | undefined;
}

/** Throws where a running machine writes to the file. */
const stateAt = (context: PsContext, path: string): State => {
  const key = keyOf(path);
  const { layer } = fileAt(context, path);
  for (const machine of context.estate.machines.values()) {
    if (machine.endpoint !== context.endpoint.name || !machine.hv) continue;
    const frozen = machine.hv.checkpoints.flatMap(({ disks }) => disks).find(({ file }) => file === key);
    if (frozen) return { disk: frozen.disk, sizeBytes: frozen.sizeBytes, upTo: frozen.position };
    const drive = machine.hv.drives.find((one) => keyOf(one.path) === key);
    if (!drive) continue;
    if (isOpen(context, machine as Hv)) throw cimFailure(HRESULT.sharingViolation, `'${path}' is in use.`);
    return { disk: drive.disk, sizeBytes: context.estate.layer(layer).volume.sizeBytes };
  }
  return { disk: undefined, sizeBytes: context.estate.layer(layer).volume.sizeBytes };
};

const changedIn = (
  tracker: Tracker,
  asked: Asked & { readonly upTo: number | undefined; readonly sizeBytes: number; readonly lying: boolean },
): Extent[] => {
  const since = positionIn(tracker, asked.limitId);
  const known = since !== undefined && tracker.knows(tracker.baselineAt(since)) && (asked.upTo === undefined || since <= asked.upTo);
  if (!known && asked.lying) return tracker.changedSinceReset(asked.sizeBytes);
  if (!known) throw cimFailure(HRESULT.missingTracking, 'The requested change tracking information is missing.');
  if (since === asked.upTo) return [];
  return tracker.changed(tracker.baselineAt(since), asked.upTo === undefined ? undefined : tracker.baselineAt(asked.upTo), asked.sizeBytes);
};

const page = (all: readonly Extent[], { byteOffset, byteLength }: Asked, sizeBytes: number): Changes => {
  const span = Math.ceil(sizeBytes / PARTS / GRANULE_BYTES) * GRANULE_BYTES;
  let end = Math.min(sizeBytes, byteOffset + Math.min(byteLength, span));
  const ranges: Extent[] = [];
  for (const { offset, length } of all) {
    const start = Math.max(offset, byteOffset);
    const stop = Math.min(offset + length, end);
    if (stop <= start) continue;
    if (ranges.length === RANGES_PER_ANSWER) {
      end = start;
      break;
    }
    ranges.push({ offset: start, length: stop - start });
  }
  return { processed: end - byteOffset, ranges };
};
