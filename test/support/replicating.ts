// Worlds in which the planner is at work.
import type { Planner } from '../../core/replication/planner.ts';
import { World } from './world.ts';

/** Seconds of the world, one after the other: what wakes in between does its work. */
export const seconds = async (world: World, count: number): Promise<void> => {
  for (let second = 0; second < count; second++) await world.runtime.clock.sleep(1_000);
};

/** These machines, each in a group of its own, with a cycle every five seconds. */
export const replicating = async (names: readonly string[]): Promise<{ readonly world: World; readonly planner: Planner }> => {
  const world = await World.create();
  await world.engine.call('policy.put', { name: 'tight', rpoSeconds: 30, intervalSeconds: 5 });
  for (const name of names) await world.protect([name], { policy: 'tight' });
  const planner = world.engine.startPlanner();
  await seconds(world, 10);
  return { world, planner };
};
