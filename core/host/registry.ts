import { CONTRACT_VERSION, DrError, type Manifest, type Plugin } from '../contract/index.ts';
import { suggest } from './suggest.ts';

/** A plugin of whatever configuration type; the host checks the configuration against the manifest before it calls connect. */
export type AnyPlugin = Plugin<never>;

const KEBAB_CASE = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const FIELD_TYPES: readonly string[] = ['string', 'number', 'boolean', 'secret', 'choice', 'pin'];

const fieldFault = (field: Manifest['config'][number]): string | undefined => {
  if (typeof field.name !== 'string' || field.name === '') return 'has a configuration field without a name';
  const of = `configuration field ${field.name}`;
  if (!FIELD_TYPES.includes(field.type)) return `${of} has the unknown type ${JSON.stringify(field.type)}`;
  if (typeof field.help !== 'string' || field.help === '') return `${of} has no help text`;
  if (field.type === 'choice' && !(field.choices && field.choices.length > 0)) return `${of} is a choice without choices`;
  if (field.default === undefined) return undefined;
  if (field.type === 'secret' || field.type === 'pin') return `${of} is a ${field.type} with a default`;
  if (field.type === 'choice') return field.choices?.includes(String(field.default)) ? undefined : `${of} has a default that is no choice`;
  return typeof field.default === field.type ? undefined : `${of} has a default that is no ${field.type}`;
};

const manifestFault = (manifest: Manifest): string | undefined => {
  if (typeof manifest.id !== 'string' || !KEBAB_CASE.test(manifest.id)) return `id ${JSON.stringify(manifest.id)} is not kebab-case`;
  if (typeof manifest.displayName !== 'string' || manifest.displayName === '') return 'has no displayName';
  if (!Array.isArray(manifest.config)) return 'has no list of configuration fields';
  const names = manifest.config.map((field) => field.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) return `has the configuration field ${twice} twice`;
  if (manifest.config.filter((field) => field.type === 'pin').length > 1) return 'has more than one configuration field that is a pin';
  const { capabilities } = manifest;
  if (typeof capabilities !== 'object' || capabilities === null) return 'states no capabilities';
  if (!Array.isArray(capabilities.consistency) || !Array.isArray(capabilities.power)) return 'states no lists of consistency and power';
  return manifest.config.map(fieldFault).find((fault) => fault !== undefined);
};

/** The plugins of this program, each registered by name: none is found by scanning. */
export class Registry {
  readonly #plugins = new Map<string, AnyPlugin>();

  constructor(plugins: readonly AnyPlugin[] = []) {
    for (const plugin of plugins) this.register(plugin);
  }

  /** Refuses what the host could not run: another contract version, an id that is taken, a malformed manifest. */
  register(plugin: AnyPlugin): void {
    const manifest: Manifest | undefined = plugin?.manifest;
    if (typeof manifest !== 'object' || manifest === null || typeof plugin.connect !== 'function') {
      throw new DrError('CONTRACT_VIOLATED', 'a plugin has no manifest or no connect method', {
        hint: 'make the plugin with definePlugin',
      });
    }
    const name = String(manifest.id);
    const version: unknown = manifest.contractVersion;
    if (version !== CONTRACT_VERSION) {
      throw new DrError(
        'CONTRACT_VERSION_UNSUPPORTED',
        `plugin ${name} is written for contract version ${String(version)}, this program supports version ${CONTRACT_VERSION}`,
        { context: { plugin: name, expected: CONTRACT_VERSION, actual: String(version) } },
      );
    }
    const fault = manifestFault(manifest);
    if (fault !== undefined) {
      throw new DrError('CONTRACT_VIOLATED', `manifest of plugin ${name}: ${fault}`, {
        hint: 'correct the manifest of the plugin',
        context: { plugin: name },
      });
    }
    if (this.#plugins.has(name)) {
      throw new DrError('CONFIG_INVALID', `plugin ${name} is registered twice`, {
        hint: 'remove one of the two plugins',
        context: { plugin: name },
      });
    }
    this.#plugins.set(name, plugin);
  }

  get(id: string): AnyPlugin {
    const plugin = this.#plugins.get(id);
    if (plugin !== undefined) return plugin;
    const ids = [...this.#plugins.keys()];
    const meant = suggest(id, ids);
    throw new DrError('NOT_FOUND', `no plugin ${id}${meant === undefined ? '' : `; did you mean ${meant}?`}`, {
      hint: ids.length === 0 ? 'install a plugin' : `choose one of: ${ids.join(', ')}`,
      context: { kind: 'plugin', name: id },
    });
  }

  /** In the order of registration. */
  list(): readonly Manifest[] {
    return [...this.#plugins.values()].map((plugin) => plugin.manifest);
  }
}
