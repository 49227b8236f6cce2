// Wraps the sessions that cases use: lets the lab's clock run while a call waits, keeps what is open or made, and looks at every error that passes.
import {
  type Call,
  CONTEXT_KEYS,
  DrError,
  ERRORS,
  type Fork,
  type ForkId,
  type Machine,
  type MachineId,
  METHODS,
  type Place,
  type Placed,
  type PlaceId,
  type Session,
  type Snapshot,
  type SnapshotId,
} from '../contract/index.ts';
import type { ConformanceLab } from './subject.ts';

const CALLS_KEPT = 4;
const QUIET_TURNS = 20;
const STEP_MS = 100;

/** What a case has made and not removed yet, and the handles it holds open. */
export class Made {
  readonly snapshots = new Set<SnapshotId>();
  readonly replicas = new Set<MachineId>();
  readonly forks = new Set<ForkId>();
  /** Machines that remained after a fork was promoted. */
  readonly promoted = new Set<MachineId>();
  readonly testNetworks = new Set<PlaceId>();
  readonly handles = new Set<AsyncDisposable>();
}

type Operation = (...args: unknown[]) => unknown;

export class Recorder {
  readonly made = new Made();
  readonly #lab: ConformanceLab | undefined;
  readonly #secrets: string[];
  #calls: string[] = [];
  #complaints: string[] = [];
  #until: AbortSignal | undefined;

  constructor(lab: ConformanceLab | undefined, secrets: readonly string[]) {
    this.#lab = lab;
    this.#secrets = [...secrets];
  }

  /** The last calls since the previous take, oldest first. */
  takeCalls(): string[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }

  get lastCall(): string {
    return this.#calls.at(-1) ?? 'its first call';
  }

  /** Errors that break the contract's rules about errors, and secrets that came out, since the previous take. */
  takeComplaints(): string[] {
    const complaints = this.#complaints;
    this.#complaints = [];
    return complaints;
  }

  watch(secret: string): void {
    this.#secrets.push(secret);
  }

