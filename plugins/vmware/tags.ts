// What is written on machines and snapshots, so that every session, and a person in the vSphere client, knows whose they are.
import { hash } from 'node:crypto';
import type { OptionValue } from '../../adapters/vsphere/port.ts';
import { DrError, type Epoch, type MachineId } from '../../core/contract/index.ts';

export const OWNER = 'warmsite.owner';
/** On a machine whose change tracking we have enabled: by whom, so that another product's is left alone. */
export const TRACKING = 'warmsite.tracking';
export const REPLICA = 'warmsite.replica';
export const EPOCH = 'warmsite.epoch';
/** Id of the fork that this machine is prepared as. */
export const FORK = 'warmsite.fork';
/** Id of the fork that was, or is being, promoted into this machine. */
export const PROMOTED = 'warmsite.promoted';
/** Files to delete once the promotion is through. */
export const DROP = 'warmsite.drop';
/** `warmsite.disk.<slot>`: id of the disk of the source's definition that this one is the copy of. */
export const DISK = 'warmsite.disk.';
/** `warmsite.nic.<n>`: id of the card of the source's definition, by the order of the machine's cards. */
export const NIC = 'warmsite.nic.';

export interface ReplicaTag {
  readonly operationId: string;
  /** It was there before us: deleting it is not ours to decide. */
  readonly adopted: boolean;
}

/** Of the snapshot, as JSON in its description. `since` by disk id: what changedExtents is asked against. */
export interface SnapshotTag {
  readonly warmsite: 1;
  readonly owner: string;
  readonly operationId: string;
  readonly kind: 'cycle' | 'fork';
  /** Taken for the stun alone: nobody ever reads it. */
  readonly stun?: true;
  readonly since?: Readonly<Record<string, string>>;
  readonly purpose?: 'test' | 'failover';
  readonly consistency?: 'crash' | 'application';
  readonly fellBackBecause?: string;
  /** Other machines of the same request. */
  readonly machines?: readonly string[];
  /** Of a fork: how the replica was called before. */
  readonly name?: string;
}

export const CYCLE_NAME = 'warmsite cycle';
export const FORK_NAME = 'warmsite fork';

export const parseSnapshotTag = (description: string): SnapshotTag | undefined => {
  if (!description.startsWith('{"warmsite":1')) return undefined;
  try {
    return JSON.parse(description) as SnapshotTag;
  } catch {
    return undefined;
  }
};

export type Extra = ReadonlyMap<string, string>;

/** The last of a key counts: simulators append instead of replacing, and keep a key that was emptied. */
export const readExtra = (options: unknown): Extra =>
  new Map(
    [...new Map(((options ?? []) as readonly OptionValue[]).map(({ key, value }) => [key, String(value)]))].filter(
      ([, value]) => value !== '',
    ),
  );

/** An empty value takes a key away. */
export const extraOptions = (values: Readonly<Record<string, string>>): OptionValue[] =>
  Object.entries(values).map(([key, value]) => ({ key, value }));

export const replicaTag = (extra: Extra): ReplicaTag | undefined => parse<ReplicaTag>(extra.get(REPLICA));
export const epochOf = (extra: Extra): Epoch | undefined => parse<Epoch>(extra.get(EPOCH));

/** `warmsite.fork` of a clone: what it was made of, and by whom. */
export interface CloneTag {
  readonly replica: MachineId;
  readonly purpose: 'test' | 'failover';
  readonly operationId: string;
}
export const cloneTag = (extra: Extra): CloneTag | undefined => {
  const text = extra.get(FORK);
  return text?.startsWith('{') ? parse<CloneTag>(text) : undefined;
};

const parse = <T>(text: string | undefined): T | undefined => {
  if (text === undefined || text === '') return undefined;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new DrError('PROTOCOL_ERROR', 'an entry of ours in the configuration of a machine cannot be read: somebody has changed it', {
      hint: 'remove the entries that begin with warmsite from the advanced configuration of the machine, then adopt it again',
      cause,
    });
  }
};

/** Ids of the source's definition by slot. */
export const taggedDisks = (extra: Extra): ReadonlyMap<string, string> =>
  new Map([...extra].flatMap(([key, value]) => (key.startsWith(DISK) && value !== '' ? [[key.slice(DISK.length), value] as const] : [])));

export const taggedNics = (extra: Extra): string[] => {
  const rows = [...extra].flatMap(([key, value]) =>
    key.startsWith(NIC) && value !== '' ? [[Number(key.slice(NIC.length)), value] as const] : [],
  );
  return rows.sort(([a], [b]) => a - b).map(([, value]) => value);
};

/** Throws PERMISSION_DENIED unless the machine is a replica of this installation. */
export const assertOurs = (id: MachineId, extra: Extra, ownerId: string): ReplicaTag => {
  const tag = extra.get(OWNER) === ownerId ? replicaTag(extra) : undefined;
  if (tag) return tag;
  throw new DrError('PERMISSION_DENIED', `machine ${id} is no replica of this installation`, { context: { machine: id } });
};

const short = (text: string): string => hash('sha256', text, 'hex').slice(0, 8);
export const testNetworkPrefix = (ownerId: string): string => `ws-${short(ownerId)}-`;
export const testNetworkName = (ownerId: string, operationId: string): string => `${testNetworkPrefix(ownerId)}${short(operationId)}`;

/** The machine that an operation makes is found by this again, and vCenter looks it up at once: no listing of thousands for one. */
export const operationUuid = (ownerId: string, operationId: string): string => {
  const hex = hash('sha256', `${ownerId}\n${operationId}`, 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};
