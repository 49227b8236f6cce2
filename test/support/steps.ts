// The engine dies at a chosen place of a job, and is back later.
import { ENDED } from '../../core/flow/flow.ts';
import { listJobs, listSteps } from '../../core/state/jobs.ts';
import type { CrashMoment } from './wires.ts';
import type { World } from './world.ts';

const isRecorded = async (world: World, step: RegExp): Promise<boolean> => {
  for (const { id } of await listJobs(world.store.db))
    if ((await listSteps(world.store.db, id)).some(({ name, state }) => state === 'Done' && step.test(name))) return true;
  return false;
};

/** Dies at one of the next calls of a plugin after such a step has been recorded. */
export const dieAfterStep = async (world: World, step: RegExp, work: () => Promise<unknown>): Promise<void> => {
  const { faults } = world;
  let recorded = false;
  faults.onEnter = (call) => {
    if (recorded && call.startsWith('plugin.')) faults.crashAt ??= faults.calls + 1;
  };
  const watch = async () => {
    while (!recorded && !faults.crashed) {
      recorded = await isRecorded(world, step);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const watching = watch();
  const { crashed } = await world.untilCrash(work());
  recorded = true;
  await watching;
  if (!crashed) throw new Error(`no engine died after ${step}`);
};

/** Dies just before it makes such a call, or when it is done and nobody has heard of it. */
export const dieAtCall = async (world: World, at: RegExp, work: () => Promise<unknown>, moment: CrashMoment = 'before'): Promise<void> => {
  const { faults } = world;
  faults.onEnter = (call) => {
    if (at.test(call)) faults.crashAt ??= faults.calls;
  };
  world.crashMoment = moment;
  const { crashed } = await world.untilCrash(work());
  world.crashMoment = 'after';
  if (!crashed) throw new Error(`no engine made a call like ${at}`);
};

/** A new engine takes up what the dead one had begun. */
export const goOn = async (world: World): Promise<void> => {
  await world.crashAndRestart();
  for (const { id, state } of await listJobs(world.store.db)) if (!ENDED.includes(state)) await world.engine.settled(id);
};
