// The estate of `lab up` and of the drill: two sites, three kinds of endpoint at each, machines of all kinds.
import type { EndpointSpec, EstateSpec, MachineSeed, ProfileName } from '../../adapters/lab/port.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Where the replicas of a kind of endpoint go. A physical server's copy runs as a machine on KVM. */
export const PAIRS = [
  { from: 'vmm-a', to: 'vmm-b' },
  { from: 'vcenter-a', to: 'vcenter-b' },
  { from: 'servers-a', to: 'kvm-b' },
] as const;

export interface EstateOptions {
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
const PATTERNS: readonly Pattern[] = [
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

/** The name of the machine that carries a user's own image. */
export const OWN_MACHINE = 'own-disk';

const seedsOf = ({ machines, ownDiskBytes }: EstateOptions): { endpoint: string; seed: MachineSeed }[] => {
  const seeds: { endpoint: string; seed: MachineSeed }[] = [];
  for (let index = 0; index < machines; index++) {
    const pattern = PATTERNS[index % PATTERNS.length] as Pattern;
    const round = Math.floor(index / PATTERNS.length);
    const name = round === 0 ? pattern.seed.name : `${pattern.seed.name}-${round + 1}`;
    seeds.push({
      endpoint: pattern.endpoint,
      seed: { ...pattern.seed, name, addresses: [`10.1.${round}.${11 + (index % PATTERNS.length)}`] },
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

export const buildEstate = (options: EstateOptions): EstateSpec => {
  const seeds = seedsOf(options);
  const total = seeds.reduce((sum, { seed }) => sum + seed.disks.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0), 0);
  const endpoint = (name: string, profile: ProfileName, more: Partial<EndpointSpec>): EndpointSpec => ({
    name,
    profile,
    networks: ['production', 'management'],
    storage: [{ name: `${name}-store`, capacityBytes: Math.max(64 * GIB, total * 4) }],
    machines: seeds.filter((entry) => entry.endpoint === name).map(({ seed }) => seed),
    ...(profile === 'vmware' ? { username: 'warmsite@vsphere.local', password: options.password } : {}),
    ...(profile === 'hyperv' ? { username: 'LAB\\warmsite', password: options.password } : {}),
    ...more,
  });
  return {
    sites: [
      {
        name: 'site-a',
        endpoints: [
          endpoint('vmm-a', 'hyperv', { hosts: ['hv-a-1', 'hv-a-2'], pools: ['gold'] }),
          endpoint('vcenter-a', 'vmware', { hosts: ['esx-a-1', 'esx-a-2'], folders: ['dc-a/vm/production', 'dc-a/vm/test'] }),
          endpoint('servers-a', 'physical', { hosts: ['rack-a'] }),
        ],
      },
      {
        name: 'site-b',
        endpoints: [
          endpoint('vmm-b', 'hyperv', { hosts: ['hv-b-1'], pools: ['dr'] }),
          endpoint('vcenter-b', 'vmware', { hosts: ['esx-b-1'], folders: ['dc-b/vm/recovery'] }),
          endpoint('kvm-b', 'kvm', { hosts: ['kvm-b-1'] }),
        ],
      },
    ],
  };
};
