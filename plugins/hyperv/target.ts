// Replicas: machines made, adopted, reshaped and deleted; their disks written by the agent of the host that has them.
import type { Step } from '../../adapters/powershell/port.ts';
import {
  type Call,
  type DiskId,
  DrError,
  type Finding,
  isDrError,
  type MachineId,
  type MachineSpec,
  type Placed,
  type ReplicaDisk,
  type ReplicaRequest,
  type Target,
} from '../../core/contract/index.ts';
import type { Epochs } from '../../core/plugin-kit/index.ts';
import { adoptReplica, assertNoForks, reshapeReplica } from './adopt.ts';
import { build, findMachines, hostOf, shortName, versionFor } from './build.ts';
import type { Disks } from './disks.ts';
import { dismantle, removeFile } from './dismantle.ts';
import { type Fabric, vmById } from './fabric.ts';
import { forksOf, forksOn } from './forks.ts';
import { type Look, lookAt } from './look.ts';
import { drivesOf, powerOf } from './machine.ts';
import { changeMarks } from './marks.ts';
import type { Marks, ReplicaMark } from './notes.ts';
import { type Storage, storages, withoutCluster } from './places.ts';
import { assertNoForeign, assertOff, ownReplica, placedAs } from './replica.ts';
import { member, number, text } from './rows.ts';
import { vendorOf } from './vendor.ts';

export interface Ground {
  readonly fabric: Fabric;
  readonly disks: Disks;
  readonly epochs: Epochs;
}

export const targetOf = (ground: Ground): Target => ({
  createReplica: (spec, as, call) => createReplica(ground, spec, as, call),
  adoptReplica: (id, spec, call) => adoptReplica(ground, id, spec, call),
  reshapeReplica: (id, spec, call) => reshapeReplica(ground, id, spec, call),
  deleteReplicaDisk: (id, disk, call) => deleteReplicaDisk(ground, { id, disk }, call),
  deleteReplica: (id, call) => deleteReplica(ground, id, call),
  openReplicaDisk: (id, disk, call) => openReplicaDisk(ground, { id, disk }, call),
  forks: forksOf(ground),
});

// ---- making ----------------------------------------------------------------------------------------------------------

const createReplica = async ({ fabric, disks }: Ground, spec: MachineSpec, as: ReplicaRequest, call: Call): Promise<Placed> => {
  const { operationId } = call;
  const [made] = await findMachines(
    fabric,
    ({ id: own, marks }) => marks?.owner === fabric.ownerId && isMadeBy(marks, own, operationId),
    call,
  );
  const { host, storage } = await placeOf(fabric, as, call);
  const mark = ({ disks: ids, nics }: { disks: ReplicaMark['disks']; nics: ReplicaMark['nics'] }): Marks => ({
    owner: fabric.ownerId,
    replica: { operation: operationId, adopted: false, disks: ids, nics },
  });
  const id = made?.id ?? (await build(fabric, disks, { spec, name: as.name, host, storage, nics: as.nics, mark }, call));
  const look = await lookAt(fabric, id, call);
  const version = await versionFor(fabric, look.host, spec, call);
  const findings = [...findingsFor(spec, as), ...versionFindings(spec, version)];
  return placedAs(fabric, look, { spec, known: look.notes.marks?.replica, findings }, call);
};

/** Somebody's copy of the whole machine has our line too, and other disks than it tells of. */
const isMadeBy = ({ replica, building }: Marks, id: MachineId, operation: string): boolean =>
  replica?.operation === operation && building === undefined && Object.values(replica.disks).every((disk) => disk.startsWith(`${id}/`));

