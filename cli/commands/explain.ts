import type { ItemView } from '../../core/engine/status.ts';
import type { CommandSpec } from '../command.ts';
import { durationText, timeText, visible } from '../output/text.ts';

type Explained = Partial<ItemView> & {
  readonly id: string;
  readonly name: string;
  readonly operations: readonly { readonly operation: string; readonly allowed?: true; readonly reason?: string; readonly way?: string }[];
  readonly epoch: { readonly epoch: number; readonly holder: string };
};

export const commands: readonly CommandSpec[] = [
  {
    args: '<target>',
    about: 'Tell the state of a machine in words: each operation, allowed or why not, and where its lag comes from',
    examples: ['warmsite explain erp-db'],
    run: async (cli, { args: [target = ''] }) => {
      const items = await cli.call<Explained[]>('explain', { target });
      if (cli.print.forPeople) cli.print.text(items.map(explain).join('\n\n'));
      else await cli.print.list({ kind: 'Explanation', rows: items, columns: [], name: (item) => item.name, empty: '' });
    },
  },
];

const explain = (item: Explained): string => {
  const lag = item.lag?.causes.map(({ cause, ms, because }) => `${cause} ${durationText(ms)}${because ? ` (${because})` : ''}`).join(', ');
  return [
    `${visible(item.name)} is ${item.protection ?? 'unknown'}; it runs at ${item.active ?? 'an unknown site'}, ${item.direction ?? ''}, epoch ${item.epoch.epoch}`,
    ...(item.newestPoint
      ? [`  newest point ${item.newestPoint.id}, taken ${timeText(item.newestPoint.takenAt)}`]
      : ['  it has no recovery point yet']),
    ...(item.hosts
      ? [`  its hosts say: source ${item.hosts.source ?? 'not asked yet'}, replica ${item.hosts.replica ?? 'not asked yet'}`]
      : []),
    ...(lag ? [`  lag: ${lag}`] : []),
    ...(item.health?.reasons ?? []).map((reason) => `  ${reason.level}: ${visible(reason.message)}; next: ${reason.hint}`),
    `  possible now: ${
      item.operations
        .filter((entry) => entry.allowed)
        .map((entry) => entry.operation)
        .join(', ') || 'nothing'
    }`,
    ...item.operations
      .filter((entry) => !entry.allowed)
      .map((entry) => `  not ${entry.operation}: ${visible(entry.reason ?? '')}; ${visible(entry.way ?? '')}`),
  ].join('\n');
};
