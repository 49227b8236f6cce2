// Files that are still open for a moment.
import { type Call, isDrError } from '../../core/contract/index.ts';
import type { Fabric } from './fabric.ts';

const HELD_MS = 15_000;
const FIRST_PAUSE_MS = 50;

/** A machine that was just turned off may hold its files a moment longer than its power. */
export const whileHeld = async <T>({ time }: Fabric, work: () => Promise<T>, call: Call): Promise<T> => {
  const untilMs = time.now() + HELD_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    try {
      return await work();
    } catch (error) {
      if (!isDrError(error, 'FILE_LOCKED') || time.now() + pauseMs > untilMs) throw error;
      await time.sleep(pauseMs, call.signal);
    }
  }
};
