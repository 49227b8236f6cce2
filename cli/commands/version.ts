import type { CommandSpec } from '../command.ts';
import { readVersion } from '../version.ts';

export const commands: readonly CommandSpec[] = [
  {
    about: 'Print the version of the program and of what runs it',
    examples: ['warmsite version', 'warmsite --version'],
    run: async (cli) => {
      const data = {
        warmsite: readVersion(),
        node: process.version,
        sqlite: process.versions['sqlite'] ?? '',
        platform: `${process.platform}-${process.arch}`,
      };
      await cli.print.one({ kind: 'Version', data, name: data.warmsite });
    },
  },
];
