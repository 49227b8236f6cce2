// The one writer of standing protection rules.
import type { Side } from '../domain/item.ts';
import type { ProtectionRule, RuleSeen } from '../domain/policy.ts';
import type { Db } from './database.ts';
import { notFound } from './records.ts';
import type { Row } from './schema.ts';

export interface RuleRow {
  readonly rule: ProtectionRule;
  /** Absent: nobody has looked yet. */
  readonly seen?: RuleSeen;
}

const toRow = ({ spec, seen }: Row<'rule'>): RuleRow => ({
  rule: JSON.parse(spec) as ProtectionRule,
  ...(seen === null ? {} : { seen: JSON.parse(seen) as RuleSeen }),
});

export const listRules = async (db: Db): Promise<RuleRow[]> =>
  (await db.selectFrom('rule').selectAll().orderBy('name').execute()).map(toRow);

export const findRule = async (db: Db, name: string): Promise<RuleRow | undefined> =>
  (await listRules(db)).find(({ rule }) => rule.name === name);

export const getRule = async (db: Db, name: string): Promise<RuleRow> => {
  const rules = await listRules(db);
  const found = rules.find(({ rule }) => rule.name === name);
  if (!found)
    throw notFound(
      'rule',
      name,
      rules.map(({ rule }) => rule.name),
    );
  return found;
};

export const putRule = async (tx: Db, rule: ProtectionRule): Promise<void> => {
  const spec = JSON.stringify(rule);
  await tx
    .insertInto('rule')
    .values({ name: rule.name, spec, seen: null })
    .onConflict((c) => c.column('name').doUpdateSet({ spec }))
    .execute();
};

export const putSeen = async (tx: Db, name: string, seen: RuleSeen): Promise<void> => {
  await tx
    .updateTable('rule')
    .set({ seen: JSON.stringify(seen) })
    .where('name', '=', name)
    .execute();
};

export const deleteRule = async (tx: Db, name: string): Promise<void> => {
  await tx.deleteFrom('rule').where('name', '=', name).execute();
};

type Exception = Pick<Side, 'endpoint' | 'machine'>;

const changeExceptions = async (
  tx: Db,
  change: (except: ProtectionRule['except'], rule: ProtectionRule) => ProtectionRule['except'],
): Promise<void> => {
  for (const { rule } of await listRules(tx)) {
    const except = change(rule.except, rule);
    if (except.length !== rule.except.length) await putRule(tx, { ...rule, except });
  }
};

/** No rule undoes what somebody has decided: these stay unprotected until `takeIn`. */
export const leaveOut = (tx: Db, machines: readonly Exception[]): Promise<void> =>
  changeExceptions(tx, (except, rule) => [
    ...except,
    ...machines
      .filter(({ endpoint }) => rule.endpoint === undefined || rule.endpoint === endpoint)
      .filter(({ endpoint, machine }) => !except.some((known) => known.endpoint === endpoint && known.machine === machine))
      .map(({ endpoint, machine }) => ({ endpoint, machine })),
  ]);

export const takeIn = (tx: Db, { endpoint, machine }: Exception): Promise<void> =>
  changeExceptions(tx, (except) => except.filter((known) => known.endpoint !== endpoint || known.machine !== machine));
