import { asDrError, DrError } from '../../core/contract/index.ts';
import type { Estate } from './estate.ts';
import { Faults } from './faults.ts';
import { control } from './operations/control.ts';
import { disk } from './operations/disk.ts';
import { forks } from './operations/forks.ts';
import type { Context } from './operations/handlers.ts';
import { inventory } from './operations/inventory.ts';
import { network } from './operations/network.ts';
import { source } from './operations/source.ts';
import { stream } from './operations/stream.ts';
import { target } from './operations/target.ts';
import type { EstateArgs, EstateMethod, EstateResult, FaultAct, Lie } from './port.ts';

/** One client of the estate: which endpoints accepted its credential, and whether its wire is still there. */
export interface Connection {
  readonly accepted: Set<string>;
  cut: boolean;
  /** Told when the wire is cut from the other side. */
  readonly onCut?: () => void;
}

type Handler = (context: Context, args: object) => object | Promise<object>;

/** The way of every call into the estate, the same in process and over the socket: reachability, credential, faults, then the operation. */
export class Dispatcher {
  readonly estate: Estate;
  readonly #handlers: Readonly<Record<EstateMethod, Handler>>;
  readonly #faults = new Faults();
  readonly #msPerCall: number;
  readonly #connections = new Set<Connection>();

  /** `msPerCall`: what a call costs on a manual clock, so that guests go on writing while an engine works. */
  constructor(estate: Estate, msPerCall: number) {
    this.estate = estate;
    this.#msPerCall = estate.timeline.mode === 'real' ? 0 : msPerCall;
    const all = {
      ...inventory,
      ...source,
      ...stream,
      ...target,
      ...forks,
      ...disk,
      ...network,
      ...control(this.#faults, (endpoint) => this.#cutAll(endpoint)),
    };
    this.#handlers = all as unknown as Readonly<Record<EstateMethod, Handler>>;
  }

  connect(onCut?: () => void): Connection {
    const connection: Connection = { accepted: new Set(), cut: false, ...(onCut ? { onCut } : {}) };
    this.#connections.add(connection);
    return connection;
  }

  disconnect(connection: Connection): void {
    connection.cut = true;
    this.#connections.delete(connection);
  }

  async call<M extends EstateMethod>(
    connection: Connection,
    method: M,
    args: EstateArgs<M>,
    signal?: AbortSignal,
  ): Promise<EstateResult<M>> {
    signal?.throwIfAborted();
    this.estate.timeline.noteActivity();
    const handler = this.#handlers[method];
    if (!handler) throw new DrError('PROTOCOL_ERROR', `the lab has no method ${JSON.stringify(method)}`, { context: { method } });
    if (connection.cut) throw lost(method);
    try {
      return (await this.#run(connection, method, handler, args, signal)) as EstateResult<M>;
    } catch (error) {
      signal?.throwIfAborted();
      throw translate(error);
    }
  }

  async #run(connection: Connection, method: EstateMethod, handler: Handler, args: object, signal?: AbortSignal): Promise<object> {
    if (method.startsWith('lab.')) return handler({ estate: this.estate, lies: new Set(), signal }, args);
    if (this.#msPerCall > 0) this.estate.timeline.advance(this.#msPerCall);
    return this.#vendorCall(connection, method, args as { endpoint: string }, handler, signal);
  }

  async #vendorCall(
    connection: Connection,
    method: string,
    args: { endpoint: string },
    handler: Handler,
    signal?: AbortSignal,
  ): Promise<object> {
    this.#assertReachable(args.endpoint);
    this.#assertAccepted(connection, method, args.endpoint);
    const acts = this.#faults.match(method, args, this.estate.random);
    for (const act of acts) await this.#before(connection, method, args.endpoint, act, signal);
    const lies = new Set<Lie>(acts.flatMap((act) => ('lie' in act ? [act.lie] : [])));
    const result = await handler({ estate: this.estate, lies, signal }, args);
    if (method === 'session.open') connection.accepted.add(args.endpoint);
    if (connection.cut) throw lost(method);
    for (const act of acts) this.#after(connection, method, args.endpoint, act);
    return result;
  }

  #assertReachable(name: string): void {
    const { site } = this.estate.endpoint(name);
    const { burned, linkCut } = this.estate.sites.get(site)!;
    if (!burned && !linkCut) return;
    throw new DrError('CONNECTION_REFUSED', `endpoint ${name} does not answer`, { context: { endpoint: name, site } });
  }

  #assertAccepted(connection: Connection, method: string, name: string): void {
    if (method === 'session.open' || this.estate.endpoint(name).password === undefined || connection.accepted.has(name)) return;
    throw new DrError('AUTH_REJECTED', `nobody has logged in at endpoint ${name} on this connection`, { context: { endpoint: name } });
  }

  async #before(connection: Connection, method: string, endpoint: string, act: FaultAct, signal?: AbortSignal): Promise<void> {
    if ('delayMs' in act) await this.estate.timeline.sleep(act.delayMs, signal);
    else if ('error' in act)
      throw new DrError(act.error, act.message ?? `${method} fails because a fault was asked for`, { context: { endpoint, method } });
    else if ('crash' in act && act.crash === 'before') this.#crash(connection, method, endpoint);
    else if ('cut' in act && act.cut === 'before') this.#cut(connection, method);
  }

  #after(connection: Connection, method: string, endpoint: string, act: FaultAct): void {
    if ('crash' in act && act.crash === 'after') this.#crash(connection, method, endpoint);
    else if ('cut' in act && act.cut === 'after') this.#cut(connection, method);
  }

  #crash(connection: Connection, method: string, endpoint: string): never {
    for (const machine of this.estate.machines.values()) if (machine.endpoint === endpoint) this.estate.powerOff(machine, true);
    return this.#cut(connection, method);
  }

  #cut(connection: Connection, method: string): never {
    this.#drop(connection);
    throw lost(method);
  }

  #drop(connection: Connection): void {
    this.disconnect(connection);
    connection.onCut?.();
  }

  #cutAll(endpoint: string | undefined): void {
    for (const connection of this.#connections) {
      if (endpoint === undefined ? connection.accepted.size > 0 : connection.accepted.has(endpoint)) this.#drop(connection);
    }
  }
}

/** The files under the disks can fail too. */
const translate = (error: unknown): DrError => {
  if ((error as NodeJS.ErrnoException | undefined)?.code !== 'ENOSPC') return asDrError(error);
  return new DrError('TARGET_FULL', 'the file system that the lab keeps its disks on is full', { cause: error });
};

export const lost = (method: string): DrError =>
  new DrError('CONNECTION_LOST', `the connection to the lab was lost during ${method}`, { context: { method } });
