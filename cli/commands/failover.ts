import { EXIT } from '../../core/contract/index.ts';
import type { StatusView } from '../../core/engine/status.ts';
import type { CommandSpec, OptionSpec } from '../command.ts';
import { itemVerb, TARGET } from '../item-verb.ts';
import { failoverColumns } from '../views.ts';

const POINT: OptionSpec = { flags: '--point <point>', about: 'latest, latest-applied, latest-app, an id, or a time (default: latest)' };

export const commands: readonly CommandSpec[] = [
  itemVerb({
    name: 'test',
    operation: 'failover.test',
    called: 'test failover',
    about: 'Start copies in isolated networks; production and replication go on',
    options: [POINT, { flags: '--copy', about: 'on a full copy instead of an overlay: points go on being applied meanwhile' }],
    passes: ['point', 'copy'],
    examples: ['warmsite failover test erp', 'warmsite failover test erp --point 2026-05-01T12:00:00Z'],
  }),
  itemVerb({
    name: 'cleanup',
    operation: 'failover.cleanup',
    called: 'clean-up',
    about: 'End a test failover and remove what it made',
    examples: ['warmsite failover cleanup erp'],
  }),
  itemVerb({
    name: 'planned',
    operation: 'failover.planned',
    called: 'planned failover',
    about: 'Shut the source down and start the replica, with nothing lost',
    final: 'the machines are shut down at the protected site and started at the recovery site',
    examples: [
      'warmsite failover planned erp --dry-run',
      'warmsite failover planned erp --confirm erp --reason "work on the power supply"',
    ],
  }),
  itemVerb({
    name: 'unplanned',
    operation: 'failover.unplanned',
    called: 'unplanned failover',
    about: 'Start the replica although the source may be lost',
    options: [
      POINT,
      {
        flags: '--source-is <state>',
        about: 'what you know of the source when it cannot be seen off; it goes into the audit',
        choices: ['off', 'unreachable', 'running'],
      },
    ],
    passes: ['point', 'sourceIs'],
    final: 'what the source wrote after the point is lost',
    examples: ['warmsite failover unplanned erp --source-is unreachable --confirm erp'],
  }),
  itemVerb({
    name: 'change-point',
    operation: 'failover.change-point',
    called: 'change of the recovery point',
    about: 'Go to another recovery point, before commit',
    options: [{ ...POINT, required: true }],
    passes: ['point'],
    final: 'what the machines have written since the failover is lost',
    examples: ['warmsite failover change-point erp --point pt-0000000000abcdef --confirm erp'],
  }),
  itemVerb({
    name: 'cancel',
    operation: 'failover.cancel',
    called: 'cancelling of the failover',
    about: 'Go back to the source, before commit',
    options: [{ flags: '--no-start-source', about: 'leave the source off' }],
    also: ({ options }) => (options['startSource'] === false ? { startSource: false } : {}),
    final: 'what the machines have written since the failover is lost',
    examples: ['warmsite failover cancel erp --confirm erp'],
  }),
  itemVerb({
    name: 'commit',
    operation: 'failover.commit',
    called: 'commit of the failover',
    about: 'Make the failover final; after a planned one replication goes on in the reverse direction',
    options: [{ flags: '--no-reprotect', about: 'do not go on into re-protect' }],
    also: ({ options }) => (options['reprotect'] === false ? { reprotect: false } : {}),
    final: 'from here on the recovery points are not offered any more',
    examples: ['warmsite failover commit erp --confirm erp'],
  }),
  {
    name: 'status',
    args: `[${TARGET.slice(1, -1)}]`,
    about: 'Show what runs where: failovers that wait for commit, tests, copies',
    examples: ['warmsite failover status', 'warmsite failover status erp'],
    run: async (cli, { args: [target] }) => {
      const { items } = await cli.call<StatusView>('status', {});
      const rows = items.filter((item) => target === undefined || item.name === target || item.group === target);
      if (target !== undefined && rows.length === 0) await cli.call('explain', { target });
      await cli.print.list({
        kind: 'FailoverStatus',
        rows,
        columns: failoverColumns,
        name: (item) => item.name,
        empty: 'nothing is protected yet',
      });
      return EXIT.done;
    },
  },
];
