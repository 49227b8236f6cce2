import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { connectLab } from '../../adapters/lab/client.ts';
import type { EstatePort, EstateSpec, EstateStatus } from '../../adapters/lab/port.ts';
import { EXIT } from '../../core/contract/index.ts';
import { type Cli, usage } from '../cli.ts';
import { type CommandSpec, type Invocation, numberOption, type OptionSpec, type Options, textOption } from '../command.ts';
import { BREAKS, breakLab, findMachine } from '../lab/break.ts';
import { showComparisons } from '../lab/compare.ts';
import { buildEstate, ESTATES, type EstateName, machinesIn } from '../lab/estate.ts';
import { findLab, labSecret, labSocket, startLab, stopLab } from '../lab/process.ts';
import { registerLab } from '../lab/register.ts';

const DIR: OptionSpec = { flags: '--dir <dir>', about: 'where the lab keeps its disks (default: lab in the home)' };
const SEED: OptionSpec = { flags: '--seed <n>', about: 'contents and names that the lab makes up (default: 1)', kind: 'integer' };
const MACHINES: OptionSpec = { flags: '--machines <n>', about: 'so many machines (default: 6)', kind: 'integer' };
const MACHINES_OF: OptionSpec = { ...MACHINES, about: 'so many machines (default: 6 in mixed, 4 in vmm, 3 in hyperv)' };
const ESTATE: OptionSpec = {
  flags: '--estate <name>',
  about: 'all kinds of endpoints, two System Center VMM servers, or Hyper-V hosts and clusters (default: mixed)',
  choices: ESTATES,
};

const DEFAULT_ESTATE: EstateName = 'mixed';

const directoryOf = (cli: Cli, options: Options): string => resolve(cli.at.folder, textOption(options, 'dir') ?? join(cli.home, 'lab'));

const machinesOf = (options: Options, estate: EstateName = DEFAULT_ESTATE): number => {
  const machines = numberOption(options, 'machines') ?? machinesIn(estate);
  if (machines < 1 || machines > 10_000) throw usage(`a lab of ${machines} machines cannot be made`, 'choose 1 to 10000');
  return machines;
};

const withLab = async <T>(cli: Cli, options: Options, work: (lab: EstatePort) => Promise<T>): Promise<T> => {
  await using lab = await connectLab(labSocket(directoryOf(cli, options)));
  return await work(lab);
};

/** A lab that was made before is what it is. */
const assertSame = (spec: EstateSpec, wanted: EstateSpec, directory: string): void => {
  const namesOf = (one: EstateSpec) => one.sites.flatMap((site) => site.endpoints.map(({ name }) => name)).join();
  if (namesOf(spec) === namesOf(wanted)) return;
  throw usage(`the lab in ${directory} was made as another estate`, 'leave --estate out, or take a folder of its own with --dir');
};

/** A group that can be protected in this lab: the machines of the first one's application. */
const exampleOf = (spec: EstateSpec): string => {
  const machines = spec.sites.flatMap((site) => site.endpoints.flatMap((endpoint) => endpoint.machines ?? []));
  const app = machines[0]?.labels?.['app'] ?? '';
  const names = machines.filter(({ labels }) => labels?.['app'] === app).map(({ name }) => name);
  return `warmsite protect ${names.join(' ')} --group ${app} --policy lab --to site-b`;
};

