// Standing protection rules.
import { z } from 'zod';
import { DrError } from '../contract/index.ts';
import type { ProtectionRule, RuleSeen } from '../domain/policy.ts';
import { recordAudit } from '../state/events.ts';
import { findGroup, getEndpoint, getPolicy, getSite } from '../state/records.ts';
import { deleteRule, findRule, getRule, listRules, putRule } from '../state/rules.ts';
import { audit, auditOf, defineOperation, id, name, nothing, type Workbench } from './operation.ts';
import { lookForRule, type RuleLine } from './rules.ts';

export const ruleSchema = z.strictObject({
  name: id,
  label: name,
  policy: name.default('default'),
  to: name,
  endpoint: name.optional(),
  target: name.optional(),
  group: name.optional(),
});

export type RuleView = Omit<ProtectionRule, 'except'> & { readonly seen?: RuleSeen };
export type RuleDetail = RuleView & {
  /** This engine looks by itself; else somebody has to run one that does. */
  readonly looking: boolean;
  readonly machines: readonly RuleLine[];
  readonly unreachable: readonly { readonly endpoint: string; readonly because: string; readonly hint: string }[];
};

const wrong = (rule: string, key: string, message: string, hint: string): DrError =>
  new DrError('CONFIG_INVALID', `rule ${rule}: ${message}`, { context: { name: rule, key }, hint });

/** Everything that it names is there, and fits together. */
const assertRule = async ({ core }: Workbench, rule: z.infer<typeof ruleSchema>): Promise<void> => {
  const { db } = core.store;
  await getPolicy(db, rule.policy);
  await getSite(db, rule.to);
  if (rule.endpoint && (await getEndpoint(db, rule.endpoint)).site === rule.to)
    throw wrong(
      rule.name,
      'endpoint',
      `endpoint ${rule.endpoint} is at the recovery site ${rule.to}`,
      'name an endpoint of the protected site',
    );
  if (rule.target && (await getEndpoint(db, rule.target)).site !== rule.to)
    throw wrong(rule.name, 'target', `endpoint ${rule.target} is not at the recovery site ${rule.to}`, `name an endpoint of ${rule.to}`);
  const group = rule.group ? await findGroup(db, rule.group) : undefined;
  if (!group) return;
  if (group.policy !== rule.policy)
    throw wrong(
      rule.name,
      'policy',
      `group ${group.name} replicates by policy ${group.policy}`,
      `name the policy ${group.policy}, or another group`,
    );
  if (group.toSite !== rule.to)
    throw wrong(rule.name, 'to', `group ${group.name} replicates to ${group.toSite}`, `name the site ${group.toSite}, or another group`);
};

const viewOf = ({ rule: { except: _, ...rule }, seen }: Awaited<ReturnType<typeof getRule>>): RuleView => ({
  ...rule,
  ...(seen ? { seen } : {}),
});

export const ruleOperations = [
  defineOperation({
    name: 'rule.list',
    kind: 'read',
    summary: 'Standing protection rules, and what they could not do when they last looked',
    input: nothing,
    run: async ({ core }): Promise<RuleView[]> => (await listRules(core.store.db)).map(viewOf),
  }),
  defineOperation({
    name: 'rule.show',
    kind: 'read',
    summary: 'One rule with the machines that carry its label now',
    input: z.strictObject({ name }),
    run: async (bench, input, { signal }): Promise<RuleDetail> => {
      const row = await getRule(bench.core.store.db, input.name);
      const { lines, unreachable } = await lookForRule(bench, row.rule, signal);
      return { ...viewOf(row), looking: bench.planner() !== undefined, machines: lines.map(({ found: _, ...line }) => line), unreachable };
    },
  }),
  defineOperation({
    name: 'rule.put',
    kind: 'change',
    summary: 'Creates or changes a rule: machines with a label are protected, also those that get it later',
    input: ruleSchema,
    run: async (bench, input, caller) => {
      await assertRule(bench, input);
      const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Omit<ProtectionRule, 'except'>;
      await bench.core.store.transaction(async (tx) => {
        const known = await findRule(tx, input.name);
        await putRule(tx, { ...given, except: known?.rule.except ?? [] });
        await recordAudit(tx, auditOf(bench, caller, { action: 'rule.put', target: input.name, data: { ...given } }));
      });
      bench.rules.soon();
      return given;
    },
  }),
  defineOperation({
    name: 'rule.delete',
    kind: 'change',
    summary: 'Deletes a rule; what it has protected stays protected',
    input: z.strictObject({ name }),
    run: async (bench, input, caller) => {
      await getRule(bench.core.store.db, input.name);
      await bench.core.store.transaction((tx) => deleteRule(tx, input.name));
      await audit(bench, caller, 'rule.delete', input.name);
      return { name: input.name };
    },
  }),
] as const;
