// A job's way to its end, as somebody at a terminal or a log sees it.
import { DrError, ERRORS, type ErrorCode, EXIT, type ExitCode } from '../core/contract/index.ts';
import type { JobRecord } from '../core/flow/flow.ts';
import { type Cli, usage } from './cli.ts';
import { isGone, untilAborted } from './client.ts';
import { numberOption, type OptionSpec, type Options } from './command.ts';
import { bytesText, durationText, timeText, visible } from './output/text.ts';

export const JOB_OPTIONS: readonly OptionSpec[] = [
  { flags: '--wait', about: 'follow the job to its end (default at a terminal)' },
  { flags: '--no-wait', about: 'print the job and return; needs a running engine' },
  { flags: '--timeout <seconds>', about: 'stop waiting after this time; the job goes on', kind: 'number' },
  { flags: '--reason <text>', about: 'why, for the audit' },
];

const REDRAW_MS = 250;
const LINE_EVERY_MS = 10_000;

/** Starts a job and follows it as the options say. The exit code tells how it ended. */
export const runJob = async (cli: Cli, operation: string, input: object, options: Options): Promise<ExitCode> => {
  const client = await cli.client(operation);
  if (options['wait'] === false && client.engine === 'own')
    throw usage('nobody else is there to run the job', 'leave out --no-wait, or run warmsite serve first');
  const { job } = await cli.call<{ job: string }>(operation, input, options);
  return followStarted(cli, job, options);
};

export const followStarted = async (cli: Cli, job: string, options: Options): Promise<ExitCode> => {
  const client = await cli.client('job.list');
  const wait = options['wait'] ?? (client.engine === 'own' || cli.at.screen.errIsTerminal);
  if (wait) return followJob(cli, job, options);
  await cli.print.one({ kind: 'Job', data: await cli.call('job.show', { id: job }), name: job, text: job });
  return EXIT.done;
};

/** Watches without owning: what ends is the watching, never the job of a running engine. */
export const followJob = async (cli: Cli, id: string, options: Options = {}): Promise<ExitCode> => {
  const progress = new Progress(cli, id);
  const timeoutSeconds = numberOption(options, 'timeout');
  const limit = timeoutSeconds === undefined ? undefined : AbortSignal.timeout(timeoutSeconds * 1_000);
  const signal = limit ? AbortSignal.any([cli.signal, limit]) : cli.signal;
  progress.start();
  try {
    const job = await settled(cli, id, signal);
    progress.stop();
    return await showEnd(cli, job);
  } catch (error) {
    progress.stop();
    if (!signal.aborted) throw error;
    return await leave(cli, id, limit?.aborted === true && !cli.signal.aborted);
  }
};

const settled = async (cli: Cli, id: string, signal: AbortSignal): Promise<JobRecord> => {
  const client = await cli.client('job.list');
  return untilAborted(client.settled(id, signal), signal);
};

/** The person goes, or the time is over: a running engine goes on with the job; an engine of our own leaves it to the next one. */
const leave = async (cli: Cli, id: string, timedOut: boolean): Promise<ExitCode> => {
  const client = await cli.client('job.list');
  const own = client.engine === 'own';
  const { state } = await cli.call<JobRecord>('job.show', { id }).catch(() => ({ state: 'Running' as const }));
  if (own) await client.stop();
  const next = own
    ? `it is Interrupted and goes on with the next command that changes something, or with: warmsite serve`
    : `it goes on; look at it with: warmsite job watch ${id}`;
  if (timedOut)
    throw new DrError('TIMED_OUT', `job ${id} has not ended in time (${state})`, {
      hint: own ? 'run warmsite serve, which goes on with it' : `run warmsite job watch ${id}`,
      context: { job: id },
    });
  cli.print.say(`job ${id}: ${next}`);
  return EXIT.interrupted;
};

export const exitOf = (job: JobRecord): ExitCode => {
  if (job.state === 'Succeeded') return EXIT.done;
  if (job.state === 'Partial') return EXIT.partial;
  if (job.state === 'Waiting' || job.waitingFor) return EXIT.waitingForApproval;
  if (job.state === 'Failed') return job.error && job.error.code in ERRORS ? ERRORS[job.error.code as ErrorCode].exit : EXIT.failed;
  return EXIT.interrupted;
};

export const showEnd = async (cli: Cli, job: JobRecord): Promise<ExitCode> => {
  const took = job.endedAt ? ` in ${durationText(Date.parse(job.endedAt) - Date.parse(job.createdAt))}` : '';
  const lines = [`${job.verb} of ${job.target}: ${job.state}${took} (${job.id})`];
  if (cli.print.forPeople) lines.push(...(await memberLines(cli, job)));
  if (job.state === 'Partial') lines.push(`  what failed: warmsite job show ${job.id}`);
  if (exitOf(job) === EXIT.waitingForApproval) lines.push(`  it waits for a person: warmsite job go-on ${job.id}`);
  await cli.print.one({ kind: 'Job', data: job, name: job.id, text: lines.join('\n') });
  if (job.state === 'Failed' && job.error) {
    const { code, message, hint, context } = job.error;
    cli.print.error({ code: code as ErrorCode, message, hint, context: (context ?? {}) as never }, undefined, { onStdout: false });
  }
  return exitOf(job);
};

