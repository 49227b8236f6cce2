// Virtual disks and other files on datastores, without a machine.
import type { FileBackedVirtualDiskSpec, FileInfo, HostDatastoreBrowserSearchSpec } from '../../vsphere/port.ts';
import { addFile, childrenOf, dropLayer, filePath, isThere, layerAt } from './datastore.ts';
import { backingOf, isDisk } from './devices.ts';
import { specFromDevices } from './equipment.ts';
import { assertUnheld } from './locks.ts';
import { type VimContext, VimFaultError, type VimHandlers } from './model.ts';
import { browserOf, notFound, refOf, sameRef } from './objects.ts';
import { fileFault, invalidArgument, parsePath, vcenterOf, vmsOf } from './vms.ts';

const DISK_MS = 30;

export const diskFiles: VimHandlers = {
  CreateVirtualDisk_Task: (context, on, { name, spec }) => {
    const { capacityKb, diskType } = spec as FileBackedVirtualDiskSpec;
    if (!(capacityKb > 0)) throw invalidArgument('spec.capacityKb');
    const run = () => createDisk(context, name, { sizeBytes: capacityKb * 1024, thin: diskType === 'thin' });
    return context.startTask('VirtualDiskManager.createVirtualDisk', on, { durationMs: DISK_MS, run });
  },

  DeleteVirtualDisk_Task: (context, on, { name }) =>
    context.startTask('VirtualDiskManager.deleteVirtualDisk', on, { durationMs: DISK_MS, run: () => deleteDisk(context, name) }),

  ExtendVirtualDisk_Task: (context, on, { name, newCapacityKb }) =>
    context.startTask('VirtualDiskManager.extendVirtualDisk', on, {
      durationMs: DISK_MS,
      run: () => extend(context, name, newCapacityKb * 1024),
    }),

  MakeDirectory: (context, _, { name, createParentDirectories = false }) => {
    makeDirectory(context, name, createParentDirectories);
    return undefined;
  },

  DeleteDatastoreFile_Task: (context, on, { name }) =>
    context.startTask('FileManager.deleteFile', on, { durationMs: DISK_MS, run: () => deleteFile(context, name) }),

  SearchDatastore_Task: (context, on, { datastorePath, searchSpec }) => {
    const storage =
      context.endpoint.places.find((place) => place.kind === 'storage' && sameRef(browserOf(refOf(place)), on)) ?? notFound(on);
    return context.startTask('HostDatastoreBrowser.searchDatastore', on, {
      durationMs: DISK_MS,
      run: () => ({
        $type: 'HostDatastoreBrowserSearchResults',
        datastore: refOf(storage),
        folderPath: datastorePath,
        file: filesIn(context, datastorePath, searchSpec),
      }),
    });
  },
};

const parentFolder = (path: string): string => path.replace(/\/[^/]*$/, '');

/** A folder is there because somebody made it, or because files are in it. */
const folderExists = ({ endpoint }: VimContext, path: string): boolean => {
  const { storage, inside } = parsePath(endpoint, path);
  const folder = filePath(storage, inside);
  const { folders, files } = vcenterOf(endpoint);
  return inside === '' || folders.includes(folder) || Object.keys(files).some((one) => one.startsWith(`${folder}/`));
};

const createDisk = (
  context: VimContext,
  path: string,
  { sizeBytes, thin }: { readonly sizeBytes: number; readonly thin: boolean },
): string => {
  const { estate, endpoint } = context;
  const { storage, inside } = parsePath(endpoint, path);
  if (inside.includes('/') && !folderExists(context, parentFolder(path))) throw fileFault('FileNotFound', path);
  if (!thin && sizeBytes > estate.freeBytes(endpoint, storage.id)) {
    throw new VimFaultError('NoDiskSpace', `Insufficient disk space on datastore '${storage.name}'.`, {
      file: path,
      datastore: storage.name,
    });
  }
  if (isThere(vcenterOf(endpoint).files[path])) throw fileFault('FileAlreadyExists', path);
  addFile(endpoint, path, { layer: estate.createLayer(sizeBytes, storage.id).name, uuid: estate.newDiskId() });
  estate.revision++;
  return path;
};

