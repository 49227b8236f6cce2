// Replicas: virtual machines made, adopted, reshaped and deleted; their disks written by the endpoint's data path.
import { hash } from 'node:crypto';
import {
  isFault,
  type MoRef,
  typed,
  type VirtualDevice,
  type VirtualDeviceConfigSpec,
  type VirtualMachineConfigSpec,
  type VirtualMachineSnapshotInfo,
} from '../../adapters/vsphere/port.ts';
import {
  type Call,
  type DiskId,
  DrError,
  type Finding,
  type MachineId,
  type MachineSpec,
  type Placed,
  type ReplicaDisk,
  type ReplicaRequest,
  type Target,
} from '../../core/contract/index.ts';
import { assertEpoch, type Epochs } from '../../core/plugin-kit/index.ts';
import { noAutostart } from './autostart.ts';
import { cardChanges, controllerChanges, diskAddition, keepsAddress, memoryMB, type PlacedDisk, placeDisks, removal } from './devices.ts';
import { forksOf } from './forks.ts';
import { controllersOf, type DiskDevice, powerOf, vendorOf } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { fromVcenter, toVcenter } from './names.ts';
import { choosePlaces } from './placement.ts';
import {
  assertNoForks,
  assertOff,
  clearedTags,
  diskTags,
  lookAt,
  type Match,
  matchDisks,
  nicTags,
  ownReplica,
  placedAs,
  type Replica,
} from './replica.ts';
import { countSnapshots, snapshotsOf } from './snapshots.ts';
import {
  DISK,
  epochOf,
  extraOptions,
  OWNER,
  operationUuid,
  PROMOTED,
  REPLICA,
  type ReplicaTag,
  readExtra,
  replicaTag,
  TRACKING,
} from './tags.ts';
import { isGone, type Vcenter, vmRef } from './vcenter.ts';
import { type DiskGround, openWritable } from './writable.ts';

const SECTOR_BYTES = 512;
const GUESTS: Readonly<Record<MachineSpec['guest']['family'], string>> = {
  windows: 'windows2019srv_64Guest',
  linux: 'otherLinux64Guest',
  other: 'otherGuest64',
};

export const targetOf = (vcenter: Vcenter, paths: DataPaths, epochs: Epochs): Target => ({
  createReplica: (spec, as, call) => createReplica(vcenter, spec, as, call),
  adoptReplica: (id, spec, call) => adoptReplica(vcenter, id, spec, call),
  reshapeReplica: (id, spec, call) => reshapeReplica(vcenter, paths, { id, spec }, call),
  deleteReplicaDisk: (id, disk, call) => deleteReplicaDisk(vcenter, paths, { id, disk }, call),
  deleteReplica: (id, call) => deleteReplica(vcenter, paths, id, call),
  openReplicaDisk: (id, disk, call) => openReplicaDisk({ vcenter, paths, epochs }, { id, disk }, call),
  forks: forksOf(vcenter, paths, epochs),
});

// ---- making ----------------------------------------------------------------------------------------------------------

const createReplica = async (vcenter: Vcenter, spec: MachineSpec, as: ReplicaRequest, call: Call): Promise<Placed> => {
  const findings = findingsFor(spec, as);
  const made = (await findMade(vcenter, call)) ?? (await make(vcenter, spec, as, call));
  const placed = placedAs(await lookAt(vcenter, made, call), spec, findings);
  return (await startFromBootDisk(vcenter, placed, spec, call)) ? placedAs(await lookAt(vcenter, made, call), spec, findings) : placed;
};

/** The firmware tries disks in the order of their places. Where another one is the boot disk it is named; a device's key is known only now. */
const startFromBootDisk = async (vcenter: Vcenter, { machine, disks }: Placed, spec: MachineSpec, call: Call): Promise<boolean> => {
  const wanted = disks.get(spec.disks.find(({ boot }) => boot)?.id as DiskId);
  if (wanted === undefined || machine.spec.disks.find(({ id }) => id === wanted)?.boot !== false) return false;
  const device = (await lookAt(vcenter, machine.id, call)).disks.find(({ id }) => id === wanted);
  if (!device) return false;
  const bootOrder = [typed('VirtualMachineBootOptionsBootableDiskDevice', { deviceKey: device.device.key })];
  await vcenter.task('ReconfigVM_Task', vmRef(machine.id), { spec: { bootOptions: { bootOrder } } }, call);
  return true;
};

