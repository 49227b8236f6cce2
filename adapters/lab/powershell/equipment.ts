// What hosts know of a machine beyond the estate, and how both stay equal, whichever side changes.
import type { DiskId, DiskSpec, NicId, NicSpec } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord, MachineRecord } from '../records.ts';
import { guidFrom, hostOf, hypervOf, idOnHosts, isHv, newHypervRecord, switchNamed, switchOfPlace } from './fabric.ts';
import { writeLabels } from './marks.ts';
import type { AdapterRecord, At, DriveRecord, Hv, HvRecord, HypervKind } from './model.ts';
import { addFile, keyOf, keyOfLayer, safeName, storageRoot } from './paths.ts';

const VERSION = '10.0';
const GIB = 2 ** 30;

/** Makes what a hyperv endpoint lacks: also of a directory that an earlier release has written. */
export const equipHyperv = (estate: Estate, endpoint: EndpointRecord, kind?: HypervKind): void => {
  if (endpoint.profile !== 'hyperv') return;
  endpoint.hyperv ??= newHypervRecord(endpoint, kind);
  for (const machine of estate.machines.values()) if (machine.endpoint === endpoint.name) equipHvMachine(estate, endpoint, machine);
};

export const newHvRecord = (at: At, path: string, generation: 1 | 2): HvRecord => ({
  generation,
  version: VERSION,
  notes: '',
  path,
  createdMs: at.estate.timeline.now(),
  clustered: false,
  memory: { dynamic: false, startup: GIB, minimum: 512 * 2 ** 20, maximum: 2 ** 40 },
  startAction: 'StartIfRunning',
  stopAction: 'Save',
  checkpointType: 'Production',
  automaticCheckpoints: false,
  secureBoot: generation === 2,
  secureBootTemplate: 'MicrosoftWindows',
  tpm: false,
  scsiControllers: 1,
  drives: [],
  dvds: [],
  adapters: [],
  checkpoints: [],
  referencePoints: [],
  rct: false,
  custom: {},
});

/** Gives a machine of the estate its place on a host. The ids of its cards become what the module calls them. */
export const equipHvMachine = (estate: Estate, endpoint: EndpointRecord, machine: MachineRecord): void => {
  if (machine.hv) return;
  const at: At = { estate, endpoint, hyperv: hypervOf(endpoint) };
  const { root } = storageRoot(at, machine.spec.disks[0]?.storage);
  const { spec } = machine;
  const hv = newHvRecord(at, freeFolder(at, `${root}\\${safeName(machine.name)}`), spec.firmware === 'bios' ? 1 : 2);
  hv.memory = { ...hv.memory, startup: spec.memoryBytes };
  hv.startAction = machine.autostart ? 'StartIfRunning' : 'Nothing';
  hv.secureBoot = spec.secureBoot ?? false;
  hv.tpm = spec.tpm ?? false;
  hv.clustered = at.hyperv.hosts.length > 1;
  machine.hv = hv;
  machine.spec = { ...spec, nics: spec.nics.map((nic, index) => ({ ...nic, id: nicIdOf(machine, guidFrom(machine.id, 'nic', index)) })) };
  syncFromSpec(at, machine as Hv);
  writeLabels(at, machine as Hv);
};

/** As whoever sees a host only by its cmdlets must call them: cards and copies of disks are one of a kind only with their machine. */
const nicIdOf = (machine: Pick<MachineRecord, 'id' | 'hv'>, adapter: string): NicId => `${idOnHosts(machine)}/${adapter}` as NicId;
export const diskIdOf = ({ id }: Pick<MachineRecord, 'id'>, identifier: string): DiskId => `${id}/${identifier}` as DiskId;

/** Once a machine is all that its description says: nobody knows its disks by other names yet. */
export const settleSeed = (estate: Estate, endpoint: EndpointRecord, machine: MachineRecord): void => {
  if (!machine.hv) return;
  const at: At = { estate, endpoint, hyperv: hypervOf(endpoint) };
  for (const { id } of machine.spec.disks) renameDisk(machine as Hv, id, diskIdOf(machine, id));
  syncFromSpec(at, machine as Hv);
  machine.hv.startAction = machine.autostart ? 'StartIfRunning' : 'Nothing';
  writeLabels(at, machine as Hv);
};

