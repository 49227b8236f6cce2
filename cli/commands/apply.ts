import { isDeepStrictEqual } from 'node:util';
import type { Manifest } from '../../core/contract/index.ts';
import type { EndpointRecord, RecoveryPlan, ReplicationPolicy, SiteRecord } from '../../core/domain/policy.ts';
import type { RuleView } from '../../core/engine/operations-rule.ts';
import type { Cli } from '../cli.ts';
import { type CommandSpec, textOption } from '../command.ts';
import { invalid, type Located, type Resource, readResources } from '../documents.ts';
import { readText } from './plan.ts';

interface Applied {
  readonly kind: string;
  readonly name: string;
  readonly done: 'created' | 'configured' | 'unchanged' | 'would be applied';
}

/** Others refer to what comes first. */
const ORDER: readonly Resource['kind'][] = ['Site', 'Endpoint', 'Policy', 'Mapping', 'Plan', 'Rule'];

export const commands: readonly CommandSpec[] = [
  {
    about:
      'Bring sites, endpoints, mappings, policies, plans and rules to what a file says; all of it is checked before the first is applied',
    options: [
      { flags: '-f, --file <path>', about: 'YAML with one or more documents; - for the standard input', required: true },
      { flags: '--dry-run', about: 'check only' },
      { flags: '--reason <text>', about: 'why, for the audit' },
    ],
    examples: ['warmsite apply -f estate.yaml --dry-run', 'warmsite apply -f estate.yaml'],
    run: async (cli, { options }) => {
      const path = textOption(options, 'file') ?? '';
      const documents = readResources(await readText(cli, path), path === '-' ? 'standard input' : path);
      if (!options['dryRun']) await cli.client('site.add');
      const known = await readKnown(cli);
      checkReferences(documents, known);
      const applied: Applied[] = [];
      for (const kind of ORDER)
        for (const { value } of documents.filter((document) => document.value.kind === kind))
          applied.push(
            options['dryRun'] ? { kind, name: value.metadata.name, done: 'would be applied' } : await applyOne(cli, value, known, options),
          );
      await cli.print.list({
        kind: 'Applied',
        rows: applied,
        columns: [
          { title: 'kind', value: (row) => row.kind },
          { title: 'name', value: (row) => row.name },
          { title: 'done', value: (row) => row.done },
        ],
        name: (row) => `${row.kind}/${row.name}`,
        empty: 'nothing to apply',
      });
    },
  },
];

interface Known {
  readonly sites: readonly SiteRecord[];
  readonly endpoints: readonly EndpointRecord[];
  readonly plugins: readonly Manifest[];
  readonly policies: readonly ReplicationPolicy[];
  readonly plans: readonly RecoveryPlan[];
  readonly rules: readonly RuleView[];
}

const readKnown = async (cli: Cli): Promise<Known> => ({
  sites: await cli.call<SiteRecord[]>('site.list', {}),
  endpoints: await cli.call<EndpointRecord[]>('endpoint.list', {}),
  policies: await cli.call<ReplicationPolicy[]>('policy.list', {}),
  plans: await cli.call<RecoveryPlan[]>('plan.list', {}),
  rules: await cli.call<RuleView[]>('rule.list', {}),
  plugins: await cli.call<Manifest[]>('plugin.list', {}),
});

