// Set up: endpoints, and by which certificate or host key each of them is known.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { DrError, type ErrorCode, type Finding, isDrError, type Manifest } from '../contract/index.ts';
import type { EndpointRecord } from '../domain/policy.ts';
import type { EndpointSession } from '../host/host.ts';
import { findPinField, normalPin, pinText, seenIdentity } from '../host/pin.ts';
import { callFor, nowIso, openEndpoint } from '../replication/core.ts';
import { type EventInput, recordAudit, recordEvent } from '../state/events.ts';
import { listItems } from '../state/items.ts';
import { deleteEndpoint, getEndpoint, getSite, listEndpoints, putEndpoint } from '../state/records.ts';
import { listRules } from '../state/rules.ts';
import { audit, auditOf, type Caller, defineOperation, id, name, nothing, type Workbench } from './operation.ts';

export const endpointSchema = z.strictObject({ id, site: id, plugin: name, config: z.record(z.string(), z.unknown()) });

const pin = z.string().min(1).max(200);

type Config = EndpointRecord['config'];

export interface EndpointCheck {
  readonly id: string;
  readonly site: string;
  readonly plugin: string;
  readonly reachable: boolean;
  readonly facets: readonly string[];
  readonly findings: readonly Finding[];
}

/** Who an endpoint is, as it shows itself now. Fingerprints are SHA-256 in hex. */
export interface EndpointIdentity {
  readonly id: string;
  readonly plugin: string;
  /** It opens as it is configured: there is nothing to accept. */
  readonly trusted: boolean;
  /** What was accepted before. */
  readonly pinned?: string;
  readonly refusal?: { readonly code: ErrorCode; readonly message: string; readonly actual: string };
}

export interface EndpointChange {
  readonly id: string;
  readonly changed: readonly string[];
  readonly findings: readonly Finding[];
}

const facetsOf = (session: EndpointSession): string[] => [
  ...(session.source ? [`source:${session.source.kind}`] : []),
  ...(session.target ? ['target'] : []),
  ...(session.target?.forks ? ['forks'] : []),
  ...(session.power ? ['power'] : []),
  ...(session.network ? ['network'] : []),
  ...(session.fence ? ['fence'] : []),
  ...(session.nativePair ? ['nativePair'] : []),
];

const checkEndpoint = async (bench: Workbench, endpointId: string, signal: AbortSignal): Promise<EndpointCheck> => {
  const record = await getEndpoint(bench.core.store.db, endpointId);
  const base = { id: record.id, site: record.site, plugin: record.plugin };
  try {
    const session = await openEndpoint(bench.core, endpointId);
    const findings = await session.check(callFor(bench.core, `check/${endpointId}`, signal));
    return { ...base, reachable: true, facets: facetsOf(session), findings };
  } catch (error) {
    if (!isDrError(error) || signal.aborted) throw error;
    const hint = seenIdentity(error) === undefined ? error.hint : `find out why, then run warmsite endpoint trust ${endpointId}`;
    return { ...base, reachable: false, facets: [], findings: [{ code: error.code, level: 'blocks', message: error.message, hint }] };
  }
};

const pinnedOf = (manifest: Manifest, config: Config): string | undefined => {
  const field = findPinField(manifest);
  return field && normalPin(String(config[field.name] ?? ''));
};

const withPin = (manifest: Manifest, config: Config, given: string | undefined): Config => {
  if (given === undefined) return config;
  const field = findPinField(manifest);
  if (field) return { ...config, [field.name]: normalPin(given) ?? given };
  throw new DrError('CAPABILITY_MISSING', `plugin ${manifest.id} knows its endpoints by no fingerprint`, {
    context: { plugin: manifest.id },
    hint: 'let its certificate be signed by an authority that is trusted here',
  });
};

/** Connects beside whatever is open there. Nothing that is refused for its identity is ever accepted here: that takes a pin. */
const tryOut = async <T>(
  bench: Workbench,
  endpoint: Pick<EndpointRecord, 'id' | 'plugin' | 'config'>,
  use: (session: EndpointSession) => Promise<T>,
): Promise<T> => {
  const { id: endpointId, plugin, config } = endpoint;
  try {
    return await bench.core.host.probe({ id: endpointId, plugin, config }, use);
  } catch (error) {
    const actual = seenIdentity(error);
    if (actual === undefined || !isDrError(error)) throw error;
    const { manifest } = bench.registry.get(plugin);
    const field = findPinField(manifest);
    if (!field) throw error;
    const shown = pinText(actual, error.code);
    const hint =
      pinnedOf(manifest, config) === undefined
        ? `compare ${shown} with the fingerprint that the server shows at its console, then give it as ${field.name}`
        : `the server shows ${shown}: ask its administrator why before you give that as ${field.name}`;
    throw new DrError(error.code, error.message, { hint, context: error.context, cause: error.cause });
  }
};

