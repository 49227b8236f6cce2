// Machines and places, by the property collector: paged, and told of changes instead of read again.
import type { CustomFieldDef, DatastoreSummary, MoRef, ObjectUpdate } from '../../adapters/vsphere/port.ts';
import { isFault } from '../../adapters/vsphere/port.ts';
import type { Call, Inventory, InventoryChange, Machine, MachineId, Place, PlaceId } from '../../core/contract/index.ts';
import { DrError } from '../../core/contract/index.ts';
import { assess } from './assess.ts';
import { isUplinks } from './devices.ts';
import { attributesOf, MACHINE_PATHS, placeId, toMachine } from './machine.ts';
import type { DataPaths } from './movers/choose.ts';
import { fromVcenter } from './names.ts';
import { type Found, type Props, throughView, type Vcenter, vmRef } from './vcenter.ts';

/** Names of places change seldom, and a wrong label does no harm for so long. */
const PLACES_FRESH_MS = 60_000;
const WAIT_SECONDS = 30;
const MOST_UPDATES = 200;

export const inventoryOf = (vcenter: Vcenter, paths: DataPaths): Inventory => {
  const places = new Places(vcenter);
  const describe = async ({ ref, props }: Found, call: Call): Promise<Machine> => toMachine(ref, props, await places.labels(props, call));
  return {
    listMachines: async function* ({ labels = {} }, call): AsyncGenerator<Machine> {
      await places.refresh(call);
      const wanted = Object.entries(labels);
      for await (const found of vcenter.list('VirtualMachine', MACHINE_PATHS, call)) {
        if (found.props['config.template'] === true || found.ref.value === paths.appliance) continue;
        const machine = await describe(found, call);
        if (wanted.every(([key, value]) => machine.labels[key] === value)) yield machine;
      }
    },
    getMachine: async (id, call) => {
      const ref = vmRef(id);
      return describe({ ref, props: await vcenter.props(ref, MACHINE_PATHS, call) }, call);
    },
    listPlaces: (kind, call) => listPlaces(vcenter, kind, call),
    checkProtectable: (id, as, call) => assess(vcenter, paths, { id, as }, call),
    watch: (cursor, call) => watch(vcenter, cursor, call),
  };
};

// ---- places ----------------------------------------------------------------------------------------------------------

const KINDS: Readonly<Record<Place['kind'], readonly string[]>> = {
  network: ['Network'],
  storage: ['Datastore'],
  folder: ['Folder'],
  host: ['HostSystem', 'ClusterComputeResource'],
  pool: ['ResourcePool'],
};

/** Folders of machines only: those of hosts, networks and datastores are no place for a replica. */
async function* listPlaces(vcenter: Vcenter, kind: Place['kind'], call: Call): AsyncGenerator<Place> {
  for (const type of KINDS[kind]) {
    const paths = ['name', 'parent', ...(type === 'Datastore' ? ['summary'] : []), ...(type === 'Folder' ? ['childType'] : [])];
    const seen = new Set<PlaceId>();
    const found: Found[] = [];
    for await (const one of vcenter.list(type, paths, call)) {
      if (type === 'Folder' && !((one.props['childType'] ?? []) as readonly string[]).includes('VirtualMachine')) continue;
      if (type === 'Network' && isUplinks(one.ref, one.props['name'])) continue;
      found.push(one);
      seen.add(placeId(one.ref));
    }
    for (const one of found) {
      call.signal.throwIfAborted();
      yield toPlace(one, kind, seen);
    }
  }
  call.signal.throwIfAborted();
}

const toPlace = ({ ref, props }: Found, kind: Place['kind'], known: ReadonlySet<PlaceId>): Place => {
  const parent = props['parent'] as MoRef | undefined;
  const summary = props['summary'] as DatastoreSummary | undefined;
  return {
    id: placeId(ref),
    kind,
    name: fromVcenter(String(props['name'] ?? ref.value)),
    ...(parent && known.has(placeId(parent)) ? { parent: placeId(parent) } : {}),
    ...(summary ? { freeBytes: Number(summary.freeSpace) } : {}),
  };
};

/** Names of what machines lie in, for their labels. */
class Places {
  readonly #vcenter: Vcenter;
  #known = new Map<string, { readonly name: string; readonly type: string; readonly parent: string | undefined }>();
  #attributes = new Map<number, string>();
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(vcenter: Vcenter) {
    this.#vcenter = vcenter;
  }

  async refresh(call: Call): Promise<void> {
    while (this.#vcenter.time.now() - this.#readAtMs >= PLACES_FRESH_MS) {
      const others = this.#reading;
      // Whoever reads may give up for a reason that is not ours: then we read.
      if (others) await others.catch(() => call.signal.throwIfAborted());
      else await this.#readOnce(call);
    }
  }