/** The storage that was asked for and a host that has it, else the one with most room. */
const placeOf = async (fabric: Fabric, { storage, host }: ReplicaRequest, call: Call): Promise<{ host: string; storage: Storage }> => {
  const [all, hosts] = [await storages(fabric, call), await fabric.hosts(call)];
  const wantedHost = host === undefined ? await emptiest(fabric, hosts, call) : hostOf(hosts, host);
  if (wantedHost === undefined)
    throw new DrError('NOT_FOUND', `there is no host ${host} that is up`, { context: { kind: 'host', place: host ?? '' } });
  const fits = (one: Storage) => one.host === undefined || (host === undefined ? hosts.includes(one.host) : one.host === wantedHost);
  const [most] = all.filter(fits).toSorted((a, b) => b.freeBytes - a.freeBytes);
  const wanted = storage === undefined ? most : all.find((one) => one.id === storage && fits(one));
  if (wanted) return { host: wanted.host ?? wantedHost, storage: wanted };
  throw new DrError('NOT_FOUND', `there is no storage ${storage ?? ''} for the replica at ${fabric.center}`, {
    hint: 'map the storage to one that a host of the endpoint has',
    context: { kind: 'storage', place: storage ?? '' },
  });
};

/**
 * Where the machines that are there would need the least memory if all of them ran: until commit a replica stays where it is made, and a failover
 * starts all of them at once.
 */
const emptiest = async (fabric: Fabric, hosts: readonly string[], call: Call): Promise<string | undefined> => {
  const takers = fabric.isShared ? await clusterHosts(fabric, hosts, call) : [];
  if (takers.length < 2) return takers[0] ?? hosts[0];
  const loads = await Promise.allSettled(
    takers.map(async (host) => {
      const rows = await fabric.rows(host, [{ cmdlet: 'Get-VM', params: {}, select: ['MemoryStartup'] }], call);
      return { host, bytes: rows.reduce((sum, row) => sum + number(row, 'MemoryStartup'), 0) };
    }),
  );
  const known = loads.flatMap((load) => (load.status === 'fulfilled' ? [load.value] : []));
  return known.toSorted((a, b) => a.bytes - b.bytes)[0]?.host ?? takers[0];
};

/** Those of its cluster that take new machines, which a paused one does not; none where there is no cluster. */
const clusterHosts = async (fabric: Fabric, hosts: readonly string[], call: Call): Promise<string[]> => {
  const steps: Step[] = [{ cmdlet: 'Get-ClusterNode', params: {}, select: ['Name', 'State'] }];
  const rows = await fabric.onAny((host) => fabric.rows(host, steps, call).catch(withoutCluster), call);
  const up = rows.filter((row) => member(row, 'State') === 'Up').map((row) => shortHost(text(row, 'Name')));
  return hosts.filter((host) => up.includes(shortHost(host)));
};

const shortHost = (name: string): string => name.split('.')[0]?.toLowerCase() ?? '';

const versionFindings = (spec: MachineSpec, kept: string | undefined): Finding[] => {
  const { version } = vendorOf(spec);
  if (version === undefined || version === kept) return [];
  return [
    {
      code: 'VERSION_NOT_KEPT',
      level: 'warning',
      message: `the host does not know configuration version ${version}: the replica has the newest that it knows`,
      hint: 'choose a host of the source’s release or a newer one, or test the machine before it is needed',
    },
  ];
};

const findingsFor = (spec: MachineSpec, { nics, name }: ReplicaRequest): Finding[] => {
  const findings: Finding[] = [];
  if (shortName(name) !== name)
    findings.push({
      code: 'NAME_CHANGED',
      level: 'info',
      message: 'Hyper-V takes no name as long as this one: the replica is called by the beginning of it',
      hint: 'nothing to do: a machine is known by its id',
    });
  if (spec.nics.some(({ model }) => model === 'legacy'))
    findings.push({
      code: 'NIC_MODEL_CHANGED',
      level: 'warning',
      message: 'a network card that is a legacy one at the source becomes a synthetic one',
      hint: 'see that the guest has the driver, and that it does not boot from the network',
    });
  if (spec.tpm)
    findings.push({
      code: 'TPM_IS_NEW',
      level: 'warning',
      message: 'a TPM does not follow a disk copy',
      hint: 'have the recovery key of the guest at hand',
    });
  if ([...nics.values()].includes('disconnected'))
    findings.push({
      code: 'NIC_DISCONNECTED',
      level: 'warning',
      message: 'a network card of the replica has no network',
      hint: 'map the network of the source, then reprotect or connect the card by hand',
    });
  return findings;
};

