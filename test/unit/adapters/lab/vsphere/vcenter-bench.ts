import type { BlockDevice } from '../../../../../adapters/block/port.ts';
import { createEstate, type InProcessEstate } from '../../../../../adapters/lab/in-process.ts';
import type { EndpointSpec, MachineSeed } from '../../../../../adapters/lab/port.ts';
import { applianceOf } from '../../../../../adapters/lab/vsphere/appliance.ts';
import { createLabBlockDevices } from '../../../../../adapters/lab/vsphere/block-devices.ts';
import { localizedFault } from '../../../../../adapters/vsphere/faults.ts';
import type {
  MoRef,
  TaskInfo,
  TypeMap,
  VimArgs,
  VimMethod,
  VirtualDevice,
  VirtualDeviceConfigSpec,
  VirtualDisk,
  VirtualMachineConfigInfo,
  VirtualMachineConfigSpec,
  VsphereClient,
} from '../../../../../adapters/vsphere/port.ts';
import { openVim25 } from '../../../../../adapters/vsphere/vim25/client.ts';
import { typed } from '../../../../../adapters/vsphere/vim25/encode.ts';
import { type DiskId, DrError, type MachineId } from '../../../../../core/contract/index.ts';

const MIB = 2 ** 20;
export const OWNER = 'owner-1';

export const vcenterSpec = (
  machines: readonly MachineSeed[] = [{ name: 'shop-db', disks: [{ sizeBytes: MIB, contentBytes: 131_072 }] }],
  more: Partial<EndpointSpec> = {},
): EndpointSpec => ({
  name: 'vcenter-a',
  profile: 'vmware',
  username: 'warmsite',
  password: 'secret',
  networks: ['production', 'management'],
  storage: [
    { name: 'ds-1', capacityBytes: 256 * MIB },
    { name: 'ds-2', capacityBytes: 256 * MIB },
  ],
  hosts: ['esx-1', 'esx-2'],
  folders: ['dc-a/vm/production'],
  machines,
  ...more,
});

/** A simulated vCenter, spoken to by our own client. */
export class VcenterBench implements AsyncDisposable {
  readonly lab: InProcessEstate;
  readonly client: VsphereClient;
  readonly appliance: MoRef;

  constructor(lab: InProcessEstate, client: VsphereClient) {
    this.lab = lab;
    this.client = client;
    this.appliance = { type: 'VirtualMachine', value: applianceOf(lab.estate, lab.estate.endpoint('vcenter-a'))!.id };
  }

  static async open(spec: EndpointSpec = vcenterSpec()): Promise<VcenterBench> {
    return VcenterBench.over(createEstate({ spec: { sites: [{ name: 'site-a', endpoints: [spec] }] }, seed: 7 }));
  }

  static async over(lab: InProcessEstate): Promise<VcenterBench> {
    const client = await openVim25(lab.openWire, {
      address: 'vcenter-a',
      username: 'warmsite',
      password: 'secret',
      userAgent: `Warmsite (${OWNER})`,
    });
    return new VcenterBench(lab, client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }

  vm(name: string): MoRef {
    const machine = [...this.lab.estate.machines.values()].find((one) => one.name === name);
    if (!machine) throw new Error(`no machine ${name}`);
    return { type: 'VirtualMachine', value: machine.id };
  }

  place(name: string): MoRef {
    const place = this.lab.estate.endpoint('vcenter-a').places.find((one) => one.name === name)!;
    const type = { network: 'Network', storage: 'Datastore', host: 'HostSystem', pool: 'ResourcePool', folder: 'Folder' }[place.kind];
    return { type, value: place.id };
  }

  call<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>) {
    return this.client.call(method, on, args);
  }

  async read<T>(on: MoRef, path: string): Promise<T> {
    const found = await this.call('RetrievePropertiesEx', this.client.content.propertyCollector, {
      specSet: [{ propSet: [{ type: on.type, pathSet: [path] }], objectSet: [{ obj: on }] }],
      options: {},
    });
    return found?.objects[0]?.propSet?.[0]?.val as T;
  }

  /** The task's result; its fault as a DrError whose message begins with the fault's name. */
  async run<M extends VimMethod>(method: M, on: MoRef, args: VimArgs<M>): Promise<unknown> {
    const task = (await this.call(method, on, args)) as MoRef;
    for (;;) {
      const info = await this.read<TaskInfo>(task, 'info');
      if (info.state === 'success') return info.result;
      if (info.state === 'error')
        throw new DrError('STATE_CONFLICT', `${localizedFault(info.error).$type}: ${info.error?.localizedMessage}`);
      await this.lab.clock.sleep(5);
    }
  }

  config(vm: MoRef): Promise<VirtualMachineConfigInfo> {
    return this.read(vm, 'config');
  }

