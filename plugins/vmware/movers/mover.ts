// The ways in which the bytes of a disk can be reached. Which one is taken is decided by what the endpoint has, and shown before the first run.
import type { Call, DiskReader, DrError, MachineId, ReplicaDisk } from '../../../core/contract/index.ts';
import type { DiskDevice } from '../machine.ts';

export type MoverName = 'nbd' | 'hotadd' | 'https';

/** A disk's file on a datastore, frozen under a snapshot where one is named. */
export interface DiskFile {
  readonly machine: MachineId;
  readonly disk: DiskDevice;
  /** Value of the snapshot's reference. */
  readonly snapshot?: string;
}

export interface Mover {
  readonly name: MoverName;
  /** What an operator should know: by which way, and what limits it. */
  describe(): string;
  /** Tries to open what could not be opened before, and says why it still cannot. Absent: it is open. */
  trouble?(call: Call): Promise<DrError | undefined>;
  openRead(file: DiskFile, call: Call): Promise<DiskReader>;
  /** Absent: this way only reads. */
  openWrite?(file: DiskFile, call: Call): Promise<ReplicaDisk>;
  /** Lets go of every file of the machine: it is about to be powered on, or its snapshot to be removed. */
  release(machine: MachineId, call: Call): Promise<void>;
  close(): Promise<void>;
}

export const ALIGNMENT_BYTES = 512;
export const MOST_REQUEST_BYTES = 1 << 20;
