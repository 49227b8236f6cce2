// Which hosts an endpoint has, and what a session is addressed to.
import { hash } from 'node:crypto';
import { DrError, type MachineId, type PlaceId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord, MachineRecord, PlaceRecord } from '../records.ts';
import type { At, HostRecord, Hv, HypervKind, HypervRecord, OnHost, SwitchRecord } from './model.ts';

/** The same for the same words: an estate that is equipped later has the ids that it would have had. */
export const guidFrom = (...words: readonly (string | number)[]): string => {
  const hex = hash('sha256', words.join('\n'), 'hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

export const placesOf = (endpoint: EndpointRecord, kind: PlaceRecord['kind']): PlaceRecord[] =>
  endpoint.places.filter((place) => place.kind === kind);

export const newHypervRecord = (endpoint: EndpointRecord, asked: HypervKind | undefined): HypervRecord => {
  const places = placesOf(endpoint, 'host');
  const kind = asked ?? kindOf(endpoint, places.length);
  if (kind === 'host' && places.length > 1) {
    throw new DrError('CONFIG_INVALID', `endpoint ${endpoint.name} is a single host and has ${places.length}`, {
      hint: 'describe it as a cluster or as a VMM server',
      context: { endpoint: endpoint.name },
    });
  }
  const hosts = places.map(({ name, id }): HostRecord => ({ name, place: id, up: true, mounts: [] }));
  return { kind, hosts, files: {}, folders: [], switches: hosts.flatMap((host) => switchesOf(endpoint, host)) };
};

const kindOf = (endpoint: EndpointRecord, hosts: number): HypervKind => {
  if (endpoint.places.some(({ kind }) => kind === 'pool')) return 'vmm';
  return hosts > 1 ? 'cluster' : 'host';
};

/** A test network of an installation that went by the old operations is private to each host. */
const switchesOf = (endpoint: EndpointRecord, host: HostRecord): SwitchRecord[] =>
  placesOf(endpoint, 'network').map(({ id, name, isolated }) => ({
    id: guidFrom(endpoint.name, host.name, id),
    host: host.name,
    name,
    type: isolated ? 'Private' : 'External',
    notes: '',
    place: id,
  }));

export const hypervOf = (endpoint: EndpointRecord): HypervRecord => {
  if (!endpoint.hyperv) throw new Error(`endpoint ${endpoint.name} has no Hyper-V hosts`);
  return endpoint.hyperv;
};

/** Nodes of a failover cluster share their storage. */
export const isClustered = ({ kind, hosts }: HypervRecord): boolean => kind === 'cluster' || (kind === 'vmm' && hosts.length > 1);

export const clusterName = ({ endpoint, hyperv }: At): string => (hyperv.kind === 'cluster' ? endpoint.name : `${endpoint.name}-cluster`);

/** Of its Hyper-V Replica Broker: by which other hosts replicate to it. */
export const brokerName = (at: At): string => `${clusterName(at)}-broker`;

/** The node that answers by the cluster's name. */
export const coordinator = ({ hosts }: HypervRecord): HostRecord | undefined => hosts.find(({ up }) => up);

export interface Addressed extends OnHost {
  readonly role: 'host' | 'vmm';
}

/** By its name, or by its full name in a domain. Throws CONNECTION_REFUSED for a name that nobody has, or a node that is down. */
export const addressed = (estate: Estate, target: string): Addressed => {
  for (const endpoint of estate.endpoints.values()) {
    if (endpoint.profile !== 'hyperv') continue;
    const at: At = { estate, endpoint, hyperv: hypervOf(endpoint) };
    const found = hostIn(at, target);
    if (!found) continue;
    if (!found.host.up) throw refused(target, 'does not answer');
    return { ...at, ...found };
  }
  throw refused(target, 'is no host that there is');
};

const refused = (target: string, why: string): DrError =>
  new DrError('CONNECTION_REFUSED', `${target} ${why}`, { context: { name: target, kind: 'host' } });

const hostIn = (at: At, target: string): { host: HostRecord; role: 'host' | 'vmm' } | undefined => {
  const { endpoint, hyperv } = at;
  const is = (name: string) => sameName(name, target);
  const host = hyperv.hosts.find(({ name }) => is(name));
  if (host) return { host, role: 'host' };
  const [first] = hyperv.hosts;
  if (!first) return undefined;
  if (is(endpoint.name) && hyperv.kind === 'vmm') return { host: first, role: 'vmm' };
  if (is(endpoint.name) && hyperv.kind === 'host') return { host: first, role: 'host' };
  if (isClustered(hyperv) && (is(clusterName(at)) || is(brokerName(at)))) return { host: coordinator(hyperv) ?? first, role: 'host' };
  return undefined;
};

export const sameName = (name: string, target: string): boolean =>
  name.toLowerCase() === target.toLowerCase() || name.toLowerCase() === target.split('.')[0]!.toLowerCase();

export const isHv = (machine: MachineRecord): machine is Hv => machine.hv !== undefined;

/** A replica has the id of its source on hosts, and one of its own in the estate. */
export const idOnHosts = ({ id, hv }: Pick<MachineRecord, 'id' | 'hv'>): string => hv?.vmId ?? id;

export const idOfReplica = ({ endpoint }: At, id: string): MachineId => `${id}@${endpoint.name}` as MachineId;

/** By its id on hosts, on whichever of the endpoint's. */
export const vmAt = (at: At, id: string): Hv | undefined => {
  const { machines } = at.estate;
  for (const known of [machines.get(id as MachineId), machines.get(idOfReplica(at, id))]) {
    if (known?.endpoint === at.endpoint.name && isHv(known) && idOnHosts(known) === id) return known;
  }
  return undefined;
};

/** The host that has the machine. */
export const hostOf = ({ hyperv }: At, machine: MachineRecord): HostRecord =>
  hyperv.hosts.find(({ place }) => place === machine.host) ?? hyperv.hosts[0]!;

export const switchNamed = ({ hyperv }: At, host: HostRecord, name: string | undefined): SwitchRecord | undefined =>
  name === undefined ? undefined : hyperv.switches.find((one) => one.host === host.name && one.name === name);

export const switchOfPlace = ({ hyperv }: At, host: HostRecord, place: PlaceId | undefined): SwitchRecord | undefined =>
  hyperv.switches.find((one) => one.host === host.name && one.place === place);