const findMade = async (vcenter: Vcenter, call: Call): Promise<MachineId | undefined> => {
  const { searchIndex } = vcenter.client.content;
  if (!searchIndex) throw new DrError('PROTOCOL_ERROR', 'the server has no search index');
  const uuid = operationUuid(vcenter.ownerId, call.operationId);
  const found = (await vcenter.call('FindByUuid', searchIndex, { uuid, vmSearch: true, instanceUuid: true }, call)) as MoRef | undefined;
  if (!found) return undefined;
  const { 'config.extraConfig': options } = await vcenter.props(found, ['config.extraConfig'], call);
  const extra = readExtra(options);
  return extra.get(OWNER) === vcenter.ownerId && replicaTag(extra)?.operationId === call.operationId
    ? (found.value as MachineId)
    : undefined;
};

/** One request: a machine that is made first and tagged later would be made twice after a lost answer. */
const make = async (vcenter: Vcenter, spec: MachineSpec, as: ReplicaRequest, call: Call): Promise<MachineId> => {
  const places = await choosePlaces(
    vcenter,
    as,
    spec.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0),
    call,
  );
  const folderName = folderFor(as.name, vcenter.ownerId, call.operationId);
  const home = `[${places.datastoreName}] ${folderName}`;
  const disks = placeDisks(spec);
  const tag: ReplicaTag = { operationId: call.operationId, adopted: false };
  const vendor = vendorOf(spec);
  const config: VirtualMachineConfigSpec = {
    ...(vendor.biosUuid ? { uuid: vendor.biosUuid } : {}),
    instanceUuid: operationUuid(vcenter.ownerId, call.operationId),
    guestId: vendor.guestId ?? GUESTS[spec.guest.family],
    annotation: 'Replica of Warmsite: it is written while the source runs. Do not power it on by hand.',
    files: { vmPathName: `${home}/${folderName}.vmx` },
    numCPUs: spec.cpuCount,
    memoryMB: memoryMB(spec),
    deviceChange: [
      ...diskChanges(spec, disks, { home, there: new Map(), firstFile: 0 }),
      ...(await cardChanges(vcenter, spec, as.nics, places.network, call)),
    ],
    extraConfig: extraOptions({
      [OWNER]: vcenter.ownerId,
      [REPLICA]: JSON.stringify(tag),
      ...diskTags(disks),
      ...nicTags(spec),
      'disk.EnableUUID': 'TRUE',
      [TRACKING]: vcenter.ownerId,
    }),
    bootOptions: bootOptionsFor(spec),
    firmware: spec.firmware === 'uefi' ? 'efi' : 'bios',
    // From the start: under a snapshot, which every fork is, it could not be enabled any more.
    changeTrackingEnabled: true,
  };
  for (const name of namesFor(as.name, call.operationId)) {
    try {
      const args = { config: { ...config, name }, pool: places.pool, ...(places.host ? { host: places.host } : {}) };
      return ((await vcenter.task('CreateVM_Task', places.folder, args, call)) as MoRef).value as MachineId;
    } catch (error) {
      const made = isFault(error, 'DuplicateName', 'AlreadyExists', 'InvalidArgument') ? await findMade(vcenter, call) : undefined;
      if (made) return made;
      if (!isFault(error, 'DuplicateName', 'AlreadyExists')) throw error;
    }
  }
  throw new DrError(
    'STATE_CONFLICT',
    `the folder of the replica has machines of every name that ${JSON.stringify(as.name)} could be given`,
    {
      hint: 'map the machine to another folder',
      context: { name: as.name },
    },
  );
};

const short = (text: string): string => hash('sha256', text, 'hex').slice(0, 8);

/** Names are one of a kind in a folder of vCenter; names of sources need not be. */
const namesFor = (name: string, operationId: string): string[] => [toVcenter(name), toVcenter(name, ` (${short(operationId)})`)];

/** A path of plain characters, whatever the machine is called. */
const folderFor = (name: string, ownerId: string, operationId: string): string => {
  const plain = name
    .normalize('NFKD')
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '')
    .slice(0, 40);
  return `${plain === '' ? 'machine' : plain}-${short(`${ownerId}\n${operationId}`)}`;
};

const findingsFor = (spec: MachineSpec, { nics, name }: ReplicaRequest): Finding[] => {
  const findings: Finding[] = [];
  if (spec.tpm)
    findings.push({
      code: 'TPM_IS_NEW',
      level: 'warning',
      message: 'a TPM does not follow a disk copy',
      hint: 'have the recovery key of the guest at hand',
    });
  if (spec.disks.some(({ logicalSectorBytes }) => logicalSectorBytes !== SECTOR_BYTES)) {
    findings.push({
      code: 'SECTOR_SIZE',
      level: 'warning',
      message: `a disk of the source has sectors of 4,096 bytes, those of vSphere have ${SECTOR_BYTES}: the guest will not find its partitions`,
      hint: 'protect the machine at a target that has such disks',
    });
  }
  if (fromVcenter(toVcenter(name)) !== name) {
    findings.push({
      code: 'NAME_CHANGED',
      level: 'info',
      message: 'vCenter does not take the name as it is: it is shortened',
      hint: 'nothing to do',
    });
  }
  if (spec.nics.some((nic) => nic.mac !== undefined && nics.get(nic.id) !== undefined && !keepsAddress(nic.mac))) {
    findings.push({
      code: 'MAC_IS_NEW',
      level: 'info',
      message: 'network cards get new addresses: the old ones are of a range that vCenter gives out itself',
      hint: 'nothing to do, unless a licence or a DHCP reservation goes by the address',
    });
  }
  return findings;
};

