import type { Generated, Selectable } from 'kysely';

// Times are ISO-8601 UTC text, documents are JSON text, booleans are 0 and 1: the part that SQLite and PostgreSQL share.

export interface Schema {
  meta: { key: string; value: string };
  site: { id: string; name: string };
  endpoint: { id: string; site: string; plugin: string; config: string; createdAt: string };
  mapping: {
    kind: string;
    fromEndpoint: string;
    fromPlace: string;
    toEndpoint: string;
    toPlace: string;
    testPlace: string | null;
    fromName: string | null;
    toName: string | null;
    testName: string | null;
  };
  policy: { name: string; spec: string };
  protectionGroup: { id: string; name: string; policy: string; fromSite: string; toSite: string; createdAt: string };
  item: { id: string; groupId: string; name: string; sourceKey: string; doc: string; version: number };
  point: {
    id: string;
    itemId: string;
    site: string;
    seq: number;
    takenAt: string;
    kind: string;
    consistency: string;
    atomicity: string;
    digest: string;
    groupCycle: string | null;
    sealedAt: string;
    appliedAt: string | null;
    dataBytes: number;
    detail: string;
  };
  cycle: { id: string; groupId: string; kind: string; phase: string; startedAt: string; endedAt: string | null; doc: string };
  job: {
    id: string;
    verb: string;
    target: string;
    input: string;
    state: string;
    actor: string;
    reason: string | null;
    createdAt: string;
    endedAt: string | null;
    noReturn: number;
    cancelRequested: number;
    waitingFor: string | null;
    progress: string | null;
    result: string | null;
    error: string | null;
  };
  step: {
    jobId: string;
    name: string;
    ordinal: number;
    state: string;
    attempts: number;
    startedAt: string;
    endedAt: string | null;
    result: string | null;
    error: string | null;
  };
  signal: { jobId: string; name: string; data: string; at: string };
  plan: { name: string; spec: string };
  rule: { name: string; spec: string; seen: string | null };
  event: {
    seq: Generated<number>;
    at: string;
    kind: string;
    level: string;
    subject: string;
    jobId: string | null;
    message: string;
    data: string | null;
  };
  audit: {
    seq: Generated<number>;
    at: string;
    actor: string;
    action: string;
    target: string;
    reason: string | null;
    data: string | null;
    previous: string;
    digest: string;
  };
}

export type Row<T extends keyof Schema> = Selectable<Schema[T]>;
