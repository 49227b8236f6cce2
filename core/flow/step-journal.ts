// Durable jobs over the state store: a step's result and the state change share one transaction.
import { DrError, isDrError, toErrorRecord } from '../contract/index.ts';
import { isoTime, type Runtime } from '../ports/runtime.ts';
import type { Store } from '../state/database.ts';
import {
  beginStep,
  endStep,
  findJob,
  findSignal,
  getJob,
  insertJob,
  type JobDetail,
  listJobs,
  listSteps,
  putSignal,
  updateJob,
} from '../state/jobs.ts';
import { ENDED, type Flow, type JobProgress, type JobRequest, type Jobs, type StepContext, type StepOptions, type Verb } from './flow.ts';

const PROGRESS_EVERY_MS = 500;

interface Running {
  readonly done: Promise<void>;
  readonly cancel: AbortController;
  readonly wake: Map<string, () => void>;
}

/** Thrown into a job when this engine stops: the job stays as it is. */
const STOPPED = new DrError('ABORTED', 'the engine is stopping', { hint: 'the job goes on at the next start' });

const cancelledError = (jobId: string): DrError => new DrError('ABORTED', `job ${jobId} was cancelled`, { context: { job: jobId } });

export const createStepJournal = (store: Store, runtime: Runtime): Jobs => {
  const verbs = new Map<string, Verb<never, unknown>>();
  const running = new Map<string, Running>();
  const stopping = new AbortController();
  const now = () => isoTime(runtime.clock.now());

  const wokenOrTimeout = async (woken: Promise<void>, ms: number, abort: AbortSignal): Promise<void> => {
    const timer = new AbortController();
    try {
      await Promise.race([woken, runtime.clock.sleep(ms, AbortSignal.any([abort, timer.signal]))]);
    } finally {
      timer.abort();
    }
  };

  const verbOf = (name: string): Verb<unknown, unknown> => {
    const verb = verbs.get(name);
    if (!verb) throw new DrError('INTERNAL', `no verb ${name} is defined`, { context: { operation: name } });
    return verb as Verb<unknown, unknown>;
  };

  /** `undoing`: the compensation's own steps run although a cancel was asked for. */
  const createFlow = async (job: JobDetail, cancel: AbortController, wake: Map<string, () => void>, undoing: boolean): Promise<Flow> => {
    const recorded = new Map((await listSteps(store.db, job.id)).map((step) => [step.name, step]));
    const ended = new Set([...recorded.values()].filter((known) => known.state === 'Done').map((known) => known.name));
    const prefix = undoing ? 'undo: ' : '';
    let noReturn = job.noReturn;
    let waiting = 0;
    let progressAt = Number.NEGATIVE_INFINITY;

    /** Steps of several members may wait at once: the last one ends it. */
    const noteWaiting = (change: 1 | -1, waitsFor: string): Promise<void> => {
      waiting += change;
      return store.transaction((tx) => updateJob(tx, job.id, { waitingFor: waiting > 0 ? waitsFor : null }));
    };

    const step = async <T>(plainName: string, run: (step: StepContext) => Promise<T>, options: StepOptions<T> = {}): Promise<T> => {
      const name = prefix + plainName;
      const known = recorded.get(name);
      if (known?.state === 'Done') return known.result as T;
      if (stopping.signal.aborted) throw STOPPED;
      if (cancel.signal.aborted && !noReturn && !undoing) throw cancelledError(job.id);
      const before = await store.transaction((tx) => beginStep(tx, job.id, name, now()));
      const interruptible = options.interruptible === true && !noReturn && !undoing;
      const context: StepContext = {
        jobId: job.id,
        operationId: `${job.id}/${name}`,
        signal: interruptible ? AbortSignal.any([stopping.signal, cancel.signal]) : stopping.signal,
        resumed: before > 0,
      };
      if (options.waitsFor !== undefined) await noteWaiting(1, options.waitsFor);
      try {
        const result = await run(context);
        await store.transaction(async (tx) => {
          await options.commit?.(tx, result);
          await endStep(tx, job.id, name, now(), { result });
        });
        ended.add(name);
        return JSON.parse(JSON.stringify(result ?? null)) as T;
      } catch (error) {
        if (!stopping.signal.aborted) await store.transaction((tx) => endStep(tx, job.id, name, now(), { error: toErrorRecord(error) }));
        throw error;
      } finally {
        if (options.waitsFor !== undefined && !stopping.signal.aborted) await noteWaiting(-1, options.waitsFor);
      }
    };

    return {
      jobId: job.id,
      actor: job.actor,
      reason: job.reason,
      step,
      did: (name) => ended.has(name),
      pointOfNoReturn: async () => {
        await step('point of no return', async () => null, { commit: (tx) => updateJob(tx, job.id, { noReturn: true }) });
        noReturn = true;
      },
      waitFor: <T>(signal: string, timeoutMs: number): Promise<T | undefined> =>
        step<{ data?: unknown }>(
          `wait for ${signal}`,
          async (context) => {
            const deadline = runtime.clock.now() + timeoutMs;
            await store.transaction((tx) => updateJob(tx, job.id, { state: 'Waiting', waitingFor: signal }));
            try {
              for (;;) {
                // Registered before the look into the store: a signal between the two would wake nobody.
                const woken = new Promise<void>((resolve) => wake.set(signal, resolve));
                const found = await findSignal(store.db, job.id, signal);
                if (found) return { data: found.data };
                const left = deadline - runtime.clock.now();
                if (left <= 0) return {};
                await wokenOrTimeout(woken, left, context.signal);
              }
            } finally {
              wake.delete(signal);
              if (!stopping.signal.aborted) await store.transaction((tx) => updateJob(tx, job.id, { state: 'Running', waitingFor: null }));
            }
          },
          { interruptible: true },
        ).then((answer) => answer.data as T | undefined),
      progress: (progress: JobProgress) => {
        if (runtime.clock.now() - progressAt < PROGRESS_EVERY_MS) return;
        progressAt = runtime.clock.now();
        // Progress is for people: losing one is nothing, and the next one comes.
        updateJob(store.db, job.id, { progress }).catch((error: unknown) =>
          runtime.log.debug('progress not stored', { job: job.id, error: String(error) }),
        );
      },
    };
  };

  const execute = async ({ id }: JobDetail, cancel: AbortController, wake: Map<string, () => void>): Promise<void> => {
    const job = await getJob(store.db, id);
    const verb = verbOf(job.verb);
    const flow = await createFlow(job, cancel, wake, false);
    try {
      const { result, partial } = await verb.run(flow, job.input);
      await store.transaction((tx) =>
        updateJob(tx, job.id, { state: partial ? 'Partial' : 'Succeeded', endedAt: now(), result: result ?? null }),
      );
    } catch (error) {
      if (stopping.signal.aborted) return;
      const current = await getJob(store.db, job.id);
      await undo(verb, current, cancel, wake, error);
      if (stopping.signal.aborted) return;
      const state = cancel.signal.aborted && !current.noReturn ? 'Cancelled' : 'Failed';
      const record = toErrorRecord(error);
      runtime.log.warn('job ended badly', { job: job.id, verb: job.verb, code: record.code, message: record.message });
      await store.transaction((tx) => updateJob(tx, job.id, { state, endedAt: now(), error: record }));
    }
  };

  /** A compensation that fails leaves the item in a failed twin, for the clean-up or a person; the job ends all the same. */
  const undo = async (
    verb: Verb<unknown, unknown>,
    job: JobDetail,
    cancel: AbortController,
    wake: Map<string, () => void>,
    error: unknown,
  ): Promise<void> => {
    try {
      await verb.failed?.(await createFlow(job, cancel, wake, true), job.input, error);
    } catch (failure) {
      if (!isDrError(failure) || stopping.signal.aborted) throw failure;
      runtime.log.warn('job could not be undone', { job: job.id, verb: job.verb, code: failure.code, message: failure.message });
    }
  };

  /** What ends a run of a job without an end of the job is the store failing: the job is taken up again from its recorded steps. */
  const executeAgain = async (job: JobDetail, cancel: AbortController, wake: Map<string, () => void>): Promise<void> => {
    for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      try {
        return await execute(job, cancel, wake);
      } catch (error) {
        if (stopping.signal.aborted) return;
        runtime.log.warn('job could not be recorded: it is taken up again', { job: job.id, error: String(error) });
        await runtime.clock.sleep(pauseMs, stopping.signal);
      }
    }
  };

  const launch = (job: JobDetail): void => {
    const cancel = new AbortController();
    if (job.cancelRequested) cancel.abort(cancelledError(job.id));
    const wake = new Map<string, () => void>();
    const done = executeAgain(job, cancel, wake)
      .catch((error: unknown) => {
        // The job stays Running in the store and resumes at the next start.
        if (!stopping.signal.aborted) runtime.log.warn('job was given up until the next start', { job: job.id, error: String(error) });
      })
      .finally(() => running.delete(job.id));
    running.set(job.id, { done, cancel, wake });
  };

  const start = async (request: JobRequest): Promise<string> => {
    verbOf(request.verb);
    if (stopping.signal.aborted) throw STOPPED;
    const id = request.id ?? runtime.newId('job');
    const fresh = await store.transaction(async (tx) => {
      if (await findJob(tx, id)) return false;
      await insertJob(tx, id, request, now());
      return true;
    });
    if (fresh) launch(await getJob(store.db, id));
    return id;
  };

  return {
    define: (verb) => void verbs.set(verb.name, verb as unknown as Verb<never, unknown>),
    start,
    settled: async (jobId) => {
      for (;;) {
        const active = running.get(jobId);
        const job = await getJob(store.db, jobId);
        if (!active || ENDED.includes(job.state)) return job;
        await active.done;
      }
    },
    resumeInterrupted: async ({ resumeWithinMs }) => {
      const left = await listJobs(store.db, { states: ['Queued', 'Running', 'Waiting', 'Interrupted'], limit: 10_000 });
      const resumed: string[] = [];
      for (const job of left.reverse()) {
        if (running.has(job.id) || !verbs.has(job.verb)) continue;
        const steps = await listSteps(store.db, job.id);
        const lastAt = steps.reduce(
          (latest, step) => Math.max(latest, Date.parse(step.endedAt ?? step.startedAt)),
          Date.parse(job.createdAt),
        );
        const tooOld = runtime.clock.now() - lastAt > resumeWithinMs && (await findSignal(store.db, job.id, 'go-on')) === undefined;
        if (tooOld && job.waitingFor === undefined) {
          await store.transaction((tx) => updateJob(tx, job.id, { state: 'Interrupted', waitingFor: 'go-on' }));
          continue;
        }
        if (tooOld && job.waitingFor === 'go-on') continue;
        await store.transaction((tx) => updateJob(tx, job.id, { state: 'Running', waitingFor: null }));
        launch(await getJob(store.db, job.id));
        resumed.push(job.id);
      }
      return resumed;
    },
    signal: async (jobId, name, data) => {
      const job = await getJob(store.db, jobId);
      if (ENDED.includes(job.state)) {
        throw new DrError('OPERATION_NOT_ALLOWED', `job ${jobId} has ended (${job.state})`, {
          context: { job: jobId, state: job.state },
          hint: 'run job list to find the job that waits',
        });
      }
      await store.transaction((tx) => putSignal(tx, jobId, name, data, now()));
      if (name === 'go-on' && !running.has(jobId)) {
        await store.transaction((tx) => updateJob(tx, jobId, { state: 'Running', waitingFor: null }));
        launch(await getJob(store.db, jobId));
      }
      running.get(jobId)?.wake.get(name)?.();
    },
    cancel: async (jobId) => {
      const job = await getJob(store.db, jobId);
      if (ENDED.includes(job.state)) {
        throw new DrError('OPERATION_NOT_ALLOWED', `job ${jobId} has ended (${job.state})`, {
          context: { job: jobId, state: job.state },
          hint: 'there is nothing to cancel',
        });
      }
      if (job.noReturn) {
        throw new DrError('OPERATION_NOT_ALLOWED', `job ${jobId} (${job.verb}) is past its point of no return`, {
          context: { job: jobId },
          hint: 'let it end',
        });
      }
      await store.transaction((tx) => updateJob(tx, jobId, { cancelRequested: true }));
      const active = running.get(jobId);
      if (active) active.cancel.abort(cancelledError(jobId));
      else launch(await getJob(store.db, jobId));
    },
    retry: async (jobId, actor) => {
      const job = await getJob(store.db, jobId);
      if (!ENDED.includes(job.state) || job.state === 'Succeeded') {
        throw new DrError(
          'OPERATION_NOT_ALLOWED',
          `job ${jobId} is ${job.state}: only one that failed, was cancelled or ended partly can be retried`,
          { context: { job: jobId, state: job.state }, hint: 'run job show to see it' },
        );
      }
      return start({
        verb: job.verb,
        target: job.target,
        input: job.input,
        actor,
        ...(job.reason === undefined ? {} : { reason: job.reason }),
      });
    },
    stop: async () => {
      stopping.abort(STOPPED);
      await Promise.allSettled([...running.values()].map((job) => job.done));
    },
  };
};
