import { EXIT } from '../../core/contract/index.ts';
import type { StatusView } from '../../core/engine/status.ts';
import type { CommandSpec } from '../command.ts';
import { visible } from '../output/text.ts';
import { itemColumns } from '../views.ts';

/** One that runs waits for others; any other wait is for a person. */
const waitText = ({ id, state, waitingFor }: StatusView['jobs'][number]): string => {
  if (!waitingFor) return '';
  return state === 'Running' ? `: it waits for ${waitingFor}` : `: warmsite job go-on ${id}`;
};

export const commands: readonly CommandSpec[] = [
  {
    about: 'Tell what can be recovered now, and what needs a person',
    options: [{ flags: '--check', about: `exit ${EXIT.checkFailed} when something is Critical` }],
    examples: ['warmsite status', 'warmsite status --check -o json'],
    run: async (cli, { options }) => {
      const status = await cli.call<StatusView>('status', {});
      if (cli.print.forPeople) {
        cli.print.text(status.sentence);
        if (status.items.length > 0) {
          cli.print.text('');
          cli.print.table(status.items, itemColumns);
        }
        const reasons = [
          ...status.items.flatMap((item) => item.health.reasons.map((reason) => `${item.name}: ${reason.message}; next: ${reason.hint}`)),
          ...status.waits.map(({ name, rule, because, hint }) => `${name}: rule ${rule} cannot protect it: ${because}; next: ${hint}`),
        ];
        const jobs = status.jobs.map((job) => `${job.verb} of ${visible(job.target)} is ${job.state} (${job.id})${waitText(job)}`);
        if (reasons.length > 0) cli.print.text(`\nneeds attention\n${reasons.map((line) => `  ${visible(line)}`).join('\n')}`);
        if (jobs.length > 0) cli.print.text(`\njobs\n${jobs.map((line) => `  ${line}`).join('\n')}`);
      } else await cli.print.one({ kind: 'Status', data: status, name: status.items.map((item) => item.name).join(' ') });
      const critical = status.items.some((item) => item.health.level === 'Critical');
      return options['check'] && critical ? EXIT.checkFailed : EXIT.done;
    },
  },
];
