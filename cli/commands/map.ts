import type { Mapping } from '../../core/domain/policy.ts';
import { usage } from '../cli.ts';
import { type CommandSpec, textOption } from '../command.ts';
import type { Column } from '../output/table.ts';

const KINDS = ['network', 'storage', 'folder', 'host'] as const;

const columns: readonly Column<Mapping & { readonly because?: string }>[] = [
  { title: 'kind', value: (line) => line.kind },
  { title: 'from', value: (line) => `${line.fromEndpoint}/${line.fromName ?? line.fromPlace}` },
  { title: 'to', value: (line) => `${line.toEndpoint}/${line.toName ?? line.toPlace}` },
  { title: 'test', value: (line) => line.testName ?? line.testPlace ?? (line.kind === 'network' ? 'isolated' : '-') },
  { title: 'ids', wide: true, value: (line) => [line.fromPlace, line.toPlace, line.testPlace].filter((id) => id !== undefined).join(' ') },
  { title: 'because', wide: true, value: (line) => line.because },
];
const nameOf = (line: Mapping): string => `${line.kind}/${line.fromEndpoint}/${line.fromPlace}/${line.toEndpoint}`;

/** `ENDPOINT:PLACE`. The id of an endpoint has no colon, a place may have anything. */
const parsePlace = (text: string): { endpoint: string; place: string } => {
  const at = text.indexOf(':');
  if (at < 1 || at === text.length - 1)
    throw usage(
      `${JSON.stringify(text)} is not ENDPOINT:PLACE`,
      'write the endpoint, a colon and the name of the place, or * for all places',
    );
  return { endpoint: text.slice(0, at), place: text.slice(at + 1) };
};

const setCommand = (kind: (typeof KINDS)[number]): CommandSpec => ({
  name: `${kind} set`,
  args: '<from> <to>',
  about: `Map a ${kind} of a source to one of a target`,
  options: kind === 'network' ? [{ flags: '--test <place>', about: 'where test failovers go (default: an isolated network is made)' }] : [],
  examples: [`warmsite map ${kind} set vcenter-a:production vcenter-b:production`],
  run: async (cli, { args: [from = '', to = ''], options }) => {
    const testPlace = textOption(options, 'test');
    const input = { kind, from: parsePlace(from), to: parsePlace(to), ...(testPlace ? { testPlace } : {}) };
    const mapping = await cli.call<Mapping>('map.set', input, options);
    await cli.print.one({ kind: 'Mapping', data: mapping, name: nameOf(mapping), text: `${from} goes to ${to}` });
  },
});

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the mappings',
    options: [{ flags: '--kind <kind>', about: 'only of this kind', choices: KINDS }],
    examples: ['warmsite map list', 'warmsite map list --kind network'],
    run: async (cli, { options }) => {
      const kind = textOption(options, 'kind');
      const rows = (await cli.call<Mapping[]>('map.list', {})).filter((line) => kind === undefined || line.kind === kind);
      await cli.print.list({
        kind: 'Mapping',
        rows,
        columns,
        name: nameOf,
        empty: 'there is no mapping yet: warmsite map suggest FROM TO',
      });
    },
  },
  ...KINDS.map(setCommand),
  {
    name: 'suggest',
    args: '<from> <to>',
    about: 'Suggest mappings of networks and storage between two endpoints',
    options: [{ flags: '--accept', about: 'set what is suggested' }],
    examples: ['warmsite map suggest vcenter-a vcenter-b', 'warmsite map suggest vcenter-a vcenter-b --accept'],
    run: async (cli, { args: [from = '', to = ''], options }) => {
      const accept = options['accept'] === true;
      const rows = await cli.call<(Mapping & { because: string })[]>('map.suggest', { from, to });
      if (accept) for (const line of rows) await cli.call('map.set', toInput(line), options);
      await cli.print.list({
        kind: 'Mapping',
        rows,
        columns,
        name: nameOf,
        empty: 'nothing to suggest: all is mapped, or no names are equal',
      });
      if (rows.length > 0 && cli.print.forPeople)
        cli.print.say(accept ? `${rows.length} mappings are set` : 'nothing was changed: repeat with --accept to set these');
    },
  },
];

const toInput = (line: Mapping) => ({
  kind: line.kind,
  from: { endpoint: line.fromEndpoint, place: line.fromPlace },
  to: { endpoint: line.toEndpoint, place: line.toPlace },
});
