import { EXIT, type Finding } from '../../core/contract/index.ts';
import type { Assessment } from '../../core/engine/operations-watch.ts';
import type { Cli } from '../cli.ts';
import { type CommandSpec, given, type OptionSpec } from '../command.ts';
import { isDataPath } from '../findings.ts';
import { bytesText } from '../output/text.ts';

const FILTERS: readonly OptionSpec[] = [
  { flags: '-e, --endpoint <id>', about: 'only those of this endpoint' },
  { flags: '-l, --label <label>', about: 'only those with this label: KEY=VALUE, or a value' },
];

interface Unreachable {
  readonly endpoint: string;
  readonly because: string;
  readonly hint: string;
}

interface MachineRow {
  readonly id: string;
  readonly name: string;
  readonly endpoint: string;
  readonly site: string;
  readonly power: string;
  readonly disks: number;
  readonly sizeBytes: number;
  readonly guest: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly protection: string;
  readonly protectedElsewhere?: string;
}

/** An endpoint that is dark hides its machines, not those of the others: partly done. */
const tellUnreachable = (cli: Cli, unreachable: readonly Unreachable[]): typeof EXIT.partial | typeof EXIT.done => {
  for (const { endpoint, because, hint } of unreachable) cli.print.say(`not looked at: ${endpoint}: ${because}; next: ${hint}`);
  return unreachable.length > 0 ? EXIT.partial : EXIT.done;
};

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the machines of all endpoints',
    options: FILTERS,
    examples: ['warmsite machine list', 'warmsite machine list -l tier=1 -o wide'],
    run: async (cli, { options }) => {
      const { machines, unreachable } = await cli.call<{ machines: MachineRow[]; unreachable: Unreachable[] }>(
        'machine.list',
        given(options, 'endpoint', 'label'),
      );
      await cli.print.list({
        kind: 'Machine',
        rows: machines,
        columns: [
          { title: 'name', value: (machine) => machine.name },
          { title: 'endpoint', value: (machine) => machine.endpoint },
          { title: 'site', value: (machine) => machine.site },
          { title: 'power', value: (machine) => machine.power },
          { title: 'disks', right: true, value: (machine) => machine.disks },
          { title: 'size', right: true, value: (machine) => bytesText(machine.sizeBytes) },
          { title: 'protection', value: (machine) => machine.protectedElsewhere ?? machine.protection },
          { title: 'labels', value: (machine) => labelText(machine.labels) || '-' },
          { title: 'id', wide: true, value: (machine) => machine.id },
          { title: 'guest', wide: true, value: (machine) => machine.guest },
        ],
        name: (machine) => `${machine.endpoint}/${machine.id}`,
        empty: 'no endpoint shows a machine',
      });
      return tellUnreachable(cli, unreachable);
    },
  },
  {
    name: 'show',
    args: '<name>',
    about: 'Show one machine as its hypervisor shows it; by name, id, or ENDPOINT/NAME',
    examples: ['warmsite machine show erp-db', 'warmsite machine show vmm-a/erp-db -o yaml'],
    run: async (cli, { args: [name = ''] }) => cli.print.one({ kind: 'Machine', data: await cli.call('machine.show', { name }), name }),
  },
  {
    name: 'assess',
    about: 'Tell which machines can be protected and what the others lack; nothing is changed',
    options: FILTERS,
    examples: ['warmsite machine assess', 'warmsite machine assess -e vcenter-a -o wide'],
    run: async (cli, { options }) => {
      const { machines, unreachable } = await cli.call<{ machines: Assessment[]; unreachable: Unreachable[] }>(
        'machine.assess',
        given(options, 'endpoint', 'label'),
      );
      if (cli.print.forPeople) cli.print.text(assessmentText(machines, cli.print.format === 'wide'));
      else
        await cli.print.list({
          kind: 'Assessment',
          rows: machines,
          columns: [],
          name: (machine) => `${machine.endpoint}/${machine.id}`,
          empty: '',
        });
      return tellUnreachable(cli, unreachable);
    },
  },
];

/** One line for each way that data would take: it says how many machines, wide which ones. */
const dataPathLines = (machines: readonly Assessment[], wide: boolean): string[] => {
  const paths = machines.flatMap((machine) =>
    machine.findings.filter((finding) => isDataPath(finding) && finding.level === 'info').map((finding: Finding) => ({ machine, finding })),
  );
  const groups = [...Map.groupBy(paths, ({ finding }) => finding.message)];
  if (groups.length === 0) return [];
  return [
    '',
    'how their disks would be read',
    ...groups.flatMap(([message, group]) => [
      `  ${group.length} of ${machines.length}: ${message}`,
      ...(wide ? [`    ${group.map(({ machine }) => machine.name).join(', ')}`] : []),
    ]),
  ];
};

/** Counts first, then what stands in the way grouped by what fixes it: one fix often serves many. */
const assessmentText = (machines: readonly Assessment[], wide: boolean): string => {
  const count = (verdict: Assessment['verdict']) => machines.filter((machine) => machine.verdict === verdict).length;
  const parts = [`${count('ready')} ready`, `${count('after a fix')} after a fix`, `${count('no')} no`, `${count('protected')} protected`];
  const fixes = machines
    .filter((machine) => machine.verdict !== 'protected')
    .flatMap((machine) => machine.findings.filter((finding) => finding.level !== 'info').map((finding) => ({ machine, finding })));
  const groups = [...Map.groupBy(fixes, ({ finding }) => `${finding.code}\n${finding.hint}`).values()];
  const lines = groups.flatMap((group) => {
    const [{ finding } = { finding: undefined }] = group;
    return finding ? [``, `${finding.hint} (${finding.message})`, `  ${group.map(({ machine }) => machine.name).join(', ')}`] : [];
  });
  const ready = machines.filter((machine) => machine.verdict === 'ready').map((machine) => machine.name);
  return [
    parts.join(', '),
    ...lines,
    ...(ready.length > 0 ? ['', 'ready', `  ${ready.join(', ')}`] : []),
    ...dataPathLines(machines, wide),
  ].join('\n');
};
