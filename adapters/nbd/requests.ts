import type { Socket } from 'node:net';
import type { DrError } from '../../core/contract/errors.ts';
import type { NbdExtent } from './port.ts';
import { type CommandName, encodeRequest, serverError } from './protocol.ts';
import type { Pending } from './replies.ts';

export interface Request {
  readonly command: CommandName;
  readonly offset: number;
  readonly length: number;
  /** Of a write. */
  readonly data?: Uint8Array;
  /** Of a read. */
  readonly into?: Uint8Array;
}

/** `handing`: the kernel has not taken all bytes of `data` yet, so that they must not change. */
type Phase = 'queued' | 'handing' | 'sent';

interface Entry extends Pending {
  readonly data: Uint8Array | undefined;
  phase: Phase;
  /** Its caller has gone, for this reason. */
  abandoned?: { readonly because: unknown };
  giveUp?: NodeJS.Timeout;
  settle(error?: unknown): void;
}

/** How long an aborted write may keep its caller waiting because the server takes no bytes. Then the connection is given up. */
const HANDING_GRACE_MS = 1000;

const changes = ({ command }: Entry): boolean => command === 'write' || command === 'writeZeroes';

/**
 * The requests of one connection: sent in order, at most `maxInFlight` with the server, answered in any order.
 * An aborted one stays in the books until the server has answered it, so that the stream stays in step; nothing reaches its caller.
 */
export class Requests {
  readonly pending = new Map<number, Entry>();
  readonly #socket: Socket;
  readonly #maxInFlight: number;
  readonly #giveUp: () => void;
  readonly #queue: Entry[] = [];
  readonly #whenIdle: (() => void)[] = [];
  #count = 0;
  #handing = false;
  /** Aborted writes that may still take effect. A later write waits for them, or else an older one could overwrite it. */
  #abandonedWrites = 0;
  #lost: DrError | undefined;

  /** `giveUp` closes the socket, because the server does not take what was begun to be sent. */
  constructor(socket: Socket, maxInFlight: number, giveUp: () => void) {
    this.#socket = socket;
    this.#maxInFlight = maxInFlight;
    this.#giveUp = giveUp;
  }

  /** Resolves with the extents of a blockStatus, and with none for the others. */
  send(request: Request, signal: AbortSignal | undefined): Promise<readonly NbdExtent[]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#lost) return reject(this.#lost);
      const onAbort = () => this.#abandon(entry, signal?.reason);
      const entry: Entry = {
        command: request.command,
        offset: request.offset,
        length: request.length,
        data: request.data,
        into: request.into,
        phase: 'queued',
        settle: (error) => {
          signal?.removeEventListener('abort', onAbort);
          if (entry.abandoned) reject(entry.abandoned.because);
          else if (error !== undefined) reject(error);
          else resolve(entry.extents ?? []);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(entry);
      this.#pump();
    });
  }

  /** The parser has all of an answer. */
  answered(handle: number): void {
    const entry = this.pending.get(handle)!;
    this.pending.delete(handle);
    if (entry.abandoned && changes(entry)) this.#abandonedWrites--;
    const { errno, command, length, offset } = entry;
    const what = command === 'flush' ? 'flush' : `${command} of ${length} bytes at ${offset}`;
    entry.settle(errno === undefined ? undefined : serverError(errno, what, { offset, length }));
    this.#pump();
    if (this.pending.size === 0) for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** The socket is closed, so nobody reads or writes the callers' buffers any more. */
  lose(error: DrError): void {
    this.#lost = error;
    for (const entry of [...this.pending.values(), ...this.#queue.splice(0)]) entry.settle(error);
    this.pending.clear();
    for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** Sends nothing more; resolves when the server has answered everything that it got, aborted requests too. */
  async finish(error: DrError): Promise<void> {
    this.#lost ??= error;
    for (const entry of this.#queue.splice(0)) entry.settle(error);
    if (this.pending.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #pump(): void {
    while (!this.#handing && this.pending.size < this.#maxInFlight) {
      const entry = this.#queue[0];
      if (!entry || (this.#abandonedWrites > 0 && changes(entry))) return;
      this.#queue.shift();
      this.#transmit(entry);
    }
  }

  #transmit(entry: Entry): void {
    const handle = ++this.#count;
    const { command, offset, length, data } = entry;
    this.pending.set(handle, entry);
    const header = encodeRequest({ command, handle, offset, length });
    if (!data) {
      entry.phase = 'sent';
      this.#socket.write(header);
      return;
    }
    entry.phase = 'handing';
    this.#handing = true;
    this.#socket.cork();
    this.#socket.write(header);
    this.#socket.write(data, () => this.#handedOver(entry));
    this.#socket.uncork();
  }

  #handedOver(entry: Entry): void {
    clearTimeout(entry.giveUp);
    entry.phase = 'sent';
    this.#handing = false;
    if (entry.abandoned) entry.settle();
    if (!this.#socket.destroyed) this.#pump();
  }

  #abandon(entry: Entry, because: unknown): void {
    entry.abandoned = { because };
    if (entry.phase === 'queued') {
      this.#queue.splice(this.#queue.indexOf(entry), 1);
      entry.settle();
      this.#pump();
      return;
    }
    if (changes(entry)) this.#abandonedWrites++;
    entry.into = undefined;
    if (entry.receiving) entry.receiving.into = undefined;
    if (entry.phase === 'sent') entry.settle();
    else entry.giveUp = setTimeout(this.#giveUp, HANDING_GRACE_MS);
  }
}
