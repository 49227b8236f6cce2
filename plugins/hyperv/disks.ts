// Bytes of virtual disks: the host attaches a file (Mount-VHD), and the agent on that host reads and writes the device that appears.
import type { Agent, AgentDevice } from '../../adapters/agent/port.ts';
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import { type Call, type DiskReader, DrError, isDrError, type ReplicaDisk } from '../../core/contract/index.ts';
import { Turns } from '../../core/plugin-kit/index.ts';
import type { Fabric } from './fabric.ts';
import { whileHeld } from './patience.ts';
import { flag, maybeNumber, number } from './rows.ts';
import { Shared } from './shared.ts';
import type { Attachment, UnderWay } from './under-way.ts';

export type OpenHostAgent = (host: string, call: Call) => Promise<Agent>;

interface DiskFile {
  readonly host: string;
  readonly path: string;
  readonly forWriting: boolean;
}

interface Opened extends DiskFile {
  readonly agent: Agent;
  readonly device: AgentDevice;
  readonly attachment: Attachment;
  users: number;
}

const AGENT_MS = 60_000;
const ATTACH_MS = 120_000;
const CLEAN_MS = 120_000;

const keyOf = (host: string, path: string): string => `${host}|${path.toLowerCase()}`;

const attachedSteps = (path: string): Step[] => [{ cmdlet: 'Get-VHD', params: { Path: path }, select: ['Attached', 'DiskNumber?'] }];

/** A disk that its machine runs on counts as attached too, but is no disk of the host. */
const isAttached = (row: PsRow): boolean => flag(row, 'Attached') && maybeNumber(row, 'DiskNumber') !== undefined;

export class Disks implements AsyncDisposable {
  readonly #fabric: Fabric;
  readonly #openAgent: OpenHostAgent;
  readonly #agents = new Shared<Agent>();
  readonly #turns = new Turns();
  /** Paths that no other host has attached. */
  readonly #seenElsewhere = new Set<string>();
  readonly #opened = new Map<string, Opened>();

  constructor(fabric: Fabric, openAgent: OpenHostAgent) {
    this.#fabric = fabric;
    this.#openAgent = openAgent;
  }

