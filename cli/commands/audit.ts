import type { Row } from '../../core/state/schema.ts';
import type { CommandSpec } from '../command.ts';
import { timeText } from '../output/text.ts';

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List who did what, and why',
    examples: ['warmsite audit list', 'warmsite audit list -o json'],
    run: async (cli) =>
      cli.print.list({
        kind: 'AuditRecord',
        rows: await cli.call<Row<'audit'>[]>('audit.list', {}),
        columns: [
          { title: 'at', value: (record) => timeText(record.at) },
          { title: 'who', value: (record) => record.actor },
          { title: 'what', value: (record) => record.action },
          { title: 'target', value: (record) => record.target },
          { title: 'why', value: (record) => record.reason ?? undefined },
          { title: 'digest', wide: true, value: (record) => record.digest.slice(0, 16) },
        ],
        name: (record) => String(record.seq),
        empty: 'nobody has done anything yet',
      }),
  },
  {
    name: 'verify',
    about: 'Prove that no audit record was changed or removed',
    examples: ['warmsite audit verify'],
    run: async (cli) => {
      const result = await cli.call<{ records: number }>('audit.verify', {});
      await cli.print.one({ kind: 'AuditCheck', data: result, name: 'audit', text: `the chain of ${result.records} records is whole` });
    },
  },
];
