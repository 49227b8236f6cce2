import type { ProtectionGroup } from '../../core/domain/policy.ts';
import type { ItemView } from '../../core/engine/status.ts';
import type { CommandSpec } from '../command.ts';
import { itemColumns } from '../views.ts';

type GroupRow = ProtectionGroup & { readonly members: readonly string[]; readonly state?: string; readonly directions: readonly string[] };

/** Where the members replicate now; a group without any goes as it was made. */
const directionText = ({ fromSite, toSite }: ProtectionGroup, directions: readonly string[]): string =>
  directions.join(', ') || `${fromSite} -> ${toSite}`;

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the protection groups',
    examples: ['warmsite group list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Group',
        rows: await cli.call<GroupRow[]>('group.list', {}),
        columns: [
          { title: 'name', value: (group) => group.name },
          { title: 'state', value: (group) => group.state },
          { title: 'policy', value: (group) => group.policy },
          { title: 'direction', value: (group) => directionText(group, group.directions) },
          { title: 'members', value: (group) => group.members.join(', ') || '-' },
          { title: 'id', wide: true, value: (group) => group.id },
        ],
        name: (group) => group.name,
        empty: 'nothing is protected yet: warmsite protect MACHINE --to SITE',
      }),
  },
  {
    name: 'show',
    args: '<name>',
    about: 'Show one group with its members',
    examples: ['warmsite group show erp'],
    run: async (cli, { args: [name = ''] }) => {
      const group = await cli.call<ProtectionGroup & { items: readonly ItemView[] }>('group.show', { name });
      if (!cli.print.forPeople) return cli.print.one({ kind: 'Group', data: group, name });
      const directions = [...new Set(group.items.map(({ direction }) => direction))].sort();
      cli.print.text(`${group.name}: policy ${group.policy}, ${directionText(group, directions)}\n\n`);
      cli.print.table(group.items, itemColumns);
    },
  },
];
