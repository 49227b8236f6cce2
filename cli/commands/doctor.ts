import { EXIT } from '../../core/contract/index.ts';
import type { CommandSpec } from '../command.ts';
import { examine } from '../doctor.ts';

const MARK = { ok: 'ok  ', warn: 'warn', fail: 'fail' } as const;
const STYLE = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

export const commands: readonly CommandSpec[] = [
  {
    about: 'Check Node, home, disk space, store, engine, sites, endpoints and clock; each line with its next step',
    options: [{ flags: '--sweep', about: 'first remove what ended jobs and cycles left at endpoints' }],
    examples: ['warmsite doctor', 'warmsite doctor --sweep', 'warmsite doctor -o json'],
    run: async (cli, { options }) => {
      if (options['sweep']) {
        const swept = await cli.call<{ snapshots: number; forks: number; unreachable: readonly string[] }>('sweep', {}, options);
        const unseen = swept.unreachable.length > 0 ? `; out of reach: ${swept.unreachable.join(', ')}` : '';
        cli.print.say(`${swept.snapshots} snapshots and ${swept.forks} forks that nobody needed were removed${unseen}`);
      }
      const findings = await examine(cli);
      if (cli.print.forPeople)
        for (const { level, what, seen, next } of findings) {
          cli.print.raw(
            `${cli.print.paint(STYLE[level], MARK[level])}  ${what}: ${seen}${level === 'ok' || !next ? '' : `; next: ${next}`}`,
          );
        }
      else
        await cli.print.list({
          kind: 'Finding',
          rows: findings,
          columns: [],
          name: (finding) => `${finding.level}/${finding.what}`,
          empty: '',
        });
      return findings.some((finding) => finding.level === 'fail') ? EXIT.checkFailed : EXIT.done;
    },
  },
];