/** What names something else must find it: in the home or in these documents. */
const checkReferences = (documents: readonly Located<Resource>[], known: Known): void => {
  const named = (kind: Resource['kind']) => documents.filter(({ value }) => value.kind === kind).map(({ value }) => value.metadata.name);
  const sites = [...known.sites.map((site) => site.id), ...named('Site')];
  const endpoints = [...known.endpoints.map((endpoint) => endpoint.id), ...named('Endpoint')];
  const seen = new Set<string>();
  for (const document of documents) {
    const { value } = document;
    const need = (list: readonly string[], name: string, what: string, ...keys: readonly string[]) => {
      if (!list.includes(name))
        throw invalid(
          document.at(...keys),
          keys.join('.'),
          `there is no ${what} ${JSON.stringify(name)}`,
          list.length > 0 ? `there is: ${list.join(', ')}` : `add the ${what} first`,
        );
    };
    const key = `${value.kind}/${value.metadata.name}`;
    if (seen.has(key))
      throw invalid(document.at('metadata', 'name'), 'metadata.name', `${key} stands here twice`, 'give each document a name of its own');
    seen.add(key);
    if (value.kind === 'Endpoint') {
      need(sites, value.spec.site, 'site', 'spec', 'site');
      need(
        known.plugins.map((plugin) => plugin.id),
        value.spec.plugin,
        'plugin',
        'spec',
        'plugin',
      );
      const there = known.endpoints.find((endpoint) => endpoint.id === value.metadata.name);
      if (there && !sameEndpoint(there, value))
        throw invalid(
          document.at('spec'),
          'spec',
          `endpoint ${there.id} is there with another configuration`,
          `write into the file what endpoint show ${there.id} says, or change the endpoint with endpoint set`,
        );
    }
    if (value.kind === 'Mapping') {
      need(endpoints, value.spec.from.endpoint, 'endpoint', 'spec', 'from', 'endpoint');
      need(endpoints, value.spec.to.endpoint, 'endpoint', 'spec', 'to', 'endpoint');
    }
    if (value.kind === 'Rule') {
      need(sites, value.spec.to, 'site', 'spec', 'to');
      need([...known.policies.map((policy) => policy.name), ...named('Policy')], value.spec.policy, 'policy', 'spec', 'policy');
      for (const key of ['endpoint', 'target'] as const) {
        const endpoint = value.spec[key];
        if (endpoint !== undefined) need(endpoints, endpoint, 'endpoint', 'spec', key);
      }
    }
    if (value.kind === 'Policy' && value.spec.intervalSeconds > value.spec.rpoSeconds)
      throw invalid(
        document.at('spec', 'intervalSeconds'),
        'spec.intervalSeconds',
        `${value.spec.intervalSeconds} s is longer than the RPO of ${value.spec.rpoSeconds} s`,
        'choose an interval of at most half the RPO',
      );
  }
};

const sameEndpoint = (there: EndpointRecord, value: Extract<Resource, { kind: 'Endpoint' }>): boolean =>
  there.site === value.spec.site && there.plugin === value.spec.plugin && isDeepStrictEqual(there.config, value.spec.config);

const applyOne = async (cli: Cli, resource: Resource, known: Known, options: Parameters<Cli['asked']>[0]): Promise<Applied> => {
  const { name } = resource.metadata;
  const result = (done: Applied['done']): Applied => ({ kind: resource.kind, name, done });
  const putNamed = async (operation: string, list: readonly { readonly name: string }[]): Promise<Applied> => {
    const wanted = { name, ...resource.spec };
    const there = list.find((one) => one.name === name);
    if (isDeepStrictEqual(there, wanted)) return result('unchanged');
    await cli.call(operation, wanted, options);
    return result(there ? 'configured' : 'created');
  };
  switch (resource.kind) {
    case 'Site': {
      const there = known.sites.find((site) => site.id === name);
      if (there && there.name === (resource.spec.name ?? there.id)) return result('unchanged');
      await cli.call('site.add', { id: name, ...resource.spec }, options);
      return result(there ? 'configured' : 'created');
    }
    case 'Endpoint':
      if (known.endpoints.some((endpoint) => endpoint.id === name)) return result('unchanged');
      await cli.call('endpoint.add', { id: name, ...resource.spec }, options);
      return result('created');
    case 'Mapping':
      await cli.call('map.set', resource.spec, options);
      return result('configured');
    case 'Policy':
      return putNamed('policy.put', known.policies);
    case 'Plan':
      return putNamed('plan.put', known.plans);
    case 'Rule':
      return putNamed(
        'rule.put',
        known.rules.map(({ seen: _, ...rule }) => rule),
      );
  }
};
