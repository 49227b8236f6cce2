// Files of hosts by their paths: where the estate's storage is, which layer of the estate a file is, and what may not be a name.
import type { PlaceId } from '../../../core/contract/index.ts';
import type { PlaceRecord } from '../records.ts';
import { isClustered, placesOf } from './fabric.ts';
import { HRESULT, win32 } from './failures.ts';
import type { At, FileRecord } from './model.ts';

const FIRST_LETTER = 'D'.charCodeAt(0);
const SHARED = 'C:\\ClusterStorage';

export interface VolumeOfHost {
  readonly place: PlaceRecord;
  /** `D:` or `C:\ClusterStorage\name`. */
  readonly root: string;
  readonly letter?: string;
}

/** Drive letters where storage belongs to one host, folders of all nodes where it is shared. */
export const volumesOf = ({ endpoint, hyperv }: At): VolumeOfHost[] =>
  placesOf(endpoint, 'storage').map((place, index) => {
    if (isClustered(hyperv)) return { place, root: `${SHARED}\\${place.name}` };
    const letter = String.fromCharCode(FIRST_LETTER + index);
    return { place, root: `${letter}:`, letter };
  });

export const keyOf = (path: string): string =>
  path
    .replaceAll('/', '\\')
    .replaceAll(/(?<!^)\\{2,}/g, '\\')
    .toLowerCase();

/** Throws where no storage of the estate is. */
export const volumeAt = (at: At, path: string): VolumeOfHost => {
  const key = keyOf(path);
  const found = volumesOf(at).find(({ root }) => key === root.toLowerCase() || key.startsWith(`${root.toLowerCase()}\\`));
  return found ?? fail(HRESULT.pathNotFound, path);
};

const fail = (hresult: number, path: string): never => {
  throw win32(hresult, `Failed to access '${path}'`);
};

export const findFile = ({ hyperv }: At, path: string): FileRecord | undefined => {
  const key = keyOf(path);
  return Object.hasOwn(hyperv.files, key) ? hyperv.files[key] : undefined;
};

export const fileAt = (at: At, path: string): FileRecord => findFile(at, path) ?? fail(HRESULT.fileNotFound, path);

const folderOf = (key: string): string => key.slice(0, key.lastIndexOf('\\'));

/** Nothing makes folders on the way but New-VM, for the machine. */
export const assertNewFile = (at: At, path: string): VolumeOfHost => {
  const volume = volumeAt(at, path);
  const key = keyOf(path);
  if (!isName(key.slice(key.lastIndexOf('\\') + 1))) fail(HRESULT.invalidName, path);
  const folder = folderOf(key);
  const there = folder === volume.root.toLowerCase() || at.hyperv.folders.includes(folder) || hasFilesIn(at, folder);
  if (!there) fail(HRESULT.pathNotFound, path);
  if (findFile(at, path)) fail(HRESULT.fileExists, path);
  return volume;
};

const hasFilesIn = ({ hyperv }: At, folder: string): boolean => Object.keys(hyperv.files).some((key) => folderOf(key) === folder);

const LONGEST_NAME = 255;
// biome-ignore lint/suspicious/noControlCharactersInRegex: Windows refuses them in names of files
const ILLEGAL = /[<>:"/\\|?*\u0000-\u001f]|[. ]$/;

/** Whether Windows takes it as the name of a file or folder (Naming Files, Paths, and Namespaces). */
export const isName = (name: string): boolean => name !== '' && name.length <= LONGEST_NAME && !ILLEGAL.test(name);

export const safeName = (name: string): string => {
  const safe = [...name].map((character) => (ILLEGAL.test(`${character}x`) ? '_' : character)).join('');
  return safe.slice(0, 60).replace(/[. ]+$/, '') || 'machine';
};

export const addFile = ({ hyperv, estate }: At, file: FileRecord): string => {
  const key = keyOf(file.path);
  hyperv.files[key] = file;
  estate.revision++;
  return key;
};

/** With the content that it is. */
export const dropFile = ({ hyperv, estate }: At, key: string): void => {
  const file = hyperv.files[key];
  if (!file) return;
  delete hyperv.files[key];
  estate.caches.delete(file.layer as never);
  estate.removeLayer(file.layer);
  estate.revision++;
};

export const childrenOf = ({ hyperv }: At, key: string): string[] =>
  Object.keys(hyperv.files).filter((other) => hyperv.files[other]!.parent === key);

/** Keys from the file down to the one that stands on nothing. */
export const chainOf = ({ hyperv }: At, key: string): string[] => {
  const chain: string[] = [];
  for (let at: string | undefined = key; at !== undefined && hyperv.files[at]; at = hyperv.files[at]!.parent) chain.push(at);
  return chain;
};

export const keyOfLayer = ({ hyperv }: At, layer: string): string | undefined => {
  for (const key in hyperv.files) if (hyperv.files[key]!.layer === layer) return key;
  return undefined;
};

export const storageRoot = (at: At, storage: PlaceId | undefined): VolumeOfHost => {
  const volumes = volumesOf(at);
  return volumes.find(({ place }) => place.id === storage) ?? volumes[0]!;
};
