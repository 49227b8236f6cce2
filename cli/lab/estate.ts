// The estates of `lab up` and of the drill: two sites each, and machines that write.
import type { EndpointSpec, EstateSpec, MachineSeed, ProfileName } from '../../adapters/lab/port.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Where the replicas of an endpoint go. A physical server's copy runs as a machine on KVM. */
export const PAIRS = [
  { from: 'vmm-a', to: 'vmm-b' },
  { from: 'vcenter-a', to: 'vcenter-b' },
  { from: 'servers-a', to: 'kvm-b' },
  { from: 'hv-a', to: 'hv-b' },
  { from: 'cluster-a', to: 'cluster-b' },
] as const;

/** `mixed`: an endpoint of each kind. `vmm`: a VMM server at each site. `hyperv`: a host by itself and a failover cluster at each site. */
export const ESTATES = ['mixed', 'vmm', 'hyperv'] as const;
export type EstateName = (typeof ESTATES)[number];

export interface EstateOptions {
  readonly estate?: EstateName;
  readonly machines: number;
  /** Of the account at the vCenters and Hyper-V hosts. */
  readonly password: string;
  /** A machine for a user's own disk image, of this size, off and without a workload. */
  readonly ownDiskBytes?: number;
}

interface Pattern {
  readonly endpoint: (typeof PAIRS)[number]['from'];
  readonly seed: Omit<MachineSeed, 'addresses'>;
}

const disk = (sizeBytes: number, contentBytes: number) => ({ sizeBytes, contentBytes });

/** The first six are the demo's: two of each kind. */
const MIXED: readonly Pattern[] = [
  {
    endpoint: 'vmm-a',
    seed: {
      name: 'erp-db',
      family: 'windows',
      disks: [disk(GIB / 2, 16 * MIB), disk(GIB, 24 * MIB)],
      labels: { cloud: 'gold', app: 'erp', tier: '1' },
      writesPerSecond: 60,
    },
  },
  {
    endpoint: 'vcenter-a',
    seed: {
      name: 'shop-db',
      disks: [disk(GIB / 2, 16 * MIB), disk(GIB, 24 * MIB)],
      labels: { folder: 'production', app: 'shop', tier: '1' },
      writesPerSecond: 60,
    },
  },
  {
    endpoint: 'servers-a',
    seed: {
      name: 'ledger',
      disks: [disk(GIB / 2, 24 * MIB)],
      labels: { app: 'ledger', tier: '1' },
      writesPerSecond: 40,
      shutdownDelayMs: 300,
    },
  },
  {
    endpoint: 'vmm-a',
    seed: {
      name: 'erp-web',
      family: 'windows',
      disks: [disk(GIB / 2, 16 * MIB)],
      labels: { cloud: 'gold', app: 'erp', tier: '2' },
      writesPerSecond: 40,
    },
  },
  {
    endpoint: 'vcenter-a',
    seed: {
      name: 'shop-web',
      firmware: 'bios',
      disks: [disk(GIB / 4, 16 * MIB)],
      labels: { folder: 'production', app: 'shop', tier: '2' },
      writesPerSecond: 40,
    },
  },
  {
    endpoint: 'servers-a',
    seed: {
      name: 'files',
      disks: [disk(GIB / 4, 24 * MIB)],
      labels: { app: 'files', tier: '3' },
      writesPerSecond: 20,
      shutdownDelayMs: 300,
    },
  },
];

/** A machine of Hyper-V, small enough that a first copy takes seconds. */
const small = (
  endpoint: Pattern['endpoint'],
  name: string,
  labels: Readonly<Record<string, string>>,
  more: Partial<MachineSeed> = {},
): Pattern => ({
  endpoint,
  seed: { name, disks: [disk(64 * MIB, 8 * MIB)], labels, writesPerSecond: 40, ...more },
});

const TWO_DISKS = { disks: [disk(64 * MIB, 8 * MIB), disk(128 * MIB, 16 * MIB)] };

const UNDER_VMM: readonly Pattern[] = [
  small('vmm-a', 'erp-db', { cloud: 'gold', app: 'erp' }, { family: 'windows', ...TWO_DISKS }),
  small('vmm-a', 'crm', { cloud: 'silver', app: 'crm' }, { family: 'windows' }),
  small('vmm-a', 'erp-web', { cloud: 'gold', app: 'erp' }, { family: 'windows' }),
  small('vmm-a', 'intranet', { cloud: 'silver', app: 'intranet' }),
];