const bootOptionsFor = (spec: MachineSpec) => (spec.firmware === 'uefi' ? { efiSecureBootEnabled: spec.secureBoot === true } : {});

const diskChanges = (
  spec: MachineSpec,
  disks: readonly PlacedDisk[],
  at: { readonly home: string; readonly there: ReadonlyMap<string, number>; readonly firstFile: number },
): VirtualDeviceConfigSpec[] => {
  const { changes, keys } = controllerChanges(
    spec,
    disks.map(({ controller }) => controller),
    at.there,
  );
  const additions = disks.map((disk, index) =>
    diskAddition(disk, keys.get(disk.controller) ?? 0, `${at.home}/disk-${at.firstFile + index}.vmdk`, -200 - index),
  );
  return [...changes, ...additions];
};

// ---- adopting and reshaping --------------------------------------------------------------------------------------------

const adoptReplica = async (vcenter: Vcenter, id: MachineId, spec: MachineSpec, call: Call): Promise<Placed> => {
  const found = await lookAt(vcenter, id, call);
  assertEpoch(id, epochOf(found.extra), call.fence);
  assertOff(found, 'is running and cannot become a replica', 'shut the machine down first');
  const owner = found.extra.get(OWNER);
  const before = replicaTag(found.extra);
  if (before && owner !== vcenter.ownerId) {
    throw new DrError('PERMISSION_DENIED', `machine ${id} is a replica of another installation`, { context: { machine: id } });
  }
  await assertNoForks(vcenter, id, call);
  assertTrackable(found);
  const { matched, missing } = matchDisks(found, spec);
  const tag: ReplicaTag = before ?? { operationId: call.operationId, adopted: true };
  const values = {
    [OWNER]: vcenter.ownerId,
    [REPLICA]: JSON.stringify(tag),
    [PROMOTED]: '',
    ...clearedTags(found.extra),
    ...Object.fromEntries(matched.map(({ have, want }) => [`${DISK}${have.slot}`, want.id])),
    ...nicTags(spec),
  };
  const tracking = found.props['config.changeTrackingEnabled'] === true ? {} : { [TRACKING]: vcenter.ownerId };
  const marks = extraOptions({ ...values, ...tracking });
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec: { changeTrackingEnabled: true, extraConfig: marks } }, call);
  await noAutostart(vcenter, id, call);
  await fitDisks(vcenter, await lookAt(vcenter, id, call), spec, { matched, missing }, call);
  return placedAs(await lookAt(vcenter, id, call), spec, []);
};

/** Enabled under a snapshot tracking would miss changes without a word, and a failback would leave them out. */
const assertTrackable = ({ id, props }: Replica): void => {
  const count = countSnapshots(props['snapshot'] as VirtualMachineSnapshotInfo | undefined);
  if (props['config.changeTrackingEnabled'] === true || count === 0) return;
  throw new DrError('STATE_CONFLICT', `machine ${id} has snapshots (${count}), and its changes are not tracked`, {
    hint: 'remove the snapshots of the machine first: enabled under them change tracking would report wrongly',
    context: { machine: id },
  });
};

const reshapeReplica = async (
  vcenter: Vcenter,
  paths: DataPaths,
  { id, spec }: { readonly id: MachineId; readonly spec: MachineSpec },
  call: Call,
): Promise<Placed> => {
  const replica = await ownReplica(vcenter, id, call);
  await assertNoForks(vcenter, id, call);
  for (const mover of paths.all) await mover.release(id, call);
  await fitDisks(vcenter, replica, spec, matchDisks(replica, spec), call);
  return placedAs(await lookAt(vcenter, id, call), spec, []);
};

/** Grows what is too small, adds what is missing, never shrinks. */
const fitDisks = async (vcenter: Vcenter, replica: Replica, spec: MachineSpec, { matched, missing }: Match, call: Call): Promise<void> => {
  const growth = matched
    .filter(({ want, have }) => have.sizeBytes < want.sizeBytes)
    .map(({ want, have }): VirtualDeviceConfigSpec => ({ operation: 'edit', device: grown(have, want.sizeBytes) }));
  const taken = takenSlots(replica.devices);
  const added = placeDisks({ ...spec, disks: missing }, taken);
  const home = homeOf(replica);
  const changes = [
    ...growth,
    ...(added.length > 0 ? diskChanges(spec, added, { home, there: controllerKeys(replica.devices), firstFile: nextFile(replica) }) : []),
  ];
  if (changes.length === 0) return;
  await vcenter.task(
    'ReconfigVM_Task',
    vmRef(replica.id),
    { spec: { deviceChange: changes, extraConfig: extraOptions(diskTags(added)) } },
    call,
  );
};

