// Snapshots of machines: each freezes the top layers and puts overlays on them.
import type { DiskId, SnapshotId } from '../../../core/contract/index.ts';
import type { MoRef, VirtualDisk } from '../../vsphere/port.ts';
import { letWrite, recordTruth, WRITES_WHEN_TORN } from '../operations/source.ts';
import { addFile, childrenOf, dropLayer, freeOverlayPath, pathOf } from './datastore.ts';
import { snapshotDisks } from './device-changes.ts';
import { backingOf, isDisk, isIndependent } from './devices.ts';
import { machineAt, specFromDevices } from './equipment.ts';
import { vimFault } from './fault-answers.ts';
import { assertOpens, assertUnheld } from './locks.ts';
import { mergeMs, mergeUnneeded, withFile } from './merging.ts';
import type { VimContext, VimHandlers, VmSnapshotRecord } from './model.ts';
import { notFound } from './objects.ts';
import { type Tag, tagOf } from './tags.ts';
import { markSnapshot, stun } from './tracking.ts';
import { findSnapshot, powerStateOf, snapshotRef, startVmTask, type Vm, vcenterOf } from './vms.ts';

const SNAPSHOT_MS = 30;
const LONGEST_CHAIN = 32;

export const snapshots: VimHandlers = {
  CreateSnapshot_Task: (context, on, args) => {
    const machine = machineAt(context, on);
    const run = () => snapshotRef(createSnapshot(context, machineAt(context, on), args).id);
    return startVmTask(context, machine, { description: 'VirtualMachine.createSnapshot', durationMs: SNAPSHOT_MS, run });
  },

  RemoveSnapshot_Task: (context, on, { removeChildren, consolidate = true }) => {
    const { machine } = findSnapshot(context, on) ?? notFound(on);
    const run = () => {
      for (const snapshot of doomed(machine, snapshotAt(context, on), removeChildren)) forget(context, machine, snapshot);
      if (consolidate) merge(context, machine);
      else machine.vm.consolidationNeeded = true;
    };
    const durationMs = SNAPSHOT_MS + mergeMs(context, machine);
    return startVmTask(context, machine, { description: 'vm.Snapshot.remove', durationMs, run });
  },

  RevertToSnapshot_Task: (context, on) => {
    const { machine } = findSnapshot(context, on) ?? notFound(on);
    const run = () => revert(context, machine, snapshotAt(context, on));
    return startVmTask(context, machine, { description: 'vm.Snapshot.revert', durationMs: SNAPSHOT_MS, run });
  },

  ConsolidateVMDisks_Task: (context, on) => {
    const machine = machineAt(context, on);
    const durationMs = SNAPSHOT_MS + mergeMs(context, machine);
    return startVmTask(context, machine, {
      description: 'VirtualMachine.consolidateDisks',
      durationMs,
      run: () => merge(context, machine),
    });
  },
};

const snapshotAt = (context: VimContext, on: MoRef): VmSnapshotRecord => (findSnapshot(context, on) ?? notFound(on)).snapshot;

interface NewSnapshot {
  readonly name: string;
  readonly description?: string | undefined;
  readonly quiesce: boolean;
}

const createSnapshot = (context: VimContext, machine: Vm, { name, description = '', quiesce }: NewSnapshot): VmSnapshotRecord => {
  const { estate } = context;
  const { vm } = machine;
  if (levels(machine) >= LONGEST_CHAIN) throw vimFault('TooManySnapshotLevels');
  const disks = machine.spec.disks
    .toSorted((a, b) => Number(b.boot) - Number(a.boot))
    .flatMap(({ id }) => snapshotDisks(machine).filter((disk) => backingOf(disk).uuid === id));
  for (const disk of disks) assertOpens(context, machine, machine.volumes[backingOf(disk).uuid as DiskId]!, true);
  quiesceGuest(context, machine, quiesce);
  stun(estate, machine);
  const id = estate.nextId('snapshot');
  const tag = tagOf(description);
  if (tag) recordTruth(estate, machine, tag.operationId, id as SnapshotId);
  const config = structuredClone({
    annotation: vm.annotation,
    extraConfig: vm.extraConfig,
    devices: vm.devices,
    changeTrackingEnabled: vm.changeTrackingEnabled,
    spec: machine.spec,
  });
  const frozen = disks.map((disk, index) => {
    if (index > 0 && context.lies.has('tornSnapshot')) letWrite(estate, [machine], WRITES_WHEN_TORN);
    return freeze(context, machine, disk);
  });
  const snapshot: VmSnapshotRecord = {
    id,
    name,
    description,
    createTime: estate.now(),
    quiesced: quiesce && machine.power === 'on',
    ...(vm.currentSnapshot === undefined ? {} : { parent: vm.currentSnapshot }),
    disks: frozen,
    config,
    state: powerStateOf(machine),
  };
  vm.snapshots.push(snapshot);
  vm.currentSnapshot = id;
  vm.changeVersion++;
  if (tag) remember(context, machine, snapshot, tag);
  estate.touch(machine);
  return snapshot;
};

const levels = ({ vm }: Vm): number => {
  let depth = 0;
  for (let at = vm.currentSnapshot; at !== undefined; at = vm.snapshots.find((one) => one.id === at)?.parent) depth++;
  return depth;
};

/** Without power there is nobody to ask. */
const quiesceGuest = ({ estate }: VimContext, machine: Vm, wanted: boolean): void => {
  if (!wanted || machine.power === 'off') return;
  const guest = estate.guests.get(machine.id);
  if (!guest) throw vimFault('ApplicationQuiesceFault');
  guest.finishTransaction(estate.timeline.now());
};

