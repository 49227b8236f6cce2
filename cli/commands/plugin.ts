import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { formatReport, type PluginKind, renderPluginTemplate } from '../../core/conformance/index.ts';
import { DrError, EXIT, type Manifest } from '../../core/contract/index.ts';
import { type Cli, usage } from '../cli.ts';
import { type CommandSpec, type Invocation, type Options, textOption } from '../command.ts';
import { createRegistry } from '../container.ts';
import { entryOf, importPlugin, listOwnPlugins, loadOwnPlugins, writeOwnPlugins } from '../own-plugins.ts';
import { checkPlugin } from '../plugin-check.ts';
import { parseSettings } from './endpoint.ts';

const KINDS: readonly PluginKind[] = ['snapshot-source', 'streaming-source', 'target'];

const listOption = (options: Options, name: string): readonly string[] | undefined => options[name] as readonly string[] | undefined;

const check = async (cli: Cli, { args: [what = ''], options }: Invocation) => {
  const against = textOption(options, 'against') as 'lab' | 'site' | undefined;
  const report = await checkPlugin({
    what,
    folder: cli.at.folder,
    config: parseSettings(listOption(options, 'set') ?? []),
    env: cli.at.env,
    against,
    levels: listOption(options, 'level'),
    only: listOption(options, 'only'),
  });
  const text = formatReport(report, { plugin: against ? `${what} --against ${against}` : what });
  await cli.print.one({ kind: 'ConformanceReport', data: report, name: report.passed ? 'passed' : 'failed', text });
  return report.passed ? EXIT.done : EXIT.checkFailed;
};

/** Refused before it is named: what would keep the engine from starting. */
const add = async (cli: Cli, { args: [what = ''] }: Invocation) => {
  const path = entryOf(resolve(cli.at.folder, what));
  const known = listOwnPlugins(cli.home);
  const plugin = await importPlugin(path);
  if (!known.includes(path)) {
    createRegistry(undefined, [...(await loadOwnPlugins(cli.home)), plugin]);
    writeOwnPlugins(cli.home, [...known, path]);
  }
  const { id } = plugin.manifest;
  const text = `plugin ${id} is loaded from ${path} from now on; restart warmsite serve if it runs\nprove it first: warmsite plugin check ${what}`;
  await cli.print.one({ kind: 'OwnPlugin', data: { id, path }, name: id, text });
};

/** Writes nothing when anything is there already. */
const create = async (cli: Cli, { args: [kindName = '', id = ''], options }: Invocation) => {
  const kind = KINDS.find((candidate) => candidate === kindName);
  if (!kind) throw usage(`there is no kind of plugin ${JSON.stringify(kindName)}`, `choose one of: ${KINDS.join(', ')}`);
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(id))
    throw usage(`plugin id ${JSON.stringify(id)} is not kebab-case`, 'use lower-case letters, digits and single hyphens');
  const folder = resolve(cli.at.folder, textOption(options, 'dir') ?? id);
  if (existsSync(folder))
    throw new DrError('STATE_CONFLICT', `${folder} is there already`, { context: { path: folder }, hint: 'choose another name, or --dir' });
  const files = renderPluginTemplate(kind, id);
  for (const file of files) {
    const path = join(folder, file.path);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file.text);
  }
  const data = { kind, id, folder, files: files.map((file) => file.path) };
  const text = [
    `a ${kind} plugin that passes level 0 is in ${folder}:`,
    ...data.files.map((path) => `  ${path}`),
    `next: warmsite plugin check ${folder} --level 0`,
  ];
  await cli.print.one({ kind: 'PluginTemplate', data, name: folder, text: text.join('\n') });
};

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the plugins of this program',
    examples: ['warmsite plugin list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Plugin',
        rows: await cli.call<Manifest[]>('plugin.list', {}),
        columns: [
          { title: 'id', value: (plugin) => plugin.id },
          { title: 'name', value: (plugin) => plugin.displayName },
          { title: 'tracking', value: (plugin) => plugin.capabilities.tracking },
          { title: 'consistency', value: (plugin) => plugin.capabilities.consistency.join(', ') },
          { title: 'atomicity', value: (plugin) => plugin.capabilities.atomicity },
          { title: 'contract', wide: true, value: (plugin) => plugin.contractVersion },
        ],
        name: (plugin) => plugin.id,
        empty: 'this program has no plugin',
      }),
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one plugin: its configuration and the most that it can do',
    examples: ['warmsite plugin show vmware'],
    run: async (cli, { args: [id = ''] }) => cli.print.one({ kind: 'Plugin', data: await cli.call('plugin.show', { id }), name: id }),
  },
  {
    name: 'add',
    args: '<path>',
    about: 'Let the engine of this home load a plugin of your own: a file, or a folder with an index',
    examples: ['warmsite plugin add ./acme-cloud'],
    run: add,
  },
  {
    name: 'remove',
    args: '<path>',
    about: 'Take a plugin of your own out of this home again',
    examples: ['warmsite plugin remove ./acme-cloud'],
    run: async (cli, { args: [what = ''] }) => {
      const path = entryOf(resolve(cli.at.folder, what));
      const known = listOwnPlugins(cli.home);
      if (!known.includes(path))
        throw new DrError('NOT_FOUND', `this home does not name ${path}`, {
          context: { path, kind: 'plugin' },
          hint: known.length > 0 ? `it names: ${known.join(', ')}` : 'it names no plugin',
        });
      writeOwnPlugins(
        cli.home,
        known.filter((entry) => entry !== path),
      );
      await cli.print.one({ kind: 'OwnPlugin', data: { path }, name: path, text: `${path} is no longer loaded; restart warmsite serve` });
    },
  },
  {
    name: 'check',
    args: '<path>',
    about: 'Run the conformance kit on a plugin: a file, a folder, or the id of one of this program',
    options: [
      { flags: '--against <where>', about: 'a lab (all levels) or a real site (all but faults)', choices: ['lab', 'site'] },
      {
        flags: '--level <n>',
        about: 'only this level: 0 static, 1 read-only, 2 scratch machine, 3 target, 4 faults; may be repeated',
        kind: 'list',
      },
      { flags: '--only <case>', about: 'only cases whose id begins so; may be repeated', kind: 'list' },
      { flags: '--set <key=value>', about: 'a field of the configuration; a secret as env:NAME or file:PATH', kind: 'list' },
    ],
    examples: [
      'warmsite plugin check ./my-plugin --level 0',
      'warmsite plugin check vmware --against lab',
      'warmsite plugin check ./my-plugin --only CHG-004',
    ],
    run: check,
  },
  {
    name: 'new',
    args: '<kind> <id>',
    about: `Write a plugin that passes the first level of the kit: ${KINDS.join(', ')}`,
    options: [{ flags: '--dir <dir>', about: 'the folder to make (default: the id)' }],
    examples: ['warmsite plugin new snapshot-source acme-cloud'],
    run: create,
  },
];
