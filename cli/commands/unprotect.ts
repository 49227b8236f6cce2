import type { CommandSpec } from '../command.ts';
import { itemVerb } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  itemVerb({
    operation: 'unprotect',
    called: 'end of protection',
    about: 'End protection; possible from every state',
    options: [{ flags: '--keep-replica', about: 'leave the replica machine at the recovery site' }],
    passes: ['keepReplica'],
    final: 'its recovery points are removed, and cannot be brought back',
    examples: ['warmsite unprotect erp --keep-replica', 'warmsite unprotect erp --confirm erp --reason "moved to the cloud"'],
  }),
];
