// Where a new machine goes: what was asked for, and what follows from it.
import type { DatastoreSummary, MoRef } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type ReplicaRequest } from '../../core/contract/index.ts';
import { placeId, placeRef } from './machine.ts';
import { fromVcenter } from './names.ts';
import type { Found, Vcenter } from './vcenter.ts';

export interface Places {
  readonly folder: MoRef;
  readonly pool: MoRef;
  readonly host: MoRef | undefined;
  readonly datastoreName: string;
  /** A network that a card without a cable may name. */
  readonly network: MoRef | undefined;
}

/** Host, datastore, folder and pool of one datacenter; what is left open is chosen so that the datastore has room and the host sees it. */
export const choosePlaces = async (vcenter: Vcenter, as: ReplicaRequest, needBytes: number, call: Call): Promise<Places> => {
  const asked = as.host === undefined ? undefined : placeRef(as.host);
  const compute = await chooseCompute(vcenter, asked, as.storage === undefined ? undefined : placeRef(as.storage), call);
  const { datastore = [], network = [], resourcePool } = await vcenter.props(compute, ['datastore', 'network', 'resourcePool'], call);
  const store = await chooseDatastore(vcenter, as, datastore as readonly MoRef[], needBytes, call);
  return {
    folder: as.folder === undefined ? await vmFolderOf(vcenter, compute, call) : placeRef(as.folder),
    pool: resourcePool as MoRef,
    host: asked?.type === 'HostSystem' ? asked : undefined,
    datastoreName: store,
    network: (network as readonly MoRef[]).find(({ type }) => type === 'Network') ?? (network as readonly MoRef[])[0],
  };
};

/** The cluster or lone host: as asked for, else one that sees the datastore, else the first. */
const chooseCompute = async (vcenter: Vcenter, asked: MoRef | undefined, store: MoRef | undefined, call: Call): Promise<MoRef> => {
  if (asked?.type === 'HostSystem') return (await vcenter.props(asked, ['parent'], call))['parent'] as MoRef;
  if (asked) return asked;
  const all: Found[] = [];
  for await (const found of vcenter.list('ComputeResource', ['datastore', 'host'], call)) all.push(found);
  const usable = all.filter(({ props }) => ((props['host'] ?? []) as readonly MoRef[]).length > 0);
  const sees = ({ props }: Found) => ((props['datastore'] ?? []) as readonly MoRef[]).some(({ value }) => value === store?.value);
  const chosen = store ? usable.find(sees) : usable[0];
  if (chosen) return chosen.ref;
  throw new DrError('NOT_FOUND', store ? `no host sees the datastore ${store.value}` : 'the server has no host', {
    hint: 'map the machine to another datastore or host',
    context: { kind: 'host', ...(store ? { place: placeId(store) } : {}) },
  });
};

const chooseDatastore = async (
  vcenter: Vcenter,
  as: ReplicaRequest,
  visible: readonly MoRef[],
  needBytes: number,
  call: Call,
): Promise<string> => {
  const asked = as.storage === undefined ? undefined : placeRef(as.storage);
  const found = await vcenter.propsOf(asked ? [asked] : visible, ['name', 'summary'], call);
  const rows = found.map(({ ref, props }) => ({ ref, name: String(props['name']), summary: props['summary'] as DatastoreSummary }));
  const usable = rows
    .filter(({ summary }) => summary.accessible !== false)
    .sort((a, b) => Number(b.summary.freeSpace) - Number(a.summary.freeSpace));
  const [best] = usable;
  if (!best) {
    throw new DrError('NOT_FOUND', asked ? `the datastore ${asked.value} is not accessible` : 'no host has a datastore', {
      context: { kind: 'storage', ...(asked ? { place: placeId(asked) } : {}) },
    });
  }
  const freeBytes = Number(best.summary.freeSpace);
  if (freeBytes < needBytes) {
    throw new DrError('TARGET_FULL', `datastore ${fromVcenter(best.name)} has ${freeBytes} bytes left, the disks need ${needBytes}`, {
      context: { place: placeId(best.ref), needBytes, freeBytes },
    });
  }
  return best.name;
};

const vmFolderOf = async (vcenter: Vcenter, compute: MoRef, call: Call): Promise<MoRef> => {
  for (let at: MoRef | undefined = compute; at; ) {
    if (at.type === 'Datacenter') return (await vcenter.props(at, ['vmFolder'], call))['vmFolder'] as MoRef;
    at = (await vcenter.props(at, ['parent'], call))['parent'] as MoRef | undefined;
  }
  throw new DrError('PROTOCOL_ERROR', `${compute.type} ${compute.value} lies in no datacenter`);
};
