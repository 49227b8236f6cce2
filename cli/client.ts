// How a command reaches an engine: the running one by its socket; for a look at the store none; else it becomes the engine for its own duration.
import { existsSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DrError, isDrError } from '../core/contract/index.ts';
import { socketPath } from '../core/engine/home.ts';
import type { JobRecord } from '../core/flow/flow.ts';

export interface Asked {
  readonly actor: string;
  readonly reason?: string | undefined;
}

export interface Client extends AsyncDisposable {
  /** `running`: another process is the engine. `own`: this one is. `store`: nobody is; the store is only looked at. */
  readonly engine: 'running' | 'own' | 'store';
  call(operation: string, input: unknown, asked: Asked): Promise<unknown>;
  /** Resolves when the job has ended, waits for a person, or its engine has stopped. */
  settled(jobId: string, signal: AbortSignal): Promise<JobRecord>;
  /** Ends the engine of this command at once, so that its job is left Interrupted. */
  stop(): Promise<void>;
}

/** Reads that need the state store only. */
export const STORE_READS: readonly string[] = [
  'site.list',
  'site.show',
  'endpoint.list',
  'endpoint.show',
  'map.list',
  'policy.list',
  'policy.show',
  'plan.list',
  'plan.show',
  'plan.validate',
  'rule.list',
  'group.list',
  'group.show',
  'status',
  'explain',
  'point.list',
  'point.show',
  'job.list',
  'job.show',
  'event.list',
  'audit.list',
  'audit.verify',
];

/** Reads that ask plugins or endpoints, or read journals at length: an engine makes them, but resumes nothing first. */
export const ENGINE_READS: readonly string[] = [
  'plugin.list',
  'plugin.show',
  'endpoint.check',
  'endpoint.identity',
  'map.suggest',
  'machine.list',
  'machine.show',
  'machine.assess',
  'rule.show',
  'point.verify',
];

export type Need = 'store' | 'engine' | 'change';
export const needOf = (operation: string): Need =>
  STORE_READS.includes(operation) ? 'store' : ENGINE_READS.includes(operation) ? 'engine' : 'change';

export interface ClientOptions {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly debug: boolean;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** An engine that starts listens soon, and most commands are over soon. */
const HELD_WAIT_MS = 5_000;
const HELD_POLL_MS = 100;

export const openClient = async (options: ClientOptions, need: Need): Promise<Client> => {
  const until = performance.now() + HELD_WAIT_MS;
  for (;;) {
    if (await engineListens(options.home)) return openRemote(options.home);
    if (need === 'store') return openReader(options);
    try {
      return await becomeEngine(options, need);
    } catch (error) {
      if (!isDrError(error, 'LOCKED_BY') || performance.now() > until) throw error;
      await sleep(HELD_POLL_MS, undefined, { signal: options.signal });
    }
  }
};

/** Somebody accepts connections at the home's socket. */
export const engineListens = (home: string): Promise<boolean> => {
  const path = socketPath(home);
  if (!existsSync(path)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connectSocket(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
};

const openRemote = async (home: string): Promise<Client> => {
  const { askEngine } = await import('../core/engine/socket.ts');
  const path = socketPath(home);
  const ask = (operation: string, input: unknown, asked: Asked, signal?: AbortSignal) =>
    askEngine(path, { operation, input, actor: asked.actor, ...(asked.reason ? { reason: asked.reason } : {}) }, signal);
  return {
    engine: 'running',
    call: (operation, input, asked) => ask(operation, input, asked),
    settled: async (id, signal) => (await ask('job.settled', { id }, { actor: 'local' }, signal)) as JobRecord,
    stop: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
};

const refuseToRun = (): never => {
  throw new DrError('INTERNAL', 'a look at the store was asked to do work');
};

const openReader = async (options: ClientOptions): Promise<Client> => {
  const { openReaderEngine } = await import('./reader.ts');
  const engine = await openReaderEngine(options.home);
  return {
    engine: 'store',
    call: (operation, input, asked) => engine.call(operation, input, { actor: asked.actor }),
    settled: refuseToRun,
    stop: refuseToRun,
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
};

const becomeEngine = async (options: ClientOptions, need: 'engine' | 'change'): Promise<Client> => {
  const { say } = options;
  const { composeEngine } = await import('./container.ts');
  const composed = await composeEngine(options);
  const { engine } = composed;
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    stopped ??= Promise.resolve(composed[Symbol.asyncDispose]());
    await stopped;
  };
  try {
    if (need === 'change') await goOn(composed, say, options.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    engine: 'own',
    call: (operation, input, asked) =>
      engine.call(operation, input, { actor: asked.actor, signal: options.signal, ...(asked.reason ? { reason: asked.reason } : {}) }),
    settled: (id) => engine.settled(id),
    stop,
    [Symbol.asyncDispose]: stop,
  };
};

type Composed = Awaited<ReturnType<typeof import('./container.ts')['composeEngine']>>;

/** Interrupted jobs go on first, and to their end: whatever comes next builds on what they leave. */
const goOn = async ({ engine }: Composed, say: (line: string) => void, signal: AbortSignal): Promise<void> => {
  const { resumed, readOnlyBecause } = await engine.start();
  if (readOnlyBecause) say(`read-only: ${readOnlyBecause}`);
  for (const id of resumed) {
    const job = (await engine.call('job.show', { id })) as JobRecord;
    say(`resuming ${job.verb} of ${job.target} (${id})`);
    const ended = await untilAborted(engine.settled(id), signal);
    say(`${ended.verb} of ${ended.target}: ${ended.state}`);
  }
};

export const untilAborted = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });

/** Nobody answers: there is no engine, or it has gone. */
export const isGone = (error: unknown): boolean => isDrError(error, 'CONNECTION_REFUSED', 'CONNECTION_LOST');