  get #underWay(): UnderWay {
    return this.#fabric.underWay;
  }

  async openRead(host: string, path: string, call: Call): Promise<DiskReader> {
    const { device, close } = await this.#open({ host, path, forWriting: false }, call);
    return readerOf(device, close);
  }

  async openWrite(host: string, path: string, call: Call): Promise<ReplicaDisk> {
    const { device, close } = await this.#open({ host, path, forWriting: true }, call);
    return {
      ...readerOf(device, close),
      write: (offset, data, { signal }) => device.write(offset, data, { signal }),
      writeZeroes: (offset, length, { signal }) => device.writeZeroes(offset, length, { signal }),
      flush: ({ signal }) => device.flush({ signal }),
    };
  }

  /** Detaches what nobody of this process uses, whoever has attached it: a file that is attached can be neither merged nor run. */
  async release(host: string, paths: readonly string[], call: Call): Promise<void> {
    for (const path of paths) {
      await this.#underWay.files.take(keyOf(host, path), async () => {
        if (!this.#underWay.attached.has(keyOf(host, path))) await this.#detachLeftover(host, path, call);
      });
      if (this.#fabric.isShared && !this.#seenElsewhere.has(path)) await this.#releaseElsewhere(host, path, call);
    }
  }

  /** Its machine may have moved since a process that is gone has attached it on another host. What this process attaches there it knows. */
  async #releaseElsewhere(host: string, path: string, call: Call): Promise<void> {
    const others = (await this.#fabric.hosts(call)).filter((other) => other !== host && !this.#underWay.attached.has(keyOf(other, path)));
    const looks = others.map((other) => this.#detachLeftover(other, path, call));
    for (const look of await Promise.allSettled(looks))
      if (look.status === 'rejected' && !isDrError(look.reason, 'CONNECTION_REFUSED', 'CONNECTION_LOST', 'HOST_BUSY')) throw look.reason;
    this.#seenElsewhere.add(path);
  }

  async #detachLeftover(host: string, path: string, call: Call): Promise<void> {
    const rows = await this.#fabric.rows(host, attachedSteps(path), call).catch((error: unknown) => {
      // In use by its own machine, or gone: attached by nobody.
      if (isDrError(error, 'FILE_LOCKED', 'NOT_FOUND')) return [];
      throw error;
    });
    if (rows[0] && isAttached(rows[0])) await this.#fabric.run(host, [{ cmdlet: 'Dismount-VHD', params: { Path: path } }], call);
  }

  /** Tells whether the agent of a host answers, and what it is. */
  agent(host: string, call: Call): Promise<Agent> {
    const deadlineMs = Math.min(call.deadlineMs, AGENT_MS);
    const open = (signal: AbortSignal) => {
      const opening = this.#openAgent(host, { ...call, signal, deadlineMs });
      const forget = () => this.#agents.forget(host, opening);
      opening.then((agent) => agent.lost.addEventListener('abort', forget, { once: true }), forget);
      return opening;
    };
    return this.#agents.get(host, open, call.signal);
  }

  /** Who has a disk open still loses it: it would stay attached. */
  async [Symbol.asyncDispose](): Promise<void> {
    const opened = [...this.#opened.values()];
    this.#opened.clear();
    await this.#agents[Symbol.asyncDispose]();
    for (const one of opened) await this.#detach(one, one.attachment).catch(() => undefined);
  }

  /** Whoever opens a disk again in the same way shares what is open: a host attaches a file once, and an agent lets one write. */
  #open(file: DiskFile, call: Call): Promise<{ readonly device: AgentDevice; readonly close: () => Promise<void> }> {
    const key = keyOf(file.host, file.path);
    return this.#turns.take(key, () => this.#openNow(key, file, call));
  }

  async #openNow(key: string, file: DiskFile, call: Call) {
    const there = this.#opened.get(key);
    if (there && there.forWriting === file.forWriting && !there.agent.lost.aborted) {
      there.users++;
      return { device: there.device, close: this.#closing(key, there) };
    }
    const agent = await this.agent(file.host, call);
    const attachment = await this.#attach(file, call);
    try {
      const { signal, deadlineMs } = call;
      const device = await agent.openDevice(`\\\\.\\PhysicalDrive${attachment.number}`, {
        forWriting: file.forWriting,
        signal,
        deadlineMs,
      });
      const opened: Opened = { ...file, agent, device, attachment, users: 1 };
      this.#opened.set(key, opened);
      return { device, close: this.#closing(key, opened) };
    } catch (error) {
      await this.#detach(file, attachment).catch(() => undefined);
      throw error;
    }
  }

  #closing(key: string, opened: Opened): () => Promise<void> {
    return () => this.#turns.take(key, () => this.#leave(key, opened));
  }

  async #leave(key: string, opened: Opened): Promise<void> {
    if (--opened.users > 0) return;
    if (this.#opened.get(key) === opened) this.#opened.delete(key);
    try {
      await opened.device[Symbol.asyncDispose]();
    } finally {
      await this.#detach(opened, opened.attachment);
    }
  }

  #attach({ host, path, forWriting }: DiskFile, call: Call): Promise<Attachment> {
    const key = keyOf(host, path);
    return this.#underWay.files.take(key, async () => {
      const there = await this.#stillAttached({ host, path }, call);
      if (there) {
        if (forWriting !== there.writable)
          throw new DrError('FILE_LOCKED', `the disk ${path} is open already`, { context: { path, name: host } });
        there.users++;
        return there;
      }
      const number = await this.#mount({ host, path, forWriting }, call);
      const made: Attachment = { key, number, writable: forWriting, users: 1 };
      this.#underWay.attached.set(key, made);
      return made;
    });
  }

  async #mount({ host, path, forWriting }: DiskFile, call: Call): Promise<number> {
    const mount: Step = {
      cmdlet: 'Mount-VHD',
      params: { Path: path, NoDriveLetter: true, Passthru: true, ...(forWriting ? {} : { ReadOnly: true }) },
      select: ['DiskNumber'],
    };
    const [row] = await whileHeld(this.#fabric, () => this.#fabric.rows(host, [mount], call, ATTACH_MS), call);
    if (!row)
      throw new DrError('PROTOCOL_ERROR', `${host} has attached ${path} and does not say as what`, { context: { path, name: host } });
    const disk = number(row, 'DiskNumber');
    if (forWriting) await this.#makeWritable(host, path, disk, call);
    return disk;
  }

  /** Windows lets nobody write where a volume is mounted; offline there are none. */
  async #makeWritable(host: string, path: string, disk: number, call: Call): Promise<void> {
    const steps: Step[] = [
      { cmdlet: 'Set-Disk', params: { Number: disk, IsOffline: true } },
      { cmdlet: 'Set-Disk', params: { Number: disk, IsReadOnly: false } },
    ];
    try {
      await this.#fabric.run(host, steps, call);
    } catch (error) {
      await this.#fabric.run(host, [{ cmdlet: 'Dismount-VHD', params: { Path: path } }], cleanCall(call)).catch(() => undefined);
      throw error;
    }
  }

  /**
   * What the host says counts: after its restart nothing is attached, and the number is another disk's, perhaps. What is attached and not known here
   * is of a process that is gone: two processes never work on one machine.
   */
  async #stillAttached({ host, path }: Pick<DiskFile, 'host' | 'path'>, call: Call): Promise<Attachment | undefined> {
    const key = keyOf(host, path);
    const known = this.#underWay.attached.get(key);
    const [row] = await this.#fabric.rows(host, attachedSteps(path), call);
    const isThere = row !== undefined && isAttached(row);
    if (known && isThere && maybeNumber(row, 'DiskNumber') === known.number) return known;
    this.#underWay.attached.delete(key);
    if (isThere) await this.#fabric.run(host, [{ cmdlet: 'Dismount-VHD', params: { Path: path } }], call);
    return undefined;
  }

  /** Of what was attached anew since, after a restart of the host, somebody else is the user. */
  #detach({ host, path }: Pick<DiskFile, 'host' | 'path'>, attachment: Attachment): Promise<void> {
    return this.#underWay.files.take(attachment.key, async () => {
      if (--attachment.users > 0 || this.#underWay.attached.get(attachment.key) !== attachment) return;
      this.#underWay.attached.delete(attachment.key);
      await this.#fabric.run(host, [{ cmdlet: 'Dismount-VHD', params: { Path: path } }], cleanCall()).catch((error: unknown) => {
        // The host has restarted, or the file is gone: attached by nobody.
        if (!isDrError(error, 'NOT_FOUND', 'CONNECTION_LOST', 'CONNECTION_REFUSED', 'STATE_CONFLICT')) throw error;
      });
    });
  }
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined };

/** Cleaning up goes on when the call that made the mess is over. */
const cleanCall = (call?: Call): Call => ({
  signal: new AbortController().signal,
  deadlineMs: CLEAN_MS,
  log: call?.log ?? SILENT,
  operationId: call?.operationId ?? 'clean',
});

const readerOf = (device: AgentDevice, close: () => Promise<void>): DiskReader => {
  let closed: Promise<void> | undefined;
  return {
    sizeBytes: device.sizeBytes,
    alignmentBytes: device.logicalSectorBytes,
    maxRequestBytes: device.maxRequestBytes,
    maxInFlight: device.maxInFlight,
    read: (offset, into, { signal }) => device.read(offset, into, { signal }),
    digests: async function* (blockBytes, from, { signal }) {
      for await (const digest of device.digests(blockBytes, from, { signal })) {
        signal.throwIfAborted();
        yield digest;
      }
      signal.throwIfAborted();
    },
    [Symbol.asyncDispose]: () => {
      closed ??= close();
      return closed;
    },
  };
};
