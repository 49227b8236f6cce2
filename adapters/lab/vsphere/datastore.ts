// The files of a vCenter's datastores: which path is which layer.
import type { PlaceId } from '../../../core/contract/index.ts';
import type { Estate } from '../estate.ts';
import type { EndpointRecord, PlaceRecord } from '../records.ts';
import type { Volume } from '../volume.ts';
import type { DatastoreFile, VcenterRecord } from './model.ts';
import { escapeName } from './objects.ts';
import { fileFault, vcenterOf } from './vms.ts';

const LONGEST_FOLDER = 80;

export const filePath = (storage: PlaceRecord, inside: string): string => `[${storage.name}] ${inside}`;

/** A folder name for a machine that no file of the datastore has yet. */
export const freeFolder = (endpoint: EndpointRecord, storage: PlaceRecord, name: string): string => {
  const { files } = vcenterOf(endpoint);
  const wanted = escapeName(name).slice(0, LONGEST_FOLDER).trim() || 'vm';
  let folder = wanted;
  // Most of what is taken is so by a machine, which is quickly seen.
  for (let n = 1; files[filePath(storage, `${folder}/${folder}.vmx`)] || isTaken(endpoint, filePath(storage, folder)); n++)
    folder = `${wanted}_${n}`;
  return folder;
};

const isTaken = (endpoint: EndpointRecord, folder: string): boolean => {
  const { files, folders } = vcenterOf(endpoint);
  if (folders.includes(folder)) return true;
  for (const path in files) if (path.startsWith(folder) && path[folder.length] === '/') return true;
  return false;
};

/** `name.vmdk`, `name_1.vmdk`, … in the machine's own folder. */
export const freeDiskPath = (endpoint: EndpointRecord, home: string, taken: ReadonlySet<string> = new Set()): string => {
  const { files } = vcenterOf(endpoint);
  const name = `${home}/${home.replace(/^\[[^\]]*\]\s*/, '').replace(/^.*\//, '')}`;
  let path = `${name}.vmdk`;
  for (let n = 1; files[path] || taken.has(path); n++) path = `${name}_${n}.vmdk`;
  return path;
};

/** The overlay over a disk's file: `name-000001.vmdk`. */
export const freeOverlayPath = (endpoint: EndpointRecord, over: string): string => {
  const { files } = vcenterOf(endpoint);
  const name = over.replace(/(-\d{6})?\.vmdk$/, '');
  let path = '';
  for (let n = 1; path === '' || files[path]; n++) path = `${name}-${String(n).padStart(6, '0')}.vmdk`;
  return path;
};

export const addFile = (endpoint: EndpointRecord, path: string, file: DatastoreFile): void => {
  const { files } = vcenterOf(endpoint);
  if (files[path] && isThere(files[path])) throw fileFault('FileAlreadyExists', path);
  files[path] = file;
};

export const isThere = (file: DatastoreFile | undefined): boolean => file?.layer !== undefined || file?.text !== undefined;

export const layerAt = (estate: Estate, endpoint: EndpointRecord, path: string): Volume => {
  const layer = vcenterOf(endpoint).files[path]?.layer;
  if (layer === undefined || !estate.layers.has(layer)) throw fileFault('FileNotFound', path);
  return estate.layer(layer).volume;
};

export const pathOf = ({ files }: VcenterRecord, layer: string): string | undefined => {
  for (const path in files) if (files[path]!.layer === layer) return path;
  return undefined;
};

/** Removes a layer with its file. */
export const dropLayer = (estate: Estate, endpoint: EndpointRecord, layer: string): void => {
  const vcenter = vcenterOf(endpoint);
  const path = pathOf(vcenter, layer);
  if (path !== undefined) delete vcenter.files[path];
  estate.removeLayer(layer);
};

/** From the top down. */
export const chainOf = (top: Volume): Volume[] => {
  const chain = [top];
  for (let at = top.parent; at; at = at.parent) chain.push(at);
  return chain;
};

/** Layers that stand on this one. */
export const childrenOf = (estate: Estate, layer: string): Volume[] =>
  [...estate.layers.values()].filter((one) => one.volume.parent?.name === layer && !one.snapshot).map((one) => one.volume);

export const storageOfLayer = (estate: Estate, layer: string): PlaceId => estate.layer(layer).storage;
