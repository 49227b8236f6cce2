import { type Call, DrError, type Epoch, type MachineId, type ReplicaDisk } from '../contract/index.ts';

/** Throws FENCED for an older epoch than the one on record, or an equal one of another holder. */
export const assertEpoch = (id: MachineId, held: Epoch | undefined, fence: Call['fence']): void => {
  if (!held || !fence || fence.epoch > held.epoch || (fence.epoch === held.epoch && fence.holder === held.holder)) return;
  throw new DrError('FENCED', `machine ${id} is held by ${held.holder} at epoch ${held.epoch}`, {
    context: { machine: id, epoch: held.epoch, holder: held.holder },
  });
};

/**
 * The highest epoch that a session has seen of each machine: a write is compared with it at no cost. What another session has set is
 * seen at the next open and the next flush.
 *
 * ```ts
 * const epochs = new Epochs((id, call) => client.readEpoch(id, call.signal));
 * openReplicaDisk: async (id, disk, call) => {
 *   await epochs.check(id, call);
 *   return epochs.fenced(id, await client.openDisk(id, disk, call.signal));
 * },
 * ```
 */
export class Epochs {
  readonly #read: (id: MachineId, call: Call) => Promise<Epoch | undefined>;
  readonly #seen = new Map<MachineId, Epoch>();

  /** `read`: what is on record at the hypervisor. */
  constructor(read: (id: MachineId, call: Call) => Promise<Epoch | undefined>) {
    this.#read = read;
  }

  note(id: MachineId, epoch: Epoch | undefined): void {
    const held = this.#seen.get(id);
    if (epoch && (!held || epoch.epoch >= held.epoch)) this.#seen.set(id, epoch);
  }

  seen(id: MachineId): Epoch | undefined {
    return this.#seen.get(id);
  }

  assert(id: MachineId, fence: Call['fence']): void {
    assertEpoch(id, this.#seen.get(id), fence);
  }

  /** Reads what is on record, and compares. */
  async check(id: MachineId, call: Call): Promise<void> {
    this.note(id, await this.#read(id, call));
    this.assert(id, call.fence);
  }

  /** The disk for those who hold the machine's epoch: writes are compared with what this session knows, flushes with what is on record. */
  fenced(id: MachineId, disk: ReplicaDisk): ReplicaDisk {
    return {
      ...disk,
      write: async (offset, data, call) => {
        call.signal.throwIfAborted();
        this.assert(id, call.fence);
        await disk.write(offset, data, call);
      },
      writeZeroes: async (offset, length, call) => {
        call.signal.throwIfAborted();
        this.assert(id, call.fence);
        await disk.writeZeroes(offset, length, call);
      },
      flush: async (call) => {
        call.signal.throwIfAborted();
        await this.check(id, call);
        await disk.flush(call);
      },
    };
  }
}
