import { EXIT } from '../../core/contract/index.ts';
import type { PointRecord } from '../../core/state/points.ts';
import type { CommandSpec } from '../command.ts';
import { bytesText, timeText } from '../output/text.ts';

type PointRow = PointRecord & {
  readonly machine: string;
  readonly pinned: boolean;
  readonly tags: readonly string[];
  readonly suspect?: true;
  readonly damaged?: true;
};

const stateOf = (point: PointRow): string =>
  [
    point.damaged ? 'damaged' : point.suspect ? 'suspect' : point.appliedAt ? 'applied' : 'sealed',
    ...(point.pinned ? ['pinned'] : []),
  ].join(', ');

const markCommand = (verb: 'tag' | 'pin' | 'unpin', about: string, done: string): CommandSpec => ({
  name: verb,
  args: verb === 'tag' ? '<id> <tag>' : '<id>',
  about,
  examples: [`warmsite point ${verb} pt-0000000000abcdef${verb === 'tag' ? ' before-upgrade' : ''}`],
  run: async (cli, { args: [id = '', tag], options }) => {
    const data = await cli.call(`point.${verb}`, { id, ...(tag === undefined ? {} : { tag }) }, options);
    await cli.print.one({ kind: 'Point', data, name: id, text: `${id} is ${done}` });
  },
});

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    args: '<target>',
    about: 'List the recovery points of a machine, group or plan, oldest first',
    examples: ['warmsite point list erp-db', 'warmsite point list erp -o json'],
    run: async (cli, { args: [target = ''] }) =>
      cli.print.list({
        kind: 'Point',
        rows: await cli.call<PointRow[]>('point.list', { target }),
        columns: [
          { title: 'machine', value: (point) => point.machine },
          { title: 'taken', value: (point) => timeText(point.takenAt) },
          { title: 'kind', value: (point) => point.kind },
          { title: 'consistency', value: (point) => point.consistency },
          { title: 'data', right: true, value: (point) => bytesText(point.dataBytes) },
          { title: 'state', value: stateOf, style: (point) => (point.damaged ? 'red' : point.suspect ? 'yellow' : undefined) },
          { title: 'id', value: (point) => point.id },
          { title: 'tags', value: (point) => point.tags.join(', ') || '-' },
          { title: 'atomicity', wide: true, value: (point) => point.atomicity },
          { title: 'site', wide: true, value: (point) => point.site },
        ],
        name: (point) => point.id,
        empty: 'there is no recovery point yet',
      }),
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one recovery point as its seal has it',
    examples: ['warmsite point show pt-0000000000abcdef -o yaml'],
    run: async (cli, { args: [id = ''] }) => cli.print.one({ kind: 'Point', data: await cli.call('point.show', { id }), name: id }),
  },
  markCommand('tag', 'Give a recovery point a name', 'tagged'),
  markCommand('pin', 'Keep a recovery point whatever the retention says', 'pinned'),
  markCommand('unpin', 'Give a pinned recovery point back to retention', 'unpinned'),
  {
    name: 'verify',
    args: '<target>',
    about: 'Read the journal and prove its chain, seals and data',
    examples: ['warmsite point verify erp'],
    run: async (cli, { args: [target = ''] }) => {
      const verdicts = await cli.call<{ machine: string; points: number; damaged: readonly string[] }[]>('point.verify', { target });
      await cli.print.list({
        kind: 'PointVerdict',
        rows: verdicts,
        columns: [
          { title: 'machine', value: (verdict) => verdict.machine },
          { title: 'points', right: true, value: (verdict) => verdict.points },
          { title: 'damaged', value: (verdict) => verdict.damaged.join(', ') || 'none' },
        ],
        name: (verdict) => verdict.machine,
        empty: 'there is nothing to verify',
      });
      return verdicts.some((verdict) => verdict.damaged.length > 0) ? EXIT.checkFailed : EXIT.done;
    },
  },
];