/** What a verb says of each member, under the names that people use. */
const memberLines = async (cli: Cli, job: JobRecord): Promise<string[]> => {
  const result = (job.result ?? {}) as { members?: Record<string, object>; proofs?: Record<string, object> };
  const members = Object.entries(result.members ?? result.proofs ?? {});
  if (members.length === 0) return [];
  const { items } = await cli.call<{ items: readonly { id: string; name: string }[] }>('status', {});
  return members.map(([id, member]) => {
    const said = Object.entries(member)
      .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
      .map(([key, value]) => `${wordsOf(key)} ${valueText(key, value as string | number | boolean)}`);
    return `  ${visible(items.find((item) => item.id === id)?.name ?? id)}: ${said.join(', ') || 'done'}`;
  });
};

const wordsOf = (key: string): string => key.replace(/(Ms|Bytes)$/, '').replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
const valueText = (key: string, value: string | number | boolean): string => {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'string') return /^\d{4}-\d\d-\d\dT/.test(value) ? timeText(value) : value;
  if (key.endsWith('Ms')) return durationText(value);
  return key === 'bytes' || key.endsWith('Bytes') ? bytesText(value) : String(value);
};

/** On a terminal one block that is drawn again and again, else a line now and then. All on stderr. */
export class Progress {
  readonly #cli: Cli;
  readonly #id: string;
  readonly #startedMs = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #drawn = 0;
  #saidMs = Date.now();
  #rate: { readonly atMs: number; readonly bytes: number; readonly perSecond: number } | undefined;
  #looking = false;

  constructor(cli: Cli, id: string) {
    this.#cli = cli;
    this.#id = id;
  }

  start(): void {
    if (!this.#cli.at.screen.errIsTerminal && this.#cli.print.format !== 'jsonl') this.#cli.print.say(`job ${this.#id} started`);
    this.#timer = setInterval(() => void this.#look(), REDRAW_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#erase();
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const job = await this.#cli.call<JobRecord & { steps?: readonly { name: string; state: string }[] }>('job.show', { id: this.#id });
      if (this.#timer) this.#show(job);
    } catch (error) {
      if (!isGone(error) && !this.#cli.signal.aborted) throw error;
    } finally {
      this.#looking = false;
    }
  }

  #show(job: JobRecord & { steps?: readonly { name: string; state: string }[] }): void {
    const { print, at } = this.#cli;
    if (print.format === 'jsonl') {
      if (this.#now()) print.line('JobProgress', { id: job.id, state: job.state, ...job.progress });
      return;
    }
    const line = this.#line(job);
    if (at.screen.errIsTerminal) {
      this.#erase();
      const step = job.steps?.findLast((candidate) => candidate.state === 'Running');
      const lines = [
        `${job.verb} of ${visible(job.target)}  ${durationText(Date.now() - this.#startedMs)}`,
        ...(step ? [`  ${visible(step.name)}`] : []),
        `  ${line}`,
      ];
      at.screen.err(`${lines.map((text) => text.slice(0, at.screen.columns - 1)).join('\n')}\n`);
      this.#drawn = lines.length;
    } else if (this.#now()) print.say(`${job.verb} of ${job.target}: ${line}`);
  }

  #now(): boolean {
    if (Date.now() - this.#saidMs < LINE_EVERY_MS) return false;
    this.#saidMs = Date.now();
    return true;
  }

  #line(job: JobRecord): string {
    const { progress } = job;
    if (!progress) return job.state;
    const { text, doneBytes, totalBytes } = progress;
    if (doneBytes === undefined) return visible(text);
    const perSecond = this.#measure(doneBytes);
    const rate = perSecond > 0 ? ` at ${bytesText(perSecond)}/s` : '';
    if (!totalBytes) return `${visible(text)}  ${bytesText(doneBytes)}${rate}`;
    const left = perSecond > 0 ? `, ${durationText(((totalBytes - doneBytes) / perSecond) * 1_000)} left` : '';
    return `${visible(text)}  ${Math.floor((doneBytes / totalBytes) * 100)} %  ${bytesText(doneBytes)} of ${bytesText(totalBytes)}${rate}${left}`;
  }

  #measure(bytes: number): number {
    const atMs = Date.now();
    const before = this.#rate;
    if (!before || bytes < before.bytes) this.#rate = { atMs, bytes, perSecond: 0 };
    else if (atMs - before.atMs >= 500) {
      const fresh = ((bytes - before.bytes) / (atMs - before.atMs)) * 1_000;
      this.#rate = { atMs, bytes, perSecond: before.perSecond === 0 ? fresh : before.perSecond * 0.7 + fresh * 0.3 };
    }
    return this.#rate?.perSecond ?? 0;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#cli.at.screen.err(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }
}