const up = async (cli: Cli, { options }: Invocation): Promise<void> => {
  const directory = directoryOf(cli, options);
  const estatePath = join(directory, 'estate.json');
  const again = existsSync(join(directory, 'lab.json')) && existsSync(estatePath);
  const { path: secretPath, password } = labSecret(directory);
  const estate = (textOption(options, 'estate') ?? DEFAULT_ESTATE) as EstateName;
  const made = buildEstate({ estate, machines: machinesOf(options, estate), password });
  const spec = again ? (JSON.parse(readFileSync(estatePath, 'utf8')) as EstateSpec) : made;
  if (again && options['estate'] !== undefined) assertSame(spec, made, directory);
  const running = findLab(directory);
  const pid = running ?? (await startLab({ directory, seed: numberOption(options, 'seed') ?? 1, spec }));
  await cli.client('site.add');
  await registerLab((operation, input) => cli.call(operation, input), spec, { address: labSocket(directory), secretPath });
  const data = {
    directory,
    pid,
    socket: labSocket(directory),
    again,
    endpoints: spec.sites.flatMap((site) => site.endpoints.map(({ name }) => name)),
  };
  const text = [
    `the lab ${running ? 'runs already' : again ? 'goes on as it was' : 'is up'}: process ${pid}, ${directory}`,
    'its sites, endpoints, mappings and the policy lab are registered; next:',
    '  warmsite machine list',
    `  ${exampleOf(spec)}`,
  ];
  await cli.print.one({ kind: 'Lab', data, name: directory, text: text.join('\n') });
};

const statusText = (status: EstateStatus): string => {
  const sites = status.sites.map((site) => `${site.name}: ${site.burned ? 'burned' : site.linkCut ? 'link cut' : 'up'}`);
  const on = status.machines.filter((machine) => machine.power === 'on').length;
  const lines = [
    `${sites.join(', ')}; ${status.machines.length} machines, ${on} on; ${status.violations.length} violations, ${status.leftovers.length} things made by installations`,
  ];
  return lines.join('\n');
};

