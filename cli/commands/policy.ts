import type { ReplicationPolicy } from '../../core/domain/policy.ts';
import type { CommandSpec, OptionSpec, Options } from '../command.ts';
import { durationText } from '../output/text.ts';

const FIELDS: readonly OptionSpec[] = [
  { flags: '--rpo <seconds>', about: 'the promise: a newest point older than this is a violation', kind: 'integer' },
  { flags: '--interval <seconds>', about: 'least time between the starts of two cycles', kind: 'integer' },
  { flags: '--points <n>', about: 'recovery points to keep', kind: 'integer' },
  { flags: '--hours <n>', about: 'and for how long', kind: 'number' },
  { flags: '--consistency <kind>', about: 'kind of points to try for', choices: ['crash', 'application'] },
  { flags: '--or-else <what>', about: 'when application consistency cannot be had', choices: ['crash', 'refuse'] },
  { flags: '--proof-days <n>', about: 'how long a successful test failover counts', kind: 'number' },
];

const fieldsOf = (options: Options, base: Partial<ReplicationPolicy> = {}): Record<string, unknown> => {
  const taken = {
    ...(options['rpo'] === undefined ? {} : { rpoSeconds: options['rpo'] }),
    ...(options['interval'] === undefined ? {} : { intervalSeconds: options['interval'] }),
    ...(options['consistency'] === undefined ? {} : { consistency: options['consistency'] }),
    ...(options['orElse'] === undefined ? {} : { orElse: options['orElse'] }),
    ...(options['proofDays'] === undefined ? {} : { proofDays: options['proofDays'] }),
  };
  if (options['points'] === undefined && options['hours'] === undefined) return { ...base, ...taken };
  const retention = { points: 24, hours: 24, ...base.retention };
  return {
    ...base,
    ...taken,
    retention: { points: options['points'] ?? retention.points, hours: options['hours'] ?? retention.hours },
  };
};

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the replication policies',
    examples: ['warmsite policy list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Policy',
        rows: await cli.call<ReplicationPolicy[]>('policy.list', {}),
        columns: [
          { title: 'name', value: (policy) => policy.name },
          { title: 'rpo', right: true, value: (policy) => durationText(policy.rpoSeconds * 1_000) },
          { title: 'interval', right: true, value: (policy) => durationText(policy.intervalSeconds * 1_000) },
          { title: 'keeps', value: (policy) => `${policy.retention.points} points, ${policy.retention.hours} h` },
          { title: 'consistency', value: (policy) => (policy.consistency === 'crash' ? 'crash' : `application, or else ${policy.orElse}`) },
          { title: 'proof', wide: true, right: true, value: (policy) => `${policy.proofDays} d` },
        ],
        name: (policy) => policy.name,
        empty: 'there is no policy',
      }),
  },
  {
    name: 'show',
    args: '<name>',
    about: 'Show one policy',
    examples: ['warmsite policy show default'],
    run: async (cli, { args: [name = ''] }) => cli.print.one({ kind: 'Policy', data: await cli.call('policy.show', { name }), name }),
  },
  {
    name: 'create',
    args: '<name>',
    about: 'Create a policy; what is left out is as in the default policy',
    options: FIELDS,
    examples: ['warmsite policy create gold --rpo 60 --interval 15 --points 48 --hours 24'],
    run: async (cli, { args: [name = ''], options }) => {
      const data = await cli.call('policy.put', { name, ...fieldsOf(options) }, options);
      await cli.print.one({ kind: 'Policy', data, name, text: `policy ${name} is there` });
    },
  },
  {
    name: 'edit',
    args: '<name>',
    about: 'Change fields of a policy',
    options: FIELDS,
    examples: ['warmsite policy edit gold --rpo 30'],
    run: async (cli, { args: [name = ''], options }) => {
      // The change is asked for first: the engine that it needs answers the look as well.
      await cli.client('policy.put');
      const policy = await cli.call<ReplicationPolicy>('policy.show', { name });
      const data = await cli.call('policy.put', fieldsOf(options, policy), options);
      await cli.print.one({ kind: 'Policy', data, name, text: `policy ${name} is changed` });
    },
  },
  {
    name: 'delete',
    args: '<name>',
    about: 'Delete a policy that no group uses',
    examples: ['warmsite policy delete gold'],
    run: async (cli, { args: [name = ''], options }) => {
      const data = await cli.call('policy.delete', { name }, options);
      await cli.print.one({ kind: 'Policy', data, name, text: `policy ${name} is deleted` });
    },
  },
];
