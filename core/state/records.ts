// Readers and writers of what operators set up: sites, endpoints, mappings, policies, groups, plans, and the home's own settings.
import { DrError } from '../contract/index.ts';
import {
  DEFAULT_POLICY,
  type EndpointRecord,
  type Mapping,
  type ProtectionGroup,
  type RecoveryPlan,
  type ReplicationPolicy,
  type SiteRecord,
} from '../domain/policy.ts';
import type { Db } from './database.ts';
import type { Row } from './schema.ts';

const notFound = (kind: string, name: string, known: readonly string[], look = `${kind} list`): DrError => {
  const near = known.find((candidate) => isNear(candidate, name));
  return new DrError('NOT_FOUND', `there is no ${kind} ${JSON.stringify(name)}`, {
    context: { kind, name },
    hint: near ? `did you mean ${JSON.stringify(near)}?` : `run ${look} to see what there is`,
  });
};

/** Within two edits, case apart, or one a prefix of the other. */
export const isNear = (a: string, b: string): boolean => {
  const [x, y] = [a.toLowerCase().slice(0, 64), b.toLowerCase().slice(0, 64)];
  if (y.length >= 3 && (x.startsWith(y) || y.startsWith(x))) return true;
  let row = Array.from({ length: y.length + 1 }, (_, i) => i);
  for (let i = 1; i <= x.length; i++) {
    const next = [i];
    for (let j = 1; j <= y.length; j++) {
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, (row[j - 1] ?? 0) + (x[i - 1] === y[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return (row[y.length] ?? 99) <= 2;
};

export const getMeta = async (db: Db, key: string): Promise<string | undefined> =>
  (await db.selectFrom('meta').select('value').where('key', '=', key).executeTakeFirst())?.value;

export const putMeta = async (db: Db, key: string, value: string): Promise<void> => {
  await db
    .insertInto('meta')
    .values({ key, value })
    .onConflict((c) => c.column('key').doUpdateSet({ value }))
    .execute();
};

// ---- sites ---------------------------------------------------------------------------------------------------------

export const listSites = (db: Db): Promise<SiteRecord[]> => db.selectFrom('site').selectAll().orderBy('id').execute();

export const getSite = async (db: Db, id: string): Promise<SiteRecord> => {
  const sites = await listSites(db);
  const site = sites.find((candidate) => candidate.id === id);
  if (!site)
    throw notFound(
      'site',
      id,
      sites.map((candidate) => candidate.id),
    );
  return site;
};

export const putSite = async (db: Db, site: SiteRecord): Promise<void> => {
  await db
    .insertInto('site')
    .values({ id: site.id, name: site.name })
    .onConflict((c) => c.column('id').doUpdateSet({ name: site.name }))
    .execute();
};

// ---- endpoints -----------------------------------------------------------------------------------------------------

const toEndpoint = (row: Row<'endpoint'>): EndpointRecord => ({ ...row, config: JSON.parse(row.config) as Record<string, unknown> });

export const listEndpoints = async (db: Db, site?: string): Promise<EndpointRecord[]> => {
  const query = db.selectFrom('endpoint').selectAll().orderBy('id');
  return (await (site ? query.where('site', '=', site) : query).execute()).map(toEndpoint);
};

export const getEndpoint = async (db: Db, id: string): Promise<EndpointRecord> => {
  const endpoints = await listEndpoints(db);
  const endpoint = endpoints.find((candidate) => candidate.id === id);
  if (!endpoint)
    throw notFound(
      'endpoint',
      id,
      endpoints.map((candidate) => candidate.id),
    );
  return endpoint;
};

export const putEndpoint = async (db: Db, endpoint: EndpointRecord): Promise<void> => {
  const values = { ...endpoint, config: JSON.stringify(endpoint.config) };
  await db
    .insertInto('endpoint')
    .values(values)
    .onConflict((c) => c.column('id').doUpdateSet({ site: values.site, plugin: values.plugin, config: values.config }))
    .execute();
};

export const deleteEndpoint = async (db: Db, id: string): Promise<void> => {
  await db.deleteFrom('endpoint').where('id', '=', id).execute();
};

// ---- mappings ------------------------------------------------------------------------------------------------------

export const listMappings = async (db: Db): Promise<Mapping[]> =>
  (await db.selectFrom('mapping').selectAll().orderBy('kind').orderBy('fromEndpoint').orderBy('fromPlace').execute()).map(
    (row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as unknown as Mapping,
  );

export const putMapping = async (db: Db, mapping: Mapping): Promise<void> => {
  const values = { testPlace: null, fromName: null, toName: null, testName: null, ...mapping };
  const { toPlace, testPlace, fromName, toName, testName } = values;
  await db
    .insertInto('mapping')
    .values(values)
    .onConflict((c) =>
      c.columns(['kind', 'fromEndpoint', 'fromPlace', 'toEndpoint']).doUpdateSet({ toPlace, testPlace, fromName, toName, testName }),
    )
    .execute();
};

// ---- policies ------------------------------------------------------------------------------------------------------

export const listPolicies = async (db: Db): Promise<ReplicationPolicy[]> => {
  const rows = await db.selectFrom('policy').selectAll().orderBy('name').execute();
  const stored = rows.map((row) => ({ ...DEFAULT_POLICY, ...(JSON.parse(row.spec) as ReplicationPolicy), name: row.name }));
  return stored.some((policy) => policy.name === DEFAULT_POLICY.name) ? stored : [DEFAULT_POLICY, ...stored];
};

export const getPolicy = async (db: Db, name: string): Promise<ReplicationPolicy> => {
  const policies = await listPolicies(db);
  const policy = policies.find((candidate) => candidate.name === name);
  if (!policy)
    throw notFound(
      'policy',
      name,
      policies.map((candidate) => candidate.name),
    );
  return policy;
};

export const putPolicy = async (db: Db, policy: ReplicationPolicy): Promise<void> => {
  const spec = JSON.stringify(policy);
  await db
    .insertInto('policy')
    .values({ name: policy.name, spec })
    .onConflict((c) => c.column('name').doUpdateSet({ spec }))
    .execute();
};

export const deletePolicy = async (db: Db, name: string): Promise<void> => {
  await db.deleteFrom('policy').where('name', '=', name).execute();
};

// ---- protection groups ---------------------------------------------------------------------------------------------

export const listGroups = (db: Db): Promise<ProtectionGroup[]> => db.selectFrom('protectionGroup').selectAll().orderBy('name').execute();

export const findGroup = async (db: Db, nameOrId: string): Promise<ProtectionGroup | undefined> =>
  (await listGroups(db)).find((group) => group.id === nameOrId || group.name === nameOrId);

export const getGroup = async (db: Db, nameOrId: string): Promise<ProtectionGroup> => {
  const group = await findGroup(db, nameOrId);
  if (!group)
    throw notFound(
      'group',
      nameOrId,
      (await listGroups(db)).map((candidate) => candidate.name),
    );
  return group;
};

export const putGroup = async (db: Db, group: ProtectionGroup): Promise<void> => {
  const { id: _id, createdAt: _createdAt, ...changes } = group;
  await db
    .insertInto('protectionGroup')
    .values(group)
    .onConflict((c) => c.column('id').doUpdateSet(changes))
    .execute();
};

export const deleteGroup = async (db: Db, id: string): Promise<void> => {
  await db.deleteFrom('protectionGroup').where('id', '=', id).execute();
};

// ---- plans ---------------------------------------------------------------------------------------------------------

export const listPlans = async (db: Db): Promise<RecoveryPlan[]> =>
  (await db.selectFrom('plan').selectAll().orderBy('name').execute()).map((row) => JSON.parse(row.spec) as RecoveryPlan);

export const findPlan = async (db: Db, name: string): Promise<RecoveryPlan | undefined> =>
  (await listPlans(db)).find((plan) => plan.name === name);

export const getPlan = async (db: Db, name: string): Promise<RecoveryPlan> => {
  const plan = await findPlan(db, name);
  if (!plan)
    throw notFound(
      'plan',
      name,
      (await listPlans(db)).map((candidate) => candidate.name),
    );
  return plan;
};

export const putPlan = async (db: Db, plan: RecoveryPlan): Promise<void> => {
  const spec = JSON.stringify(plan);
  await db
    .insertInto('plan')
    .values({ name: plan.name, spec })
    .onConflict((c) => c.column('name').doUpdateSet({ spec }))
    .execute();
};

export const deletePlan = async (db: Db, name: string): Promise<void> => {
  await db.deleteFrom('plan').where('name', '=', name).execute();
};

export { notFound };
