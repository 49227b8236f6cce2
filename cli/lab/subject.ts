// The plugins that speak to the lab as subjects of the conformance kit, over an estate in this process.
import { createEstate, type InProcessEstate } from '../../adapters/lab/in-process.ts';
import type { EstateSpec, ProfileName } from '../../adapters/lab/port.ts';
import { labDevicesUrl } from '../../adapters/lab/vsphere/lab-devices.ts';
import type { ConformanceLab, Subject } from '../../core/conformance/index.ts';
import { DrError } from '../../core/contract/index.ts';
import { createRegistry, LAB_AGENT, type Ways } from '../container.ts';

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

const SUBJECTS: Readonly<Record<string, ProfileName>> = {
  vmware: 'vmware',
  hyperv: 'hyperv',
  'memory-kvm': 'kvm',
  'memory-physical': 'physical',
};

/** A plugin of this program that speaks to the lab; NOT_FOUND for others. The estate ends with the subject. */
export const labSubject = async (id: string): Promise<Subject & AsyncDisposable> => {
  const profile = Object.hasOwn(SUBJECTS, id) ? SUBJECTS[id] : undefined;
  if (!profile)
    throw new DrError('NOT_FOUND', `no plugin ${JSON.stringify(id)} can be checked against the lab, and there is no such file`, {
      context: { kind: 'plugin', name: id },
      hint: `name a file, or one of: ${Object.keys(SUBJECTS).join(', ')}`,
    });
  const estate = createEstate({ spec: scratchEstate(profile) });
  const plugin = createRegistry(waysInto(estate)).get(id) as Subject['plugin'];
  const config = profile === 'vmware' ? await vcenterConfig(estate) : profile === 'hyperv' ? HYPERV : { endpoint: ENDPOINT };
  const { machines, networks } = await lookAround(plugin, config);
  const [first, second, adopt] = machines;
  return {
    plugin,
    config,
    unreachable: { ...config, address: NOWHERE },
    scratch: {
      machines: [first, second].filter((machine) => machine !== undefined),
      ...(adopt ? { adopt } : {}),
      ...(networks[0] ? { network: networks[0] } : {}),
    },
    lab: labOf(estate),
    scale: { diskBytes: MIB, machines: machines.length, shutdownMs: 2_000 },
    [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose](),
  };
};

const NOWHERE = 'nowhere';
const HYPERV = { address: ENDPOINT, transport: 'local', agent: `${LAB_AGENT}in-process` };

const waysInto = (estate: InProcessEstate): Ways => ({
  openEstate: async (address) => {
    if (address !== NOWHERE) return estate.open();
    throw new DrError('CONNECTION_REFUSED', `no lab answers at ${NOWHERE}`);
  },
  openWire: (config) => {
    if (config.address !== NOWHERE) return estate.openWire(config);
    throw new DrError('CONNECTION_REFUSED', `no vCenter answers at ${NOWHERE}`);
  },
  openPowerShell: (target, options) => {
    if (target.host !== NOWHERE) return estate.openPowerShell(target, options);
    throw new DrError('CONNECTION_REFUSED', `no host answers at ${NOWHERE}`);
  },
  time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
});

const vcenterConfig = async ({ control }: InProcessEstate): Promise<Record<string, string>> => {
  const { address, appliance } = await control.call('lab.vcenter', { endpoint: ENDPOINT });
  if (appliance === undefined) throw new DrError('INTERNAL', 'the vCenter of the lab has no appliance');
  const devices = labDevicesUrl({ address: 'in-process', endpoint: ENDPOINT, appliance });
  return { address, username: 'kit', password: 'password-of-the-kit', appliance, devices };
};

/** Asked of the plugin: its ids are its own. */
const lookAround = async (plugin: Subject['plugin'], config: Readonly<Record<string, unknown>>) => {
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
  const call = { signal: new AbortController().signal, deadlineMs: 10_000, operationId: 'setup', log };
  await using session = await plugin.connect(config, { ownerId: 'setup', scratchDir: '.' }, call);
  const machines = await Array.fromAsync(session.inventory.listMachines({}, call));
  const networks = await Array.fromAsync(session.inventory.listPlaces('network', call));
  const named = (name: string) => machines.find((machine) => machine.name === name)?.id;
  return {
    machines: ['two disks', 'one disk', 'to adopt', 'empty'].map(named),
    networks: networks.filter(({ name }) => name === 'production').map(({ id }) => id),
  };
};