  async disks(vm: MoRef): Promise<Disk[]> {
    return ((await this.config(vm)).hardware.device ?? []).filter((device): device is Disk => device.$type === 'VirtualDisk');
  }

  async devices(vm: MoRef, type: string): Promise<VirtualDevice[]> {
    return ((await this.config(vm)).hardware.device ?? []).filter((device) => device.$type === type);
  }

  reconfigure(vm: MoRef, spec: Partial<VirtualMachineConfigSpec>): Promise<unknown> {
    return this.run('ReconfigVM_Task', vm, { spec: spec as VirtualMachineConfigSpec });
  }

  async snapshot(vm: MoRef, tag: { operationId?: string; kind?: 'cycle' | 'fork'; quiesce?: boolean } = {}): Promise<MoRef> {
    const { operationId = 'op-1', kind = 'cycle', quiesce = false } = tag;
    const description = JSON.stringify({ warmsite: 1, owner: OWNER, operationId, kind });
    return (await this.run('CreateSnapshot_Task', vm, { name: `warmsite ${kind}`, description, memory: false, quiesce })) as MoRef;
  }

  removeSnapshot(snapshot: MoRef): Promise<unknown> {
    return this.run('RemoveSnapshot_Task', snapshot, { removeChildren: false, consolidate: true });
  }

  attach(path: string, diskMode: 'independent_persistent' | 'independent_nonpersistent'): Promise<unknown> {
    return this.reconfigure(this.appliance, { deviceChange: [addDisk({ path, diskMode, controllerKey: 1001 })] });
  }

  async detach(uuid: string): Promise<unknown> {
    const device = (await this.disks(this.appliance)).find((disk) => disk.backing.uuid === uuid)!;
    return this.reconfigure(this.appliance, { deviceChange: [{ operation: 'remove', device }] });
  }

  device(uuid: string, forWriting: boolean): Promise<BlockDevice> {
    const at = { endpoint: 'vcenter-a', owner: OWNER, appliance: this.appliance.value as MachineId };
    return createLabBlockDevices(this.lab.open(), at).open({ uuid }, { forWriting, signal: AbortSignal.timeout(10_000), deadlineMs: 1000 });
  }

  write(vm: MoRef, disk: string, offset: number, length: number): Promise<unknown> {
    const data = Buffer.alloc(length, `${offset}`);
    return this.lab.control.call('lab.write', { machine: vm.value as MachineId, disk: disk as DiskId, offset, data });
  }

  digests(
    of: Parameters<InProcessEstate['control']['call']>[1] extends never
      ? never
      : { machine: string } | { snapshot: string } | { replica: string },
  ) {
    return this.lab.control.call('lab.inspect', { of: of as never }).then((report) => report.digests.map(({ digest }) => digest));
  }

  async changedAreas(
    vm: MoRef,
    asked: { snapshot: MoRef; deviceKey: number; changeId: string; capacityBytes: number },
  ): Promise<{ start: number; length: number }[]> {
    const { snapshot, deviceKey, changeId, capacityBytes } = asked;
    const found: { start: number; length: number }[] = [];
    for (let startOffset = 0; startOffset < capacityBytes; ) {
      const page = await this.call('QueryChangedDiskAreas', vm, { snapshot, deviceKey, startOffset, changeId });
      found.push(...(page.changedArea ?? []));
      startOffset = page.startOffset + page.length;
    }
    return found;
  }
}

export type Disk = VirtualDisk & { readonly backing: TypeMap['VirtualDiskFlatVer2BackingInfo'] };

export interface NewDisk {
  readonly path?: string;
  readonly diskMode?: string;
  readonly controllerKey?: number;
  readonly unitNumber?: number;
  readonly key?: number;
  readonly uuid?: string;
  /** Absent: the file is there already. */
  readonly createBytes?: number;
}

export const addDisk = ({
  path = '',
  diskMode = 'persistent',
  controllerKey = 1000,
  unitNumber = -1,
  key = -1,
  uuid,
  createBytes,
}: NewDisk): VirtualDeviceConfigSpec => ({
  operation: 'add',
  ...(createBytes === undefined ? {} : { fileOperation: 'create' as const }),
  device: typed('VirtualDisk', {
    key,
    controllerKey,
    unitNumber,
    backing: typed('VirtualDiskFlatVer2BackingInfo', {
      fileName: path,
      diskMode,
      thinProvisioned: true,
      ...(uuid === undefined ? {} : { uuid }),
    }),
    capacityInKB: (createBytes ?? 0) / 1024,
    ...(createBytes === undefined ? {} : { capacityInBytes: createBytes }),
  }),
});

export const addController = (key: number, busNumber = 0): VirtualDeviceConfigSpec => ({
  operation: 'add',
  device: typed('ParaVirtualSCSIController', { key, busNumber, sharedBus: 'noSharing' }),
});

export const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof DrError ? `${error.context.vendorCode ?? ''} ${error.message}` : String(error)),
  );
