// The plugin over the simulated vCenter in process, as the conformance kit wants it.
import { setTimeout as sleep } from 'node:timers/promises';
import { createEstate, type InProcessEstate, type InProcessOptions } from '../../../../adapters/lab/in-process.ts';
import type { EstateSpec } from '../../../../adapters/lab/port.ts';
import { labDevicesUrl, openLabDevices, parseLabDevices } from '../../../../adapters/lab/vsphere/lab-devices.ts';
import { createOpenVsphere, type VsphereClientName } from '../../../../adapters/vsphere/open.ts';
import type { ConformanceLab, Subject } from '../../../../core/conformance/index.ts';
import { DrError, type Log, type Plugin } from '../../../../core/contract/index.ts';
import { createVmwarePlugin } from '../../../../plugins/vmware/index.ts';

const MIB = 2 ** 20;
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const PASSWORD = 'correct-horse-battery';

export interface VmwareSubject extends AsyncDisposable {
  readonly subject: Subject;
  readonly estate: InProcessEstate;
}

const spec = (): EstateSpec => {
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
    profile: 'vmware' as const,
    username: 'kit',
    password: PASSWORD,
    networks: ['production'],
    storage: [{ name: 'store', capacityBytes: 1024 * MIB }],
    hosts: ['esx-1', 'esx-2'],
    machines,
  };
  return { sites: [{ name: 'site', endpoints: [endpoint] }] };
};

const labOf = ({ control, estate }: InProcessEstate): ConformanceLab => ({
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

/** The plugin as the composition root makes it, but for the wire. */
export const pluginOver = (estate: InProcessEstate): Plugin =>
  createVmwarePlugin({
    openVsphere: createOpenVsphere((config) => {
      if (config.address === 'nowhere') throw new DrError('CONNECTION_REFUSED', 'no vCenter answers at nowhere');
      return estate.openWire(config);
    }),
    openBlockDevices: (where) => openLabDevices(async () => estate.open(), parseLabDevices(where)!),
    nbd: { startNbdkit: refuse, openNbd: refuse },
    time: { now: () => estate.clock.now(), sleep: (ms, signal) => estate.clock.sleep(ms, signal) },
  });

const refuse = (): never => {
  throw new DrError('CONFIG_INVALID', 'there is no nbdkit here');
};

interface SubjectOptions {
  readonly client?: VsphereClientName;
  readonly openEstate?: (options: Pick<InProcessOptions, 'spec' | 'clock'>) => InProcessEstate | Promise<InProcessEstate>;
}

/** A fresh estate for each subject. The package's client thinks in a thread, which a clock that jumps does not see: its estate runs in real time. */
export const vmwareSubject = async ({ client = 'vim25', openEstate = createEstate }: SubjectOptions = {}): Promise<VmwareSubject> => {
  const estate = await openEstate({ spec: spec(), clock: client === 'vim25' ? 'jump' : 'real' });
  const plugin = pluginOver(estate);
  const { appliance } = await estate.control.call('lab.vcenter', { endpoint: 'endpoint' });
  const config = {
    address: 'endpoint',
    username: 'kit',
    password: PASSWORD,
    client,
    appliance,
    devices: labDevicesUrl({ address: 'in-process', endpoint: 'endpoint', appliance: appliance! }),
  };
  const call = { signal: new AbortController().signal, deadlineMs: 10_000, operationId: 'setup', log: SILENT };
  await using setup = await plugin.connect(config, { ownerId: 'setup', scratchDir: '.' }, call);
  const machines = await Array.fromAsync(setup.inventory.listMachines({}, call));
  const byName = (name: string) => machines.find((machine) => machine.name === name)!.id;
  const networks = await Array.fromAsync(setup.inventory.listPlaces('network', call));
  const subject: Subject = {
    plugin,
    config,
    unreachable: { ...config, address: 'nowhere' },
    scratch: {
      machines: [byName('two disks'), byName('one disk')],
      adopt: byName('to adopt'),
      network: networks.find(({ name }) => name === 'production')!.id,
    },
    lab: labOf(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000, caseTimeoutMs: 10_000 },
  };
  return { subject, estate, [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose]() };
};
