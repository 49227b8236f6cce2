// The disks of simulated hosts as an agent on them sees them: `\\.\PhysicalDriveN` of what is mounted there.
import { DrError } from '../../../core/contract/index.ts';
import { digestRows } from '../digests.ts';
import type { Connection, Gate } from '../gate.ts';
import type { Lie } from '../model.ts';
import { assertRange, assertRoom } from '../operations/disk.ts';
import type { EstateArgs, EstateMethod, EstateResult } from '../port.ts';
import type { Volume } from '../volume.ts';
import { WriteCache } from '../write-cache.ts';
import { holderOf } from './disks.ts';
import { type Addressed, addressed } from './fabric.ts';
import type { MountRecord } from './model.ts';
import { childrenOf } from './paths.ts';
import { noteOutsideChange } from './replica/refusals.ts';

type AgentMethod = Extract<EstateMethod, `agent.${string}`>;

interface Handle {
  readonly at: Addressed;
  readonly mount: MountRecord;
  readonly path: string;
  readonly forWriting: boolean;
  /** That has the disk as its own. */
  readonly holder: ReturnType<typeof holderOf>;
  written: boolean;
}

interface Asked {
  readonly handle: Handle;
  readonly volume: Volume;
  readonly lies: ReadonlySet<Lie>;
}

/** One for the estate: who has a disk open for writing has it alone, over all sessions. */
export class HostDevices {
  readonly #gate: Gate;
  readonly #open = new Map<Connection, Map<number, Handle>>();
  #count = 0;

  constructor(gate: Gate) {
    this.#gate = gate;
  }

  /** Whoever is on the host may: no credential is asked. */
  async call<M extends AgentMethod>(
    connection: Connection,
    method: M,
    args: EstateArgs<M>,
    signal?: AbortSignal,
  ): Promise<EstateResult<M>> {
    const at = addressed(this.#gate.estate, (args as { readonly host: string }).host);
    connection.accepted.add(at.endpoint.name);
    if (!this.#open.has(connection)) {
      this.#open.set(connection, new Map());
      connection.ended.addEventListener('abort', () => this.#open.delete(connection), { once: true });
    }
    const known = 'handle' in args ? this.#handleOf(connection, args.handle) : undefined;
    const machine = known?.holder?.machine.id;
    const call = { connection, method, endpoint: at.endpoint.name, args: machine === undefined ? {} : { machine }, signal };
    return this.#gate.pass(call, ({ lies }) => this.#run(connection, method, args, { at, lies })) as Promise<EstateResult<M>>;
  }

  #run(
    connection: Connection,
    method: AgentMethod,
    args: EstateArgs<AgentMethod>,
    { at, lies }: { at: Addressed; lies: ReadonlySet<Lie> },
  ): object {
    if (method === 'agent.open') return this.#openDevice(connection, at, args as EstateArgs<'agent.open'>);
    const { handle: number } = args as { readonly handle: number };
    if (method === 'agent.close') {
      this.#open.get(connection)?.delete(number);
      return {};
    }
    const handle = this.#handleOf(connection, number);
    const asked: Asked = { handle, volume: volumeOf(handle), lies };
    if (method === 'agent.read') return read(asked, args as EstateArgs<'agent.read'>);
    if (method === 'agent.digests') return digests(asked, args as EstateArgs<'agent.digests'>);
    if (method === 'agent.flush') return flush(asked);
    if (method === 'agent.writeZeroes') {
      const { offset, length } = args as EstateArgs<'agent.writeZeroes'>;
      return write(asked, offset, length);
    }
    const { offset, data } = args as EstateArgs<'agent.write'>;
    return write(asked, offset, data);
  }

  #openDevice(connection: Connection, at: Addressed, { path, forWriting }: EstateArgs<'agent.open'>): object {
    const mount = mountAt(at, path);
    if (forWriting && mount.readOnly) throw denied(path, 'is mounted for reading only');
    for (const handles of this.#open.values()) {
      for (const other of handles.values()) {
        if (other.mount === mount && (forWriting || other.forWriting))
          throw new DrError('FILE_LOCKED', `${path} is open in another session`, { context: { path } });
      }
    }
    const handle: Handle = { at, mount, path, forWriting, holder: holderOf(at, mount.file), written: false };
    this.#open.get(connection)!.set(++this.#count, handle);
    const { logicalSectorBytes } = at.hyperv.files[mount.file]!;
    return { handle: this.#count, sizeBytes: volumeOf(handle).sizeBytes, logicalSectorBytes };
  }

  #handleOf(connection: Connection, number: number): Handle {
    const handle = this.#open.get(connection)?.get(number);
    if (handle) return handle;
    throw new DrError('NOT_FOUND', 'the device is not open in this session', { context: { kind: 'disk' } });
  }
}

