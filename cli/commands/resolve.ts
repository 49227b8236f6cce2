import type { CommandSpec } from '../command.ts';
import { itemVerb } from '../item-verb.ts';

export const commands: readonly CommandSpec[] = [
  itemVerb({
    operation: 'resolve',
    called: 'decision which copy stays',
    about: 'Decide which of two copies stays; the disks of the other are kept',
    options: [{ flags: '--keep <site>', about: 'the site whose copy stays', required: true }],
    passes: ['keep'],
    final: 'the copy at the other site is isolated and powered off',
    examples: ['warmsite resolve erp --keep site-b --confirm erp'],
  }),
];
