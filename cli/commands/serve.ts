import { once } from 'node:events';
import { EXIT } from '../../core/contract/index.ts';
import { socketPath } from '../../core/engine/home.ts';
import { serveSocket } from '../../core/engine/socket.ts';
import type { CommandSpec } from '../command.ts';
import { composeEngine } from '../container.ts';

export const commands: readonly CommandSpec[] = [
  {
    about: 'Run the engine: replicates by deadline, and does what other commands ask by its socket',
    examples: ['warmsite serve', 'warmsite serve --home /var/lib/warmsite'],
    run: async (cli) => {
      await using composed = await composeEngine({ home: cli.home, env: cli.at.env, debug: cli.debug });
      const { engine, log } = composed;
      const { resumed, readOnlyBecause } = await engine.start();
      for (const id of resumed) cli.print.say(`resuming job ${id}`);
      await using socket = await serveSocket(engine, socketPath(cli.home));
      // Until reconcile nothing may be changed, so nothing is replicated either.
      if (readOnlyBecause) cli.print.say(`read-only, not replicating: ${readOnlyBecause}; next: warmsite reconcile --confirm home`);
      else engine.startPlanner();
      log.info('engine is ready', { home: cli.home, socket: socket.path });
      cli.print.text(`ready: engine of ${cli.home}, process ${process.pid}${readOnlyBecause ? ', read-only' : ', replicating'}`);
      if (!cli.signal.aborted) await once(cli.signal, 'abort');
      cli.print.say('stopping; running jobs go on at the next start');
      return EXIT.done;
    },
  },
];
