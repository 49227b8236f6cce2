import type { Row } from '../../core/state/schema.ts';
import type { CommandSpec } from '../command.ts';
import type { Column } from '../output/table.ts';
import { timeText } from '../output/text.ts';
import { watchEvents } from '../watch.ts';

type EventRow = Row<'event'>;

export const eventColumns: readonly Column<EventRow>[] = [
  { title: 'at', value: (event) => timeText(event.at) },
  {
    title: 'level',
    value: (event) => event.level,
    style: (event) => (event.level === 'critical' ? 'red' : event.level === 'warning' ? 'yellow' : undefined),
  },
  { title: 'subject', value: (event) => event.subject },
  { title: 'kind', value: (event) => event.kind },
  { title: 'message', value: (event) => event.message },
  { title: 'job', wide: true, value: (event) => event.jobId ?? undefined },
  { title: 'seq', wide: true, right: true, value: (event) => event.seq },
];

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the newest events, oldest first',
    options: [
      { flags: '-n, --limit <n>', about: 'at most so many (default: 100)', kind: 'integer' },
      { flags: '--after <seq>', about: 'only those after this sequence number', kind: 'integer' },
    ],
    examples: ['warmsite event list', 'warmsite event list --after 120 -o jsonl'],
    run: async (cli, { options }) =>
      cli.print.list({
        kind: 'Event',
        rows: await cli.call<EventRow[]>('event.list', {
          ...(options['limit'] === undefined ? {} : { limit: options['limit'] }),
          ...(options['after'] === undefined ? {} : { afterSeq: options['after'] }),
        }),
        columns: eventColumns,
        name: (event) => String(event.seq),
        empty: 'nothing has happened yet',
      }),
  },
  {
    name: 'watch',
    about: 'Show events as they come, until Ctrl-C',
    options: [{ flags: '--after <seq>', about: 'begin after this sequence number (default: now)', kind: 'integer' }],
    examples: ['warmsite event watch', 'warmsite event watch -o jsonl'],
    run: (cli, { options }) => watchEvents(cli, options['after'] as number | undefined),
  },
];
