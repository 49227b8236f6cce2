// Estates whose vCenters are ones that we did not write, with what those lack: contents of disks, snapshots that hold them, changed blocks, locks, an appliance.
import { memoryStore } from '../../../adapters/lab/backing.ts';
import { build } from '../../../adapters/lab/build.ts';
import { Dispatcher } from '../../../adapters/lab/dispatch.ts';
import type { InProcessEstate, InProcessOptions } from '../../../adapters/lab/in-process.ts';
import type { EndpointSpec, EstatePort, EstateSpec } from '../../../adapters/lab/port.ts';
import { openInProcessPowerShell } from '../../../adapters/lab/powershell/open.ts';
import { vmsOf } from '../../../adapters/lab/vsphere/vms.ts';
import type { DatastoreSummary, MoRef, OpenWire } from '../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../adapters/vsphere/vim25/client.ts';
import { openWire } from '../../../adapters/vsphere/wire.ts';
import { DrError } from '../../../core/contract/index.ts';
import { startDrsim } from '../drsim.ts';
import { type Row, Vim } from '../vim.ts';
import { adopt } from './level.ts';
import { createAppliance, createMachine, createNetworks } from './populate.ts';
import { VcenterProxy } from './proxy.ts';
import { NamedEstate, Twin } from './twin.ts';

/** Apart enough that no two vCenters of an estate give the same reference. */
const NUMBERS = 100_000;

/**
 * As createEstate of the lab, but each vmware endpoint of the description is a simulator of govmomi behind a proxy; its address is the
 * endpoint's name. Names of its hosts and datastores are the simulator's.
 */
export const createProxiedEstate = async (options: Omit<InProcessOptions, 'store' | 'startMs'>): Promise<InProcessEstate> => {
  await using started = new AsyncDisposableStack();
  const { spec, seed, clock, msPerCall = 1 } = options;
  const estate = new NamedEstate({ seed, clock, store: memoryStore() });
  const dispatcher = new Dispatcher(estate, msPerCall);
  started.defer(() => {
    estate.timeline.stop();
    for (const { volume } of estate.layers.values()) volume.close();
  });
  const proxies = new Map<string, VcenterProxy>();
  for (const { site, endpoint } of endpointsOf(spec)) {
    const alone = (one: EndpointSpec): EstateSpec => ({ sites: [{ name: site, endpoints: [one] }] });
    if (endpoint.profile === 'vmware') {
      const first = (proxies.size + 1) * NUMBERS;
      proxies.set(endpoint.name, await startOne({ estate, dispatcher, endpoint, first, alone }, started));
    } else build(estate, alone(endpoint));
  }
  estate.timeline.start();
  const all = started.move();
  const open = () => portOf(dispatcher, proxies);
  return {
    open,
    control: open(),
    clock: { now: () => estate.timeline.now(), sleep: (ms, signal) => estate.timeline.sleep(ms, signal) },
    estate,
    openPowerShell: openInProcessPowerShell(dispatcher.hosts),
    openWire: (config) => wireOf(proxies, config.address)(config),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
};

const endpointsOf = ({ sites }: EstateSpec) => sites.flatMap((site) => site.endpoints.map((endpoint) => ({ site: site.name, endpoint })));

const wireOf = (proxies: ReadonlyMap<string, VcenterProxy>, address: string): OpenWire => {
  const proxy = proxies.get(address);
  if (proxy) return proxy.openWire;
  throw new DrError('CONNECTION_REFUSED', `nobody answers at ${address}`);
};

const portOf = (dispatcher: Dispatcher, proxies: ReadonlyMap<string, VcenterProxy>): EstatePort => {
  const connection = dispatcher.connect();
  return {
    call: async (method, args, { signal } = {}) => {
      // Time that is moved by hand must not overtake a call that is on its way through another process.
      if (method === 'lab.advance') for (const proxy of proxies.values()) await proxy.settled();
      return dispatcher.call(connection, method, args, signal);
    },
    [Symbol.asyncDispose]: async () => dispatcher.disconnect(connection),
  };
};

interface One {
  readonly estate: NamedEstate;
  readonly dispatcher: Dispatcher;
  readonly endpoint: EndpointSpec;
  /** Numbers of the references begin after it. */
  readonly first: number;
  readonly alone: (endpoint: EndpointSpec) => EstateSpec;
}

const startOne = async ({ estate, dispatcher, endpoint, first, alone }: One, started: AsyncDisposableStack): Promise<VcenterProxy> => {
  const { hosts = ['one'], storage, machines: seeds = [], username, password } = endpoint;
  // Distributed port groups are left out: the model has none.
  const shape = { vms: 0, hosts: hosts.length, datastores: storage.length, portGroups: 0, apiVersion: '8.0.3.0', first };
  const simulator = started.use(await startDrsim({ ...shape, ...(password === undefined ? { anyone: true } : { username, password }) }));
  const own = new Vim(started.use(await openVim25(openWire, simulator.config)));
  const upstream = started.use(openWire(simulator.config));
  await createNetworks(own, endpoint.networks);
  const machines: MoRef[] = [];
  for (const one of seeds) machines.push(await createMachine(own, one));
  const appliance = await createAppliance(own);

  const there = await inventoryOf(own, endpoint.networks);
  const ids = { network: values(there.networks), datastore: values(there.datastores), host: values(there.hosts) };
  const vm = [...machines, appliance].map(({ value }) => value);
  await estate.giving({ ...ids, vm }, () => build(estate, alone({ ...endpoint, ...namesOf(there, endpoint) })));
  const twin = new Twin(estate, dispatcher, estate.endpoint(endpoint.name));
  for (const machine of vmsOf(twin)) await adopt(own, machine, { some: true });
  const proxy = new VcenterProxy({ twin, own, upstream, hosts: there.systems });
  await proxy.bringAllLevel();
  started.defer(() => proxy.settled());
  return proxy;
};

interface There {
  readonly networks: readonly Row[];
  readonly datastores: readonly Row[];
  readonly hosts: readonly Row[];
  readonly systems: readonly { readonly host: MoRef; readonly networkSystem: MoRef }[];
}

/** The wanted networks in their order, the simulator's own last. */
const inventoryOf = async (own: Vim, wanted: readonly string[]): Promise<There> => {
  const rank = (row: Row): number => (wanted.indexOf(row['name'] as string) + wanted.length + 1) % (wanted.length + 1);
  const networks = (await own.list('Network', 'name')).sort((a, b) => rank(a) - rank(b));
  const hosts = await own.list('HostSystem', 'name', 'configManager');
  const systems = hosts.map((row) => ({
    host: row.obj,
    networkSystem: (row['configManager'] as { readonly networkSystem: MoRef }).networkSystem,
  }));
  return { networks, datastores: await own.list('Datastore', 'name', 'summary'), hosts, systems };
};

const values = (rows: readonly Row[]): string[] => rows.map(({ obj }) => obj.value);
const named = (rows: readonly Row[]): string[] => rows.map((row) => row['name'] as string);

const namesOf = ({ networks, datastores, hosts }: There, { storage }: EndpointSpec) => ({
  networks: named(networks),
  hosts: named(hosts),
  storage: datastores.map((row, index) => ({
    name: row['name'] as string,
    capacityBytes: storage[index]?.capacityBytes ?? Number((row['summary'] as DatastoreSummary).capacity),
  })),
});
