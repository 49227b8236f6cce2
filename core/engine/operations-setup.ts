// Set up: sites, plugins, mappings, policies, plans.
import { z } from 'zod';
import { DrError, type Place } from '../contract/index.ts';
import type { Mapping } from '../domain/policy.ts';
import { callFor, openEndpoint, siteDirectory } from '../replication/core.ts';
import { reconcilePoints } from '../replication/reconcile.ts';
import { listItems } from '../state/items.ts';
import {
  deletePlan,
  deletePolicy,
  getPlan,
  getPolicy,
  getSite,
  listEndpoints,
  listGroups,
  listMappings,
  listPlans,
  listPolicies,
  listSites,
  putMapping,
  putPlan,
  putPolicy,
  putSite,
} from '../state/records.ts';
import { listRules } from '../state/rules.ts';
import { audit, defineOperation, id, name, nothing, type Workbench } from './operation.ts';
import { assertMethodKept, policyOf, policySchema } from './policy.ts';
import { adoptSiteConfig, readSiteConfig } from './site-config.ts';
import { resolveTarget } from './targets.ts';

export const planSchema = z.strictObject({
  name: id,
  steps: z
    .array(z.union([z.strictObject({ boot: z.array(name).min(1) }), z.strictObject({ waitSeconds: z.number().min(0).max(86_400) })]))
    .min(1),
});

const placeRef = z.strictObject({ endpoint: name, place: name });
export const mappingSchema = z.strictObject({
  kind: z.enum(['network', 'storage', 'folder', 'host']),
  from: placeRef,
  to: placeRef,
  testPlace: name.optional(),
});

/** `*` stands for all places, and has no name. */
const placeAt = async (
  bench: Workbench,
  kind: Place['kind'],
  endpoint: string,
  wanted: string,
  signal: AbortSignal,
): Promise<{ readonly id: string; readonly name?: string }> => {
  if (wanted === '*') return { id: wanted };
  const session = await openEndpoint(bench.core, endpoint);
  const known: Place[] = [];
  for await (const place of session.inventory.listPlaces(kind, callFor(bench.core, `places/${endpoint}`, signal))) known.push(place);
  const found = known.find((place) => place.id === wanted) ?? known.find((place) => place.name === wanted);
  if (found) return found;
  throw new DrError('NOT_FOUND', `${endpoint} has no ${kind} ${JSON.stringify(wanted)}`, {
    context: { endpoint, kind, name: wanted },
    hint:
      known.length > 0
        ? `it has: ${known
            .map((place) => place.name)
            .slice(0, 10)
            .join(', ')}`
        : `the endpoint shows no ${kind} at all`,
  });
};

