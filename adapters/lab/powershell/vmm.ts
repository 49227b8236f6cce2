// Cmdlets of virtualmachinemanager, on a VMM server: a directory of hosts and machines that looks at them now and then.
import type { MachineId, PlaceId } from '../../../core/contract/index.ts';
import type { EndpointRecord } from '../records.ts';
import { type Cell, member, object, type PsObject, type Shape } from './cells.ts';
import { hvMachinesOf } from './equipment.ts';
import { clusterName, guidFrom, hostOf, idOnHosts, isClustered, placesOf } from './fabric.ts';
import { invalidArgument, PsFailure } from './failures.ts';
import { type Handlers, placeOf } from './handlers.ts';
import type { At, HostRecord, Hv, PsContext } from './model.ts';

const VMM = 'Microsoft.SystemCenter.VirtualMachineManager.';
/** Of the light refresher. What runs is told by events, at once. */
const REFRESH_MS = 120_000;

interface Seen {
  readonly machine: Hv;
  readonly name: string;
  readonly host: PlaceId | undefined;
}

interface View {
  readonly atMs: number;
  readonly machines: Map<MachineId, Seen>;
}

const views = new WeakMap<EndpointRecord, View>();

const see = (machine: Hv): Seen => ({ machine, name: machine.name, host: machine.host });

const viewOf = (at: At): View => {
  const known = views.get(at.endpoint);
  const now = at.estate.timeline.now();
  if (known && now - known.atMs < REFRESH_MS) return known;
  const made = { atMs: now, machines: new Map(hvMachinesOf(at).map((machine) => [machine.id, see(machine)])) };
  views.set(at.endpoint, made);
  return made;
};

const SERVER: Shape<At> = {
  type: `${VMM}Remoting.ServerConnection`,
  text: ({ endpoint }) => endpoint.name,
  properties: {
    Name: ({ endpoint }) => endpoint.name,
    FQDN: ({ endpoint }) => `${endpoint.name}.lab.invalid`,
    ProductVersion: () => '10.22.1287.0',
  },
};

const CLOUD: Shape<{ readonly at: At; readonly name: string }> = {
  type: `${VMM}Cloud`,
  text: ({ name }) => name,
  properties: { Name: ({ name }) => name, ID: ({ at, name }) => guidFrom(at.endpoint.name, 'cloud', name), Description: () => '' },
};

/** Clouds are the estate's pools; a machine is in the one that its label names. */
const cloudsOf = (at: At): string[] => {
  const labels = hvMachinesOf(at).flatMap(({ labels: { cloud } }) => (cloud === undefined ? [] : [cloud]));
  return [...new Set([...placesOf(at.endpoint, 'pool').map(({ name }) => name), ...labels])];
};

interface OfHost {
  readonly at: At;
  readonly host: HostRecord;
}

const HOST_CLUSTER: Shape<At> = {
  type: `${VMM}HostCluster`,
  text: clusterName,
  properties: { Name: clusterName, ClusterName: clusterName },
};

const hostCluster = ({ at }: OfHost): Cell => (isClustered(at.hyperv) ? object(HOST_CLUSTER, at) : null);

const HOST: Shape<OfHost> = {
  type: `${VMM}Host`,
  text: ({ host }) => host.name,
  properties: {
    Name: ({ host }) => host.name,
    ComputerName: ({ host }) => host.name,
    FullyQualifiedDomainName: ({ host }) => host.name,
    FQDN: ({ host }) => host.name,
    ID: ({ at, host }) => guidFrom(at.endpoint.name, 'host', host.name),
    VirtualizationPlatform: () => member('VirtualizationPlatform', 'HyperV'),
    OverallState: ({ host }) => member('HostOverallState', host.up ? 'OK' : 'NotResponding'),
    HostCluster: hostCluster,
  },
};

interface OfSeen {
  readonly at: At;
  readonly seen: Seen;
}

const isThere = ({ at, seen }: OfSeen): boolean => at.estate.machines.get(seen.machine.id) === seen.machine;

const statusOf = (of: OfSeen): 'Missing' | 'Running' | 'PowerOff' => {
  if (!isThere(of)) return 'Missing';
  return of.seen.machine.power === 'on' ? 'Running' : 'PowerOff';
};

const hostSeen = ({ at, seen }: OfSeen): HostRecord =>
  hostOf(at, { ...seen.machine, ...(seen.host === undefined ? {} : { host: seen.host }) });

const customOf = ({ seen }: OfSeen): Cell => ({ $map: { ...seen.machine.hv.custom } });

const MACHINE: Shape<OfSeen> = {
  type: `${VMM}VM`,
  text: ({ seen }) => seen.name,
  properties: {
    Name: ({ seen }) => seen.name,
    // VMM has an id of its own for what a host calls otherwise.
    ID: ({ at, seen }) => guidFrom(at.endpoint.name, 'vm', seen.machine.id),
    VMId: ({ seen }) => idOnHosts(seen.machine).toUpperCase(),
    HostName: (of) => hostSeen(of).name,
    VMHost: (of) => object(HOST, { at: of.at, host: hostSeen(of) }),
    Status: (of) => member('SCVMStatus', statusOf(of)),
    StatusString: (of) => statusOf(of),
    Cloud: ({ at, seen }) => {
      const { cloud } = seen.machine.labels;
      return cloud === undefined ? null : object(CLOUD, { at, name: cloud });
    },
    CustomProperty: customOf,
    Description: ({ seen }) => seen.machine.hv.notes,
    Generation: ({ seen }) => seen.machine.hv.generation,
    IsHighlyAvailable: ({ seen }) => seen.machine.hv.clustered,
    VirtualizationPlatform: () => member('VirtualizationPlatform', 'HyperV'),
  },
};

const seenObject = (of: OfSeen): PsObject => object(MACHINE, of, of.seen.machine.id);

/** A session knows its server only once it has connected to it. */
const connected = (context: PsContext): At => {
  if (context.session.vmm) return placeOf(context);
  throw new PsFailure({
    category: 'InvalidOperation',
    id: 'NoConnection',
    message: 'You must specify a VMM server: the session has no connection (Error ID: 1612).',
    type: `${VMM}CarmineException`,
  });
};

export const vmm: Handlers = {
  'Get-SCVMMServer': (context, args) => {
    const name = args.text('ComputerName').toLowerCase();
    const own = context.endpoint.name.toLowerCase();
    if (name !== 'localhost' && name !== own && name.split('.')[0] !== own)
      throw invalidArgument(`Unable to connect to the VMM management server ${name} (Error ID: 1602).`);
    context.session.vmm = true;
    return [object(SERVER, placeOf(context))];
  },
  'Get-SCCloud': (context) => {
    const at = connected(context);
    return cloudsOf(at).map((name) => object(CLOUD, { at, name }));
  },
  'Get-SCVMHost': (context) => {
    const at = connected(context);
    return at.hyperv.hosts.map((host) => object(HOST, { at, host }));
  },
  'Get-SCVirtualMachine': (context, args) => {
    const at = connected(context);
    const all = [...viewOf(at).machines.values()].map((seen) => seenObject({ at, seen }));
    const id = args.maybeText('ID');
    return id === undefined ? all : all.filter((one) => one.read('ID') === id);
  },
  'Read-SCVirtualMachine': (context, args) => {
    const at = connected(context);
    return args.records('VM', MACHINE).map(({ seen: { machine } }) => {
      const { machines } = viewOf(at);
      const seen = see(machine);
      if (isThere({ at, seen })) machines.set(machine.id, seen);
      else machines.delete(machine.id);
      return seenObject({ at, seen });
    });
  },
};
