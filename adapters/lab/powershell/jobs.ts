// Jobs of the management services of one endpoint's hosts, on the estate's timeline. They end with the service, and are forgotten some time after.
import type { MachineId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord } from '../records.ts';
import type { PsObject } from './cells.ts';
import { asPsFailure, injectedError, jobCodeOf } from './failures.ts';
import type { PsContext } from './model.ts';

const STARTING_MS = 5;
const RUNNING_MS = 10;
/** TimeBeforeRemoval of Msvm_ConcreteJob, unless somebody changes it. */
const KEPT_MS = 5 * 60_000;

export interface Job {
  readonly id: string;
  readonly host: string;
  readonly machine: MachineId | undefined;
  readonly name: string;
  readonly startedMs: number;
  readonly durationMs: number;
  readonly isCancellable: boolean;
  endedMs?: number;
  /** 7 completed, 8 terminated, 10 exception, 32768 completed with warnings. */
  endState?: number;
  errorCode: number;
  errorText: string;
  /** What the job has made, and what it was about. */
  affected: readonly PsObject[];
  callOff: () => void;
}

export interface Work {
  readonly name: string;
  readonly machine: MachineId;
  readonly durationMs: number;
  readonly isCancellable?: boolean;
  /** At the end of the job; gives what it has made. */
  run(): readonly PsObject[];
}

const byEndpoint = new WeakMap<EndpointRecord, Map<string, Job>>();

const jobsAt = (endpoint: EndpointRecord): Map<string, Job> => {
  const known = byEndpoint.get(endpoint) ?? new Map<string, Job>();
  byEndpoint.set(endpoint, known);
  return known;
};

export const jobsOn = ({ estate, endpoint, host }: Pick<PsContext, 'estate' | 'endpoint' | 'host'>): Job[] => {
  const jobs = jobsAt(endpoint);
  const before = estate.timeline.now() - KEPT_MS;
  for (const [id, { endedMs }] of jobs) if (endedMs !== undefined && endedMs < before) jobs.delete(id);
  return [...jobs.values()].filter((job) => job.host === host.name);
};

/** Names of what is under way about a machine, on whichever host. */
export const underWay = (endpoint: EndpointRecord, machine: MachineId): string[] =>
  [...jobsAt(endpoint).values()].filter((job) => job.machine === machine && job.endedMs === undefined).map(({ name }) => name);

/** When the service ends, nobody knows of them; what they do is not done. */
export const forgetJobs = (endpoint: EndpointRecord, host: string): void => {
  const jobs = jobsAt(endpoint);
  for (const [id, job] of jobs) {
    if (job.host !== host) continue;
    job.callOff();
    jobs.delete(id);
  }
};

export const stateOf = ({ timeline }: Estate, job: Job): number => {
  if (job.endState !== undefined) return job.endState;
  const elapsedMs = timeline.now() - job.startedMs;
  if (elapsedMs < STARTING_MS) return 2;
  return elapsedMs < RUNNING_MS ? 3 : 4;
};

export const percentOf = ({ timeline }: Estate, job: Job): number => {
  if (job.endState !== undefined) return 100;
  return Math.min(99, Math.floor(((timeline.now() - job.startedMs) / job.durationMs) * 100));
};

export const startJob = (context: PsContext, work: Work): Job => {
  const { estate, endpoint, host } = context;
  const durationMs = Math.max(work.durationMs, RUNNING_MS + 1);
  const job: Job = {
    id: estate.random.uuid(),
    host: host.name,
    machine: work.machine,
    name: work.name,
    startedMs: estate.timeline.now(),
    durationMs,
    isCancellable: work.isCancellable ?? false,
    errorCode: 0,
    errorText: '',
    affected: [],
    callOff: () => undefined,
  };
  jobsAt(endpoint).set(job.id, job);
  if (!context.stall) job.callOff = estate.timeline.schedule(durationMs, () => finish(context, job, work), true);
  return job;
};

const finish = (context: PsContext, job: Job, work: Work): void => {
  const injected = context.acts.find((act) => 'job' in act);
  try {
    if (context.taskError) throw injectedError(context.taskError);
    if (injected?.job.state !== 10) job.affected = work.run();
    if (injected?.job.state === 10) end(context, job, { state: 10, code: injected.job.errorCode, text: `${work.name} failed.` });
    else if (injected) end(context, job, { state: 32_768, code: injected.job.errorCode, text: `${work.name} completed with warnings.` });
    else end(context, job, { state: 7, code: 0, text: '' });
  } catch (error) {
    const failure = asPsFailure(error);
    if (!failure) throw error;
    end(context, job, { state: 10, code: jobCodeOf(failure), text: failure.message });
  }
};

export const cancelJob = (context: PsContext, job: Job): boolean => {
  if (job.endState !== undefined || !job.isCancellable) return false;
  job.callOff();
  end(context, job, { state: 8, code: 0, text: '' });
  return true;
};

const end = (
  { estate }: PsContext,
  job: Job,
  { state, code, text }: { readonly state: number; readonly code: number; readonly text: string },
): void => {
  job.endedMs = estate.timeline.now();
  job.endState = state;
  job.errorCode = code;
  job.errorText = text;
  estate.revision++;
};
