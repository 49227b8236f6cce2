import { DrError, isDrError, type MachineSpec, type NicId, type PlaceId } from '../contract/index.ts';
import type { Item, TestNetwork } from '../domain/item.ts';
import type { Mapping, MappingKind } from '../domain/policy.ts';
import type { EndpointSession } from '../host/host.ts';
import { listItems, updateItem } from '../state/items.ts';
import { listMappings } from '../state/records.ts';
import { type Core, callFor, fencedCall, openEndpoint } from './core.ts';

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

/** Test networks: the mapped test place, else an isolated network like the mapped one, else no cable at all. */
export const testNics = async (
  core: Core,
  item: Item,
  spec: Pick<MachineSpec, 'nics'>,
  session: EndpointSession,
  jobId: string,
  signal: AbortSignal,
): Promise<Map<NicId, PlaceId | 'disconnected'>> => {
  const mappings = await listMappings(core.store.db);
  const { network } = session;
  const isolates = network !== undefined && session.capabilities.testNetwork !== 'none';
  const lines = spec.nics.map((nic) => [nic.id, nic.network && placeOf(mappings, item, nic.network, session.endpointId)] as const);
  const likes = isolates ? new Set(lines.flatMap(([, line]) => (line && !line.testPlace ? [line.toPlace as PlaceId] : []))) : [];
  const asked = [...likes].map((like): TestNetwork => ({ like, operationId: `${jobId}/testnet/${like}` }));
  await noteAsked(core, item, asked);
  const made = new Map<PlaceId, PlaceId>();
  for (const { like, operationId } of asked)
    made.set(like, (await network!.createTestNetwork(like, callFor(core, operationId, signal))).id);
  const toTest = (line: Mapping) => (line.testPlace as PlaceId | undefined) ?? made.get(line.toPlace as PlaceId);
  return new Map(lines.map(([id, line]) => [id, (line && toTest(line)) || 'disconnected']));
};

/** No answer is needed to find a network again, and none that is lost leaves one behind. */
const noteAsked = async (core: Core, { id, testNetworks = [] }: Item, asked: readonly TestNetwork[]): Promise<void> => {
  const fresh = asked.filter(({ operationId }) => !testNetworks.some((one) => one.operationId === operationId));
  if (fresh.length === 0) return;
  await core.store.transaction((tx) => updateItem(tx, id, (item) => ({ ...item, testNetworks: [...(item.testNetworks ?? []), ...fresh] })));
};

/** A test network is shared by the machines of one test: it goes with the last of them. */
export const removeTestNetworks = async (core: Core, item: Item, operationId: string, signal: AbortSignal): Promise<void> => {
  const { testNetworks = [], replica } = item;
  if (testNetworks.length === 0 || !replica) return;
  const others = (await listItems(core.store.db)).filter(
    ({ id, state, testFork }) => id !== item.id && (testFork || state.test === 'Starting'),
  );
  const inUse = new Set(others.flatMap((other) => (other.testNetworks ?? []).map((one) => one.operationId)));
  const { network } = await openEndpoint(core, replica.endpoint);
  for (const asked of testNetworks) {
    if (inUse.has(asked.operationId)) continue;
    try {
      // The operation finds the network, or makes it where it never came to be.
      const made = await network?.createTestNetwork(asked.like, callFor(core, asked.operationId, signal));
      if (made) await network?.deleteTestNetwork(made.id, fencedCall(core, item, operationId, signal));
    } catch (error) {
      if (!isDrError(error, 'NOT_FOUND')) throw error;
    }
  }
};
