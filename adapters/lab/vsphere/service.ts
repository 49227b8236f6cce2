// What a simulated vCenter says that it is.
import type { AboutInfo, MoRef, ServiceContent } from '../../vsphere/port.ts';
import type { EndpointRecord } from '../records.ts';
import { ROOT_FOLDER } from './objects.ts';

const ref = (type: string, value: string = type): MoRef => ({ type, value });

export const ABOUT: AboutInfo = {
  name: 'VMware vCenter Server',
  fullName: 'VMware vCenter Server 8.0.3 build-24022515 (simulated)',
  vendor: 'VMware, Inc.',
  version: '8.0.3',
  build: '24022515',
  localeVersion: 'INTL',
  localeBuild: '000',
  osType: 'linux-x64',
  productLineId: 'vpx',
  apiType: 'VirtualCenter',
  apiVersion: '8.0.3.0',
  licenseProductName: 'VMware VirtualCenter Server',
  licenseProductVersion: '8.0',
};

export const serviceContent = (endpoint: EndpointRecord): ServiceContent => ({
  rootFolder: ROOT_FOLDER,
  propertyCollector: ref('PropertyCollector', 'propertyCollector'),
  viewManager: ref('ViewManager'),
  about: { ...ABOUT, instanceUuid: endpoint.vsphere?.instanceUuid },
  sessionManager: ref('SessionManager'),
  authorizationManager: ref('AuthorizationManager'),
  eventManager: ref('EventManager'),
  taskManager: ref('TaskManager'),
  searchIndex: ref('SearchIndex'),
  fileManager: ref('FileManager'),
  virtualDiskManager: ref('VirtualDiskManager', 'virtualDiskManager'),
  customFieldsManager: ref('CustomFieldsManager'),
});
