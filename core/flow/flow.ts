// The port of durable jobs. One shipping implementation (step-journal.ts) under the fault sweep; a second one over PostgreSQL fits the same port.
import type { Db } from '../state/database.ts';

export type JobState = 'Queued' | 'Running' | 'Waiting' | 'Succeeded' | 'Partial' | 'Failed' | 'Interrupted' | 'Cancelled';
export const ENDED: readonly JobState[] = ['Succeeded', 'Partial', 'Failed', 'Cancelled'];

export interface StepContext {
  readonly jobId: string;
  /** Equal each time this step runs: what it creates is found again. */
  readonly operationId: string;
  /** Aborts when the engine stops, and on cancel for interruptible steps. */
  readonly signal: AbortSignal;
  /** The step was begun before and did not end: it checks its preconditions again (F5). */
  readonly resumed: boolean;
}

export interface StepOptions<T> {
  /** Runs in the transaction that records the step: the step's result and the state change are one fact. */
  readonly commit?: (tx: Db, result: T) => Promise<void>;
  /** A cancel aborts the step's signal instead of waiting for its end. */
  readonly interruptible?: boolean;
  /** It only watches what others do, for days perhaps: shown as what the job waits for, and taken up again after a kill however long ago (F5). */
  readonly waitsFor?: string;
}

/** What a verb's code sees. It is run again from its first line after a kill; steps that ended give their recorded result. */
export interface Flow {
  readonly jobId: string;
  readonly actor: string;
  readonly reason: string | undefined;
  /** A side effect at least once, its record exactly once. The name is unique in the job. Results are JSON. */
  step<T>(name: string, run: (step: StepContext) => Promise<T>, options?: StepOptions<T>): Promise<T>;
  /** A step of this name has ended well in this job, in this run or an earlier one. */
  did(name: string): boolean;
  /** From here on cancel is refused. */
  pointOfNoReturn(): Promise<void>;
  /** The signal's data, also when it came before; undefined after the timeout. */
  waitFor<T>(signal: string, timeoutMs: number): Promise<T | undefined>;
  progress(progress: JobProgress): void;
}

export interface JobProgress {
  readonly text: string;
  readonly doneBytes?: number;
  readonly totalBytes?: number;
}

export interface Outcome<O> {
  readonly result: O;
  /** Some members failed. */
  readonly partial?: boolean;
}

export interface Verb<I, O> {
  readonly name: string;
  run(flow: Flow, input: I): Promise<Outcome<O>>;
  /** Runs once after a failure or a cancel before the point of no return: undoes, or leaves the failed twin. Its steps are recorded too. */
  failed?(flow: Flow, input: I, error: unknown): Promise<void>;
}

export interface JobRequest {
  readonly verb: string;
  /** What the operator named. */
  readonly target: string;
  readonly input: unknown;
  readonly actor: string;
  readonly reason?: string;
  /** A second start with the same id is the same job. */
  readonly id?: string;
}

export interface JobRecord {
  readonly id: string;
  readonly verb: string;
  readonly target: string;
  readonly state: JobState;
  readonly actor: string;
  readonly reason?: string;
  readonly createdAt: string;
  readonly endedAt?: string;
  readonly waitingFor?: string;
  readonly progress?: JobProgress;
  readonly result?: unknown;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly hint: string;
    readonly context?: Readonly<Record<string, unknown>>;
  };
}

export interface StepRecord {
  readonly name: string;
  readonly state: 'Running' | 'Done' | 'Failed';
  readonly attempts: number;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface Jobs {
  define<I, O>(verb: Verb<I, O>): void;
  start(request: JobRequest): Promise<string>;
  /** Resolves when the job has ended, waits for a person, or this engine stops. */
  settled(jobId: string): Promise<JobRecord>;
  /** Takes up what an engine that died left Running. Returns the ids. */
  resumeInterrupted(options: { readonly resumeWithinMs: number }): Promise<string[]>;
  signal(jobId: string, name: string, data: unknown): Promise<void>;
  /** OPERATION_NOT_ALLOWED past the point of no return or when ended. */
  cancel(jobId: string): Promise<void>;
  /** A new job with the same input, for one that failed or was cancelled. */
  retry(jobId: string, actor: string): Promise<string>;
  /** Stops taking steps; running jobs stay as they are and resume at the next start. */
  stop(): Promise<void>;
}
