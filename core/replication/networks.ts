import { DrError, type MachineSpec, type NicId, type PlaceId } from '../contract/index.ts';
import type { Item } from '../domain/item.ts';
import type { Mapping, MappingKind } from '../domain/policy.ts';
import type { EndpointSession } from '../host/host.ts';
import { listMappings } from '../state/records.ts';
import { type Core, callFor } from './core.ts';

export const findMapping = (
  mappings: readonly Mapping[],
  kind: MappingKind,
  from: { readonly endpoint: string; readonly place: string },
  toEndpoint: string,
): Mapping | undefined => {
  const lines = mappings.filter((line) => line.kind === kind && line.fromEndpoint === from.endpoint && line.toEndpoint === toEndpoint);
  return lines.find((line) => line.fromPlace === from.place) ?? lines.find((line) => line.fromPlace === '*');
};

/** Networks of the source that have no line to the target. */
export const unmappedNetworks = (
  mappings: readonly Mapping[],
  spec: Pick<MachineSpec, 'nics'>,
  fromEndpoint: string,
  toEndpoint: string,
): string[] => [
  ...new Set(
    spec.nics.flatMap((nic) =>
      nic.network && !findMapping(mappings, 'network', { endpoint: fromEndpoint, place: nic.network }, toEndpoint) ? [nic.network] : [],
    ),
  ),
];

/** Those to which the machine is mapped come first, in the order that they have. */
export const mappedFirst = <T extends { readonly id: string }>(
  candidates: readonly T[],
  mappings: readonly Mapping[],
  spec: Pick<MachineSpec, 'nics'>,
  fromEndpoint: string,
): T[] => {
  const rank = ({ id }: T): number => {
    if (!mappings.some((line) => line.fromEndpoint === fromEndpoint && line.toEndpoint === id)) return 2;
    return unmappedNetworks(mappings, spec, fromEndpoint, id).length > 0 ? 1 : 0;
  };
  return candidates.toSorted((a, b) => rank(a) - rank(b));
};

export const mappingMissing = (item: string, networks: readonly string[], fromEndpoint: string, toEndpoint: string): DrError =>
  new DrError(
    'MAPPING_MISSING',
    `network ${networks.map((name) => JSON.stringify(name)).join(', ')} of ${item} at ${fromEndpoint} has no mapping to ${toEndpoint}`,
    {
      context: { name: item, endpoint: toEndpoint, kind: 'network' },
      hint: `run map network set ${fromEndpoint}:${networks[0] ?? ''} ${toEndpoint}:NETWORK`,
    },
  );

/** The machine's networks at the target, for production. */
export const productionNics = async (
  core: Core,
  item: Item,
  spec: Pick<MachineSpec, 'nics'>,
  toEndpoint: string,
): Promise<Map<NicId, PlaceId | 'disconnected'>> => {
  const mappings = await listMappings(core.store.db);
  const missing = unmappedNetworks(mappings, spec, item.source.endpoint, toEndpoint);
  if (missing.length > 0) throw mappingMissing(item.name, missing, item.source.endpoint, toEndpoint);
  return new Map(
    spec.nics.map((nic) => [
      nic.id,
      nic.network ? (placeOf(mappings, item, nic.network, toEndpoint)?.toPlace as PlaceId) : ('disconnected' as const),
    ]),
  );
};

const placeOf = (mappings: readonly Mapping[], item: Item, network: string, toEndpoint: string) =>
  findMapping(mappings, 'network', { endpoint: item.source.endpoint, place: network }, toEndpoint);

export interface TestNetworks {
  readonly nics: ReadonlyMap<NicId, PlaceId | 'disconnected'>;
  /** Made for this test, removed by its clean-up. */
  readonly made: readonly string[];
}

/** Test networks: the mapped test place, else an isolated network like the mapped one, else no cable at all. */
export const testNics = async (
  core: Core,
  item: Item,
  spec: Pick<MachineSpec, 'nics'>,
  session: EndpointSession,
  jobId: string,
  signal: AbortSignal,
): Promise<TestNetworks> => {
  const mappings = await listMappings(core.store.db);
  const nics = new Map<NicId, PlaceId | 'disconnected'>();
  const made: string[] = [];
  for (const nic of spec.nics) {
    const line = nic.network ? placeOf(mappings, item, nic.network, session.endpointId) : undefined;
    if (line?.testPlace) nics.set(nic.id, line.testPlace as PlaceId);
    else if (line && session.network && session.capabilities.testNetwork !== 'none') {
      const network = await session.network.createTestNetwork(
        line.toPlace as PlaceId,
        callFor(core, `${jobId}/testnet/${line.toPlace}`, signal),
      );
      nics.set(nic.id, network.id);
      if (!made.includes(network.id)) made.push(network.id);
    } else nics.set(nic.id, 'disconnected');
  }
  return { nics, made };
};
