import type { CommandSpec } from '../command.ts';
import { itemVerb } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  itemVerb({
    operation: 'reprotect',
    called: 're-protect',
    about: 'Replicate in the reverse direction',
    final: 'the disks as found at the other site are overwritten; a divergent point keeps what they held',
    examples: ['warmsite reprotect erp --dry-run', 'warmsite reprotect erp --confirm erp'],
  }),
];
