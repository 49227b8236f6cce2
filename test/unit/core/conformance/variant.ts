// How a good plugin is broken: one promise at a time, by rewriting single methods of its session.
import type { ProfileName } from '../../../../adapters/lab/port.ts';
import type { Subject } from '../../../../core/conformance/index.ts';
import type {
  Call,
  DiskReader,
  FenceStore,
  Forks,
  Inventory,
  Network,
  Power,
  ReplicaDisk,
  Session,
  SnapshotSource,
  StreamingSource,
  Target,
} from '../../../../core/contract/index.ts';
import type { MemorySubject } from './memory-subject.ts';

export interface Variant {
  /** What the plugin does wrong. */
  readonly name: string;
  readonly profile: ProfileName;
  /** The cases that must fail. Others may. */
  readonly caughtBy: readonly string[];
  breaks(good: MemorySubject): Subject;
}

/** Rewrites of methods: each gets the good one, bound, and gives the bad one. */
export type Rewrites<T> = {
  readonly [K in keyof T]?: NonNullable<T[K]> extends (...args: infer A) => infer R
    ? (good: (...args: A) => R) => (...args: A) => R
    : never;
};

export const rewrite = <T extends object>(of: T, rewrites: Rewrites<T>): T => {
  const changed: Record<string, unknown> = {};
  for (const [key, change] of Object.entries(rewrites) as [keyof T & string, (good: unknown) => unknown][]) {
    const good = of[key];
    if (typeof good === 'function') changed[key] = change(good.bind(of));
  }
  return { ...of, ...changed };
};

export interface FacetRewrites {
  readonly session?: Rewrites<Pick<Session, 'check'>>;
  readonly inventory?: Rewrites<Inventory>;
  readonly power?: Rewrites<Power>;
  readonly snapshots?: Rewrites<SnapshotSource>;
  readonly streaming?: Rewrites<StreamingSource>;
  readonly target?: Rewrites<Target>;
  readonly forks?: Rewrites<Forks>;
  readonly network?: Rewrites<Network>;
  readonly fence?: Rewrites<FenceStore>;
  /** Of every snapshot, and of every replica and fork disk. */
  readonly reader?: Rewrites<DiskReader>;
  readonly disk?: Rewrites<ReplicaDisk>;
}

/** The session with some methods rewritten. */
export const alter = (session: Session, { session: own = {}, reader = {}, disk = {}, ...facets }: FacetRewrites): Session => {
  const { source, target } = session;
  const openDisk =
    <A extends unknown[]>(open: (...args: A) => Promise<ReplicaDisk>) =>
    async (...args: A) =>
      rewrite(await open(...args), disk);
  const openReader =
    (open: SnapshotSource['openReader']): SnapshotSource['openReader'] =>
    async (...args) =>
      rewrite(await open(...args), reader);
  const forks = target?.forks && rewrite(rewrite(target.forks, { openDisk }), facets.forks ?? {});
  return {
    ...session,
    ...(own.check && { check: own.check(session.check.bind(session)) }),
    inventory: rewrite(session.inventory, facets.inventory ?? {}),
    ...(session.power && { power: rewrite(session.power, facets.power ?? {}) }),
    ...(source?.kind === 'snapshot' && { source: rewrite(rewrite(source, { openReader }), facets.snapshots ?? {}) }),
    ...(source?.kind === 'streaming' && { source: rewrite(source, facets.streaming ?? {}) }),
    ...(target && { target: { ...rewrite(rewrite(target, { openReplicaDisk: openDisk }), facets.target ?? {}), ...(forks && { forks }) } }),
    ...(session.network && { network: rewrite(session.network, facets.network ?? {}) }),
    ...(session.fence && { fence: rewrite(session.fence, facets.fence ?? {}) }),
  };
};

type Change = (session: Session, number: number) => Session;

/** Changes every session of the plugin; `number` counts them from 1. */
export const sessions = (good: MemorySubject, change: Change): Subject => {
  const { subject } = good;
  let count = 0;
  return {
    ...subject,
    plugin: {
      ...subject.plugin,
      connect: async (...args) => {
        count += 1;
        return change(await subject.plugin.connect(...args), count);
      },
    },
  };
};

/** A variant by rewrites alone. They are made anew for each session, so that state in them is the session's. */
export const broken = (
  name: string,
  caughtBy: readonly string[],
  rewrites: (session: Session, number: number) => FacetRewrites,
  profile: ProfileName = 'hyperv',
): Variant => ({
  name,
  profile,
  caughtBy,
  breaks: (good) => sessions(good, (session, number) => alter(session, rewrites(session, number))),
});

/** The lab lies in the plugin's place. */
export const lying = (
  name: string,
  caughtBy: readonly string[],
  fault: { readonly method: string; readonly lie: 'skipDirtyRange' | 'halfData' | 'liveCopy' | 'noFlush' | 'resetBaseline' },
  profile: ProfileName = 'hyperv',
): Variant => ({
  name,
  profile,
  caughtBy,
  breaks: ({ subject, estate }) => {
    const rule = { method: fault.method, act: { lie: fault.lie } };
    return sessions({ subject, estate, [Symbol.asyncDispose]: async () => undefined }, (session) => {
      void estate.control.call('lab.addFault', { rule: { ...rule, id: 'lie' } });
      return session;
    });
  },
});

/** The same call, deaf to its signal. */
export const deaf = (call: Call): Call => ({ ...call, signal: new AbortController().signal });

/** Gives what the good stream gives, changed as a whole. */
export const restream = <T>(stream: AsyncIterable<T>, change: (items: T[]) => Iterable<T>): AsyncIterable<T> => {
  const run = async function* () {
    yield* change(await Array.fromAsync(stream));
  };
  return run();
};

/** Takes some errors for a normal end. */
export const endOn = <T>(stream: AsyncIterable<T>, when: (error: unknown) => boolean): AsyncIterable<T> => {
  const run = async function* () {
    try {
      yield* stream;
    } catch (error) {
      if (!when(error)) throw error;
    }
  };
  return run();
};

export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
