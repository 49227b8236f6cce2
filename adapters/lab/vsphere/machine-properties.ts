// Properties of machines, their snapshots and leases, made when they are asked for.
import type {
  GuestInfo,
  MoRef,
  VirtualDevice,
  VirtualMachineConfigInfo,
  VirtualMachineRuntimeInfo,
  VirtualMachineSnapshotTree,
} from '../../vsphere/port.ts';
import { typed } from '../../vsphere/vim25/encode.ts';
import { fieldValues } from './custom-fields.ts';
import { deviceView } from './device-view.ts';
import { isCard, isDisk, networkOf } from './devices.ts';
import { familyOf, inStep, vmxPath } from './equipment.ts';
import { layoutOf } from './file-layout.ts';
import { leaseAt, leaseInfo } from './leases.ts';
import type { PropertySource, VmSnapshotRecord } from './model.ts';
import { escapeName, ROOT_POOL, refOf, VM_FOLDER } from './objects.ts';
import { findSnapshot, findVm, powerStateOf, snapshotRef, storageOf, type Vm, vmRef, type Where } from './vms.ts';

type Read = (where: Where, machine: Vm) => unknown;

export const machineProperty: PropertySource = (where, on, property) => {
  const machine = findVm(where, on);
  if (!machine || !Object.hasOwn(MACHINE, property)) return undefined;
  return MACHINE[property]!(where, inStep(where.estate, where.endpoint, machine));
};

const MACHINE: Readonly<Record<string, Read>> = {
  name: (_, machine) => escapeName(machine.name),
  parent: (where, machine) => parentOf(where, machine),
  config: (where, machine) => configOf(where, machine),
  runtime: (where, machine) => runtimeOf(where, machine),
  guest: (where, machine) => guestOf(where, machine),
  capability: () => CAPABILITY,
  summary: (where, machine) => summaryOf(where, machine),
  layoutEx: (where, machine) => layoutOf(where, machine),
  snapshot: (_, machine) => treeOf(machine),
  rootSnapshot: (_, { vm }) => refs(vm.snapshots.filter(({ parent }) => parent === undefined).map(({ id }) => snapshotRef(id))),
  datastore: ({ endpoint }, { vm, spec }) => {
    const home = endpoint.places.find(({ kind, name }) => kind === 'storage' && vm.homePath.startsWith(`[${name}]`));
    const used = new Set([home?.id, ...spec.disks.map((disk) => disk.storage)]);
    return refs([...used].flatMap((id) => storageOf(endpoint, id) ?? []).map(refOf));
  },
  network: (_, { vm }) => {
    const used = new Map(
      vm.devices
        .filter(isCard)
        .flatMap((card) => networkOf(card) ?? [])
        .map((ref) => [ref.value, ref]),
    );
    return refs([...used.values()]);
  },
  resourcePool: (_, { vm }) => (vm.pool === undefined ? ROOT_POOL : { type: 'ResourcePool', value: vm.pool }),
  guestHeartbeatStatus: ({ estate }, { id }) => (estate.guests.has(id) ? 'green' : 'gray'),
  customValue: (where, machine) => fieldValues(where, machine),
  overallStatus: () => 'green',
  configStatus: () => 'green',
};

/** An empty list of references says what it is a list of. */
const refs = (list: MoRef[]): MoRef[] => Object.assign(list, { $element: 'ManagedObjectReference' });

const parentOf = ({ endpoint }: Where, { vm, labels }: Vm): MoRef => {
  if (vm.folder !== undefined) return { type: 'Folder', value: vm.folder };
  const place = endpoint.places.find(({ kind, name, parent }) => kind === 'folder' && parent !== undefined && name === labels['folder']);
  return place ? refOf(place) : VM_FOLDER;
};

const CAPABILITY = {
  snapshotOperationsSupported: true,
  multipleSnapshotsSupported: true,
  snapshotConfigSupported: true,
  poweredOffSnapshotsSupported: true,
  memorySnapshotsSupported: false,
  revertToSnapshotSupported: true,
  quiescedSnapshotsSupported: true,
  disableSnapshotsSupported: false,
  lockSnapshotsSupported: false,
  consolePreferencesSupported: false,
  cpuFeatureMaskSupported: true,
  s1AcpiManagementSupported: true,
  settingScreenResolutionSupported: false,
  toolsAutoUpdateSupported: true,
  vmNpivWwnSupported: false,
  npivWwnOnNonRdmVmSupported: false,
  vmNpivWwnDisableSupported: false,
  vmNpivWwnUpdateSupported: false,
  swapPlacementSupported: true,
  toolsSyncTimeSupported: true,
  virtualMmuUsageSupported: true,
  diskSharesSupported: true,
  bootOptionsSupported: true,
  bootRetryOptionsSupported: true,
  settingVideoRamSizeSupported: true,
  settingDisplayTopologySupported: false,
  recordReplaySupported: false,
  changeTrackingSupported: true,
  multipleCoresPerSocketSupported: true,
  hostBasedReplicationSupported: true,
  guestAutoLockSupported: false,
  memoryReservationLockSupported: true,
  featureRequirementSupported: true,
  poweredOnMonitorTypeChangeSupported: false,
  seSparseDiskSupported: true,
  nestedHVSupported: true,
  vPMCSupported: true,
  secureBootSupported: true,
};

