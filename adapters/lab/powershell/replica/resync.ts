// Resynchronisation: both sides are compared, and what differs is sent.
import { invalidState } from '../failures.ts';
import type { At } from '../model.ts';
import type { Replicated } from './model.ts';
import { dropTransfer, startTransfer } from './seeding.ts';

/** AutoResynchronizeIntervalStart and -End, unless told: from half past six in the evening to six in the morning, by the host's clock. */
export const WINDOW = { startMs: 18.5 * 3_600_000, endMs: 6 * 3_600_000 } as const;
const DAY_MS = 24 * 3_600_000;

export const startResync = (at: At, machine: Replicated): void => {
  const { state } = machine.hv.replication;
  const may = ['WaitingForStartResynchronize', 'ResynchronizeSuspended', 'Replicating', 'Error', 'Suspended'].includes(state);
  if (!may) throw invalidState(`'${machine.name}' cannot be resynchronized in the state ${state}.`);
  dropTransfer(at, machine);
  delete machine.hv.replication.paused;
  startTransfer(at, machine, 'resync');
};

/** In its window only, where that is allowed. */
export const resyncByItself = (at: At, machine: Replicated): void => {
  const { settings } = machine.hv.replication;
  const timeOfDay = at.estate.timeline.now() % DAY_MS;
  if (settings.autoResync && (timeOfDay >= WINDOW.startMs || timeOfDay < WINDOW.endMs)) startResync(at, machine);
};
