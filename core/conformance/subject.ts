import type { DiskId, HostContext, MachineId, NativeSettings, PlaceId, Plugin } from '../contract/index.ts';

/** What the author of a plugin gives to the kit. */
export interface Subject {
  readonly plugin: Plugin;
  /** As the host gives it to connect: checked, secrets resolved. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The same configuration pointing at an address where nobody answers. */
  readonly unreachable?: Readonly<Record<string, unknown>>;
  readonly host?: Partial<HostContext>;
  readonly scratch?: Scratch;
  /** Another endpoint of the plugin, and a machine of the first one that is on and that its hosts may replicate there. */
  readonly pair?: SubjectPair;
  readonly lab?: ConformanceLab;
  readonly scale?: Partial<Scale>;
}

export interface SubjectPair {
  /** Of the other endpoint, as the host gives it to connect. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly machine: MachineId;
  /** In place of the kit's own. */
  readonly settings?: Partial<NativeSettings>;
}

/** What the kit may use and change. Without it only levels 0 and 1 run. */
export interface Scratch {
  /**
   * Machines to power, snapshot and read; their content is lost where a lab is given.
   * The first should have two disks; two machines prove snapshots over several machines.
   */
  readonly machines: readonly MachineId[];
  /** A machine that is off and whose disks the kit may overwrite. */
  readonly adopt?: MachineId;
  /** Where replicas go; what is left out the target chooses. */
  readonly storage?: PlaceId;
  readonly folder?: PlaceId;
  readonly host?: PlaceId;
  /** A network like which test networks are made, and to which NICs of replicas are connected. */
  readonly network?: PlaceId;
}

/**
 * What only a lab can do. Scratch machines hold still: nothing writes to their disks but `write`,
 * so that the kit knows the true content without asking the plugin.
 */
export interface ConformanceLab {
  /** The guest writes. Resolves when the bytes are on the disk; waits while the machine is frozen. */
  write(machine: MachineId, disk: DiskId, offset: number, data: Uint8Array): Promise<void>;
  /** The content of a disk now, read past the plugin. */
  read(machine: MachineId, disk: DiskId, offset: number, length: number): Promise<Uint8Array>;
  rename(machine: MachineId, name: string): Promise<void>;
  /** From now on the guest ignores, or answers again, a request to shut down. */
  refuseShutdown(machine: MachineId, refuse: boolean): Promise<void>;
  addDisk(machine: MachineId, sizeBytes: number): Promise<DiskId>;
  removeDisk(machine: MachineId, disk: DiskId): Promise<void>;
  /** Drops every connection of the plugin to the endpoint; new ones can be made at once. */
  cutConnections(): Promise<void>;
  resetTracking(machine: MachineId): Promise<void>;
  /** The machine, its host and its storage path lose power and come back: what was not flushed may be gone. The machine is off after. */
  cutPower(machine: MachineId): Promise<void>;
  /** Lets so much of the estate's time pass. */
  advance(ms: number): Promise<void>;
  /** Everything that carries the owner's id, one line each; empty when nothing is left. */
  leftovers(ownerId: string): Promise<readonly string[]>;
}

export interface Scale {
  /** Size of the disks of replicas that the kit makes. */
  readonly diskBytes: number;
  /** Disks are compared up to here: a bound for scratch machines with large disks. */
  readonly readBytes: number;
  /** At least so many machines must be listed: proves paging where an estate is large enough. */
  readonly machines: number;
  /** A case must end within this, on the wall clock, else it fails and names the call that it waits for. */
  readonly caseTimeoutMs: number;
  /** How long the guest of a scratch machine may take until it answers. */
  readonly bootMs: number;
  /** Deadline given to a shutdown that the guest refuses. */
  readonly shutdownMs: number;
}

export const DEFAULT_SCALE: Scale = {
  diskBytes: 4 * 1024 * 1024,
  readBytes: 64 * 1024 * 1024,
  machines: 0,
  caseTimeoutMs: 120_000,
  bootMs: 60_000,
  shutdownMs: 20_000,
};
