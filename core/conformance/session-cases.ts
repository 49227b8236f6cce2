import assert from 'node:assert/strict';
import type { Capabilities, Finding, Place } from '../contract/index.ts';
import type { Case } from './case.ts';
import { assertAborted, assertRefused, collect, refusal } from './probe.ts';

const RANK: { readonly [K in 'tracking' | 'atomicity' | 'testNetwork']: readonly string[] } = {
  tracking: ['none', 'native'],
  atomicity: ['disk', 'machine', 'group'],
  testNetwork: ['none', 'host', 'cluster', 'site'],
};

/** Where the session promises more than the manifest. */
const excess = (here: Capabilities, ever: Capabilities): string[] => {
  const found: string[] = [];
  for (const key of ['tracking', 'atomicity', 'testNetwork'] as const) {
    if (RANK[key].indexOf(here[key]) > RANK[key].indexOf(ever[key])) found.push(`${key} ${here[key]} over ${ever[key]}`);
  }
  for (const key of ['consistency', 'power'] as const) {
    const more = here[key].filter((value) => !(ever[key] as readonly string[]).includes(value));
    if (more.length > 0) found.push(`${key} ${more.join(', ')}`);
  }
  for (const key of ['finalFreeze', 'snapshotSurvivesDisconnect'] as const) if (here[key] && !ever[key]) found.push(key);
  if (here.maxSnapshotsPerMachine > ever.maxSnapshotsPerMachine) found.push(`maxSnapshotsPerMachine ${here.maxSnapshotsPerMachine}`);
  return found;
};

export const assertFindings = (what: string, findings: readonly Finding[]): void => {
  for (const { code, level, message, hint } of findings) {
    assert.ok(code !== '' && message !== '' && hint !== '', `${what} gave a finding without code, message or hint: ${code} ${message}`);
    assert.ok(['info', 'warning', 'blocks'].includes(level), `${what} gave finding ${code} of level ${level}`);
  }
};

const PLACE_KINDS: readonly Place['kind'][] = ['network', 'storage', 'folder', 'host', 'pool'];

