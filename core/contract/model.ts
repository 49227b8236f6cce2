// The things of an estate, in neutral terms. Sizes are bytes, times are ISO-8601 UTC.

type Brand<B extends string> = string & { readonly __brand: B };

/** Stable at its endpoint for the machine's life; never the name. */
export type MachineId = Brand<'machine'>;
/** Unique at its endpoint, stable across snapshots, moves and renames; never a path or an index. */
export type DiskId = Brand<'disk'>;
export type NicId = Brand<'nic'>;
/** A network, datastore or volume, folder, host or cluster, or resource pool. */
export type PlaceId = Brand<'place'>;
export type SnapshotId = Brand<'snapshot'>;
/** Opaque: tracker incarnation, disk identity and position. "Everything before this is known." */
export type Baseline = Brand<'baseline'>;
export type ForkId = Brand<'fork'>;
export type ItemId = Brand<'item'>;

/** A byte range. In changedExtents what is left out is unchanged; in allocatedExtents what is left out reads as zero. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  /** The range is known to read as zero: nobody needs to read it. */
  readonly zero?: true;
}

/** `unknown` is not `off`: silence never means that a machine does not run. */
export type PowerState = 'on' | 'off' | 'suspended' | 'unknown';

export interface Machine {
  readonly id: MachineId;
  readonly name: string;
  readonly power: PowerState;
  readonly spec: MachineSpec;
  /** Cloud, folder, cluster, tags. */
  readonly labels: Readonly<Record<string, string>>;
  /** Time of the last boot; absent when it cannot be told. */
  readonly bootedAt?: string;
  readonly host?: PlaceId;
  /** As the guest itself reports it; absent while no guest agent answers. */
  readonly guestName?: string;
  readonly addresses: readonly string[];
  /** 'Hyper-V Replica', 'Zerto', …, as far as it can be seen. */
  readonly protectedElsewhere?: string;
}

/** Neutral description, enough to build an equal machine on another hypervisor. What a target cannot honour comes back as findings. */
export interface MachineSpec {
  readonly firmware: 'bios' | 'uefi';
  readonly secureBoot?: boolean;
  readonly tpm?: boolean;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly guest: { readonly family: 'windows' | 'linux' | 'other'; readonly detail?: string };
  readonly disks: readonly DiskSpec[];
  readonly nics: readonly NicSpec[];
  /** Opaque round trip for the same vendor. */
  readonly vendor?: Readonly<Record<string, unknown>>;
}

export interface DiskSpec {
  readonly id: DiskId;
  readonly sizeBytes: number;
  readonly bus: 'ide' | 'sata' | 'scsi' | 'nvme' | 'virtio';
  /** Position on the bus, as the vendor writes it ('0:1'). */
  readonly slot: string;
  readonly boot: boolean;
  readonly logicalSectorBytes: 512 | 4096;
  readonly physicalSectorBytes: 512 | 4096;
  readonly storage?: PlaceId;
}

export interface NicSpec {
  readonly id: NicId;
  readonly mac?: string;
  readonly network?: PlaceId;
  readonly model?: string;
}

export interface Place {
  readonly id: PlaceId;
  readonly kind: 'network' | 'storage' | 'folder' | 'host' | 'pool';
  readonly name: string;
  readonly parent?: PlaceId;
  readonly freeBytes?: number;
}

/** Code of a finding, of the level info or warning, that says which way data takes, why this one, and what it limits. Shown before the first run. */
export const DATA_PATH = 'DATA_PATH';

/** Something a check found. `hint` is the next step, one imperative sentence. */
export interface Finding {
  readonly code: string;
  readonly level: 'info' | 'warning' | 'blocks';
  readonly message: string;
  readonly hint: string;
}

/** The fencing epoch of a protected item: who may power on, attach, write and delete. Higher wins; an equal number with another holder is refused. */
export interface Epoch {
  readonly item: ItemId;
  readonly epoch: number;
  readonly holder: string;
}
