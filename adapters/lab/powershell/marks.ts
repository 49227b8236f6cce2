// What the plugin leaves in notes, as far as the lab's control has to recognise it. Notes are anybody's: nothing in them is trusted.
import { hash } from 'node:crypto';
import type { DiskId, Epoch, ForkId, ItemId, MachineId, NicId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { ForkRecord } from '../records.ts';
import { idOnHosts } from './fabric.ts';
import type { At, Hv, HypervRecord } from './model.ts';

const PREFIX = 'warmsite: ';

type Json = Readonly<Record<string, unknown>>;

export interface Marks {
  readonly owner: string;
  readonly epoch?: Epoch;
  readonly replica?: {
    readonly operation?: string;
    readonly adopted: boolean;
    readonly disks: Record<string, DiskId>;
    readonly nics: Record<string, NicId>;
  };
  readonly fork?: {
    readonly operation: string;
    readonly purpose: 'test' | 'failover';
    readonly mode: 'overlay' | 'clone';
    readonly replica: MachineId;
    readonly checkpoint?: string;
    readonly disks: Record<string, DiskId>;
    readonly nics: Record<string, NicId>;
  };
  /** The cycle whose checkpoint is about to be taken, or is there. */
  readonly cycle?: { readonly operation: string };
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

const lineIn = (notes: string): Json | undefined => {
  const line = notes.slice(notes.lastIndexOf('\n') + 1);
  if (!line.startsWith(PREFIX)) return undefined;
  try {
    const marks: unknown = JSON.parse(line.slice(PREFIX.length));
    return isObject(marks) ? marks : undefined;
  } catch {
    return undefined;
  }
};

const textsOf = <T extends string>(value: unknown): Record<string, T> =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter((row): row is [string, T] => typeof row[1] === 'string')) : {};

/** Of a machine's notes; undefined where the last line is none of the plugin's. */
export const marksIn = (notes: string): Marks | undefined => {
  const marks = lineIn(notes);
  if (typeof marks?.['owner'] !== 'string') return undefined;
  const { epoch, replica, fork, cycle } = marks;
  return {
    owner: marks['owner'],
    ...(isObject(epoch) && typeof epoch['epoch'] === 'number' && typeof epoch['holder'] === 'string' ? { epoch: epochOf(epoch) } : {}),
    ...(isObject(replica) ? { replica: replicaOf(replica) } : {}),
    ...(isObject(fork) && typeof fork['replica'] === 'string' ? { fork: forkOf(fork) } : {}),
    ...(isObject(cycle) && typeof cycle['operation'] === 'string' ? { cycle: { operation: cycle['operation'] } } : {}),
  };
};

const epochOf = (epoch: Json): Epoch => ({
  item: String(epoch['item'] ?? '') as ItemId,
  epoch: Number(epoch['epoch']),
  holder: String(epoch['holder']),
});

const replicaOf = (replica: Json): NonNullable<Marks['replica']> => ({
  adopted: replica['adopted'] === true,
  ...(typeof replica['operation'] === 'string' ? { operation: replica['operation'] } : {}),
  disks: textsOf<DiskId>(replica['disks']),
  nics: textsOf<NicId>(replica['nics']),
});

const forkOf = (fork: Json): NonNullable<Marks['fork']> => ({
  operation: String(fork['operation'] ?? ''),
  purpose: fork['purpose'] === 'failover' ? 'failover' : 'test',
  mode: fork['mode'] === 'clone' ? 'clone' : 'overlay',
  replica: fork['replica'] as MachineId,
  ...(typeof fork['checkpoint'] === 'string' ? { checkpoint: fork['checkpoint'] } : {}),
  disks: textsOf<DiskId>(fork['disks']),
  nics: textsOf<NicId>(fork['nics']),
});

/** Of a switch's notes: whose test network it is. */
export const testNetworkIn = (notes: string): { readonly owner: string; readonly operationId: string } | undefined => {
  const mark = lineIn(notes);
  if (typeof mark?.['owner'] !== 'string') return undefined;
  return { owner: mark['owner'], operationId: String(mark['operation'] ?? '') };
};

/** Makes what the lab's control knows of the machine equal to what its notes say. */
export const followMarks = (at: At, machine: Hv): void => {
  const { estate, endpoint } = at;
  const marks = marksIn(machine.hv.notes);
  if (marks?.epoch) endpoint.fences[machine.id] = marks.epoch;
  else delete endpoint.fences[machine.id];
  if (marks?.replica) {
    const { operation, ...replica } = marks.replica;
    machine.replica = { owner: marks.owner, ...(operation === undefined ? {} : { operationId: operation }), ...replica };
  } else delete machine.replica;
  forgetFork(estate, machine);
  if (marks?.fork) rememberFork(at, machine, marks);
  estate.touch(machine);
};

export const forgetFork = (estate: Estate, machine: Hv): void => {
  if (machine.fork !== undefined) estate.forks.delete(machine.fork);
  delete machine.fork;
};

/** A fork is the replica itself on top of a checkpoint, or a machine of its own; the plugin's id for it says which. */
const rememberFork = ({ estate, endpoint, hyperv }: At, machine: Hv, { owner, fork }: Marks): void => {
  const { operation, replica, mode, purpose, disks, nics } = fork!;
  const isOwn = replica === idOnHosts(machine);
  const base = isOwn ? baseUnder(hyperv, machine, fork!.checkpoint) : {};
  // What is only begun is none yet.
  if (isOwn && Object.keys(base).length === 0) return;
  const id = `${machine.id}/${isOwn ? hash('sha256', operation, 'hex').slice(0, 12) : 'machine'}` as ForkId;
  const record: ForkRecord = {
    ...{ id, endpoint: endpoint.name, owner, operationId: operation, replica, machine: machine.id, mode, purpose, disks, nics, base },
    findings: [],
    state: 'ready',
  };
  estate.forks.set(id, record);
  machine.fork = id;
};

/** What the checkpoint has frozen: the one that is named, else the first. */
const baseUnder = ({ files }: HypervRecord, { hv }: Hv, id: string | undefined): ForkRecord['base'] => {
  const ordinary = hv.checkpoints.filter(({ kind }) => kind === 'Standard');
  const checkpoint = ordinary.find((one) => one.id === id) ?? ordinary[0];
  const rows = (checkpoint?.disks ?? []).flatMap(({ disk, file }) => {
    const layer = files[file]?.layer;
    return layer === undefined ? [] : [[disk, { disk, volume: layer }] as const];
  });
  return Object.fromEntries(rows);
};

/** Labels that people give: VMM keeps them as custom properties, a host in a line of the machine's notes. */
export const writeLabels = ({ hyperv }: At, machine: Hv): void => {
  if (hyperv.kind === 'vmm') {
    const { cloud: _, ...custom } = machine.labels;
    machine.hv.custom = custom;
    return;
  }
  const words = Object.entries(machine.labels).map(([name, value]) => `${name}=${value}`);
  const others = machine.hv.notes.split('\n').filter((line) => line !== '' && !line.startsWith('labels: '));
  machine.hv.notes = [...(words.length > 0 ? [`labels: ${words.join(' ')}`] : []), ...others].join('\n');
};