const GUEST_NAMES = {
  windows: 'Microsoft Windows Server 2019 (64-bit)',
  linux: 'Debian GNU/Linux 12 (64-bit)',
  other: 'Other (64-bit)',
} as const;

const guestName = (guestId: string): string => GUEST_NAMES[familyOf(guestId)];

const options = (extraConfig: Readonly<Record<string, string>>) => Object.entries(extraConfig).map(([key, value]) => ({ key, value }));

const bootOptionsOf = ({ vm }: Vm) => ({
  bootDelay: 0,
  enterBIOSSetup: false,
  efiSecureBootEnabled: vm.secureBoot ?? false,
  bootRetryEnabled: false,
  bootRetryDelay: 10_000,
  ...(vm.bootDiskKey === undefined
    ? {}
    : { bootOrder: [typed('VirtualMachineBootOptionsBootableDiskDevice', { deviceKey: vm.bootDiskKey })] }),
});

const configOf = (where: Where, machine: Vm): VirtualMachineConfigInfo => {
  const { vm, spec } = machine;
  const home = vm.homePath;
  return {
    changeVersion: String(vm.changeVersion),
    modified: where.estate.now(),
    name: escapeName(machine.name),
    guestFullName: guestName(vm.guestId),
    version: vm.hardwareVersion,
    uuid: vm.uuid,
    instanceUuid: vm.instanceUuid,
    template: false,
    guestId: vm.guestId,
    alternateGuestName: '',
    annotation: vm.annotation,
    files: { vmPathName: vmxPath(vm), snapshotDirectory: `${home}/`, suspendDirectory: `${home}/`, logDirectory: `${home}/` },
    tools: { toolsVersion: 12_352, toolsUpgradePolicy: 'manual', ...(vm.customization ? { pendingCustomization: 'imcf' } : {}) },
    flags: { disableAcceleration: false, enableLogging: true, diskUuidEnabled: /^true$/i.test(vm.extraConfig['disk.EnableUUID'] ?? '') },
    defaultPowerOps: { powerOffType: 'soft', suspendType: 'hard', resetType: 'soft', standbyAction: 'checkpoint' },
    hardware: {
      numCPU: spec.cpuCount,
      numCoresPerSocket: 1,
      memoryMB: Math.floor(spec.memoryBytes / 2 ** 20),
      virtualICH7MPresent: false,
      virtualSMCPresent: false,
      device: deviceView(where, machine),
    },
    extraConfig: options(vm.extraConfig),
    bootOptions: bootOptionsOf(machine),
    changeTrackingEnabled: vm.changeTrackingEnabled,
    firmware: spec.firmware === 'uefi' ? 'efi' : 'bios',
  };
};

const runtimeOf = ({ estate, endpoint }: Where, machine: Vm): VirtualMachineRuntimeInfo => {
  const host = endpoint.places.find(({ kind, id }) => kind === 'host' && id === machine.host);
  const on = machine.power === 'on';
  return {
    ...(host ? { host: refOf(host) } : {}),
    connectionState: 'connected',
    powerState: powerStateOf(machine),
    faultToleranceState: 'notConfigured',
    toolsInstallerMounted: false,
    ...(on && machine.bootedAtMs !== undefined ? { bootTime: new Date(machine.bootedAtMs).toISOString() } : {}),
    suspendInterval: 0,
    numMksConnections: 0,
    recordReplayState: 'inactive',
    ...(on ? {} : { cleanPowerOff: machine.ranAtPowerCut !== true }),
    onlineStandby: false,
    consolidationNeeded: machine.vm.consolidationNeeded,
    snapshotInBackground: false,
    paused: estate.freezes.has(machine.id),
  };
};

const TOOLS_UP = { toolsStatus: 'toolsOk', toolsRunningStatus: 'guestToolsRunning' } as const;
const TOOLS_DOWN = { toolsStatus: 'toolsNotRunning', toolsRunningStatus: 'guestToolsNotRunning' } as const;

