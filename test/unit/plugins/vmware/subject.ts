// The plugin over the simulated vCenter in process, as the conformance kit wants it.
import { createEstate, type InProcessEstate, type InProcessOptions } from '../../../../adapters/lab/in-process.ts';
import { labDevicesUrl, openLabDevices, parseLabDevices } from '../../../../adapters/lab/vsphere/lab-devices.ts';
import { createOpenVsphere, type VsphereClientName } from '../../../../adapters/vsphere/open.ts';
import type { Subject } from '../../../../core/conformance/index.ts';
import { DrError, type Log, type Plugin } from '../../../../core/contract/index.ts';
import { createVmwarePlugin } from '../../../../plugins/vmware/index.ts';
import { KIT_ACCOUNT, kitEstate, kitLab } from '../../../support/kit-estate.ts';

const MIB = 2 ** 20;
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export interface VmwareSubject extends AsyncDisposable {
  readonly subject: Subject;
  readonly estate: InProcessEstate;
}

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
  const estate = await openEstate({ spec: kitEstate('vmware', ['esx-1', 'esx-2']), clock: client === 'vim25' ? 'jump' : 'real' });
  const plugin = pluginOver(estate);
  const { appliance } = await estate.control.call('lab.vcenter', { endpoint: 'endpoint' });
  const config = {
    address: 'endpoint',
    ...KIT_ACCOUNT,
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
    lab: kitLab(estate),
    scale: { diskBytes: MIB, machines: 4, shutdownMs: 2000, caseTimeoutMs: 10_000 },
  };
  return { subject, estate, [Symbol.asyncDispose]: () => estate[Symbol.asyncDispose]() };
};
