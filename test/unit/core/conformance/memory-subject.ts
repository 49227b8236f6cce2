import { createEstate, type InProcessEstate } from '../../../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName } from '../../../../adapters/lab/port.ts';
import type { ConformanceLab, Subject } from '../../../../core/conformance/index.ts';
import { DrError, type Log } from '../../../../core/contract/index.ts';
import { createMemoryPlugin } from '../../../../plugins/memory/index.ts';

const MIB = 2 ** 20;
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export interface MemorySubject extends AsyncDisposable {
  readonly subject: Subject;
  readonly estate: InProcessEstate;
}

/** One endpoint behind a password, with two machines that hold still, one that is off. */
const estateOf = (profile: ProfileName): EstateSpec => {
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
    username: 'kit',
    password: 'correct-horse-battery',
    networks: ['production'],
    storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
    machines,
  };
  return { sites: [{ name: 'site', endpoints: [endpoint] }] };
};

const labOf = ({ control }: InProcessEstate): ConformanceLab => ({
  write: async (machine, disk, offset, data) => void (await control.call('lab.write', { machine, disk, offset, data })),
  read: async (machine, disk, offset, length) => (await control.call('lab.read', { machine, disk, offset, length })).data,
  rename: async (machine, name) => void (await control.call('lab.rename', { machine, name })),
  refuseShutdown: async (machine, refusesShutdown) => void (await control.call('lab.setGuest', { machine, refusesShutdown })),
  addDisk: async (machine, sizeBytes) => (await control.call('lab.addDisk', { machine, sizeBytes })).disk,
  removeDisk: async (machine, disk) => void (await control.call('lab.removeDisk', { machine, disk })),
  cutConnections: async () => void (await control.call('lab.cutConnections', { endpoint: 'endpoint' })),
  resetTracking: async (machine) => void (await control.call('lab.resetTracker', { machine })),
  cutPower: async (machine) => void (await control.call('lab.powerCut', { machine })),
  advance: async (ms) => void (await control.call('lab.advance', { ms })),
  leftovers: async (ownerId) => {
    const { leftovers } = await control.call('lab.status', {});
    return leftovers.filter((one) => one.owner === ownerId).map(({ kind, id }) => `${kind} ${id}`);
  },
});

/** A fresh estate for each subject: what one run leaves or breaks, the next does not see. */
export const memorySubject = async (profile: ProfileName): Promise<MemorySubject> => {
  const estate = createEstate({ spec: estateOf(profile) });
  const plugin = createMemoryPlugin(profile, async (address) => {
    if (address !== 'nowhere') return estate.open();
    throw new DrError('CONNECTION_REFUSED', 'no lab answers at nowhere');
  });
  const config = { endpoint: 'endpoint', username: 'kit', password: 'correct-horse-battery' };
  const call = { signal: new AbortController().signal, deadlineMs: 1000, operationId: 'setup', log: SILENT };
  await using setup = await plugin.connect(config, { ownerId: 'setup', scratchDir: '.' }, call);
  const machines = await Array.fromAsync(setup.inventory.listMachines({}, call));
  const [network] = await Array.fromAsync(setup.inventory.listPlaces('network', call));
  const subject: Subject = {
    plugin,
    config,
    unreachable: { ...config, address: 'nowhere' },
    scratch: { machines: machines.slice(0, 2).map(({ id }) => id), adopt: machines[2]!.id, network: network!.id },
    lab: labOf(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000, caseTimeoutMs: 5000 },
  };
  return { subject, estate, [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose]() };
};