export const renameDisk = (machine: Hv, from: DiskId, to: DiskId): void => {
  const layer = machine.volumes[from];
  if (layer === undefined || from === to) return;
  delete machine.volumes[from];
  machine.volumes[to] = layer;
  machine.hv.drives = machine.hv.drives.map((drive) => (drive.disk === from ? { ...drive, disk: to } : drive));
  machine.spec = { ...machine.spec, disks: machine.spec.disks.map((disk) => (disk.id === from ? { ...disk, id: to } : disk)) };
};

const freeFolder = ({ hyperv }: At, wanted: string): string => {
  let folder = wanted;
  for (let n = 2; hyperv.folders.includes(folder.toLowerCase()); n++) folder = `${wanted} (${n})`;
  hyperv.folders.push(folder.toLowerCase());
  return folder;
};

/** The definition that a machine's drives and cards were last made equal to. */
const synced = new WeakMap<MachineRecord, MachineRecord['spec']>();

/** The lab's control changes a machine behind the hosts' backs: this is where they notice. */
export const inStep = (at: At, machine: Hv): Hv => {
  if (synced.get(machine) !== machine.spec || !hasItsFiles(at, machine)) syncFromSpec(at, machine);
  return machine;
};

/** Of a drive whose file was removed neither side knows a layer. */
const hasItsFiles = ({ hyperv }: At, { hv, volumes }: Hv): boolean =>
  hv.drives.every(({ path, disk }) => hyperv.files[keyOf(path)]?.layer === volumes[disk]);

const syncFromSpec = (at: At, machine: Hv): void => {
  const { hv, spec } = machine;
  const broken = hv.drives.filter(({ path }) => !at.hyperv.files[keyOf(path)]);
  hv.drives = [...spec.disks.map((disk, index) => driveFor(at, machine, disk, index)), ...broken];
  const host = hostOf(at, machine);
  hv.adapters = spec.nics.map((nic) => adapterFor(at, machine, nic, switchOfPlace(at, host, nic.network)?.name));
  synced.set(machine, spec);
};

const driveFor = (at: At, machine: Hv, disk: DiskSpec, index: number): DriveRecord => {
  const known = machine.hv.drives.find((drive) => drive.disk === disk.id);
  const path = pathFor(at, machine, disk, index);
  if (known) return known.path === path ? known : { ...known, path };
  const type = machine.hv.generation === 1 && disk.boot ? 'IDE' : 'SCSI';
  return {
    id: guidFrom(machine.id, 'drive', disk.id),
    type,
    number: 0,
    location: freeLocation(machine.hv, type, index),
    path,
    disk: disk.id,
  };
};

const freeLocation = ({ drives, dvds }: HvRecord, type: 'IDE' | 'SCSI', wanted: number): number => {
  const taken = new Set([...drives, ...dvds].filter((one) => one.type === type && one.number === 0).map(({ location }) => location));
  let location = wanted;
  while (taken.has(location)) location++;
  return location;
};

/** Of the layer that the machine writes to, which becomes a file where it is none yet. */
const pathFor = (at: At, machine: Hv, disk: DiskSpec, index: number): string => {
  const layer = machine.volumes[disk.id]!;
  const known = keyOfDrive(at, machine, disk.id, layer) ?? keyOfLayer(at, layer);
  if (known !== undefined) return at.hyperv.files[known]!.path;
  const folder = `${machine.hv.path}\\Virtual Hard Disks`;
  let path = `${folder}\\disk-${index}.vhdx`;
  for (let n = 1; at.hyperv.files[keyOf(path)]; n++) path = `${folder}\\disk-${index}-${n}.vhdx`;
  const { logicalSectorBytes, physicalSectorBytes } = disk;
  const identifier = disk.id.slice(disk.id.lastIndexOf('/') + 1);
  addFile(at, { path, layer, identifier, type: 'Dynamic', logicalSectorBytes, physicalSectorBytes });
  return path;
};

