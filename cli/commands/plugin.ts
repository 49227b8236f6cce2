import type { Manifest } from '../../core/contract/index.ts';
import type { CommandSpec } from '../command.ts';

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the plugins of this program',
    examples: ['warmsite plugin list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Plugin',
        rows: await cli.call<Manifest[]>('plugin.list', {}),
        columns: [
          { title: 'id', value: (plugin) => plugin.id },
          { title: 'name', value: (plugin) => plugin.displayName },
          { title: 'tracking', value: (plugin) => plugin.capabilities.tracking },
          { title: 'consistency', value: (plugin) => plugin.capabilities.consistency.join(', ') },
          { title: 'atomicity', value: (plugin) => plugin.capabilities.atomicity },
          { title: 'contract', wide: true, value: (plugin) => plugin.contractVersion },
        ],
        name: (plugin) => plugin.id,
        empty: 'this program has no plugin',
      }),
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one plugin: its configuration and the most that it can do',
    examples: ['warmsite plugin show memory-vmware'],
    run: async (cli, { args: [id = ''] }) => cli.print.one({ kind: 'Plugin', data: await cli.call('plugin.show', { id }), name: id }),
  },
];
