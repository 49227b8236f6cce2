import { type DiskId, DrError, type MachineId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { MachineRecord } from '../records.ts';
import type { Volume } from '../volume.ts';
import { ALIGNMENT_BYTES, assertRange, assertRoom } from './disk.ts';
import { type Context, type Handlers, nothing } from './handlers.ts';

interface AtDevice {
  readonly endpoint: string;
  readonly appliance: MachineId;
  readonly uuid: DiskId;
}

interface Device {
  readonly appliance: MachineRecord;
  readonly volume: Volume;
  readonly readOnly: boolean;
}

/** The block devices of a machine from within: what is attached to it, by the disks' own identities. */
export const device: Handlers<'device'> = {
  'device.open': async (context, args) => {
    const { volume, readOnly } = await appears(context, args, args.waitMs);
    if (readOnly && args.forWriting) throw notWritable(args);
    return { sizeBytes: volume.sizeBytes, logicalSectorBytes: ALIGNMENT_BYTES };
  },

  'device.read': ({ estate, lies }, args) => {
    const { volume } = deviceAt(estate, args);
    assertRange(args.offset, args.length, volume.sizeBytes);
    const data = new Uint8Array(args.length);
    volume.read(args.offset, data);
    if (lies.has('halfData')) data.fill(0, data.length >> 1);
    return { data };
  },

  'device.write': ({ estate }, args) => {
    const { appliance, volume } = writable(estate, args);
    assertRange(args.offset, args.data.length, volume.sizeBytes);
    assertRoom(estate, args.endpoint, volume, volume.unallocatedBytes(args.offset, args.data.length));
    estate.writeCached(appliance, args.uuid, args.offset, args.data);
    return nothing;
  },

  'device.writeZeroes': ({ estate }, args) => {
    const { appliance, volume } = writable(estate, args);
    assertRange(args.offset, args.length, volume.sizeBytes, Number.MAX_SAFE_INTEGER);
    estate.writeCached(appliance, args.uuid, args.offset, args.length);
    return nothing;
  },

  'device.flush': ({ estate, lies }, args) => {
    const { volume } = writable(estate, args);
    if (lies.has('noFlush')) return nothing;
    volume.sync();
    estate.caches.get(args.uuid)?.flush();
    return nothing;
  },
};

const findDevice = (estate: Estate, at: AtDevice): Device | undefined => {
  const appliance = estate.machine(at.appliance, at.endpoint);
  if (appliance.power === 'off') {
    throw new DrError('CONNECTION_REFUSED', `the appliance ${at.appliance} is off`, { context: { machine: at.appliance } });
  }
  const disk = appliance.vm?.devices.find((one) => (one.backing as { readonly uuid?: string } | undefined)?.uuid === at.uuid);
  if (!disk || appliance.volumes[at.uuid] === undefined) return undefined;
  const { diskMode } = disk.backing as unknown as { readonly diskMode: string };
  return { appliance, volume: estate.live(appliance, at.uuid), readOnly: diskMode === 'independent_nonpersistent' };
};

const deviceAt = (estate: Estate, at: AtDevice): Device => {
  const found = findDevice(estate, at);
  if (found) return found;
  throw new DrError('NOT_FOUND', `no disk ${at.uuid} is attached to the appliance ${at.appliance}`, {
    context: { kind: 'disk', disk: at.uuid, machine: at.appliance },
  });
};

const notWritable = ({ uuid, appliance }: AtDevice): DrError =>
  new DrError('PERMISSION_DENIED', `disk ${uuid} is attached to the appliance ${appliance} for reading only`, {
    context: { disk: uuid, machine: appliance },
  });

const writable = (estate: Estate, at: AtDevice): Device => {
  const found = deviceAt(estate, at);
  if (found.readOnly) throw notWritable(at);
  return found;
};

/** As soon as it is attached; NOT_FOUND once the time has passed. */
const appears = async ({ estate, signal }: Context, at: AtDevice, waitMs: number): Promise<Device> => {
  const untilMs = estate.timeline.now() + waitMs;
  while (!findDevice(estate, at)) {
    const leftMs = untilMs - estate.timeline.now();
    if (leftMs <= 0) break;
    await Promise.race([nextTouch(estate, at.appliance), estate.timeline.sleep(leftMs, signal)]);
  }
  return deviceAt(estate, at);
};

const nextTouch = (estate: Estate, machine: MachineId): Promise<void> =>
  new Promise((resolve) => {
    const onMachine = (id: MachineId) => {
      if (id !== machine) return;
      estate.changed.off('machine', onMachine);
      resolve();
    };
    estate.changed.on('machine', onMachine);
  });
