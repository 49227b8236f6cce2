import type { OpenEstate, ProfileName } from '../../adapters/lab/port.ts';
import { definePlugin, type Plugin } from '../../core/contract/index.ts';
import { CONFIG, type Config, connect, type Shape } from './connect.ts';
import { hyperv, vmware } from './snapshot-overlay.ts';
import { physical } from './streaming.ts';
import { kvm } from './told-before.ts';

/** The four shapes that a plugin can have, each as its vendor has it. */
const SHAPES: Readonly<Record<ProfileName, Shape>> = { vmware, hyperv, kvm, physical };

/** A plugin for the simulated estate, with the id `memory-<profile>`. */
export const createMemoryPlugin = (profile: ProfileName, openEstate: OpenEstate): Plugin => {
  const { displayName, capabilities, facets } = SHAPES[profile];
  return definePlugin({
    id: `memory-${profile}`,
    displayName,
    config: CONFIG,
    capabilities,
    connect: (config, host, call) => connect(profile, openEstate, config as unknown as Config, host, call, facets),
  });
};
