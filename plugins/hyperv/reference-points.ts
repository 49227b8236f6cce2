// Reference points: what a machine's disks were at a sealed cycle, as identities that resilient change tracking counts from. They have no owner:
// only those on our own record are ever destroyed.
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import { type Call, type DiskId, DrError, type Extent, isDrError, type MachineId } from '../../core/contract/index.ts';
import { extentPages } from '../../core/plugin-kit/index.ts';
import type { Fabric } from './fabric.ts';
import type { Look } from './look.ts';
import type { Drive } from './machine.ts';
import { list, number, text, texts } from './rows.ts';
import { callMethod, instances } from './wmi.ts';

export interface ReferencePoint {
  readonly id: string;
  /** Identity of each disk to the change tracking id that it had. */
  readonly trackingIds: ReadonlyMap<string, string>;
}

const POINT = ['InstanceID', 'VirtualDiskIdentifiers', 'ResilientChangeTrackingIdentifiers'] as const;

const allOf = (id: MachineId, select?: readonly string[]): Step =>
  instances('Msvm_VirtualSystemReferencePoint', { property: 'VirtualSystemIdentifier', value: id.toUpperCase() }, select);

export const referencePointsOf = async (fabric: Fabric, id: MachineId, host: string, call: Call): Promise<ReferencePoint[]> => {
  const rows = await fabric.rows(host, [allOf(id, POINT)], call);
  return rows.map((row) => {
    const disks = texts(row, 'VirtualDiskIdentifiers');
    const tracking = texts(row, 'ResilientChangeTrackingIdentifiers');
    // Lists of unlike lengths cannot be matched: then nothing is known.
    const pairs = disks.length === tracking.length ? disks.map((disk, at): [string, string] => [bare(disk), tracking[at]!]) : [];
    return { id: text(row, 'InstanceID'), trackingIds: new Map(pairs) };
  });
};

/** `{GUID}` or `GUID`, in either case. */
const bare = (guid: string): string => guid.replaceAll(/[{}]/g, '').toLowerCase();

export const destroyReferencePoint = async (fabric: Fabric, host: string, point: string, call: Call): Promise<void> => {
  try {
    await callMethod(
      fabric,
      {
        host,
        steps: [instances('Msvm_VirtualSystemReferencePoint', { property: 'InstanceID', value: point })],
        service: 'Msvm_VirtualSystemReferencePointService',
        method: 'DestroyReferencePoint',
        args: { AffectedReferencePoint: { $step: 0 } },
        what: `the removal of reference point ${point}`,
      },
      call,
    );
  } catch (error) {
    if (!isDrError(error, 'NOT_FOUND')) throw error;
  }
};

export interface Changes {
  readonly look: Look;
  readonly frozen: Drive;
  readonly trackingId: string;
  readonly from: number;
}

/** A host answers as much at a time as it likes. */
export const changesSince = (fabric: Fabric, { look, frozen, trackingId, from }: Changes, call: Call): AsyncGenerator<Extent> => {
  const { id: disk, sizeBytes } = frozen;
  return extentPages(call, { from, sizeBytes }, async (at) => {
    const row = await fabric
      .held(look, () => pageOf(fabric, { look, frozen, trackingId, from: at }, call), call)
      .catch((error: unknown) => {
        call.signal.throwIfAborted();
        throw lostOr(error, disk);
      });
    const processed = number(row, 'ProcessedByteLength');
    const offsets = list(row, 'ChangedByteOffsets').map(Number);
    const lengths = list(row, 'ChangedByteLengths').map(Number);
    if (processed <= 0 || offsets.length !== lengths.length) throw lost(disk, `the host's answer does not go on from ${at}`);
    return { next: at + processed, ranges: offsets.map((offset, index) => ({ offset, length: lengths[index]! })) };
  });
};

const pageOf = (fabric: Fabric, { look, frozen, trackingId, from }: Changes, call: Call): Promise<PsRow> => {
  const args = {
    Path: frozen.path,
    LimitId: trackingId,
    TargetSnapshotId: '',
    ByteOffset: { $type: 'uint64', value: String(from) },
    ByteLength: { $type: 'uint64', value: String(frozen.sizeBytes - from) },
  } as const;
  const select = ['ProcessedByteLength', 'ChangedByteOffsets', 'ChangedByteLengths'];
  const what = `the changes of disk ${frozen.id}`;
  return callMethod(
    fabric,
    { host: look.host, service: 'Msvm_ImageManagementService', method: 'GetVirtualDiskChanges', args, select, what },
    call,
  );
};

export const lost = (disk: DiskId, why: string, cause?: unknown): DrError =>
  new DrError('TRACKING_LOST', `what changed on disk ${disk} cannot be told: ${why}`, { context: { disk }, cause });

/** Whatever a host says to an id that it does not know, in whichever way: who cannot tell what changed is compared with. */
const lostOr = (error: unknown, disk: DiskId): unknown =>
  isDrError(error, 'INTERNAL', 'STATE_CONFLICT', 'CAPABILITY_MISSING', 'TRACKING_LOST')
    ? lost(disk, 'the host does not know the baseline', error)
    : error;
