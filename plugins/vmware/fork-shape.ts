// What makes a fork of a replica the machine of its recovery point.
import { isFault, type MoRef, type VirtualDeviceConfigSpec, type VirtualMachineConfigSpec } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type ForkRequest, type MachineId, type MachineSpec } from '../../core/contract/index.ts';
import { cardChanges, memoryMB, removal, spareNetwork } from './devices.ts';
import { cardsOf, type DiskDevice } from './machine.ts';
import { toVcenter } from './names.ts';
import { clearedNics, nicTags, placedAs, type Replica } from './replica.ts';
import { DROP, extraOptions, taggedDisks } from './tags.ts';
import { type Vcenter, vmRef } from './vcenter.ts';

/** The definition of the point: its size, its cards on the places that were asked for, and no disk that it does not have. In one request, so that it is whole or not at all. */
export const shape = async (
  vcenter: Vcenter,
  replica: Replica,
  as: ForkRequest & { readonly mark: Readonly<Record<string, string>>; readonly ownsFiles: boolean },
  call: Call,
): Promise<void> => {
  const { spec } = as;
  assertHas(replica, spec);
  const wanted = new Set(placedAs(replica, spec, []).disks.values());
  const copies = taggedDisks(replica.extra);
  // An adopted machine may have disks that are no copies: their content is somebody's only one, and merging would drop it.
  const beyond = replica.disks.filter(({ id, slot }) => !wanted.has(id) && copies.has(slot));
  const cards: VirtualDeviceConfigSpec[] = [
    ...cardsOf(replica.devices).map((card) => removal(card, false)),
    ...(await cardChanges(vcenter, spec, as.nics, await spareOf(vcenter, replica.id, call), call)),
  ];
  const config: VirtualMachineConfigSpec = {
    numCPUs: spec.cpuCount,
    memoryMB: memoryMB(spec),
    deviceChange: [...beyond.map(({ device }) => removal(device, as.ownsFiles)), ...cards],
    // The key under which ESXi keeps the generation id: taken away, it makes a new one.
    extraConfig: extraOptions({
      ...as.mark,
      // An overlay that no disk is any more. What lies below it is the replica's.
      ...(as.ownsFiles ? {} : { [DROP]: JSON.stringify(beyond.filter(isOverlay).map(({ fileName }) => fileName)) }),
      ...clearedNics(replica.extra),
      ...nicTags(spec),
      ...(as.newGenerationId ? { 'vm.genid': '', 'vm.genidX': '' } : {}),
    }),
  };
  await vcenter.task('ReconfigVM_Task', vmRef(replica.id), { spec: config }, call);
};

/** A definition of which nothing is found here would take every disk away. */
export const assertHas = (replica: Replica, spec: MachineSpec): void => {
  const { disks } = placedAs(replica, spec, []);
  const missing = spec.disks.find(({ id }) => !disks.has(id));
  if (!missing) return;
  throw new DrError('NOT_FOUND', `replica ${replica.id} has no copy of disk ${missing.id} of the recovery point`, {
    hint: 'choose another recovery point, or run sync resync for the machine',
    context: { kind: 'disk', machine: replica.id, disk: missing.id },
  });
};

const isOverlay = ({ device }: DiskDevice): boolean => ((device.backing ?? {}) as { readonly parent?: unknown }).parent !== undefined;

const spareOf = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<MoRef | undefined> => {
  const { 'runtime.host': host } = await vcenter.props(vmRef(id), ['runtime.host'], call);
  if (!host) return undefined;
  const { network = [] } = await vcenter.props(host as MoRef, ['network'], call);
  return spareNetwork(vcenter, network as readonly MoRef[], call);
};

/** A name that another machine of the folder has gets a suffix: the fork is known by its id. */
export const rename = async (vcenter: Vcenter, id: MachineId, name: string, call: Call): Promise<void> => {
  const { name: now } = await vcenter.props(vmRef(id), ['name'], call);
  if (now === name) return;
  try {
    await vcenter.task('Rename_Task', vmRef(id), { newName: name }, call);
  } catch (error) {
    if (!isFault(error, 'DuplicateName', 'InvalidArgument')) throw error;
    if (now !== toVcenter(name, ` (${id})`)) await vcenter.task('Rename_Task', vmRef(id), { newName: toVcenter(name, ` (${id})`) }, call);
  }
};