const deleteDisk = (context: VimContext, path: string): void => {
  const { estate, endpoint } = context;
  const { name } = layerAt(estate, endpoint, path);
  assertUnheld(context, [name]);
  if (childrenOf(estate, name).length > 0) throw fileFault('FileLocked', path);
  for (const machine of vmsOf(context)) {
    for (const [disk, layer] of Object.entries(machine.volumes)) {
      if (layer !== name) continue;
      machine.volumes[disk as keyof typeof machine.volumes] = estate.createLayer(
        estate.layer(name).volume.sizeBytes,
        estate.layer(name).storage,
      ).name;
      vcenterOf(endpoint).files[path] = {};
    }
  }
  dropLayer(estate, endpoint, name);
  estate.revision++;
};

const extend = (context: VimContext, path: string, sizeBytes: number): void => {
  const { estate, endpoint } = context;
  const volume = layerAt(estate, endpoint, path);
  if (sizeBytes < volume.sizeBytes) throw invalidArgument('newCapacityKb');
  if (volume.parent || childrenOf(estate, volume.name).length > 0) throw fileFault('FileFault', path);
  assertUnheld(context, [volume.name]);
  volume.grow(sizeBytes);
  for (const machine of vmsOf(context)) {
    const disk = machine.vm.devices.filter(isDisk).find((one) => backingOf(one).fileName === path);
    if (!disk) continue;
    machine.vm.devices = machine.vm.devices.map((one) =>
      one === disk ? ({ ...disk, capacityInKB: Math.floor(sizeBytes / 1024), capacityInBytes: sizeBytes } as typeof one) : one,
    );
    specFromDevices(estate, machine);
    estate.resetTrackers(machine, backingOf(disk).uuid as Parameters<typeof estate.resetTrackers>[1]);
    machine.vm.changeVersion++;
    estate.touch(machine);
  }
  estate.revision++;
};

const makeDirectory = (context: VimContext, path: string, parents: boolean): void => {
  const { storage, inside } = parsePath(context.endpoint, path);
  const folder = filePath(storage, inside);
  if (folderExists(context, folder)) throw fileFault('FileAlreadyExists', folder);
  if (inside.includes('/') && !parents && !folderExists(context, parentFolder(folder))) throw fileFault('FileNotFound', folder);
  vcenterOf(context.endpoint).folders.push(folder);
  context.estate.revision++;
};

/** A file, or a folder with all that is in it. */
const deleteFile = (context: VimContext, path: string): void => {
  const { storage, inside } = parsePath(context.endpoint, path);
  const vcenter = vcenterOf(context.endpoint);
  const whole = filePath(storage, inside);
  const files = Object.keys(vcenter.files).filter((one) => one === whole || one.startsWith(`${whole}/`));
  if (inside === '' || (files.length === 0 && !folderExists(context, whole))) throw fileFault('FileNotFound', path);
  const layers = files.flatMap((one) => vcenter.files[one]!.layer ?? []);
  assertUnheld(context, layers);
  for (const file of files) {
    if (vcenter.files[file]!.layer === undefined) delete vcenter.files[file];
    else deleteDisk(context, file);
  }
  vcenter.folders = vcenter.folders.filter((one) => one !== whole && !one.startsWith(`${whole}/`));
  context.estate.revision++;
};

const filesIn = (context: VimContext, path: string, spec: HostDatastoreBrowserSearchSpec | undefined): FileInfo[] => {
  const { estate, endpoint } = context;
  const { storage, inside } = parsePath(endpoint, path);
  const folder = filePath(storage, inside);
  if (!folderExists(context, folder)) throw fileFault('FileNotFound', path);
  const prefix = inside === '' ? `[${storage.name}] ` : `${folder}/`;
  const found = new Map<string, FileInfo>();
  for (const [name, { layer, text }] of Object.entries(vcenterOf(endpoint).files)) {
    if (!name.startsWith(prefix) || (layer === undefined && text === undefined)) continue;
    const [own = '', ...below] = name.slice(prefix.length).split('/');
    const bytes = layer === undefined ? (text?.length ?? 0) : estate.layer(layer).volume.allocatedBytes;
    found.set(own, { path: own, ...(below.length === 0 && spec?.details?.fileSize ? { fileSize: bytes } : {}) });
  }
  for (const one of vcenterOf(endpoint).folders) {
    const own = one.startsWith(prefix) ? one.slice(prefix.length).split('/')[0]! : '';
    if (own !== '' && !found.has(own)) found.set(own, { path: own });
  }
  const patterns = (spec?.matchPattern ?? ['*']).map(toRegExp);
  return [...found.values()].filter((file) => patterns.some((pattern) => pattern.test(file.path)));
};

const toRegExp = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    'i',
  );