const denied = (path: string, why: string): DrError =>
  new DrError('PERMISSION_DENIED', `${path} ${why}`, { context: { path, vendorCode: 'EACCES' } });

const mountAt = ({ host }: Addressed, path: string): MountRecord => {
  const number = /^\\\\\.\\PhysicalDrive(\d+)$/i.exec(path)?.[1];
  const mount = number === undefined ? undefined : host.mounts.find((one) => one.number === Number(number));
  if (mount) return mount;
  throw new DrError('NOT_FOUND', `there is no ${path} on ${host.name}`, { context: { kind: 'disk', path, name: host.name } });
};

/** Throws where the disk was dismounted under the session. */
const volumeOf = ({ at, mount, path }: Handle): Volume => {
  const { host, hyperv, estate } = at;
  const file = hyperv.files[mount.file];
  if (host.mounts.includes(mount) && file) return estate.layer(file.layer).volume;
  throw new DrError('NOT_FOUND', `${path} is not on ${host.name} any more`, { context: { kind: 'disk', path, name: host.name } });
};

const read = ({ volume, lies }: Asked, { offset, length }: EstateArgs<'agent.read'>): { data: Uint8Array } => {
  assertRange(offset, length, volume.sizeBytes);
  const data = new Uint8Array(length);
  volume.read(offset, data);
  if (lies.has('halfData')) data.fill(0, data.length >> 1);
  return { data };
};

const write = ({ handle, volume }: Asked, offset: number, data: Uint8Array | number): object => {
  const length = typeof data === 'number' ? data : data.length;
  assertRange(offset, length, volume.sizeBytes, typeof data === 'number' ? Number.MAX_SAFE_INTEGER : undefined);
  assertWritable(handle, volume);
  const { estate, endpoint } = handle.at;
  if (typeof data !== 'number') assertRoom(estate, endpoint.name, volume, volume.unallocatedBytes(offset, length));
  noteWrite(handle);
  const key = volume.name as never;
  const cache = estate.caches.get(key) ?? new WriteCache();
  estate.caches.set(key, cache);
  cache.note(volume, offset, length);
  if (typeof data === 'number') volume.writeZeroes(offset, length);
  else volume.write(offset, data);
  return {};
};

/** Windows lets nobody write to the volumes of a disk that is online; a disk that is empty has none. */
const assertWritable = ({ forWriting, mount, path }: Handle, volume: Volume): void => {
  if (!forWriting) throw denied(path, 'is open for reading only');
  if (!mount.offline && !volume.allocated(0).next().done) throw denied(path, 'is online and has volumes');
};

/** Tracking does not see it, and what stands on the disk is worth nothing from then on: the host lets it happen. */
const noteWrite = (handle: Handle): void => {
  if (handle.written) return;
  handle.written = true;
  const { at, mount, holder } = handle;
  const { estate, endpoint } = at;
  if (holder) {
    estate.trackers.get(holder.drive.disk)?.reset(estate.random.uuid());
    noteOutsideChange(estate, holder.machine);
  }
  if (childrenOf(at, mount.file).length === 0) return;
  const machines = holder ? [{ machine: holder.machine.id, endpoint: endpoint.name, name: holder.machine.name }] : [];
  estate.violations.push({ kind: 'parentWritten', at: estate.now(), identity: at.hyperv.files[mount.file]!.path, machines });
  estate.revision++;
};

const flush = ({ handle, volume, lies }: Asked): object => {
  if (lies.has('noFlush')) return {};
  volume.sync();
  handle.at.estate.caches.get(volume.name as never)?.flush();
  return {};
};

const digests = ({ volume, lies }: Asked, range: EstateArgs<'agent.digests'>): { data: Uint8Array } => ({
  data: digestRows(volume, range, volume.sizeBytes, lies),
});
