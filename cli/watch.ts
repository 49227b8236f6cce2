// What is watched: polls the store or the running engine, so that it works whoever makes the changes.
import { setTimeout as sleep } from 'node:timers/promises';
import { DrError, EXIT, type ExitCode } from '../core/contract/index.ts';
import { ENDED, type JobRecord } from '../core/flow/flow.ts';
import type { Row } from '../core/state/schema.ts';
import type { Cli } from './cli.ts';
import { eventColumns } from './commands/event.ts';
import { exitOf, Progress, showEnd } from './follow.ts';

const POLL_MS = 500;

/** True after the pause, false when the person has gone meanwhile. */
const pause = (signal: AbortSignal): Promise<boolean> =>
  sleep(POLL_MS, undefined, { signal }).then(
    () => true,
    () => false,
  );

export const watchEvents = async (cli: Cli, after?: number): Promise<ExitCode> => {
  const newest = async (): Promise<number> => (await cli.call<Row<'event'>[]>('event.list', { limit: 1 })).at(-1)?.seq ?? 0;
  let afterSeq = after ?? (await newest());
  do {
    const events = await cli.call<Row<'event'>[]>('event.list', { afterSeq, limit: 1_000 });
    for (const event of events) {
      if (cli.print.forPeople)
        cli.print.text(
          eventColumns
            .filter((column) => !column.wide)
            .map((column) => column.value(event) ?? '-')
            .join('  '),
        );
      else cli.print.line('Event', event);
      afterSeq = event.seq;
    }
  } while (await pause(cli.signal));
  return EXIT.interrupted;
};

/** A job of another process: looked at until it ends, or until nobody works on it any more. */
export const watchJob = async (cli: Cli, id: string): Promise<ExitCode> => {
  const progress = new Progress(cli, id);
  const stands = (job: JobRecord): boolean => ENDED.includes(job.state) || job.state === 'Waiting' || job.state === 'Interrupted';
  let job = await cli.call<JobRecord>('job.show', { id });
  if (!stands(job)) {
    progress.start();
    try {
      do job = await cli.call<JobRecord>('job.show', { id });
      while (!stands(job) && (await pause(cli.signal)));
    } finally {
      progress.stop();
    }
  }
  if (stands(job)) {
    await showEnd(cli, job);
    if (job.state === 'Interrupted' && !job.waitingFor)
      throw new DrError('STATE_CONFLICT', `job ${id} is Interrupted: nobody works on it`, {
        context: { job: id },
        hint: 'run warmsite serve, which goes on with it',
      });
    return exitOf(job);
  }
  cli.print.say(`job ${id} goes on; look at it again with: warmsite job watch ${id}`);
  return EXIT.interrupted;
};
