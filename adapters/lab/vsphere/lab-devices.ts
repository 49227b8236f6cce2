// How a plugin names the block devices of a simulated appliance: `lab:SOCKET?endpoint=ENDPOINT&appliance=MACHINE`, where a real one has /dev.
import type { MachineId } from '../../../core/contract/index.ts';
import type { BlockDevice, BlockDevices } from '../../block/port.ts';
import type { OpenEstate } from '../port.ts';
import { createLabBlockDevices } from './block-devices.ts';

const SCHEME = 'lab:';

export interface LabDevicesPlace {
  readonly address: string;
  readonly endpoint: string;
  readonly appliance: MachineId;
}

export const labDevicesUrl = ({ address, endpoint, appliance }: LabDevicesPlace): string =>
  `${SCHEME}${encodeURIComponent(address)}?${new URLSearchParams({ endpoint, appliance })}`;

/** Undefined: the place is none of the lab's. */
export const parseLabDevices = (where: string): LabDevicesPlace | undefined => {
  if (!where.startsWith(SCHEME)) return undefined;
  const [address = '', query = ''] = where.slice(SCHEME.length).split('?');
  const params = new URLSearchParams(query);
  return {
    address: decodeURIComponent(address),
    endpoint: params.get('endpoint') ?? '',
    appliance: (params.get('appliance') ?? '') as MachineId,
  };
};

/** Each device over a connection of its own, which ends with it. */
export const openLabDevices = (openEstate: OpenEstate, { address, endpoint, appliance }: LabDevicesPlace): BlockDevices => ({
  open: async (disk, options) => {
    const port = await openEstate(address);
    try {
      const device = await createLabBlockDevices(port, { endpoint, owner: 'appliance', appliance }).open(disk, options);
      return endingWith(device, () => port[Symbol.asyncDispose]());
    } catch (error) {
      await port[Symbol.asyncDispose]();
      throw error;
    }
  },
});

const endingWith = (device: BlockDevice, end: () => PromiseLike<void>): BlockDevice => ({
  path: device.path,
  sizeBytes: device.sizeBytes,
  logicalSectorBytes: device.logicalSectorBytes,
  maxRequestBytes: device.maxRequestBytes,
  maxInFlight: device.maxInFlight,
  read: (offset, into, options) => device.read(offset, into, options),
  write: (offset, data, options) => device.write(offset, data, options),
  writeZeroes: (offset, length, options) => device.writeZeroes(offset, length, options),
  flush: (options) => device.flush(options),
  [Symbol.asyncDispose]: async () => {
    await device[Symbol.asyncDispose]();
    await end();
  },
});