  /** Everything that leaves the plugin as text goes through here. */
  inspectText(where: string, text: string): void {
    if (this.#secrets.some((secret) => text.includes(secret))) this.#complaints.push(`a secret of the configuration appears in ${where}`);
  }

  inspectError(where: string, error: unknown, call: Call | undefined): void {
    if (call?.signal.aborted && error === call.signal.reason) return;
    this.inspectText(`the error of ${where}`, textOf(error));
    for (const problem of errorProblems(error)) this.#complaints.push(`${where}: ${problem}`);
  }

  wrap(session: Session): Session {
    const { target } = session;
    return {
      capabilities: session.capabilities,
      inventory: this.#facet('inventory', session.inventory),
      ...(session.power && { power: this.#facet('power', session.power) }),
      ...(session.source && { source: this.#facet('source', session.source) }),
      ...(target && { target: { ...this.#facet('target', target), ...(target.forks && { forks: this.#facet('forks', target.forks) }) } }),
      ...(session.network && { network: this.#facet('network', session.network) }),
      ...(session.fence && { fence: this.#facet('fence', session.fence) }),
      ...(session.nativePair && { nativePair: this.#facet('nativePair', session.nativePair) }),
      check: this.#facet('session', { check: session.check.bind(session) }).check,
      [Symbol.asyncDispose]: () => this.drive(session[Symbol.asyncDispose]()),
    };
  }

  /** Until the signal aborts, the clock of the lab is driven for whoever waits. */
  begin(until: AbortSignal): void {
    this.#until = until;
  }

  /** Waits for the plugin while the estate's time goes on, so that what sleeps by a manual clock wakes up. */
  async drive<T>(pending: PromiseLike<T>): Promise<T> {
    const lab = this.#lab;
    const until = this.#until;
    if (!lab) return pending;
    let settled = false;
    const done = Promise.resolve(pending).finally(() => {
      settled = true;
    });
    done.catch(() => undefined);
    for (let turn = 0; !settled && !until?.aborted; turn += 1) {
      await Promise.race([done.then(noop, noop), nextTurn()]);
      if (!settled && turn >= QUIET_TURNS) await lab.advance(STEP_MS);
    }
    return done;
  }

  #facet<T extends object>(name: keyof typeof METHODS, facet: T): T {
    const methods: Record<string, { readonly shape: string }> = METHODS[name];
    const members = facet as Record<string, unknown>;
    const wrapped: Record<string, unknown> = {};
    for (const key of memberNames(facet)) {
      const member = members[key];
      const method = methods[key];
      if (typeof member !== 'function' || !method) {
        wrapped[key] = typeof member === 'function' ? member.bind(facet) : member;
        continue;
      }
      const run: Operation = (...args) => Reflect.apply(member, facet, args);
      const label = `${name}.${key}`;
      wrapped[key] = method.shape === 'stream' ? this.#stream(label, run) : this.#call(label, run, method.shape === 'open');
    }
    return wrapped as T;
  }

  #call(label: string, run: Operation, opens: boolean): Operation {
    return async (...args) => {
      this.#note(label, args);
      try {
        const result = await this.drive(Promise.resolve(run(...args)));
        this.#keep(label, args, result);
        return opens ? this.#handle(label, result as AsyncDisposable) : result;
      } catch (error) {
        this.inspectError(label, error, callOf(args));
        throw error;
      }
    };
  }

  #stream(label: string, run: Operation): Operation {
    return (...args) => {
      this.#note(label, args);
      const call = callOf(args);
      const inspected = async <T>(attempt: () => PromiseLike<T>): Promise<T> => {
        try {
          return await this.drive(attempt());
        } catch (error) {
          this.inspectError(label, error, call);
          throw error;
        }
      };
      return {
        [Symbol.asyncIterator]: () => {
          const inner = (run(...args) as AsyncIterable<unknown>)[Symbol.asyncIterator]();
          const end = async (value?: unknown): Promise<IteratorResult<unknown>> => {
            this.made.handles.delete(left);
            return inner.return ? inspected(() => inner.return!(value)) : { done: true, value };
          };
          // A case that fails leaves its streams where they are, and a capture its machine frozen.
          const left: AsyncDisposable = { [Symbol.asyncDispose]: async () => void (await end()) };
          const next = async () => {
            this.made.handles.add(left);
            let done = true;
            try {
              const result = await inspected(() => inner.next());
              done = result.done === true;
              return result;
            } finally {
              if (done) this.made.handles.delete(left);
            }
          };
          return { next, return: end };
        },
      };
    };
  }

  #handle(label: string, handle: AsyncDisposable): AsyncDisposable {
    const disk = this.#facet('disk', this.#facet('reader', handle));
    const wrapped: AsyncDisposable = Object.assign(disk, {
      [Symbol.asyncDispose]: async () => {
        this.made.handles.delete(wrapped);
        this.#note(`${label}.close`, []);
        await this.drive(handle[Symbol.asyncDispose]());
      },
    });
    this.made.handles.add(wrapped);
    return wrapped;
  }

  #note(label: string, args: readonly unknown[]): void {
    const shown = args.slice(0, -1).map(showArgument).join(', ');
    this.#calls = [...this.#calls.slice(1 - CALLS_KEPT), `${label}(${shown})`];
  }

  #keep(label: string, args: readonly unknown[], result: unknown): void {
    const { made } = this;
    const keep: Readonly<Record<string, () => unknown>> = {
      'source.createSnapshot': () => made.snapshots.add((result as Snapshot).id),
      'source.releaseSnapshot': () => made.snapshots.delete(args[0] as SnapshotId),
      'target.createReplica': () => made.replicas.add((result as Placed).machine.id),
      'target.deleteReplica': () => made.replicas.delete(args[0] as MachineId),
      'forks.create': () => made.forks.add((result as Fork).id),
      'forks.discard': () => made.forks.delete(args[0] as ForkId),
      'forks.promote': () => {
        made.forks.delete(args[0] as ForkId);
        made.promoted.add((result as Machine).id);
        made.replicas.delete((result as Machine).id);
      },
      'network.createTestNetwork': () => made.testNetworks.add((result as Place).id),
      'network.deleteTestNetwork': () => made.testNetworks.delete(args[0] as PlaceId),
    };
    keep[label]?.();
  }
}

const noop = () => undefined;
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const callOf = (args: readonly unknown[]): Call | undefined => {
  const last = args.at(-1);
  return typeof last === 'object' && last !== null && 'signal' in last ? (last as Call) : undefined;
};

/** Own and inherited: a facet may be a class. */
const memberNames = (facet: object): Set<string> => {
  const names = new Set<string>();
  for (let at: object = facet; at !== Object.prototype && at !== null; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) if (name !== 'constructor') names.add(name);
  }
  return names;
};

const showArgument = (value: unknown): string => {
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  return typeof value === 'object' && value !== null ? '{...}' : String(value);
};

const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const more = error instanceof DrError ? `${error.hint} ${JSON.stringify(error.context)}` : '';
  return `${error.message} ${error.stack ?? ''} ${more} ${error.cause === undefined ? '' : textOf(error.cause)}`;
};

const errorProblems = (error: unknown): string[] => {
  if (!(error instanceof DrError)) return [`rejected with ${error instanceof Error ? error.name : typeof error}, not with a DrError`];
  const problems: string[] = [];
  if (!Object.hasOwn(ERRORS, error.code)) problems.push(`the code ${String(error.code)} is not in the table`);
  if (error.message === '' || error.message.endsWith('.'))
    problems.push(`the message ${JSON.stringify(error.message)} is empty or ends in a full stop`);
  if (error.code === 'INTERNAL') problems.push(`rejected with INTERNAL: ${error.message}`);
  const strange = Object.keys(error.context).filter((key) => !(CONTEXT_KEYS as readonly string[]).includes(key));
  if (strange.length > 0) problems.push(`the context has keys that are not listed: ${strange.join(', ')}`);
  return problems;
};