const guestOf = ({ estate, endpoint }: Where, machine: Vm): GuestInfo => {
  const guest = estate.guests.get(machine.id);
  const { guestId, devices } = machine.vm;
  const family = { windows: 'windowsGuest', linux: 'linuxGuest', other: 'otherGuestFamily' }[familyOf(guestId)];
  const common = {
    toolsVersionStatus: 'guestToolsCurrent',
    toolsVersionStatus2: 'guestToolsCurrent',
    toolsVersion: '12352',
    toolsInstallType: 'guestToolsTypeOpenVMTools',
  };
  if (!guest) return { ...TOOLS_DOWN, ...common, guestState: 'notRunning' };
  const [ipAddress] = guest.addresses;
  const net = devices.filter(isCard).map((card, index) => ({
    network: endpoint.places.find(({ id }) => id === networkOf(card)?.value)?.name ?? '',
    ipAddress: index === 0 ? guest.addresses : [],
    ...(card.macAddress === undefined ? {} : { macAddress: card.macAddress }),
    connected: card.connectable?.connected ?? false,
    deviceConfigId: card.key,
    ipConfig: {
      ipAddress: (index === 0 ? guest.addresses : []).map((address) => ({
        ipAddress: address,
        prefixLength: address.includes(':') ? 64 : 24,
        state: 'preferred',
      })),
    },
  }));
  return {
    ...TOOLS_UP,
    ...common,
    guestId,
    guestFamily: family,
    guestFullName: guestName(guestId),
    hostName: guest.hostname,
    ...(ipAddress === undefined ? {} : { ipAddress }),
    net,
    guestState: 'running',
    guestOperationsReady: true,
    guestStateChangeSupported: true,
  };
};

const summaryOf = (where: Where, machine: Vm) => {
  const { vm, spec } = machine;
  const { toolsStatus, toolsRunningStatus, hostName, ipAddress } = guestOf(where, machine);
  const rest = { ...(hostName === undefined ? {} : { hostName }), ...(ipAddress === undefined ? {} : { ipAddress }) };
  return {
    vm: vmRef(machine),
    runtime: runtimeOf(where, machine),
    guest: { guestId: vm.guestId, guestFullName: guestName(vm.guestId), toolsStatus, toolsRunningStatus, ...rest },
    config: {
      name: escapeName(machine.name),
      template: false,
      vmPathName: vmxPath(vm),
      memorySizeMB: Math.floor(spec.memoryBytes / 2 ** 20),
      numCpu: spec.cpuCount,
      numEthernetCards: vm.devices.filter(isCard).length,
      numVirtualDisks: vm.devices.filter(isDisk).length,
      uuid: vm.uuid,
      instanceUuid: vm.instanceUuid,
      guestId: vm.guestId,
      guestFullName: guestName(vm.guestId),
      annotation: vm.annotation,
    },
    quickStats: { guestHeartbeatStatus: 'gray' },
    overallStatus: 'green',
  };
};

const treeOf = (machine: Vm) => {
  const { snapshots, currentSnapshot } = machine.vm;
  if (snapshots.length === 0) return undefined;
  const under = (parent: string | undefined): VirtualMachineSnapshotTree[] =>
    snapshots.filter((one) => one.parent === parent).map((one) => treeRow(machine, one, under(one.id)));
  return {
    ...(currentSnapshot === undefined ? {} : { currentSnapshot: snapshotRef(currentSnapshot) }),
    rootSnapshotList: under(undefined),
  };
};

const treeRow = (machine: Vm, snapshot: VmSnapshotRecord, childSnapshotList: VirtualMachineSnapshotTree[]): VirtualMachineSnapshotTree => ({
  snapshot: snapshotRef(snapshot.id),
  vm: vmRef(machine),
  name: escapeName(snapshot.name),
  description: snapshot.description,
  id: machine.vm.snapshots.indexOf(snapshot) + 1,
  createTime: snapshot.createTime,
  state: snapshot.state,
  quiesced: snapshot.quiesced,
  ...(childSnapshotList.length > 0 ? { childSnapshotList } : {}),
  replaySupported: false,
});

export const snapshotProperty: PropertySource = (where, on, property) => {
  const found = findSnapshot(where, on);
  if (!found) return undefined;
  const { machine, snapshot } = found;
  if (property === 'vm') return vmRef(machine);
  if (property === 'childSnapshot') {
    return refs(machine.vm.snapshots.filter((one) => one.parent === snapshot.id).map((one) => snapshotRef(one.id)));
  }
  if (property !== 'config') return undefined;
  const { spec, ...config } = snapshot.config;
  const then: Vm = { ...machine, spec, vm: { ...machine.vm, ...config } };
  return {
    ...configOf(where, then),
    hardware: { ...configOf(where, then).hardware, device: deviceView(where, then, snapshot) as VirtualDevice[] },
  };
};

export const leaseProperty: PropertySource = (where, on, property) => {
  const lease = leaseAt(where, on);
  if (property === 'state') return lease.state;
  if (property === 'info') return leaseInfo(where, lease);
  if (property === 'error') return lease.error && { fault: { $type: lease.error.type }, localizedMessage: lease.error.message };
  if (property === 'mode') return 'pull';
  if (property === 'initializeProgress') return 100;
  return property === 'transferProgress' ? lease.percent : undefined;
};