const ON_HOSTS: readonly Pattern[] = [
  small('cluster-a', 'crm-db', { app: 'crm' }, { family: 'windows', ...TWO_DISKS }),
  small('hv-a', 'files', { app: 'files' }, { family: 'windows' }),
  small('cluster-a', 'crm-web', { app: 'crm' }),
];

const PATTERNS: Readonly<Record<EstateName, readonly Pattern[]>> = { mixed: MIXED, vmm: UNDER_VMM, hyperv: ON_HOSTS };

/** As many machines as there are different ones. */
export const machinesIn = (estate: EstateName): number => PATTERNS[estate].length;

/** The name of the machine that carries a user's own image. */
export const OWN_MACHINE = 'own-disk';

const seedsOf = ({ estate = 'mixed', machines, ownDiskBytes }: EstateOptions): { endpoint: string; seed: MachineSeed }[] => {
  const patterns = PATTERNS[estate];
  const seeds: { endpoint: string; seed: MachineSeed }[] = [];
  for (let index = 0; index < machines; index++) {
    const pattern = patterns[index % patterns.length] as Pattern;
    const round = Math.floor(index / patterns.length);
    const name = round === 0 ? pattern.seed.name : `${pattern.seed.name}-${round + 1}`;
    seeds.push({
      endpoint: pattern.endpoint,
      seed: { ...pattern.seed, name, addresses: [`10.1.${round}.${11 + (index % patterns.length)}`] },
    });
  }
  if (ownDiskBytes !== undefined)
    seeds.push({
      endpoint: 'vcenter-a',
      seed: {
        name: OWN_MACHINE,
        disks: [{ sizeBytes: ownDiskBytes }],
        workload: 'none',
        power: 'off',
        autostart: false,
        labels: { app: 'own' },
      },
    });
  return seeds;
};

interface Part {
  readonly name: string;
  readonly profile: ProfileName;
  readonly more: Partial<EndpointSpec>;
}

const part = (name: string, profile: ProfileName, more: Partial<EndpointSpec>): Part => ({ name, profile, more });

/** What there is at site-a, and at site-b. */
const PARTS: Readonly<Record<EstateName, readonly [readonly Part[], readonly Part[]]>> = {
  mixed: [
    [
      part('vmm-a', 'hyperv', { hosts: ['hv-a-1', 'hv-a-2'], pools: ['gold'] }),
      part('vcenter-a', 'vmware', { hosts: ['esx-a-1', 'esx-a-2'], folders: ['dc-a/vm/production', 'dc-a/vm/test'] }),
      part('servers-a', 'physical', { hosts: ['rack-a'] }),
    ],
    [
      part('vmm-b', 'hyperv', { hosts: ['hv-b-1'], pools: ['dr'] }),
      part('vcenter-b', 'vmware', { hosts: ['esx-b-1'], folders: ['dc-b/vm/recovery'] }),
      part('kvm-b', 'kvm', { hosts: ['kvm-b-1'] }),
    ],
  ],
  vmm: [
    [part('vmm-a', 'hyperv', { hosts: ['hv-a-1', 'hv-a-2'], pools: ['gold', 'silver'] })],
    [part('vmm-b', 'hyperv', { hosts: ['hv-b-1', 'hv-b-2'], pools: ['dr'] })],
  ],
  hyperv: [
    [part('hv-a', 'hyperv', {}), part('cluster-a', 'hyperv', { hosts: ['node-a-1', 'node-a-2'] })],
    [part('hv-b', 'hyperv', {}), part('cluster-b', 'hyperv', { hosts: ['node-b-1', 'node-b-2'] })],
  ],
};

export const buildEstate = (options: EstateOptions): EstateSpec => {
  const seeds = seedsOf(options);
  const total = seeds.reduce((sum, { seed }) => sum + seed.disks.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0), 0);
  const endpoint = ({ name, profile, more }: Part): EndpointSpec => ({
    name,
    profile,
    networks: ['production', 'management'],
    storage: [{ name: `${name}-store`, capacityBytes: Math.max(64 * GIB, total * 4) }],
    machines: seeds.filter((entry) => entry.endpoint === name).map(({ seed }) => seed),
    ...(profile === 'vmware' ? { username: 'warmsite@vsphere.local', password: options.password } : {}),
    ...(profile === 'hyperv' ? { username: 'LAB\\warmsite', password: options.password } : {}),
    ...more,
  });
  const [here, there] = PARTS[options.estate ?? 'mixed'];
  return {
    sites: [
      { name: 'site-a', endpoints: here.map(endpoint) },
      { name: 'site-b', endpoints: there.map(endpoint) },
    ],
  };
};
