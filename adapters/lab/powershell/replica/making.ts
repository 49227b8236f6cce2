// The replica of a machine: the same definition and ids at another host, empty disks, and no cable.
import type { MachineId } from '../../../../core/contract/index.ts';
import { bareMachine } from '../../new-machine.ts';
import { diskIdOf, newHvRecord, specFromHv } from '../equipment.ts';
import { idOfReplica, idOnHosts, vmAt } from '../fabric.ts';
import { PsFailure } from '../failures.ts';
import { followMarks } from '../marks.ts';
import type { At, DriveRecord, FileRecord, Hv, HvRecord } from '../model.ts';
import { addFile, keyOf, volumeAt } from '../paths.ts';
import type { Connected } from './server.ts';

/** A machine of this id that is there already becomes the replica, if nothing else is made of it. */
export const makeReplica = (to: Connected, from: At, source: Hv): Hv => {
  const known = vmAt(to, idOnHosts(source));
  if (!known) return newReplica(to, from, source);
  if (known.power === 'off' && !known.hv.replication && hasDrives(known, source)) return known;
  throw new PsFailure({
    category: 'ResourceExists',
    id: 'InvalidState',
    message: `The Replica server has a virtual machine with the id of '${source.name}' already.`,
  });
};

const hasDrives = ({ hv }: Hv, source: Hv): boolean => source.hv.drives.every(({ id }) => hv.drives.some((drive) => drive.id === id));

const newReplica = (to: Connected, from: At, source: Hv): Hv => {
  const { estate, endpoint } = to;
  const id = idOnHosts(source);
  const bare = bareMachine(estate, endpoint, source.name, { ...source.spec, disks: [], nics: [] });
  const free = estate.machines.has(id as MachineId) ? idOfReplica(to, id) : (id as MachineId);
  const machine = { ...bare, id: free } as Hv;
  machine.host = to.host.place;
  machine.writesPerSecond = source.writesPerSecond;
  const folder = `${to.storage}\\Virtual Machines\\${id.toUpperCase()}`;
  machine.hv = { ...newHvRecord(to, folder, source.hv.generation), ...definitionOf(source), vmId: id, startAction: 'Nothing' };
  machine.hv.clustered = to.hyperv.hosts.length > 1;
  estate.addMachine(machine);
  machine.hv.drives = source.hv.drives.map((drive) =>
    newDisk(to, machine, { drive, file: from.hyperv.files[keyOf(drive.path)]!, from, source }),
  );
  specFromHv(to, machine);
  followMarks(to, machine);
  return machine;
};

/** What both ends have in common. Notes come along: they are part of the definition. */
const definitionOf = ({ hv }: Hv): Partial<HvRecord> => {
  const { version, notes, memory, checkpointType, secureBoot, secureBootTemplate, tpm, scsiControllers, dvds, firstBoot } = hv;
  const adapters = hv.adapters.map(({ switchName: _, ...rest }) => rest);
  return structuredClone({
    ...{ version, notes, memory, checkpointType, secureBoot, secureBootTemplate, tpm, scsiControllers, dvds, adapters },
    ...(firstBoot === undefined ? {} : { firstBoot }),
  });
};

interface Like {
  readonly drive: DriveRecord;
  readonly file: FileRecord;
  readonly from: At;
  readonly source: Hv;
}

const newDisk = (to: Connected, machine: Hv, { drive, file, from, source }: Like): DriveRecord => {
  const { estate } = to;
  const { place } = volumeAt(to, to.storage);
  const folder = `${to.storage}\\Virtual Hard Disks\\${idOnHosts(source).toUpperCase()}`;
  const name = drive.path.slice(drive.path.lastIndexOf('\\') + 1).replace(/(_[0-9A-F-]{36})?\.a?vhdx$/i, '');
  let path = `${folder}\\${name}.vhdx`;
  for (let n = 1; to.hyperv.files[keyOf(path)]; n++) path = `${folder}\\${name}-${n}.vhdx`;
  const disk = diskIdOf(machine, file.identifier);
  machine.volumes[disk] = estate.createLayer(from.estate.live(source, drive.disk).sizeBytes, place.id).name;
  const { identifier, logicalSectorBytes, physicalSectorBytes } = file;
  addFile(to, { path, layer: machine.volumes[disk]!, identifier, type: 'Dynamic', logicalSectorBytes, physicalSectorBytes });
  return { ...drive, path, disk };
};
