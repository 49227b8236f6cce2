// Verbs on a machine, a group or a plan: dry run, confirmation, job. All of one shape.
import { EXIT, type ExitCode } from '../core/contract/index.ts';
import type { DryRun } from '../core/engine/operations-recover.ts';
import type { StatusView } from '../core/engine/status.ts';
import type { Cli } from './cli.ts';
import { type CommandSpec, given, type Invocation, type OptionSpec, type OptionValue } from './command.ts';
import { CONFIRM_OPTION, confirm, DRY_RUN_OPTION } from './confirm.ts';
import { findingLine } from './findings.ts';
import { JOB_OPTIONS, runJob } from './follow.ts';
import { bytesText, timeText } from './output/text.ts';

export interface ItemVerb {
  readonly name?: string;
  readonly operation: string;
  readonly about: string;
  readonly examples: readonly string[];
  /** Present when the operation is severe: what cannot be undone. */
  readonly final?: string;
  /** What the prompt calls it: 'planned failover'. */
  readonly called: string;
  readonly options?: readonly OptionSpec[];
  /** Options that go to the operation under their own names. */
  readonly passes?: readonly string[];
  readonly also?: (invocation: Invocation) => Record<string, OptionValue>;
  readonly args?: string;
}

export const TARGET = '<target>';

export const itemVerb = (verb: ItemVerb): CommandSpec => ({
  ...(verb.name === undefined ? {} : { name: verb.name }),
  args: verb.args ?? TARGET,
  about: verb.about,
  options: [...(verb.options ?? []), ...(verb.final === undefined ? [] : [CONFIRM_OPTION]), DRY_RUN_OPTION, ...JOB_OPTIONS],
  examples: verb.examples,
  run: (cli, invocation) => runItemVerb(cli, verb, invocation),
});

const runItemVerb = async (cli: Cli, verb: ItemVerb, invocation: Invocation): Promise<ExitCode> => {
  const { args, options } = invocation;
  const input = { target: args[0], ...given(options, ...(verb.passes ?? [])), ...verb.also?.(invocation) };
  const ask = () => cli.call<DryRun>(verb.operation, { ...input, dryRun: true });
  if (options['dryRun']) return showDryRun(cli, await ask());
  if (verb.final !== undefined) {
    const plan = await ask();
    // A refusal is told before anybody types a name; the operation itself says it best.
    if (plan.members.every((member) => member.allowed))
      await confirm(
        cli,
        { does: `${sentence(verb.called)} of ${plan.target}`, target: plan.target, lines: await describe(cli, plan), final: verb.final },
        options,
      );
  }
  return runJob(cli, verb.operation, input, options);
};

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Machines with their sites, direction and the point that they would start from. */
const describe = async (cli: Cli, plan: DryRun): Promise<string[]> => {
  const { items } = await cli.call<StatusView>('status', {});
  return plan.members.map((member) => {
    const item = items.find((candidate) => candidate.name === member.name);
    const where = item ? `${item.direction}, active at ${item.active}, ${item.protection}` : '';
    const notes = (member.notes ?? []).map((note) => `; ${note}`).join('');
    return `${member.name}  ${where}${member.takenAt ? `, point of ${timeText(member.takenAt)}` : ''}${notes}`;
  });
};

/** `checkFailed` when something is in the way: a dry run is a check. */
export const showDryRun = async (cli: Cli, plan: DryRun): Promise<ExitCode> => {
  const lines = [
    `dry run: ${plan.verb} of ${plan.target}; nothing was changed`,
    ...plan.steps.map((step, index) => `  ${index + 1}. ${step}`),
    ...(plan.dataPaths ?? []).map((path) => `  at ${path.endpoint}: ${findingLine(path)}`),
    ...plan.members.flatMap((member) => [
      `  ${member.name}: ${member.allowed ? `can be done${member.takenAt ? `, at the point of ${timeText(member.takenAt)} (${member.point})` : ''}` : `not now: ${member.reason}; ${member.way}`}`,
      ...(member.notes ?? []).map((note) => `      ${note}`),
      ...(member.disks
        ? [`      ${member.disks.count === 1 ? '1 disk' : `${member.disks.count} disks`}, ${bytesText(member.disks.sizeBytes)}`]
        : []),
      ...(member.findings ?? []).map((finding) => `      ${findingLine(finding)}`),
    ]),
  ];
  await cli.print.one({ kind: 'DryRun', data: plan, name: plan.target, text: lines.join('\n') });
  return plan.members.every((member) => member.allowed) ? EXIT.done : EXIT.checkFailed;
};