export const sessionCases: readonly Case[] = [
  {
    id: 'SES-001',
    level: 1,
    title: 'the session promises no more than the manifest',
    promise: "A session's capabilities MUST NOT exceed those of the manifest; it MAY promise less.",
    cause: 'the manifest states what is common, not the most that the plugin can ever do',
    needs: [],
    run: async ({ session, subject }) => {
      const more = excess(session.capabilities, subject.plugin.manifest.capabilities);

      assert.deepEqual(more, [], `the session promises more than the manifest: ${more.join('; ')}`);
    },
  },
  {
    id: 'SES-002',
    level: 1,
    title: 'facets and capabilities agree',
    promise: 'What is promised MUST be there: native tracking needs a source, power verbs need power, a test network needs network.',
    cause: 'a capability is promised for a facet that the session leaves out',
    needs: [],
    run: async ({ session }) => {
      const { capabilities, source } = session;

      assert.ok(capabilities.tracking === 'none' || source, 'tracking is native, and the session has no source');
      assert.equal(
        capabilities.power.length > 0,
        session.power !== undefined,
        `power is [${capabilities.power.join(', ')}], and the facet is not alike`,
      );
      assert.ok(
        capabilities.testNetwork === 'none' || session.network,
        `testNetwork is ${capabilities.testNetwork} without a network facet`,
      );
      assert.ok(!capabilities.finalFreeze || source?.kind === 'streaming', 'finalFreeze is promised without a streaming source');
    },
  },
  {
    id: 'SES-003',
    level: 1,
    title: 'check answers with findings that can be acted on',
    promise: 'check MUST answer with findings, each with a code, a level, a message and a next step.',
    cause: 'a finding was written without its hint',
    needs: [],
    run: async ({ session, call }) => assertFindings('check', await session.check(call())),
  },
  {
    id: 'SES-004',
    level: 1,
    title: 'sessions are independent and close twice',
    promise: 'Closing a session MUST succeed again when it is closed, and MUST NOT end another session.',
    cause: 'sessions share one connection without counting its users',
    needs: [],
    run: async (ctx) => {
      const other = await ctx.connect();

      await other[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();

      await collect(ctx.session.inventory.listMachines({}, ctx.call()));
    },
  },
  {
    id: 'SES-005',
    level: 1,
    title: 'a closed session refuses calls',
    promise: 'A call on a closed session MUST reject with an error of the contract, and MUST NOT hang.',
    cause: 'the connection is opened again behind the back of the session',
    needs: [],
    run: async (ctx) => {
      const other = await ctx.connect();

      await other[Symbol.asyncDispose]();

      await assertRefused('listMachines on a closed session', () => collect(other.inventory.listMachines({}, ctx.call())));
    },
  },
  {
    id: 'SES-006',
    level: 1,
    title: 'reading calls do not begin when their signal has aborted',
    promise: 'Once its signal aborts, a call MUST stop and reject with the reason of the signal.',
    cause: 'the signal is passed on by some methods and forgotten by others',
    needs: [],
    run: async (ctx) => {
      const { inventory } = ctx.session;
      const [machine] = await collect(inventory.listMachines({}, ctx.call()));
      const { call, abort } = ctx.abortable();
      abort();

      await assertAborted('check', call, () => ctx.session.check(call));
      if (!machine) return;
      await assertAborted('getMachine', call, () => inventory.getMachine(machine.id, call));
      await assertAborted('checkProtectable', call, () => inventory.checkProtectable(machine.id, 'source', call));
    },
  },
  {
    id: 'SES-007',
    level: 1,
    title: 'another endpoint than the pinned one is refused',
    promise:
      'connect MUST reject an endpoint that is not the one that the pin of the configuration names, with CERTIFICATE_UNTRUSTED or HOST_KEY_MISMATCH and the SHA-256 that it saw, in 64 lower-case hex digits, as `context.actual`.',
    cause: 'the pin is compared after the check of the certificate was switched off, or not at all',
    needs: ['pin'],
    run: async (ctx) => {
      const { config, plugin } = ctx.subject;
      const name = plugin.manifest.config.find((field) => field.type === 'pin')?.name ?? '';

      const error = await assertRefused(
        'connect with the pin of another endpoint',
        () => ctx.connect({}, { ...config, [name]: '00'.repeat(32) }),
        'CERTIFICATE_UNTRUSTED',
        'HOST_KEY_MISMATCH',
      );

      const { actual = 'nothing' } = error.context;
      assert.match(String(actual), /^[0-9a-f]{64}$/, `context.actual is ${actual}, no SHA-256 in hex`);
      await using _known = await ctx.connect({}, { ...config, [name]: actual });
    },
  },
  {
    id: 'ERR-001',
    level: 1,
    title: 'failures are errors of the contract',
    promise:
      'Every rejection MUST be a DrError with a listed code other than INTERNAL, a message without a full stop, and a context of listed keys; or the reason of the signal.',
    cause: 'an error of the SDK or of the runtime comes through as it is',
    needs: [],
    run: async (ctx) => {
      // The recorder looks at every rejection, here and in all other cases: these only make sure that there are some.
      await refusal(() => ctx.session.inventory.getMachine('no such machine' as never, ctx.call()));
      await refusal(() => ctx.session.inventory.checkProtectable('no such machine' as never, 'source', ctx.call()));
      await refusal(() => ctx.session.power?.set('no such machine' as never, 'on', ctx.call({ fence: ctx.epoch(1) })));
      if (ctx.session.source) await refusal(() => ctx.session.source?.enableTracking('no such machine' as never, ctx.call()));
      await refusal(() => ctx.session.fence?.read('no such machine' as never, ctx.call()));
    },
  },
  {
    id: 'ERR-002',
    level: 1,
    title: 'a rejected secret is not repeated',
    promise: 'A secret MUST NOT appear in an error, its context, its cause or the log.',
    cause: 'the request or the address is put whole into the message',
    needs: ['secret'],
    run: async (ctx) => {
      const canary = 'canary-Zq7!conformance';
      const wrong = { ...ctx.subject.config };
      for (const field of ctx.subject.plugin.manifest.config) if (field.type === 'secret') wrong[field.name] = canary;

      ctx.watchSecret(canary);
      await refusal(() => ctx.connect({}, wrong));
    },
  },
  {
    id: 'INV-008',
    level: 1,
    title: 'places are listed by kind, with ids that are unique',
    promise: 'listPlaces MUST give each place of the kind once, with an id that is stable and a parent that exists.',
    cause: 'the name is used as the id, or the kind is ignored',
    needs: [],
    run: async ({ session, call }) => {
      const places: Place[] = [];
      for (const kind of PLACE_KINDS) {
        const listed = await collect(session.inventory.listPlaces(kind, call()));
        const strange = listed.find((place) => place.kind !== kind);
        assert.ok(!strange, `listPlaces(${kind}) gave ${strange?.id} of kind ${strange?.kind}`);
        places.push(...listed);
      }
      const ids = new Set(places.map((place) => place.id));

      assert.equal(ids.size, places.length, `${places.length} places have ${ids.size} ids`);
      for (const { id, name, parent } of places) {
        assert.ok(name !== '', `place ${id} has no name`);
        assert.ok(parent === undefined || ids.has(parent), `the parent ${parent} of place ${id} is not listed`);
      }
      const again = await collect(session.inventory.listPlaces('network', call()));
      for (const { id } of again) assert.ok(ids.has(id), `network ${id} was not listed before`);
    },
  },
];
