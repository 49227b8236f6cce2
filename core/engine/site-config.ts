// S1: what a recovery site needs to act alone lives beside its journals.
import { join } from 'node:path';
import { DrError } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type {
  EndpointRecord,
  Mapping,
  ProtectionGroup,
  ProtectionRule,
  RecoveryPlan,
  ReplicationPolicy,
  SiteRecord,
} from '../domain/policy.ts';
import type { Files } from '../ports/files.ts';
import { type Core, siteDirectory } from '../replication/core.ts';
import type { Store } from '../state/database.ts';
import { insertItem, listItems, sourceKeyOf } from '../state/items.ts';
import {
  getMeta,
  listEndpoints,
  listGroups,
  listMappings,
  listPlans,
  listPolicies,
  listSites,
  putEndpoint,
  putGroup,
  putMapping,
  putMeta,
  putPlan,
  putPolicy,
  putSite,
} from '../state/records.ts';
import { listRules, putRule } from '../state/rules.ts';

const FORMAT = 1;
const NAME = 'config.json';

/** `sites/<id>/config.json`. Endpoint configurations hold references to secrets, never values. */
export interface SiteConfig {
  readonly format: number;
  readonly site: string;
  readonly ownerId: string;
  readonly sites: readonly SiteRecord[];
  readonly endpoints: readonly EndpointRecord[];
  readonly mappings: readonly Mapping[];
  readonly policies: readonly ReplicationPolicy[];
  readonly plans: readonly RecoveryPlan[];
  readonly groups: readonly ProtectionGroup[];
  readonly items: readonly Item[];
  /** Absent in files of releases that had no rules. */
  readonly rules?: readonly ProtectionRule[];
}

const collect = async (store: Store, site: string): Promise<SiteConfig> => {
  const { db } = store;
  return {
    format: FORMAT,
    site,
    ownerId: (await getMeta(db, 'ownerId')) ?? '',
    sites: await listSites(db),
    endpoints: await listEndpoints(db),
    mappings: await listMappings(db),
    policies: await listPolicies(db),
    plans: await listPlans(db),
    groups: await listGroups(db),
    items: await listItems(db),
    rules: (await listRules(db)).map(({ rule }) => rule),
  };
};

/** Writes the configuration of every site that has changed since it was last written here. */
export class SiteConfigs {
  readonly #core: Pick<Core, 'files' | 'home' | 'store' | 'locks'>;
  readonly #written = new Map<string, string>();

  constructor(core: Pick<Core, 'files' | 'home' | 'store' | 'locks'>) {
    this.#core = core;
  }

  write(): Promise<void> {
    return this.#core.locks.with('site config', undefined, async () => {
      for (const { id } of await listSites(this.#core.store.db)) {
        const text = `${JSON.stringify(await collect(this.#core.store, id), null, 1)}\n`;
        if (this.#written.get(id) === text) continue;
        await replaceFile(this.#core.files, siteDirectory(this.#core.home, id), NAME, text);
        this.#written.set(id, text);
      }
    });
  }
}

const replaceFile = async (files: Files, directory: string, name: string, text: string): Promise<void> => {
  await files.makeDirectory(directory);
  const path = join(directory, name);
  const file = await files.open(`${path}.tmp`, 'create');
  try {
    await file.write(0, Buffer.from(text));
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(`${path}.tmp`, path);
  await files.syncDirectory(directory);
};

export const readSiteConfig = async (files: Files, directory: string): Promise<SiteConfig> => {
  const path = join(directory, NAME);
  const file = await files.open(path, 'read').catch((error: unknown) => {
    throw new DrError('NOT_FOUND', `${directory} is not a site directory: it has no ${NAME}`, {
      context: { path, kind: 'site' },
      hint: 'name the folder sites/SITE of a warmsite home',
      cause: error,
    });
  });
  try {
    const content = Buffer.alloc(await file.sizeBytes());
    await file.read(0, content);
    const config = JSON.parse(content.toString()) as SiteConfig;
    if (config.format !== FORMAT) {
      throw new DrError('ENGINE_NEWER', `${path} has format ${config.format}, this release reads ${FORMAT}`, {
        context: { path, version: config.format },
      });
    }
    return config;
  } catch (error) {
    if (error instanceof SyntaxError) throw new DrError('CONFIG_INVALID', `${path} is not JSON: ${error.message}`, { context: { path } });
    throw error;
  } finally {
    await file.close();
  }
};

/** Fills an empty store from a recovery site's directory. Points come from the journals, by reconcile. */
export const adoptSiteConfig = async (store: Store, config: SiteConfig): Promise<void> => {
  if ((await listItems(store.db)).length > 0) {
    throw new DrError('STATE_CONFLICT', 'this home already protects machines', {
      hint: 'adopt a site directory into an empty home: set WARMSITE_HOME to a new folder',
    });
  }
  await store.transaction(async (tx) => {
    await putMeta(tx, 'ownerId', config.ownerId);
    for (const site of config.sites) await putSite(tx, site);
    for (const endpoint of config.endpoints) await putEndpoint(tx, endpoint);
    for (const mapping of config.mappings) await putMapping(tx, mapping);
    for (const policy of config.policies) await putPolicy(tx, policy);
    for (const plan of config.plans) await putPlan(tx, plan);
    for (const group of config.groups) await putGroup(tx, group);
    for (const rule of config.rules ?? []) await putRule(tx, rule);
    const seen = new Set<string>();
    for (const item of config.items) {
      if (seen.has(sourceKeyOf(item))) continue;
      seen.add(sourceKeyOf(item));
      // Written by a release that knew one method only.
      await insertItem(tx, { ...item, method: item.method ?? 'journaled' });
    }
  });
};
