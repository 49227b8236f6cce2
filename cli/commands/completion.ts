import { CATALOG } from '../catalog.ts';
import { usage } from '../cli.ts';
import type { CommandSpec } from '../command.ts';
import { completionScript, SHELLS } from '../completion.ts';

export const commands: readonly CommandSpec[] = [
  {
    args: '<shell>',
    about: `Print the completion script for ${SHELLS.join(', ')}`,
    examples: ['source <(warmsite completion bash)', 'warmsite completion fish > ~/.config/fish/completions/warmsite.fish'],
    run: async (cli, { args: [name = ''] }) => {
      const shell = SHELLS.find((candidate) => candidate === name);
      if (!shell) throw usage(`there is no completion for ${JSON.stringify(name)}`, `choose one of: ${SHELLS.join(', ')}`);
      const tree = await Promise.all(CATALOG.map(async (noun) => ({ noun, commands: (await noun.load()).commands })));
      cli.at.screen.out(completionScript(shell, tree));
    },
  },
];
