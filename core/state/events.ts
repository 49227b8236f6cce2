// The one writer of events and of the hash-chained audit.
import { hash } from 'node:crypto';
import type { Db } from './database.ts';
import type { Row } from './schema.ts';

export interface EventInput {
  readonly at: string;
  /** 'point.sealed', 'failover.started', …: stable words, subject first. */
  readonly kind: string;
  readonly level: 'info' | 'warning' | 'critical';
  /** What it is about: a machine, group, endpoint or plan by name. */
  readonly subject: string;
  readonly message: string;
  readonly jobId?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export const recordEvent = async (tx: Db, event: EventInput): Promise<void> => {
  await tx
    .insertInto('event')
    .values({
      at: event.at,
      kind: event.kind,
      level: event.level,
      subject: event.subject,
      jobId: event.jobId ?? null,
      message: event.message,
      data: event.data ? JSON.stringify(event.data) : null,
    })
    .execute();
};

export const listEvents = (db: Db, options: { readonly afterSeq?: number; readonly limit?: number } = {}): Promise<Row<'event'>[]> => {
  const limit = options.limit ?? 100;
  if (options.afterSeq !== undefined)
    return db.selectFrom('event').selectAll().where('seq', '>', options.afterSeq).orderBy('seq').limit(limit).execute();
  return db
    .selectFrom('event')
    .selectAll()
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute()
    .then((rows) => rows.reverse());
};

export interface AuditInput {
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly target: string;
  readonly reason?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

const digestOf = (previous: string, record: Omit<Row<'audit'>, 'seq' | 'previous' | 'digest'>): string =>
  hash('sha256', JSON.stringify([previous, record.at, record.actor, record.action, record.target, record.reason, record.data]));

export const recordAudit = async (tx: Db, entry: AuditInput): Promise<void> => {
  const last = await tx.selectFrom('audit').select('digest').orderBy('seq', 'desc').limit(1).executeTakeFirst();
  const previous = last?.digest ?? '';
  const record = {
    at: entry.at,
    actor: entry.actor,
    action: entry.action,
    target: entry.target,
    reason: entry.reason ?? null,
    data: entry.data ? JSON.stringify(entry.data) : null,
  };
  await tx
    .insertInto('audit')
    .values({ ...record, previous, digest: digestOf(previous, record) })
    .execute();
};

export const listAudit = (db: Db, limit = 1_000): Promise<Row<'audit'>[]> =>
  db
    .selectFrom('audit')
    .selectAll()
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute()
    .then((rows) => rows.reverse());

/** The sequence number of the first record that does not continue the chain; undefined when it is whole. */
export const verifyAudit = async (db: Db): Promise<{ readonly records: number; readonly brokenAt?: number }> => {
  const rows = await db.selectFrom('audit').selectAll().orderBy('seq').execute();
  let previous = '';
  for (const row of rows) {
    if (row.previous !== previous || row.digest !== digestOf(previous, row)) return { records: rows.length, brokenAt: row.seq };
    previous = row.digest;
  }
  return { records: rows.length };
};
