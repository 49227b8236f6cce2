import { after, describe, it } from 'mocha';
import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName } from '../../../../adapters/lab/port.ts';
import { bindConformance } from '../../../../core/conformance/mocha.ts';
import type { ConformanceLab, Subject } from '../../../../core/conformance/subject.ts';
import { DrError } from '../../../../core/contract/index.ts';
import { createMemoryPlugin } from '../../../../plugins/memory/index.ts';

const MIB = 2 ** 20;
const PROFILES: readonly ProfileName[] = ['vmware', 'hyperv', 'kvm', 'physical'];

/** One endpoint with two machines that hold still and one that is off. */
const scratchEstate = (profile: ProfileName): EstateSpec => {
  const disk = { sizeBytes: MIB, contentBytes: MIB / 4 };
  const still = { writesPerSecond: 0 };
  const machines = [
    { name: 'two disks', disks: [disk, disk], ...still },
    { name: 'one disk', disks: [disk], ...still },
    { name: 'to adopt', disks: [disk, disk], power: 'off' as const, ...still },
    { name: 'empty', disks: [disk], workload: 'none' as const, power: 'off' as const, ...still },
  ];
  const storage = [{ name: 'store', capacityBytes: 1024 * MIB }];
  return { sites: [{ name: 'site', endpoints: [{ name: 'endpoint', profile, networks: ['production'], storage, machines }] }] };
};

const labOf = ({ control }: InProcessEstate): ConformanceLab => ({
  write: async (machine, disk, offset, data) => void (await control.call('lab.write', { machine, disk, offset, data })),
  read: async (machine, disk, offset, length) => (await control.call('lab.read', { machine, disk, offset, length })).data,
  rename: async (machine, name) => void (await control.call('lab.rename', { machine, name })),
  refuseShutdown: async (machine, refusesShutdown) => void (await control.call('lab.setGuest', { machine, refusesShutdown })),
  addDisk: async (machine, sizeBytes) => (await control.call('lab.addDisk', { machine, sizeBytes })).disk,
  removeDisk: async (machine, disk) => void (await control.call('lab.removeDisk', { machine, disk })),
  cutConnections: async () => void (await control.call('lab.cutConnections', {})),
  resetTracking: async (machine) => void (await control.call('lab.resetTracker', { machine })),
  cutPower: async (machine) => void (await control.call('lab.powerCut', { machine })),
  advance: async (ms) => void (await control.call('lab.advance', { ms })),
  leftovers: async (ownerId) => {
    const { leftovers } = await control.call('lab.status', {});
    return leftovers.filter((one) => one.owner === ownerId).map(({ kind, id }) => `${kind} ${id}`);
  },
});

const subjectOf = async (profile: ProfileName, estate: InProcessEstate): Promise<Subject> => {
  const plugin = createMemoryPlugin(profile, async (address) => {
    if (address !== 'nowhere') return estate.open();
    throw new DrError('CONNECTION_REFUSED', 'no lab answers at nowhere');
  });
  const at = { endpoint: 'endpoint', owner: 'setup' };
  const { machines } = await estate.control.call('inventory.machines', at);
  const { places: networks } = await estate.control.call('inventory.places', { ...at, kind: 'network' });
  return {
    plugin,
    config: { endpoint: 'endpoint' },
    unreachable: { endpoint: 'endpoint', address: 'nowhere' },
    scratch: { machines: machines.slice(0, 2).map((machine) => machine.id), adopt: machines[2]!.id, network: networks[0]!.id },
    lab: labOf(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000 },
  };
};

for (const profile of PROFILES) {
  describe(`the memory plugin in the shape of ${profile}`, () => {
    const estate = createEstate({ spec: scratchEstate(profile) });
    after(() => estate[Symbol.asyncDispose]());
    bindConformance('keeps the contract', () => subjectOf(profile, estate), { describe, it, after });
  });
}
