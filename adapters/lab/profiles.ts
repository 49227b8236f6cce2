import type { Capabilities, MachineSpec } from '../../core/contract/index.ts';
import type { ProfileName } from './port.ts';

/** How one vendor behaves, as far as a disaster recovery engine can tell the difference. */
export interface Profile {
  readonly version: string;
  readonly capabilities: Capabilities;
  readonly source: 'snapshot' | 'streaming';
  readonly granuleBytes: number;
  /** Baselines are things of their own (reference points, bitmaps): one that was forgotten is never answered again. */
  readonly exactBaselines: boolean;
  /** changedExtents answers only for the baselines that createSnapshot was given. */
  readonly sinceAtSnapshot: boolean;
  readonly trackingSurvivesPowerCut: boolean;
  readonly trackingSurvivesPowerOff: boolean;
  readonly trackingSurvivesPromotion: boolean;
  /** `replica`: the fork is the replica itself on a VM snapshot; `second`: another machine on child disks. */
  readonly forks: 'replica' | 'second' | 'none';
  readonly createsMachines: boolean;
  readonly machineIds: 'uuid' | 'counted';
  readonly bus: MachineSpec['disks'][number]['bus'];
  readonly nicModel: string;
  readonly maxInFlight: number;
}

const snapshotSource: Capabilities = {
  tracking: 'native',
  consistency: ['crash', 'application'],
  atomicity: 'machine',
  testNetwork: 'cluster',
  power: ['on', 'off', 'shutdown'],
  finalFreeze: false,
  snapshotSurvivesDisconnect: true,
  maxSnapshotsPerMachine: 31,
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  vmware: {
    version: 'simulated vCenter Server 8.0.3',
    capabilities: snapshotSource,
    source: 'snapshot',
    granuleBytes: 65_536,
    exactBaselines: false,
    sinceAtSnapshot: false,
    trackingSurvivesPowerCut: false,
    trackingSurvivesPowerOff: true,
    trackingSurvivesPromotion: true,
    forks: 'replica',
    createsMachines: true,
    machineIds: 'counted',
    bus: 'scsi',
    nicModel: 'vmxnet3',
    maxInFlight: 8,
  },
  hyperv: {
    version: 'simulated Hyper-V 10.0.20348 under VMM 2022',
    capabilities: { ...snapshotSource, atomicity: 'group', testNetwork: 'host', maxSnapshotsPerMachine: 50 },
    source: 'snapshot',
    granuleBytes: 32_768,
    exactBaselines: true,
    sinceAtSnapshot: false,
    trackingSurvivesPowerCut: false,
    trackingSurvivesPowerOff: true,
    trackingSurvivesPromotion: true,
    forks: 'second',
    createsMachines: true,
    machineIds: 'uuid',
    bus: 'scsi',
    nicModel: 'synthetic',
    maxInFlight: 16,
  },
  physical: {
    version: 'simulated agent 1.4 on Debian 12',
    capabilities: {
      tracking: 'native',
      consistency: ['crash', 'application'],
      atomicity: 'machine',
      testNetwork: 'none',
      power: ['on', 'off', 'shutdown'],
      finalFreeze: true,
      snapshotSurvivesDisconnect: false,
      maxSnapshotsPerMachine: 1,
    },
    source: 'streaming',
    granuleBytes: 4096,
    exactBaselines: true,
    sinceAtSnapshot: false,
    trackingSurvivesPowerCut: false,
    trackingSurvivesPowerOff: false,
    trackingSurvivesPromotion: false,
    forks: 'none',
    createsMachines: false,
    machineIds: 'uuid',
    bus: 'sata',
    nicModel: 'onboard',
    maxInFlight: 4,
  },
  kvm: {
    version: 'simulated QEMU 7.2 under libvirt 9.0',
    capabilities: {
      ...snapshotSource,
      consistency: ['crash'],
      testNetwork: 'host',
      maxSnapshotsPerMachine: 8,
    },
    source: 'snapshot',
    granuleBytes: 65_536,
    exactBaselines: true,
    sinceAtSnapshot: true,
    trackingSurvivesPowerCut: false,
    trackingSurvivesPowerOff: true,
    trackingSurvivesPromotion: false,
    forks: 'second',
    createsMachines: true,
    machineIds: 'uuid',
    bus: 'virtio',
    nicModel: 'virtio',
    maxInFlight: 16,
  },
};
