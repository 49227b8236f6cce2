import type { CommandSpec } from '../command.ts';
import { itemVerb } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  itemVerb({
    operation: 'release',
    called: 'release',
    about: 'Leave a failed-over machine where it runs, unprotected',
    final: 'replication and its recovery points are forgotten',
    examples: ['warmsite release erp --dry-run', 'warmsite release erp --confirm erp'],
  }),
];