const identityOf = async (bench: Workbench, record: EndpointRecord): Promise<EndpointIdentity> => {
  const pinned = pinnedOf(bench.registry.get(record.plugin).manifest, record.config);
  const base = { id: record.id, plugin: record.plugin, ...(pinned === undefined ? {} : { pinned }) };
  try {
    await tryOut(bench, record, async () => {});
    return { ...base, trusted: true };
  } catch (error) {
    const actual = seenIdentity(error);
    if (actual === undefined || !isDrError(error)) throw error;
    return { ...base, trusted: false, refusal: { code: error.code, message: error.message, actual } };
  }
};

/** Stores what was tried out and ends the sessions that were opened with the old configuration. */
const changeConfig = async (
  bench: Workbench,
  caller: Caller,
  record: EndpointRecord,
  config: Config,
  as: Pick<EventInput, 'kind' | 'level' | 'message'> & { readonly action: string; readonly data: Readonly<Record<string, unknown>> },
): Promise<void> => {
  const { core } = bench;
  const { action, data, ...event } = as;
  await core.store.transaction(async (tx) => {
    const now = await getEndpoint(tx, record.id);
    if (!isDeepStrictEqual(now, record)) {
      throw new DrError('STATE_CONFLICT', `endpoint ${record.id} was changed by somebody else meanwhile`, {
        context: { endpoint: record.id },
        hint: 'look at it with endpoint show, then run the command again',
      });
    }
    await putEndpoint(tx, { ...record, config });
    await recordAudit(tx, auditOf(bench, caller, { action, target: record.id, data }));
    await recordEvent(tx, { at: nowIso(core), subject: record.id, ...event });
  });
  core.host.forget(record.id);
};

/** What keeps an endpoint, and what has to happen to that first. */
const userOf = async ({ core }: Workbench, endpoint: string): Promise<{ readonly name: string; readonly hint: string } | undefined> => {
  const item = (await listItems(core.store.db)).find((one) => one.source.endpoint === endpoint || one.replica?.endpoint === endpoint);
  if (item) return { name: item.name, hint: 'unprotect the machines of the endpoint first' };
  const row = (await listRules(core.store.db)).find(({ rule }) => rule.endpoint === endpoint || rule.target === endpoint);
  return row && { name: `rule ${row.rule.name}`, hint: 'change or delete the rule first' };
};

/**
 * Ids of machines are unique at one endpoint only: what is called vm-101 at another one is somebody else's machine, and its disks would be
 * overwritten. One machine that is there with a disk of its own proves that it is the same estate.
 */
const assertSameEstate = async (bench: Workbench, endpoint: string, session: EndpointSession, signal: AbortSignal): Promise<void> => {
  const ours = new Set(
    (await listItems(bench.core.store.db)).flatMap((item) => [
      ...(item.source.endpoint === endpoint ? item.disks.map((disk) => `${item.source.machine}\n${disk.sourceDisk}`) : []),
      ...(item.replica?.endpoint === endpoint ? item.disks.map((disk) => `${item.replica?.machine}\n${disk.replicaDisk}`) : []),
    ]),
  );
  if (ours.size === 0) return;
  for await (const machine of session.inventory.listMachines({}, callFor(bench.core, `same/${endpoint}`, signal)))
    if (machine.spec.disks.some((disk) => ours.has(`${machine.id}\n${disk.id}`))) return;
  throw new DrError('STATE_CONFLICT', `none of the protected machines of ${endpoint} is there: this is another estate`, {
    context: { endpoint },
    hint: 'check the address, or add it as an endpoint of its own with endpoint add',
  });
};

