// A first copy that waits for its time.
import { asPsFailure } from '../failures.ts';
import type { At } from '../model.ts';
import { isStill } from './ends.ts';
import type { Replicated } from './model.ts';
import { startTransfer } from './seeding.ts';

export const planSeed = (at: At, machine: Replicated, atMs: number): void => {
  const { replication } = machine.hv;
  replication.seedAtMs = atMs;
  at.estate.touch(machine);
  at.estate.timeline.schedule(Math.max(0, atMs - at.estate.timeline.now()), () => {
    if (!isStill(at, machine, replication.relationship) || machine.hv.replication.seedAtMs !== atMs) return;
    try {
      if (machine.hv.replication.state === 'ReadyForInitialReplication') startTransfer(at, machine, 'initial');
    } catch (error) {
      if (!asPsFailure(error)) throw error;
    }
  });
};