const freeze = (context: VimContext, machine: Vm, disk: VirtualDisk): VmSnapshotRecord['disks'][number] => {
  const { estate } = context;
  const id = backingOf(disk).uuid as DiskId;
  const live = estate.live(machine, id);
  live.sync();
  estate.caches.get(id)?.flush();
  const changeId = markSnapshot(estate, machine, id);
  const frozen = {
    disk: id,
    key: disk.key,
    layer: live.name,
    capacityBytes: live.sizeBytes,
    ...(changeId === undefined ? {} : { changeId }),
  };
  if (!context.lies.has('liveCopy')) putOverlay(context, machine, disk, live.name);
  return frozen;
};

const putOverlay = ({ estate, endpoint }: VimContext, machine: Vm, disk: VirtualDisk, below: string): void => {
  const { volume, storage } = estate.layer(below);
  const id = backingOf(disk).uuid as DiskId;
  const path = freeOverlayPath(endpoint, pathOf(vcenterOf(endpoint), below) ?? backingOf(disk).fileName);
  const overlay = estate.createLayer(volume.sizeBytes, storage, volume);
  addFile(endpoint, path, { layer: overlay.name, uuid: id });
  machine.volumes[id] = overlay.name;
  machine.vm.devices = machine.vm.devices.map((one) => (isDisk(one) && backingOf(one).uuid === id ? withFile(one, path) : one));
};

/** For the lab's control, which looks into snapshots and finds what was left. */
const remember = ({ estate, endpoint }: VimContext, machine: Vm, snapshot: VmSnapshotRecord, tag: Tag): void => {
  const id = snapshot.id as SnapshotId;
  estate.snapshots.set(id, {
    endpoint: endpoint.name,
    owner: tag.owner,
    kind: tag.kind,
    volumes: Object.fromEntries(snapshot.disks.map(({ disk, layer }) => [disk, layer])),
    since: {},
    info: {
      id,
      operationId: tag.operationId,
      takenAt: snapshot.createTime,
      machines: [machine.id],
      atomicity: 'instant',
      consistency: snapshot.quiesced ? 'application' : 'crash',
      notes: snapshot.description,
      disks: snapshot.disks.map(({ disk, capacityBytes }) => ({ disk, machine: machine.id, sizeBytes: capacityBytes })),
      specs: { [machine.id]: machine.spec },
    },
  });
};

const doomed = ({ vm }: Vm, snapshot: VmSnapshotRecord, withChildren: boolean): VmSnapshotRecord[] => {
  if (!withChildren) return [snapshot];
  const children = vm.snapshots.filter((one) => one.parent === snapshot.id);
  return [...children.flatMap((child) => doomed({ vm } as Vm, child, true)), snapshot];
};

const forget = ({ estate, endpoint }: VimContext, machine: Vm, { id, parent, disks }: VmSnapshotRecord): void => {
  const { vm } = machine;
  vm.snapshots = vm.snapshots
    .filter((one) => one.id !== id)
    .map((one) => {
      const { parent: before, ...rest } = one;
      if (before !== id) return one;
      return parent === undefined ? rest : { ...rest, parent };
    });
  if (vm.currentSnapshot === id) {
    if (parent === undefined) delete vm.currentSnapshot;
    else vm.currentSnapshot = parent;
  }
  estate.snapshots.delete(id as SnapshotId);
  // A branch that the machine has left ends here: nothing stands on its layers.
  const needed = new Set([...Object.values(machine.volumes), ...vm.snapshots.flatMap((one) => one.disks.map(({ layer }) => layer))]);
  for (const { layer } of disks) if (!needed.has(layer) && childrenOf(estate, layer).length === 0) dropLayer(estate, endpoint, layer);
};

/** A file that somebody else has open stays: the snapshot is gone from the tree, its layers wait for a consolidation. */
const merge = (context: VimContext, machine: Vm): void => {
  const { vm } = machine;
  try {
    stun(context.estate, machine);
    vm.consolidationNeeded = true;
    mergeUnneeded(context, machine);
    vm.consolidationNeeded = false;
  } finally {
    vm.changeVersion++;
    context.estate.touch(machine);
  }
};

/** Content and configuration go back, the power goes off (no memory was kept), and what the tracker knew holds no more. */
const revert = (context: VimContext, machine: Vm, snapshot: VmSnapshotRecord): void => {
  const { estate, endpoint } = context;
  const { vm } = machine;
  const needed = new Set(vm.snapshots.flatMap((one) => one.disks.map(({ layer }) => layer)));
  const tops = snapshotDisks(machine).map((disk) => backingOf(disk).uuid as DiskId);
  const dropped = tops.map((id) => machine.volumes[id]!).filter((top) => !needed.has(top) && estate.layer(top).volume.parent);
  assertUnheld(context, dropped, machine);
  estate.powerOff(machine);
  for (const id of tops) delete machine.volumes[id];
  for (const layer of dropped) dropLayer(estate, endpoint, layer);
  const { spec, ...config } = structuredClone(snapshot.config);
  Object.assign(vm, config);
  // A disk of another machine that was attached then is not any more.
  vm.devices = vm.devices.filter(
    (one) => !isDisk(one) || !isIndependent(one) || machine.volumes[backingOf(one).uuid as DiskId] !== undefined,
  );
  machine.spec = spec;
  vm.currentSnapshot = snapshot.id;
  for (const { disk, layer, key } of snapshot.disks) {
    const device = vm.devices.find((one): one is VirtualDisk => isDisk(one) && one.key === key)!;
    machine.volumes[disk] = layer;
    putOverlay(context, machine, device, layer);
  }
  specFromDevices(estate, machine);
  estate.resetTrackers(machine);
  if (!vm.changeTrackingEnabled) estate.disableTracking(machine);
  machine.generation++;
  delete vm.connectedAtMs;
  vm.changeVersion++;
  estate.touch(machine);
};