export const endpointOperations = [
  defineOperation({
    name: 'endpoint.list',
    kind: 'read',
    summary: 'Endpoints',
    input: nothing,
    run: async ({ core }) => listEndpoints(core.store.db),
  }),
  defineOperation({
    name: 'endpoint.show',
    kind: 'read',
    summary: 'One endpoint',
    input: z.strictObject({ id: name }),
    run: async ({ core }, input) => getEndpoint(core.store.db, input.id),
  }),
  defineOperation({
    name: 'endpoint.add',
    kind: 'change',
    summary: 'Adds an endpoint and connects to it once; nothing is stored when that fails',
    input: endpointSchema.extend({ pin: pin.optional() }),
    run: async (bench, input, caller) => {
      const { core, registry } = bench;
      await getSite(core.store.db, input.site);
      const { manifest } = registry.get(input.plugin);
      if ((await listEndpoints(core.store.db)).some((endpoint) => endpoint.id === input.id)) {
        throw new DrError('STATE_CONFLICT', `there is an endpoint ${input.id} already`, {
          context: { endpoint: input.id },
          hint: 'choose another name, or remove the endpoint first',
        });
      }
      const record = {
        id: input.id,
        site: input.site,
        plugin: input.plugin,
        config: withPin(manifest, input.config, input.pin),
        createdAt: nowIso(core),
      };
      const findings = await tryOut(bench, record, (session) => session.check(callFor(core, `check/${input.id}`, caller.signal)));
      const pinned = pinnedOf(manifest, record.config);
      await core.store.transaction((tx) => putEndpoint(tx, record));
      await audit(bench, caller, 'endpoint.add', input.id, {
        plugin: input.plugin,
        site: input.site,
        ...(pinned === undefined ? {} : { pin: pinned }),
      });
      return { id: input.id, findings };
    },
  }),
  defineOperation({
    name: 'endpoint.set',
    kind: 'change',
    summary: 'Changes the configuration of an endpoint and connects to it once; nothing is stored when that fails',
    input: z.strictObject({
      id: name,
      set: z.record(z.string(), z.unknown()).default({}),
      unset: z.array(name).default([]),
      pin: pin.optional(),
    }),
    run: async (bench, input, caller): Promise<EndpointChange> => {
      const { core, registry } = bench;
      const record = await getEndpoint(core.store.db, input.id);
      const { manifest } = registry.get(record.plugin);
      const kept = Object.fromEntries(Object.entries(record.config).filter(([key]) => !input.unset.includes(key)));
      const config = withPin(manifest, { ...kept, ...input.set }, input.pin);
      const keys = [...new Set([...Object.keys(record.config), ...Object.keys(config)])];
      const changed = keys.filter((key) => !isDeepStrictEqual(record.config[key], config[key]));
      const findings = await tryOut(bench, { ...record, config }, async (session) => {
        await assertSameEstate(bench, record.id, session, caller.signal);
        return session.check(callFor(core, `check/${record.id}`, caller.signal));
      });
      const pinned = pinnedOf(manifest, config);
      if (changed.length > 0) {
        await changeConfig(bench, caller, record, config, {
          action: 'endpoint.set',
          // No values: people do put a password into the wrong field.
          data: { changed, ...(pinned === undefined ? {} : { pin: pinned }) },
          kind: 'endpoint.changed',
          level: 'info',
          message: `configuration of ${record.id} changed by ${caller.actor}: ${changed.join(', ')}`,
        });
      }
      return { id: record.id, changed, findings };
    },
  }),
  defineOperation({
    name: 'endpoint.check',
    kind: 'read',
    summary: 'Connects and checks version, rights, clock and certificates',
    input: z.strictObject({ id: name.optional() }),
    run: async (bench, input, { signal }) => {
      const ids = input.id ? [input.id] : (await listEndpoints(bench.core.store.db)).map((endpoint) => endpoint.id);
      return Promise.all(ids.map((endpoint) => checkEndpoint(bench, endpoint, signal)));
    },
  }),
  defineOperation({
    name: 'endpoint.identity',
    kind: 'read',
    summary: 'Connects anew and tells whether the endpoint is still the one that was accepted',
    input: z.strictObject({ id: name }),
    run: async (bench, input) => identityOf(bench, await getEndpoint(bench.core.store.db, input.id)),
  }),
  defineOperation({
    name: 'endpoint.trust',
    kind: 'change',
    severe: true,
    summary: 'Accepts the certificate or host key of that fingerprint, if it is what the endpoint shows; its sessions are opened anew',
    input: z.strictObject({ id: name, pin }),
    run: async (bench, input, caller): Promise<EndpointChange> => {
      const { core, registry } = bench;
      const record = await getEndpoint(core.store.db, input.id);
      const { manifest } = registry.get(record.plugin);
      const config = withPin(manifest, record.config, input.pin);
      const findings = await tryOut(bench, { ...record, config }, (session) =>
        session.check(callFor(core, `check/${record.id}`, caller.signal)),
      );
      const [before, after] = [pinnedOf(manifest, record.config), pinnedOf(manifest, config) ?? ''];
      if (before === after) return { id: record.id, changed: [], findings };
      await changeConfig(bench, caller, record, config, {
        action: 'endpoint.trust',
        data: { ...(before === undefined ? {} : { before }), after },
        kind: 'endpoint.trusted',
        level: 'warning',
        message: `${caller.actor} accepted ${pinText(after)} for ${record.id}${before === undefined ? '' : ` instead of ${pinText(before)}`}`,
      });
      return { id: record.id, changed: [findPinField(manifest)?.name ?? ''], findings };
    },
  }),
  defineOperation({
    name: 'endpoint.remove',
    kind: 'change',
    summary: 'Removes an endpoint that nothing uses',
    input: z.strictObject({ id: name }),
    run: async (bench, input, caller) => {
      await getEndpoint(bench.core.store.db, input.id);
      const user = await userOf(bench, input.id);
      if (user)
        throw new DrError('STATE_CONFLICT', `endpoint ${input.id} is used by ${user.name}`, {
          context: { endpoint: input.id, name: user.name },
          hint: user.hint,
        });
      await bench.core.store.transaction((tx) => deleteEndpoint(tx, input.id));
      bench.core.host.forget(input.id);
      await audit(bench, caller, 'endpoint.remove', input.id);
      return { id: input.id };
    },
  }),
] as const;
