import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobRecord, StepRecord } from '../../core/flow/flow.ts';
import type { CommandSpec } from '../command.ts';
import { followJob, followStarted, JOB_OPTIONS } from '../follow.ts';
import { ageText, durationText, timeText, visible } from '../output/text.ts';
import { watchJob } from '../watch.ts';

type JobDetail = JobRecord & { readonly steps: readonly StepRecord[] };

const tookText = (job: Pick<JobRecord, 'createdAt' | 'endedAt'>): string =>
  job.endedAt ? durationText(Date.parse(job.endedAt) - Date.parse(job.createdAt)) : ageText(job.createdAt);

const STYLE = { Failed: 'red', Partial: 'yellow', Interrupted: 'yellow', Waiting: 'yellow', Succeeded: 'green' } as const;

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the jobs, newest first',
    options: [{ flags: '-n, --limit <n>', about: 'at most so many (default: 50)', kind: 'integer' }],
    examples: ['warmsite job list', 'warmsite job list -n 5 -o json'],
    run: async (cli, { options }) =>
      cli.print.list({
        kind: 'Job',
        rows: await cli.call<JobRecord[]>('job.list', options['limit'] === undefined ? {} : { limit: options['limit'] }),
        columns: [
          { title: 'started', value: (job) => timeText(job.createdAt) },
          { title: 'verb', value: (job) => job.verb },
          { title: 'target', value: (job) => job.target },
          { title: 'state', value: (job) => job.state, style: (job) => STYLE[job.state as keyof typeof STYLE] },
          { title: 'took', right: true, value: (job) => tookText(job) },
          { title: 'what', value: (job) => job.error?.message ?? (job.endedAt === undefined ? job.progress?.text : undefined) ?? '-' },
          { title: 'id', value: (job) => job.id },
          { title: 'by', wide: true, value: (job) => job.actor },
          { title: 'reason', wide: true, value: (job) => job.reason },
        ],
        name: (job) => job.id,
        empty: 'there was no job yet',
      }),
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one job with its steps',
    examples: ['warmsite job show job-0000000000abcdef'],
    run: async (cli, { args: [id = ''] }) => {
      const job = await cli.call<JobDetail>('job.show', { id });
      await cli.print.one({ kind: 'Job', data: job, name: id, text: jobText(job) });
    },
  },
  {
    name: 'watch',
    args: '<id>',
    about: 'Follow a job to its end; Ctrl-C ends the watching, not the job',
    examples: ['warmsite job watch job-0000000000abcdef', 'warmsite job watch job-0000000000abcdef -o jsonl'],
    run: async (cli, { args: [id = ''] }) => watchJob(cli, id),
  },
  {
    name: 'logs',
    args: '<id>',
    about: 'Show what the log has about a job, and its events',
    examples: ['warmsite job logs job-0000000000abcdef'],
    run: async (cli, { args: [id = ''] }) => {
      const job = await cli.call<JobDetail>('job.show', { id });
      const events = (
        await cli.call<{ at: string; level: string; message: string; jobId: string | null }[]>('event.list', { limit: 10_000 })
      ).filter((event) => event.jobId === id);
      const logged = readLog(join(cli.home, 'log', 'engine.log'), id);
      const rows = [
        ...events.map(({ at, level, message }) => ({ at, level, message })),
        ...job.steps.flatMap((step) =>
          step.error
            ? [{ at: step.endedAt ?? step.startedAt, level: 'warning', message: `${step.name}: ${step.error.code} ${step.error.message}` }]
            : [],
        ),
        ...logged,
      ].sort((a, b) => a.at.localeCompare(b.at));
      await cli.print.list({
        kind: 'LogLine',
        rows,
        columns: [
          { title: 'at', value: (row) => timeText(row.at) },
          { title: 'level', value: (row) => row.level },
          { title: 'message', value: (row) => row.message },
        ],
        name: (row) => row.message,
        empty: 'nothing was said about this job',
      });
    },
  },
  {
    name: 'cancel',
    args: '<id>',
    about: 'Cancel a job at its next step, and undo what it did',
    options: [{ flags: '--reason <text>', about: 'why, for the audit' }],
    examples: ['warmsite job cancel job-0000000000abcdef'],
    run: async (cli, { args: [id = ''], options }) => {
      await cli.call('job.cancel', { id }, options);
      return followJob(cli, id, options);
    },
  },
  {
    name: 'retry',
    args: '<id>',
    about: 'Run a failed job again',
    options: JOB_OPTIONS,
    examples: ['warmsite job retry job-0000000000abcdef'],
    run: async (cli, { args: [id = ''], options }) => {
      const { job } = await cli.call<{ job: string }>('job.retry', { id }, options);
      return followStarted(cli, job, options);
    },
  },
  {
    name: 'go-on',
    args: '<id>',
    about: 'Let a job that waits for a person go on',
    options: JOB_OPTIONS,
    examples: ['warmsite job go-on job-0000000000abcdef'],
    run: async (cli, { args: [id = ''], options }) => {
      const { job } = await cli.call<{ job: string }>('job.go-on', { id }, options);
      return followStarted(cli, job, options);
    },
  },
];

const jobText = (job: JobDetail): string => {
  const lines = [
    `${job.verb} of ${visible(job.target)}: ${job.state} (${tookText(job)}), by ${visible(job.actor)}${job.reason ? `: ${visible(job.reason)}` : ''}`,
    ...(job.waitingFor ? [`  it waits for ${job.waitingFor}: warmsite job go-on ${job.id}`] : []),
    ...job.steps.map(
      (step) =>
        `  ${stepMark(step.state)} ${visible(step.name)}${step.endedAt ? `  ${durationText(Date.parse(step.endedAt) - Date.parse(step.startedAt))}` : ''}${step.attempts > 1 ? `  (${step.attempts} attempts)` : ''}${step.error ? `  ${step.error.code}: ${visible(step.error.message)}` : ''}`,
    ),
    ...(job.error ? [`  ${job.error.code}: ${visible(job.error.message)}`, `  next: ${visible(job.error.hint)}`] : []),
  ];
  return lines.join('\n');
};

const stepMark = (state: StepRecord['state']): string => ({ Done: 'done   ', Running: 'running', Failed: 'failed ' })[state];

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warning', 50: 'error' };

const readLog = (path: string, job: string): { at: string; level: string; message: string }[] => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .filter((line) => line.includes(job))
    .flatMap((line) => {
      try {
        const { time, level, msg } = JSON.parse(line) as { time: string; level: number; msg: string };
        return [{ at: time, level: LEVELS[level] ?? String(level), message: msg }];
      } catch {
        // A line that a crash cut off.
        return [];
      }
    });
};
