import type { EndpointRecord, SiteRecord } from '../../core/domain/policy.ts';
import { type CommandSpec, textOption } from '../command.ts';

export const commands: readonly CommandSpec[] = [
  {
    name: 'list',
    about: 'List the sites',
    examples: ['warmsite site list', 'warmsite site list -o json'],
    run: async (cli) => {
      const [sites, endpoints] = [await cli.call<SiteRecord[]>('site.list', {}), await cli.call<EndpointRecord[]>('endpoint.list', {})];
      await cli.print.list({
        kind: 'Site',
        rows: sites.map((site) => ({ ...site, endpoints: endpoints.filter((endpoint) => endpoint.site === site.id).map(({ id }) => id) })),
        columns: [
          { title: 'id', value: (site) => site.id },
          { title: 'name', value: (site) => site.name },
          { title: 'endpoints', value: (site) => site.endpoints.join(', ') || '-' },
        ],
        name: (site) => site.id,
        empty: 'there is no site yet: warmsite site add ID',
      });
    },
  },
  {
    name: 'show',
    args: '<id>',
    about: 'Show one site with its endpoints',
    examples: ['warmsite site show site-a'],
    run: async (cli, { args: [id = ''] }) => {
      await cli.print.one({ kind: 'Site', data: await cli.call('site.show', { id }), name: id });
    },
  },
  {
    name: 'add',
    args: '<id>',
    about: 'Add a site',
    options: [{ flags: '--name <name>', about: 'name for people' }],
    examples: ['warmsite site add site-a --name "Frankfurt"'],
    run: async (cli, { args: [id = ''], options }) => {
      const name = textOption(options, 'name');
      const site = await cli.call<SiteRecord>('site.add', { id, ...(name ? { name } : {}) }, options);
      await cli.print.one({ kind: 'Site', data: site, name: id, text: `site ${id} is there` });
    },
  },
];
