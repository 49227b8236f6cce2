import type { OpenEstate, ProfileName } from '../../adapters/lab/port.ts';
import { type Capabilities, definePlugin, type Plugin } from '../../core/contract/index.ts';
import { CONFIG, type Config, connect, type Facets, type Link } from './connect.ts';
import { sourceAskedLater, sourceToldBefore } from './snapshots.ts';
import { streamingSource } from './streaming.ts';
import { adoptingTarget, overlayTarget } from './target.ts';

interface Shape {
  readonly displayName: string;
  readonly capabilities: Partial<Capabilities>;
  readonly facets: (link: Link) => Facets;
}

const hypervisor: Partial<Capabilities> = {
  tracking: 'native',
  consistency: ['crash', 'application'],
  atomicity: 'machine',
  testNetwork: 'cluster',
  power: ['on', 'off', 'shutdown'],
  snapshotSurvivesDisconnect: true,
  maxSnapshotsPerMachine: 31,
};

/** The four shapes that a plugin can have, each as its vendor has it. */
const SHAPES: Readonly<Record<ProfileName, Shape>> = {
  vmware: {
    displayName: 'Simulated vCenter',
    capabilities: hypervisor,
    facets: (link) => ({ source: sourceAskedLater(link), target: overlayTarget(link) }),
  },
  hyperv: {
    displayName: 'Simulated Hyper-V',
    capabilities: { ...hypervisor, atomicity: 'group', testNetwork: 'host', maxSnapshotsPerMachine: 50 },
    facets: (link) => ({ source: sourceAskedLater(link), target: overlayTarget(link) }),
  },
  kvm: {
    displayName: 'Simulated KVM host',
    capabilities: {
      ...hypervisor,
      consistency: ['crash'],
      testNetwork: 'host',
      snapshotSurvivesDisconnect: false,
      maxSnapshotsPerMachine: 8,
    },
    facets: (link) => ({ source: sourceToldBefore(link), target: overlayTarget(link) }),
  },
  physical: {
    displayName: 'Simulated physical servers',
    capabilities: {
      tracking: 'native',
      consistency: ['crash', 'application'],
      atomicity: 'machine',
      power: ['on', 'off', 'shutdown'],
      finalFreeze: true,
    },
    facets: (link) => ({ source: streamingSource(link), target: adoptingTarget(link) }),
  },
};

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
