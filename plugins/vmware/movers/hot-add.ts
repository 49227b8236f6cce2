// HotAdd: the appliance, a machine of the same vCenter in which we run, gets the disk attached and reads or writes it as a block device.
// Facts and limits: vSphere Virtual Disk Development Kit Programming Guide, «Advanced transports: SCSI HotAdd».
import type { BlockDevice, BlockDevices } from '../../../adapters/block/port.ts';
import { isFault, typed, type VirtualDevice } from '../../../adapters/vsphere/port.ts';
import { type Call, type DiskReader, DrError, type MachineId, type ReplicaDisk } from '../../../core/contract/index.ts';
import { Turns } from '../../../core/plugin-kit/index.ts';
import { backingOf, type Controller, controllersOf, type DiskDevice, disksOf } from '../machine.ts';
import { type Extra, extraOptions, OWNER, readExtra } from '../tags.ts';
import { type Vcenter, vmRef } from '../vcenter.ts';
import { assertRange } from './bounds.ts';
import { ALIGNMENT_BYTES, type DiskFile, MOST_REQUEST_BYTES, type Mover } from './mover.ts';

/** `warmsite.attach.<disk>`: how it is attached. What carries it and is in nobody's hands was left by a process that is gone. */
const ATTACH = 'warmsite.attach.';
const RESERVED_UNIT = 7;
const UNITS = 16;
const IN_FLIGHT = 8;
const DEVICE_MS = 30_000;
const CLEAN_MS = 120_000;
const PATHS = ['config.hardware.device', 'config.extraConfig', 'runtime.powerState'];

interface Attachment {
  readonly file: DiskFile;
  readonly writable: boolean;
  users: number;
  readonly ready: Promise<void>;
}

/** What has been attached to one appliance, whichever session asked for it. */
interface Desk {
  readonly attached: Map<string, Attachment>;
  readonly turns: Turns;
}

/** By appliance; one for all sessions of a plugin. */
export class Desks {
  readonly #desks = new Map<string, Desk>();

  of(key: string): Desk {
    const desk = this.#desks.get(key) ?? { attached: new Map<string, Attachment>(), turns: new Turns() };
    this.#desks.set(key, desk);
    return desk;
  }
}

export interface HotAddTools {
  readonly devices: BlockDevices;
  readonly desks: Desks;
}

export class HotAdd implements Mover {
  readonly name = 'hotadd';
  readonly #vcenter: Vcenter;
  readonly #appliance: MachineId;
  readonly #devices: BlockDevices;
  readonly #desk: Desk;
  readonly #open = new Set<ReplicaDisk>();
  readonly #leaving = new Set<Promise<void>>();

  private constructor(vcenter: Vcenter, appliance: MachineId, { devices, desks }: HotAddTools) {
    this.#vcenter = vcenter;
    this.#appliance = appliance;
    this.#devices = devices;
    const { about, thumbprintSha1 } = vcenter.client;
    // A lone host has no identity of its own but its certificate.
    this.#desk = desks.of(`${about.instanceUuid ?? thumbprintSha1} ${appliance} ${vcenter.ownerId}`);
  }

  /** Detaches first what a process that is gone has left: it would keep machines from starting and snapshots from merging. */
  static async open(vcenter: Vcenter, appliance: MachineId, tools: HotAddTools, call: Call): Promise<HotAdd> {
    const mover = new HotAdd(vcenter, appliance, tools);
    await mover.#sweep(call);
    return mover;
  }

  describe(): string {
    return `by HotAdd into the appliance ${this.#appliance}; at most ${4 * (UNITS - 1)} disks at a time, of datastores that its host sees`;
  }

  async openRead(file: DiskFile, call: Call): Promise<DiskReader> {
    return this.#openDisk(file, false, call);
  }

  async openWrite(file: DiskFile, call: Call): Promise<ReplicaDisk> {
    return this.#openDisk(file, true, call);
  }

  async release(machine: MachineId, call: Call): Promise<void> {
    for (const [name, attachment] of [...this.#desk.attached])
      if (attachment.file.machine === machine) await this.#detach(name, attachment, call);
    // And what an attempt has left whose answer was lost: nobody holds it, and it may be one of this machine. Where that fails, because the
    // appliance itself is gone too, the caller's next step will tell what is still locked.
    await this.#sweep(call).catch(() => call.signal.throwIfAborted());
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open].map((handle) => handle[Symbol.asyncDispose]()));
    await Promise.all(this.#leaving);
  }

  async #openDisk(file: DiskFile, writable: boolean, call: Call): Promise<ReplicaDisk> {
    const { fileName } = file.disk;
    assertIdentity(file);
    const attachment = this.#attach(fileName, file, writable, call);
    try {
      await abortable(attachment.ready, call.signal);
      const device = await this.#devices.open(
        { uuid: file.disk.id },
        { forWriting: writable, signal: call.signal, deadlineMs: Math.min(DEVICE_MS, call.deadlineMs) },
      );
      return this.#handle(device, file.disk, () => this.#leave(fileName, attachment));
    } catch (error) {
      const left = this.#leave(fileName, attachment).catch(() => undefined);
      this.#leaving.add(left);
      void left.then(() => this.#leaving.delete(left));
      // Whoever has aborted does not wait for the server.
      if (!call.signal.aborted) await left;
      throw error;
    }
  }

