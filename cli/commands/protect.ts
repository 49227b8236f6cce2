import type { DryRun } from '../../core/engine/operations-recover.ts';
import { usage } from '../cli.ts';
import { type CommandSpec, given } from '../command.ts';
import { DRY_RUN_OPTION } from '../confirm.ts';
import { JOB_OPTIONS, runJob } from '../follow.ts';
import { showDryRun } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  {
    args: '[machines...]',
    about: 'Protect machines: tracking, replica, first copy. One machine makes a group of one',
    options: [
      { flags: '--to <site>', about: 'the recovery site', required: true },
      { flags: '-l, --label <label>', about: 'all machines with this label: KEY=VALUE, or a value' },
      { flags: '-e, --endpoint <id>', about: 'only machines of this endpoint' },
      { flags: '-g, --group <name>', about: 'the group to make or to join' },
      { flags: '-p, --policy <name>', about: 'replication policy (default: default)' },
      { flags: '--target <endpoint>', about: 'the endpoint at the recovery site (default: the one that is mapped)' },
      { flags: '--seed <machine>', about: 'an existing machine there whose disks are a restored copy' },
      DRY_RUN_OPTION,
      ...JOB_OPTIONS,
    ],
    examples: [
      'warmsite protect erp-db erp-web --group erp --to site-b',
      'warmsite protect -l tier=1 --policy gold --group tier-1 --to site-b --dry-run',
    ],
    run: async (cli, { args, options }) => {
      if (args.length === 0 && options['label'] === undefined)
        throw usage('no machine to protect was named', 'name machines, or choose them with --label');
      const input = { machines: args, ...given(options, 'label', 'endpoint', 'group', 'policy', 'to', 'target', 'seed') };
      if (options['dryRun']) return showDryRun(cli, await cli.call<DryRun>('protect', { ...input, dryRun: true }));
      return runJob(cli, 'protect', input, options);
    },
  },
];
