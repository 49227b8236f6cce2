import { DrError, type HostContext, type Manifest, type Session } from '../contract/index.ts';
import type { Runtime } from '../ports/runtime.ts';
import type { DiskSizes } from './answers.ts';
import { type CheckedConfig, revealConfig } from './config.ts';
import type { Deadlines } from './deadlines.ts';
import { guardSession } from './guard.ts';
import { type Guarded, GuardScope } from './guard-scope.ts';
import { Lifeline, onAbort } from './lifeline.ts';
import type { AnyPlugin } from './registry.ts';
import { Redactor } from './secret.ts';
import type { ResolveSecret } from './secrets.ts';

/** One session that was opened, until nobody uses it any more. */
export interface Live {
  readonly session: Session;
  readonly redactor: Redactor;
}

interface Tracked extends Live {
  /** Calls, streams and handles that are open on it. */
  users: number;
  /** No longer given out: it is closed when its last user leaves, or when the grace is over. */
  retired: boolean;
  readonly cutOff: { atMs: number; readonly expire: () => void };
}

export interface ConnectionOptions {
  readonly endpoint: string;
  readonly plugin: AnyPlugin;
  readonly config: CheckedConfig;
  readonly context: HostContext;
  readonly runtime: Runtime;
  readonly deadlines: Deadlines;
  readonly resolveSecret: ResolveSecret;
  readonly connectDeadlineMs: number;
}

/** How long users of a session that was given up may go on with it: a fault of one machine's host does not cut the readers of all others. */
const GRACE_MS = 30_000;

/** The session of one endpoint: opened when it is needed, by one attempt for all who wait, and opened anew after it was lost. */
export class Connection {
  readonly #of: ConnectionOptions;
  readonly #sizes: DiskSizes = new Map();
  readonly #lifeline = new Lifeline();
  readonly #closing = new AbortController();
  readonly #retiring = new Set<Promise<void>>();
  readonly #all = new Set<Tracked>();
  #current: Tracked | undefined;
  #connecting: Promise<Tracked> | undefined;
  #usedAtMs: number;

  constructor(options: ConnectionOptions) {
    this.#of = options;
    this.#usedAtMs = options.runtime.clock.now();
  }

  get current(): Live | undefined {
    return this.#current;
  }

  /** The session, opened if there is none. Whoever enters leaves again. */
  async enter(signal?: AbortSignal): Promise<Live> {
    if (this.#lifeline.endedBy !== undefined) throw this.#lifeline.endedBy;
    let live = this.#current;
    while (live === undefined || live.retired) {
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = undefined;
      });
      live = await this.#lifeline.race(this.#connecting, signal);
    }
    live.users++;
    return live;
  }

  /** Once more, for whom something stays open. */
  hold(live: Live): void {
    (live as Tracked).users++;
  }

  leave(live: Live): void {
    const tracked = live as Tracked;
    tracked.users--;
    this.#usedAtMs = this.#of.runtime.clock.now();
    if (tracked.retired && tracked.users === 0) this.#dispose(tracked);
  }

  /** The session is of no more use: the next to enter opens another one. */
  lost(live: Live): void {
    if (this.#current === live) this.#retire(this.#current);
  }

  /** Closes the session when nothing was open on it for so long; says whether it did. */
  closeIdle(idleMs: number): boolean {
    const live = this.#current;
    if (live === undefined || live.users > 0 || this.#of.runtime.clock.now() - this.#usedAtMs < idleMs) return false;
    this.#retire(live);
    return true;
  }

  /** Ends everything; resolves when the plugin has closed what it had. */
  async close(reason: DrError): Promise<void> {
    this.#lifeline.end(reason);
    this.#closing.abort(reason);
    await this.#connecting?.catch(() => {});
    for (const live of this.#all) {
      live.retired = true;
      this.#dispose(live);
    }
    this.#current = undefined;
    await Promise.all(this.#retiring);
  }

  #retire(live: Tracked): void {
    this.#current = undefined;
    live.retired = true;
    if (live.users === 0) this.#dispose(live);
    else {
      live.cutOff.atMs = this.#of.runtime.clock.now() + GRACE_MS;
      this.#of.deadlines.arm(live.cutOff);
    }
  }

  #dispose(live: Tracked): void {
    if (!this.#all.delete(live)) return;
    const { deadlines, endpoint, runtime } = this.#of;
    deadlines.disarm(live.cutOff);
    const done: Promise<void> = Promise.resolve(live.session[Symbol.asyncDispose]()).then(
      () => void this.#retiring.delete(done),
      (error: DrError) => {
        this.#retiring.delete(done);
        runtime.log.warn('a session did not close cleanly', { endpoint, error: error.message });
      },
    );
    this.#retiring.add(done);
  }

  async #connect(): Promise<Tracked> {
    const { endpoint, plugin, config, deadlines, resolveSecret, connectDeadlineMs, runtime } = this.#of;
    const controller = new AbortController();
    const unlisten = onAbort(this.#closing.signal, () => controller.abort(this.#closing.signal.reason));
    const deadline = {
      atMs: runtime.clock.now() + connectDeadlineMs,
      expire: () => controller.abort(this.#lateError()),
    };
    deadlines.arm(deadline);
    try {
      const { config: revealed, secrets } = await this.#lifeline.race(revealConfig(config, resolveSecret), controller.signal);
      const redactor = new Redactor(secrets);
      const guarded: Guarded = { endpoint, manifest: plugin.manifest, redactor, sizes: this.#sizes };
      const session = await this.#connectPlugin(guarded, revealed, controller.signal);
      const live: Tracked = { session, redactor, users: 0, retired: false, cutOff: { atMs: 0, expire: () => this.#dispose(live) } };
      this.#all.add(live);
      this.#current = live;
      return live;
    } finally {
      deadlines.disarm(deadline);
      unlisten();
    }
  }

  async #connectPlugin(guarded: Guarded, config: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Session> {
    const { plugin, context, runtime, connectDeadlineMs } = this.#of;
    const { manifest, redactor } = guarded;
    const scope = new GuardScope(guarded, { sizes: guarded.sizes, capabilities: manifest.capabilities });
    const call = { signal, deadlineMs: connectDeadlineMs, log: redactor.log(runtime.log), operationId: runtime.newId('op') };
    const abandon = (session: Session): void => {
      scope.finish('close', () => session?.[Symbol.asyncDispose]?.()).catch(() => {});
    };
    const session = await scope.run('connect', signal, () => plugin.connect(config as never, context, call), abandon);
    try {
      return guardSession(session, guarded);
    } catch (error) {
      abandon(session);
      throw error;
    }
  }

  #lateError(): DrError {
    const { endpoint, plugin, connectDeadlineMs } = this.#of;
    const manifest: Manifest = plugin.manifest;
    return new DrError('TIMED_OUT', `endpoint ${endpoint} opened no session within ${connectDeadlineMs / 1000} s`, {
      context: { endpoint, plugin: manifest.id, method: 'connect', deadlineMs: connectDeadlineMs },
    });
  }
}
