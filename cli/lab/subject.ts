// The memory plugins as subjects of the conformance kit, over an estate in this process.
import { createEstate, type InProcessEstate } from '../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName } from '../../adapters/lab/port.ts';
import type { ConformanceLab, Subject } from '../../core/conformance/index.ts';
import { DrError } from '../../core/contract/index.ts';
import { createRegistry } from '../container.ts';

const MIB = 2 ** 20;
const ENDPOINT = 'endpoint';

/** Two machines that hold still, one to adopt, and one whose disk is empty. */
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
  return { sites: [{ name: 'site', endpoints: [{ name: ENDPOINT, profile, networks: ['production'], storage, machines }] }] };
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
  leftovers: async (owner) => {
    const { leftovers } = await control.call('lab.status', {});
    return leftovers.filter((one) => one.owner === owner).map(({ kind, id }) => `${kind} ${id}`);
  },
});

const PROFILES: readonly ProfileName[] = ['vmware', 'hyperv', 'kvm', 'physical'];

/** A plugin of this program that speaks to the lab; NOT_FOUND for others. The estate ends with the subject. */
export const labSubject = async (id: string): Promise<Subject & AsyncDisposable> => {
  const profile = PROFILES.find((candidate) => id === `memory-${candidate}`);
  if (!profile)
    throw new DrError('NOT_FOUND', `no plugin ${JSON.stringify(id)} can be checked against the lab, and there is no such file`, {
      context: { kind: 'plugin', name: id },
      hint: `name a file, or one of: ${PROFILES.map((name) => `memory-${name}`).join(', ')}`,
    });
  const estate = createEstate({ spec: scratchEstate(profile) });
  const registry = createRegistry(async (address) => {
    if (address !== 'nowhere') return estate.open();
    throw new DrError('CONNECTION_REFUSED', 'no lab answers at nowhere');
  });
  const at = { endpoint: ENDPOINT, owner: 'setup' };
  const { machines } = await estate.control.call('inventory.machines', at);
  const { places } = await estate.control.call('inventory.places', { ...at, kind: 'network' });
  const [first, second, adopt] = machines.map((machine) => machine.id);
  return {
    plugin: registry.get(id) as Subject['plugin'],
    config: { endpoint: ENDPOINT },
    unreachable: { endpoint: ENDPOINT, address: 'nowhere' },
    scratch: {
      machines: [first, second].filter((machine) => machine !== undefined),
      ...(adopt ? { adopt } : {}),
      ...(places[0] ? { network: places[0].id } : {}),
    },
    lab: labOf(estate),
    scale: { diskBytes: MIB, machines: machines.length, shutdownMs: 2_000 },
    [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose](),
  };
};
