// Two hosts that replicate a machine by themselves, seen by whoever needs no host's answer: what a script does around verbs and asks after them.
import type { World } from '../world.ts';

export const MACHINE = 'crm';
export const HOUR_MS = 3_600_000;
export const POLICY = { name: 'hosts', method: 'native', rpoSeconds: 900, native: { frequencySeconds: 30, points: 4 } };

/** Endpoints: the machine is at home at the first. */
export type Home = 'hv-a' | 'hv-b';
export const HOMES: readonly Home[] = ['hv-a', 'hv-b'];
export const otherOf = (home: Home): Home => (home === 'hv-a' ? 'hv-b' : 'hv-a');

export interface Pair {
  /** The guest writes; one that is off does not. */
  write(at: Home): Promise<void>;
  /** The host loses its power, and nobody reaches it. */
  lose(at: Home): Promise<void>;
  /** Where the machine is on. */
  running(): readonly Home[];
  /** Two of them in production, at any time until now. */
  violations(): readonly string[];
  holds(at: Home): boolean;
  isPaired(at: Home): boolean;
  /** What the machine had written last at `from`, or a state of one instant, is not at the other end. */
  behind(from: Home): Promise<string | undefined>;
  /** The machine was not started at `at` from what it held at that instant at the other end, `final`: from all that it ever held there. */
  startedWrong(at: Home, takenAt: string, final: boolean): Promise<string | undefined>;
  /** Of tests and failovers that are over. */
  leftovers(): readonly string[];
}

const PAIRS = new WeakMap<World, Pair>();

export const putPair = (world: World, pair: Pair): void => void PAIRS.set(world, pair);

export const pairOf = (world: World): Pair => {
  const pair = PAIRS.get(world);
  if (!pair) throw new Error('this world has no hosts that replicate by themselves');
  return pair;
};
