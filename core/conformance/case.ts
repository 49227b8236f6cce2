import type { Machine, Session } from '../contract/index.ts';
import type { Context } from './context.ts';
import type { Subject } from './subject.ts';

/** 0 static, 1 read-only, 2 scratch machine, 3 target, 4 faults (lab only). */
export type Level = 0 | 1 | 2 | 3 | 4;
export const LEVELS: readonly Level[] = [0, 1, 2, 3, 4];

export interface Case {
  /** Stable for ever: the contract's page, variants and authors' notes cite it. */
  readonly id: string;
  readonly level: Level;
  readonly title: string;
  /** The sentence of the contract that this case proves. */
  readonly promise: string;
  /** What usually is wrong when it fails. */
  readonly cause: string;
  readonly needs: readonly Need[];
  run(ctx: Context): Promise<void>;
}

/** What is there to run cases on. `machines` are those of the subject's scratch, as first seen. */
export interface Ground {
  readonly subject: Subject;
  readonly session?: Session;
  readonly machines: readonly Machine[];
}

interface NeedRow {
  /** Why a case is skipped, as the report says it. */
  readonly absent: string;
  met(ground: Ground): boolean;
}

const capabilities = ({ session }: Ground) => session?.capabilities;
const pinField = ({ subject }: Ground) => subject.plugin.manifest.config.find((field) => field.type === 'pin');
const secretFields = ({ subject }: Ground) => subject.plugin.manifest.config.filter((field) => field.type === 'secret');

export const NEEDS = {
  lab: { absent: 'only a lab can do this, and none is given', met: (g) => g.subject.lab !== undefined },
  scratch: { absent: 'no scratch machine is given', met: (g) => g.machines.length > 0 },
  'scratch:two-machines': { absent: 'fewer than two scratch machines are given', met: (g) => g.machines.length > 1 },
  'scratch:two-disks': { absent: 'the scratch machine has fewer than two disks', met: (g) => (g.machines[0]?.spec.disks.length ?? 0) > 1 },
  'scratch:network': { absent: 'no scratch network is given', met: (g) => g.subject.scratch?.network !== undefined },
  unreachable: { absent: 'no unreachable configuration is given', met: (g) => g.subject.unreachable !== undefined },
  secret: { absent: 'the plugin has no secret in its configuration', met: (g) => secretFields(g).length > 0 },
  pin: { absent: 'the configuration names no pin', met: (g) => g.subject.config[pinField(g)?.name ?? ''] !== undefined },
  power: { absent: 'the session has no power facet', met: (g) => g.session?.power !== undefined },
  'power:on': { absent: 'the session cannot power on', met: (g) => capabilities(g)?.power.includes('on') ?? false },
  'power:off': { absent: 'the session cannot power off', met: (g) => capabilities(g)?.power.includes('off') ?? false },
  'power:shutdown': { absent: 'the session cannot shut guests down', met: (g) => capabilities(g)?.power.includes('shutdown') ?? false },
  watch: { absent: 'the inventory cannot be watched', met: (g) => g.session?.inventory.watch !== undefined },
  source: { absent: 'the session has no source facet', met: (g) => g.session?.source !== undefined },
  'source:snapshot': { absent: 'the session is no snapshot source', met: (g) => g.session?.source?.kind === 'snapshot' },
  'source:streaming': { absent: 'the session is no streaming source', met: (g) => g.session?.source?.kind === 'streaming' },
  'tracking:native': { absent: 'the session does not track changes', met: (g) => capabilities(g)?.tracking === 'native' },
  'atomicity:machine': { absent: 'one snapshot holds one disk only', met: (g) => (capabilities(g)?.atomicity ?? 'disk') !== 'disk' },
  'atomicity:group': { absent: 'one snapshot does not hold several machines', met: (g) => capabilities(g)?.atomicity === 'group' },
  finalFreeze: { absent: 'the source cannot stay frozen', met: (g) => capabilities(g)?.finalFreeze ?? false },
  survivesDisconnect: {
    absent: 'snapshots end with the connection here',
    met: (g) => capabilities(g)?.snapshotSurvivesDisconnect ?? false,
  },
  target: { absent: 'the session has no target facet', met: (g) => g.session?.target !== undefined },
  'target:create': { absent: 'the target only adopts', met: (g) => g.session?.target?.createReplica !== undefined },
  adopt: { absent: 'no machine to adopt is given', met: (g) => g.subject.scratch?.adopt !== undefined },
  replica: {
    absent: 'the target only adopts, and no machine to adopt is given',
    met: (g) => g.session?.target?.createReplica !== undefined || g.subject.scratch?.adopt !== undefined,
  },
  forks: { absent: 'the target has no forks', met: (g) => g.session?.target?.forks !== undefined },
  network: { absent: 'the session has no network facet', met: (g) => g.session?.network !== undefined },
  testNetwork: { absent: 'the endpoint makes no test networks', met: (g) => (capabilities(g)?.testNetwork ?? 'none') !== 'none' },
  nativePair: { absent: 'the session has no native pair', met: (g) => g.session?.nativePair !== undefined },
  pair: { absent: 'no second endpoint and machine to replicate is given', met: (g) => g.subject.pair !== undefined },
  fence: { absent: 'the session has no fence store', met: (g) => g.session?.fence !== undefined },
} as const satisfies Record<string, NeedRow>;

export type Need = keyof typeof NEEDS;

/** The first need that is not met, in words. */
export const missingNeed = (needs: readonly Need[], ground: Ground): string | undefined => {
  const need = needs.find((name) => !NEEDS[name].met(ground));
  return need && NEEDS[need].absent;
};