  #attach(fileName: string, file: DiskFile, writable: boolean, call: Call): Attachment {
    const there = this.#desk.attached.get(fileName);
    if (there) {
      if (writable && !there.writable) {
        throw new DrError('FILE_LOCKED', `disk ${file.disk.id} of ${file.machine} is being read and cannot be written`, {
          context: { disk: file.disk.id, machine: file.machine },
        });
      }
      there.users++;
      return there;
    }
    const twin = [...this.#desk.attached.values()].find((one) => one.file.disk.id === file.disk.id);
    if (twin) {
      // The device is known by this identity: what is read could be the other disk.
      throw new DrError(
        'HOST_BUSY',
        `disk ${file.disk.id} of ${file.machine} has the identity of a disk of ${twin.file.machine}, which is attached`,
        {
          hint: 'wait until the other disk is done; give one of the two another uuid (vmkfstools -J setuuid)',
          context: { disk: file.disk.id, machine: file.machine },
        },
      );
    }
    const attachment: Attachment = {
      file,
      writable,
      users: 1,
      // Not ended by the caller's abort: the server would go on alone, and others may be waiting for the same disk.
      ready: this.#desk.turns.take('appliance', () => this.#reconfigureToAttach(file, writable, this.#lasting(call.deadlineMs))),
    };
    attachment.ready.catch(() => {
      if (this.#desk.attached.get(fileName) === attachment) this.#desk.attached.delete(fileName);
    });
    this.#desk.attached.set(fileName, attachment);
    return attachment;
  }

  async #leave(fileName: string, attachment: Attachment): Promise<void> {
    attachment.users--;
    if (attachment.users > 0 || this.#desk.attached.get(fileName) !== attachment) return;
    await this.#detach(fileName, attachment, this.#lasting(CLEAN_MS));
  }

  async #detach(fileName: string, attachment: Attachment, call: Call): Promise<void> {
    if (this.#desk.attached.get(fileName) !== attachment) return;
    this.#desk.attached.delete(fileName);
    // The turn is taken at once: whoever attaches the disk again must come after it.
    await this.#desk.turns.take('appliance', () => this.#reconfigureToDetach((disk) => disk.id === attachment.file.disk.id, call));
  }

  async #reconfigureToAttach({ disk, machine }: DiskFile, writable: boolean, call: Call): Promise<void> {
    const { devices, extra } = await this.#look(call);
    const owner = extra.get(OWNER);
    if (owner !== undefined && owner !== this.#vcenter.ownerId) {
      throw new DrError('LOCKED_BY', `the appliance ${this.#appliance} belongs to the installation ${owner}`, {
        hint: 'give each installation an appliance of its own; where that one is gone, remove warmsite.owner from the advanced configuration of the appliance',
        context: { machine: this.#appliance, holder: owner },
      });
    }
    const mode = writable ? 'independent_persistent' : 'independent_nonpersistent';
    if (disksOf(this.#appliance, devices).some(({ id }) => id === disk.id)) {
      if (extra.get(`${ATTACH}${disk.id}`) === undefined) {
        throw new DrError('FILE_LOCKED', `disk ${disk.id} of ${machine} is attached to the appliance ${this.#appliance}, and not by us`, {
          hint: 'detach the disk from the appliance by hand, without deleting its file',
          context: { disk: disk.id, machine: this.#appliance },
        });
      }
      // Ours, from an attempt whose answer was lost; of which file and in which mode is not worth a guess.
      await this.#reconfigureToDetach((one) => one.id === disk.id, call);
      return this.#reconfigureToAttach({ disk, machine }, writable, call);
    }
    const { controller, unitNumber } = this.#freePlace(devices);
    const device = typed('VirtualDisk', {
      key: -1,
      controllerKey: controller.key,
      unitNumber,
      capacityInKB: Math.floor(disk.sizeBytes / 1024),
      backing: typed('VirtualDiskFlatVer2BackingInfo', {
        fileName: disk.fileName,
        // What is only read must not be changed by the appliance's own kernel either.
        diskMode: mode,
        uuid: disk.id,
      }),
    });
    const extraConfig = extraOptions({ [OWNER]: this.#vcenter.ownerId, [`${ATTACH}${disk.id}`]: mode });
    await this.#vcenter.task(
      'ReconfigVM_Task',
      vmRef(this.#appliance),
      { spec: { deviceChange: [{ operation: 'add', device }], extraConfig } },
      call,
    );
  }

  async #reconfigureToDetach(wanted: (disk: DiskDevice) => boolean, call: Call): Promise<void> {
    const { devices } = await this.#look(call);
    const disks = disksOf(this.#appliance, devices).filter(wanted);
    if (disks.length === 0) return;
    const deviceChange = disks.map(({ device }) => ({
      operation: 'remove' as const,
      device: typed('VirtualDisk', {
        key: device.key,
        controllerKey: device.controllerKey,
        unitNumber: device.unitNumber,
        capacityInKB: device.capacityInKB,
      }),
    }));
    const extraConfig = extraOptions(Object.fromEntries(disks.map(({ id }) => [`${ATTACH}${id}`, ''])));
    try {
      await this.#vcenter.task('ReconfigVM_Task', vmRef(this.#appliance), { spec: { deviceChange, extraConfig } }, call);
    } catch (error) {
      // Somebody else was quicker: it is detached, which is all that is wanted.
      if (!isFault(error, 'InvalidDeviceSpec', 'ManagedObjectNotFound')) throw error;
    }
  }

  #freePlace(devices: readonly VirtualDevice[]): { controller: Controller; unitNumber: number } {
    const taken = new Set(devices.map(({ controllerKey, unitNumber }) => `${controllerKey}:${unitNumber}`));
    const controllers = controllersOf(devices).filter(({ $type = '' }) => /SCSI|LsiLogic|BusLogic/.test($type));
    // The last controllers first: the appliance's own disk is on the first.
    for (const controller of controllers.sort((a, b) => b.busNumber - a.busNumber)) {
      for (let unitNumber = 0; unitNumber < UNITS; unitNumber++) {
        if (unitNumber !== RESERVED_UNIT && !taken.has(`${controller.key}:${unitNumber}`)) return { controller, unitNumber };
      }
    }
    throw new DrError(
      'HOST_BUSY',
      `the appliance ${this.#appliance} has no free place for another disk on its ${controllers.length} SCSI controllers`,
      {
        hint: 'give the appliance four PVSCSI controllers, or lower how many machines replicate at a time',
        context: { machine: this.#appliance },
      },
    );
  }

  async #look(call: Call): Promise<{ devices: readonly VirtualDevice[]; extra: Extra; power: unknown }> {
    const props = await this.#vcenter.props(vmRef(this.#appliance), PATHS, call);
    return {
      devices: (props['config.hardware.device'] ?? []) as readonly VirtualDevice[],
      extra: readExtra(props['config.extraConfig']),
      power: props['runtime.powerState'],
    };
  }

  async #sweep(call: Call): Promise<void> {
    await this.#desk.turns.take('appliance', async () => {
      const { extra } = await this.#look(call);
      if (extra.get(OWNER) !== this.#vcenter.ownerId) return;
      const held = new Set([...this.#desk.attached.values()].map(({ file }) => file.disk.id as string));
      const tagged = [...extra.keys()].filter((key) => key.startsWith(ATTACH)).map((key) => key.slice(ATTACH.length));
      const left = new Set(tagged.filter((disk) => !held.has(disk)));
      if (left.size > 0) await this.#reconfigureToDetach((disk) => left.has(disk.id), call);
    });
  }

  /** Its own time: what is begun or to be cleaned must not depend on a caller who is gone. */
  #lasting(deadlineMs: number): Call {
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
    return { signal: new AbortController().signal, deadlineMs, log, operationId: 'attach' };
  }

  #handle(device: BlockDevice, disk: DiskDevice, leave: () => Promise<void>): ReplicaDisk {
    const what = `disk ${disk.id}`;
    const { sizeBytes } = disk;
    let open = true;
    const handle: ReplicaDisk = {
      sizeBytes,
      alignmentBytes: ALIGNMENT_BYTES,
      maxRequestBytes: MOST_REQUEST_BYTES,
      maxInFlight: IN_FLIGHT,
      read: async (offset, into, { signal }) => {
        assertRange(what, sizeBytes, offset, into.length);
        await device.read(offset, into, { signal });
      },
      write: async (offset, data, { signal }) => {
        assertRange(what, sizeBytes, offset, data.length);
        await device.write(offset, data, { signal });
      },
      writeZeroes: async (offset, length, { signal }) => {
        assertRange(what, sizeBytes, offset, length);
        await device.writeZeroes(offset, length, { signal });
      },
      flush: ({ signal }) => device.flush({ signal }),
      [Symbol.asyncDispose]: async () => {
        if (!open) return;
        open = false;
        this.#open.delete(handle);
        try {
          await device[Symbol.asyncDispose]();
        } finally {
          await leave();
        }
      },
    };
    this.#open.add(handle);
    return handle;
  }
}

/** The device is found by it, and nothing else tells one attached disk from another. */
const assertIdentity = ({ machine, disk }: DiskFile): void => {
  if (backingOf(disk.device).uuid !== undefined) return;
  throw new DrError(
    'CAPABILITY_MISSING',
    `disk ${disk.slot} of ${machine} has no uuid: it could not be found among the disks of the appliance`,
    {
      hint: 'read the machine by NBD (VDDK), or give the disk a uuid (vmkfstools -J setuuid)',
      context: { machine, disk: disk.id },
    },
  );
};

const abortable = async (work: Promise<void>, signal: AbortSignal): Promise<void> => {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};