export const commands: readonly CommandSpec[] = [
  {
    name: 'up',
    about: 'Start the lab in the background and make this home know it: two sites, their endpoints, machines that write',
    options: [DIR, ESTATE, SEED, MACHINES_OF],
    examples: ['warmsite lab up', 'warmsite lab up --estate vmm', 'warmsite lab up --machines 12 --seed 7'],
    run: up,
  },
  {
    name: 'down',
    about: 'End the lab in order; it goes on as it was with the next lab up',
    options: [DIR],
    examples: ['warmsite lab down'],
    run: async (cli, { options }) => {
      const directory = directoryOf(cli, options);
      const stopped = await stopLab(directory);
      await cli.print.one({
        kind: 'Lab',
        data: { directory, stopped },
        name: directory,
        text: stopped ? 'the lab has ended' : 'no lab runs here',
      });
    },
  },
  {
    name: 'status',
    about: 'Show the simulated estate as it truly is, past all plugins',
    options: [DIR],
    examples: ['warmsite lab status', 'warmsite lab status -o json'],
    run: (cli, { options }) =>
      withLab(cli, options, async (lab) => {
        const status = await lab.call('lab.status', {});
        if (!cli.print.forPeople) return cli.print.one({ kind: 'LabStatus', data: status, name: 'lab' });
        cli.print.text(`${statusText(status)}\n`);
        cli.print.table(status.machines, [
          { title: 'name', value: (machine) => machine.name },
          { title: 'endpoint', value: (machine) => machine.endpoint },
          { title: 'role', value: (machine) => machine.role },
          { title: 'power', value: (machine) => machine.power },
          { title: 'guest', value: (machine) => machine.bootFailure ?? (machine.guestUp ? 'up' : '-') },
          { title: 'transactions', right: true, value: (machine) => machine.transactions },
          { title: 'id', wide: true, value: (machine) => machine.machine },
        ]);
      }),
  },
  {
    name: 'compare',
    args: '<machines...>',
    about:
      'Hold all copies of a machine against the one that runs, byte by byte, past all plugins; exit code 8 when something is missing there',
    options: [DIR],
    examples: ['warmsite lab compare erp-db', 'warmsite lab compare erp-db erp-web -o json'],
    run: (cli, { args, options }) =>
      withLab(cli, options, async (lab) => ((await showComparisons(cli, lab, args)) ? EXIT.done : EXIT.checkFailed)),
  },
  ...BREAKS.map(
    (kind): CommandSpec => ({
      name: `break ${kind.name}`,
      args: kind.args,
      about: kind.about,
      options: [DIR, ...(kind.options ?? [])],
      examples: [kind.example],
      run: (cli, { args, options }) =>
        withLab(cli, options, async (lab) => {
          const done = await breakLab(lab, kind, args, options);
          await cli.print.one({ kind: 'LabBreak', data: { kind: kind.name, args, done }, name: kind.name, text: done });
        }),
    }),
  ),
  {
    name: 'label',
    args: '<machine> [labels...]',
    about: 'Give a machine these labels in place of all that it has, as an administrator would; cloud=NAME puts it into that cloud',
    options: [DIR],
    examples: ['warmsite lab label ledger cloud=gold tier=1', 'warmsite lab label ledger'],
    run: (cli, { args: [name = '', ...words], options }) =>
      withLab(cli, options, async (lab) => {
        const labels = Object.fromEntries(words.map(labelOf));
        await lab.call('lab.setLabels', { machine: await findMachine(lab, name), labels });
        const text = words.length > 0 ? `${name} has the labels ${words.join(' ')}` : `${name} has no label`;
        await cli.print.one({ kind: 'LabLabels', data: { machine: name, labels }, name, text });
      }),
  },
  {
    name: 'disk apply',
    args: '<machine> <image>',
    about: 'Make the first disk of a machine equal to an image, by writes of its guest where they differ',
    options: [DIR],
    examples: ['warmsite lab disk apply own-disk ./disk.img'],
    run: (cli, { args: [name = '', image = ''], options }) =>
      withLab(cli, options, async (lab) => {
        const { machine, disk } = await firstDisk(lab, name);
        const result = await lab.call('lab.applyDisk', { machine, disk, path: resolve(cli.at.folder, image) });
        await cli.print.one({ kind: 'LabDisk', data: result, name, text: `${result.changedBytes} bytes changed in ${name}` });
      }),
  },
  {
    name: 'disk export',
    args: '<machine> <file>',
    about: 'Write the first disk of a machine into a new sparse file',
    options: [DIR],
    examples: ['warmsite lab disk export erp-web ./erp-web.img'],
    run: (cli, { args: [name = '', file = ''], options }) =>
      withLab(cli, options, async (lab) => {
        const { machine, disk } = await firstDisk(lab, name);
        const result = await lab.call('lab.exportDisk', { of: { machine }, disk, path: resolve(cli.at.folder, file) });
        await cli.print.one({ kind: 'LabDisk', data: result, name, text: `${result.writtenBytes} bytes written to ${file}` });
      }),
  },
  {
    name: 'drill',
    about: 'Run the whole story in a home of its own and compare every copy byte for byte; this is npm run demo',
    options: [
      { flags: '--json', about: 'the same as -o json' },
      { flags: '--disk <file>', about: 'a disk image of your own, as the disk of one more machine; it is copied in and never changed' },
      SEED,
      MACHINES,
      { flags: '--dir <dir>', about: 'work in this folder and keep it' },
      { flags: '--keep', about: 'keep the temporary folder' },
    ],
    examples: ['warmsite lab drill', 'warmsite lab drill --disk ./disk.img', 'warmsite lab drill --seed 7 -o json'],
    run: async (cli, { options }) => {
      const { showDrill } = await import('../lab/show-drill.ts');
      return (await showDrill(
        cli,
        {
          machines: machinesOf(options),
          seed: numberOption(options, 'seed') ?? 1,
          keep: options['keep'] === true,
          directory: textOption(options, 'dir'),
          diskPath: textOption(options, 'disk'),
        },
        options['json'] === true,
      ))
        ? EXIT.done
        : EXIT.checkFailed;
    },
  },
];

const labelOf = (word: string): readonly [string, string] => {
  const at = word.indexOf('=');
  if (at < 1 || at === word.length - 1) throw usage(`${JSON.stringify(word)} is no label`, 'write KEY=VALUE');
  return [word.slice(0, at), word.slice(at + 1)];
};

const firstDisk = async (lab: EstatePort, name: string) => {
  const machine = await findMachine(lab, name);
  const { spec } = await lab.call('lab.machine', { machine });
  const [disk] = spec.disks;
  if (!disk) throw usage(`${name} has no disk`, 'choose another machine');
  return { machine, disk: disk.id };
};
