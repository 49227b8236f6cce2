// One implementation (linux.ts), injected into plugins; its tests run it over loop devices and over regular files in the same layout.

export interface OpenBlockOptions {
  /** Alone: FILE_LOCKED when the disk is mounted, or held by LVM, multipath or another writer. */
  readonly forWriting: boolean;
  readonly signal: AbortSignal;
  /** How long the disk may take to appear. */
  readonly deadlineMs: number;
}

export interface BlockRequestOptions {
  readonly signal?: AbortSignal;
}

/** The disks of the machine we run on. */
export interface BlockDevices {
  /**
   * Waits until the disk with this identity has appeared, at most until the deadline (TIMED_OUT).
   * `uuid`: VMware's VirtualDisk.backing.uuid, which the guest sees when its machine has disk.EnableUUID.
   */
  open(disk: { readonly uuid: string }, options: OpenBlockOptions): Promise<BlockDevice>;
}

/**
 * Requests may overlap in time. Once one has rejected, its buffer is the caller's again.
 * A write that was aborted may still take effect, but not after a later write, nor after the device is disposed of.
 */
export interface BlockDevice extends AsyncDisposable {
  readonly path: string;
  readonly sizeBytes: number;
  /** Offsets and lengths are multiples of it. */
  readonly logicalSectorBytes: number;
  /** Larger calls are cut, one piece after the other. */
  readonly maxRequestBytes: number;
  /** More calls than this wait here. */
  readonly maxInFlight: number;
  read(offset: number, into: Uint8Array, options?: BlockRequestOptions): Promise<void>;
  write(offset: number, data: Uint8Array, options?: BlockRequestOptions): Promise<void>;
  /** Writes zeroes: they take room on thin storage. */
  writeZeroes(offset: number, length: number, options?: BlockRequestOptions): Promise<void>;
  /** All writes that were answered before are durable after. */
  flush(options?: BlockRequestOptions): Promise<void>;
}

/** `where` is the folder that has disk/by-id/ in it: /dev. */
export type OpenBlockDevices = (where: string) => BlockDevices;
