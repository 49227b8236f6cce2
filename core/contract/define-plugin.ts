import { type Capabilities, WEAKEST_CAPABILITIES } from './capabilities.ts';
import { DrError } from './errors.ts';
import { CONTRACT_VERSION, type ConfigField, type Plugin } from './plugin.ts';

export interface PluginDefinition<Config> extends Pick<Plugin<Config>, 'connect'> {
  readonly id: string;
  readonly displayName: string;
  readonly config?: readonly ConfigField[];
  readonly capabilities?: Partial<Capabilities>;
}

/** Fills what is left out with the weakest promise, so that an option added later breaks nobody. Throws CONFIG_INVALID on an id that is not kebab-case. */
export const definePlugin = <Config = Readonly<Record<string, unknown>>>(definition: PluginDefinition<Config>): Plugin<Config> => {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(definition.id)) {
    throw new DrError('CONFIG_INVALID', `plugin id ${JSON.stringify(definition.id)} is not kebab-case`, {
      hint: 'use lower-case letters, digits and single hyphens, beginning with a letter',
    });
  }
  return {
    manifest: {
      id: definition.id,
      displayName: definition.displayName,
      contractVersion: CONTRACT_VERSION,
      config: definition.config ?? [],
      capabilities: { ...WEAKEST_CAPABILITIES, ...definition.capabilities },
    },
    connect: (config, host, call) => definition.connect(config, host, call),
  };
};
