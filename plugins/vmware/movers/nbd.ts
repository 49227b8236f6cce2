// NBD from nbdkit with VMware's library (VDDK), which the operator installs: reads over the network (NBDSSL, port 902), needs no appliance.
import type { NbdExport, NbdkitSpec, OpenNbd, StartNbdkit } from '../../../adapters/nbd/port.ts';
import { type Call, type DiskReader, DrError, type MachineId, type ReplicaDisk } from '../../../core/contract/index.ts';
import type { Vcenter } from '../vcenter.ts';
import { assertRange } from './bounds.ts';
import { ALIGNMENT_BYTES, type DiskFile, MOST_REQUEST_BYTES, type Mover } from './mover.ts';

const START_MS = 60_000;
/** A host has 48 NFC buffers of 1 MiB for all its connections. */
const IN_FLIGHT = 8;

export interface NbdSettings {
  readonly program: string;
  readonly vddkLibDir: string;
  readonly server: string;
  readonly port?: number;
  readonly user: string;
  readonly password: string;
  readonly transports?: string;
  readonly scratchDir: string;
}

export interface NbdTools {
  readonly startNbdkit: StartNbdkit;
  readonly openNbd: OpenNbd;
}

export class Nbd implements Mover {
  readonly name = 'nbd';
  readonly #vcenter: Vcenter;
  readonly #settings: NbdSettings;
  readonly #tools: NbdTools;
  readonly #open = new Map<DiskReader, MachineId>();

  constructor(vcenter: Vcenter, settings: NbdSettings, tools: NbdTools) {
    this.#vcenter = vcenter;
    this.#settings = settings;
    this.#tools = tools;
  }

  describe(): string {
    return `by NBD from ${this.#settings.program} with the VDDK of ${this.#settings.vddkLibDir}; about 1 Gbit/s a disk, 48 requests of 1 MiB at a time for each host, port 902 to every host`;
  }

  openRead(file: DiskFile, call: Call): Promise<DiskReader> {
    return this.#start(file, false, call);
  }

  openWrite(file: DiskFile, call: Call): Promise<ReplicaDisk> {
    return this.#start(file, true, call);
  }

  async release(machine: MachineId): Promise<void> {
    for (const [handle, of] of [...this.#open]) if (of === machine) await handle[Symbol.asyncDispose]();
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open.keys()].map((handle) => handle[Symbol.asyncDispose]()));
  }

  async #start({ machine, disk, snapshot }: DiskFile, forWriting: boolean, call: Call): Promise<ReplicaDisk> {
    call.signal.throwIfAborted();
    const { transports, port, ...settings } = this.#settings;
    const spec: NbdkitSpec = {
      ...settings,
      ...(transports === undefined ? {} : { transports }),
      ...(port === undefined ? {} : { port }),
      thumbprint: this.#vcenter.client.thumbprintSha1,
      vmMoref: machine,
      ...(snapshot === undefined ? {} : { snapshotMoref: snapshot }),
      diskPath: disk.fileName,
      readOnly: !forWriting,
    };
    const deadlineMs = Math.min(START_MS, call.deadlineMs);
    const process = await this.#tools.startNbdkit(spec, { signal: call.signal, deadlineMs, log: call.log });
    try {
      const nbd = await this.#tools.openNbd(
        { socketPath: process.socketPath },
        { forWriting, signal: call.signal, deadlineMs, maxInFlight: IN_FLIGHT, explain: (error) => process.explain(error) },
      );
      try {
        if (nbd.sizeBytes < disk.sizeBytes)
          throw new DrError('DISK_CHANGED', `disk ${disk.id} has ${nbd.sizeBytes} bytes at the host, ${disk.sizeBytes} in the inventory`, {
            context: { disk: disk.id, sizeBytes: nbd.sizeBytes },
          });
        return this.#handle(nbd, { machine, disk }, () => process[Symbol.asyncDispose]());
      } catch (error) {
        await nbd[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  #handle(nbd: NbdExport, { machine, disk }: DiskFile, stop: () => PromiseLike<void>): ReplicaDisk {
    const what = `disk ${disk.id}`;
    const { sizeBytes } = disk;
    let open = true;
    const handle: ReplicaDisk = {
      sizeBytes,
      alignmentBytes: Math.max(ALIGNMENT_BYTES, nbd.minimumBlockBytes),
      maxRequestBytes: Math.min(MOST_REQUEST_BYTES, nbd.maxRequestBytes),
      maxInFlight: nbd.maxInFlight,
      read: async (offset, into, { signal }) => {
        assertRange(what, sizeBytes, offset, into.length);
        await nbd.read(offset, into, { signal });
      },
      write: async (offset, data, { signal }) => {
        assertRange(what, sizeBytes, offset, data.length);
        await nbd.write(offset, data, { signal });
      },
      writeZeroes: async (offset, length, { signal }) => {
        assertRange(what, sizeBytes, offset, length);
        await nbd.writeZeroes(offset, length, { signal });
      },
      flush: ({ signal }) => nbd.flush({ signal }),
      [Symbol.asyncDispose]: async () => {
        if (!open) return;
        open = false;
        this.#open.delete(handle);
        try {
          await nbd[Symbol.asyncDispose]();
        } finally {
          await stop();
        }
      },
    };
    this.#open.set(handle, machine);
    return handle;
  }
}
