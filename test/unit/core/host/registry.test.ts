import { expect } from 'chai';
import { describe, it } from 'mocha';
import { type ConfigField, type DrError, definePlugin, type Manifest } from '../../../../core/contract/index.ts';
import { checkConfig, revealConfig } from '../../../../core/host/config.ts';
import { type AnyPlugin, Registry } from '../../../../core/host/registry.ts';
import { Secret } from '../../../../core/host/secret.ts';
import { failureOf } from './fake-plugin.ts';

const plugin = (id: string, manifest: Partial<Record<keyof Manifest, unknown>> = {}): AnyPlugin => {
  const made = definePlugin({ id, displayName: id, connect: () => Promise.reject(new Error('not here')) });
  return { ...made, manifest: { ...made.manifest, ...manifest } as Manifest };
};

const thrownBy = (run: () => unknown): DrError => {
  try {
    run();
  } catch (error) {
    return error as DrError;
  }
  throw new Error('nothing was thrown');
};

describe('the registry', () => {
  it('gives a registered plugin by its id, and lists the manifests in order', () => {
    const [b, a] = [plugin('vmware'), plugin('hyperv')];
    const registry = new Registry([b, a]);

    expect(registry.get('hyperv')).to.equal(a);
    expect(registry.list().map((manifest) => manifest.id)).to.deep.equal(['vmware', 'hyperv']);
  });

  it('names the plugin that was probably meant', () => {
    const error = thrownBy(() => new Registry([plugin('vmware'), plugin('hyperv')]).get('hyper-v'));

    expect([error.code, error.message, error.hint]).to.deep.equal([
      'NOT_FOUND',
      'no plugin hyper-v; did you mean hyperv?',
      'choose one of: vmware, hyperv',
    ]);
    expect(thrownBy(() => new Registry([plugin('vmware')]).get('nutanix')).message).to.equal('no plugin nutanix');
  });

  it('refuses a plugin for another contract version, naming it and both versions', () => {
    const error = thrownBy(() => new Registry([plugin('future', { contractVersion: 2 })]));

    expect(error.code).to.equal('CONTRACT_VERSION_UNSUPPORTED');
    expect(error.message).to.equal('plugin future is written for contract version 2, this program supports version 1');
  });

  it('refuses a second plugin of the same id', () => {
    expect(thrownBy(() => new Registry([plugin('twin'), plugin('twin')])).message).to.equal('plugin twin is registered twice');
  });

  const field = (more: object): readonly object[] => [{ name: 'address', type: 'string', help: 'where', ...more }];
  const malformed: readonly [string, Partial<Record<keyof Manifest, unknown>>, RegExp][] = [
    ['an id that is not kebab-case', { id: 'Not_Kebab' }, /not kebab-case/],
    ['no display name', { displayName: '' }, /no displayName/],
    ['no configuration list', { config: undefined }, /no list of configuration fields/],
    ['no capabilities', { capabilities: undefined }, /no capabilities/],
    ['a field of an unknown type', { config: field({ type: 'url' }) }, /address has the unknown type "url"/],
    ['a field without help', { config: field({ help: '' }) }, /address has no help/],
    ['a choice without choices', { config: field({ type: 'choice' }) }, /choice without choices/],
    ['a default of the wrong type', { config: field({ default: 7 }) }, /default that is no string/],
    ['a default that is no choice', { config: field({ type: 'choice', choices: ['a'], default: 'b' }) }, /default that is no choice/],
    ['a secret with a default', { config: field({ type: 'secret', default: 'x' }) }, /secret with a default/],
    ['a pin with a default', { config: field({ type: 'pin', default: 'ab'.repeat(32) }) }, /pin with a default/],
    [
      'two pins',
      { config: [...field({ type: 'pin' }), ...field({ name: 'other', type: 'pin' })] },
      /more than one configuration field that is a pin/,
    ],
    ['one field twice', { config: [...field({}), ...field({})] }, /field address twice/],
  ];
  for (const [what, manifest, message] of malformed) {
    it(`refuses a manifest with ${what}`, () => {
      const error = thrownBy(() => new Registry([plugin('odd', manifest)]));

      expect(error.code).to.equal('CONTRACT_VIOLATED');
      expect(error.message).to.match(message);
    });
  }

  it('refuses what is no plugin at all', () => {
    for (const thing of [undefined, {}, { manifest: plugin('a').manifest }]) {
      expect(thrownBy(() => new Registry([thing as AnyPlugin])).code).to.equal('CONTRACT_VIOLATED');
    }
  });
});

