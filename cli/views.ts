// Columns that several commands show.
import type { ItemView } from '../core/engine/status.ts';
import type { Column } from './output/table.ts';
import { durationText, timeText } from './output/text.ts';

const HEALTH_STYLE = { Normal: 'green', Warning: 'yellow', Critical: 'red' } as const;

const stateText = (item: ItemView): string =>
  item.phase && item.protection.startsWith('FailingOver') ? `${item.protection} (${item.phase})` : item.protection;
const lagText = (item: ItemView): string =>
  item.lag.ms === undefined ? '-' : `${durationText(item.lag.ms)}${item.health.rpoViolation ? ' !' : ''}`;

export const itemColumns: readonly Column<ItemView>[] = [
  { title: 'machine', value: (item) => item.name },
  { title: 'group', value: (item) => item.group },
  { title: 'state', value: stateText },
  { title: 'sync', value: (item) => (item.syncReason ? `${item.sync} (${item.syncReason})` : item.sync) },
  { title: 'direction', value: (item) => item.direction },
  { title: 'lag', right: true, value: lagText },
  { title: 'rpo', right: true, value: (item) => durationText(item.rpoSeconds * 1_000) },
  { title: 'points', right: true, value: (item) => item.points },
  { title: 'health', value: (item) => item.health.level, style: (item) => HEALTH_STYLE[item.health.level] },
  { title: 'method', wide: true, value: (item) => item.method },
  { title: 'active', wide: true, value: (item) => item.active },
  { title: 'test', wide: true, value: (item) => item.test },
  { title: 'source', wide: true, value: (item) => item.source },
  { title: 'replica', wide: true, value: (item) => item.replica },
];

export const failoverColumns: readonly Column<ItemView>[] = [
  { title: 'machine', value: (item) => item.name },
  { title: 'state', value: stateText },
  { title: 'active', value: (item) => item.active },
  { title: 'test', value: (item) => item.test },
  { title: 'direction', value: (item) => item.direction },
  {
    title: 'last test',
    value: (item) =>
      item.lastTest
        ? `${timeText(item.lastTest.at)} (${item.lastTest.booted ? `booted in ${durationText(item.lastTest.rtoMs)}` : 'did not boot'})`
        : 'never',
  },
  {
    title: 'now possible',
    value: (item) => item.allowed.filter((operation) => !['pause', 'resume', 'sync', 'resync', 'verify'].includes(operation)).join(', '),
  },
];