const keyOfDrive = ({ hyperv }: At, { hv }: Hv, disk: DiskSpec['id'], layer: string): string | undefined => {
  const drive = hv.drives.find((one) => one.disk === disk);
  const key = drive && keyOf(drive.path);
  return key !== undefined && hyperv.files[key]?.layer === layer ? key : undefined;
};

const adapterFor = (at: At, machine: Hv, nic: NicSpec, switchName: string | undefined): AdapterRecord => {
  const id = nic.id.slice(nic.id.lastIndexOf('/') + 1);
  const known = machine.hv.adapters.find((one) => one.id === id);
  const { switchName: before, ...rest } = known ?? {
    id,
    name: 'Network Adapter',
    mac: (nic.mac ?? '').replaceAll(/[^0-9a-f]/gi, '').toUpperCase(),
    dynamicMac: false,
  };
  // A switch that is on another host only stays what the card is told to reach.
  const kept = nic.network === undefined && before !== undefined && !switchNamed(at, hostOf(at, machine), before) ? before : undefined;
  const name = switchName ?? kept;
  return name === undefined ? rest : { ...rest, switchName: name };
};

/** The other direction, after a cmdlet has changed drives, cards or processors. */
export const specFromHv = (at: At, machine: Hv, more: Partial<Hv['spec']> = {}): void => {
  const { hv } = machine;
  const host = hostOf(at, machine);
  const boot = bootDriveOf(hv);
  const disks = hv.drives.flatMap((drive): DiskSpec[] => {
    const file = at.hyperv.files[keyOf(drive.path)];
    if (!file) return [];
    const { volume, storage } = at.estate.layer(machine.volumes[drive.disk]!);
    const { logicalSectorBytes, physicalSectorBytes } = file;
    return [
      {
        id: drive.disk,
        sizeBytes: volume.sizeBytes,
        bus: drive.type === 'IDE' ? 'ide' : 'scsi',
        slot: `${drive.number}:${drive.location}`,
        boot: drive === boot,
        logicalSectorBytes,
        physicalSectorBytes,
        storage,
      },
    ];
  });
  const nics = hv.adapters.map((adapter): NicSpec => {
    const network = switchNamed(at, host, adapter.switchName)?.place;
    return {
      id: nicIdOf(machine, adapter.id),
      mac: (adapter.mac.match(/../g) ?? []).join(':').toLowerCase(),
      model: 'synthetic',
      ...(network === undefined ? {} : { network }),
    };
  });
  machine.spec = { ...machine.spec, ...more, memoryBytes: hv.memory.startup, secureBoot: hv.secureBoot, disks, nics };
  synced.set(machine, machine.spec);
  at.estate.touch(machine);
};

/** Generation 1 starts from its first IDE disk, generation 2 from what it is told, else from its first disk. */
const bootDriveOf = ({ generation, drives, firstBoot }: HvRecord): DriveRecord | undefined => {
  const inOrder = drives.toSorted((a, b) => a.number - b.number || a.location - b.location);
  if (generation === 1) return inOrder.find(({ type }) => type === 'IDE');
  return drives.find(({ id }) => id === firstBoot) ?? inOrder[0];
};

export const hvMachinesOf = (at: At): Hv[] => {
  const found: Hv[] = [];
  for (const machine of at.estate.machines.values()) {
    if (machine.endpoint === at.endpoint.name && isHv(machine)) found.push(inStep(at, machine));
  }
  return found;
};

/** After an administrator has set others. */
export const relabelHvMachine = (estate: Estate, machine: MachineRecord): void => {
  const endpoint = estate.endpoint(machine.endpoint);
  if (isHv(machine)) writeLabels({ estate, endpoint, hyperv: hypervOf(endpoint) }, machine);
};