// ---- taking away -------------------------------------------------------------------------------------------------------

const deleteReplicaDisk = async (
  { fabric, disks }: Ground,
  { id, disk }: { readonly id: MachineId; readonly disk: DiskId },
  call: Call,
): Promise<void> => {
  const look = await ownReplica(fabric, id, call);
  const drive = drivesOf(look).find((one) => one.id === disk);
  const { drop = [] } = look.mark;
  if (drive || drop.length > 0) {
    assertOff(look, 'is running', 'discard or commit what runs on it first');
    await assertNoForks({ fabric, look }, call);
  }
  const rest = Object.fromEntries(Object.entries(look.mark.disks).filter(([, here]) => here !== disk));
  const paths = [...new Set([...drop, ...(drive ? [drive.path] : [])])];
  const replica: ReplicaMark = { ...look.mark, disks: rest };
  // Once it hangs nowhere any more, only this tells of its file.
  await changeMarks(fabric, id, (marks) => ({ ...marks, replica: paths.length === 0 ? replica : { ...replica, drop: paths } }), call);
  if (paths.length === 0) return;
  await disks.release(look.host, paths, call);
  for (const path of paths) {
    if (look.drives.some((row) => text(row, 'Path') === path)) await detach(fabric, look, path, call);
    await removeFile(fabric, look.host, path, call);
  }
  const { drop: _, ...kept } = replica;
  await changeMarks(fabric, id, (marks) => ({ ...marks, replica: kept }), call);
};

const detach = (fabric: Fabric, { id, host }: Look, path: string, call: Call) => {
  const VMHardDiskDrive = { $step: 1, $where: { property: 'Path', is: path } };
  const steps: Step[] = [
    vmById(id),
    { cmdlet: 'Get-VMHardDiskDrive', params: { VM: { $step: 0 } } },
    { cmdlet: 'Remove-VMHardDiskDrive', params: { VMHardDiskDrive } },
  ];
  return fabric.run(host, steps, call);
};

const deleteReplica = async ({ fabric, disks }: Ground, id: MachineId, call: Call): Promise<void> => {
  let look: Look & { readonly mark: ReplicaMark };
  try {
    look = await ownReplica(fabric, id, call);
  } catch (error) {
    if (isDrError(error, 'NOT_FOUND')) return;
    throw error;
  }
  assertOff(look, 'is running and is not deleted', 'power the machine off first');
  await assertNoForks({ fabric, look }, call);
  await dismantle({ fabric, disks }, { id, host: look.host }, call);
};

// ---- disks -------------------------------------------------------------------------------------------------------------

const openReplicaDisk = async (
  { fabric, disks, epochs }: Ground,
  { id, disk }: { readonly id: MachineId; readonly disk: DiskId },
  call: Call,
): Promise<ReplicaDisk> => {
  const look = await ownReplica(fabric, id, call);
  epochs.note(id, look.notes.marks?.epoch);
  const drive = drivesOf(look).find((one) => one.id === disk);
  if (!drive) throw new DrError('NOT_FOUND', `replica ${id} has no disk ${disk}`, { context: { kind: 'disk', machine: id, disk } });
  const [fork] = await forksOn(fabric, look, call);
  if (fork !== undefined)
    throw new DrError('FILE_LOCKED', `disk ${disk} of replica ${id} lies under a fork`, { context: { machine: id, disk, fork } });
  if (powerOf(look.vm) !== 'off') throw new DrError('FILE_LOCKED', `machine ${id} runs on its disks`, { context: { machine: id } });
  await assertNoForeign(fabric, look, call);
  return epochs.fenced(id, await disks.openWrite(look.host, drive.path, call));
};