const grown = ({ device }: DiskDevice, sizeBytes: number): VirtualDevice =>
  typed('VirtualDisk', {
    key: device.key,
    controllerKey: device.controllerKey,
    unitNumber: device.unitNumber,
    backing: device.backing,
    capacityInKB: Math.ceil(sizeBytes / 1024),
    capacityInBytes: sizeBytes,
  });

const homeOf = ({ props, disks }: Replica): string => {
  const { vmPathName = disks[0]?.fileName ?? '' } = (props['config.files'] ?? {}) as { readonly vmPathName?: string };
  return vmPathName.slice(0, Math.max(vmPathName.lastIndexOf('/'), vmPathName.indexOf(']') + 1));
};

const nextFile = ({ disks }: Replica): number =>
  disks.reduce((next, { fileName }) => Math.max(next, Number(/disk-(\d+)(-\d{6})?\.vmdk$/.exec(fileName)?.[1] ?? -1) + 1), disks.length);

/** Of whatever hangs there: a CD drive takes a place as well. */
const takenSlots = (devices: readonly VirtualDevice[]): Set<string> => {
  const names = new Map([...controllerKeys(devices)].map(([name, key]) => [key, name]));
  return new Set(
    devices.flatMap(({ controllerKey, unitNumber }) =>
      controllerKey === undefined || !names.has(controllerKey) ? [] : [`${names.get(controllerKey)}:${unitNumber ?? 0}`],
    ),
  );
};

const controllerKeys = (devices: readonly VirtualDevice[]): Map<string, number> =>
  new Map(controllersOf(devices).map((controller) => [`${slotPrefix(controller.$type ?? '')}${controller.busNumber}`, controller.key]));

const slotPrefix = (type: string): string =>
  type.includes('NVME') ? 'nvme' : type.includes('SATA') || type.includes('AHCI') ? 'sata' : type.includes('IDE') ? 'ide' : 'scsi';

// ---- deleting --------------------------------------------------------------------------------------------------------

const deleteReplicaDisk = async (
  vcenter: Vcenter,
  paths: DataPaths,
  { id, disk }: { readonly id: MachineId; readonly disk: DiskId },
  call: Call,
): Promise<void> => {
  const replica = await ownReplica(vcenter, id, call);
  await assertNoForks(vcenter, id, call);
  const doomed = replica.disks.find((one) => one.id === disk);
  if (!doomed) return;
  for (const mover of paths.all) await mover.release(id, call);
  const spec = { deviceChange: [removal(doomed.device, true)], extraConfig: extraOptions({ [`${DISK}${doomed.slot}`]: '' }) };
  await vcenter.task('ReconfigVM_Task', vmRef(id), { spec }, call);
};

const deleteReplica = async (vcenter: Vcenter, paths: DataPaths, id: MachineId, call: Call): Promise<void> => {
  try {
    const replica = await ownReplica(vcenter, id, call);
    assertOff(replica, 'is running', 'power it off first');
    await assertNoForks(vcenter, id, call);
    for (const mover of paths.all) await mover.release(id, call);
    await vcenter.task('Destroy_Task', vmRef(id), {}, call);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
};

// ---- disks -----------------------------------------------------------------------------------------------------------

const openReplicaDisk = async (
  ground: DiskGround,
  { id, disk }: { readonly id: MachineId; readonly disk: DiskId },
  call: Call,
): Promise<ReplicaDisk> => {
  const { vcenter } = ground;
  const replica = await ownReplica(vcenter, id, call);
  ground.epochs.note(id, epochOf(replica.extra));
  const found = replica.disks.find((one) => one.id === disk);
  if (!found) throw new DrError('NOT_FOUND', `replica ${id} has no disk ${disk}`, { context: { kind: 'disk', machine: id, disk } });
  const [fork] = await snapshotsOf(vcenter, id, 'fork', call);
  if (fork) {
    throw new DrError('FILE_LOCKED', `disk ${disk} of replica ${id} lies under a fork`, {
      context: { machine: id, disk, fork: `${id}/${fork.ref.value}` },
    });
  }
  if (powerOf(replica.props) !== 'off') throw new DrError('FILE_LOCKED', `machine ${id} runs on its disks`, { context: { machine: id } });
  return openWritable(ground, { machine: id, disk: found, fencedBy: id }, call);
};
