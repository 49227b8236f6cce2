import { EXIT, type Finding } from '../../core/contract/index.ts';
import type { EndpointRecord } from '../../core/domain/policy.ts';
import type { EndpointCheck } from '../../core/engine/operations-setup.ts';
import { usage } from '../cli.ts';
import { type CommandSpec, textOption } from '../command.ts';

/** `key=value`; `password=env:NAME` and the like become references to secrets, which never stand in a command line. */
export const parseSettings = (pairs: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw usage(`--set ${JSON.stringify(pair)} is not KEY=VALUE`, 'write --set username=warmsite');
      return [pair.slice(0, at), parseValue(pair.slice(at + 1))];
    }),
  );

const parseValue = (text: string): unknown => {
  const reference = /^(env|file|credential):(.+)$/s.exec(text);
  if (reference?.[1]) return { [reference[1]]: reference[2] };
  if (text === 'true' || text === 'false') return text === 'true';
  return text !== '' && String(Number(text)) === text ? Number(text) : text;
};

const findingLines = (findings: readonly Finding[]): string[] =>
  findings.map(
    ({ level, message, hint }) =>
      `  ${level === 'blocks' ? 'fail' : level === 'warning' ? 'warn' : 'ok'}  ${message}${level === 'info' ? '' : `; next: ${hint}`}`,
  );

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the endpoints',
    examples: ['warmsite endpoint list'],
    run: async (cli) =>
      cli.print.list({
        kind: 'Endpoint',
        rows: await cli.call<EndpointRecord[]>('endpoint.list', {}),
        columns: [
          { title: 'id', value: (endpoint) => endpoint.id },
          { title: 'site', value: (endpoint) => endpoint.site },
          { title: 'plugin', value: (endpoint) => endpoint.plugin },
          { title: 'configuration', wide: true, value: (endpoint) => JSON.stringify(endpoint.config) },
        ],
        name: (endpoint) => endpoint.id,
        empty: 'there is no endpoint yet: warmsite endpoint add ID --site SITE --plugin PLUGIN',
      }),
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one endpoint',
    examples: ['warmsite endpoint show vcenter-a'],
    run: async (cli, { args: [id = ''] }) => cli.print.one({ kind: 'Endpoint', data: await cli.call('endpoint.show', { id }), name: id }),
  },
  {
    name: 'add',
    args: '<id>',
    about: 'Add an endpoint: connects to it once, and stores nothing when that fails',
    options: [
      { flags: '--site <id>', about: 'the site where it is', required: true },
      { flags: '--plugin <id>', about: 'the plugin that speaks to it', required: true },
      {
        flags: '--set <key=value>',
        about: 'a field of its configuration; a secret as env:NAME, file:PATH or credential:NAME',
        kind: 'list',
      },
    ],
    examples: [
      'warmsite endpoint add vcenter-a --site site-a --plugin memory-vmware --set endpoint=vcenter-a --set password=env:VC_PASSWORD',
    ],
    run: async (cli, { args: [id = ''], options }) => {
      const config = parseSettings((options['set'] as readonly string[] | undefined) ?? []);
      const input = { id, site: textOption(options, 'site'), plugin: textOption(options, 'plugin'), config };
      const added = await cli.call<{ findings: readonly Finding[] }>('endpoint.add', input, options);
      await cli.print.one({
        kind: 'Endpoint',
        data: added,
        name: id,
        text: [`endpoint ${id} is there`, ...findingLines(added.findings)].join('\n'),
      });
    },
  },
  {
    name: 'check',
    args: '[id]',
    about: 'Connect and check version, rights, clock and certificates; of one endpoint or all',
    examples: ['warmsite endpoint check', 'warmsite endpoint check vcenter-a'],
    run: async (cli, { args: [id] }) => {
      const checks = await cli.call<EndpointCheck[]>('endpoint.check', id === undefined ? {} : { id });
      const text = checks.flatMap((check) => [
        `${check.id} (${check.plugin}, ${check.site}): ${check.reachable ? check.facets.join(', ') : 'not reachable'}`,
        ...findingLines(check.findings),
      ]);
      if (cli.print.forPeople) cli.print.text(text.join('\n') || 'there is no endpoint yet');
      else await cli.print.list({ kind: 'EndpointCheck', rows: checks, columns: [], name: (check) => check.id, empty: '' });
      return checks.some((check) => !check.reachable || check.findings.some((finding) => finding.level === 'blocks'))
        ? EXIT.checkFailed
        : EXIT.done;
    },
  },
  {
    name: 'remove',
    args: '<id>',
    about: 'Remove an endpoint that nothing uses',
    examples: ['warmsite endpoint remove vcenter-a'],
    run: async (cli, { args: [id = ''], options }) => {
      const data = await cli.call('endpoint.remove', { id }, options);
      await cli.print.one({ kind: 'Endpoint', data, name: id, text: `endpoint ${id} is removed` });
    },
  },
];