  async #readOnce(call: Call): Promise<void> {
    this.#reading = this.#read(call);
    try {
      await this.#reading;
    } finally {
      this.#reading = undefined;
    }
  }

  async labels(props: Props, call: Call): Promise<Record<string, string>> {
    await this.refresh(call);
    const labels = attributesOf(props, this.#attributes);
    this.#climb(props['parent'] as MoRef | undefined, labels);
    this.#climb(props['runtime.host'] as MoRef | undefined, labels);
    return labels;
  }

  /** The nearest folder, the cluster and the datacenter. An attribute of the same name stands: it was set on purpose. */
  #climb(from: MoRef | undefined, labels: Record<string, string>): void {
    for (let at = from?.value; at !== undefined; at = this.#known.get(at)?.parent) {
      const place = this.#known.get(at);
      if (!place) return;
      const key = LABELS[place.type];
      if (key !== undefined && !HIDDEN.has(place.name)) labels[key] ??= place.name;
    }
  }

  async #read(call: Call): Promise<void> {
    const known = new Map<string, { name: string; type: string; parent: string | undefined }>();
    for (const type of ['Folder', 'Datacenter', 'ComputeResource', 'HostSystem']) {
      for await (const { ref, props } of this.#vcenter.list(type, ['name', 'parent'], call)) {
        const parent = props['parent'] as MoRef | undefined;
        known.set(ref.value, { name: fromVcenter(String(props['name'])), type: ref.type, parent: parent?.value });
      }
    }
    this.#known = known;
    this.#attributes = await this.#readAttributes(call);
    this.#readAtMs = this.#vcenter.time.now();
  }

  /** A lone ESXi host has no custom attributes. */
  async #readAttributes(call: Call): Promise<Map<number, string>> {
    const { customFieldsManager } = this.#vcenter.client.content;
    if (!customFieldsManager) return new Map();
    const { field } = await this.#vcenter.props(customFieldsManager, ['field'], call);
    return new Map(((field ?? []) as readonly CustomFieldDef[]).map(({ key, name }) => [key, fromVcenter(name)]));
  }
}

const LABELS: Readonly<Record<string, string>> = {
  Folder: 'folder',
  Datacenter: 'datacenter',
  ClusterComputeResource: 'cluster',
};
/** The folders that every datacenter has: they say nothing. */
const HIDDEN = new Set(['vm', 'host', 'datastore', 'network', 'Datacenters']);

// ---- changes ---------------------------------------------------------------------------------------------------------

const WATCHED = [
  'name',
  'config.changeVersion',
  'runtime.powerState',
  'runtime.connectionState',
  'runtime.host',
  'guest.toolsRunningStatus',
  'parent',
];

/**
 * A filter of its own on a collector of its own, so that watches do not wait for each other. A version is known to its filter only, so
 * that a cursor of another watch is answered with every machine: more than has changed, never less.
 */
async function* watch(vcenter: Vcenter, cursor: string | undefined, call: Call): AsyncGenerator<InventoryChange> {
  const { client } = vcenter;
  const collector = await vcenter.call('CreatePropertyCollector', client.content.propertyCollector, {}, call);
  const view = await vcenter.view('VirtualMachine', call);
  const forget = async () => {
    await client.call('DestroyPropertyCollector', collector, {}).catch(() => undefined);
    await client.call('DestroyView', view, {}).catch(() => undefined);
  };
  try {
    const spec = { propSet: [{ type: 'VirtualMachine', pathSet: WATCHED }], objectSet: [throughView(view)] };
    await vcenter.call('CreateFilter', collector, { spec, partialUpdates: false }, call);
    let version = '';
    let first = true;
    for (let serial = 0; ; serial++) {
      const options = { maxWaitSeconds: WAIT_SECONDS, maxObjectUpdates: MOST_UPDATES };
      const update = await waitForUpdates(vcenter, collector, { version, options }, call);
      if (!update) continue;
      version = update.version;
      const whole = first;
      first = first && update.truncated === true;
      if (whole && cursor === undefined) continue;
      const changes = (update.filterSet ?? []).flatMap(({ objectSet = [] }) => objectSet);
      if (changes.length > 0) yield { cursor: `${vcenter.time.now()}.${serial}`, ...sorted(changes) };
    }
  } catch (error) {
    call.signal.throwIfAborted();
    // After a new log-in the server knows neither collector nor view.
    if (!isFault(error, 'ManagedObjectNotFound', 'InvalidCollectorVersion')) throw error;
    throw new DrError('CONNECTION_LOST', 'the watch of the inventory has ended with its session', { cause: error });
  } finally {
    await forget();
  }
}

const waitForUpdates = (
  { client }: Vcenter,
  collector: MoRef,
  args: { readonly version: string; readonly options: { readonly maxWaitSeconds: number; readonly maxObjectUpdates: number } },
  { signal }: Call,
) => client.call('WaitForUpdatesEx', collector, args, { signal, deadlineMs: (WAIT_SECONDS + 30) * 1000 });

const sorted = (updates: readonly ObjectUpdate[]): Pick<InventoryChange, 'changed' | 'gone'> => {
  const ids = (wanted: (kind: ObjectUpdate['kind']) => boolean) =>
    updates.filter(({ kind }) => wanted(kind)).map(({ obj }) => obj.value as MachineId);
  return { changed: ids((kind) => kind !== 'leave'), gone: ids((kind) => kind === 'leave') };
};
