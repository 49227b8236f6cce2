// The disks that are attached to a simulated appliance, as its own block devices.
import { type DiskId, DrError, isDrError, type MachineId } from '../../../core/contract/index.ts';
import type { BlockDevice, BlockDevices, BlockRequestOptions } from '../../block/port.ts';
import type { EstatePort } from '../port.ts';

const MOST_BYTES = 1 << 20;
const MOST_IN_FLIGHT = 4;

export interface LabAppliance {
  readonly endpoint: string;
  readonly owner: string;
  readonly appliance: MachineId;
}

export const createLabBlockDevices = (port: EstatePort, at: LabAppliance): BlockDevices => ({
  open: async ({ uuid }, { forWriting, signal, deadlineMs }) => {
    const where = { ...at, uuid: uuid as DiskId };
    try {
      const { sizeBytes, logicalSectorBytes } = await port.call('device.open', { ...where, forWriting, waitMs: deadlineMs }, { signal });
      return new LabBlockDevice(port, where, { sizeBytes, logicalSectorBytes });
    } catch (error) {
      if (!isDrError(error, 'NOT_FOUND') || error.context.kind !== 'disk') throw error;
      throw new DrError('TIMED_OUT', `the disk ${uuid} has not appeared in ${deadlineMs} ms`, {
        context: { disk: uuid, deadlineMs },
        cause: error,
      });
    }
  },
});

class LabBlockDevice implements BlockDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly logicalSectorBytes: number;
  readonly maxRequestBytes = MOST_BYTES;
  readonly maxInFlight = MOST_IN_FLIGHT;
  readonly #port: EstatePort;
  readonly #at: LabAppliance & { readonly uuid: DiskId };

  constructor(port: EstatePort, at: LabAppliance & { readonly uuid: DiskId }, size: Pick<BlockDevice, 'sizeBytes' | 'logicalSectorBytes'>) {
    this.#port = port;
    this.#at = at;
    this.path = `/dev/disk/by-id/wwn-0x${at.uuid.replaceAll(/[^0-9a-f]/gi, '').toLowerCase()}`;
    this.sizeBytes = size.sizeBytes;
    this.logicalSectorBytes = size.logicalSectorBytes;
  }

  async read(offset: number, into: Uint8Array, options: BlockRequestOptions = {}): Promise<void> {
    for (const { at, length } of pieces(into.length)) {
      const { data } = await this.#port.call('device.read', { ...this.#at, offset: offset + at, length }, options);
      options.signal?.throwIfAborted();
      into.set(data, at);
    }
  }

  async write(offset: number, data: Uint8Array, options: BlockRequestOptions = {}): Promise<void> {
    for (const { at, length } of pieces(data.length)) {
      await this.#port.call('device.write', { ...this.#at, offset: offset + at, data: data.subarray(at, at + length) }, options);
    }
  }

  async writeZeroes(offset: number, length: number, options: BlockRequestOptions = {}): Promise<void> {
    await this.#port.call('device.writeZeroes', { ...this.#at, offset, length }, options);
  }

  async flush(options: BlockRequestOptions = {}): Promise<void> {
    await this.#port.call('device.flush', this.#at, options);
  }

  /** Nothing is held open: only the appliance's attachment holds the file. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

const pieces = (length: number): { at: number; length: number }[] =>
  Array.from({ length: Math.ceil(length / MOST_BYTES) }, (_, index) => ({
    at: index * MOST_BYTES,
    length: Math.min(MOST_BYTES, length - index * MOST_BYTES),
  }));
