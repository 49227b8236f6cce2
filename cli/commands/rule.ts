import type { RuleDetail, RuleView } from '../../core/engine/operations-rule.ts';
import { type CommandSpec, given } from '../command.ts';
import { visible } from '../output/text.ts';

const NOBODY = 'no engine is running that would do it: run warmsite serve';

const groupText = ({ group }: RuleView): string => group ?? 'one each';

/** The machines by what the rule makes of them, then what is in the way of those that wait. */
const detailText = ({ name, label, policy, to, endpoint, target, machines, seen, looking, unreachable, ...rule }: RuleDetail): string => {
  const count = (verdict: RuleDetail['machines'][number]['verdict']) => machines.filter((machine) => machine.verdict === verdict);
  const lines = (['protected', 'new', 'failed', 'left out'] as const).flatMap((verdict) => {
    const those = count(verdict);
    return those.length > 0 ? [`  ${verdict.padEnd(9)}  ${those.map((machine) => machine.name).join(', ')}`] : [];
  });
  const waits = (seen?.waiting ?? []).map((wait) => `  ${wait.name}: ${wait.because}; next: ${wait.hint}`);
  return [
    `rule ${name}: machines with the label ${label}${endpoint ? ` at ${endpoint}` : ''} are protected to ${target ? `${target} at ` : ''}${to} by policy ${policy}`,
    rule.group ? `they go to group ${rule.group}` : 'each has a group of its own',
    `${seen ? `last look ${seen.at}` : 'not looked yet'}${looking ? '' : `; ${NOBODY}`}`,
    '',
    ...(lines.length > 0 ? lines : ['  no machine carries the label now']),
    ...(waits.length > 0 ? ['', 'could not be protected', ...waits] : []),
    ...unreachable.map((dark) => `not looked at: ${dark.endpoint}: ${dark.because}; next: ${dark.hint}`),
  ]
    .map(visible)
    .join('\n');
};

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the rules',
    examples: ['warmsite rule list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Rule',
        rows: await cli.call<RuleView[]>('rule.list', {}),
        columns: [
          { title: 'name', value: (rule) => rule.name },
          { title: 'label', value: (rule) => rule.label },
          { title: 'policy', value: (rule) => rule.policy },
          { title: 'to', value: (rule) => (rule.target ? `${rule.to}/${rule.target}` : rule.to) },
          { title: 'group', value: groupText },
          { title: 'waiting', right: true, value: (rule) => (rule.seen ? rule.seen.waiting.length : '-') },
          { title: 'endpoint', wide: true, value: (rule) => rule.endpoint ?? 'all' },
        ],
        name: (rule) => rule.name,
        empty: 'there is no rule: warmsite rule create NAME --label KEY=VALUE --to SITE',
      }),
  },
  {
    name: 'show',
    args: '<name>',
    about: 'Show one rule with the machines that carry its label now',
    examples: ['warmsite rule show gold'],
    run: async (cli, { args: [name = ''] }) => {
      const rule = await cli.call<RuleDetail>('rule.show', { name });
      await cli.print.one({ kind: 'Rule', data: rule, name, text: detailText(rule) });
    },
  },
  {
    name: 'create',
    args: '<name>',
    about: 'Protect every machine with a label, also those that get it later; a rule of this name is changed, and tries everything again',
    options: [
      { flags: '-l, --label <label>', about: 'the label: KEY=VALUE, or a value (cloud=gold: all machines of a cloud)', required: true },
      { flags: '--to <site>', about: 'the recovery site', required: true },
      { flags: '-p, --policy <name>', about: 'replication policy (default: default)' },
      { flags: '-e, --endpoint <id>', about: 'only machines of this endpoint' },
      { flags: '--target <endpoint>', about: 'the endpoint at the recovery site (default: the one that is mapped)' },
      { flags: '-g, --group <name>', about: 'the group that all of them join (default: each has one of its own)' },
      { flags: '--reason <text>', about: 'why, for the audit' },
    ],
    examples: ['warmsite rule create gold --label cloud=gold --policy gold --to site-b'],
    run: async (cli, { args: [name = ''], options }) => {
      const input = { name, ...given(options, 'label', 'to', 'policy', 'endpoint', 'target', 'group') };
      const data = await cli.call('rule.put', input, options);
      const { machines, looking } = await cli.call<RuleDetail>('rule.show', { name });
      const fresh = machines.filter(({ verdict }) => verdict === 'new' || verdict === 'failed').length;
      await cli.print.one({
        kind: 'Rule',
        data,
        name,
        text: `rule ${name} is there: ${machines.length} machines carry the label now, ${fresh} of them are to be protected${looking || fresh === 0 ? '' : `; ${NOBODY}`}`,
      });
    },
  },
  {
    name: 'delete',
    args: '<name>',
    about: 'Delete a rule; what it has protected stays protected',
    options: [{ flags: '--reason <text>', about: 'why, for the audit' }],
    examples: ['warmsite rule delete gold'],
    run: async (cli, { args: [name = ''], options }) => {
      const data = await cli.call('rule.delete', { name }, options);
      await cli.print.one({ kind: 'Rule', data, name, text: `rule ${name} is deleted; its machines stay protected` });
    },
  },
];
