// The estate in which the conformance kit meets a plugin of the lab, and how the kit acts on it from outside.
import { setTimeout as sleep } from 'node:timers/promises';
import type { InProcessEstate } from '../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName } from '../../adapters/lab/port.ts';
import type { ConformanceLab } from '../../core/conformance/index.ts';

const MIB = 2 ** 20;
export const KIT_ACCOUNT = { username: 'kit', password: 'correct-horse-battery' } as const;

/** One endpoint behind a password, with two machines that hold still, one that is off, and one without content. */
export const kitEstate = (profile: ProfileName, hosts?: readonly string[], kind?: 'host' | 'cluster' | 'vmm'): EstateSpec => {
  const disk = { sizeBytes: MIB, contentBytes: MIB / 4 };
  const still = { writesPerSecond: 0, labels: { tier: '1' } };
  const machines = [
    { name: 'two disks', disks: [disk, disk], ...still },
    { name: 'one disk', disks: [disk], ...still },
    { name: 'to adopt', disks: [disk, disk], power: 'off' as const, writesPerSecond: 0 },
    { name: 'empty', disks: [disk], workload: 'none' as const, power: 'off' as const, writesPerSecond: 0 },
  ];
  const endpoint = {
    name: 'endpoint',
    profile,
    ...KIT_ACCOUNT,
    networks: ['production'],
    storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
    ...(hosts ? { hosts } : {}),
    ...(kind ? { hyperv: { kind } } : {}),
    machines,
  };
  return { sites: [{ name: 'site', endpoints: [endpoint] }] };
};

export const kitLab = ({ control, estate }: InProcessEstate): ConformanceLab => ({
  write: async (machine, disk, offset, data) => void (await control.call('lab.write', { machine, disk, offset, data })),
  read: async (machine, disk, offset, length) => (await control.call('lab.read', { machine, disk, offset, length })).data,
  rename: async (machine, name) => void (await control.call('lab.rename', { machine, name })),
  refuseShutdown: async (machine, refusesShutdown) => void (await control.call('lab.setGuest', { machine, refusesShutdown })),
  addDisk: async (machine, sizeBytes) => (await control.call('lab.addDisk', { machine, sizeBytes })).disk,
  removeDisk: async (machine, disk) => void (await control.call('lab.removeDisk', { machine, disk })),
  cutConnections: async () => void (await control.call('lab.cutConnections', { endpoint: 'endpoint' })),
  resetTracking: async (machine) => void (await control.call('lab.resetTracker', { machine })),
  cutPower: async (machine) => void (await control.call('lab.powerCut', { machine })),
  advance: async (ms) => void (await (estate.timeline.mode === 'real' ? sleep(ms) : control.call('lab.advance', { ms }))),
  leftovers: async (ownerId) => {
    const { leftovers } = await control.call('lab.status', {});
    return leftovers.filter((one) => one.owner === ownerId).map(({ kind, id }) => `${kind} ${id}`);
  },
});
