// What a test asks a vCenter for, in few words: values, lists, tasks that are awaited, devices.
import {
  localizedFault,
  type MoRef,
  type TaskInfo,
  toError,
  typed,
  type VimArgs,
  type VimMethod,
  type VirtualDevice,
  type VirtualDisk,
  type VirtualEthernetCard,
  type VsphereClient,
} from '../../adapters/vsphere/port.ts';

export type Values = Readonly<Record<string, unknown>>;
export type Row = { readonly obj: MoRef } & Values;
type ConfigSpec = VimArgs<'ReconfigVM_Task'>['spec'];
type DeviceChange = NonNullable<ConfigSpec['deviceChange']>[number];

const valuesOf = (propSet: readonly { readonly name: string; readonly val: unknown }[] = []): Values =>
  Object.fromEntries(propSet.map(({ name, val }) => [name, val]));

export class Vim {
  readonly client: VsphereClient;

  constructor(client: VsphereClient) {
    this.client = client;
  }

  async get(obj: MoRef, ...pathSet: readonly string[]): Promise<Values> {
    const specSet = [{ propSet: [{ type: obj.type, pathSet }], objectSet: [{ obj }] }];
    const { objects } = await this.client.call('RetrievePropertiesEx', this.client.content.propertyCollector, { specSet, options: {} });
    return valuesOf(objects[0]?.propSet);
  }

  /** All objects of a type, through a view that is destroyed again. */
  async list(type: string, ...pathSet: readonly string[]): Promise<Row[]> {
    const { viewManager, rootFolder, propertyCollector } = this.client.content;
    const view = await this.client.call('CreateContainerView', viewManager!, { container: rootFolder, type: [type], recursive: true });
    const specSet = [{ propSet: [{ type, pathSet }], objectSet: [throughView(view)] }];
    const answer = await this.client.call('RetrievePropertiesEx', propertyCollector, { specSet, options: {} });
    await this.client.call('DestroyView', view, {});
    return (answer?.objects ?? []).map(({ obj, propSet }) => ({ obj, ...valuesOf(propSet) }));
  }

  /** Rejects with the task's fault as the client's calls do; resolves with the task's result. */
  async task<M extends Extract<VimMethod, `${string}_Task`>>(method: M, on: MoRef, args: VimArgs<M>): Promise<unknown> {
    const task = (await this.client.call(method, on, args)) as MoRef;
    for (;;) {
      const { state, error, result } = (await this.get(task, 'info'))['info'] as TaskInfo;
      if (state === 'success') return result;
      if (state === 'error') throw toError(localizedFault(error), `${method} on ${on.value} failed`);
    }
  }

  async reconfigure(vm: MoRef, spec: ConfigSpec): Promise<void> {
    await this.task('ReconfigVM_Task', vm, { spec });
  }

  async change(vm: MoRef, ...deviceChange: readonly DeviceChange[]): Promise<void> {
    await this.reconfigure(vm, { deviceChange });
  }

  async devices(vm: MoRef): Promise<VirtualDevice[]> {
    return (await this.get(vm, 'config.hardware.device'))['config.hardware.device'] as VirtualDevice[];
  }

  async disks(vm: MoRef): Promise<VirtualDisk[]> {
    return (await this.devices(vm)).filter((device): device is VirtualDisk => device.$type === 'VirtualDisk');
  }

  async cards(vm: MoRef): Promise<VirtualEthernetCard[]> {
    return (await this.devices(vm)).filter((device): device is VirtualEthernetCard => 'macAddress' in device);
  }

  async controllerKeys(vm: MoRef): Promise<number[]> {
    return (await this.devices(vm)).filter(({ $type }) => $type === 'ParaVirtualSCSIController').map(({ key }) => key);
  }
}

export const throughView = (view: MoRef) => ({
  obj: view,
  skip: true,
  selectSet: [typed('TraversalSpec', { name: 'view', type: 'ContainerView', path: 'view', skip: false })],
});

export interface NewDisk {
  readonly controllerKey: number;
  readonly unitNumber: number;
  readonly capacityBytes: number;
  /** Of the file that is there already; else a new file is made. */
  readonly file?: string;
  readonly uuid?: string;
  readonly diskMode?: string;
}

export const addDisk = ({ controllerKey, unitNumber, capacityBytes, file, uuid, diskMode = 'persistent' }: NewDisk): DeviceChange => ({
  operation: 'add',
  ...(file === undefined ? { fileOperation: 'create' } : {}),
  device: typed('VirtualDisk', {
    key: -100 - unitNumber,
    controllerKey,
    unitNumber,
    capacityInKB: capacityBytes / 1024,
    capacityInBytes: capacityBytes,
    backing: typed('VirtualDiskFlatVer2BackingInfo', {
      fileName: file ?? '',
      diskMode,
      thinProvisioned: true,
      ...(uuid === undefined ? {} : { uuid }),
    }),
  }),
});

export const addCard = (network: string, macAddress: string): DeviceChange => ({
  operation: 'add',
  device: typed('VirtualVmxnet3', {
    key: -200,
    addressType: 'manual',
    macAddress,
    connectable: { startConnected: true, allowGuestControl: true, connected: true },
    backing: typed('VirtualEthernetCardNetworkBackingInfo', { deviceName: network }),
  }),
});
