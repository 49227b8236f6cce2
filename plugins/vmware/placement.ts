// Where a new machine goes: what was asked for, and what follows from it.
import type { DatastoreSummary, MoRef } from '../../adapters/vsphere/port.ts';
import { type Call, DrError, type ReplicaRequest } from '../../core/contract/index.ts';
import { spareNetwork } from './devices.ts';
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
  const { resourcePool } = await vcenter.props(compute, ['resourcePool'], call);
  // A host of a cluster need not have what another one has.
  const seeing = asked?.type === 'HostSystem' ? asked : compute;
  const { datastore = [], network = [] } = await vcenter.props(seeing, ['datastore', 'network'], call);
  const store = await chooseDatastore(vcenter, as, datastore as readonly MoRef[], needBytes, call);
  const host = asked?.type === 'HostSystem' ? asked : await chooseHost(vcenter, compute, store.ref, call);
  return {
    folder: as.folder === undefined ? await vmFolderOf(vcenter, compute, call) : placeRef(as.folder),
    pool: resourcePool as MoRef,
    host,
    datastoreName: store.name,
    network: await spareNetwork(vcenter, network as readonly MoRef[], call),
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

/** A cluster without DRS does not choose by itself. Undefined where none is fit: the server says why better than we could. */
const chooseHost = async (vcenter: Vcenter, compute: MoRef, store: MoRef, call: Call): Promise<MoRef | undefined> => {
  const { host: hosts = [] } = await vcenter.props(compute, ['host'], call);
  const paths = ['runtime.connectionState', 'runtime.inMaintenanceMode', 'datastore'];
  const found = await vcenter.propsOf(hosts as readonly MoRef[], paths, call);
  const isFit = ({ props }: Found) =>
    (props['runtime.connectionState'] ?? 'connected') === 'connected' &&
    props['runtime.inMaintenanceMode'] !== true &&
    ((props['datastore'] ?? []) as readonly MoRef[]).some(({ value }) => value === store.value);
  return found.find(isFit)?.ref;
};

const chooseDatastore = async (
  vcenter: Vcenter,
  as: ReplicaRequest,
  visible: readonly MoRef[],
  needBytes: number,
  call: Call,
): Promise<{ readonly ref: MoRef; readonly name: string }> => {
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
  return best;
};

const vmFolderOf = async (vcenter: Vcenter, compute: MoRef, call: Call): Promise<MoRef> => {
  for (let at: MoRef | undefined = compute; at; ) {
    if (at.type === 'Datacenter') return (await vcenter.props(at, ['vmFolder'], call))['vmFolder'] as MoRef;
    at = (await vcenter.props(at, ['parent'], call))['parent'] as MoRef | undefined;
  }
  throw new DrError('PROTOCOL_ERROR', `${compute.type} ${compute.value} lies in no datacenter`);
};
