import type { CommandSpec } from '../command.ts';
import { itemVerb } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  itemVerb({
    operation: 'failback',
    called: 'failback',
    about: 'Bring machines back',
    final: 'planned failover, commit and re-protect in one: the machines are shut down where they run and started at their first site',
    examples: ['warmsite failback erp --dry-run', 'warmsite failback erp --confirm erp'],
  }),
];
