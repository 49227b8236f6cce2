// Putting chains of checkpoints together again: in the background, while the machine runs.
import type { DiskId } from '../../../core/contract/index.ts';
import { specFromHv } from './equipment.ts';
import { isHv } from './fabric.ts';
import { asPsFailure } from './failures.ts';
import type { At, DriveRecord, Hv } from './model.ts';
import { chainOf, childrenOf, keyOf } from './paths.ts';
import { assertClosed, isOpen } from './usage.ts';

const MERGE_MS = 50;
const BYTES_PER_MS = 200_000;
/** A file that somebody else has open is tried again after so long. */
const AGAIN_MS = 1000;
/** Until the service or the machine starts anew. */
const FOR_EVER = Number.MAX_SAFE_INTEGER;

/** What a checkpoint has made: the differencing disks of people have other names. */
const isOverlay = (key: string): boolean => key.endsWith('.avhdx');

interface Unneeded {
  readonly disk: DiskId;
  /** Key of the overlay that goes into the file under it. */
  readonly above: string;
  readonly below: string;
}

const unneededOf = (at: At, machine: Hv): Unneeded[] => {
  const frozen = new Set(machine.hv.checkpoints.flatMap(({ disks }) => disks.map(({ file }) => file)));
  return machine.hv.drives.flatMap(({ disk, path }) => {
    const rows = chainOf(at, keyOf(path)).map((above) => ({ disk, above, below: at.hyperv.files[above]!.parent }));
    return rows.filter(
      (row): row is Unneeded =>
        row.below !== undefined && isOverlay(row.above) && !frozen.has(row.below) && childrenOf(at, row.below).length === 1,
    );
  });
};

export const needsMerging = (at: At, machine: Hv): boolean => unneededOf(at, machine).length > 0;

/** As a task of the host that nobody waits for. */
export const startMerging = (at: At, machine: Hv, stalls = false): void => {
  const { estate } = at;
  const unneeded = unneededOf(at, machine);
  if (unneeded.length === 0) return;
  const bytes = unneeded.reduce((sum, { above }) => sum + estate.layer(at.hyperv.files[above]!.layer).volume.allocatedBytes, 0);
  mergeAfter(at, machine, stalls ? undefined : MERGE_MS + bytes / BYTES_PER_MS);
};

const mergeAfter = (at: At, machine: Hv, durationMs: number | undefined): void => {
  const { timeline } = at.estate;
  const untilMs = durationMs === undefined ? FOR_EVER : timeline.now() + durationMs;
  machine.hv.merging = { untilMs };
  at.estate.touch(machine);
  if (durationMs === undefined) return;
  timeline.schedule(
    durationMs,
    () => {
      // Another merge of the machine may have begun, or the machine may be gone.
      if (at.estate.machines.get(machine.id) === machine && isHv(machine) && machine.hv.merging?.untilMs === untilMs) finish(at, machine);
    },
    true,
  );
};

const finish = (at: At, machine: Hv): void => {
  try {
    mergeUnneeded(at, machine);
    delete machine.hv.merging;
    at.estate.touch(machine);
    if (needsMerging(at, machine)) startMerging(at, machine);
  } catch (error) {
    if (!asPsFailure(error)) throw error;
    mergeAfter(at, machine, AGAIN_MS);
  }
};

/** Begins what is left anew: after a start of the service, and once the machine is off. */
export const mergeAnew = (at: At, machine: Hv): void => {
  delete machine.hv.merging;
  startMerging(at, machine);
};

/** Throws ERROR_SHARING_VIOLATION when somebody else has one of the files open; what was merged before stays so. */
export const mergeUnneeded = (at: At, machine: Hv): void => {
  for (let row = unneededOf(at, machine)[0]; row; row = unneededOf(at, machine)[0]) mergeOne(at, machine, row);
  if (isOpen(at, machine)) return;
  delete machine.hv.merging;
};

/** The overlay's content goes into the file under it, which stands in its place from then on. */
const mergeOne = (at: At, machine: Hv, { disk, above, below }: Unneeded): void => {
  const { estate, hyperv } = at;
  for (const key of [above, below]) assertClosed(at, key, machine);
  const upper = hyperv.files[above]!;
  const lower = hyperv.files[below]!;
  const into = estate.layer(lower.layer).volume;
  const from = estate.layer(upper.layer).volume;
  from.mergeIntoParent();
  for (const child of childrenOf(at, above)) {
    hyperv.files[child]!.parent = below;
    estate.layer(hyperv.files[child]!.layer).volume.standOn(into);
  }
  if (machine.volumes[disk] === upper.layer) machine.volumes[disk] = lower.layer;
  const renamed = (drives: readonly DriveRecord[]) =>
    drives.map((drive) => (keyOf(drive.path) === above ? { ...drive, path: lower.path } : drive));
  machine.hv.drives = renamed(machine.hv.drives);
  machine.hv.checkpoints = machine.hv.checkpoints.map((checkpoint) => ({
    ...checkpoint,
    disks: checkpoint.disks.map((row) => (row.file === above ? { ...row, file: below } : row)),
    config: { ...checkpoint.config, drives: renamed(checkpoint.config.drives) },
  }));
  for (const record of estate.snapshots.values()) if (record.volumes[disk] === upper.layer) record.volumes[disk] = lower.layer;
  delete hyperv.files[above];
  estate.removeLayer(upper.layer);
  specFromHv(at, machine);
};
