import { isDeepStrictEqual } from 'node:util';
import { DEADLINE_MS, type DeadlineClass, DrError, type Session } from '../contract/index.ts';
import type { Runtime } from '../ports/runtime.ts';
import { type EndpointConfig as ConfigOfEndpoint, checkConfig } from './config.ts';
import { Connection } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import { Pipeline, type RetryOptions } from './invoke.ts';
import type { Registry } from './registry.ts';
import type { TraceRecord } from './running.ts';
import type { ResolveSecret } from './secrets.ts';
import { mapSession, type SessionFacet } from './shape.ts';

export interface EndpointLimits {
  /** Calls at a time; 8 unless told. As many merges may run beside them. */
  readonly maxCalls?: number;
  /** Reads and writes at a time, over all open disks; 64 unless told. */
  readonly maxDataCalls?: number;
  /** Instead of DEADLINE_MS. */
  readonly deadlineMs?: Partial<Record<DeadlineClass, number>>;
}

export interface EndpointConfig extends ConfigOfEndpoint {
  readonly limits?: EndpointLimits;
}

/**
 * The endpoint as the engine sees it, for as long as it is open at the host: calls go to whatever session is the current one, which is opened anew when lost.
 * The facets are those of the first session; one that a later session lacks answers CAPABILITY_MISSING.
 * Open readers and disks belong to the session that gave them. A buffer whose read was aborted or timed out may still be written to by the plugin: drop it.
 */
export interface EndpointSession extends Session {
  readonly endpointId: string;
  /** Id of the plugin. */
  readonly plugin: string;
  /** Does nothing: the session is shared, and the host closes it. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Host extends AsyncDisposable {
  /** The same object for the same configuration; a changed configuration closes the old one. Throws CONFIG_INVALID, SECRET_MISSING, an Access or a Reach error. */
  open(endpoint: EndpointConfig): Promise<EndpointSession>;
  /** Opens a session beside the pool for as long as `use` takes: how an endpoint answers to a configuration. What is open there stays as it is. */
  probe<T>(endpoint: EndpointConfig, use: (session: EndpointSession) => Promise<T>): Promise<T>;
  /** Ends what is under way there and closes the session. Succeeds when it is not open. */
  close(endpointId: string): Promise<void>;
  /** The same without waiting, for an endpoint that is gone. */
  forget(endpointId: string): void;
  /** Closes the sessions on which nothing was open for `idleMs`; the next call opens one anew. Gives the ids of their endpoints. */
  sweepIdle(): readonly string[];
}

export interface HostOptions {
  readonly registry: Registry;
  readonly runtime: Runtime;
  readonly resolveSecret: ResolveSecret;
  /** This installation: plugins tag what they create with it. */
  readonly ownerId: string;
  readonly scratchDir: string;
  readonly trace?: (record: TraceRecord) => void;
  readonly idleMs?: number;
  readonly retry?: RetryOptions;
  /** In [0, 1); Math.random unless told. */
  readonly random?: () => number;
}

const MAX_CALLS = 8;
const MAX_DATA_CALLS = 64;
const IDLE_MS = 600_000;
const CLOSE_MS = 10_000;
const RETRY: RetryOptions = { attempts: 4, baseMs: 500, maxMs: 15_000 };

interface Entry {
  readonly endpoint: EndpointConfig;
  readonly connection: Connection;
  readonly pipeline: Pipeline;
  readonly session: Promise<EndpointSession>;
}

class PooledHost implements Host {
  readonly #of: HostOptions;
  readonly #deadlines: Deadlines;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;
  #probes = 0;

  constructor(options: HostOptions) {
    this.#of = options;
    this.#deadlines = new Deadlines(options.runtime.clock);
  }

