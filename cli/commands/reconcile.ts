import type { CommandSpec } from '../command.ts';
import { CONFIRM_OPTION, confirm } from '../confirm.ts';

export const commands: readonly CommandSpec[] = [
  {
    about: 'Accept journals that are newer than the state store, after the store came back from a backup',
    options: [CONFIRM_OPTION, { flags: '--reason <text>', about: 'why, for the audit' }],
    examples: ['warmsite reconcile --confirm home --reason "state.db restored from the backup of Monday"'],
    run: async (cli, { options }) => {
      await confirm(
        cli,
        {
          does: 'Reconcile',
          target: 'home',
          lines: [`home ${cli.home}`],
          final: 'the points in the journals become the truth; jobs of the old store stay Interrupted',
        },
        options,
      );
      const data = await cli.call('reconcile', {}, options);
      await cli.print.one({ kind: 'Reconcile', data, name: 'home', text: 'the journals are accepted; run warmsite status' });
    },
  },
];
