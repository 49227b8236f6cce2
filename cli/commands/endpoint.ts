import { EXIT, type Finding } from '../../core/contract/index.ts';
import type { EndpointRecord } from '../../core/domain/policy.ts';
import type { EndpointChange, EndpointCheck, EndpointIdentity } from '../../core/engine/operations-endpoint.ts';
import { normalPin, pinText } from '../../core/host/pin.ts';
import { type Cli, usage } from '../cli.ts';
import { type CommandSpec, type Invocation, type OptionSpec, type Options, textOption } from '../command.ts';
import { CONFIRM_OPTION, confirm } from '../confirm.ts';
import { findingLines } from '../findings.ts';
import { COMPARE, commandLine, identityLines, PIN_OPTION, withIdentity } from '../identity.ts';

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

const SET_OPTION: OptionSpec = {
  flags: '--set <key=value>',
  about: 'a field of its configuration; a secret as env:NAME, file:PATH or credential:NAME',
  kind: 'list',
};

const REASON_OPTION: OptionSpec = { flags: '--reason <text>', about: 'why, for the audit' };

const listOption = (options: Options, name: string): readonly string[] => (options[name] as readonly string[] | undefined) ?? [];

const repeated = (flag: string, values: readonly string[]): string[] => values.flatMap((value) => [flag, value]);

const add = async (cli: Cli, { args: [id = ''], options }: Invocation) => {
  const [site, plugin, pairs] = [textOption(options, 'site') ?? '', textOption(options, 'plugin') ?? '', listOption(options, 'set')];
  const settings = parseSettings(pairs);
  const input = { id, site, plugin, config: settings };
  const again = ['endpoint', 'add', id, '--site', site, '--plugin', plugin, ...repeated('--set', pairs)];
  const added = await withIdentity(cli, { options, settings, again }, (pin) =>
    cli.call<{ findings: readonly Finding[] }>('endpoint.add', { ...input, ...(pin === undefined ? {} : { pin }) }, options),
  );
  const text = [`endpoint ${id} is there`, ...findingLines(added.findings)].join('\n');
  await cli.print.one({ kind: 'Endpoint', data: added, name: id, text });
};

const set = async (cli: Cli, { args: [id = ''], options }: Invocation) => {
  const [pairs, unset] = [listOption(options, 'set'), listOption(options, 'unset')];
  if (pairs.length + unset.length === 0 && options['pin'] === undefined)
    throw usage('nothing to change was named', 'name a field with --set KEY=VALUE or --unset KEY');
  const settings = parseSettings(pairs);
  const input = { id, set: settings, unset };
  const again = ['endpoint', 'set', id, ...repeated('--set', pairs), ...repeated('--unset', unset)];
  const change = await withIdentity(cli, { options, settings, again }, (pin) =>
    cli.call<EndpointChange>('endpoint.set', { ...input, ...(pin === undefined ? {} : { pin }) }, options),
  );
  const done = change.changed.length === 0 ? `endpoint ${id} is as it was` : `endpoint ${id} has changed: ${change.changed.join(', ')}`;
  await cli.print.one({ kind: 'Endpoint', data: change, name: id, text: [done, ...findingLines(change.findings)].join('\n') });
};

/** A changed certificate is what an attack looks like: it takes the whole fingerprint with --pin, or its first digits at the prompt. */
const trust = async (cli: Cli, { args: [id = ''], options }: Invocation) => {
  const pin = textOption(options, 'pin') ?? (await confirmedPin(cli, id, options));
  if (pin === undefined) return;
  const change = await cli.call<EndpointChange>('endpoint.trust', { id, pin }, options);
  const shown = pinText(normalPin(pin) ?? '');
  const done = change.changed.length === 0 ? `endpoint ${id} was known by ${shown} already` : `endpoint ${id} is known by ${shown} now`;
  await cli.print.one({ kind: 'Endpoint', data: change, name: id, text: [done, ...findingLines(change.findings)].join('\n') });
};

const CONFIRMED_DIGITS = 8;

const confirmedPin = async (cli: Cli, id: string, options: Options): Promise<string | undefined> => {
  // Asked of what will make the change, so that the same engine looks and acts.
  await cli.client('endpoint.trust');
  const identity = await cli.call<EndpointIdentity>('endpoint.identity', { id });
  const { refusal, pinned } = identity;
  if (refusal === undefined) {
    const by = pinned === undefined ? 'an authority signed its certificate' : `it shows ${pinText(pinned)}, as accepted`;
    await cli.print.one({ kind: 'EndpointIdentity', data: identity, name: id, text: `endpoint ${id} needs no trust: ${by}` });
    return undefined;
  }
  await confirm(
    cli,
    {
      does: `Trust of ${id}`,
      target: refusal.actual.slice(0, CONFIRMED_DIGITS),
      lines: identityLines(refusal, pinned),
      final: COMPARE,
      hint: `compare ${pinText(refusal.actual, refusal.code)} with what the server shows at its console, then run ${commandLine(cli, ['endpoint', 'trust', id, '--pin', refusal.actual])}`,
    },
    options,
  );
  return refusal.actual;
};

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
      SET_OPTION,
      PIN_OPTION,
    ],
    examples: [
      'warmsite endpoint add vcenter-a --site site-a --plugin vmware --set address=vcenter-a.example.com --set username=warmsite@vsphere.local --set password=env:VC_PASSWORD --set appliance=warmsite-a',
    ],
    run: add,
  },
  {
    name: 'set',
    args: '<id>',
    about: 'Change the configuration of an endpoint: connects to it once, and stores nothing when that fails',
    options: [SET_OPTION, { flags: '--unset <key>', about: 'a field to leave out from now on', kind: 'list' }, PIN_OPTION, REASON_OPTION],
    examples: ['warmsite endpoint set vcenter-a --set username=warmsite --set password=env:VC_PASSWORD'],
    run: set,
  },
  {
    name: 'trust',
    args: '<id>',
    about: 'Accept the certificate or host key that an endpoint shows now, after a person has compared its fingerprint',
    options: [
      PIN_OPTION,
      { ...CONFIRM_OPTION, about: `confirm by the first ${CONFIRMED_DIGITS} hex digits of the fingerprint` },
      REASON_OPTION,
    ],
    examples: ['warmsite endpoint trust vcenter-a', 'warmsite endpoint trust vcenter-a --confirm 5f0a91c2'],
    run: trust,
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
