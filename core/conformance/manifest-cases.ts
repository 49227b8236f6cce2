import assert from 'node:assert/strict';
import { CONTRACT_VERSION, type ConfigField } from '../contract/index.ts';
import type { Case } from './case.ts';
import { assertAborted, assertRefused } from './probe.ts';

const ATOMICITY = ['disk', 'machine', 'group'];
const TEST_NETWORK = ['host', 'cluster', 'site', 'none'];

const defaultFits = (field: ConfigField): boolean => {
  if (field.default === undefined) return true;
  if (field.type === 'choice') return field.choices?.includes(String(field.default)) ?? false;
  return typeof field.default === field.type;
};

export const manifestCases: readonly Case[] = [
  {
    id: 'MAN-001',
    level: 0,
    title: 'the manifest names the plugin and the contract version',
    promise:
      'A manifest MUST have a kebab-case id, a display name and the contract version that the plugin was written for, and MUST be plain data.',
    cause: 'the manifest is not made by definePlugin',
    needs: [],
    run: async ({ subject }) => {
      const { manifest } = subject.plugin;

      assert.match(manifest.id, /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/, `the id ${JSON.stringify(manifest.id)} is not kebab-case`);
      assert.ok(manifest.displayName.trim() !== '', 'the display name is empty');
      assert.equal(
        manifest.contractVersion,
        CONTRACT_VERSION,
        `the contract version is ${manifest.contractVersion}, not ${CONTRACT_VERSION}`,
      );
      assert.deepEqual(
        JSON.parse(JSON.stringify(manifest)),
        { ...manifest },
        'the manifest is not plain data: it changes on the way through JSON',
      );
    },
  },
  {
    id: 'MAN-002',
    level: 0,
    title: 'each configuration field can be prompted, checked and documented',
    promise:
      'A configuration field MUST have a unique name and a help text; a choice MUST list its choices; a default MUST be of its type; a secret or a pin MUST NOT have one, and one field at most MUST be a pin.',
    cause: 'a field was copied and not completed',
    needs: [],
    run: async ({ subject }) => {
      const fields = subject.plugin.manifest.config;
      const names = fields.map((field) => field.name);

      assert.equal(new Set(names).size, names.length, `field names are not unique: ${names.join(', ')}`);
      for (const field of fields) {
        assert.ok(field.help.trim() !== '', `field ${field.name} has no help`);
        assert.ok(field.type !== 'choice' || (field.choices?.length ?? 0) > 0, `field ${field.name} has no choices`);
        const without = field.type === 'secret' || field.type === 'pin';
        assert.ok(!without || field.default === undefined, `field ${field.name} is a ${field.type} with a default`);
        assert.ok(defaultFits(field), `the default ${String(field.default)} of field ${field.name} is not a ${field.type}`);
      }
      const pins = fields.filter((field) => field.type === 'pin').map((field) => field.name);
      assert.ok(pins.length < 2, `more than one field is a pin: ${pins.join(', ')}`);
    },
  },
  {
    id: 'MAN-003',
    level: 0,
    title: 'the capabilities are values of the contract',
    promise:
      'Capabilities MUST be values that the contract lists, MUST include crash consistency, and MUST allow at least one snapshot per machine.',
    cause: 'a capability is written by hand, past definePlugin',
    needs: [],
    run: async ({ subject }) => {
      const { capabilities } = subject.plugin.manifest;

      assert.ok(capabilities.consistency.includes('crash'), `consistency is ${capabilities.consistency.join(', ')}, without crash`);
      assert.ok(ATOMICITY.includes(capabilities.atomicity), `atomicity is ${capabilities.atomicity}`);
      assert.ok(TEST_NETWORK.includes(capabilities.testNetwork), `testNetwork is ${capabilities.testNetwork}`);
      assert.ok(['native', 'none'].includes(capabilities.tracking), `tracking is ${capabilities.tracking}`);
      assert.ok(
        capabilities.power.every((verb) => ['on', 'off', 'shutdown'].includes(verb)),
        `power is ${capabilities.power.join(', ')}`,
      );
      const most = capabilities.maxSnapshotsPerMachine;
      assert.ok(Number.isInteger(most) && most >= 1, `maxSnapshotsPerMachine is ${most}`);
    },
  },
  {
    id: 'MAN-004',
    level: 0,
    title: 'connect does not begin when its signal has aborted',
    promise: 'connect MUST reject with the reason of the signal once that has aborted.',
    cause: 'the signal is not checked before the first request',
    needs: [],
    run: async (ctx) => {
      const { call, abort } = ctx.abortable();
      abort();

      await assertAborted('connect', call, () => ctx.drive(ctx.subject.plugin.connect(ctx.subject.config, ctx.host, call)));
    },
  },
  {
    id: 'MAN-005',
    level: 0,
    title: 'connect is refused cleanly where nobody answers',
    promise: 'connect MUST reject with an access or reach error, and MUST NOT hang past its deadline.',
    cause: 'an error of the SDK comes through as it is, or no time-out is set on the socket',
    needs: ['unreachable'],
    run: async (ctx) => {
      const codes = [
        'CONNECTION_REFUSED',
        'CONNECTION_LOST',
        'TIMED_OUT',
        'HOST_BUSY',
        'CERTIFICATE_UNTRUSTED',
        'HOST_KEY_MISMATCH',
      ] as const;

      await assertRefused('connect to an address where nobody answers', () => ctx.connect({}, ctx.subject.unreachable), ...codes);
    },
  },
];
