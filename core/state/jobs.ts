// The one writer of jobs, steps and signals.
import { DrError, type ErrorRecord } from '../contract/index.ts';
import type { JobProgress, JobRecord, JobRequest, JobState, StepRecord } from '../flow/flow.ts';
import type { Db } from './database.ts';
import type { Row } from './schema.ts';

const parse = <T>(text: string | null): T | undefined => (text === null ? undefined : (JSON.parse(text) as T));
const optional = <K extends string, V>(key: K, value: V | undefined | null): { [P in K]?: V } =>
  (value === undefined || value === null ? {} : { [key]: value }) as { [P in K]?: V };

const toJob = (row: Row<'job'>): JobRecord => ({
  id: row.id,
  verb: row.verb,
  target: row.target,
  state: row.state as JobState,
  actor: row.actor,
  createdAt: row.createdAt,
  ...optional('reason', row.reason),
  ...optional('endedAt', row.endedAt),
  ...optional('waitingFor', row.waitingFor),
  ...optional('progress', parse<JobProgress>(row.progress)),
  ...optional('result', parse<unknown>(row.result)),
  ...optional('error', parse<ErrorRecord>(row.error)),
});

export interface JobDetail extends JobRecord {
  readonly input: unknown;
  readonly noReturn: boolean;
  readonly cancelRequested: boolean;
}

export const findJob = async (db: Db, id: string): Promise<JobDetail | undefined> => {
  const row = await db.selectFrom('job').selectAll().where('id', '=', id).executeTakeFirst();
  return (
    row && {
      ...toJob(row),
      input: JSON.parse(row.input) as unknown,
      noReturn: row.noReturn === 1,
      cancelRequested: row.cancelRequested === 1,
    }
  );
};

export const getJob = async (db: Db, id: string): Promise<JobDetail> => {
  const job = await findJob(db, id);
  if (!job)
    throw new DrError('NOT_FOUND', `there is no job ${JSON.stringify(id)}`, {
      context: { kind: 'job', job: id },
      hint: 'run job list to see the jobs',
    });
  return job;
};

export const listJobs = async (
  db: Db,
  options: { readonly states?: readonly JobState[]; readonly limit?: number } = {},
): Promise<JobRecord[]> => {
  let query = db
    .selectFrom('job')
    .selectAll()
    .orderBy('createdAt', 'desc')
    .orderBy('id', 'desc')
    .limit(options.limit ?? 100);
  if (options.states) query = query.where('state', 'in', [...options.states]);
  return (await query.execute()).map(toJob);
};

export const insertJob = async (tx: Db, id: string, request: JobRequest, at: string): Promise<void> => {
  await tx
    .insertInto('job')
    .values({
      id,
      verb: request.verb,
      target: request.target,
      input: JSON.stringify(request.input),
      state: 'Running',
      actor: request.actor,
      reason: request.reason ?? null,
      createdAt: at,
      endedAt: null,
      noReturn: 0,
      cancelRequested: 0,
      waitingFor: null,
      progress: null,
      result: null,
      error: null,
    })
    .execute();
};

export const updateJob = async (
  tx: Db,
  id: string,
  change: {
    readonly state?: JobState;
    readonly endedAt?: string;
    readonly waitingFor?: string | null;
    readonly progress?: JobProgress;
    readonly result?: unknown;
    readonly error?: ErrorRecord;
    readonly noReturn?: true;
    readonly cancelRequested?: true;
  },
): Promise<void> => {
  await tx
    .updateTable('job')
    .set({
      ...(change.state === undefined ? {} : { state: change.state }),
      ...(change.endedAt === undefined ? {} : { endedAt: change.endedAt }),
      ...(change.waitingFor === undefined ? {} : { waitingFor: change.waitingFor }),
      ...(change.progress === undefined ? {} : { progress: JSON.stringify(change.progress) }),
      ...(change.result === undefined ? {} : { result: JSON.stringify(change.result) }),
      ...(change.error === undefined ? {} : { error: JSON.stringify(change.error) }),
      ...(change.noReturn ? { noReturn: 1 } : {}),
      ...(change.cancelRequested ? { cancelRequested: 1 } : {}),
    })
    .where('id', '=', id)
    .execute();
};

const toStep = (row: Row<'step'>): StepRecord => ({
  name: row.name,
  state: row.state as StepRecord['state'],
  attempts: row.attempts,
  startedAt: row.startedAt,
  ...optional('endedAt', row.endedAt),
  ...optional('result', parse<unknown>(row.result)),
  ...optional('error', parse<ErrorRecord>(row.error)),
});

export const listSteps = async (db: Db, jobId: string): Promise<StepRecord[]> =>
  (await db.selectFrom('step').selectAll().where('jobId', '=', jobId).orderBy('ordinal').execute()).map(toStep);

/** Records that the step is about to run. Returns how often it was begun before. */
export const beginStep = async (tx: Db, jobId: string, name: string, at: string): Promise<number> => {
  const known = await tx.selectFrom('step').select('attempts').where('jobId', '=', jobId).where('name', '=', name).executeTakeFirst();
  if (known) {
    await tx
      .updateTable('step')
      .set({ state: 'Running', attempts: known.attempts + 1, error: null })
      .where('jobId', '=', jobId)
      .where('name', '=', name)
      .execute();
    return known.attempts;
  }
  const { n } = await tx
    .selectFrom('step')
    .select((is) => is.fn.countAll<number>().as('n'))
    .where('jobId', '=', jobId)
    .executeTakeFirstOrThrow();
  await tx
    .insertInto('step')
    .values({ jobId, name, ordinal: n, state: 'Running', attempts: 1, startedAt: at, endedAt: null, result: null, error: null })
    .execute();
  return 0;
};

export const endStep = async (
  tx: Db,
  jobId: string,
  name: string,
  at: string,
  end: { readonly result: unknown } | { readonly error: ErrorRecord },
): Promise<void> => {
  const change =
    'error' in end
      ? { state: 'Failed', endedAt: at, error: JSON.stringify(end.error) }
      : { state: 'Done', endedAt: at, result: JSON.stringify(end.result ?? null) };
  await tx.updateTable('step').set(change).where('jobId', '=', jobId).where('name', '=', name).execute();
};

export const putSignal = async (tx: Db, jobId: string, name: string, data: unknown, at: string): Promise<void> => {
  await tx
    .insertInto('signal')
    .values({ jobId, name, data: JSON.stringify(data ?? null), at })
    .onConflict((c) => c.columns(['jobId', 'name']).doNothing())
    .execute();
};

export const findSignal = async (db: Db, jobId: string, name: string): Promise<{ readonly data: unknown } | undefined> => {
  const row = await db.selectFrom('signal').select('data').where('jobId', '=', jobId).where('name', '=', name).executeTakeFirst();
  return row && { data: JSON.parse(row.data) as unknown };
};