export const setupOperations = [
  defineOperation({
    name: 'site.list',
    kind: 'read',
    summary: 'Sites of this home',
    input: nothing,
    run: async ({ core }) => listSites(core.store.db),
  }),
  defineOperation({
    name: 'site.show',
    kind: 'read',
    summary: 'One site with its endpoints',
    input: z.strictObject({ id: name }),
    run: async ({ core }, input) => ({
      ...(await getSite(core.store.db, input.id)),
      endpoints: await listEndpoints(core.store.db, input.id),
    }),
  }),
  defineOperation({
    name: 'site.add',
    kind: 'change',
    summary: 'Adds a site',
    input: z.strictObject({ id, name: name.optional() }),
    run: async (bench, input, caller) => {
      const site = { id: input.id, name: input.name ?? input.id };
      await bench.core.store.transaction((tx) => putSite(tx, site));
      await audit(bench, caller, 'site.add', site.id);
      return site;
    },
  }),
  defineOperation({
    name: 'site.adopt',
    kind: 'change',
    summary: 'Rebuilds an empty home from the directory of a recovery site (S1)',
    input: z.strictObject({ id }),
    run: async (bench, input, caller) => {
      const { core } = bench;
      const directory = siteDirectory(core.home, input.id);
      const config = await readSiteConfig(core.files, directory);
      if (config.site !== input.id) {
        throw new DrError('CONFIG_INVALID', `${directory} belongs to site ${config.site}`, {
          context: { site: config.site, path: directory },
          hint: `name the folder sites/${config.site} and adopt that site`,
        });
      }
      await adoptSiteConfig(core.store, config);
      await reconcilePoints(core, { accept: true });
      await audit(bench, caller, 'site.adopt', input.id);
      const items = await listItems(core.store.db);
      return { site: input.id, machines: items.map((item) => item.name) };
    },
  }),
  defineOperation({
    name: 'plugin.list',
    kind: 'read',
    summary: 'Plugins of this program',
    input: nothing,
    run: async ({ registry }) => registry.list(),
  }),
  defineOperation({
    name: 'plugin.show',
    kind: 'read',
    summary: 'One plugin: configuration and capabilities',
    input: z.strictObject({ id: name }),
    run: async ({ registry }, input) => registry.get(input.id).manifest,
  }),
  defineOperation({
    name: 'map.list',
    kind: 'read',
    summary: 'Mappings',
    input: nothing,
    run: async ({ core }) => listMappings(core.store.db),
  }),
  defineOperation({
    name: 'map.set',
    kind: 'change',
    summary: 'Maps a place of a source to a place of a target',
    input: mappingSchema,
    run: async (bench, input, caller) => {
      const { signal } = caller;
      const [from, to] = await Promise.all([
        placeAt(bench, input.kind, input.from.endpoint, input.from.place, signal),
        placeAt(bench, input.kind, input.to.endpoint, input.to.place, signal),
      ]);
      const test = input.testPlace ? await placeAt(bench, input.kind, input.to.endpoint, input.testPlace, signal) : undefined;
      const mapping: Mapping = {
        kind: input.kind,
        fromEndpoint: input.from.endpoint,
        fromPlace: from.id,
        toEndpoint: input.to.endpoint,
        toPlace: to.id,
        ...(test ? { testPlace: test.id } : {}),
        ...(from.name === undefined ? {} : { fromName: from.name }),
        ...(to.name === undefined ? {} : { toName: to.name }),
        ...(test?.name === undefined ? {} : { testName: test.name }),
      };
      await bench.core.store.transaction((tx) => putMapping(tx, mapping));
      await audit(bench, caller, 'map.set', `${input.from.endpoint}:${from.id}`, { ...mapping });
      return mapping;
    },
  }),
  defineOperation({
    name: 'map.suggest',
    kind: 'read',
    summary: 'Mappings that equal names suggest',
    input: z.strictObject({ from: name, to: name }),
    run: async ({ core }, input, { signal }) => {
      const places = async (endpoint: string, kind: Place['kind']) => {
        const list: Place[] = [];
        const session = await openEndpoint(core, endpoint);
        for await (const place of session.inventory.listPlaces(kind, callFor(core, `places/${endpoint}`, signal))) list.push(place);
        return list;
      };
      const known = await listMappings(core.store.db);
      const suggestions: (Mapping & { readonly because: string })[] = [];
      for (const kind of ['network', 'storage'] as const) {
        const [from, to] = await Promise.all([places(input.from, kind), places(input.to, kind)]);
        for (const place of from) {
          if (
            known.some(
              (line) =>
                line.kind === kind && line.fromEndpoint === input.from && line.fromPlace === place.id && line.toEndpoint === input.to,
            )
          )
            continue;
          const same = to.find((candidate) => candidate.name.toLowerCase() === place.name.toLowerCase());
          const chosen = same ?? (to.length === 1 ? to[0] : undefined);
          if (chosen)
            suggestions.push({
              kind,
              fromEndpoint: input.from,
              fromPlace: place.id,
              toEndpoint: input.to,
              toPlace: chosen.id,
              fromName: place.name,
              toName: chosen.name,
              because: same ? 'equal names' : 'the only one there',
            });
        }
      }
      return suggestions;
    },
  }),
  defineOperation({
    name: 'policy.list',
    kind: 'read',
    summary: 'Replication policies',
    input: nothing,
    run: async ({ core }) => listPolicies(core.store.db),
  }),
  defineOperation({
    name: 'policy.show',
    kind: 'read',
    summary: 'One policy',
    input: z.strictObject({ name }),
    run: async ({ core }, input) => getPolicy(core.store.db, input.name),
  }),
  defineOperation({
    name: 'policy.put',
    kind: 'change',
    summary: 'Creates or changes a policy',
    input: policySchema,
    run: async (bench, input, caller) => {
      const policy = policyOf(input);
      await assertMethodKept(bench, policy);
      if (policy.intervalSeconds > policy.rpoSeconds) {
        throw new DrError(
          'CONFIG_INVALID',
          `policy ${policy.name}: the cycle interval of ${policy.intervalSeconds} s is longer than the RPO of ${policy.rpoSeconds} s`,
          { context: { policy: policy.name, key: 'intervalSeconds' }, hint: 'choose an interval of at most half the RPO' },
        );
      }
      await bench.core.store.transaction((tx) => putPolicy(tx, policy));
      await audit(bench, caller, 'policy.put', policy.name, { ...policy });
      return policy;
    },
  }),
  defineOperation({
    name: 'policy.delete',
    kind: 'change',
    summary: 'Deletes a policy that no group or rule uses',
    input: z.strictObject({ name }),
    run: async (bench, input, caller) => {
      await getPolicy(bench.core.store.db, input.name);
      const user = (await listGroups(bench.core.store.db)).find((group) => group.policy === input.name);
      if (user)
        throw new DrError('STATE_CONFLICT', `policy ${input.name} is used by group ${user.name}`, {
          context: { policy: input.name, group: user.name },
          hint: 'give the group another policy first',
        });
      const rule = (await listRules(bench.core.store.db)).find((row) => row.rule.policy === input.name)?.rule;
      if (rule)
        throw new DrError('STATE_CONFLICT', `policy ${input.name} is used by rule ${rule.name}`, {
          context: { policy: input.name, name: rule.name },
          hint: 'give the rule another policy, or delete it, first',
        });
      await bench.core.store.transaction((tx) => deletePolicy(tx, input.name));
      await audit(bench, caller, 'policy.delete', input.name);
      return { name: input.name };
    },
  }),
  defineOperation({
    name: 'plan.list',
    kind: 'read',
    summary: 'Recovery plans',
    input: nothing,
    run: async ({ core }) => listPlans(core.store.db),
  }),
  defineOperation({
    name: 'plan.show',
    kind: 'read',
    summary: 'One recovery plan',
    input: z.strictObject({ name }),
    run: async ({ core }, input) => getPlan(core.store.db, input.name),
  }),
  defineOperation({
    name: 'plan.put',
    kind: 'change',
    summary: 'Creates or changes a recovery plan',
    input: planSchema,
    run: async (bench, input, caller) => {
      await bench.core.store.transaction(async (tx) => {
        await putPlan(tx, input);
        // Refuses, and so rolls back, a plan that names what is not there.
        await resolveTarget(tx, input.name);
      });
      await audit(bench, caller, 'plan.put', input.name);
      return input;
    },
  }),
  defineOperation({
    name: 'plan.validate',
    kind: 'read',
    summary: 'Boot groups of a plan with their members, or why it cannot run',
    input: z.strictObject({ name }),
    run: async ({ core }, input) => {
      await getPlan(core.store.db, input.name);
      const target = await resolveTarget(core.store.db, input.name);
      return {
        name: target.name,
        bootGroups: target.waves.map((wave) => ({
          waitSecondsBefore: wave.waitSecondsBefore ?? 0,
          members: wave.items.map((member) => target.items.find((item) => item.id === member)?.name ?? member),
        })),
      };
    },
  }),
  defineOperation({
    name: 'plan.delete',
    kind: 'change',
    summary: 'Deletes a recovery plan',
    input: z.strictObject({ name }),
    run: async (bench, input, caller) => {
      await getPlan(bench.core.store.db, input.name);
      await bench.core.store.transaction((tx) => deletePlan(tx, input.name));
      await audit(bench, caller, 'plan.delete', input.name);
      return { name: input.name };
    },
  }),
] as const;
