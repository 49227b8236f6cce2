import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { DrError } from '../../core/contract/index.ts';
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
  {
    name: 'adopt',
    args: '<directory>',
    about: 'Rebuild an empty home from the directory of a recovery site: sites, endpoints, machines and recovery points',
    examples: ['warmsite site adopt /mnt/rescued/sites/site-b', 'WARMSITE_HOME=/srv/new warmsite site adopt /srv/old/sites/site-b'],
    run: async (cli, { args: [directory = ''], options }) => {
      const id = linkSite(cli.home, resolve(directory));
      const data = await cli.call<{ site: string; machines: readonly string[] }>('site.adopt', { id }, options);
      await cli.print.one({
        kind: 'AdoptedSite',
        data,
        name: id,
        text: `site ${id} is adopted with ${data.machines.length} protected machines; run warmsite status`,
      });
    },
  },
];

/** The journals stay where they are: the home gets a link to them. */
const linkSite = (home: string, directory: string): string => {
  if (!existsSync(join(directory, 'config.json'))) {
    throw new DrError('NOT_FOUND', `${directory} is not the directory of a site: it has no config.json`, {
      context: { path: directory, kind: 'site' },
      hint: 'name the folder sites/SITE of a warmsite home',
    });
  }
  const id = basename(directory);
  const place = join(home, 'sites', id);
  mkdirSync(join(home, 'sites'), { recursive: true, mode: 0o700 });
  if (!existsSync(place)) symlinkSync(directory, place);
  if (realpathSync(place) !== realpathSync(directory)) {
    throw new DrError('STATE_CONFLICT', `${home} has a site ${id} already`, {
      context: { path: place, site: id },
      hint: 'adopt into an empty home: set WARMSITE_HOME to a new folder',
    });
  }
  return id;
};