  async open(endpoint: EndpointConfig): Promise<EndpointSession> {
    this.#assertOpen(endpoint);
    const known = this.#entries.get(endpoint.id);
    if (known !== undefined && isDeepStrictEqual(known.endpoint, endpoint)) return known.session;
    if (known !== undefined) this.forget(endpoint.id);
    const entry = this.#start(endpoint);
    this.#entries.set(endpoint.id, entry);
    try {
      return await entry.session;
    } catch (error) {
      if (this.#entries.get(endpoint.id) === entry) this.#entries.delete(endpoint.id);
      throw error;
    }
  }

  async probe<T>(endpoint: EndpointConfig, use: (session: EndpointSession) => Promise<T>): Promise<T> {
    this.#assertOpen(endpoint);
    const entry = this.#start(endpoint);
    // No endpoint has such an id. In the pool it is only to be closed with the host.
    const id = `${endpoint.id}\nprobe ${++this.#probes}`;
    this.#entries.set(id, entry);
    try {
      return await use(await entry.session);
    } finally {
      await this.close(id);
    }
  }

  async close(endpointId: string): Promise<void> {
    const entry = this.#entries.get(endpointId);
    this.#entries.delete(endpointId);
    if (entry !== undefined) await this.#end(entry);
  }

  forget(endpointId: string): void {
    // #end never rejects.
    void this.close(endpointId);
  }

  sweepIdle(): readonly string[] {
    const idleMs = this.#of.idleMs ?? IDLE_MS;
    return [...this.#entries.values()].filter(({ connection }) => connection.closeIdle(idleMs)).map(({ endpoint }) => endpoint.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const id of [...this.#entries.keys()]) this.forget(id);
    await Promise.all(this.#closing);
  }

  #assertOpen(endpoint: EndpointConfig): void {
    if (this.#closed) throw new DrError('STATE_CONFLICT', `endpoint ${endpoint.id} cannot be opened: the host is closed`);
  }

  #start(endpoint: EndpointConfig): Entry {
    const { registry, runtime, resolveSecret, ownerId, scratchDir, retry, random, trace } = this.#of;
    const plugin = registry.get(endpoint.plugin);
    const config = checkConfig(plugin.manifest, endpoint);
    const { limits = {} } = endpoint;
    const deadlineMs = { ...DEADLINE_MS, ...limits.deadlineMs };
    const connection = new Connection({
      endpoint: endpoint.id,
      plugin,
      config,
      context: { ownerId, scratchDir },
      runtime,
      deadlines: this.#deadlines,
      resolveSecret,
      connectDeadlineMs: deadlineMs.quick,
    });
    const pipeline = new Pipeline({
      endpoint: endpoint.id,
      plugin: plugin.manifest.id,
      clock: runtime.clock,
      log: runtime.log,
      deadlines: this.#deadlines,
      deadlineMs,
      connection,
      maxCalls: limits.maxCalls ?? MAX_CALLS,
      maxDataCalls: limits.maxDataCalls ?? MAX_DATA_CALLS,
      retry: retry ?? RETRY,
      random: random ?? Math.random,
      trace,
    });
    return { endpoint, connection, pipeline, session: this.#shape(endpoint, connection, pipeline) };
  }

  async #shape(endpoint: EndpointConfig, connection: Connection, pipeline: Pipeline): Promise<EndpointSession> {
    const first = await connection.enter();
    connection.leave(first);
    let { capabilities } = first.session;
    const shaped = mapSession(first.session, (facet, name, method) => pipeline.methodOf(facet as SessionFacet, name, method));
    const own = { endpointId: endpoint.id, plugin: endpoint.plugin, [Symbol.asyncDispose]: async () => {} };
    return Object.defineProperty({ ...shaped, ...own }, 'capabilities', {
      enumerable: true,
      get: () => {
        capabilities = connection.current?.session.capabilities ?? capabilities;
        return capabilities;
      },
    });
  }

  /** Bounded: a plugin that hangs in closing keeps nobody. */
  #end({ endpoint, connection, pipeline }: Entry): Promise<void> {
    const { clock, log } = this.#of.runtime;
    const reason = new DrError('STATE_CONFLICT', `endpoint ${endpoint.id} is closed`, {
      hint: 'open the endpoint again',
      context: { endpoint: endpoint.id, plugin: endpoint.plugin },
    });
    pipeline.stop(reason);
    const ended = new AbortController();
    const closed = connection.close(reason).finally(() => ended.abort());
    const bound = clock.sleep(CLOSE_MS, ended.signal).then(
      () => log.warn('an endpoint did not close in time', { endpoint: endpoint.id }),
      () => {},
    );
    const done: Promise<void> = Promise.race([closed, bound]).finally(() => this.#closing.delete(done));
    this.#closing.add(done);
    return done;
  }
}

export const createHost = (options: HostOptions): Host => new PooledHost(options);
