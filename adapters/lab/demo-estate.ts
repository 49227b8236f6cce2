import type { EndpointSpec, EstateSpec, MachineSeed, ProfileName } from './port.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

export interface DemoOptions {
  /** Size of each disk; small ones keep a sweep fast. */
  readonly diskBytes?: number;
  readonly writesPerSecond?: number;
  /** Set on every endpoint, which then rejects other credentials. */
  readonly password?: string;
}

/** Two sites. The protected one: Hyper-V under VMM, vCenter and physical Linux servers, two machines each; the recovery site: VMM, vCenter and KVM. */
export const demoEstate = ({ diskBytes = MIB, writesPerSecond, password }: DemoOptions = {}): EstateSpec => {
  const contentBytes = Math.min(Math.floor(diskBytes / 8), 48 * MIB);
  const machine = (name: string, address: string, more: Partial<MachineSeed> = {}): MachineSeed => ({
    name,
    disks: [{ sizeBytes: diskBytes, contentBytes }],
    addresses: [address],
    ...(writesPerSecond === undefined ? {} : { writesPerSecond }),
    ...more,
  });
  const twoDisks = [
    { sizeBytes: diskBytes, contentBytes },
    { sizeBytes: diskBytes, contentBytes },
  ];
  const endpoint = (name: string, profile: ProfileName, more: Partial<EndpointSpec> = {}): EndpointSpec => ({
    name,
    profile,
    networks: ['production', 'management'],
    storage: [{ name: `${name}-store-1`, capacityBytes: Math.max(2 * GIB, diskBytes * 16) }],
    ...(password === undefined ? {} : { username: 'warmsite', password }),
    ...more,
  });
  return {
    sites: [
      {
        name: 'site-a',
        endpoints: [
          endpoint('vmm-a', 'hyperv', {
            hosts: ['hv-a-1', 'hv-a-2'],
            pools: ['gold'],
            machines: [
              machine('erp-db', '10.1.0.11', { family: 'windows', disks: twoDisks, labels: { cloud: 'gold', app: 'erp', tier: '1' } }),
              machine('erp-web', '10.1.0.12', { family: 'windows', labels: { cloud: 'gold', app: 'erp', tier: '2' } }),
            ],
          }),
          endpoint('vcenter-a', 'vmware', {
            hosts: ['esx-a-1', 'esx-a-2'],
            folders: ['dc-a/vm/production', 'dc-a/vm/test'],
            machines: [
              machine('shop-db', '10.1.0.21', { disks: twoDisks, labels: { folder: 'production', app: 'shop', tier: '1' } }),
              machine('shop-web', '10.1.0.22', { firmware: 'bios', labels: { folder: 'production', app: 'shop', tier: '2' } }),
            ],
          }),
          endpoint('servers-a', 'physical', {
            hosts: ['rack-a'],
            machines: [
              machine('ledger', '10.1.0.31', { labels: { app: 'ledger', tier: '1' }, shutdownDelayMs: 300 }),
              machine('files', '10.1.0.32', { labels: { app: 'files', tier: '3' }, shutdownDelayMs: 300 }),
            ],
          }),
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

const HOSTILE_NAMES = [
  'web',
  'web',
  '*',
  '$(reboot)',
  "o'brien; --",
  '数据库',
  'a/b\\c',
  ' spaced  name ',
  '"quoted" & <tagged>',
  'x'.repeat(80),
];

/** Very many machines on tiny disks; names repeat and try to break whoever pastes them somewhere. */
export const manyEstate = ({
  machines,
  diskBytes = 262_144,
  writesPerSecond = 1,
}: {
  machines: number;
  diskBytes?: number;
  writesPerSecond?: number;
}): EstateSpec => {
  const seeds = Array.from(
    { length: machines },
    (_, index): MachineSeed => ({
      name: HOSTILE_NAMES[index % HOSTILE_NAMES.length]!,
      disks: [{ sizeBytes: diskBytes }],
      labels: { tier: String((index % 3) + 1) },
      writesPerSecond,
    }),
  );
  const storage = [{ name: 'store-1', capacityBytes: machines * diskBytes * 4 }];
  const endpoint = (name: string, profile: ProfileName, own: MachineSeed[]): EndpointSpec => ({
    name,
    profile,
    networks: ['production'],
    storage,
    machines: own,
  });
  return {
    sites: [
      {
        name: 'site-a',
        endpoints: [
          endpoint(
            'vcenter-a',
            'vmware',
            seeds.filter((_, index) => index % 2 === 0),
          ),
          endpoint(
            'vmm-a',
            'hyperv',
            seeds.filter((_, index) => index % 2 === 1),
          ),
        ],
      },
      { name: 'site-b', endpoints: [endpoint('vcenter-b', 'vmware', []), endpoint('vmm-b', 'hyperv', [])] },
    ],
  };
};
