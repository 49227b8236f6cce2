import type { CommandSpec } from '../command.ts';
import { settingFiles } from '../settings.ts';

export const commands: readonly CommandSpec[] = [
  {
    name: 'show',
    about: 'Show the settings that hold here, and where each comes from',
    examples: ['warmsite config show'],
    run: async (cli) => {
      const rows = Object.entries(cli.settings).map(([key, setting]) => ({ key, ...(setting as { value: string; from: string }) }));
      await cli.print.list({
        kind: 'Setting',
        rows,
        columns: [
          { title: 'setting', value: (row) => row.key },
          { title: 'value', value: (row) => row.value },
          { title: 'from', value: (row) => row.from },
        ],
        name: (row) => row.key,
        empty: '',
      });
      const files = settingFiles(cli.at.env, cli.at.folder);
      if (cli.print.forPeople && files.length > 0) cli.print.say(`files, the first wins: ${files.join(', ')}`);
    },
  },
];
