// A replica as the server has it, and which of its disks and cards is which of the definition.
import type { VirtualDevice } from '../../adapters/vsphere/port.ts';
import {
  type Call,
  type DiskId,
  type DiskSpec,
  DrError,
  type Finding,
  type MachineId,
  type MachineSpec,
  type NicId,
  type Placed,
} from '../../core/contract/index.ts';
import { assertEpoch } from '../../core/plugin-kit/index.ts';
import type { PlacedDisk } from './devices.ts';
import { cardsOf, type DiskDevice, disksOf, MACHINE_PATHS, nicId, powerOf, toMachine } from './machine.ts';
import { snapshotsOf } from './snapshots.ts';
import { assertOurs, DISK, type Extra, epochOf, NIC, type ReplicaTag, readExtra, taggedDisks, taggedNics } from './tags.ts';
import { type Props, type Vcenter, vmRef } from './vcenter.ts';

const PATHS = [...MACHINE_PATHS, 'config.extraConfig', 'config.files', 'config.changeTrackingEnabled', 'snapshot'];

/** A replica as the server has it now. */
export interface Replica {
  readonly id: MachineId;
  readonly props: Props;
  readonly extra: Extra;
  readonly devices: readonly VirtualDevice[];
  readonly disks: readonly DiskDevice[];
}

export const lookAt = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<Replica> => {
  const props = await vcenter.props(vmRef(id), PATHS, call);
  const devices = (props['config.hardware.device'] ?? []) as readonly VirtualDevice[];
  return { id, props, extra: readExtra(props['config.extraConfig']), devices, disks: disksOf(id, devices) };
};

/** Ours, of the epoch that the call has. */
export const ownReplica = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<Replica & { readonly tag: ReplicaTag }> => {
  const replica = await lookAt(vcenter, id, call);
  const tag = assertOurs(id, replica.extra, vcenter.ownerId);
  assertEpoch(id, epochOf(replica.extra), call.fence);
  return { ...replica, tag };
};

/** Which disk and card here is which of the definition: by the tags, where the definition names those of the source, else by its own ids. */
export const placedAs = ({ id, props, extra, devices, disks }: Replica, spec: MachineSpec, findings: readonly Finding[]): Placed => {
  const bySource = new Map([...taggedDisks(extra)].map(([slot, source]) => [source, disks.find((disk) => disk.slot === slot)]));
  const cards = cardsOf(devices);
  const nicSources = taggedNics(extra);
  return {
    machine: toMachine(vmRef(id), props, {}),
    disks: new Map(
      spec.disks.flatMap((want): [DiskId, DiskId][] => {
        const have = bySource.get(want.id) ?? disks.find((disk) => disk.id === want.id);
        return have ? [[want.id, have.id]] : [];
      }),
    ),
    nics: new Map(
      spec.nics.flatMap((want, index): [NicId, NicId][] => {
        const at = nicSources.indexOf(want.id);
        const card = cards.find((own) => nicId(id, own) === want.id) ?? cards[at < 0 ? index : at];
        return card ? [[want.id, nicId(id, card)]] : [];
      }),
    ),
    findings,
  };
};

export interface Match {
  readonly matched: readonly { readonly want: DiskSpec; readonly have: DiskDevice }[];
  readonly missing: readonly DiskSpec[];
}

/**
 * By what is known and by id; in a machine of which nothing is known yet by slot and by order too. In a replica a disk without a tag is
 * somebody's: a disk that is added later must not be written over it.
 */
export const matchDisks = ({ disks, extra }: Replica, spec: MachineSpec): Match => {
  const known = taggedDisks(extra);
  const free = new Map(disks.map((disk) => [disk.slot, disk]));
  const matched: { want: DiskSpec; have: DiskDevice }[] = [];
  const rules: ((want: DiskSpec, have: DiskDevice) => boolean)[] = [
    (want, have) => known.get(have.slot) === want.id,
    (want, have) => want.id === have.id,
    (want, have) => known.size === 0 && want.slot === have.slot,
    () => known.size === 0,
  ];
  for (const rule of rules) {
    for (const want of spec.disks) {
      if (matched.some((one) => one.want === want)) continue;
      const have = [...free.values()].find((candidate) => rule(want, candidate));
      if (!have) continue;
      matched.push({ want, have });
      free.delete(have.slot);
    }
  }
  return { matched, missing: spec.disks.filter((want) => !matched.some((one) => one.want === want)) };
};

export const diskTags = (disks: readonly PlacedDisk[]): Record<string, string> =>
  Object.fromEntries(disks.map(({ slot, spec }) => [`${DISK}${slot}`, spec.id]));
export const nicTags = (spec: MachineSpec): Record<string, string> =>
  Object.fromEntries(spec.nics.map((nic, index) => [`${NIC}${index}`, nic.id]));

/** The tags of cards that are there, taken away. */
export const clearedNics = (extra: Extra): Record<string, string> => cleared(extra, [NIC]);
/** Those of disks too. */
export const clearedTags = (extra: Extra): Record<string, string> => cleared(extra, [DISK, NIC]);

const cleared = (extra: Extra, prefixes: readonly string[]): Record<string, string> =>
  Object.fromEntries([...extra.keys()].filter((key) => prefixes.some((prefix) => key.startsWith(prefix))).map((key) => [key, '']));

export const assertOff = ({ id, props }: Replica, what: string, hint: string): void => {
  const power = powerOf(props);
  if (power === 'off') return;
  throw new DrError('STATE_CONFLICT', `machine ${id} ${power === 'on' ? what : `is ${power}: it is not known to be off`}`, {
    hint,
    context: { machine: id },
  });
};

export const assertNoForks = async (vcenter: Vcenter, id: MachineId, call: Call): Promise<void> => {
  const [fork] = await snapshotsOf(vcenter, id, 'fork', call);
  if (!fork) return;
  throw new DrError('STATE_CONFLICT', `a fork runs on replica ${id}`, {
    hint: 'discard or promote the fork first',
    context: { machine: id, fork: `${id}/${fork.ref.value}` },
  });
};
