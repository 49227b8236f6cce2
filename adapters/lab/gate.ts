// The way of every vendor-like call into the estate, by whichever wire it comes: reachability, faults, then the work, then what comes after it.
import { DrError } from '../../core/contract/index.ts';
import type { Estate } from './estate.ts';
import { Faults } from './faults.ts';
import type { FaultAct, InjectedError, Lie } from './model.ts';

/** One client of the estate: which endpoints accepted its credential, and whether its wire is still there. */
export interface Connection {
  readonly accepted: Set<string>;
  readonly cut: boolean;
  /** Aborts with CONNECTION_LOST when the wire is cut, or closed. */
  readonly ended: AbortSignal;
}

export interface GateCall {
  readonly connection: Connection;
  readonly method: string;
  readonly endpoint: string;
  /** What rules that name a machine look into. */
  readonly args: object;
  readonly signal?: AbortSignal | undefined;
  /** Asked once the endpoint is reachable. */
  readonly assertAllowed?: () => void;
  /** The error that a rule asks for; a wire of a vendor answers with the vendor's. */
  readonly toError?: (act: InjectedError) => Error;
  /** The call only starts a task: what a rule asks of the task is left to the work. */
  readonly startsTask?: boolean;
}

/** What the rules ask of the work itself. */
export interface Asked {
  readonly lies: ReadonlySet<Lie>;
  /** The task that the call starts never ends. */
  readonly stall: boolean;
  /** The task that the call starts ends with it. */
  readonly taskError?: InjectedError;
  /** Everything that was asked for, for what only one vendor's wire knows. */
  readonly acts: readonly FaultAct[];
}

export class Gate {
  readonly estate: Estate;
  readonly faults = new Faults();
  readonly #msPerCall: number;
  readonly #connections = new Map<Connection, { readonly end: AbortController; readonly onCut: (() => void) | undefined }>();

  /** `msPerCall`: what a call costs on a manual clock, so that guests go on writing while an engine works. */
  constructor(estate: Estate, msPerCall: number) {
    this.estate = estate;
    this.#msPerCall = estate.timeline.mode === 'real' ? 0 : msPerCall;
  }

  /** `onCut` is told when the wire is cut from the other side. */
  connect(onCut?: () => void, accepted: Iterable<string> = []): Connection {
    const end = new AbortController();
    const connection: Connection = {
      accepted: new Set(accepted),
      ended: end.signal,
      get cut() {
        return end.signal.aborted;
      },
    };
    this.#connections.set(connection, { end, onCut });
    return connection;
  }

  disconnect(connection: Connection): void {
    this.#connections.get(connection)?.end.abort(CLOSED);
    this.#connections.delete(connection);
  }

  /** Drops every connection that was accepted at the endpoint, or at any. */
  cutAll(endpoint: string | undefined): void {
    for (const connection of this.#connections.keys()) {
      if (endpoint === undefined ? connection.accepted.size > 0 : connection.accepted.has(endpoint)) this.drop(connection);
    }
  }

  async pass<T>(call: GateCall, work: (asked: Asked) => T | Promise<T>): Promise<T> {
    const { connection, method, endpoint } = call;
    if (this.#msPerCall > 0) this.estate.timeline.advance(this.#msPerCall);
    const silence = this.assertReachable(endpoint, call);
    if (silence) await silence;
    call.assertAllowed?.();
    const acts = this.faults.match(method, { ...call.args, endpoint }, this.estate.random);
    for (const act of acts) await this.#before(call, act);
    const result = await work(askedBy(acts));
    if (connection.cut) throw lost(method);
    for (const act of acts) this.#after(call, act);
    return result;
  }

  /**
   * Throws CONNECTION_REFUSED while the endpoint's site has burned or its link is cut. Where that is silent it gives what is then waited for, which
   * ends with the connection or the call; where there is nothing to wait for, what follows is done at once.
   */
  assertReachable(name: string, { connection, signal }: Pick<GateCall, 'connection' | 'signal'>): Promise<never> | undefined {
    const { site } = this.estate.endpoint(name);
    const { burned, linkCut } = this.estate.sites.get(site)!;
    if (!burned && !linkCut) return undefined;
    if (linkCut === 'silent') return never(connection.ended, signal);
    throw new DrError('CONNECTION_REFUSED', `endpoint ${name} does not answer`, { context: { endpoint: name, site } });
  }

  async #before(call: GateCall, act: FaultAct): Promise<void> {
    if ('delayMs' in act) await this.estate.timeline.sleep(act.delayMs, call.signal);
    else if (isError(act) && !act.inTask) throw (call.toError ?? plainError(call))(act);
    else if ('stall' in act && !call.startsTask) await never(call.connection.ended, call.signal);
    else if ('crash' in act && act.crash === 'before') this.#crash(call);
    else if ('cut' in act && act.cut === 'before') this.#cut(call);
  }

  #after(call: GateCall, act: FaultAct): void {
    if ('crash' in act && act.crash === 'after') this.#crash(call);
    else if ('cut' in act && act.cut === 'after') this.#cut(call);
  }

  #crash(call: GateCall): never {
    for (const machine of this.estate.machines.values()) if (machine.endpoint === call.endpoint) this.estate.powerOff(machine, true);
    this.estate.changed.emit('powerCut', call.endpoint);
    return this.#cut(call);
  }

  #cut({ connection, method }: GateCall): never {
    this.drop(connection);
    throw lost(method);
  }

  /** Breaks one connection from this side. */
  drop(connection: Connection): void {
    const kept = this.#connections.get(connection);
    this.disconnect(connection);
    kept?.onCut?.();
  }
}

const isError = (act: FaultAct): act is InjectedError => 'error' in act || 'vimFault' in act;

const askedBy = (acts: readonly FaultAct[]): Asked => {
  const taskError = acts.find((act): act is InjectedError => isError(act) && act.inTask === true);
  return {
    lies: new Set(acts.flatMap((act) => ('lie' in act ? [act.lie] : []))),
    stall: acts.some((act) => 'stall' in act),
    ...(taskError ? { taskError } : {}),
    acts,
  };
};

const plainError =
  ({ endpoint, method }: GateCall) =>
  (act: InjectedError): Error =>
    new DrError('error' in act ? act.error : 'INTERNAL', act.message ?? `${method} fails because a fault was asked for`, {
      context: { endpoint, method },
    });

const never = (ended: AbortSignal, signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => {
    for (const one of [ended, signal]) {
      if (one?.aborted) reject(one.reason);
      else one?.addEventListener('abort', () => reject(one.reason), { once: true });
    }
  });

export const lost = (method: string): DrError =>
  new DrError('CONNECTION_LOST', `the connection to the lab was lost during ${method}`, { context: { method } });

/** Made once: a connection of each request of a wire ends with it, and an error takes its stack. */
const CLOSED = lost('the call');
