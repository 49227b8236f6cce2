import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { DrError } from '../../core/contract/index.ts';
import type { RecoveryPlan } from '../../core/domain/policy.ts';
import { type Cli, usage } from '../cli.ts';
import { type CommandSpec, textOption } from '../command.ts';
import { CONFIRM_OPTION } from '../confirm.ts';
import { invalid, type Located, type Resource, readResources } from '../documents.ts';
import { itemVerb } from '../item-verb.ts';
import { commands as failoverCommands } from './failover.ts';

type PlanResource = Extract<Resource, { kind: 'Plan' }>;

/** The text of a file, or of the standard input for `-`. */
export const readText = async (cli: Cli, path: string): Promise<string> => {
  if (path === '-') return cli.at.readInput();
  try {
    return readFileSync(resolve(cli.at.folder, path), 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new DrError('CONFIG_INVALID', `${missing ? 'there is no file' : 'cannot read the file'} ${path}`, {
      context: { path },
      hint: 'check the path, or give - to read from the standard input',
      cause: error,
    });
  }
};

const readPlans = async (cli: Cli, path: string): Promise<Located<PlanResource>[]> =>
  readResources(await readText(cli, path), path).map((document) => {
    if (document.value.kind === 'Plan') return document as Located<PlanResource>;
    throw invalid(document.at('kind'), 'kind', `${document.value.kind} is no plan`, 'use warmsite apply -f for other kinds');
  });

const stepText = (step: RecoveryPlan['steps'][number]): string => ('boot' in step ? step.boot.join(' + ') : `wait ${step.waitSeconds} s`);

const RUNS = ['test', 'planned', 'unplanned'] as const;

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the recovery plans',
    examples: ['warmsite plan list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Plan',
        rows: await cli.call<RecoveryPlan[]>('plan.list', {}),
        columns: [
          { title: 'name', value: (plan) => plan.name },
          { title: 'steps', value: (plan) => plan.steps.map(stepText).join(', then ') },
        ],
        name: (plan) => plan.name,
        empty: 'there is no plan yet: warmsite plan create -f FILE',
      }),
  },
  {
    name: 'show',
    args: '<name>',
    about: 'Show one plan',
    examples: ['warmsite plan show shop -o yaml'],
    run: async (cli, { args: [name = ''] }) => cli.print.one({ kind: 'Plan', data: await cli.call('plan.show', { name }), name }),
  },
  {
    name: 'create',
    about: 'Create or change plans from a file with documents of the kind Plan',
    options: [{ flags: '-f, --file <path>', about: 'the file; - for the standard input', required: true }],
    examples: ['warmsite plan create -f shop.yaml'],
    run: async (cli, { options }) => {
      for (const { value } of await readPlans(cli, textOption(options, 'file') ?? '')) {
        const plan = { name: value.metadata.name, ...value.spec };
        await cli.call('plan.put', plan, options);
        await cli.print.one({ kind: 'Plan', data: plan, name: plan.name, text: `plan ${plan.name} is there` });
      }
    },
  },
  {
    name: 'validate',
    args: '<name>',
    about: 'Show the boot groups of a plan with their members, or why it cannot run',
    examples: ['warmsite plan validate shop'],
    run: async (cli, { args: [name = ''] }) => {
      const plan = await cli.call<{ bootGroups: readonly { waitSecondsBefore: number; members: readonly string[] }[] }>('plan.validate', {
        name,
      });
      const lines = plan.bootGroups.map(
        (group, index) =>
          `${index + 1}. ${group.waitSecondsBefore > 0 ? `after ${group.waitSecondsBefore} s: ` : ''}${group.members.join(', ')}`,
      );
      await cli.print.one({ kind: 'PlanCheck', data: plan, name, text: [`plan ${name} can run`, ...lines].join('\n') });
    },
  },
  {
    name: 'delete',
    args: '<name>',
    about: 'Delete a plan; its machines stay protected',
    examples: ['warmsite plan delete shop'],
    run: async (cli, { args: [name = ''], options }) => {
      await cli.print.one({ kind: 'Plan', data: await cli.call('plan.delete', { name }, options), name, text: `plan ${name} is deleted` });
    },
  },
  {
    ...itemVerb({ name: 'run', operation: 'failover.test', called: 'run', about: '', examples: [] }),
    args: '<name>',
    about: 'Run a plan as a test, planned or unplanned failover',
    options: [
      { flags: '--as <kind>', about: 'which failover', choices: RUNS, required: true },
      { flags: '--point <point>', about: 'the recovery point (test and unplanned)' },
      { flags: '--source-is <state>', about: 'what you know of the sources (unplanned)', choices: ['off', 'unreachable', 'running'] },
      CONFIRM_OPTION,
      ...(itemVerb({ operation: '', called: '', about: '', examples: [] }).options ?? []),
    ],
    examples: ['warmsite plan run shop --as test', 'warmsite plan run shop --as planned --confirm shop'],
    run: async (cli, invocation) => {
      const as = textOption(invocation.options, 'as');
      const verb = failoverCommands.find((command) => command.name === as);
      if (!verb) throw usage(`a plan cannot run as ${as ?? ''}`, `choose one of: ${RUNS.join(', ')}`);
      const wrong = as === 'planned' ? (['point', 'sourceIs'] as const).find((name) => invocation.options[name] !== undefined) : undefined;
      if (wrong)
        throw usage(
          `a planned failover takes no ${wrong === 'point' ? '--point' : '--source-is'}`,
          'it always goes to a last point with nothing lost',
        );
      await cli.call('plan.show', { name: invocation.args[0] });
      return verb.run(cli, invocation);
    },
  },
];
