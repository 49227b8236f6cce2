// HTTPS from the datastore browser: whole files by ranges. For machines that are off and for seeds: ESXi locks the chain of a running one.
import type { TransferAnswer } from '../../../adapters/vsphere/port.ts';
import { type Call, type DiskReader, DrError, type MachineId } from '../../../core/contract/index.ts';
import { placesAbove, type Vcenter, vmRef } from '../vcenter.ts';
import { assertRange } from './bounds.ts';
import { ALIGNMENT_BYTES, type DiskFile, MOST_REQUEST_BYTES, type Mover } from './mover.ts';

const IN_FLIGHT = 4;

export class Https implements Mover {
  readonly name = 'https';
  readonly #vcenter: Vcenter;

  constructor(vcenter: Vcenter) {
    this.#vcenter = vcenter;
  }

  describe(): string {
    return 'by HTTPS from the datastore browser; only while the machine is off, not on vSAN, and slow for small reads: give the endpoint an appliance or VDDK for machines that run';
  }

  async openRead(file: DiskFile, call: Call): Promise<DiskReader> {
    const { machine, disk } = file;
    const { 'runtime.powerState': power } = await this.#vcenter.props(vmRef(machine), ['runtime.powerState'], call);
    if (power !== 'poweredOff') {
      throw new DrError('FILE_LOCKED', `disk ${disk.id} of ${machine} cannot be read by HTTPS while the machine is ${String(power)}`, {
        hint: 'give the endpoint an appliance (HotAdd) or VDDK (NBD): both read a machine that runs',
        context: { machine, disk: disk.id },
      });
    }
    assertBase(file);
    const url = await this.#url(file, call);
    const what = `disk ${disk.id}`;
    const { sizeBytes } = disk;
    return {
      sizeBytes,
      alignmentBytes: ALIGNMENT_BYTES,
      maxRequestBytes: MOST_REQUEST_BYTES,
      maxInFlight: IN_FLIGHT,
      read: async (offset, into, read) => {
        assertRange(what, sizeBytes, offset, into.length);
        await this.#read(url, offset, into, read);
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async release(_machine: MachineId): Promise<void> {}
  async close(): Promise<void> {}

  async #read(url: string, offset: number, into: Uint8Array, { signal, deadlineMs }: Call): Promise<void> {
    if (into.length === 0) return;
    const last = offset + into.length - 1;
    const answer = await this.#vcenter.client.transfer(
      { method: 'GET', url, headers: { range: `bytes=${offset}-${last}` } },
      { signal, deadlineMs },
    );
    try {
      assertPartial(answer, offset, last);
    } catch (error) {
      // A whole disk may be on its way.
      await answer.body[Symbol.asyncIterator]().return?.();
      throw error;
    }
    let at = 0;
    for await (const chunk of answer.body) {
      if (at + chunk.length > into.length)
        throw new DrError('PROTOCOL_ERROR', `the server answers more than the range ${offset}-${last}`, { context: { offset } });
      into.set(chunk, at);
      at += chunk.length;
    }
    if (at !== into.length)
      throw new DrError('CONNECTION_LOST', `the answer to the range ${offset}-${last} ended after ${at} bytes`, {
        context: { offset, length: at },
      });
  }

  /** `[store] folder/disk.vmdk` describes `folder/disk-flat.vmdk`, which holds the content. */
  async #url({ machine, disk }: DiskFile, call: Call): Promise<string> {
    const parts = /^\[(.+?)\] (.+)\.vmdk$/.exec(disk.fileName);
    if (!parts)
      throw new DrError('PROTOCOL_ERROR', `disk ${disk.id} of ${machine} has the file ${JSON.stringify(disk.fileName)}`, {
        context: { machine, disk: disk.id },
      });
    const path = `${parts[2]}-flat.vmdk`.split('/').map(encodeURIComponent).join('/');
    const query = new URLSearchParams({ dcPath: await this.#datacenter(machine, call), dsName: parts[1] ?? '' });
    return `/folder/${path}?${query}`;
  }

  /** Its path below the root folder, each part as vCenter writes it. */
  async #datacenter(machine: MachineId, call: Call): Promise<string> {
    const above = await placesAbove(this.#vcenter, machine, call);
    const at = above.findIndex(({ ref }) => ref.type === 'Datacenter');
    if (at < 0) return 'ha-datacenter';
    const parts = above.slice(at).filter(({ ref }, index) => index === 0 || ref.value !== this.#vcenter.client.content.rootFolder.value);
    return parts
      .reverse()
      .map(({ props }) => String(props['name']))
      .join('/');
  }
}

/** An overlay holds what is different from the file below, in a format that this way does not read. */
const assertBase = ({ machine, disk }: DiskFile): void => {
  const { parent } = (disk.device.backing ?? {}) as { readonly parent?: unknown };
  if (parent === undefined && !/-\d{6}\.vmdk$/.test(disk.fileName)) return;
  throw new DrError('CAPABILITY_MISSING', `disk ${disk.id} of ${machine} lies on a snapshot of somebody else and cannot be read by HTTPS`, {
    hint: 'remove the other snapshots of the machine, or give the endpoint an appliance (HotAdd) or VDDK (NBD)',
    context: { machine, disk: disk.id },
  });
};

/** A server that ignores the range would hand over the beginning of the disk as if it were the middle. */
const assertPartial = ({ status, headers }: TransferAnswer, offset: number, last: number): void => {
  if (status === 206 && (headers['content-range'] ?? '').startsWith(`bytes ${offset}-${last}/`)) return;
  if (status === 404) throw new DrError('SNAPSHOT_GONE', 'the file of the disk is gone from the datastore');
  if (status === 401 || status === 403)
    throw new DrError('PERMISSION_DENIED', 'the account may not read files of the datastore', {
      hint: 'grant Datastore.Browse and Datastore.FileManagement',
    });
  if (status >= 500)
    throw new DrError('FILE_LOCKED', `the host does not open the file (HTTP ${status})`, {
      hint: 'use HotAdd or NBD: the datastore browser and a running machine exclude each other',
    });
  throw new DrError(
    'PROTOCOL_ERROR',
    `the server answers a range with HTTP ${status} and ${headers['content-range'] ?? 'no content-range'}`,
    { context: { actual: status, offset } },
  );
};
