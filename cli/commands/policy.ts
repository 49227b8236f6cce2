import { DrError } from '../../core/contract/index.ts';
import type { InitialCopy, NativePolicy, ReplicationPolicy } from '../../core/domain/policy.ts';
import { type CommandSpec, type OptionSpec, type Options, textOption } from '../command.ts';
import { durationText } from '../output/text.ts';

const FIELDS: readonly OptionSpec[] = [
  { flags: '--rpo <seconds>', about: 'the promise: a newest point older than this is a violation', kind: 'integer' },
  { flags: '--interval <seconds>', about: 'least time between the starts of two cycles', kind: 'integer' },
  { flags: '--points <n>', about: 'recovery points to keep', kind: 'integer' },
  { flags: '--hours <n>', about: 'and for how long', kind: 'number' },
  { flags: '--consistency <kind>', about: 'kind of points to try for', choices: ['crash', 'application'] },
  { flags: '--or-else <what>', about: 'when application consistency cannot be had', choices: ['crash', 'refuse'] },
  {
    flags: '--source-free <percent>',
    about: 'share of a machine’s disks that must be free at the source; 0: not looked at',
    kind: 'number',
  },
  { flags: '--proof-days <n>', about: 'how long a successful test failover counts', kind: 'number' },
  { flags: '--method <how>', about: 'who replicates: the engine, or the hosts by themselves', choices: ['journaled', 'native'] },
  { flags: '--frequency <seconds>', about: 'native: how often the hosts send: 30, 300 or 900', kind: 'integer' },
  { flags: '--host-points <n>', about: 'native: hourly points that the replica host keeps, 0 to 24', kind: 'integer' },
  { flags: '--app-hours <n>', about: 'native: hours between application-consistent points, 0 (none) to 12', kind: 'integer' },
  { flags: '--no-compression', about: 'native: send uncompressed' },
  { flags: '--authentication <kind>', about: 'native: how the hosts know each other', choices: ['kerberos', 'certificate'] },
  { flags: '--certificate <thumbprint>', about: 'native: certificate of the source host' },
  { flags: '--initial-copy <way>', about: 'native: network, existing, at:TIME or media:PATH' },
];

/** `at:TIME` and `media:PATH` say when, and where to. */
const initialCopyOf = (way: string): InitialCopy => {
  if (way.startsWith('at:')) return { by: 'schedule', startAt: way.slice(3) };
  if (way.startsWith('media:')) return { by: 'media', path: way.slice(6) };
  if (way === 'network' || way === 'existing') return { by: way };
  throw new DrError('USAGE', `${JSON.stringify(way)} is no way for a first copy`, {
    hint: 'give network, existing, at:TIME or media:PATH',
  });
};

/** Settings of the hosts; absent when none is given and none is there. */
const nativeOf = (options: Options, base: Partial<NativePolicy> | undefined): Record<string, unknown> => {
  const copy = textOption(options, 'initialCopy');
  const taken = {
    ...(options['frequency'] === undefined ? {} : { frequencySeconds: options['frequency'] }),
    ...(options['hostPoints'] === undefined ? {} : { points: options['hostPoints'] }),
    ...(options['appHours'] === undefined ? {} : { applicationConsistentHours: options['appHours'] }),
    ...(options['compression'] === false ? { compression: false } : {}),
    ...(options['authentication'] === undefined ? {} : { authentication: options['authentication'] }),
    ...(options['certificate'] === undefined ? {} : { certificateThumbprint: options['certificate'] }),
    ...(copy === undefined ? {} : { initialCopy: initialCopyOf(copy) }),
  };
  return base || Object.keys(taken).length > 0 ? { native: { ...base, ...taken } } : {};
};

const fieldsOf = (options: Options, base: Partial<ReplicationPolicy> = {}): Record<string, unknown> => {
  const taken = {
    ...(options['rpo'] === undefined ? {} : { rpoSeconds: options['rpo'] }),
    ...(options['interval'] === undefined ? {} : { intervalSeconds: options['interval'] }),
    ...(options['consistency'] === undefined ? {} : { consistency: options['consistency'] }),
    ...(options['orElse'] === undefined ? {} : { orElse: options['orElse'] }),
    ...(options['sourceFree'] === undefined ? {} : { sourceFreePercent: options['sourceFree'] }),
    ...(options['proofDays'] === undefined ? {} : { proofDays: options['proofDays'] }),
    ...(options['method'] === undefined ? {} : { method: options['method'] }),
    ...nativeOf(options, base.native),
  };
  if (options['points'] === undefined && options['hours'] === undefined) return { ...base, ...taken };
  const retention = { points: 24, hours: 24, ...base.retention };
  return {
    ...base,
    ...taken,
    retention: { points: options['points'] ?? retention.points, hours: options['hours'] ?? retention.hours },
  };
};

const consistencyOf = ({ native, consistency, orElse }: ReplicationPolicy): string => {
  if (native) return native.applicationConsistentHours > 0 ? `application every ${native.applicationConsistentHours} h` : 'crash';
  return consistency === 'crash' ? 'crash' : `application, or else ${orElse}`;
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
          { title: 'method', value: (policy) => policy.method },
          {
            title: 'interval',
            right: true,
            value: (policy) => durationText((policy.native?.frequencySeconds ?? policy.intervalSeconds) * 1_000),
          },
          {
            title: 'keeps',
            value: ({ native, retention }) => (native ? `${native.points} points` : `${retention.points} points, ${retention.hours} h`),
          },
          { title: 'consistency', value: consistencyOf },
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
    examples: [
      'warmsite policy create gold --rpo 60 --interval 15 --points 48 --hours 24',
      'warmsite policy create hosts --method native --rpo 900 --frequency 300 --host-points 8',
    ],
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