describe('the configuration of an endpoint', () => {
  const fields: readonly ConfigField[] = [
    { name: 'address', type: 'string', required: true, help: 'name or address of the host' },
    { name: 'port', type: 'number', default: 443, help: 'TCP port' },
    { name: 'insecure', type: 'boolean', help: 'no TLS' },
    { name: 'mode', type: 'choice', choices: ['nbd', 'hotadd'], default: 'nbd', help: 'transport' },
    { name: 'password', type: 'secret', help: 'password of the account' },
    { name: 'pin', type: 'pin', help: 'fingerprint' },
  ];
  const { manifest } = plugin('odd', { config: fields });
  const endpointWith = (config: Record<string, unknown>) => ({ id: 'vc1', plugin: 'odd', config });

  it('is filled with defaults, and reaches the plugin with plain secrets', async () => {
    const checked = checkConfig(manifest, endpointWith({ address: 'vc', password: { env: 'VC_PASSWORD' } }));

    const { config, secrets } = await revealConfig(checked, async (reference) => new Secret(`value of ${JSON.stringify(reference)}`));

    expect(checked.secrets).to.deep.equal({ password: { env: 'VC_PASSWORD' } });
    expect(config).to.deep.equal({ address: 'vc', port: 443, mode: 'nbd', password: 'value of {"env":"VC_PASSWORD"}' });
    expect(secrets.map(String)).to.deep.equal(['***']);
  });

  it('gives a pin in one form, however it was written', () => {
    const { plain } = checkConfig(manifest, endpointWith({ address: 'vc', pin: `${'AB:'.repeat(31)}AB` }));

    expect(plain['pin']).to.equal('ab'.repeat(32));
  });

  const faults: readonly [string, Record<string, unknown>, string, string][] = [
    ['lacks a required key', {}, 'address', 'endpoint vc1: address is missing'],
    ['has an empty required key', { address: '' }, 'address', 'endpoint vc1: address is empty'],
    ['has a value of the wrong type', { address: 'vc', port: '443' }, 'port', 'endpoint vc1: port must be a number'],
    ['has a number that is none', { address: 'vc', port: Number.NaN }, 'port', 'endpoint vc1: port must be a number'],
    ['has a pin that is no fingerprint', { address: 'vc', pin: '7654321' }, 'pin', 'endpoint vc1: pin is no SHA-256 fingerprint'],
    ['has a value that is no choice', { address: 'vc', mode: 'san' }, 'mode', 'endpoint vc1: mode must be one of nbd, hotadd'],
    [
      'has an unknown key',
      { address: 'vc', pasword: 'x' },
      'pasword',
      'endpoint vc1: pasword is not a setting of plugin odd; did you mean password?',
    ],
    [
      'holds a secret itself',
      { address: 'vc', password: 'hunter2' },
      'password',
      'endpoint vc1: password must refer to a secret, not hold it',
    ],
    [
      'refers to a secret in two ways',
      { address: 'vc', password: { env: 'A', file: 'b' } },
      'password',
      'endpoint vc1: password must refer to a secret, not hold it',
    ],
    [
      'refers to a program without a name',
      { address: 'vc', password: { exec: [] } },
      'password',
      'endpoint vc1: password must refer to a secret, not hold it',
    ],
  ];
  for (const [what, config, key, message] of faults) {
    it(`is refused when it ${what}, naming the key`, () => {
      const error = thrownBy(() => checkConfig(manifest, endpointWith(config)));

      expect([error.code, error.message, error.context.key]).to.deep.equal(['CONFIG_INVALID', message, key]);
    });
  }

  it('never shows a value in an error: it may be a secret in the wrong place', () => {
    for (const config of [
      { address: 7654321 },
      { address: 'a', port: '7654321' },
      { address: 'a', mode: '7654321' },
      { address: 'a', password: '7654321' },
      { address: 'a', pin: '7654321' },
    ]) {
      const error = thrownBy(() => checkConfig(manifest, endpointWith(config)));

      expect(JSON.stringify({ ...error, text: `${error.message} ${error.hint}` })).not.to.contain('7654321');
    }
  });

  it('passes on that a secret is missing', async () => {
    const checked = checkConfig(manifest, endpointWith({ address: 'vc', password: { env: 'NO' } }));

    expect((await failureOf(revealConfig(checked, () => Promise.reject(new Error('missing'))))).message).to.equal('missing');
  });
});
