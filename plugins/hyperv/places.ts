// Networks, storage, hosts and clouds as places. Storage that the hosts share is one place; a volume of a host is that host's.
import type { PsRow, Step } from '../../adapters/powershell/port.ts';
import { type Call, isDrError, type Place, type PlaceId } from '../../core/contract/index.ts';
import type { Fabric } from './fabric.ts';
import { hostPlace, networkPlace, storagePlace } from './machine.ts';
import { list, maybeNumber, member, text } from './rows.ts';

export interface Storage {
  readonly id: PlaceId;
  readonly name: string;
  /** Folder that all its paths begin with, without the last backslash. */
  readonly root: string;
  readonly freeBytes: number;
  /** Absent where all hosts have it. */
  readonly host?: string;
}

export interface VirtualSwitch {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly notes: string;
  readonly host: string;
}

export const storages = async (fabric: Fabric, call: Call): Promise<Storage[]> => {
  const shared = fabric.isShared ? await sharedVolumes(fabric, call) : [];
  if (shared.length > 0) return shared;
  return (await Promise.all((await fabric.hosts(call)).map((host) => volumes(fabric, host, call)))).flat();
};

const sharedVolumes = async (fabric: Fabric, call: Call): Promise<Storage[]> => {
  const select = ['Name', 'SharedVolumeInfo.FriendlyVolumeName', 'SharedVolumeInfo.Partition.FreeSpace'];
  const steps: Step[] = [{ cmdlet: 'Get-ClusterSharedVolume', params: {}, select }];
  const rows = await fabric.onAny((host) => fabric.rows(host, steps, call).catch(withoutCluster), call);
  return rows.map((row): Storage => {
    const [root] = list(row, 'SharedVolumeInfo.FriendlyVolumeName').map(String);
    const [free] = list(row, 'SharedVolumeInfo.Partition.FreeSpace').map(Number);
    return { id: storagePlace('', root ?? ''), name: text(row, 'Name'), root: root ?? '', freeBytes: free ?? 0 };
  });
};

/** Hosts under VMM need not be a cluster. */
export const withoutCluster = (error: unknown): readonly PsRow[] => {
  if (isDrError(error, 'PROTOCOL_ERROR', 'HOST_BUSY', 'NOT_FOUND')) return [];
  throw error;
};

const volumes = async (fabric: Fabric, host: string, call: Call): Promise<Storage[]> => {
  const select = ['DriveLetter', 'FileSystemLabel', 'DriveType', 'SizeRemaining'];
  const rows = await fabric.rows(host, [{ cmdlet: 'Get-Volume', params: {}, select }], call);
  return rows.flatMap((row): Storage[] => {
    const letter = text(row, 'DriveLetter');
    const type = row['DriveType'];
    const isFixed = typeof type === 'string' ? type === 'Fixed' : member(row, 'DriveType') === 'Fixed';
    if (!/^[A-Z]$/i.test(letter) || !isFixed) return [];
    const root = `${letter.toUpperCase()}:`;
    const label = text(row, 'FileSystemLabel');
    return [
      { id: storagePlace(host, root), name: label === '' ? root : label, root, freeBytes: maybeNumber(row, 'SizeRemaining') ?? 0, host },
    ];
  });
};

export const switches = async (fabric: Fabric, host: string, call: Call): Promise<VirtualSwitch[]> => {
  const select = ['Id', 'Name', 'SwitchType', 'Notes'];
  const rows = await fabric.rows(host, [{ cmdlet: 'Get-VMSwitch', params: {}, select }], call);
  return rows.map((row) => ({
    id: text(row, 'Id'),
    name: text(row, 'Name'),
    type: member(row, 'SwitchType'),
    notes: text(row, 'Notes'),
    host,
  }));
};

export const storageFinder = (all: readonly Storage[], host: string) => {
  const own = all.filter((one) => one.host === undefined || one.host === host).toSorted((a, b) => b.root.length - a.root.length);
  return (path: string): PlaceId | undefined => own.find(({ root }) => path.toLowerCase().startsWith(`${root.toLowerCase()}\\`))?.id;
};

export async function* listPlaces(fabric: Fabric, kind: Place['kind'], call: Call): AsyncGenerator<Place> {
  if (kind === 'storage') {
    for (const { id, name, freeBytes, host } of await storages(fabric, call))
      yield { id, kind, name, freeBytes, ...(host === undefined || !fabric.isShared ? {} : { parent: hostPlace(host) }) };
  } else if (kind === 'host') {
    for (const host of await fabric.hosts(call)) yield { id: hostPlace(host), kind, name: host };
  } else if (kind === 'network') {
    const names = new Set<string>();
    for (const host of await fabric.hosts(call)) for (const { name } of await switches(fabric, host, call)) names.add(name);
    for (const name of names) yield { id: networkPlace(name), kind, name };
  } else if (kind === 'pool' && fabric.kind === 'vmm') {
    for (const row of await fabric.rows(fabric.center, cloudSteps, call))
      yield { id: `cloud/${text(row, 'ID')}` as PlaceId, kind, name: text(row, 'Name') };
  }
  call.signal.throwIfAborted();
}

export const cloudSteps = [
  { cmdlet: 'Get-SCVMMServer', params: { ComputerName: 'localhost' } },
  { cmdlet: 'Get-SCCloud', params: {}, select: ['ID', 'Name'] },
] as const;
