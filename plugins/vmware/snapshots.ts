// Snapshots of virtual machines as a tree, and those in it that are ours.
import type { MoRef, VirtualMachineSnapshotInfo, VirtualMachineSnapshotTree } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, isDrError, type MachineId } from '../../core/contract/index.ts';
import { parseSnapshotTag, type SnapshotTag } from './tags.ts';
import { isGone, type Vcenter, vmRef } from './vcenter.ts';

export interface TaggedSnapshot {
  readonly machine: MachineId;
  readonly ref: MoRef;
  readonly createdAt: string;
  readonly tag: SnapshotTag;
}

function* walk(trees: readonly VirtualMachineSnapshotTree[]): Generator<VirtualMachineSnapshotTree> {
  for (const tree of trees) {
    yield tree;
    yield* walk(tree.childSnapshotList ?? []);
  }
}

export const taggedSnapshots = (machine: string, info: VirtualMachineSnapshotInfo | undefined): TaggedSnapshot[] =>
  [...walk(info?.rootSnapshotList ?? [])].flatMap(({ snapshot, description, createTime }) => {
    const tag = parseSnapshotTag(description);
    return tag ? [{ machine: machine as MachineId, ref: snapshot, createdAt: new Date(createTime).toISOString(), tag }] : [];
  });

/** Of people, of other products, and of other installations. */
export const foreignSnapshots = (info: VirtualMachineSnapshotInfo | undefined, ownerId: string): number =>
  [...walk(info?.rootSnapshotList ?? [])].filter(({ description }) => parseSnapshotTag(description)?.owner !== ownerId).length;

export const countSnapshots = (info: VirtualMachineSnapshotInfo | undefined): number => [...walk(info?.rootSnapshotList ?? [])].length;

/** Ours on one machine. Throws NOT_FOUND when there is no such machine. */
export const snapshotsOf = async (vcenter: Vcenter, id: MachineId, kind: SnapshotTag['kind'], call: Call): Promise<TaggedSnapshot[]> => {
  const { snapshot } = await vcenter.props(vmRef(id), ['snapshot'], call);
  return taggedSnapshots(id, snapshot as VirtualMachineSnapshotInfo | undefined).filter(
    ({ tag }) => tag.owner === vcenter.ownerId && tag.kind === kind,
  );
};

/** Ours on every machine. */
export async function* allSnapshots(vcenter: Vcenter, kind: SnapshotTag['kind'], call: Call): AsyncGenerator<TaggedSnapshot> {
  for await (const { ref, props } of vcenter.list('VirtualMachine', ['snapshot'], call)) {
    const info = props['snapshot'] as VirtualMachineSnapshotInfo | undefined;
    for (const one of taggedSnapshots(ref.value, info)) if (one.tag.owner === vcenter.ownerId && one.tag.kind === kind) yield one;
  }
}

interface Removal {
  readonly machine: MachineId;
  readonly ref: MoRef;
  /** With those that were taken on top of it, whoever took them. */
  readonly withChildren?: boolean;
}

/** Removes one snapshot and waits until it is merged away; succeeds when it is gone. */
export const removeSnapshot = async (vcenter: Vcenter, { machine, ref, withChildren = false }: Removal, call: Call): Promise<void> => {
  try {
    await vcenter.task('RemoveSnapshot_Task', ref, { removeChildren: withChildren, consolidate: true }, call);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  await consolidate(vcenter, machine, call);
};

/**
 * Finishes a merge that has left files behind. Before each new snapshot as well: one on top of such a chain is how guests were corrupted
 * elsewhere, and a snapshot that is gone from the tree does not tell that its files are still there.
 */
export const consolidate = async (vcenter: Vcenter, machine: MachineId, call: Call, letGo?: () => Promise<void>): Promise<void> => {
  if (!(await needsConsolidation(vcenter, machine, call))) return;
  await letGo?.();
  let cause: unknown;
  try {
    await vcenter.task('ConsolidateVMDisks_Task', vmRef(machine), {}, call);
  } catch (error) {
    if (!isDrError(error, 'FILE_LOCKED', 'STATE_CONFLICT')) throw error;
    cause = error;
  }
  if (cause === undefined && !(await needsConsolidation(vcenter, machine, call))) return;
  throw new DrError(
    'CONSOLIDATION_NEEDED',
    `the disks of machine ${machine} cannot be consolidated${cause instanceof DrError ? `: ${cause.message}` : ''}`,
    {
      hint: 'look for a backup product or an appliance that holds a disk of the machine and release it; the next cycle consolidates by itself',
      context: { machine },
      ...(cause === undefined ? {} : { cause }),
    },
  );
};

const needsConsolidation = async (vcenter: Vcenter, machine: MachineId, call: Call): Promise<boolean> => {
  const { 'runtime.consolidationNeeded': needed } = await vcenter.props(vmRef(machine), ['runtime.consolidationNeeded'], call);
  return needed === true;
};
